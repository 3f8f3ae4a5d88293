"""The connection to a broker: encrypted unless it stays here, and what a broker's own rules let through."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from capsule.frame import Mark
from capsule.ids import DeviceId
from gateway.broker import Broker
from gateway.delivery import Delivery
from gateway.door import MqttDoor
from gateway.errors import PeerAnswerError, PeerUnreachableError, SettingsError
from gateway.gateway import Gateway
from gateway.mqtt import Subscriber
from tests.capsule.frames import Device, some_rows
from tests.gateway.space import Space
from tests.sim.mosquitto import Mosquitto, mosquitto

IMPATIENT = Delivery(patience_seconds=0.3, give_up_seconds=1)
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.mark.parametrize(
    ("url", "plain", "written"),
    [
        ("127.0.0.1:1884", False, "mqtt://127.0.0.1:1884"),
        ("localhost", False, "mqtt://localhost:1883"),
        ("[::1]:1884", False, "mqtt://[::1]:1884"),
        ("broker.example", False, "mqtts://broker.example:8883"),
        ("broker.example:1883", True, "mqtt://broker.example:1883"),
        ("mqtt://broker.example", True, "mqtt://broker.example:1883"),
        ("mqtts://127.0.0.1", False, "mqtts://127.0.0.1:8883"),
    ],
)
def test_a_broker_s_address_is_read(url: str, plain: bool, written: str) -> None:
    assert str(Broker.parse(url, plain=plain)) == written


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("mqtt://broker.example", "travel in the clear"),
        ("mqtt://user:secret@127.0.0.1", "no address of a broker"),
        ("https://broker.example", "no address of a broker"),
        ("mqtts://broker.example:99999", "no address of a broker"),
        ("", "no address of a broker"),
    ],
)
def test_an_address_that_is_none_or_unsafe_is_refused(url: str, match: str) -> None:
    with pytest.raises(SettingsError, match=match):
        Broker.parse(url)


def test_secrets_come_from_files_and_stay_out_of_sight(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hidden\n")
    broker = Broker.parse("broker.example", user="device", password_file=tmp_path / "password")
    assert (broker.password, "hidden" in repr(broker)) == ("hidden", False)
    for wrong in (
        {"password_file": tmp_path / "password"},
        {"user": "device", "password_file": tmp_path / "none"},
        {"certificate": tmp_path / "password"},
    ):
        with pytest.raises(SettingsError):
            Broker.parse("broker.example", **wrong)
    with pytest.raises(SettingsError, match="can't be read"):
        MqttDoor(Broker.parse("broker.example", ca_file=tmp_path / "password"), DeviceId(bytes(32))).answers(0)


def write_certificates(folder: Path) -> None:
    """An authority (ca.pem) and a broker's certificate for 127.0.0.1 under it."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("authority", "broker")]
    now = datetime.now(UTC)
    for at, file in enumerate(("ca", "broker")):
        built = (
            x509.CertificateBuilder()
            .subject_name(names[at])
            .issuer_name(names[0])
            .public_key(keys[at].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=at == 0, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .sign(keys[0], SHA256())
        )
        (folder / f"{file}.pem").write_bytes(built.public_bytes(Encoding.PEM))
    secret = keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "broker.key").write_bytes(secret)


@pytest.fixture
def guarded(space: Space, gateway: Gateway, device: Device, tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker with TLS, passwords, and the rules that docs/operations.md gives."""
    folder = tmp_path / "guarded"
    folder.mkdir()
    write_certificates(folder)
    text = OPERATIONS.read_text(encoding="utf-8")
    rules = text.split("```acl\n")[1].split("```")[0]
    (folder / "acl").write_text(rules.replace("GATEWAY", gateway.account.hex()))
    (folder / "password").write_text("secret\n")
    (folder / "passwords").touch()
    lines = [
        f"cafile {folder}/ca.pem",
        f"certfile {folder}/broker.pem",
        f"keyfile {folder}/broker.key",
        f"password_file {folder}/passwords",
        f"acl_file {folder}/acl",
    ]
    with mosquitto(folder, lines) as running:
        for user in ("gateway-" + gateway.account.hex(), device.id.hex(), space.enrol().id.hex()):
            subprocess.run(["mosquitto_passwd", "-b", folder / "passwords", user, "secret"], check=True)
        running.kill()
        running.start()
        yield running


# paho leaves a socket whose handshake failed to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_devices_reach_a_gateway_through_a_guarded_broker_and_nothing_else(
    space: Space, gateway: Gateway, device: Device, guarded: Mosquitto, tmp_path: Path, later: None
) -> None:
    other = Device()
    other.id = DeviceId.parse("0x" + (guarded.folder / "passwords").read_text().splitlines()[2].partition(":")[0])

    def broker(user: str) -> Broker:
        password = guarded.folder / "password"
        return Broker.parse(
            f"mqtts://{guarded.url}", ca_file=guarded.folder / "ca.pem", user=user, password_file=password
        )

    with Subscriber(gateway, broker("gateway-" + gateway.account.hex()), max_frame_bytes=1 << 20) as subscriber:
        assert subscriber.wait_connected(10)
        with space.open_agent(tmp_path / "q.db", device, gateway) as agent:
            agent.submit(some_rows(0, 300), mark=Mark.IMPORTED)
            with MqttDoor(broker(device.id.hex()), device.id) as door:
                assert agent.stream(door) == 5
            agent.submit(some_rows(300, 60), mark=Mark.IMPORTED)
            with MqttDoor(broker("nobody"), device.id) as door, pytest.raises(PeerAnswerError, match="Not authorized"):
                agent.stream(door, IMPATIENT)
            with MqttDoor(Broker.parse(guarded.url), device.id) as door, pytest.raises(PeerUnreachableError):
                agent.stream(door, IMPATIENT)  # no TLS
            unknown = Broker.parse(f"mqtts://{guarded.url}", user=device.id.hex())
            with MqttDoor(unknown, device.id) as door, pytest.raises(PeerUnreachableError, match="CERTIFICATE_VERIFY"):
                agent.stream(door, IMPATIENT)
            with MqttDoor(broker(other.id.hex()), device.id) as door, pytest.raises(PeerUnreachableError):
                agent.stream(door, IMPATIENT)  # another device's name at the broker
            assert (agent.queued, gateway.status().frames) == (1, 5)
