"""Options by which a gateway and a device name their MQTT broker."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gateway.broker import Broker
from gateway.errors import SettingsError
from gateway.gateway import Gateway
from gateway.mqtt import Subscriber
from scripts.cli.printing import note

__all__ = [
    "MqttCaOption",
    "MqttCertificateOption",
    "MqttKeyOption",
    "MqttOption",
    "MqttPasswordFileOption",
    "MqttPlainOption",
    "MqttUserOption",
    "broker_at",
    "subscribed",
]

MqttOption = Annotated[
    str, typer.Option("--mqtt", help="Broker of MQTT 5, as mqtts://host:port; host:port is TLS unless on this machine.")
]
MqttPlainOption = Annotated[bool, typer.Option("--mqtt-plain", help="Allow plain TCP to a broker on another machine.")]
MqttCaOption = Annotated[
    Path | None, typer.Option("--mqtt-ca", help="Certificates that the broker's is issued by; else the system's.")
]
MqttCertificateOption = Annotated[Path | None, typer.Option("--mqtt-certificate", help="Own certificate, PEM.")]
MqttKeyOption = Annotated[Path | None, typer.Option("--mqtt-key", help="Key of the own certificate, PEM.")]
MqttUserOption = Annotated[str, typer.Option("--mqtt-user", help="User name at the broker.")]
MqttPasswordFileOption = Annotated[
    Path | None, typer.Option("--mqtt-password-file", help="File whose first line is the password at the broker.")
]


def broker_at(
    url: str,
    plain: bool,
    ca_file: Path | None,
    certificate: Path | None,
    key: Path | None,
    user: str,
    password_file: Path | None,
) -> Broker | None:
    """None without a URL, which all other options need. Raises SettingsError."""
    if not url:
        if plain or ca_file or certificate or key or user or password_file:
            raise SettingsError("the --mqtt-... options say how to reach a broker: name it with --mqtt")
        return None
    return Broker.parse(
        url,
        plain=plain,
        ca_file=ca_file,
        certificate=certificate,
        key=key,
        user=user,
        password_file=password_file,
    )


@contextmanager
def subscribed(gateway: Gateway, broker: Broker | None) -> Iterator[None]:
    """Takes frames from a broker, where there is one."""
    if broker is None:
        yield
        return
    with (
        Subscriber(gateway, broker, max_frame_bytes=gateway.settings.max_frame_bytes) as subscriber,
        gateway.watch.beside("broker", subscriber.trouble),
    ):
        note(f"frames from {broker}")
        yield
