"""dataspace capsule share: a custodian seals its share to whoever opens the capsule, offline."""

from pathlib import Path
from typing import Annotated

import typer

from capsule.canonical import encode
from capsule.share import holder_of, seal_share
from node.errors import InputRefusedError, RefusedError
from node.home import write_new
from scripts.cli.capsule_files import new_file
from scripts.cli.capsule_keys import open_own_share, own_keystore, read_deal, read_share
from scripts.cli.console import HomeOption, JsonOption, PassphraseFileOption, show, told

__all__ = ["share_command"]

DEFAULT_HOME = Path(".dataspace")
KEY_BYTES = 32


def share_command(
    path: Annotated[Path, typer.Argument(help="This home's share file, as the provider dealt it.")],
    to: Annotated[str, typer.Option(help="Box key of whoever opens the capsule, in hex.")],
    deal: Annotated[Path, typer.Option(help="The deal that the share is of.")],
    out: Annotated[Path, typer.Option(help="The share sealed for the opener.")],
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give this home's share of a deal to the owner of a box key, after checking that it is the one dealt.

    Whoever gets enough of them opens the capsule. It stands in no ledger: what the chain counts are releases for uses.
    """
    with told():
        new_file(out)
        dealt = read_deal(deal)
        sealed = read_share(path)
        keystore = own_keystore(home, passphrase_file)
        secret = open_own_share(sealed, dealt, keystore.box)
        holder = holder_of(dealt, secret.index)
        if holder.account != keystore.account.address:
            raise RefusedError("the share", f"it is that of {holder.account}, not this home's")
        write_new(out, encode(seal_share(secret, dealt, _box_key(to)).to_json()))
        show(
            {"share": str(out), "deal": str(dealt.hash), "index": secret.index, "to": f"0x{_box_key(to).hex()}"},
            as_json,
        )


def _box_key(written: str) -> bytes:
    try:
        key = bytes.fromhex(written.removeprefix("0x"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise InputRefusedError("a box key is written as 64 hex digits")
    return key
