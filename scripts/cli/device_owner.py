"""The owner's commands of `dataspace device`: enrolment by fleet, proofs, rotation, retirement."""

import csv
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from capsule.enrolment import FleetTree
from capsule.errors import InputError
from capsule.ids import DeviceId, FleetId
from capsule.signature import ED25519, PublicKey
from capsule.thing import MODELS as THING_MODELS
from node.errors import InputRefusedError
from node.home import create_whole
from scripts.cli.console import HomeOption, JsonOption, PassphraseFileOption, node_client, progress, show, told
from scripts.cli.inputs import moment, within_a_folder

__all__ = ["add_owner_commands"]

DEFAULT_HOME = Path(".dataspace")
MODELS = {model.name: model for model in THING_MODELS.values()}
COLUMNS = ("device", "suite", "public_key")
PAPERS_A_CALL = 200

ModelOption = Annotated[str, typer.Option(help=f"Thing model: {', '.join(MODELS)}.")]


def add_owner_commands(app: typer.Typer) -> None:
    """Adds the commands to the group `device`."""
    app.command("enroll-many")(enroll_many)
    app.command("prove")(prove)
    app.command("rotate")(rotate)
    app.command("retire")(retire)


def enroll_many(
    keys: Annotated[Path, typer.Argument(help=f"CSV with a header and the columns {', '.join(COLUMNS)} (hex).")],
    out: Annotated[Path, typer.Option(help="File to write: each device's paper on a line.")],
    model: ModelOption = "storage-station",
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Owner: enrol a fleet in one transaction; each device's paper then proves it at its first use."""
    with node_client(home, passphrase_file) as node:
        if model not in MODELS:
            raise InputRefusedError(f"there is no thing model '{model}'; choose of {', '.join(MODELS)}")
        if within_a_folder(out).exists():
            raise InputRefusedError(f"{out} exists already, and may hold another fleet's papers; choose another --out")
        tree = FleetTree(_keys(keys))
        with create_whole(out) as sink:
            body = {"root": str(tree.root), "size": tree.size, "model_hash": str(MODELS[model].hash)}
            fleet = FleetId.parse(node.ask("POST", "/v1/fleets", body)["fleet"])
            for paper in tree.enrolments(fleet):
                sink.write(json.dumps(paper.to_json()).encode() + b"\n")
        show({"fleet": str(fleet), "devices": tree.size, "papers": str(out)}, as_json)


def prove(
    papers: Annotated[Path, typer.Argument(help="Papers as 'device enroll-many' wrote them, one on a line.")],
    device: Annotated[list[str] | None, typer.Option(help="Only this device; repeat for several.")] = None,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put the keys of a fleet's devices on chain, from their papers; anyone may. What is there already stays."""
    with node_client(home, passphrase_file) as node:
        wanted = {DeviceId.parse(one) for one in device or ()}
        proven: list[str] = []
        with progress("papers") as done:
            chosen = _papers(papers, wanted)
            while some := list(islice(chosen, PAPERS_A_CALL)):
                proven += node.ask("POST", "/v1/fleets/papers", {"papers": some})["proven"]
                done(len(proven), len(proven))
        show({"proven": len(proven), "devices": proven}, as_json)


def rotate(
    device: Annotated[str, typer.Argument(help="The device's id.")],
    public_key: Annotated[str, typer.Option(help="Its new public key in hex.")],
    suite: Annotated[int, typer.Option(min=1, max=2, help="Of the new key: 1 is Ed25519, 2 is SM2.")] = ED25519,
    overlap_seconds: Annotated[int, typer.Option(min=0, help="How long the old key still counts.")] = 86_400,
    distrusted_from: Annotated[
        str, typer.Option(help="Time from which the old key counts not; ISO 8601 or unix seconds.")
    ] = "",
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Owner: replace a device's key."""
    with node_client(home, passphrase_file) as node, told():
        body = {
            "public_key": public_key,
            "suite": suite,
            "overlap_seconds": overlap_seconds,
            "distrusted_from": moment(distrusted_from),
        }
        show({"device": device, **node.ask("POST", f"/v1/devices/{device}/rotate", body)}, as_json)


def retire(
    device: Annotated[str, typer.Argument(help="The device's id.")],
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Owner: take a device out of service; nothing it signs later counts."""
    with node_client(home, passphrase_file) as node:
        show({"device": device, **node.ask("POST", f"/v1/devices/{device}/retire")}, as_json)


def _keys(path: Path) -> Iterator[tuple[DeviceId, PublicKey]]:
    """The devices of a CSV file. Raises InputRefusedError naming the line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.DictReader(text, strict=True)
            if sorted(reader.fieldnames or ()) != sorted(COLUMNS):
                raise InputRefusedError(
                    f"{path.name}: the first line must name the columns {', '.join(COLUMNS)}, and no others"
                )
            for row in reader:
                try:
                    key = PublicKey(int(row["suite"]), bytes.fromhex(row["public_key"].removeprefix("0x")))
                    yield DeviceId.parse(row["device"]), key
                except (InputError, ValueError, TypeError, AttributeError) as error:
                    raise InputRefusedError(f"{path.name}, line {reader.line_num}: {error}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputRefusedError(f"{path} can't be read as a CSV of device keys: {error}") from error


def _papers(path: Path, wanted: set[DeviceId]) -> Iterator[object]:
    try:
        with path.open(encoding="utf-8") as text:
            for number, line in enumerate(text, 1):
                paper = json.loads(line)
                if not isinstance(paper, dict):
                    raise InputRefusedError(f"{path.name}, line {number}: not what 'device enroll-many' wrote")
                if not wanted or DeviceId.parse(str(paper.get("device"))) in wanted:
                    yield paper
    except (OSError, ValueError) as error:
        raise InputRefusedError(f"{path} can't be read as a file of device papers: {error}") from error
