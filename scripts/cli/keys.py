"""dataspace org: rotating keys, changing the passphrase, backup and restore."""

from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import typer

from node.backup import restore_backup
from scripts.cli.console import (
    HomeOption,
    JsonOption,
    NodeClient,
    PassphraseFileOption,
    fail,
    node_client,
    passphrase,
    show,
    told,
    typed,
)
from scripts.cli.exits import EXIT_INPUT
from scripts.cli.inputs import moment
from scripts.cli.printing import note
from scripts.composition import open_home

__all__ = ["backup", "change_passphrase", "forget_former_keys", "restore", "rotate_keys"]

DEFAULT_HOME = Path(".dataspace")
SECONDS_PER_DAY = 86_400
KEEP_DAYS = 30


def rotate_keys(
    distrusted_from: Annotated[
        str, typer.Option(help="For stolen keys: when it began, ISO 8601 or unix seconds; nothing later counts.")
    ] = "",
    suite: Annotated[int | None, typer.Option(help="Of the new signing key: 1 is Ed25519, 2 is SM2.")] = None,
    again: Annotated[bool, typer.Option(help="Also within an hour of the last rotation.")] = False,
    keys_lost: Annotated[bool, typer.Option(help="The chain has keys that this home does not have any more.")] = False,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace this organisation's signing and box keys; what rests sealed is sealed anew. Stopped, run it again."""
    with told():
        body: dict[str, Any] = {"again": again, "keys_lost": keys_lost, "distrusted_from": moment(distrusted_from)}
        if suite is not None:
            body["suite"] = suite
        with node_client(home, passphrase_file) as node:
            rotated = _ask(node, "/v1/organisation/keys/rotate", body)
            show(rotated, as_json)
            if until := rotated["out_of_reach"]:
                when = datetime.fromtimestamp(until, UTC).isoformat()
                note(f"the time does not reach the key that was replaced at {when}: what it signed until then counts")
            if not rotated["new"]:
                note("nothing was changed: this is the rotation that ended within the last hour; --again rotates anew")


def forget_former_keys(
    keep_days: Annotated[
        int, typer.Option("--keep-former-days", min=0, help="Box keys replaced within so many days stay.")
    ] = KEEP_DAYS,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Drop box keys that were replaced long ago; a share sealed to one of them and delivered later opens no more."""
    with node_client(home, passphrase_file) as node:
        body = {"keep_seconds": keep_days * SECONDS_PER_DAY}
        show(_ask(node, "/v1/organisation/keys/forget", body), as_json)


def change_passphrase(
    new_passphrase_file: Annotated[Path | None, typer.Option(help="File whose first line is the new one.")] = None,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put this home's keys under another passphrase. Older backups still open with the older one."""
    with told(), open_home(home, passphrase(passphrase_file)) as opened:
        if new_passphrase_file is not None:
            new = passphrase(new_passphrase_file)
        else:
            new = typed("new passphrase", "give --new-passphrase-file", confirm=True)
        opened.keystore.change_passphrase(new)
        show({"home": str(home), "account": str(opened.keystore.account.address)}, as_json)


def backup(
    out: Annotated[Path, typer.Option(help="File to write; this home's passphrase opens it.")],
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write keys, settings and database to one encrypted file, also while the service runs."""
    with node_client(home, passphrase_file) as node:
        show(_ask(node, "/v1/organisation/backup", {"path": str(out.absolute())}), as_json)


def restore(
    file: Annotated[Path, typer.Argument(help="What 'org backup' wrote.")],
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a home from a backup, in a new folder. Never let two copies of one home run at once."""
    with told():
        account = restore_backup(file, passphrase(passphrase_file), home)
        show({"home": str(home), "account": str(account)}, as_json)


def _ask(node: NodeClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Of a node's service; a gateway's has no such path, and can't change the keys that it works with."""
    if node.client.get(path).status_code == HTTPStatus.NOT_FOUND:
        fail("the service that runs on this home is no node's; stop it, then run this again", EXIT_INPUT)
    return node.ask("POST", path, body)
