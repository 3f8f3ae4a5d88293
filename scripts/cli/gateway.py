"""dataspace gateway: the device door as a service, batches on demand, exports."""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from capsule.ids import DeviceId
from capsule.signature import PublicKey
from capsule.source import DeviceKey
from contracts.errors import LedgerError
from gateway.gateway import Gateway
from gateway.gbt32960.server import VehicleLimits, VehicleServer, serving
from gateway.gbt32960.vehicles import FILE_NAME, Vehicles
from gateway.gbt32960.witness import VehicleWitness
from gateway.logs import log_as_json
from gateway.server import listen, port_refused
from gateway.server import serve as run_until_told
from gateway.service import build_app
from gateway.settings import GatewaySettings
from gateway.table_export import write_table
from node.home import create_whole
from node.settings import Settings
from scripts.cli.console import (
    HomeOption,
    JsonOption,
    NodeClient,
    PassphraseFileOption,
    home_client,
    passphrase,
    show,
    told,
)
from scripts.cli.indicators import add_indicator_commands
from scripts.cli.inputs import within_a_folder
from scripts.cli.mqtt import (
    MqttCaOption,
    MqttCertificateOption,
    MqttKeyOption,
    MqttOption,
    MqttPasswordFileOption,
    MqttPlainOption,
    MqttUserOption,
    broker_at,
    subscribed,
)
from scripts.cli.printing import note
from scripts.cli.vehicle import app as vehicle_app
from scripts.composition import Api, now, open_chain, open_home, open_ledger

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The device door.")
app.add_typer(vehicle_app, name="vehicle")

DEFAULT_HOME = Path(".dataspace")


class ExportForm(StrEnum):
    """How readings leave."""

    FRAMES = "frames"
    PARQUET = "parquet"


@app.command()
def serve(
    gbt32960_port: Annotated[
        int, typer.Option("--gbt32960-port", min=0, max=65_535, help="Port for vehicles of GB/T 32960; 0 for none.")
    ] = 0,
    mqtt: MqttOption = "",
    mqtt_plain: MqttPlainOption = False,
    mqtt_ca: MqttCaOption = None,
    mqtt_certificate: MqttCertificateOption = None,
    mqtt_key: MqttKeyOption = None,
    mqtt_user: MqttUserOption = "",
    mqtt_password_file: MqttPasswordFileOption = None,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Take frames, answer with receipts, anchor batches; until interrupted."""
    with told():
        broker = broker_at(mqtt, mqtt_plain, mqtt_ca, mqtt_certificate, mqtt_key, mqtt_user, mqtt_password_file)
    with (
        told(),
        _gateway(home, passphrase_file) as (gateway, settings),
        closing(_checked(gateway, settings)) as listener,
        subscribed(gateway, broker),
        _vehicles(gateway, settings, home, gbt32960_port),
    ):
        api = Api.fresh(f"http://{settings.host}:{settings.port}")
        log_as_json()
        api.write(home / "api.json")
        try:
            note(f"gateway {gateway.account} at {api.url}")
            app = build_app(gateway, api.token)
            run_until_told(app, settings.host, settings.port, gateway.settings, sockets=[listener])
        finally:
            (home / "api.json").unlink(missing_ok=True)


@app.command()
def anchor(
    home: HomeOption = DEFAULT_HOME, passphrase_file: PassphraseFileOption = None, as_json: JsonOption = False
) -> None:
    """Batch what waits and anchor it now."""
    with _client(home, passphrase_file) as client:
        show(client.ask("POST", "/v1/batches"), as_json)


@app.command()
def export(
    device: Annotated[str, typer.Argument(help="The device's id.")],
    out: Annotated[Path, typer.Option(help="File to write; seal it with 'dataspace asset offer'.")],
    start: Annotated[str, typer.Option("--from", help="Time, inclusive; ISO 8601 or unix seconds.")] = "",
    end: Annotated[
        str, typer.Option("--to", help="Time, exclusive; of a device at work, one up to which all is anchored.")
    ] = "",
    form: Annotated[
        ExportForm, typer.Option("--format", help="The frames with their proofs, or a table with those beside it.")
    ] = ExportForm.FRAMES,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a device's anchored frames of a period with their proofs, or as a table with these as FILE.frames."""
    with _client(home, passphrase_file) as client:
        within_a_folder(out)
        query = {name: value for name, value in (("device", device), ("from", start), ("to", end)) if value}
        container = out if form is ExportForm.FRAMES else out.with_name(out.name + ".frames")
        with create_whole(container) as sink:
            counts = client.download("/v1/export", query, sink)
        if form is ExportForm.FRAMES:
            show({"file": str(out), **counts}, as_json)
            return
        keys = _keys(client.ask("GET", f"/v1/devices/{device}"))
        with create_whole(out) as sink:
            write_table(container, sink, {DeviceId.parse(device): keys})
        show({"file": str(out), "proof": str(container), **counts}, as_json)


def _keys(answer: dict[str, Any]) -> tuple[DeviceKey, ...]:
    """All keys that a device had, as the gateway tells them."""
    return tuple(
        DeviceKey(PublicKey(one["suite"], bytes.fromhex(one["key"][2:])), one["anchored_before"])
        for one in answer["keys"]
    )


def _checked(gateway: Gateway, settings: Settings) -> socket.socket:
    """The socket of a gateway that the chain does not refuse. Raises RoleError, AnchorConflictError, CallerError."""
    with suppress(LedgerError):  # the service asks again until it can, and is not ready before
        gateway.check_chain()
    return listen(settings.host, settings.port)


@contextmanager
def _vehicles(gateway: Gateway, settings: Settings, home: Path, port: int) -> Iterator[None]:
    """Vehicles of GB/T 32960, where a port is given, as long as the block runs."""
    if not port:
        yield
        return
    with ExitStack() as stack:
        vehicles = stack.enter_context(Vehicles(home / FILE_NAME))
        witness = VehicleWitness(gateway, vehicles, clock=now, entropy=secrets.token_bytes)
        server = VehicleServer(witness, VehicleLimits.of(gateway.settings))
        try:
            stack.enter_context(serving(server, settings.host, port))
        except OSError as exc:
            raise port_refused(settings.host, port, "--gbt32960-port", exc) from exc
        key = gateway.public_key
        note(
            f"vehicles of GB/T 32960 at {settings.host}:{port}; enrol them with suite {key.suite}, key {key.key.hex()}"
        )
        yield


@contextmanager
def _client(home: Path, passphrase_file: Path | None) -> Iterator[NodeClient]:
    @contextmanager
    def in_process(token: str) -> Iterator[object]:
        with _gateway(home, passphrase_file) as (gateway, _):
            yield build_app(gateway, token, anchoring=False)

    with home_client(home, in_process) as client:
        yield client


@contextmanager
def _gateway(home: Path, passphrase_file: Path | None) -> Iterator[tuple[Gateway, Settings]]:
    """The gateway of a home, in this process."""
    with open_home(home, passphrase(passphrase_file)) as opened, open_chain(opened.settings, home) as chain:
        ledger = open_ledger(opened.settings, chain, opened.keystore.account)
        chosen = GatewaySettings.from_mapping(dict(opened.settings.gateway), os.environ)
        with Gateway.open(home, ledger, opened.keystore.signer, clock=now, settings=chosen) as gateway:
            yield gateway, opened.settings


add_indicator_commands(app, _client)
