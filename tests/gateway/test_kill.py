"""kill -9 at awkward moments: what was receipted is there, what was anchored is anchored once."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from capsule.batch import BatchDocument
from capsule.frame_receipt import SignedFrameReceipt
from capsule.ids import DeviceId
from capsule.rows import Row
from capsule.source import verify_source
from contracts.embedded import EmbeddedChain
from contracts.events import BatchAnchored
from gateway.agent import Agent
from gateway.door import HttpDoor
from gateway.errors import PeerAnswerError, PeerUnreachableError
from gateway.gateway import Gateway
from gateway.station import simulate_station, write_readings
from tests.capsule.frames import Device, some_rows
from tests.gateway.child import open_gateway, open_ledger
from tests.gateway.space import Clock, embedded_space

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A chain with a gateway and three devices, closed, for a child to open."""
    with embedded_space(tmp_path / "chain") as space:
        ledger = space.gateway_ledger()
        devices = [space.enrol() for _ in range(3)]
        assert ledger.account is not None
        known = {
            "directory": str(ledger.pin.directory),
            "account": ledger.account.private_key.hex(),
            "device": str(devices[0].id),
            "devices": [str(device.id) for device in devices],
        }
    (tmp_path / "space.json").write_text(json.dumps(known))
    return tmp_path


def device_of(folder: Path) -> Device:
    return devices_of(folder)[0]


def devices_of(folder: Path) -> list[Device]:
    devices = []
    for name in json.loads((folder / "space.json").read_text())["devices"]:
        devices.append(Device())
        devices[-1].id = DeviceId.parse(name)
    return devices


@contextmanager
def reopened(folder: Path) -> Iterator[Gateway]:
    with (
        EmbeddedChain.open(folder / "chain", clock=Clock()) as chain,
        open_gateway(folder, open_ledger(chain, folder)) as gateway,
    ):
        yield gateway


class Forker:
    """Starts processes of `tests.gateway.child`, one at a time."""

    def __init__(self) -> None:
        settings = {"DATASPACE_GATEWAY_BATCH_FRAMES": "5", "DATASPACE_GATEWAY_ANCHOR_POLL_SECONDS": "0.01"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.gateway.child", "fork"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **settings},
        )
        self.url = f"http://127.0.0.1:{int(self.line())}"

    def start(self, what: str, folder: Path) -> int:
        """The new process's id."""
        print(what, folder, file=self._process.stdin, flush=True)
        return int(self.line())

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def ended(self) -> int:
        """Waits for the process that was started last; its exit code, or its signal's negative number."""
        while "ended" not in (line := self.line()):
            assert line
        return int(line.split()[-1])

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    opened = Forker()
    yield opened
    opened.close()


def anchors_on_chain(gateway: Gateway, folder: Path) -> list[int]:
    ledger = gateway._ledger
    events = ledger.events(0, ledger.chain.head().number)
    return [event.number for event in events if isinstance(event, BatchAnchored)]


class Delivering(threading.Thread):
    """A device that reads a row at a time, sends it over HTTP, and tries again as long as there are `turns`."""

    def __init__(self, folder: Path, gateway: Gateway, device: Device, url: str, turns: threading.Event) -> None:
        super().__init__()
        keys = {gateway.account: gateway.public_key}
        self.device = device
        self.rows: list[Row] = []
        self.answers = 0
        path = folder / f"{device.id}.db"
        self.agent = Agent(path, device.id, device.signer, gateways=keys, domain=gateway.domain, rows_per_frame=1)
        self.failed: Exception | None = None
        self._url = url
        self._turns = turns

    def run(self) -> None:
        with httpx.Client(timeout=5) as client:
            door = HttpDoor(self._url, client)
            while not self._turns.is_set() or self.agent.queued:
                if not self.agent.queued:
                    self.rows += (rows := some_rows(len(self.rows), 20))
                    self.agent.submit(rows)
                try:
                    self.answers += self.agent.deliver(door, most=1)
                except PeerUnreachableError:
                    time.sleep(0.01)
                except PeerAnswerError as exc:
                    self.failed = exc
                    return


def test_a_gateway_killed_50_times_keeps_each_receipted_frame_once_and_anchors_it_once(
    folder: Path, forker: Forker
) -> None:
    kills, chance, enough = 50, random.Random(9), threading.Event()
    with reopened(folder) as gateway:
        sending = [Delivering(folder, gateway, device, forker.url, enough) for device in devices_of(folder)]
    for one in sending:
        one.start()
    for at in range(kills + 1):
        running = forker.start("serve", folder)
        if at == kills:  # the last one takes what is queued, and is told to stop
            enough.set()
            for one in sending:
                one.join(30)
        else:
            if at % 5:  # in the midst of its work; else while it opens
                wanted = sum(one.answers for one in sending) + chance.randrange(1, 8)
                until = time.monotonic() + 5
                while sum(one.answers for one in sending) < wanted and time.monotonic() < until:
                    time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.2 if at % 5 == 0 else 0.02))
        os.kill(running, signal.SIGTERM if at == kills else signal.SIGKILL)
        assert forker.ended() == (0 if at == kills else -signal.SIGKILL)
    assert [(one.is_alive(), one.failed) for one in sending] == 3 * [(False, None)]
    with reopened(folder) as gateway:
        gateway.anchor_all()
        assert gateway.status().incidents == 0
        assert gateway.status().frames == sum(one.agent.sequence for one in sending)
        batches = [BatchDocument.from_bytes(gateway.batch_document(number)).batch for number in
                   range(1, gateway.status().batches + 1)]  # fmt: skip
        assert anchors_on_chain(gateway, folder) == [batch.number for batch in batches]
        assert sum(batch.size for batch in batches) == gateway.status().frames
        for one in sending:
            receipts = one.agent.receipts()
            one.agent.close()
            assert [receipt.receipt.sequence for receipt in receipts] == list(range(1, len(one.rows) + 1))
            for receipt in receipts:
                assert gateway.take(gateway.evidence(receipt.receipt.frame)) == (receipt, False)
            container = io.BytesIO()
            export = gateway.export(one.device.id, container)
            container.seek(0)
            table = verify_source(container, {one.device.id: one.device.key}, export.anchors)
            assert list(table.rows) == one.rows


def test_a_killed_agent_goes_on_where_it_was(folder: Path, forker: Forker) -> None:
    device = device_of(folder)
    rows = list(simulate_station(3, int(Clock()()) - 4 * 3600, seconds=4 * 3600))
    with (folder / "readings.csv").open("w") as sink:
        write_readings(rows, sink)
    for wanted in (4, 7):
        running = forker.start("agent", folder)
        for _ in range(wanted):
            forker.line()
        os.kill(running, signal.SIGKILL)
        assert forker.ended() == -signal.SIGKILL
    forker.start("agent", folder)
    assert forker.ended() == 0
    with reopened(folder) as gateway:
        assert gateway.status().frames == 24
        assert gateway.status().incidents == 0
        gateway.anchor_all()
        container = io.BytesIO()
        export = gateway.export(device.id, container)
        container.seek(0)
        table = verify_source(container, {device.id: device.key}, export.anchors)
        assert list(table.rows) == rows


def test_a_batch_is_anchored_once_when_the_sender_dies_before_it_hears(folder: Path, forker: Forker) -> None:
    with reopened(folder) as gateway:
        for frame in device_of(folder).frames(3):
            gateway.ingest(frame)
        gateway.build_batch()
    forker.start("anchor", folder)
    assert forker.ended() == -signal.SIGKILL
    with reopened(folder) as gateway:
        assert gateway.status().unanchored_batches == 1
        assert anchors_on_chain(gateway, folder) == [1]
        gateway.check_chain()
        (anchored,) = gateway.anchor()
        assert anchored.batch.number == 1
        assert gateway.anchor() == ()
        assert anchors_on_chain(gateway, folder) == [1]
        device = device_of(folder)
        device.frames(3)
        gateway.ingest(device.frame(some_rows(50, 1)))
        assert [batch.batch.number for batch in gateway.anchor_all()] == [2]
        assert anchors_on_chain(gateway, folder) == [1, 2]


def test_a_full_disk_is_an_error_and_loses_nothing_receipted(folder: Path) -> None:
    frames = device_of(folder).frames(100, rows=1)
    (folder / "frames").write_text("\n".join(frame.hex() for frame in frames))
    process = subprocess.run(
        [sys.executable, "-m", "tests.gateway.child", "full", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert process.stderr.startswith("the gateway's database failed: ")
    assert process.stderr.count("\n") == 1
    receipts = [SignedFrameReceipt.from_bytes(line.encode()) for line in process.stdout.splitlines()]
    assert 0 < len(receipts) < len(frames)
    with reopened(folder) as gateway:
        assert gateway.status().frames == len(receipts)
        for frame, receipt in zip(frames, receipts, strict=False):
            assert gateway.take(frame) == (receipt, False)
        for frame in frames[len(receipts) :]:
            gateway.ingest(frame)
        assert gateway.status().incidents == 0
