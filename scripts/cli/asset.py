"""dataspace asset: register, offer, deal anew, rebind, list, retire, through the API of this home's node."""

from pathlib import Path
from typing import Annotated

import typer

from scripts.cli.console import HomeOption, JsonOption, PassphraseFileOption, node_client, show
from scripts.cli.inputs import json_file

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Assets: register, offer, deal anew, rebind, list, retire.")

DEFAULT_HOME = Path(".dataspace")
VersionOption = Annotated[int | None, typer.Option(min=1, help="Version of the asset, where several may be meant.")]


@app.command()
def register(
    title: Annotated[str, typer.Option(help="A name for people; kept off chain.")],
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register an asset; its policy then names it as its target."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("POST", "/v1/assets", {"metadata": {"title": title}}), as_json)


@app.command()
def offer(
    asset: Annotated[str, typer.Argument(help="The asset that gets a new version; see 'asset register'.")],
    path: Annotated[Path, typer.Argument(help="Frames exported by a gateway (.frames), CSV or Parquet.")],
    policy: Annotated[Path, typer.Option(help="ODRL policy in JSON-LD.")],
    custodian: Annotated[list[str], typer.Option(help="A custodian's account; repeat in the order of share index.")],
    threshold: Annotated[int, typer.Option(min=1, help="Custodians needed to rebuild the key.")],
    waiting_seconds: Annotated[int, typer.Option(min=0, help="Wait before shares may be gathered anew.")] = 86_400,
    time_column: Annotated[str, typer.Option(help="Name of the time column of device data.")] = "time",
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Seal a file into a capsule under a policy, publish it and deal its key."""
    with node_client(home, passphrase_file) as node:
        body = {
            "path": str(path.resolve()),
            "policy": json_file(policy),
            "custody": {"custodians": custodian, "threshold": threshold, "waiting_seconds": waiting_seconds},
            "asset": asset,
            "time_column": time_column,
        }
        show(node.ask("POST", "/v1/offerings", body), as_json)


@app.command()
def finish(
    capsule_root: str,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take up an offering where it stopped."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("POST", f"/v1/offerings/{capsule_root}/finish"), as_json)


@app.command("open-deal")
def open_deal(
    asset: Annotated[str, typer.Argument(help="The asset whose key is to be dealt anew or rebound.")],
    reason: Annotated[str, typer.Option(help="Written on chain for the custodians; no personal data.")],
    version: VersionOption = None,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the custodians for the shares of the deal in force; each confirms, and waits, before it releases."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("POST", f"/v1/assets/{asset}/open-deal", {"reason": reason, "version": version}), as_json)


@app.command()
def openings(
    home: HomeOption = DEFAULT_HOME, passphrase_file: PassphraseFileOption = None, as_json: JsonOption = False
) -> None:
    """Opened deals of this provider that no new deal came of yet, and who has released."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("GET", "/v1/openings"), as_json)


@app.command()
def deal(
    asset: Annotated[str, typer.Argument(help="An asset whose deal was opened; see 'asset open-deal'.")],
    custodian: Annotated[list[str], typer.Option(help="A custodian's account; repeat in the order of share index.")],
    threshold: Annotated[int, typer.Option(min=1, help="Custodians needed to rebuild the key.")],
    waiting_seconds: Annotated[int, typer.Option(min=0, help="Wait before shares may be gathered anew.")] = 86_400,
    version: VersionOption = None,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deal the key of an opened deal anew, to other custodians or with another threshold; again to resume."""
    with node_client(home, passphrase_file) as node:
        body = {
            "custody": {"custodians": custodian, "threshold": threshold, "waiting_seconds": waiting_seconds},
            "version": version,
        }
        show(node.ask("POST", f"/v1/assets/{asset}/deal", body), as_json)


@app.command()
def rebind(
    asset: Annotated[str, typer.Argument(help="An asset whose deal was opened; see 'asset open-deal'.")],
    policy: Annotated[Path, typer.Option(help="The new ODRL policy in JSON-LD.")],
    custodian: Annotated[list[str], typer.Option(help="A custodian's account; repeat in the order of share index.")],
    threshold: Annotated[int, typer.Option(min=1, help="Custodians needed to rebuild the key.")],
    waiting_seconds: Annotated[int, typer.Option(min=0, help="Wait before shares may be gathered anew.")] = 86_400,
    version: VersionOption = None,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put the capsule of an opened deal under another policy and key, as a new version; again to resume.

    No chunk is encrypted again. Who could open the older version still can, where its shares are still released.
    """
    with node_client(home, passphrase_file) as node:
        body = {
            "policy": json_file(policy),
            "custody": {"custodians": custodian, "threshold": threshold, "waiting_seconds": waiting_seconds},
            "version": version,
        }
        show(node.ask("POST", f"/v1/assets/{asset}/rebind", body), as_json)


@app.command("list")
def list_assets(
    home: HomeOption = DEFAULT_HOME, passphrase_file: PassphraseFileOption = None, as_json: JsonOption = False
) -> None:
    """All published versions on the final chain."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("GET", "/v1/assets"), as_json)


@app.command()
def retire(
    asset: str,
    reason: Annotated[str, typer.Option(help="Written on chain; no personal data.")],
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """No more requests, grants or uses of an asset."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("POST", f"/v1/assets/{asset}/retire", {"reason": reason}), as_json)
