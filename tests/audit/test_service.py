"""The regulator's service: what it tells, and what it does when the chain fails it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest
import uvicorn

from audit.auditor import Auditor
from audit.documents import MemoryDocuments
from audit.index import Index
from audit.papers import Patience
from audit.service import build_app
from capsule.ids import Digest
from contracts import events as ev
from contracts.chain import Block
from scripts.demo.lying_chain import Lies, LyingChain
from tests.audit.auditing import read_only
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History


def auditor_of(space: DataSpace, chain: LyingChain | None = None) -> Auditor:
    documents = MemoryDocuments(space.documents)
    return Auditor(read_only(space, chain), Index.open(None), lambda state: documents, patience=Patience(anchor=0))


@contextmanager
def serving(auditor: Auditor, seconds: float | None) -> Iterator[httpx.Client]:
    """The service on a free port, and a client for it."""
    server = uvicorn.Server(uvicorn.Config(build_app(auditor, seconds=seconds), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        yield client
    server.should_exit = True
    thread.join()


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_report_and_health_after_a_look(space: DataSpace, honest: History) -> None:
    with serving(auditor_of(space), 0.1) as client:
        wait(lambda: client.get("/healthz").json()["ok"])

        report = client.get("/v1/report").json()

    assert report["events"] == len(honest.entries)
    assert report["findings"] == []


def test_nothing_to_tell_before_the_first_look(space: DataSpace) -> None:
    with serving(auditor_of(space), None) as client:
        assert client.get("/healthz").json() == {"ok": False, "block": None, "findings": None, "trouble": None}
        answer = client.get("/v1/report")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_trails_are_served(space: DataSpace, honest: History) -> None:
    auditor = auditor_of(space)
    auditor.look()
    device = honest.first(ev.DeviceEnrolled).device
    with serving(auditor, None) as client:
        found = client.get(f"/v1/trails/device/{device}")
        missing = client.get(f"/v1/trails/device/0x{'00' * 32}")

    assert [row["event"] for row in found.json()["rows"]].count("BatchAnchored") == 3
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/not-found")


@pytest.mark.parametrize("final", [False, True])
def test_trouble_shows_and_the_last_report_stays(space: DataSpace, honest: History, final: bool) -> None:
    chain = LyingChain(space.chain, Lies(hidden=1))
    auditor = auditor_of(space, chain)
    before = auditor.look()

    def forge(block: Block) -> Block:
        return replace(block, hash=Digest(b"\x09" * 32)) if block.number == before.summary.tip.number else block

    chain.lies = Lies(block=forge) if final else Lies(silent=True)
    with serving(auditor, 0.1) as client:
        wait(lambda: client.get("/healthz").json()["trouble"] is not None)
        trouble = client.get("/healthz").json()
        chain.lies = Lies()
        if not final:
            wait(lambda: client.get("/healthz").json()["trouble"] is None)
        assert client.get("/v1/report").status_code == 200

    assert trouble["ok"] is False
    assert trouble["block"] == before.summary.tip.number
    assert ("after it was final" in trouble["trouble"]) is final
