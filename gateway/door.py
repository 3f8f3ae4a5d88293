"""The ports through which a device hands frames to gateways, with their HTTP and MQTT sides.

A `FrameDoor` answers a frame before the next one is sent; a `Gateway` is one itself. A `FrameStream` takes many before
the first answer comes. Neither answer is worth anything before the device verified it.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self, TypeVar

import httpx
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes

from capsule import canonical
from capsule.canonical import Json
from capsule.enrolment import Enrolment
from capsule.errors import FormatError
from capsule.frame import MEDIA_TYPE
from capsule.frame_receipt import SignedFrameReceipt
from capsule.ids import Address, DeviceId, Digest
from gateway.broker import NO_SUBSCRIBERS, Broker, Link, frames_topic, options_of, receipts_topic
from gateway.errors import PeerAnswerError, PeerUnenrolledError, PeerUnreachableError
from gateway.frame_sequence import SEQUENCE_TYPE
from gateway.problems import PROBLEM_TYPE

__all__ = ["Answer", "FrameDoor", "FrameStream", "HttpDoor", "MqttDoor"]

_MAX_ANSWER_BYTES: Final = 65_536
_MAX_REQUEST_BYTES: Final = 4 << 20
_TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 507})
_NO_SUCH_PATH: Final = 404
_UNENROLLED: Final = "urn:dataspace:problem:unenrolled"
_JSON: Final = "application/json"
_PROVING_SECONDS: Final = 120.0
"""for a gateway to put a key on chain and see it final"""
_MAX_PAUSE_DIGITS: Final = 5
_FAILED: Final = 0x80
_HASH_BYTES: Final = 32
_RECEIPTS_IN_FLIGHT: Final = 1_024

_T = TypeVar("_T")


class FrameDoor(Protocol):
    """Takes a frame and answers with a receipt, which the device is yet to verify.

    Raises PeerUnreachableError when a retry helps; any other error means that the frame is refused.
    """

    def ingest(self, frame: bytes) -> SignedFrameReceipt: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for the frame with hash `frame`: a receipt, or the reason of a refusal, by no authority yet."""

    frame: Digest
    receipt: SignedFrameReceipt | None
    refusal: str = ""


class FrameStream(Protocol):
    """Takes frames in order and gives answers later, in any order, or never."""

    def send(self, frame: bytes, name: Digest, gateway: Address | None, seconds: float) -> None:
        """Sends a frame with hash `name` to one gateway, or to whichever takes it; forgotten on the way if that one
        does not fetch it within `seconds`.

        Raises PeerUnreachableError when a retry of everything without an answer helps, PeerAnswerError where none does.
        """

    def answers(self, seconds: float) -> Sequence[Answer]:
        """What came, waiting for the first at most so long. Raises as `send`."""


class HttpDoor:
    """POST {base_url}/v1/frames, one frame at a time (`ingest`) or several in one request (`send`, `answers`). The
    client's own limits on time apply. Not for several threads at once.

    With `paper`, a device of a fleet presents it once, where the gateway says that the device is not enrolled. A
    gateway that says when to come again (Retry-After) is waited for, for each frame at most `patience_seconds`.
    """

    def __init__(
        self,
        base_url: str,
        client: httpx.Client,
        paper: Enrolment | None = None,
        *,
        patience_seconds: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = base_url.rstrip("/")
        self._client = client
        self._paper = paper
        self._patience_seconds = patience_seconds
        self._sleep = sleep
        self._waiting: deque[tuple[Digest, bytes]] = deque()

    def ingest(self, frame: bytes) -> SignedFrameReceipt:
        return self._enrolled(lambda: self._send(frame))

    def send(self, frame: bytes, name: Digest, gateway: Address | None, seconds: float) -> None:
        """As `FrameStream.send`: the frame leaves with the next `answers`, to this one gateway."""
        self._waiting.append((name, frame))

    def answers(self, seconds: float) -> Sequence[Answer]:
        """As `FrameStream.answers`: what the gateway says of the oldest that wait, as many as one request may hold."""
        some: list[tuple[Digest, bytes]] = []
        size = 0
        while self._waiting and (not some or size + len(self._waiting[0][1]) <= _MAX_REQUEST_BYTES):
            some.append(self._waiting.popleft())
            size += len(some[-1][1])
        try:
            return self._enrolled(lambda: self._send_many(some)) if some else ()
        except BaseException:
            self._waiting.clear()  # all that has no answer is sent again
            raise

    def _enrolled(self, send: Callable[[], _T]) -> _T:
        """Sends, if need be once more after presenting the paper."""
        try:
            return send()
        except PeerUnenrolledError:
            if self._paper is None:
                raise
        self._present(self._paper)
        self._paper = None
        return send()

    def _present(self, paper: Enrolment) -> None:
        """Returns once the device's key stands on the final chain."""
        content = json.dumps(paper.to_json()).encode()
        answer = self._post("/v1/enrolments", content, _JSON, httpx.Timeout(_PROVING_SECONDS))
        if answer.status_code != 200:
            raise PeerAnswerError(f"the gateway refused this device's paper: {_reason(answer)}")

    def _send(self, frame: bytes) -> SignedFrameReceipt:
        content = self._frames(frame, MEDIA_TYPE, _MAX_ANSWER_BYTES)
        try:
            return SignedFrameReceipt.from_bytes(content)
        except FormatError as exc:
            raise PeerAnswerError(f"the gateway's answer is no receipt: {exc}") from exc

    def _send_many(self, frames: Sequence[tuple[Digest, bytes]]) -> Sequence[Answer]:
        content = self._frames(b"".join(data for _, data in frames), SEQUENCE_TYPE, len(frames) * _MAX_ANSWER_BYTES)
        try:
            told = canonical.decode(content)
        except FormatError as exc:
            raise PeerAnswerError(f"the gateway's answer is no list of receipts: {exc}") from exc
        if not isinstance(told, list) or len(told) != len(frames):
            raise PeerAnswerError(f"the gateway does not answer each of {len(frames)} frames")
        return [_answer(name, one) for (name, _), one in zip(frames, told, strict=True)]

    def _frames(self, body: bytes, kind: str, most_bytes: int) -> bytes:
        """What the gateway answers to one frame or several, at most so many bytes."""
        answer = self._post("/v1/frames", body, kind)
        if answer.status_code == _NO_SUCH_PATH:  # a gateway has the path, so whatever answered is none
            raise PeerAnswerError(f"no gateway answers at {self._url} (status 404); check the gateway's URL")
        if answer.status_code not in (200, 201):
            is_unenrolled = _problem(answer.content[:_MAX_ANSWER_BYTES]).get("type") == _UNENROLLED
            error = PeerUnenrolledError if is_unenrolled else PeerAnswerError
            raise error(f"the gateway refused the frame: {_reason(answer)}")
        if len(answer.content) > most_bytes:
            raise PeerAnswerError("the gateway's receipt is too long")
        return answer.content

    def _post(self, path: str, content: bytes, kind: str, timeout: httpx.Timeout | None = None) -> httpx.Response:
        url, limit = self._url + path, timeout or self._client.timeout
        left = self._patience_seconds
        while True:
            try:
                answer = self._client.post(url, content=content, headers={"content-type": kind}, timeout=limit)
            except (httpx.HTTPError, httpx.InvalidURL) as exc:
                raise PeerUnreachableError(f"no answer from the gateway at {url}: {exc}") from exc
            if answer.status_code not in _TRY_AGAIN:
                return answer
            pause = _pause(answer)
            if pause is None or pause > left:
                raise PeerUnreachableError(f"the gateway takes nothing now: {_reason(answer)}")
            self._sleep(pause)
            left -= pause


class MqttDoor:
    """Publishes a device's frames to an MQTT 5 broker with QoS 1, and hears the gateways' answers.

    It connects when it is first used, and anew at the next use once the connection is lost; nothing is kept over that.
    What the broker acknowledges means nothing here. Not for several threads at once.
    """

    def __init__(self, broker: Broker, device: DeviceId, *, connect_seconds: float = 10) -> None:
        self._broker = broker
        self._device = device
        self._connect_seconds = connect_seconds
        self._link: Link | None = None
        self._came: list[Answer] = []
        self._lost = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, frame: bytes, name: Digest, gateway: Address | None, seconds: float) -> None:
        """As `FrameStream.send`."""
        options = options_of(PacketTypes.PUBLISH)
        options.ResponseTopic = receipts_topic(self._device)
        options.CorrelationData = bytes(name)
        options.ContentType = MEDIA_TYPE
        options.MessageExpiryInterval = max(1, round(seconds))
        link = self._open()
        try:
            link.publish(frames_topic(self._device, gateway), frame, options)
        except PeerUnreachableError:
            self.close()
            raise

    def answers(self, seconds: float) -> Sequence[Answer]:
        """As `FrameStream.answers`. Raises PeerUnreachableError also where no gateway listens."""
        link, until = self._open(), time.monotonic() + seconds
        try:
            while not self._came and not self._lost and (left := until - time.monotonic()) > 0:
                link.drive(left)
        except PeerUnreachableError:
            self.close()
            if not self._came:
                raise
        if not self._came and self._lost:
            reason, self._lost = self._lost, 0
            self.close()  # else answers to what was passed on before would mix with what is sent again
            why = "no gateway listens" if reason == NO_SUBSCRIBERS else f"it does not take the frame (0x{reason:02x})"
            raise PeerUnreachableError(f"the broker at {self._broker} says that {why}")
        came, self._came = self._came, []
        return came

    def close(self) -> None:
        """Ends the connection; the next use opens another."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _open(self) -> Link:
        if self._link is None:
            self._lost = 0
            link = Link(
                self._broker,
                f"ds{self._device.hex()[:21]}",  # a broker need not take more than 23 letters
                max_packet_bytes=2 * _MAX_ANSWER_BYTES,
                receive_maximum=_RECEIPTS_IN_FLIGHT,
                on_message=self._take,
                on_published=self._published,
            )
            link.open([receipts_topic(self._device)], self._connect_seconds)
            self._link = link
        return self._link

    def _published(self, _: int, reason: int) -> None:
        if reason == NO_SUBSCRIBERS or reason >= _FAILED:
            self._lost = reason

    def _take(self, message: MQTTMessage) -> None:
        """Keeps an answer; what names no frame is nobody's answer."""
        if self._link is not None:
            self._link.ack(message)
        name = getattr(message.properties, "CorrelationData", b"")
        if len(name) != _HASH_BYTES or len(message.payload) > _MAX_ANSWER_BYTES:
            return
        if getattr(message.properties, "ContentType", "") == PROBLEM_TYPE:
            self._came.append(Answer(Digest(name), None, _detail(bytes(message.payload)) or "no reason given"))
            return
        try:
            self._came.append(Answer(Digest(name), SignedFrameReceipt.from_bytes(bytes(message.payload))))
        except FormatError as exc:
            self._came.append(Answer(Digest(name), None, f"its answer is no receipt: {exc}"))


def _answer(name: Digest, told: Json) -> Answer:
    """One member of a gateway's answer to several frames. Raises PeerUnenrolledError."""
    if isinstance(told, dict) and "detail" in told:
        reason = str(told["detail"])[:500]
        if told.get("type") == _UNENROLLED:
            raise PeerUnenrolledError(f"the gateway refused the frame: {reason}")
        if told.get("status") in _TRY_AGAIN:
            raise PeerUnreachableError(f"the gateway takes nothing now: {reason}")
        return Answer(name, None, reason or "no reason given")
    try:
        return Answer(name, SignedFrameReceipt.from_json(told))
    except FormatError as exc:
        return Answer(name, None, f"its answer is no receipt: {exc}")


def _pause(answer: httpx.Response) -> int | None:
    """The seconds after which a gateway wants to be asked again, at least one; None where it names none."""
    text = answer.headers.get("retry-after", "")
    return max(int(text), 1) if text.isascii() and text.isdecimal() and len(text) <= _MAX_PAUSE_DIGITS else None


def _reason(answer: httpx.Response) -> str:
    """What a problem document (RFC 9457) says, or the bare status."""
    detail = _detail(answer.content[:_MAX_ANSWER_BYTES])
    return f"{detail} (status {answer.status_code})" if detail else f"status {answer.status_code}"


def _detail(content: bytes) -> str:
    detail = _problem(content).get("detail")
    return str(detail)[:500] if detail else ""


def _problem(content: bytes) -> dict[str, object]:
    """A problem document's members; empty where it is none."""
    try:
        problem = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) else {}
