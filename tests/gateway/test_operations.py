"""What an operator relies on: several frames in a request, back-pressure, health, metrics, the page, logs, the stop."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from capsule.frame import FIRST_PREVIOUS, frame_hash
from capsule.frame_receipt import SignedFrameReceipt
from contracts.errors import ChainUnreachableError
from contracts.ledger import Ledger
from gateway.gateway import Gateway
from gateway.logs import JsonLines
from gateway.service import build_app
from gateway.status_page import choose_language, status_page
from gateway.tables import IncidentRow
from scripts.inprocess import InProcess
from tests.capsule.frames import Device, some_rows
from tests.gateway.space import Space
from tests.gateway.test_anchoring import _Unreachable
from tests.gateway.test_ingest import _twin
from tests.gateway.test_kill import ROOT, device_of, folder, reopened
from tests.gateway.test_service import OPERATOR, TOKEN, post, problem, serving

__all__ = ["folder"]

SEQUENCE = {"content-type": "application/cose-seq"}


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    app = build_app(gateway, TOKEN, anchoring=False)
    with httpx.Client(transport=InProcess(app), base_url="http://gateway") as opened:
        yield opened


def several(client: httpx.Client, *frames: bytes) -> httpx.Response:
    return client.post("/v1/frames", content=b"".join(frames), headers=SEQUENCE)


def test_several_frames_are_answered_in_their_order(gateway: Gateway, client: httpx.Client, device: Device) -> None:
    first, second, third = device.frames(3)
    fork = _twin(device, 1, FIRST_PREVIOUS, some_rows(9, 1))
    answer = several(client, first, second, fork, first, third, second[:-9])
    assert answer.status_code == 200
    items = answer.json()
    receipts = {at: SignedFrameReceipt.from_bytes(json.dumps(items[at]).encode()) for at in (0, 1, 3, 4)}
    assert [receipts[at].receipt.frame for at in (0, 1, 3, 4)] == [
        frame_hash(one) for one in (first, second, first, third)
    ]
    assert receipts[0] == receipts[3] == SignedFrameReceipt.from_bytes(post(client, first).content)
    assert [(items[at]["type"].rpartition(":")[2], items[at]["status"]) for at in (2, 5)] == [
        ("fork", 409),
        ("malformed", 400),
    ]
    assert gateway.status().frames == 3
    assert several(client).json() == []


def test_too_much_in_one_request_is_refused_whole(space: Space, device: Device, tmp_path: Path) -> None:
    frames = device.frames(4)
    with space.open_gateway(tmp_path / "g", max_request_frames=3, max_request_bytes=4 * len(frames[0])) as gateway:
        app = build_app(gateway, TOKEN, anchoring=False)
        with httpx.Client(transport=InProcess(app), base_url="http://gateway") as client:
            assert problem(several(client, *frames)) == (413, "http")
            assert problem(several(client, *frames, *frames)) == (413, "http")
            assert gateway.status().frames == 0
            assert len(several(client, *frames[:3]).json()) == 3


def test_a_gateway_that_is_behind_says_when_to_come_again(space: Space, device: Device, tmp_path: Path) -> None:
    frames = device.frames(6, rows=1)
    home = tmp_path / "gateway"
    with space.open_gateway(home, intake_frames=3, commit_frames=1) as gateway:
        app = build_app(gateway, TOKEN, anchoring=False)
        with httpx.Client(transport=InProcess(app), base_url="http://gateway") as client:
            blocker = sqlite3.connect(home / "gateway.db", check_same_thread=False)
            blocker.execute("BEGIN IMMEDIATE")
            waiting = [gateway.submit(frame) for frame in frames[:3]]
            for answer in (post(client, frames[3]), several(client, *frames[3:])):
                assert problem(answer) == (429, "behind")
                assert 1 <= int(answer.headers["retry-after"]) <= 60
            blocker.rollback()
            blocker.close()
            assert all(future.result(20).new for future in waiting)
            assert post(client, frames[3]).status_code == 201


def test_a_gateway_is_ready_only_while_it_can_do_its_work_and_logs_why_it_is_not(
    space: Space, device: Device, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dataspace.gateway")
    chain = _Unreachable(space.chain)
    own = space.gateway_ledger()
    ledger = Ledger.connect(chain, own.pin.directory, own.account)  # type: ignore[arg-type]
    home = tmp_path / "gateway"
    with space.open_gateway(home, ledger, lag_seconds=30) as gateway:
        app = build_app(gateway, TOKEN, anchoring=False)
        with httpx.Client(transport=InProcess(app), base_url="http://gateway") as client:

            def troubles() -> list[str]:
                gateway.watch._probed = gateway.watch._seen = None  # not what was seen a second ago
                answer = client.get("/readyz")
                content = answer.json()
                assert answer.status_code == (200 if content["ready"] else 503)
                assert client.get("/healthz").json() == {"status": "ok", "account": str(gateway.account)}
                found: list[str] = content["troubles"]
                return found

            post(client, device.frame(some_rows(0, 1)))
            assert troubles() == []
            chain.off = True
            assert post(client, device.frame(some_rows(1, 1))).status_code == 201  # the device is known
            stranger = post(client, Device(44).frame(some_rows(0, 1)))
            assert problem(stranger) == (503, "chain-unreachable")
            assert stranger.headers["retry-after"] == "5"
            with pytest.raises(ChainUnreachableError):
                gateway.anchor_all()
            assert troubles() == ["chain"]
            space.clock.now += 31
            try:
                assert troubles() == ["anchoring", "chain"]
            finally:
                space.clock.now -= 31
            chain.off = False
            (anchored,) = gateway.anchor_all()
            assert anchored.batch.size == 2
            assert troubles() == []
            with sqlite3.connect(home / "gateway.db") as other:
                other.execute(
                    "CREATE TRIGGER stuck BEFORE UPDATE ON gateway_schema BEGIN SELECT RAISE(ABORT, 'x'); END"
                )
            assert troubles() == troubles() == ["database"]
            told = [(one.levelname, one.getMessage()) for one in caplog.records if hasattr(one, "part")]
            assert [told[0], told[1], *sorted(told[2:4]), *told[4:]] == [
                ("ERROR", "not ready: chain"),
                ("ERROR", "not ready: anchoring"),
                ("INFO", "well again: anchoring"),
                ("INFO", "well again: chain"),
                ("ERROR", "not ready: database"),
            ]
            assert "not ready" in client.get("/").text.lower()


def test_metrics_tell_what_came_in_and_what_waits(gateway: Gateway, client: httpx.Client, device: Device) -> None:
    frames = device.frames(3)
    several(client, frames[0], frames[2], frames[0], b"none")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert found["dataspace_gateway_frames_total", "new"] == 2
    assert found["dataspace_gateway_frames_total", "known"] == 1
    assert found["dataspace_gateway_frames_total", "malformed"] == 1
    assert found["dataspace_gateway_incidents", "gap"] == 1
    assert found["dataspace_gateway_waiting_frames",] == 2
    assert found["dataspace_gateway_queue_frames",] == 0
    assert found["dataspace_gateway_ready", "database"] == 1
    assert found["dataspace_gateway_commit_seconds_count",] == 1


class _Text(HTMLParser):
    """The text of a page, and what it would fetch or run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.language = ""
        self.parts: list[str] = []
        self.fetched: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.language = dict(attrs).get("lang") or self.language if tag == "html" else self.language
        if tag in ("script", "link", "img", "iframe", "object"):
            self.fetched.append(tag)

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def test_the_page_shows_fleet_incidents_and_anchors_in_both_languages(
    gateway: Gateway, client: httpx.Client, device: Device
) -> None:
    frames = device.frames(5)
    several(client, *frames[:2], *frames[3:])
    (anchored,) = gateway.anchor_all()
    for query, header, language, words in (
        ("", "", "en", ("Ready", "gap", "final on chain")),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN", ("就绪", "缺帧", "链上已终局")),
        ("?lang=zh", "en", "zh-CN", ("设备网关",)),
        ("?lang=%3Cscript%3E", "zh", "zh-CN", ("就绪",)),
    ):
        answer = client.get("/" + query, headers={"accept-language": header})
        page = _Text(answer.text)
        text = " ".join(page.parts)
        assert answer.status_code == 200
        assert page.language == language
        assert page.fetched == []
        for word in (*words, str(device.id), str(anchored.batch.frames_root), str(gateway.account)):
            assert word in text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for row in some_rows(0, 3):
        assert not any(f">{value}<" in answer.text for value in row.values.values())
    assert choose_language(None, "de, fr;q=0.9") == "en"


def test_a_device_with_an_incident_in_every_frame_is_one_line_and_hides_no_other(
    gateway: Gateway, client: httpx.Client, device: Device, space: Space
) -> None:
    other = space.enrol()
    frames = other.frames(3)
    several(client, frames[0], frames[2])  # a gap, before all that the next device does
    several(client, *(device.frame(some_rows(at - 90_000, 1)) for at in range(60)))
    seen = gateway.watch.overview()
    assert [(one.kind, one.device, one.incidents, one.first, one.last) for one in seen.recent_incidents] == [
        ("late", device.id, 60, 1, 60),
        ("gap", other.id, 1, 2, 2),
    ]
    page = client.get("/?lang=en").text
    incidents = page.partition("Incidents of late")[2].partition("Anchors")[0]
    assert incidents.count("<tr>") == 3
    assert "<td>60</td><td>1–60</td>" in incidents


def test_incidents_of_several_rules_are_several_lines_however_many_others_there_are(gateway: Gateway) -> None:
    def row(rule: str, sequence: int, recorded_at: int, batch: int | None) -> dict[str, object]:
        return {
            "kind": "implausible",
            "device": bytes(32),
            "sequence": sequence,
            "last": sequence,
            "evidence": bytes(32),
            "rule": rule,
            "recorded_at": recorded_at,
            "batch": batch,
        }

    many = [row("soc.range", sequence, 10 + sequence, None) for sequence in range(3, 2_003)]
    with gateway._store.writing() as records:
        records.add_all(IncidentRow, [row("soc.rate", 5, 3, 1), row("soc.range", 2, 2, 1), *many])

    with gateway._store.reading() as records:
        groups = records.recent_incidents(20)

    assert [(one.rule, one.incidents, one.first, one.last, one.recorded_at, one.batch) for one in groups] == [
        ("soc.range", 2_001, 2, 2_002, 2_012, None),
        ("soc.rate", 1, 5, 5, 3, 1),
    ]
    page = status_page("zh", str(gateway.account), replace(gateway.watch.overview(), recent_incidents=groups), {})
    assert "读数异常 <code>soc.range</code>" in page


def test_logs_are_lines_of_json() -> None:
    logger = logging.Logger("dataspace.gateway")
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    logger.warning("fork", extra={"device": "0x1", "sequence": 4})
    try:
        raise ChainUnreachableError("away\nfor a while")
    except ChainUnreachableError:
        logger.exception("anchoring failed; it is tried again")
    first, second = (json.loads(line) for line in lines.getvalue().splitlines())
    assert (first["level"], first["message"], first["sequence"]) == ("warning", "fork", 4)
    assert first["time"].endswith("+00:00")
    assert second["error"] == "ChainUnreachableError: away\nfor a while"
    assert "test_operations" in second["trace"]


def test_anchoring_goes_on_after_a_fault_that_nobody_foresaw(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away, fault = ChainUnreachableError("away"), ZeroDivisionError("unforeseen")
    faults: list[Exception] = [away, away, fault, fault]
    enough = threading.Event()

    def anchor_due() -> tuple[()]:
        if faults:
            raise faults.pop(0)
        enough.set()
        return ()

    monkeypatch.setattr(gateway, "anchor_due", anchor_due)
    monkeypatch.setattr(gateway, "settings", replace(gateway.settings, anchor_poll_seconds=0.01))
    with serving(gateway):
        assert enough.wait(10)
    told = [record for record in caplog.records if record.name == "dataspace.gateway"]
    assert [(one.getMessage().partition(";")[0], bool(one.exc_info)) for one in told] == [
        ("anchoring failed", False),  # a chain that is away is no fault of the program: one line, without its trace
        ("anchoring broke down", True),
    ]


def test_told_to_stop_a_gateway_keeps_what_it_receipted_and_ends_in_order(folder: Path) -> None:
    frames = device_of(folder).frames(400, rows=1)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.gateway.child", "serve", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    receipts: list[SignedFrameReceipt] = []

    def send() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            for frame in frames:
                try:
                    answer = post(client, frame)
                except httpx.HTTPError:
                    return
                if answer.status_code != 201:
                    assert answer.status_code == 503
                    return
                receipts.append(SignedFrameReceipt.from_bytes(answer.content))

    sender = threading.Thread(target=send)
    sender.start()
    while len(receipts) < 30:
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    sender.join()
    process.stdout.close()
    assert 30 <= len(receipts) < len(frames)
    with reopened(folder) as gateway:
        for frame, receipt in zip(frames, receipts, strict=False):
            assert gateway.take(frame) == (receipt, False)
        assert gateway.status().incidents == 0


def test_a_device_s_keys_are_told_as_they_stand_on_chain(client: httpx.Client, device: Device) -> None:
    answer = client.get(f"/v1/devices/{device.id}").json()
    assert answer["keys"] == [{"suite": 1, "key": "0x" + device.key.key.hex(), "anchored_before": None}]
    assert problem(client.get(f"/v1/devices/0x{'11' * 32}")) == (404, "not-found")
    assert client.get("/v1/evidence/0x00", headers=OPERATOR).status_code == 400


def test_a_number_that_no_batch_can_have_is_the_caller_s_mistake(client: httpx.Client, device: Device) -> None:
    for number in ("99999999999999999999999", "9" * 5000, str(1 << 63), "-1", "0", "x"):
        assert problem(client.get(f"/v1/batches/{number}")) == (400, "input")
    assert problem(client.get(f"/v1/batches/{(1 << 63) - 1}")) == (404, "not-found")
    for query in ({"limit": "9" * 30}, {"from": "9" * 30}, {"to": "-" + "9" * 400}, {"from": "1e400"}):
        answer = client.get("/v1/marks", params={"device": str(device.id), **query}, headers=OPERATOR)
        assert problem(answer) == (400, "input")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
def test_a_load_balancer_may_ask_without_a_body(client: httpx.Client, path: str) -> None:
    asked, seen = client.head(path), client.get(path)
    assert (asked.status_code, asked.content) == (seen.status_code, b"")
