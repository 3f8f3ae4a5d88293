"""The other organisations' nodes, over HTTP. What comes back is hostile until a digest, signature or the chain
confirms it.
"""

from collections.abc import Callable
from typing import BinaryIO, Protocol, TypeVar
from urllib.parse import urlsplit

import httpx

from capsule import canonical
from capsule.canonical import Json
from capsule.errors import FormatError
from node.errors import PeerAnswerError, PeerUnreachableError

__all__ = ["HttpPeers", "Peers"]

CHUNK_BYTES = 1024 * 1024
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
    """`Peers` over httpx. The composition root builds `client`: time limits, the demo's in-process transports."""

    def __init__(self, client: httpx.Client, max_document_bytes: int) -> None:
        self._client = client
        self._max_document_bytes = max_document_bytes

    def post(self, endpoint: str, path: str, document: Json) -> Json:
        def answer(response: httpx.Response) -> Json:
            return canonical.decode(_bounded(endpoint, response, self._max_document_bytes))

        body = canonical.encode(document)
        return self._ask(endpoint, "POST", path, answer, body)

    def fetch(self, endpoint: str, path: str, limit: int) -> bytes:
        return self._ask(endpoint, "GET", path, lambda response: _bounded(endpoint, response, limit))

    def download(self, endpoint: str, path: str, sink: BinaryIO, limit: int) -> int:
        def copy(response: httpx.Response) -> int:
            written = 0
            for chunk in response.iter_bytes(CHUNK_BYTES):
                written += len(chunk)
                if written > limit:
                    raise PeerAnswerError(endpoint, f"more than the {limit} bytes that were expected")
                sink.write(chunk)
            return written

        return self._ask(endpoint, "GET", path, copy)

    def _ask(
        self, endpoint: str, method: str, path: str, read: Callable[[httpx.Response], T], body: bytes | None = None
    ) -> T:
        url = _checked(endpoint) + path
        headers = {"content-type": "application/json"} if body is not None else {}
        try:
            with self._client.stream(method, url, content=body, headers=headers) as response:
                if response.status_code >= 400:
                    raise PeerAnswerError(endpoint, _problem(response))
                return read(response)
        except FormatError as error:
            raise PeerAnswerError(endpoint, "something that is not JSON") from error
        except httpx.HTTPError as error:
            raise PeerUnreachableError(endpoint) from error


def _checked(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise PeerUnreachableError(endpoint)
    return endpoint.rstrip("/")


def _bounded(endpoint: str, response: httpx.Response, limit: int) -> bytes:
    content = bytearray()
    for chunk in response.iter_bytes(CHUNK_BYTES):
        content += chunk
        if len(content) > limit:
            raise PeerAnswerError(endpoint, f"more than the {limit} bytes that were expected")
    return bytes(content)


def _problem(response: httpx.Response) -> str:
    """The `detail` of an RFC 9457 problem, or the bare status."""
    try:
        content = canonical.decode(response.read()[:65_536])
    except FormatError:
        return f"status {response.status_code}"
    detail = content.get("detail") if isinstance(content, dict) else None
    return str(detail or f"status {response.status_code}")
