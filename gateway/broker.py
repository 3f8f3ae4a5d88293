"""The way to an MQTT 5 broker, for gateways and devices alike: where it is, and one connection to it.

Invariants: TLS, unless the broker is on this machine or plain TCP was asked for; packets and what is in flight are
bounded on both ways; one thread does all input and output of a connection, and a lost one is never taken up again.
"""

from __future__ import annotations

import os
import select
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from threading import Lock
from typing import Any, Final, Self
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from capsule.errors import InputError
from capsule.ids import Address, DeviceId
from gateway.errors import PeerAnswerError, PeerUnreachableError, SettingsError

__all__ = [
    "NO_SUBSCRIBERS",
    "Broker",
    "Link",
    "device_of",
    "frames_topic",
    "options_of",
    "receipts_topic",
]

NO_SUBSCRIBERS: Final = 0x10
"""Reason code of a PUBACK: the broker has nobody to pass the message to, and forgets it."""

_ROOT: Final = "dataspace/v1"
_PLAIN_PORT: Final = 1883
_TLS_PORT: Final = 8883
_KEEP_ALIVE_SECONDS: Final = 30
_MOST_IN_FLIGHT: Final = 20  # paho's own default, and Mosquitto's limit
_MOST_QUEUED: Final = 1024
_MISC_SECONDS: Final = 1.0
_MAX_HEAD_BYTES: Final = 512
_BROKEN: Final = (OSError, ValueError, MQTTException)
"""What paho lets out when the other side breaks the connection or the protocol."""


def frames_topic(device: DeviceId | str, gateway: Address | None) -> str:
    """Where a device's frames go: to one gateway, or to whichever takes them. `device` may be the wildcard "+"."""
    name = device if isinstance(device, str) else device.hex()
    return f"{_ROOT}/frames/{name}" if gateway is None else f"{_ROOT}/{gateway.hex()}/frames/{name}"


def receipts_topic(device: DeviceId) -> str:
    """Where gateways answer to a device."""
    return f"{_ROOT}/receipts/{device.hex()}"


def device_of(topic: str) -> DeviceId:
    """The device that a topic of frames names. Raises InputError."""
    name = topic.rpartition("/")[2]
    if name != name.lower():
        raise InputError(f"topic {topic:.200} does not end with a device id in lower case")
    return DeviceId.parse(f"0x{name}")


def options_of(packet: int) -> Properties:
    """Properties of a packet of this type (MQTT 5, section 2.2.2), yet to be set."""
    return Properties(packet)  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is, and how to talk to it. Raises SettingsError for plain TCP over a network without `plain`."""

    host: str
    port: int
    tls: bool = True
    plain: bool = False
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    user: str = ""
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not self.tls and not self.plain and not _is_local(self.host):
            raise SettingsError(
                f"frames and passwords to {self.host} would travel in the clear; use mqtts://, or ask for plain MQTT"
            )
        if not self.tls and (self.ca_file or self.certificate or self.key):
            raise SettingsError(f"certificates need TLS; use mqtts://{self.host}")
        if (self.certificate is None) != (self.key is None):
            raise SettingsError("a client certificate and its key go together; give both")

    @classmethod
    def parse(
        cls,
        url: str,
        *,
        plain: bool = False,
        ca_file: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        user: str = "",
        password_file: Path | None = None,
    ) -> Self:
        """From mqtts://host[:port], mqtt://host[:port], or host:port, which is TLS unless the host is this machine or
        plain MQTT was asked for.

        Raises SettingsError.
        """
        try:
            parts = urlsplit(url if "://" in url else f"//{url}")
            host, port = parts.hostname or "", parts.port
        except ValueError as exc:
            raise SettingsError(f"{url!r:.200} is no address of a broker: {exc}") from exc
        if parts.scheme not in ("", "mqtt", "mqtts") or not host or parts.path.strip("/") or "@" in parts.netloc:
            raise SettingsError(f"{url!r:.200} is no address of a broker; write mqtts://host:port")
        secured = bool(ca_file or certificate)
        tls = parts.scheme == "mqtts" or (not parts.scheme and (secured or not (plain or _is_local(host))))
        password = "" if password_file is None else _first_line(password_file)
        if password and not user:
            raise SettingsError("a password needs the user that it belongs to")
        return cls(
            host, port or (_TLS_PORT if tls else _PLAIN_PORT), tls, plain, ca_file, certificate, key, user, password
        )

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"

    def tls_context(self) -> ssl.SSLContext | None:
        """None for plain TCP. Raises SettingsError where a certificate can't be read."""
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.certificate is not None and self.key is not None:
                context.load_cert_chain(self.certificate, self.key, password="")
        except (OSError, ValueError) as exc:
            raise SettingsError(f"the certificates for {self} can't be read: {exc}") from exc
        return context


class Link:
    """One connection, which `drive` serves. `publish`, `ack` and `wake` may be called by any thread, the rest by one.

    `on_message` and `on_published` (packet id and reason code) are called within `drive`.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        *,
        max_packet_bytes: int,
        receive_maximum: int,
        on_message: Callable[[MQTTMessage], None],
        on_published: Callable[[int, int], None],
        session_seconds: int = 0,
    ) -> None:
        """With `session_seconds` the broker keeps what it owes this client id so long while it is away.

        Raises SettingsError.
        """
        self._broker = broker
        self._session_seconds = session_seconds
        self._limits = (max_packet_bytes, receive_maximum)
        self._most_bytes = 1 << 28
        self._greetings: list[ReasonCode] = []
        self._granted: list[ReasonCode] = []
        self._left: list[ReasonCode] = []
        self._takes_too_few = False
        self._closing = Lock()
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        context = broker.tls_context()
        if context is not None:
            self._client.tls_set_context(context)
        if broker.user:
            self._client.username_pw_set(broker.user, broker.password or None)
        self._client.max_queued_messages_set(_MOST_QUEUED)
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda _client, _data, _mid, reasons, _properties: self._granted.extend(reasons)
        self._client.on_unsubscribe = lambda _client, _data, _mid, reasons, _properties: self._left.extend(reasons)
        self._client.on_message = lambda _client, _data, message: on_message(message)
        self._client.on_publish = lambda _client, _data, mid, reason, _properties: on_published(mid, reason.value)
        # With it set, paho leaves all writing to `drive`; else the thread that publishes would write too.
        self._client.on_socket_register_write = lambda *_: None
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.is_alive = False

    def open(self, topics: Sequence[str], seconds: float) -> None:
        """Connects and subscribes with QoS 1.

        Raises PeerUnreachableError when a retry helps, PeerAnswerError where the broker refuses.
        """
        options = options_of(PacketTypes.CONNECT)
        options.SessionExpiryInterval = self._session_seconds
        options.MaximumPacketSize, options.ReceiveMaximum = self._limits
        until = time.monotonic() + seconds
        self._client.connect_timeout = seconds
        try:
            self._client.connect(
                self._broker.host,
                self._broker.port,
                keepalive=_KEEP_ALIVE_SECONDS,
                clean_start=not self._session_seconds,
                properties=options,
            )
        except _BROKEN as exc:
            raise PeerUnreachableError(f"no connection to the broker at {self._broker}: {exc}") from exc
        self.is_alive = True
        for reason in self._awaited(self._greetings, until):
            self._refused_if(reason.is_failure, "the connection", reason)
            # paho can't lower the number on an open connection
            self._refused_if(self._takes_too_few, f"{_MOST_IN_FLIGHT} messages at a time; raise its limit", reason)
        only_new = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        self._client.subscribe([(topic, only_new) for topic in topics])
        for topic, reason in zip(topics, self._awaited(self._granted, until), strict=False):
            self._refused_if(reason.value != 1, f"a subscription to {topic}", reason)

    def leave(self, topics: Sequence[str], seconds: float) -> None:
        """Ends subscriptions, so that a session that stays is given no more. Raises PeerUnreachableError."""
        until = time.monotonic() + seconds
        self._client.unsubscribe(list(topics))
        self._awaited(self._left, until)

    def _awaited(self, reasons: list[ReasonCode], until: float) -> list[ReasonCode]:
        while not reasons:
            if (left := until - time.monotonic()) <= 0:
                self.close()
                raise PeerUnreachableError(f"the broker at {self._broker} does not answer")
            try:
                self.drive(left)
            except PeerUnreachableError:
                if not reasons:  # a broker that refuses says so and hangs up
                    raise
        return reasons

    def _refused_if(self, refused: bool, what: str, reason: ReasonCode) -> None:
        if refused:
            self.close()
            raise PeerAnswerError(f"the broker at {self._broker} refuses {what}: {reason}")

    def drive(self, seconds: float) -> None:
        """Reads, writes and keeps the connection alive, for `seconds` at most or until something happened.

        Raises PeerUnreachableError once the connection is lost.
        """
        code = MQTTErrorCode.MQTT_ERR_NO_CONN
        try:
            if (socket := self._client.socket()) is not None and self.is_alive:
                code = self._serve(socket, seconds)
        except _BROKEN as exc:
            self.close()
            raise PeerUnreachableError(f"the connection to the broker at {self._broker} broke: {exc}") from exc
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.close()
            raise PeerUnreachableError(f"the connection to the broker at {self._broker} is lost")

    def _serve(self, socket: Any, seconds: float) -> MQTTErrorCode:
        poll = select.poll()  # paho's own loop uses select(), which ends at 1,024 open files
        poll.register(self._wake, select.POLLIN)
        poll.register(socket, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        decrypted = self._broker.tls and socket.pending() > 0
        ready = dict(poll.poll(0 if decrypted else 1000 * min(seconds, _MISC_SECONDS)))
        code = MQTTErrorCode.MQTT_ERR_SUCCESS
        if ready.pop(self._wake, 0):
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake)
        if decrypted or any(event & ~select.POLLOUT for event in ready.values()):
            code = self._client.loop_read()
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS and self._client.want_write():
            code = self._client.loop_write()
        return code if code != MQTTErrorCode.MQTT_ERR_SUCCESS else self._client.loop_misc()

    def publish(self, topic: str, payload: bytes, properties: Properties) -> int:
        """Queues a message of QoS 1 and returns its packet id.

        Raises PeerUnreachableError where too many wait or the connection is lost, PeerAnswerError where the broker
        takes no message so long.
        """
        if len(payload) + _MAX_HEAD_BYTES > self._most_bytes:
            raise PeerAnswerError(
                f"the broker at {self._broker} takes at most {self._most_bytes} bytes in a message, and {len(payload)} "
                "are to be sent; raise its limit"
            )
        sent = self._client.publish(topic, payload, qos=1, properties=properties)
        if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS or not self.is_alive:
            raise PeerUnreachableError(f"the broker at {self._broker} does not take messages now")
        self.wake()
        return sent.mid

    def ack(self, message: MQTTMessage) -> None:
        """Acknowledges a message; on a lost connection nothing happens, and the broker sends it again."""
        if self.is_alive:
            self._client.ack(message.mid, message.qos)
            self.wake()

    def wake(self) -> None:
        """Ends a `drive` that waits."""
        with self._closing:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Ends the connection; a session that the broker keeps goes on."""
        if self.is_alive:
            self.is_alive = False
            with suppress(*_BROKEN):
                self._client.disconnect()
                self._client.loop_write()
        self._client.on_message = self._client.on_publish = None
        with self._closing:
            if self._wake >= 0:
                os.close(self._wake)
                self._wake = -1

    def _connected(
        self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._greetings.append(reason)
        self._takes_too_few = getattr(properties, "ReceiveMaximum", _MOST_IN_FLIGHT) < _MOST_IN_FLIGHT
        self._most_bytes = getattr(properties, "MaximumPacketSize", self._most_bytes)


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError, UnicodeDecodeError) as exc:
        raise SettingsError(f"no password can be read from {path}; give a file whose first line it is") from exc
