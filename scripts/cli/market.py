"""dataspace asset, access, use, custody: the steps of access, each through the API of this home's node."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from node.errors import InputRefusedError
from node.home import write_whole
from scripts.algorithm import sql_algorithm
from scripts.cli.console import HomeOption, JsonOption, PassphraseFileOption, node_client, show, told

__all__ = ["access_app", "asset_app", "custody_app", "use_app"]

asset_app = typer.Typer(no_args_is_help=True, help="Assets: seal, publish, deal, list, retire.")
access_app = typer.Typer(no_args_is_help=True, help="Access: request, grant, deny, revoke.")
use_app = typer.Typer(no_args_is_help=True, help="Uses: order one, receive its result.")
custody_app = typer.Typer(no_args_is_help=True, help="Custody: decide on the uses that wait.")

DEFAULT_HOME = Path(".dataspace")


@asset_app.command()
def offer(
    path: Annotated[Path, typer.Argument(help="Frames exported by a gateway (.frames), CSV or Parquet.")],
    policy: Annotated[Path, typer.Option(help="ODRL policy in JSON-LD.")],
    custodian: Annotated[list[str], typer.Option(help="A custodian's account; repeat in the order of share index.")],
    threshold: Annotated[int, typer.Option(min=1, help="Custodians needed to rebuild the key.")],
    waiting_seconds: Annotated[int, typer.Option(min=0, help="Wait before shares may be gathered anew.")] = 86_400,
    asset: Annotated[str, typer.Option(help="Publish a new version of this asset.")] = "",
    title: Annotated[str, typer.Option(help="A name for people; kept off chain.")] = "",
    time_column: Annotated[str, typer.Option(help="Name of the time column of device data.")] = "time",
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Seal a file into a capsule under a policy, publish it and deal its key."""
    with node_client(home, passphrase_file) as node:
        body = {
            "path": str(path.resolve()),
            "policy": _json(policy),
            "custody": {"custodians": custodian, "threshold": threshold, "waiting_seconds": waiting_seconds},
            "asset": asset,
            "metadata": {"title": title},
            "time_column": time_column,
        }
        show(node.ask("POST", "/v1/offerings", body), as_json)


@asset_app.command()
def finish(
    capsule_root: str,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take up an offering where it stopped."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("POST", f"/v1/offerings/{capsule_root}/finish"), as_json)


@asset_app.command("list")
def list_assets(
    home: HomeOption = DEFAULT_HOME, passphrase_file: PassphraseFileOption = None, as_json: JsonOption = False
) -> None:
    """All published versions on the final chain."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("GET", "/v1/assets"), as_json)


@asset_app.command()
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


@access_app.command()
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
    content = _json(algorithm)
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


@access_app.command()
def pending(
    home: HomeOption = DEFAULT_HOME, passphrase_file: PassphraseFileOption = None, as_json: JsonOption = False
) -> None:
    """Provider: requests that wait for an answer."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("GET", "/v1/access/requests"), as_json)


@access_app.command()
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


@access_app.command()
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


@access_app.command()
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


@use_app.command()
def algorithm(
    sql: Annotated[Path, typer.Argument(help="File with one SELECT over the table readings.")],
    output: Annotated[
        list[str],
        typer.Option(help="name:type of a result column, in order; types integer, number, text, boolean, time."),
    ],
    out: Annotated[Path, typer.Option(help="Algorithm file to write.")],
    group_column: Annotated[str, typer.Option(help="Result column that is count(*) of its group.")] = "",
    parameter: Annotated[list[str] | None, typer.Option(help="name:type of a parameter.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write an algorithm file and print the hash that policies name."""
    with told():
        code = sql.read_text(encoding="utf-8")
        manifest = sql_algorithm(code, output, parameter or (), group_column or None)
        write_whole(out, json.dumps({"manifest": manifest.to_json(), "code": code}, indent=2).encode(), mode=0o644)
        show({"algorithm": str(manifest.hash), "file": str(out)}, as_json)


@use_app.command()
def order(
    grant_id: Annotated[list[str], typer.Argument(help="One grant, or several of this buyer.")],
    parameters: Annotated[str, typer.Option(help="The algorithm's parameters as a JSON object.")] = "{}",
    seconds: Annotated[int, typer.Option(min=1, help="Deadline, from now.")] = 3600,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Buyer: sign an order and hand it to the compute node."""
    with node_client(home, passphrase_file) as node:
        body = {"grants": grant_id, "parameters": _object(parameters, "--parameters"), "seconds": seconds}
        show(node.ask("POST", "/v1/orders", body), as_json)


@use_app.command()
def result(
    order_hash: str,
    out: Annotated[Path, typer.Option(help="File for the result; its receipt goes beside it.")],
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Buyer: fetch, check and open the result of an order."""
    with node_client(home, passphrase_file) as node:
        collected = node.ask("GET", f"/v1/orders/{order_hash}/result")
        receipt = out.with_suffix(".receipt.json")
        write_whole(receipt, json.dumps(collected["receipt"]).encode())
        write_whole(out, collected["result"].encode())
        told_back = {name: collected[name] for name in ("use", "receipt_hash", "rows")}
        show({"result": str(out), "receipt": str(receipt), **told_back}, as_json)


@use_app.command()
def work(
    home: HomeOption = DEFAULT_HOME, passphrase_file: PassphraseFileOption = None, as_json: JsonOption = False
) -> None:
    """Compute node or holder: one round of whatever waits on the chain."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("POST", "/v1/work"), as_json)


@custody_app.command()
def decide(
    home: HomeOption = DEFAULT_HOME, passphrase_file: PassphraseFileOption = None, as_json: JsonOption = False
) -> None:
    """Decide on every open use that this holder has a share for."""
    with node_client(home, passphrase_file) as node:
        show(node.ask("POST", "/v1/work"), as_json)


def _json(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} can't be read") from error
    return _object(text, str(path))


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{where} is no JSON") from error
    if not isinstance(content, dict):
        raise typer.BadParameter(f"{where} is no JSON object")
    return content
