"""dataspace gateway vehicle: which vehicles of GB/T 32960 a gateway takes, and their messages as received.

The commands work on the file of vehicles alone: a running service need not stop, and takes a new vehicle at once.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from capsule.errors import InputError
from capsule.ids import Digest
from gateway.gbt32960.signature import Algorithm, VehicleKey
from gateway.gbt32960.vehicles import FILE_NAME, Vehicle, Vehicles
from node.home import create_whole
from scripts.cli.console import HomeOption, JsonOption, show, told
from scripts.cli.inputs import within_a_folder
from scripts.cli.printing import note

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Vehicles of GB/T 32960: which are taken, their messages as received.")

DEFAULT_HOME = Path(".dataspace")
VIN_LENGTH = 17
ALGORITHMS = {"sm2": Algorithm.SM2, "p256": Algorithm.ECC}


@app.command()
def add(
    vin: Annotated[str, typer.Argument(help="The vehicle's VIN; it stays in this home.")],
    key: Annotated[
        str, typer.Option(help="Public key of the vehicle's chip in hex: 04, x, y; for SM2 the user id after that.")
    ] = "",
    algorithm: Annotated[str, typer.Option(help=f"Of that key: {' or '.join(ALGORITHMS)}.")] = "sm2",
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Take a vehicle on under a random device id, which its owner then enrols with this gateway's key."""
    with _vehicles(home) as vehicles:
        added = vehicles.add(vin, secrets.token_bytes, _key(key, algorithm))
        if len(vin) != VIN_LENGTH:
            note(f"{vin} has {len(vin)} characters, a VIN has {VIN_LENGTH}; 'vehicle remove' takes a mistyped one back")
        show(_shown(added), as_json)


@app.command()
def remove(
    vin: Annotated[str, typer.Argument(help="The vehicle's VIN.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Refuse a vehicle's next login; what it sent stays. Its owner's 'device retire' ends it at once and for good."""
    with _vehicles(home) as vehicles:
        show(_shown(vehicles.remove(vin)), as_json)


@app.command("list")
def list_(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show the vehicles that are taken."""
    with _vehicles(home) as vehicles:
        show({"vehicles": [{"vin": one.vin, **_shown(one)} for one in vehicles.all()]}, as_json)


@app.command()
def message(
    digest: Annotated[str, typer.Argument(help="Digest of the message, as its frame names it.")],
    out: Annotated[Path, typer.Option(help="File for the message as it was received.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the message that a witnessed frame was read from; with the salt it shows the frame's digest."""
    with _vehicles(home) as vehicles:
        kept, salt = vehicles.message(Digest.parse(digest))
        with create_whole(within_a_folder(out)) as sink:
            sink.write(kept.data)
        show({"file": str(out), "device": str(kept.device), "sequence": kept.sequence, "salt": salt.hex()}, as_json)


@contextmanager
def _vehicles(home: Path) -> Iterator[Vehicles]:
    with told():
        if not home.is_dir():
            raise InputError(f"there is no home at {home}; make it with 'dataspace org init'")
        with Vehicles(home / FILE_NAME) as vehicles:
            yield vehicles


def _key(key: str, algorithm: str) -> VehicleKey | None:
    if not key:
        return None
    if algorithm not in ALGORITHMS:
        raise InputError(f"there is no algorithm '{algorithm}'; choose of {', '.join(ALGORITHMS)}")
    try:
        return VehicleKey(ALGORITHMS[algorithm], bytes.fromhex(key.removeprefix("0x")))
    except ValueError as error:
        raise InputError(f"the key {key!r:.40} is not written in hex") from error


def _shown(vehicle: Vehicle) -> dict[str, str]:
    return {
        "device": str(vehicle.device),
        "signs": "no" if vehicle.key is None else vehicle.key.algorithm.name,
        "model": "electric-vehicle",
    }
