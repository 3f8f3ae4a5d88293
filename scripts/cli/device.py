"""dataspace device: a device's own key and queue, and its owner's enrolment of it."""

import json
import secrets
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import httpx
import typer

from audit.device_statement import DeviceStatement
from capsule.enrolment import Enrolment
from capsule.frame import Mark
from capsule.ids import Address, DeviceId
from capsule.signature import ED25519, PublicKey
from contracts.errors import RevertedError
from contracts.ledger import Ledger
from contracts.roles import Role
from gateway.agent import Agent, Submitted
from gateway.delivery import Delivery
from gateway.door import HttpDoor, MqttDoor
from gateway.errors import NotGatewayError
from node.errors import InputRefusedError
from node.home import Home, write_whole
from node.keystore import create_keystore
from node.settings import Settings, render_settings
from scripts.cli.console import HomeOption, JsonOption, PassphraseFileOption, node_client, passphrase, show, told
from scripts.cli.device_keys import DEVICE_FILE, add_key_commands, device_at, serving_signer
from scripts.cli.device_owner import MODELS, add_owner_commands
from scripts.cli.mqtt import (
    MqttCaOption,
    MqttCertificateOption,
    MqttKeyOption,
    MqttOption,
    MqttPasswordFileOption,
    MqttPlainOption,
    MqttUserOption,
    broker_at,
)
from scripts.cli.printing import note
from scripts.composition import open_chain, open_home, open_ledger

__all__ = ["app"]

_FRAMES_PER_REQUEST = 256

app = typer.Typer(no_args_is_help=True, help="Devices: key, enrolment, signed readings.")
add_owner_commands(app)
add_key_commands(app)

DEFAULT_HOME = Path(".dataspace")
PAPER_FILE = "paper.json"
TIMEOUT_SECONDS = 30.0


@app.command()
def init(
    home: HomeOption = DEFAULT_HOME,
    chain_url: Annotated[list[str] | None, typer.Option(help="JSON-RPC endpoint; repeat for several.")] = None,
    suite: Annotated[int, typer.Option(min=1, max=2, help="Of its signing key: 1 is Ed25519, 2 is SM2.")] = ED25519,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a device's home: its signing key under a passphrase, and a random id."""
    with told():
        settings = Settings(chain_urls=tuple(chain_url or ()), trust_single_endpoint=True)
    with told(), Home(home) as opened:
        keystore = create_keystore(opened.keystore_file, passphrase(passphrase_file), secrets.token_bytes, suite)
        device = DeviceId(secrets.token_bytes(32))
        write_whole(opened.settings_file, render_settings(settings).encode())
        write_whole(home / DEVICE_FILE, json.dumps({"device": str(device)}).encode())
        signer = keystore.signer
        show({"device": str(device), "suite": signer.suite, "public_key": signer.public_key.hex()}, as_json)


@app.command()
def enroll(
    device: Annotated[str, typer.Argument(help="The device's id.")],
    public_key: Annotated[str, typer.Option(help="Its public key in hex.")],
    model: Annotated[str, typer.Option(help=f"Its thing model: {', '.join(MODELS)}.")] = "storage-station",
    suite: Annotated[int, typer.Option(min=1, max=2, help="Of its key: 1 is Ed25519, 2 is SM2.")] = ED25519,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Owner: put a device's key on chain."""
    with node_client(home, passphrase_file) as node:
        if model not in MODELS:
            raise InputRefusedError(f"there is no thing model '{model}'; choose of {', '.join(MODELS)}")
        body = {"public_key": public_key, "suite": suite, "model_hash": str(MODELS[model].hash)}
        show({"device": device, **node.ask("POST", f"/v1/devices/{device}/enroll", body)}, as_json)


@app.command()
def run(
    gateway_account: Annotated[
        list[str], typer.Option(help="Account of the gateway, whose key is read from the chain; with MQTT repeatable.")
    ],
    csv: Annotated[Path | None, typer.Option(help="Readings: first column time, others numeric.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Readings: one column of timestamps, others numeric.")] = None,
    gateway: Annotated[str, typer.Option(help="URL of the gateway, for HTTP.")] = "",
    paper: Annotated[
        Path | None,
        typer.Option(help="Paper of a fleet's device, or the file with all of them; else paper.json in its home."),
    ] = None,
    live: Annotated[bool, typer.Option(help="Mark readings as signed live, not imported from a file.")] = False,
    delimiter: Annotated[str, typer.Option(help="Between the cells of a CSV file.")] = ",",
    encoding: Annotated[str, typer.Option(help="Of a CSV file, such as latin-1.")] = "utf-8-sig",
    origin: Annotated[int, typer.Option(help="Seconds added to times of a CSV file that are plain numbers.")] = 0,
    rows_per_frame: Annotated[int, typer.Option(min=1, help="Rows in a frame at most.")] = 60,
    give_up_seconds: Annotated[
        float,
        typer.Option(
            min=0,
            help="With MQTT: end when no receipt came for so long. "
            "Over HTTP: wait so long for a gateway that is behind. 0 for never.",
        ),
    ] = 300,
    mqtt: MqttOption = "",
    mqtt_plain: MqttPlainOption = False,
    mqtt_ca: MqttCaOption = None,
    mqtt_certificate: MqttCertificateOption = None,
    mqtt_key: MqttKeyOption = None,
    mqtt_user: MqttUserOption = "",
    mqtt_password_file: MqttPasswordFileOption = None,
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign the readings of a file and send them until all have receipts; what is queued survives a crash.

    Without a file it sends what is queued. A device of a fleet presents its paper once, when it is not enrolled yet.
    """
    with told(), open_home(home, passphrase(passphrase_file)) as opened, open_chain(opened.settings, home) as chain:
        broker = broker_at(mqtt, mqtt_plain, mqtt_ca, mqtt_certificate, mqtt_key, mqtt_user, mqtt_password_file)
        if (broker is None) == (not gateway) or (csv is not None and parquet is not None):
            raise InputRefusedError("give one way in, --gateway or --mqtt, and at most one file, --csv or --parquet")
        if gateway:
            _require_http(gateway)
        if broker is not None and paper is not None:
            raise InputRefusedError(
                "a paper is presented over HTTP; give --gateway, or let the owner run 'device prove'"
            )
        device = device_at(home)
        presented = None if broker is not None else _paper(paper, home / PAPER_FILE, device)
        accounts = [Address.parse(account) for account in gateway_account]
        if broker is None and len(accounts) > 1:
            raise InputRefusedError("over HTTP a device talks to one gateway; give one --gateway-account")
        ledger = open_ledger(opened.settings, chain, opened.keystore.account)
        final = ledger.final_block().number
        gateways = {account: _gateway_key(ledger, account, final) for account in accounts}
        mark = Mark.SIGNED if live else Mark.IMPORTED
        with Agent(
            home / "device.db",
            device,
            serving_signer(opened.keystore, ledger, device),
            gateways=gateways,
            domain=ledger.domain,
            rows_per_frame=rows_per_frame,
        ) as agent:
            submitted = Submitted(0, 0, new=False)
            if csv is not None:
                submitted = agent.submit_csv(csv, mark=mark, origin=origin, delimiter=delimiter, encoding=encoding)
            elif parquet is not None:
                submitted = agent.submit_parquet(parquet, mark=mark)
            if (file := csv or parquet) is not None and not submitted.rows:
                note(f"{file} has no rows; nothing of it is queued")
            elif submitted.rows and not submitted.new:
                note(f"all {submitted.rows} rows of {file} were queued before; nothing was added")
            patience = give_up_seconds or float("inf")
            try:
                if broker is None:
                    with httpx.Client(timeout=TIMEOUT_SECONDS) as client:
                        http = HttpDoor(gateway, client, presented, patience_seconds=patience)
                        frames = agent.stream(http, Delivery(window=_FRAMES_PER_REQUEST, give_up_seconds=0))
                else:
                    with MqttDoor(broker, agent.device) as door:
                        frames = agent.stream(door, Delivery(give_up_seconds=patience))
            finally:
                statement = DeviceStatement(agent.device, agent.newest_receipts())
                write_whole(home / "statement.json", json.dumps(statement.to_json()).encode())
            show(
                {"device": str(agent.device), "frames": frames, "rows": submitted.rows, "readings": submitted.readings},
                as_json,
            )


@app.command()
def state(
    statement: Annotated[Path, typer.Argument(help="statement.json of the device's home.")],
    home: HomeOption = DEFAULT_HOME,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Owner: keep a device's last receipt for auditors, so that a gateway can't drop what it signed for."""
    with node_client(home, passphrase_file) as node:
        try:
            content = json.loads(statement.read_text(encoding="utf-8"))
            device = DeviceStatement.from_json(content).device
        except (OSError, ValueError) as error:
            raise InputRefusedError(f"{statement} is no device statement; take it from the device's home") from error
        show(node.ask("POST", f"/v1/devices/{device}/statement", content), as_json)


def _require_http(gateway: str) -> None:
    try:
        parts = urlsplit(gateway)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise InputRefusedError(f"{gateway!r:.80} is no URL of a gateway; give http://HOST:PORT or https://HOST:PORT")


def _gateway_key(ledger: Ledger, account: Address, final: int) -> PublicKey:
    """The key that receipts of this account verify under at block `final`. Raises NotGatewayError."""
    if not ledger.participants.is_active(account, Role.GATEWAY, at=final):
        raise NotGatewayError(account, "is no gateway on chain: check --gateway-account")
    try:
        keys = ledger.participants.keys_at(account, final, at=final)
    except RevertedError as error:
        if error.name == "ParticipantsKeysMissing":
            why = "has no keys on chain: check --gateway-account, or let the gateway run 'dataspace org announce'"
            raise NotGatewayError(account, why) from error
        raise
    return PublicKey(keys.suite, keys.signing_key)


def _paper(chosen: Path | None, usual: Path, device: DeviceId) -> Enrolment | None:
    """The paper of this device in a file of papers, one on a line. Without a file chosen, it need not be there."""
    path = chosen or usual
    if chosen is None and not usual.is_file():
        return None
    try:
        with path.open(encoding="utf-8") as text:
            papers = (json.loads(line) for line in text if line.strip())
            mine = next((one for one in papers if isinstance(one, dict) and one.get("device") == str(device)), None)
    except (OSError, ValueError) as error:
        raise InputRefusedError(f"{path} can't be read as a file of device papers: {error}") from error
    if mine is None:
        raise InputRefusedError(f"{path} has no paper of device {device}; take it from the fleet's owner")
    return Enrolment.from_json(mine)
