"""dataspace audit: rebuild the trail from chain events, check it, prove it to others."""

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from ipaddress import ip_address
from math import isfinite
from pathlib import Path
from typing import Annotated

import httpx
import typer

from audit.auditor import Auditor
from audit.bundle import MAX_BYTES as MAX_BUNDLE_BYTES
from audit.bundle import bundle as build_bundle
from audit.checkpoints import checkpoint_of, read_checkpoint
from audit.documents import DirectoryDocuments, Documents, FetchLimits, HttpDocuments, LayeredDocuments
from audit.errors import RequestError
from audit.findings import Finding
from audit.follow import check_last, collect_seldom
from audit.follow import rebuild as rebuild_index
from audit.index import Index
from audit.pages.desk import Desk
from audit.pages.readers import Readers
from audit.pages.site import Site
from audit.pages.users import UsersFile
from audit.parts import build_part, join
from audit.picture import State
from audit.service import POLL_SECONDS
from audit.service import serve as serve_auditor
from audit.trail import subject
from audit.trail import trail as read_trail
from audit.trust import Trust, trust_from_ledger
from audit.verdict import check as check_bundle
from audit.verify import verify as verify_index
from capsule import canonical
from capsule.checkpoint import SignedCheckpoint, sign_checkpoint
from contracts.ledger import Ledger
from node.home import Home, write_whole
from scripts.cli import audit_users
from scripts.cli.console import HomeOption, JsonOption, PassphraseFileOption, passphrase, progress, show, told
from scripts.cli.exits import EXIT_FINDINGS, EXIT_REFUSED
from scripts.cli.printing import note, print_answer, say, tabulate
from scripts.cli.reexecution import reexecute
from scripts.composition import open_chain, open_home, open_ledger, read_settings

__all__ = ["app", "print_findings"]

app = typer.Typer(no_args_is_help=True, help="The regulator's service: rebuild, check, prove.")
app.command()(reexecute)
app.add_typer(audit_users.app, name="user")

DEFAULT_HOME = Path(".dataspace")
PART_FILE = "part.db"
TRAIL_COLUMNS = ("time (UTC)", "block", "who", "what", "transaction")
DatabaseOption = Annotated[
    str,
    typer.Option(
        envvar="DATASPACE_AUDIT_DATABASE",
        show_envvar=False,
        help="Index in PostgreSQL: postgresql://USER@HOST/DATABASE. Else audit.db in the home.",
    ),
]
ChainUrlOption = Annotated[
    list[str] | None,
    typer.Option(
        "--chain-url",
        help="JSON-RPC endpoint, in place of the home's; two or more of different organisations must agree.",
    ),
]
WorkersOption = Annotated[int, typer.Option(min=1, max=16, help="Ranges of blocks asked for at the same time.")]
# An answer stands in memory several times over while it is read; a larger one is asked for in parts.
MOST_ANSWER_BYTES = 64 * 1024 * 1024
DOCUMENTS_HELP = "Folder with documents as KIND/HASH; what is missing there is asked of the endpoints on chain."


def _finite(value: float) -> float:
    """No number is neither below a least one nor above a greatest."""
    if not isfinite(value):
        raise typer.BadParameter("it must be a number")
    return value


@app.command()
def rebuild(
    afresh: Annotated[bool, typer.Option(help="From nothing, beside the old index.")] = False,
    block: Annotated[
        int | None, typer.Option(min=0, help="Stop at this block, to sign one checkpoint together.")
    ] = None,
    chain_url: ChainUrlOption = None,
    workers: WorkersOption = 2,
    database: DatabaseOption = "",
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Bring the index up to the final block of the chain."""
    with told(), Home(home), _ledger(home, chain_url) as ledger, progress("events") as advance:
        collect_seldom()
        summary = rebuild_index(
            ledger,
            _where(home, database),
            afresh=afresh,
            workers=workers,
            last_block=block,
            progress=lambda step: advance(step.block, step.final),
        )
        show(
            {
                "index": "database" if database else str(home / "audit.db"),
                "events": summary.events,
                "block": summary.tip.number,
                "digest": str(summary.digest),
            },
            as_json,
        )


@app.command()
def part(
    folder: Annotated[Path, typer.Argument(help="Folder of this part; made when missing, gone on with when there.")],
    from_block: Annotated[int, typer.Option(min=0, help="First block.")],
    block: Annotated[int, typer.Option(min=0, help="Last block; final on the chain.")],
    chain_url: ChainUrlOption = None,
    workers: WorkersOption = 2,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Index one range of blocks, beside others that do other ranges; 'audit join' puts them together."""
    with told(), _ledger(home, chain_url) as ledger, ExitStack() as stack:
        # before a folder is made
        check_last(ledger, block)
        stack.enter_context(Home(folder))
        advance = stack.enter_context(progress("blocks"))
        collect_seldom()
        tip = build_part(
            ledger,
            folder / PART_FILE,
            from_block,
            block,
            workers=workers,
            progress=lambda step: advance(step.block, step.final),
        )
        show({"part": str(folder), "from_block": from_block, "block": tip.number, "hash": str(tip.hash)}, as_json)


@app.command("join")
def join_command(
    parts: Annotated[list[Path], typer.Argument(help="Folders of all parts, in any order.")],
    database: DatabaseOption = "",
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Put parts together in place of this home's index; refused where they don't meet, or heads differ at a seam."""
    with told(), Home(home), ExitStack() as stack:
        for folder in parts:
            if not folder.is_dir():
                raise RequestError(f"there is no part at {folder}; build it with 'dataspace audit part' first")
            stack.enter_context(Home(folder))
        advance = stack.enter_context(progress("events"))
        collect_seldom()
        events, tip = join([folder / PART_FILE for folder in parts], _where(home, database), progress=advance)
        show({"events": events, "block": tip.number, "parts": len(parts)}, as_json)


@app.command()
def trail(
    kind: Annotated[str, typer.Argument(help="asset, request, grant, use, device or participant.")],
    identifier: Annotated[str, typer.Argument(help="Its id; an organisation's account or code.")],
    database: DatabaseOption = "",
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """All events of one subject, in order."""
    with told(), Home(home), closing(_index(home, database)) as index:
        found = read_trail(index, subject(kind, identifier))

        rows = [row.cells() for row in found.rows]
        show(found.to_json(), as_json, lambda: tabulate(TRAIL_COLUMNS, rows, str(found.subject)))


@app.command()
def verify(
    documents: Annotated[Path | None, typer.Option(help=DOCUMENTS_HELP)] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Signed checkpoint.")] = None,
    trust: Annotated[Path | None, typer.Option(help="Keys and validators that count.")] = None,
    allow_private: Annotated[bool, typer.Option(help="Ask endpoints at private addresses too.")] = False,
    database: DatabaseOption = "",
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Check every rule. Exit status 1 when there are findings."""
    with told(), Home(home), closing(_index(home, database)) as index, httpx.Client() as client:
        _check_counted(checkpoint, trust)
        _check_folder(documents)
        remote = _endpoints(index.state(), client, allow_private)
        report = verify_index(
            index,
            _layered(documents, remote),
            checkpoint=read_checkpoint(checkpoint.read_bytes()) if checkpoint else None,
            trust=Trust.from_bytes(trust.read_bytes()) if trust else None,
        )
        if documents is None:
            # with a folder nobody need answer: what is in neither is missing indeed
            remote.check_network()

        def told_people() -> None:
            print_findings(report.findings)
            say(f"{report.summary.events} events, completeness: {report.completeness} ({report.reason})")

        show(report.to_json(), as_json, told_people)
    if report.findings:
        raise typer.Exit(EXIT_FINDINGS)


@app.command("checkpoint")
def checkpoint_command(
    file: Annotated[Path, typer.Option("--out", help="Checkpoint file; signed again when it is there.")],
    database: DatabaseOption = "",
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign the heads that this home's own index has; or add a signature to a checkpoint that says the same."""
    with told(), open_home(home, passphrase(passphrase_file)) as opened, closing(_index(home, database)) as index:
        account, state = opened.keystore.account.address, index.state()
        existing = read_checkpoint(file.read_bytes()) if file.exists() else None
        own = checkpoint_of(state)
        if existing is not None and existing.checkpoint != own:
            raise RequestError(
                f"{file} is of block {existing.checkpoint.block_number} and says other heads than this home's index "
                f"at block {own.block_number}; bring both to the same block, or find out who is lied to"
            )
        signatures = existing.signatures if existing else ()
        kept = tuple(one for one in signatures if one.account != account)
        signed = SignedCheckpoint(own, (*kept, sign_checkpoint(own, account, opened.keystore.signer)))
        write_whole(file, canonical.encode(signed.to_json()), mode=0o644)
        if account not in state.participants:
            note(
                f"{account} was never admitted on this ledger: its signature counts only for whoever puts its key into "
                "a trust file by hand 该账户从未在本账本准入：除非有人手工将其公钥写入信任文件，否则其签名无效",
                "yellow",
            )
        show(
            {
                "checkpoint": str(file),
                "block": own.block_number,
                "signatures": [str(s.account) for s in signed.signatures],
                "admitted": account in state.participants,
            },
            as_json,
        )


@app.command("trust")
def trust_command(
    file: Annotated[Path, typer.Option("--out", help="Trust file to write.")],
    database: DatabaseOption = "",
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Draft a trust file from the chain's keys and validators. Compare it outside the chain before you rely on it."""
    with told(), Home(home), closing(_index(home, database)) as index:
        _check_new(file)
        trust = trust_from_ledger(index.state(), None if index.proof is None else index.proof.header)
        write_whole(file, trust.to_bytes(), mode=0o644)
        keys = {str(who): key.key.hex() for who, key in trust.keys.items()}
        validators = sorted(str(who) for who in trust.validators.accounts) if trust.validators else []
        show({"trust": str(file), "keys": keys, "validators": validators}, as_json)


@app.command()
def bundle(
    file: Annotated[Path, typer.Option("--out", help="Bundle to write.")],
    asset: Annotated[str, typer.Option(help="Asset id.")] = "",
    grant: Annotated[str, typer.Option(help="Grant id.")] = "",
    use: Annotated[str, typer.Option(help="Use id.")] = "",
    device: Annotated[str, typer.Option(help="Device id.")] = "",
    checkpoint: Annotated[Path | None, typer.Option(help="Signed checkpoint.")] = None,
    proofs: Annotated[
        bool, typer.Option(help="Ask the chain for proofs of the heads and of the subject's receipts.")
    ] = True,
    trust: Annotated[
        Path | None, typer.Option(help="Trust file: headers that lead from its validators to the last block.")
    ] = None,
    documents: Annotated[Path | None, typer.Option(help=DOCUMENTS_HELP)] = None,
    allow_private: Annotated[bool, typer.Option(help="Ask endpoints at private addresses too.")] = False,
    database: DatabaseOption = "",
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the evidence about one subject into one file that 'audit check' verifies offline."""
    given = [
        (kind, value) for kind, value in (("asset", asset), ("grant", grant), ("use", use), ("device", device)) if value
    ]
    with told(), Home(home), ExitStack() as stack:
        index, client = stack.enter_context(closing(_index(home, database))), stack.enter_context(httpx.Client())
        if len(given) != 1:
            raise RequestError("name one subject: --asset, --grant, --use or --device with its id")
        _check_folder(documents)
        _check_new(file)
        made = build_bundle(
            index,
            subject(*given[0]),
            _documents(index.state(), documents, client, allow_private),
            checkpoint=read_checkpoint(checkpoint.read_bytes()) if checkpoint else None,
            ledger=stack.enter_context(_ledger(home)) if proofs else None,
            validators=Trust.from_bytes(trust.read_bytes()).validators if trust else None,
        )
        write_whole(file, made.content, mode=0o644)
        written = {"bundle": str(file), "bytes": len(made.content)}

        def told_people() -> None:
            print_answer(written)
            say(made.missing.sentence_en())
            say(made.missing.sentence_zh())

        show({**written, "missing": made.missing.to_json()}, as_json, told_people)


@app.command()
def check(
    file: Path,
    trust: Annotated[
        Path | None, typer.Option(help="Keys and validators that count; never taken from the bundle.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a bundle with no network. Exit status 1 for findings; 3 when the bundle does not hold, or when nothing
    in it rests on the trust that was given."""
    with told():
        with file.open("rb") as stream:
            content = stream.read(MAX_BUNDLE_BYTES + 1)
        verdict = check_bundle(content, Trust.from_bytes(trust.read_bytes()) if trust else None)

        def lines() -> None:
            for line in verdict.lines():
                say(line)

        show(verdict.to_json(), as_json, lines)
    if not verdict.holds:
        raise typer.Exit(EXIT_REFUSED)
    if trust is not None and verdict.anchor == "unanchored":
        note(f"nothing in {file} rests on {trust}: ask for a bundle with a signed checkpoint or with sealed headers")
        raise typer.Exit(EXIT_REFUSED)
    if verdict.findings:
        raise typer.Exit(EXIT_FINDINGS)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen at; any but this machine's own needs users ('audit user add').")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8460,
    seconds: Annotated[
        float,
        typer.Option(min=0.1, max=86_400, callback=_finite, help="Seconds between two looks of the rules."),
    ] = 15.0,
    poll_seconds: Annotated[
        float,
        typer.Option(min=0.05, max=60, callback=_finite, help="Seconds between two questions for new final blocks."),
    ] = POLL_SECONDS,
    documents: Annotated[Path | None, typer.Option(help=DOCUMENTS_HELP)] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Signed checkpoint; read anew for each look.")] = None,
    trust: Annotated[Path | None, typer.Option(help="Keys and validators that count.")] = None,
    allow_private: Annotated[bool, typer.Option(help="Ask endpoints at private addresses too.")] = False,
    chain_url: ChainUrlOption = None,
    name: Annotated[list[str] | None, typer.Option(help="Host name under which people reach the pages.")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy in front ends TLS and names its peer in X-Forwarded-For.")
    ] = False,
    database: DatabaseOption = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Follow the chain and serve the regulator's pages, and health, report and trails as JSON, until interrupted."""
    with told(), Home(home), ExitStack() as stack:
        _check_counted(checkpoint, trust)
        _check_folder(documents)
        users = UsersFile(audit_users.users_path(home))
        if not users.read().by_name and (behind_proxy or not _is_own(host)):
            raise RequestError(
                "there are no users, and everybody who reaches the pages would read them; run 'dataspace audit user "
                "add NAME' first, or serve at 127.0.0.1 without --behind-proxy"
            )
        desk = stack.enter_context(closing(Desk(home / "audit-pages.db")))
        readers = Readers(users, behind_proxy=behind_proxy, entropy=secrets.token_bytes, clock=time.time)
        site = Site(desk, readers, names=name or (), entropy=secrets.token_bytes)
        client, ledger = stack.enter_context(httpx.Client()), stack.enter_context(_ledger(home, chain_url))
        index = stack.enter_context(closing(Index.open(_where(home, database))))
        auditor = Auditor(
            ledger,
            index,
            lambda state: _documents(state, documents, client, allow_private),
            trust=Trust.from_bytes(trust.read_bytes()) if trust else None,
            checkpoint=lambda: _newest(checkpoint) if checkpoint else None,
            watcher=desk.take,
        )
        serve_auditor(
            auditor, host, port, seconds=seconds, poll=poll_seconds, site=site, ready=lambda taken: _ready(host, taken)
        )


def _check_counted(checkpoint: Path | None, trust: Path | None) -> None:
    """Raises RequestError for a checkpoint that nothing would count."""
    if checkpoint is not None and trust is None:
        raise RequestError(
            f"the checkpoint {checkpoint} counts only under keys that you trust; give them with --trust too "
            "('dataspace audit trust' drafts the file)"
        )


def _check_new(file: Path) -> None:
    """Raises RequestError for a file that is there: it may be evidence, or keys that somebody compared."""
    if file.exists() or not file.parent.is_dir():
        raise RequestError(f"{file} is there already, or its folder is not; choose another --out")


def _check_folder(documents: Path | None) -> None:
    """Raises RequestError for a folder of documents that is not there: whoever mistyped it would see others accused."""
    if documents is not None and not documents.is_dir():
        raise RequestError(f"there is no folder {documents} to read documents from; check --documents, or leave it out")


def _is_own(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _newest(file: Path) -> SignedCheckpoint:
    try:
        return read_checkpoint(file.read_bytes())
    except OSError as error:
        raise RequestError(f"the checkpoint {file} can't be read: {error.strerror}") from error


def _ready(host: str, port: int) -> None:
    note(f"audit service at http://{host}:{port}")


def print_findings(findings: tuple[Finding, ...]) -> None:
    """Findings for people, in both languages."""
    rows = [(each.rule, each.label, each.subject, each.message_en, each.message_zh) for each in findings]
    tabulate(("rule", "label", "about", "what", "说明"), rows, f"{len(findings)} findings")


@contextmanager
def _ledger(home: Path, chain_urls: list[str] | None = None) -> Iterator[Ledger]:
    """The pinned ledger, for reading: an audit needs no key. `chain_urls` stand in place of the home's endpoints."""
    if not home.is_dir():
        raise RequestError(f"there is no home at {home}; make one with 'dataspace org init'")
    settings = read_settings(home)
    if chain_urls:
        settings = replace(settings, chain_urls=tuple(chain_urls))
    with open_chain(settings, home, most_bytes=MOST_ANSWER_BYTES) as chain:
        yield open_ledger(settings, chain, None)


def _where(home: Path, database: str) -> Path | str:
    return database or home / "audit.db"


def _index(home: Path, database: str) -> Index:
    path = home / "audit.db"
    if not database and not path.exists():
        raise RequestError(f"there is no index at {path}; run 'dataspace audit rebuild' first")
    return Index.open(_where(home, database))


def _documents(state: State, folder: Path | None, client: httpx.Client, allow_private: bool) -> Documents:
    return _layered(folder, _endpoints(state, client, allow_private))


def _endpoints(state: State, client: httpx.Client, allow_private: bool) -> HttpDocuments:
    endpoints = {who.account: who.endpoint for who in state.participants.values()}
    return HttpDocuments(endpoints, FetchLimits(allow_private=allow_private), client)


def _layered(folder: Path | None, remote: HttpDocuments) -> Documents:
    return LayeredDocuments((DirectoryDocuments(folder), remote)) if folder else remote
