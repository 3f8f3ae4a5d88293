"""Where documents come from, and what a hostile endpoint can't do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from audit.documents import (
    DirectoryDocuments,
    FetchLimits,
    HttpDocuments,
    LayeredDocuments,
    MemoryDocuments,
    Reference,
)
from audit.errors import DocumentError
from capsule.ids import Address, Digest

KEY = Digest(b"\x05" * 32)
OWNER = Address(b"\x01" * 20)
OTHER = Address(b"\x02" * 20)
PATH = f"/v1/documents/policy/{KEY}"


class Server(ThreadingHTTPServer):
    """Serves fixed answers by path: status, headers, body; remembers the Host header."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.hosts: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.hosts.append(self.headers["Host"])
        status, headers, body = self.server.answers.get(self.path, (404, {}, b"no"))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def fetch(endpoint: str, *, limits: FetchLimits | None = None, kind: str = "policy") -> bytes | None:
    with httpx.Client() as client:
        source = HttpDocuments({OWNER: endpoint}, limits or FetchLimits(allow_private=True), client)
        return source.fetch(Reference(kind, KEY, (OWNER,)))


def test_document_is_fetched_from_its_owner(server: Server) -> None:
    server.answers[PATH] = (200, {}, b"content")

    assert fetch(server.url) == b"content"
    assert server.hosts == [f"127.0.0.1:{server.server_port}"]


def test_capsule_is_fetched_as_a_file(server: Server) -> None:
    server.answers[f"/v1/capsules/{KEY}"] = (200, {}, b"sealed")

    assert fetch(server.url, kind="capsule") == b"sealed"


def test_missing_document_is_none(server: Server) -> None:
    assert fetch(server.url) is None


def test_next_owner_is_asked(server: Server) -> None:
    server.answers[PATH] = (200, {}, b"content")
    with httpx.Client() as client:
        source = HttpDocuments({OWNER: "", OTHER: server.url}, FetchLimits(allow_private=True), client)

        assert source.fetch(Reference("policy", KEY, (OWNER, OTHER))) == b"content"


def test_private_address_is_not_asked_unless_allowed(server: Server) -> None:
    server.answers[PATH] = (200, {}, b"content")

    assert fetch(server.url, limits=FetchLimits()) is None
    assert server.hosts == []


def test_oversized_answer_is_not_taken(server: Server) -> None:
    server.answers[PATH] = (200, {}, b"x" * 1000)

    assert fetch(server.url, limits=FetchLimits(max_bytes=999, allow_private=True)) is None
    assert fetch(server.url, limits=FetchLimits(max_bytes=1000, allow_private=True)) is not None


def test_redirect_is_not_followed(server: Server) -> None:
    server.answers[PATH] = (302, {"Location": "/elsewhere"}, b"")
    server.answers["/elsewhere"] = (200, {}, b"content")

    assert fetch(server.url) is None
    assert len(server.hosts) == 1


@pytest.mark.parametrize(
    "endpoint",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1",
        "http://user@127.0.0.1",
        "http://",
        "http://[::1",
        "http://a:b",
        "gopher",
    ],
)
def test_odd_endpoint_is_not_asked(endpoint: str) -> None:
    assert fetch(endpoint) is None


def test_path_is_made_of_a_known_kind_only(server: Server) -> None:
    assert fetch(server.url, kind="../secrets") is None
    assert server.hosts == []


def test_slow_answer_is_given_up(server: Server) -> None:
    server.answers[PATH] = (200, {}, b"content")
    times = iter([0.0, 100.0, 200.0])
    with httpx.Client() as client:
        source = HttpDocuments(
            {OWNER: server.url}, FetchLimits(allow_private=True), client, monotonic=lambda: next(times)
        )

        assert source.fetch(Reference("policy", KEY, (OWNER,))) is None


def test_no_network_is_an_error_and_no_finding() -> None:
    endpoints = {OWNER: "http://127.0.0.1:1", OTHER: "http://127.0.0.1:2"}
    with httpx.Client() as client:
        source = HttpDocuments(endpoints, FetchLimits(allow_private=True), client)

        with pytest.raises(DocumentError) as caught:
            source.fetch(Reference("policy", KEY, (OWNER, OTHER)))

    assert caught.value.retryable


def test_one_silent_owner_among_others_is_just_not_serving(server: Server) -> None:
    with httpx.Client() as client:
        source = HttpDocuments(
            {OWNER: server.url, OTHER: "http://127.0.0.1:1"}, FetchLimits(allow_private=True), client
        )

        assert source.fetch(Reference("policy", KEY, (OWNER, OTHER))) is None


def test_network_that_is_down_is_told_even_where_others_owe_nothing() -> None:
    endpoints = {OWNER: "http://127.0.0.1:1", OTHER: "http://127.0.0.1:2", Address(b"\x09" * 20): "http://10.0.0.1"}
    with httpx.Client() as client:
        source = HttpDocuments(endpoints, FetchLimits(), client)
        source.check_network()  # nobody was asked
        assert source.fetch(Reference("policy", KEY, (OWNER,))) is None

        with pytest.raises(DocumentError, match="none of the 3 endpoints") as caught:
            source.check_network()

    assert caught.value.retryable


def test_silence_is_the_silent_ones_own_while_somebody_answers(server: Server) -> None:
    with httpx.Client() as client:
        source = HttpDocuments(
            {OWNER: "http://127.0.0.1:1", OTHER: server.url}, FetchLimits(allow_private=True), client
        )
        assert source.fetch(Reference("policy", KEY, (OWNER,))) is None

        assert not server.hosts
        source.check_network()

    assert len(server.hosts) == 1


def test_directory_and_layers(tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / f"{KEY}.json").write_bytes(b"file")
    directory = DirectoryDocuments(tmp_path)
    reference = Reference("policy", KEY, ())

    assert directory.fetch(reference) == b"file"
    assert directory.fetch(Reference("deal", KEY, ())) is None
    assert directory.fetch(Reference("..", KEY, ())) is None
    assert DirectoryDocuments(tmp_path, max_bytes=3).fetch(reference) is None
    assert LayeredDocuments((MemoryDocuments({}), directory)).fetch(reference) == b"file"
    assert LayeredDocuments((MemoryDocuments({("policy", KEY): b"memory"}), directory)).fetch(reference) == b"memory"
