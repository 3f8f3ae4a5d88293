"""dataspace custody: custody: decide on the uses that wait, through the API of this home's node."""

from pathlib import Path

import typer

from scripts.cli.console import HomeOption, JsonOption, PassphraseFileOption, node_client, show

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Custody: decide on the uses that wait.")

DEFAULT_HOME = Path(".dataspace")


@app.command()
def decide(
    home: HomeOption = DEFAULT_HOME, passphrase_file: PassphraseFileOption = None, as_json: JsonOption = False
) -> None:
    """Decide on every open use that this holder has a share for."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("POST", "/v1/work"), as_json)
