"""dataspace node serve: one organisation's service, with the round of work that waits for it on the chain."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import typer
import uvicorn

from capsule.errors import CapsuleError
from contracts.errors import LedgerError
from node.agreements import Change, State
from node.errors import NodeError, SettingsError
from node.organisation import Node
from node.service import build_app
from scripts.cli.console import HomeOption, PassphraseFileOption, passphrase, told
from scripts.cli.printing import note
from scripts.composition import Api
from scripts.nodes import node_at

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The node of one organisation.")


@app.command()
def serve(home: HomeOption = Path(".dataspace"), passphrase_file: PassphraseFileOption = None) -> None:
    """Serve this organisation's node until interrupted."""
    with told(), node_at(home, passphrase(passphrase_file)) as node:
        settings = node.context.settings
        view = node.context.ledger.chain.verification
        if view == "single unverified endpoint" and not settings.trust_single_endpoint:
            raise SettingsError(
                "one unverified chain endpoint is not enough to act on; give a second of another organisation, "
                "or set trust_single_endpoint = true"
            )
        api = Api.fresh(f"http://{settings.host}:{settings.port}")
        server = uvicorn.Server(
            uvicorn.Config(build_app(node, api.token), settings.host, settings.port, log_level="warning")
        )
        stop = threading.Event()
        worker = threading.Thread(target=_work, args=(node, stop, settings.poll_seconds), daemon=True)
        api.write(node.context.home.api_file)
        worker.start()
        try:
            note(f"node of {node.context.account} at {api.url}; chain view: {view}")
            server.run()
        finally:
            stop.set()
            worker.join()
            node.context.home.api_file.unlink(missing_ok=True)


def _work(node: Node, stop: threading.Event, seconds: float) -> None:
    """Rounds until told to stop; what fails is said and tried again, since the chain or a peer may come back."""
    said = ""
    while not stop.wait(seconds):
        try:
            done = node.work()
            notes = [f"order {step.order_hash}: {step.note}" for step in done.progress if step.note]
            notes += [f"operation log: {done.log}"] if done.log else []
            word = "; ".join(notes)
            for change in done.agreements:
                note(_told(change))
        except (CapsuleError, LedgerError, NodeError) as error:
            word = f"waiting: {error}"
        if word and word != said:
            note(word)
        said = word


def _told(change: Change) -> str:
    """A change of an agreement in one sentence."""
    standing = change.standing
    more = ""
    if standing.state is State.REVOKED:
        more = f" by its provider, reason {standing.reason}"
    elif standing.state is State.RENEWED:
        more = f" by grant {standing.renewed_by}"
    elif standing.state is State.ENDING:  # an end that is near, so a date that there is
        more = f" at {datetime.fromtimestamp(standing.not_after, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"agreement of grant {standing.grant} on asset {standing.asset}: {standing.state}{more}"
