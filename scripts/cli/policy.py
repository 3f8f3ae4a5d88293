"""dataspace policy: what a policy means to this system, and why it would let something through or not."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from capsule import canonical
from capsule.ids import Address, Digest
from capsule.policy.compiler import compile_policy
from capsule.policy.explain import AccessFacts, Outcome, explain
from contracts.roles import roles_from_names
from node.errors import InputRefusedError
from scripts.cli.console import JsonOption, out, show, told
from scripts.cli.exits import EXIT_REFUSED
from scripts.composition import now

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Policies: compile, explain.")


@app.command("compile")
def compile_command(
    policy: Annotated[Path, typer.Argument(help="ODRL in JSON-LD.")], as_json: JsonOption = False
) -> None:
    """The terms that the chain enforces, and who enforces each term of the policy."""
    with told():
        compiled = compile_policy(_document(policy))
        terms = {item.name: _plain(getattr(compiled.terms, item.name)) for item in fields(compiled.terms)}
        show(
            {
                "policy_hash": str(compiled.policy_hash),
                "terms_hash": str(compiled.terms.hash),
                "labels": {term: str(label) for term, label in compiled.labels.items()},
                "terms": terms,
            },
            as_json,
        )


@app.command("explain")
def explain_command(
    policy: Annotated[Path, typer.Argument(help="ODRL in JSON-LD.")],
    buyer: Annotated[str, typer.Option(help="The buyer's account.")],
    role: Annotated[list[str] | None, typer.Option(help="A role of the buyer; repeat.")] = None,
    purpose: Annotated[str | None, typer.Option()] = None,
    algorithm: Annotated[str | None, typer.Option(help="Algorithm hash.")] = None,
    compute_node: Annotated[str | None, typer.Option(help="Account.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Why a request would be allowed or refused, term by term, in English and Chinese."""
    with told():
        facts = AccessFacts(
            time=now(),
            buyer=Address.parse(buyer),
            buyer_roles=roles_from_names(role or ["buyer"]),
            purpose=purpose,
            algorithm=Digest.parse(algorithm) if algorithm else None,
            compute_node=Address.parse(compute_node) if compute_node else None,
        )
        verdicts = explain(compile_policy(_document(policy)), facts)
        allowed = all(verdict.outcome is not Outcome.REFUSED for verdict in verdicts)
        content = {
            "allowed": allowed,
            "terms": [
                {
                    "term": one.term,
                    "by": str(one.label),
                    "outcome": str(one.outcome),
                    "en": one.english,
                    "zh": one.chinese,
                }
                for one in verdicts
            ],
        }

        def table() -> None:
            rows = Table("term", "enforced by", "outcome", "why", "说明")
            for one in verdicts:
                rows.add_row(one.term, str(one.label), str(one.outcome), one.english, one.chinese)
            out.print(rows)

        show(content, as_json, table)
    if not allowed:
        raise typer.Exit(EXIT_REFUSED)


def _document(path: Path) -> canonical.Json:
    try:
        return canonical.decode(path.read_bytes())
    except OSError as error:
        raise InputRefusedError(f"{path} can't be read: {error.strerror}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, bool | int | str) else str(value)
