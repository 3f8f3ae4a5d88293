"""The other organisations' nodes, over HTTP. What comes back is hostile until a digest, signature or the chain
confirms it.

Invariants: only http and https endpoints without userinfo are asked, no redirect is followed, no answer is read past
its limit in bytes, and no document past its limit in seconds. Whatever a peer does becomes a PeerError.
"""

import time
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol, TypeVar
from urllib.parse import urlsplit

import httpx

from capsule import canonical
from capsule.canonical import Json
from capsule.errors import FormatError
from node.errors import PeerAnswerError, PeerUnreachableError

__all__ = ["HttpPeers", "Peers"]

PROBLEM_BYTES = 65_536
DETAIL_CHARACTERS = 300
DOCUMENT_SECONDS = 120.0
T = TypeVar("T")


class Peers(Protocol):
    """What a node asks of other nodes. Each raises PeerUnreachableError or PeerAnswerError."""

    def post(self, endpoint: str, path: str, document: Json) -> Json:
        """Sends a document, returns the answer."""
        ...

    def fetch(self, endpoint: str, path: str, limit: int) -> bytes:
        """Gets at most `limit` bytes."""
        ...

    def download(self, endpoint: str, path: str, sink: BinaryIO, limit: int) -> int:
        """Streams into `sink`, returns the bytes written."""
        ...


class HttpPeers:
    """`Peers` over httpx. The composition root builds `client`: time limits, the demo's in-process transports.

    `seconds` bounds one document as a whole; a capsule may take as long as its bytes keep coming.
    """

    def __init__(
        self,
        client: httpx.Client,
        max_document_bytes: int,
        *,
        seconds: float = DOCUMENT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._max_document_bytes = max_document_bytes
        self._seconds = seconds
        self._monotonic = monotonic

    def post(self, endpoint: str, path: str, document: Json) -> Json:
        def answer(response: httpx.Response) -> Json:
            try:
                return canonical.decode(self._whole(endpoint, response, self._max_document_bytes))
            except FormatError as error:
                raise PeerAnswerError(endpoint, "something that is not JSON") from error

        return self._ask(endpoint, "POST", path, answer, canonical.encode(document))

    def fetch(self, endpoint: str, path: str, limit: int) -> bytes:
        return self._ask(endpoint, "GET", path, lambda response: self._whole(endpoint, response, limit))

    def download(self, endpoint: str, path: str, sink: BinaryIO, limit: int) -> int:
        return self._ask(
            endpoint, "GET", path, lambda response: sum(map(sink.write, _chunks(endpoint, response, limit)))
        )

    def _ask(
        self, endpoint: str, method: str, path: str, read: Callable[[httpx.Response], T], body: bytes | None = None
    ) -> T:
        url = _checked(endpoint) + path
        # compressed answers could be small on the wire and endless here
        headers = {"accept-encoding": "identity"}
        if body is not None:
            headers["content-type"] = "application/json"
        try:
            with self._client.stream(method, url, content=body, headers=headers, follow_redirects=False) as response:
                if not response.is_success:
                    raise PeerAnswerError(endpoint, self._problem(endpoint, response))
                return read(response)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:  # the last: a host name that is none
            raise PeerUnreachableError(endpoint) from error

    def _whole(self, endpoint: str, response: httpx.Response, limit: int) -> bytes:
        content = bytearray()
        end = self._monotonic() + self._seconds
        for chunk in _chunks(endpoint, response, limit):
            content += chunk
            if self._monotonic() > end:
                raise PeerUnreachableError(endpoint)
        return bytes(content)

    def _problem(self, endpoint: str, response: httpx.Response) -> str:
        """The `detail` of an RFC 9457 problem on one line, or the bare status."""
        status = f"status {response.status_code}"
        try:
            content = canonical.decode(self._whole(endpoint, response, PROBLEM_BYTES))
        except (FormatError, PeerAnswerError):
            return status
        detail = content.get("detail") if isinstance(content, dict) else None
        if not isinstance(detail, str):
            return status
        return "".join(one if one.isprintable() else " " for one in detail[:DETAIL_CHARACTERS]) or status


def _checked(endpoint: str) -> str:
    """The endpoint without a closing slash; PeerUnreachableError when it is none that may be asked."""
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise PeerUnreachableError(endpoint) from error
    if not usable or any(mark in endpoint for mark in "@?#\\") or not endpoint.isprintable():
        raise PeerUnreachableError(endpoint)
    return endpoint.rstrip("/")


def _chunks(endpoint: str, response: httpx.Response, limit: int) -> Iterator[bytes]:
    """The bytes as they come, never more than `limit`."""
    taken = 0
    for chunk in response.iter_raw():
        taken += len(chunk)
        if taken > limit:
            raise PeerAnswerError(endpoint, f"more than the {limit} bytes that were expected")
        yield chunk
