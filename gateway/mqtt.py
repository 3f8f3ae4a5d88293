"""Frames from an MQTT 5 broker: the gateway's side.

A gateway subscribes to its own topic, and with others to a shared one; it answers each frame on the device's topic of
receipts, with the message's correlation data.

Invariants: a frame is acknowledged to the broker only once it is durable and its receipt is on its way, or once it is
refused for good; acknowledgements go out in the order of arrival. While frames can't be kept, nothing is acknowledged
and no more than `receive_maximum` frames are held. Nothing is published but answers, each to the device whose topic the
frame came on.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol, Self

import orjson
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes

from capsule.errors import CapsuleError, FormatError, InputError
from capsule.frame import read_frame
from capsule.ids import Address, DeviceId
from gateway.broker import Broker, Link, device_of, frames_topic, options_of, receipts_topic
from gateway.errors import (
    BehindError,
    CallerError,
    DeviceError,
    PeerAnswerError,
    PeerUnreachableError,
    SettingsError,
    StoppingError,
    StoreError,
)
from gateway.ingest import Outcome, Taken
from gateway.problems import FAILED, PROBLEM_TYPE, describe, problem_of
from gateway.tally import Tally

__all__ = ["GATEWAYS", "FrameTaker", "Subscriber"]

GATEWAYS: Final = "gateways"
"""The share name under which all gateways of a broker share the frames that are for none in particular."""

_LOG: Final = logging.getLogger("dataspace.gateway")
_SESSION_SECONDS: Final = 86_400
_IDLE_SECONDS: Final = 0.5
_CONNECT_SECONDS: Final = 10.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 30.0
_MAX_HEAD_BYTES: Final = 4_096
_MAX_CORRELATION_BYTES: Final = 64
_JSON: Final = "application/json"
_ANSWER_SECONDS: Final = 3_600
_LOG_SECONDS: Final = 60.0
_MAX_LOGGED: Final = 256
_MALFORMED: Final = "malformed"


class FrameTaker(Protocol):
    """What this module needs of a gateway."""

    @property
    def account(self) -> Address: ...

    @property
    def tally(self) -> Tally: ...

    def submit_many(self, frames: Sequence[bytes]) -> Future[tuple[Outcome, ...]]: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Arrived:
    """A message as it came: on which connection, and which device its topic names."""

    link: Link
    message: MQTTMessage
    device: DeviceId

    @property
    def correlation(self) -> bytes:
        return bytes(getattr(self.message.properties, "CorrelationData", b""))

    def checked(self) -> bytes:
        """The frame. Raises CapsuleError where it is none, another device's than the topic's, or is to be answered
        somewhere else than to that device.
        """
        asked = getattr(self.message.properties, "ResponseTopic", receipts_topic(self.device))
        if asked != receipts_topic(self.device) or len(self.correlation) > _MAX_CORRELATION_BYTES:
            raise InputError("a frame is answered on its device's topic of receipts, and bears its hash and no more")
        frame = read_frame(bytes(self.message.payload))
        if frame.device != self.device:
            raise FormatError(f"the frame is of device {frame.device}, the topic names {self.device}")
        return frame.data


class Subscriber:
    """Takes frames from a broker as long as it is open; it connects, and connects again, by itself.

    Two threads: one for the network, one that hands frames to the gateway and answers.
    """

    def __init__(
        self,
        gateway: FrameTaker,
        broker: Broker,
        *,
        max_frame_bytes: int,
        receive_maximum: int = 64,
        shared: bool = True,
    ) -> None:
        """`shared`: also take frames that are for no gateway in particular. Raises SettingsError."""
        if not 1 <= receive_maximum <= 65_535:
            raise SettingsError(
                f"a gateway holds 1 to 65,535 messages that it did not acknowledge, not {receive_maximum}"
            )
        broker.tls_context()  # a certificate that can't be read should stop the start, not the first connection
        self._gateway = gateway
        self._broker = broker
        self._max_packet_bytes = max_frame_bytes + _MAX_HEAD_BYTES
        self._receive_maximum = receive_maximum
        self._topics = [frames_topic("+", gateway.account)]
        if shared:
            self._topics.append(f"$share/{GATEWAYS}/{frames_topic('+', None)}")
        self._arrived: queue.Queue[_Arrived] = queue.Queue(receive_maximum)
        self._stop = threading.Event()
        self._connected = threading.Event()
        self._link: Link | None = None
        self._logged: dict[DeviceId, float] = {}
        self._threads = (
            threading.Thread(target=self._serve, name="mqtt"),
            threading.Thread(target=self._work, name="mqtt-intake"),
        )

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; the broker keeps this gateway's session for a day. What is not durable comes again."""
        self._stop.set()
        if (link := self._link) is not None:
            link.wake()
        for thread in self._threads:
            thread.join()

    def wait_connected(self, seconds: float) -> bool:
        """Whether it is subscribed, within so many seconds."""
        return self._connected.wait(seconds)

    def trouble(self) -> str:
        """Why no frames come from the broker; empty while it is subscribed."""
        return "" if self._connected.is_set() else f"there is no connection to the broker at {self._broker}"

    # --------------------------------------------------------------------------------------------------- network

    def _serve(self) -> None:
        pause = _FIRST_PAUSE
        try:
            while not self._stop.is_set():
                try:
                    self._listen()
                except (PeerUnreachableError, PeerAnswerError) as exc:
                    _LOG.warning("%s; it is tried again", exc)
                except Exception:  # a fault of ours: else no frame would come, and the gateway say that it is ready
                    _LOG.exception("the connection to the broker at %s broke down; it is tried again", self._broker)
                pause = _FIRST_PAUSE if self._connected.is_set() else min(2 * pause, _LONGEST_PAUSE)
                self._connected.clear()
                self._stop.wait(pause * (0.5 + random.random()))
        finally:
            self._stop.set()

    def _listen(self) -> None:
        """One connection, until it is lost or this subscriber is closed."""
        self._link = link = Link(
            self._broker,
            f"dsg{self._gateway.account.hex()[:20]}",  # a broker need not take more than 23 letters
            max_packet_bytes=self._max_packet_bytes,
            receive_maximum=self._receive_maximum,
            on_message=self._take,
            on_published=lambda _mid, _reason: None,
            session_seconds=_SESSION_SECONDS,
        )
        try:
            link.open(self._topics, _CONNECT_SECONDS)
            _LOG.info("takes frames from the broker at %s", self._broker)
            self._connected.set()
            while not self._stop.is_set():
                link.drive(_IDLE_SECONDS)
            if shared := self._topics[1:]:
                link.leave(shared, _CONNECT_SECONDS)  # others get them from now on
        finally:
            link.close()

    def _take(self, message: MQTTMessage) -> None:
        """Called by the network's thread. What is no QoS 1 message can't be held back, so it is not taken."""
        link = self._link
        if link is None:
            return
        if message.qos != 1:
            self._gateway.tally.refuse(_MALFORMED)
            return
        try:
            arrived = _Arrived(link, message, device_of(message.topic))
            self._arrived.put_nowait(arrived)
        except (InputError, UnicodeDecodeError):
            self._gateway.tally.refuse(_MALFORMED)
            link.ack(message)
        except queue.Full:
            _LOG.warning("the broker at %s sends more than was agreed; the connection is ended", self._broker)
            link.close()

    # ---------------------------------------------------------------------------------------------------- intake

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                if group := self._next_group():
                    self._settle(group)
        finally:
            self._stop.set()  # a gateway that takes nothing must not hold its share of the frames

    def _next_group(self) -> list[_Arrived]:
        group: list[_Arrived] = []
        with suppress(queue.Empty):
            group.append(self._arrived.get(timeout=_IDLE_SECONDS))
            while True:
                group.append(self._arrived.get_nowait())
        return group

    def _settle(self, group: Sequence[_Arrived]) -> None:
        """Answers and acknowledges each, trying again as long as it takes; those of a lost connection are given up, as
        they come again.
        """
        unacknowledged, answered = deque(group), set[_Arrived]()
        pause = _FIRST_PAUSE
        while not self._stop.is_set():
            while unacknowledged and (unacknowledged[0] in answered or not unacknowledged[0].link.is_alive):
                one = unacknowledged.popleft()
                one.link.ack(one.message)
            if not unacknowledged:
                return
            waiting = [one for one in unacknowledged if one not in answered]
            why = self._answer([one for one in waiting if one.link.is_alive], answered)
            if why is not None:
                _LOG.warning("frames wait at the broker: %s", why)
                self._stop.wait(pause * (0.5 + random.random()))
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _answer(self, waiting: Sequence[_Arrived], answered: set[_Arrived]) -> Exception | None:
        """Hands frames to the gateway and answers what is durable or refused. Returns why others have to wait."""
        frames: dict[_Arrived, bytes] = {}
        for one in waiting:
            try:
                frames[one] = one.checked()
            except CapsuleError as exc:
                self._gateway.tally.refuse(_MALFORMED)  # what the gateway itself refuses, it counts
                self._refuse(one, exc)
                answered.add(one)
        try:
            outcomes = self._gateway.submit_many(tuple(frames.values())).result()
        except (BehindError, StoppingError, StoreError) as exc:
            return exc
        why: Exception | None = None
        for one, outcome in zip(frames, outcomes, strict=True):
            if isinstance(outcome, Taken):
                _send(one, outcome.receipt.to_bytes(), _JSON)
            elif isinstance(outcome, CapsuleError | DeviceError | CallerError):
                self._refuse(one, outcome)
            else:
                why = why or outcome
                continue
            answered.add(one)
        return why

    def _refuse(self, arrived: _Arrived, error: Exception) -> None:
        """Answers with a problem document (RFC 9457)."""
        problem = problem_of(error) or FAILED
        if self._may_log(arrived.device):
            _LOG.info("refused a frame on the topic of device %s: %s", arrived.device, error)
        _send(arrived, orjson.dumps(describe(problem, str(error))), PROBLEM_TYPE, ("problem", problem.kind))

    def _may_log(self, device: DeviceId) -> bool:
        """Once a minute for a device, and for so many devices: who sends faults for ever must not fill the log."""
        now = time.monotonic()
        self._logged = {one: at for one, at in self._logged.items() if now - at < _LOG_SECONDS}
        if device in self._logged or len(self._logged) >= _MAX_LOGGED:
            return False
        self._logged[device] = now
        return True


def _send(arrived: _Arrived, content: bytes, content_type: str, *told: tuple[str, str]) -> None:
    """To the device whose topic the frame came on. An answer that gets lost is asked for again, with the frame."""
    options = options_of(PacketTypes.PUBLISH)
    options.ContentType = content_type
    options.CorrelationData = arrived.correlation[:_MAX_CORRELATION_BYTES]
    options.MessageExpiryInterval = _ANSWER_SECONDS
    if told:
        options.UserProperty = list(told)
    with suppress(PeerUnreachableError, PeerAnswerError):
        arrived.link.publish(receipts_topic(arrived.device), content, options)
