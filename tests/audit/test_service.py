"""The regulator's service: what it tells, and what it does when the chain fails it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_bytes

import httpx
import pytest
import uvicorn

from audit.auditor import Auditor
from audit.documents import MemoryDocuments, Reference
from audit.errors import RequestError
from audit.follow import Follower, rebuild
from audit.index import Index
from audit.pages.desk import Desk
from audit.pages.readers import Readers
from audit.pages.routes import FEED_ROWS
from audit.pages.site import Site
from audit.pages.users import UsersFile
from audit.papers import Patience
from audit.service import build_app
from capsule.ids import Digest
from contracts import events as ev
from contracts.chain import Block
from contracts.ledger import Ledger
from contracts.rpc import RpcChain
from scripts.bench.many_events import BLOCK_GAS, CALLS, ManyEvents
from scripts.demo.lying_chain import Lies, LyingChain
from tests.audit.auditing import read_only
from tests.sim.anvil import anvil
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History


def auditor_of(space: DataSpace, folder: Path, chain: LyingChain | None = None) -> Auditor:
    documents = MemoryDocuments(space.documents)
    return Auditor(
        read_only(space, chain), Index.open(folder / "audit.db"), lambda state: documents, patience=Patience(anchor=0)
    )


class Slow(threading.Event):
    """Documents that nobody serves, and whoever asks for one waits until this is set."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()

    def fetch(self, reference: Reference) -> bytes | None:
        self.asked.set()
        assert self.wait(120)
        return None


@contextmanager
def serving(
    auditor: Auditor, seconds: float | None, poll: float = 0.1, site: Site | None = None
) -> Iterator[httpx.Client]:
    """The service on a free port, and a client for it."""
    server = uvicorn.Server(
        uvicorn.Config(build_app(auditor, seconds=seconds, poll=poll, site=site), port=0, log_level="warning")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        yield client
    server.should_exit = True
    thread.join()


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_report_and_health_after_a_look(space: DataSpace, honest: History, tmp_path: Path) -> None:
    with serving(auditor_of(space, tmp_path), 0.1) as client:
        wait(lambda: client.get("/healthz").json()["ok"])

        report = client.get("/v1/report").json()

    assert report["events"] == len(honest.entries)
    assert report["findings"] == []


def test_nothing_to_tell_before_the_first_look(space: DataSpace, tmp_path: Path) -> None:
    with serving(auditor_of(space, tmp_path), None) as client:
        assert client.get("/healthz").json() == {
            "ok": False,
            "block": None,
            "findings": None,
            "trouble": None,
            "indexed": None,
            "final": None,
            "behind": None,
            "asked_seconds_ago": None,
        }
        answer = client.get("/v1/report")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_trails_are_served(space: DataSpace, honest: History, tmp_path: Path) -> None:
    auditor = auditor_of(space, tmp_path)
    auditor.look()
    device = honest.first(ev.DeviceEnrolled).device
    with serving(auditor, None) as client:
        found = client.get(f"/v1/trails/device/{device}")
        missing = client.get(f"/v1/trails/device/0x{'00' * 32}")

    assert [row["event"] for row in found.json()["rows"]].count("BatchAnchored") == 3
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/not-found")


@pytest.mark.parametrize("replaced", [False, True])
def test_index_that_was_deleted_under_the_service_is_told(
    space: DataSpace, honest: History, tmp_path: Path, caplog: pytest.LogCaptureFixture, replaced: bool
) -> None:
    path = tmp_path / "audit.db"
    with serving(auditor_of(space, tmp_path), 0.1) as client:
        wait(lambda: client.get("/healthz").json()["ok"])
        indexed = client.get("/healthz").json()["indexed"]
        path.unlink()
        if replaced:
            path.write_bytes(b"")
        wait(lambda: not client.get("/healthz").json()["ok"])
        health = client.get("/healthz").json()

    assert f"the index at {path} was deleted or replaced" in health["trouble"]
    assert health["indexed"] == indexed
    assert f"the index at {path} was deleted or replaced" in caplog.text


@pytest.mark.parametrize("final", [False, True])
def test_trouble_shows_and_the_last_report_stays(
    space: DataSpace, honest: History, final: bool, tmp_path: Path
) -> None:
    chain = LyingChain(space.chain, Lies(hidden=1))
    auditor = auditor_of(space, tmp_path, chain)
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


def test_final_events_are_shown_before_the_next_look(tmp_path: Path) -> None:
    """The next look is an hour away: what is shown was indexed by following."""
    with anvil(block_time=None, extra=("--gas-limit", str(BLOCK_GAS))) as url:
        many = ManyEvents(url)
        many.fill(CALLS)
        ledger = Ledger.connect(RpcChain(url), many.directory)
        desk = Desk(tmp_path / "pages.db")
        readers = Readers(UsersFile(tmp_path / "users.json"), behind_proxy=False, entropy=token_bytes, clock=time.time)
        index = Index.open(tmp_path / "audit.db")
        auditor = Auditor(ledger, index, lambda state: MemoryDocuments({}), watcher=desk.take)
        with serving(auditor, 3600, site=Site(desk, readers, entropy=token_bytes)) as client:
            wait(lambda: client.get("/healthz").json()["ok"])
            checked, before = client.get("/healthz").json(), client.get("/v1/report").json()
            assert client.get("/v1/events").json() == {"unchecked": []}
            many.fill(2 * CALLS)
            wait(lambda: len(client.get("/v1/events").json()["unchecked"]) == 2 * CALLS)
            page = client.get("/events", headers={"accept-language": "zh"}).text
            part = client.get("/events/unchecked", headers={"accept-language": "en"}).text
            after, report = client.get("/healthz").json(), client.get("/v1/report").json()

        assert rebuild(ledger, tmp_path / "fresh.db") == index.summary()
        desk.close()
        index.close()
    assert (report, after["block"]) == (before, checked["block"])
    assert checked["block"] < after["indexed"] == after["final"]
    assert (after["behind"], after["asked_seconds_ago"] < 60) == (0, True)
    assert "刚刚入库、尚未核查" in page
    assert "not yet checked" in part
    assert part.count("<tr><td") == FEED_ROWS


def test_following_goes_on_while_the_rules_run(tmp_path: Path) -> None:
    with anvil(block_time=None, extra=("--gas-limit", str(BLOCK_GAS))) as url:
        many = ManyEvents(url)
        many.fill(CALLS)
        index, slow = Index.open(tmp_path / "audit.db"), Slow()
        auditor = Auditor(Ledger.connect(RpcChain(url), many.directory), index, lambda state: slow)
        with serving(auditor, 3600) as client:
            wait(slow.asked.is_set)
            first = client.get("/healthz").json()
            many.fill(CALLS)
            wait(lambda: client.get("/healthz").json()["indexed"] > first["indexed"])
            assert client.get("/healthz").json()["block"] is None
            slow.set()
            wait(lambda: client.get("/healthz").json()["block"] is not None)
            report = client.get("/v1/report").json()

        # the look is of the block that it began at
        assert report["tip"]["number"] == first["indexed"]
        assert report["events"] + CALLS == index.summary().events
        index.close()


def test_service_stops_between_two_ranges_of_its_first_history(tmp_path: Path) -> None:
    with anvil(block_time=None, extra=("--gas-limit", str(BLOCK_GAS))) as url:
        many = ManyEvents(url)
        many.fill(20 * CALLS)
        ledger = Ledger.connect(RpcChain(url), many.directory)
        index = Index.open(tmp_path / "audit.db")
        auditor = Auditor(ledger, index, lambda state: MemoryDocuments({}))
        auditor.stop()
        with pytest.raises(RequestError, match="stopping"):
            auditor.follow()
        assert index.tip is None
        follower = Follower(ledger, index, between=auditor.follow)
        with pytest.raises(RequestError, match="stopping"):
            follower.step()
        assert index.tip is not None
        assert index.tip.number < ledger.final_block().number
        assert rebuild(ledger, tmp_path / "audit.db") == rebuild(ledger, tmp_path / "fresh.db")
        index.close()
