"""dataspace access: access: request, grant, deny, revoke, through the API of this home's node."""

from pathlib import Path
from typing import Annotated

import typer

from node.errors import InputRefusedError
from scripts.cli.console import HomeOption, JsonOption, PassphraseFileOption, node_client, show
from scripts.cli.inputs import json_file

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Access: request, grant, deny, revoke.")

DEFAULT_HOME = Path(".dataspace")


@app.command()
def request(
    asset: str,
    purpose: Annotated[str, typer.Option(help="A declaration that stands on chain.")],
    algorithm: Annotated[Path, typer.Option(help="Algorithm file: SQL text with its manifest, from 'use algorithm'.")],
    compute_node: Annotated[str, typer.Option(help="Account of the compute node.")],
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Buyer: ask for an asset."""
    content = json_file(algorithm)
    with node_client(home, passphrase_file) as node:
        if not {"manifest", "code"} <= set(content):
            raise InputRefusedError(f"{algorithm} is no algorithm file; make one with 'dataspace use algorithm'")
        body = {
            "asset": asset,
            "purpose": purpose,
            "algorithm": content["manifest"],
            "code": content["code"],
            "compute_node": compute_node,
        }
        show(node.ask("POST", "/v1/access/requests", body), as_json)


@app.command()
def pending(
    home: HomeOption = DEFAULT_HOME, passphrase_file: PassphraseFileOption = None, as_json: JsonOption = False
) -> None:
    """Provider: requests that wait for an answer."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("GET", "/v1/access/requests"), as_json)


@app.command()
def agreements(
    home: HomeOption = DEFAULT_HOME, passphrase_file: PassphraseFileOption = None, as_json: JsonOption = False
) -> None:
    """Buyer or provider: agreements and how they stand: live, ending, ended, renewed, revoked."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("GET", "/v1/access/agreements"), as_json)


@app.command()
def grant(
    request_id: str,
    uses: Annotated[int | None, typer.Option(min=0, help="At most this many uses.")] = None,
    seconds: Annotated[int | None, typer.Option(min=0, help="Valid for at most this long.")] = None,
    rows: Annotated[int | None, typer.Option(min=0, help="At most this many rows to the buyer.")] = None,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Provider: grant a request, no wider than the terms."""
    with node_client(home, passphrase_file) as node:
        body = {"uses": uses, "seconds": seconds, "rows": rows}
        show(node.ask("POST", f"/v1/access/requests/{request_id}/grant", body), as_json)


@app.command()
def deny(
    request_id: str,
    reason: Annotated[int, typer.Option(min=0, max=65_535, help="Your own reason code.")],
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Provider: deny a request."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("POST", f"/v1/access/requests/{request_id}/deny", {"reason": reason}), as_json)


@app.command()
def revoke(
    grant_id: str,
    reason: Annotated[int, typer.Option(min=0, max=65_535, help="Your own reason code.")],
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Provider: revoke a grant."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("POST", f"/v1/access/grants/{grant_id}/revoke", {"reason": reason}), as_json)
