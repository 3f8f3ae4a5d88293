"""Other organisations' nodes as the worst that they can be."""

import gzip
import io
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx
import pytest

from node.errors import PeerAnswerError, PeerUnreachableError
from node.peers import HttpPeers

LIMIT = 1000


def peers(handler: Callable[[httpx.Request], httpx.Response], **options: Any) -> HttpPeers:
    return HttpPeers(httpx.Client(transport=httpx.MockTransport(handler)), LIMIT, **options)


class Stream(httpx.SyncByteStream):
    """What comes over a socket, part by part."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)


def answer(status: int, content: bytes | Iterator[bytes], **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers, stream=Stream([content] if isinstance(content, bytes) else content))


def answering(status: int = 200, *, content: bytes | Iterator[bytes]) -> HttpPeers:
    return peers(lambda _: answer(status, content))


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "peer.example",
        "file:///etc/passwd",
        "ftp://peer.example",
        "gopher://peer.example",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "http://user@peer.example",
        "http://user:secret@peer.example",
        "http://:secret@peer.example",
        "http://@peer.example",
        "http://peer.example?",
        "http://peer.example?a=b",
        "http://peer.example#",
        "http://peer.example#a",
        "http://peer.example:99999",
        "http://peer.example:0",
        "http://peer.example:x",
        "http://[::1",
        "http://peer.example\r\nx: y",
        "http://peer.example\\@other.example",
        "http://peer\x00.example",
    ],
)
def test_endpoints_that_may_not_be_asked_are_not(endpoint: str) -> None:
    def asked(_: httpx.Request) -> httpx.Response:
        raise AssertionError("it was asked")

    for ask in (
        lambda one: one.post(endpoint, "/v1/x", {}),
        lambda one: one.fetch(endpoint, "/v1/x", LIMIT),
        lambda one: one.download(endpoint, "/v1/x", io.BytesIO(), LIMIT),
    ):
        with pytest.raises(PeerUnreachableError):
            ask(peers(asked))


@pytest.mark.parametrize("endpoint", ["http://xn--", "http://" + "a" * 300 + ".example", "http://peer..example"])
def test_names_that_no_client_takes_are_unreachable(endpoint: str) -> None:
    with pytest.raises(PeerUnreachableError):
        HttpPeers(httpx.Client(timeout=1), LIMIT).fetch(endpoint, "/v1/x", LIMIT)


def test_a_path_of_the_endpoint_is_kept() -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return answer(200, b"{}")

    assert peers(handler).post("https://peer.example:8443/node/", "/v1/x", {"a": 1}) == {}
    assert asked == ["https://peer.example:8443/node/v1/x"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return answer(status, b"{}", location="http://169.254.169.254/")

    client = httpx.Client(transport=httpx.MockTransport(handler), follow_redirects=True)
    with pytest.raises(PeerAnswerError, match=f"status {status}"):
        HttpPeers(client, LIMIT).fetch("http://peer.example", "/v1/x", LIMIT)
    assert asked == ["peer.example"]


def endless() -> Iterator[bytes]:
    while True:
        yield bytes(100)


def test_answers_that_are_too_large_are_cut_off() -> None:
    for content in (bytes(LIMIT + 1), None):
        one = answering(content=content if content else endless())
        with pytest.raises(PeerAnswerError, match="more than the 1000 bytes"):
            one.fetch("http://peer.example", "/v1/x", LIMIT)
        one = answering(content=content if content else endless())
        with pytest.raises(PeerAnswerError, match="more than the 1000 bytes"):
            one.post("http://peer.example", "/v1/x", {})
        sink = io.BytesIO()
        one = answering(content=content if content else endless())
        with pytest.raises(PeerAnswerError, match="more than the 1000 bytes"):
            one.download("http://peer.example", "/v1/x", sink, LIMIT)
        assert len(sink.getvalue()) <= LIMIT
    assert answering(content=bytes(LIMIT)).fetch("http://peer.example", "/v1/x", LIMIT) == bytes(LIMIT)


def test_a_download_counts_what_it_wrote() -> None:
    sink = io.BytesIO()
    assert answering(content=bytes(LIMIT)).download("http://peer.example", "/v1/x", sink, LIMIT) == LIMIT
    assert sink.getvalue() == bytes(LIMIT)


def test_a_compressed_answer_is_not_unpacked() -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["accept-encoding"])
        return answer(200, gzip.compress(bytes(200_000)), **{"content-encoding": "gzip"})

    with pytest.raises(PeerAnswerError):
        peers(handler).post("http://peer.example", "/v1/x", {})
    assert asked == ["identity"]


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff", b"NaN", b'{"a":1,"a":2}', b"[" * 900])
def test_answers_that_are_not_json_are_told(content: bytes) -> None:
    with pytest.raises(PeerAnswerError, match="not JSON"):
        answering(content=content).post("http://peer.example", "/v1/x", {})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"detail": "the share is refused"}', "the share is refused"),
        (b'{"detail": "two\\nlines\\u001b[31m"}', "two lines"),
        (b'{"detail": ["a", "list"]}', "status 403"),
        (b'{"detail": ""}', "status 403"),
        (b"[1]", "status 403"),
        (b"<html>", "status 403"),
        (b"[" * 10_000, "status 403"),
        (bytes(200_000), "status 403"),
    ],
)
def test_a_refusal_is_told_in_one_line(content: bytes, told: str) -> None:
    with pytest.raises(PeerAnswerError, match=told) as caught:
        answering(403, content=content).post("http://peer.example", "/v1/x", {})
    assert str(caught.value).isprintable()
    long = b'{"detail": "' + b"x" * 5000 + b'"}'
    with pytest.raises(PeerAnswerError) as caught:
        answering(500, content=long).post("http://peer.example", "/v1/x", {})
    assert len(str(caught.value)) < 400


def test_an_endless_refusal_is_cut_off() -> None:
    with pytest.raises(PeerAnswerError, match="status 500"):
        answering(500, content=endless()).fetch("http://peer.example", "/v1/x", LIMIT)


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("cut short"),
        httpx.TooManyRedirects("round"),
        httpx.DecodingError("gzip"),
        httpx.InvalidURL("bad"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_peer_that_fails_is_unreachable(error: Exception) -> None:
    def failing(_: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(PeerUnreachableError, match=r"no answer from http://peer\.example"):
        peers(failing).fetch("http://peer.example", "/v1/x", LIMIT)


def test_a_peer_that_drips_is_given_up() -> None:
    ticks = iter(range(1000))

    def drip() -> Iterator[bytes]:
        for _ in range(LIMIT):
            yield b"x"

    one = answering(content=drip())
    one = HttpPeers(one._client, LIMIT, seconds=10, monotonic=lambda: float(next(ticks)))
    with pytest.raises(PeerUnreachableError):
        one.fetch("http://peer.example", "/v1/x", LIMIT)


def test_a_peer_that_never_answers_is_given_up_over_a_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, httpx.Client(timeout=0.2) as client:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(PeerUnreachableError):
            HttpPeers(client, LIMIT).fetch(endpoint, "/v1/x", LIMIT)


def test_an_answer_that_is_cut_short_is_no_answer_over_a_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, httpx.Client(timeout=5) as client:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")

        thread = threading.Thread(target=serve)
        thread.start()
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        sink = io.BytesIO()
        with pytest.raises(PeerUnreachableError):
            HttpPeers(client, LIMIT).download(endpoint, "/v1/x", sink, LIMIT)
        thread.join()
