"""dataspace capsule: look at capsule files offline."""

import os
from pathlib import Path
from typing import Annotated

import typer

from capsule.digest import Domain
from capsule.ids import Address, Digest
from capsule.opening import inspect, verify
from capsule.signature import ED25519, PublicKey
from node.errors import InputRefusedError
from scripts.cli.console import JsonOption, show, told

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Capsule files, offline.")


@app.command("inspect")
def inspect_command(path: Path, as_json: JsonOption = False) -> None:
    """The header of a capsule, unverified."""
    with told(), path.open("rb") as stream:
        header = inspect(stream).to_json()
        show({**header, "file_bytes": os.fstat(stream.fileno()).st_size, "verified": "nothing"}, as_json)


@app.command("verify")
def verify_command(
    path: Path,
    root: Annotated[str, typer.Option(help="The capsule root that stands on chain.")] = "",
    signer_key: Annotated[str, typer.Option(help="The provider's Ed25519 public key in hex.")] = "",
    chain_id: Annotated[int, typer.Option(help="Of the ledger that the signature is for.")] = 0,
    directory: Annotated[str, typer.Option(help="Directory of that ledger.")] = str(Address.ZERO),
    as_json: JsonOption = False,
) -> None:
    """Check a capsule against its root on chain, or against its provider's signature; no key is needed."""
    with told():
        try:
            key = PublicKey(ED25519, bytes.fromhex(signer_key)) if signer_key else None
        except ValueError as error:
            raise InputRefusedError("a signer key is written as 64 hex digits") from error
        with path.open("rb") as stream:
            verified = verify(
                stream,
                root=Digest.parse(root) if root else None,
                signer_key=key,
                domain=Domain(chain_id, Address.parse(directory)),
            )
        show(
            {"root": str(verified.root), "verified": str(verified.level), "asset": str(verified.header.asset)}, as_json
        )
