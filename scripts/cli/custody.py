"""dataspace custody: decide on the uses and openings that wait, destroy shares, through the API of this home's node."""

from pathlib import Path
from typing import Annotated

import typer

from scripts.cli.console import HomeOption, JsonOption, PassphraseFileOption, node_client, show

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Custody: decide on the uses and openings that wait, destroy shares.")

DEFAULT_HOME = Path(".dataspace")


@app.command()
def decide(
    home: HomeOption = DEFAULT_HOME, passphrase_file: PassphraseFileOption = None, as_json: JsonOption = False
) -> None:
    """Decide on every open use that this holder has a share for, and act on answered openings."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("POST", "/v1/work"), as_json)


@app.command()
def openings(
    home: HomeOption = DEFAULT_HOME, passphrase_file: PassphraseFileOption = None, as_json: JsonOption = False
) -> None:
    """Openings of deals whose share is held here: who asks for it, why, and from when on it may leave."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("GET", "/v1/custody/openings"), as_json)


@app.command()
def confirm(
    opening: Annotated[str, typer.Argument(help="The opening's id; see 'custody openings'.")],
    refuse: Annotated[bool, typer.Option("--refuse", help="Say no: this holder refuses on chain.")] = False,
    reason: Annotated[str, typer.Option(help="A note on the answer; it stays in this home.")] = "",
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Confirm one opening: this holder's share leaves for it after the waiting time. Ask the provider first."""
    with node_client(home, passphrase_file) as node:
        body = {"refuse": refuse, "reason": reason}
        show(node.ask("POST", f"/v1/custody/openings/{opening}/confirm", body), as_json)


@app.command()
def shred(
    deal: Annotated[str, typer.Option(help="Hash of the one deal whose part is destroyed.")] = "",
    asset: Annotated[str, typer.Option(help="Asset of whose deals all that is held here is destroyed.")] = "",
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Destroy this holder's part of a deal, for good, and keep a signed statement of it."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("POST", "/v1/custody/shred", {"deal": deal, "asset": asset}), as_json)
