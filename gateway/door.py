"""The port through which a device hands frames to a gateway, and its HTTP side. A `Gateway` is one itself."""

from __future__ import annotations

import json
from typing import Final, Protocol

import httpx

from capsule.errors import FormatError
from capsule.frame import MEDIA_TYPE
from capsule.frame_receipt import SignedFrameReceipt
from gateway.errors import PeerAnswerError, PeerUnreachableError

__all__ = ["FrameDoor", "HttpDoor"]

_MAX_ANSWER_BYTES: Final = 65_536
_TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class FrameDoor(Protocol):
    """Takes a frame and answers with a receipt, which the device is yet to verify.

    Raises PeerUnreachableError when a retry helps; any other error means that the frame is refused.
    """

    def ingest(self, frame: bytes) -> SignedFrameReceipt: ...


class HttpDoor:
    """POST {base_url}/v1/frames. The client's own limits on time apply."""

    def __init__(self, base_url: str, client: httpx.Client) -> None:
        self._url = base_url.rstrip("/") + "/v1/frames"
        self._client = client

    def ingest(self, frame: bytes) -> SignedFrameReceipt:
        try:
            answer = self._client.post(self._url, content=frame, headers={"content-type": MEDIA_TYPE})
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise PeerUnreachableError(f"no answer from the gateway at {self._url}: {exc}") from exc
        if answer.status_code in _TRY_AGAIN:
            raise PeerUnreachableError(f"the gateway can't take frames now: {_reason(answer)}")
        if answer.status_code not in (200, 201):
            raise PeerAnswerError(f"the gateway refused the frame: {_reason(answer)}")
        if len(answer.content) > _MAX_ANSWER_BYTES:
            raise PeerAnswerError("the gateway's receipt is too long")
        try:
            return SignedFrameReceipt.from_bytes(answer.content)
        except FormatError as exc:
            raise PeerAnswerError(f"the gateway's answer is no receipt: {exc}") from exc


def _reason(answer: httpx.Response) -> str:
    """What a problem document (RFC 9457) says, or the bare status."""
    try:
        problem = json.loads(answer.content[:_MAX_ANSWER_BYTES])
    except ValueError:
        problem = None
    detail = problem.get("detail") if isinstance(problem, dict) else None
    return f"{str(detail)[:500]} (status {answer.status_code})" if detail else f"status {answer.status_code}"
