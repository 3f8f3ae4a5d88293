"""dataspace policy: what a policy means to this system, what it says to a request, and how policies relate."""

import hashlib
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from capsule import canonical
from capsule.errors import PolicyError
from capsule.ids import Address, AssetId, Digest
from capsule.policy.compare import Relation, compare_scopes
from capsule.policy.compiler import Compiled, compile_policy
from capsule.policy.evaluation import Decision, evaluate
from capsule.policy.meet import meet
from capsule.policy.model import Policy, World
from capsule.policy.rdf import Syntax
from capsule.policy.reading import read_policy
from capsule.policy.scope import scope_of
from capsule.policy.sentences import Sentence, describe, sentences
from capsule.policy.situation import read_request, read_world
from capsule.policy.templates import TEMPLATES, offer_from
from capsule.policy.values import moment
from capsule.policy.vocabulary import OPERANDS, Label
from capsule.policy.writing import profile_document, write_scope
from node.errors import InputRefusedError
from scripts.cli.console import JsonOption, show, told
from scripts.cli.exits import EXIT_FINDINGS, EXIT_REFUSED
from scripts.cli.printing import print_json, say, tabulate
from scripts.composition import now

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Policies: compile, explain, meet, compare, template.")

PolicyArgument = Annotated[Path, typer.Argument(help="ODRL 2.2 in JSON-LD, or in Turtle (.ttl).")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Write the policy as JSON-LD to this file.")]
_ENFORCED = MappingProxyType({Label.CHAIN: "on chain", Label.HOLDER: "by holders", Label.RUNTIME: "by the runtime"})


@app.command("compile")
def compile_command(policy: PolicyArgument, save: OutOption = None, as_json: JsonOption = False) -> None:
    """The chain's terms, the checks of holders and runtime, and who enforces each term. Turtle becomes our JSON-LD."""
    with told():
        document = _publishable(policy)
        compiled = compile_policy(document)
        if save is not None:
            save.write_bytes(canonical.encode(document))
        content = {
            "policy_hash": str(compiled.policy_hash),
            "terms_hash": str(compiled.terms.hash),
            "labels": {term: list(label.parties) for term, label in compiled.labels.items()},
            "terms": {item.name: _plain(getattr(compiled.terms, item.name)) for item in fields(compiled.terms)},
            "holders": {item.name: _plain(getattr(compiled.holder, item.name)) for item in fields(compiled.holder)},
            "runtime": {item.name: getattr(compiled.runtime, item.name) for item in fields(compiled.runtime)},
        }

        def table() -> None:
            tabulate(("term", "by whom"), [(term, _told(label)) for term, label in compiled.labels.items()])
            say(f"policy hash {compiled.policy_hash}")
            say(f"terms hash  {compiled.terms.hash}")

        show(content, as_json, table)


@app.command("explain")
def explain_command(
    policy: PolicyArgument,
    request: Annotated[Path, typer.Argument(help="odrl:Request, with the asker's claims as constraints.")],
    world: Annotated[Path | None, typer.Option(help="What is known: time, facts, memberships, duties.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Why a request is permitted or not, term by term, in English and Chinese. Exit status 3 when it is not."""
    with told():
        judged = _policy(policy)
        known = World() if world is None else read_world(*_text(world))
        if "dateTime" not in known.facts:
            known = replace(known, facts=MappingProxyType({**known.facts, "dateTime": (moment(now()),)}))
        report = evaluate(judged, read_request(*_text(request)), known)
        compiled, refused = _compiled(policy)
        lines = sentences(report)
        content = {
            "decision": str(report.decision),
            "permitted": report.decision is Decision.PERMITTED,
            "enforced": refused is None,
            "not_enforced_because": refused,
            "rules": [
                {"rule": rule.rule.id, "kind": str(rule.rule.kind), "activation": str(rule.activation)}
                for rule in report.rules
            ],
            "terms": [
                {
                    "rule": line.rule,
                    "term": line.term,
                    "by": _by(line, compiled),
                    "state": line.state,
                    "en": line.english,
                    "zh": line.chinese,
                }
                for line in lines
            ],
        }

        def table() -> None:
            rows = [
                (
                    line.kind,
                    line.term,
                    ", ".join(_by(line, compiled)) or "nobody",
                    line.state,
                    line.english,
                    line.chinese,
                )
                for line in lines
            ]
            tabulate(("rule", "term", "by whom", "state", "why", "说明"), rows)
            say(f"decision: {report.decision}")
            if refused is not None:
                say(f"nobody enforces this policy here: {refused}")

        show(content, as_json, table)
    if report.decision is not Decision.PERMITTED:
        raise typer.Exit(EXIT_REFUSED)


@app.command("meet")
def meet_command(
    first: PolicyArgument,
    second: PolicyArgument,
    asset: Annotated[str | None, typer.Option(help="The derived asset's id, as the policy's target.")] = None,
    provider: Annotated[str | None, typer.Option(help="The provider's account; the policy becomes its offer.")] = None,
    save: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """What data derived from assets under both policies may do, as a policy. Exit status 3 when that is nothing."""
    with told():
        scope = meet(scope_of(_policy(first)), scope_of(_policy(second)))
        uid = hashlib.sha256(b"".join(sorted(hashlib.sha256(path.read_bytes()).digest() for path in (first, second))))
        document = write_scope(
            scope,
            uid=f"urn:dataspace:policy:meet:{uid.hexdigest()}",
            asset=None if asset is None else AssetId.parse(asset),
            provider=None if provider is None else Address.parse(provider),
        )
        _give(document, save, as_json)


@app.command("compare")
def compare_command(first: PolicyArgument, second: PolicyArgument, as_json: JsonOption = False) -> None:
    """Whether the first lets through less or more than the second, whatever the target. Exit status 1: conflict."""
    with told():
        found = compare_scopes(scope_of(_policy(first)), scope_of(_policy(second)))
        rows = [(each, describe(each.first, each.term), describe(each.second, each.term)) for each in found.terms]
        content = {
            "relation": str(found.relation),
            "terms": [
                {
                    "term": each.term,
                    "relation": str(each.relation),
                    "first": {"en": one[0], "zh": one[1]},
                    "second": {"en": two[0], "zh": two[1]},
                }
                for each, one, two in rows
            ],
        }

        def table() -> None:
            lines = [(each.term, each.relation, one[0], two[0]) for each, one, two in rows]
            tabulate(("term", "the first is", "first", "second"), lines)
            say(f"the first policy is: {found.relation}")

        show(content, as_json, table)
    if found.relation is Relation.CONFLICT:
        raise typer.Exit(EXIT_FINDINGS)


@app.command("template")
def template_command(
    name: Annotated[str | None, typer.Argument(help="Without a name: the list.")] = None,
    asset: Annotated[str | None, typer.Option(help="The asset's id.")] = None,
    provider: Annotated[str | None, typer.Option(help="The provider's account.")] = None,
    algorithm: Annotated[list[str] | None, typer.Option(help="Allowed algorithm hash; repeat.")] = None,
    buyer: Annotated[list[str] | None, typer.Option(help="Allowed account; repeat.")] = None,
    save: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """A ready-made offer for common needs."""
    with told():
        if name is None:
            content = {each: {"en": one.english, "zh": one.chinese} for each, one in TEMPLATES.items()}

            def table() -> None:
                rows = [(each, one.english, one.chinese) for each, one in TEMPLATES.items()]
                tabulate(("template", "what it allows", "说明"), rows)

            show(content, as_json, table)
            return
        if name not in TEMPLATES:
            raise InputRefusedError(f"there is no template {name}; choose one of {', '.join(TEMPLATES)}")
        if asset is None or provider is None:
            raise InputRefusedError("an offer needs --asset and --provider")
        document = offer_from(
            TEMPLATES[name],
            asset=AssetId.parse(asset),
            provider=Address.parse(provider),
            algorithms=[Digest.parse(each) for each in algorithm or ()],
            buyers=[Address.parse(each) for each in buyer or ()],
        )
        _give(document, save, as_json)


def _give(document: canonical.Json, save: Path | None, as_json: bool) -> None:
    """Prints a policy, or writes it where it was asked to, and says whether it can be published."""
    try:
        compile_policy(document)
        refused = None
    except PolicyError as error:
        refused = str(error)
    if save is not None:
        save.write_bytes(canonical.encode(document))
    show(
        {"policy": document, "publishable": refused is None, "not_publishable_because": refused},
        as_json,
        lambda: print_json(document),
    )


def _publishable(path: Path) -> canonical.Json:
    """The document as it goes on chain: JSON-LD as it is, Turtle in our profile's JSON-LD."""
    data, syntax = _text(path)
    return canonical.decode(data) if syntax is Syntax.JSON_LD else profile_document(read_policy(data, syntax))


def _policy(path: Path) -> Policy:
    return read_policy(*_text(path))


def _compiled(path: Path) -> tuple[Compiled | None, str | None]:
    """The policy's meaning to this system, or why it has none."""
    try:
        return compile_policy(_publishable(path)), None
    except PolicyError as error:
        return None, str(error)


def _told(label: Label) -> str:
    """Who enforces a term, in words."""
    if label is Label.DECLARED:
        return "declared"
    return "enforced " + ", ".join(_ENFORCED[one] for one in label)


def _by(line: Sentence, compiled: Compiled | None) -> list[str]:
    """Who enforces a term; a rule that is not the permission is declared, or the policy would not compile."""
    if compiled is None:
        return []
    if line.kind != "permission" or " " in line.term:
        return list(Label.DECLARED.parties)
    if line.term in {"target", "assignee", "action"}:
        return list((Label.CHAIN | Label.HOLDER).parties)
    return list((OPERANDS[line.term].label if line.term in OPERANDS else Label.DECLARED).parties)


def _text(path: Path) -> tuple[bytes, Syntax]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputRefusedError(f"{path} can't be read: {error.strerror}") from error
    return data, Syntax.TURTLE if path.suffix in {".ttl", ".turtle"} else Syntax.JSON_LD


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, bool | int | str) or value is None else str(value)
