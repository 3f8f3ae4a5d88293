"""kill -9 at awkward moments: what was receipted is there, what was anchored is anchored once."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from capsule.frame_receipt import SignedFrameReceipt
from capsule.source import verify_source
from contracts.embedded import EmbeddedChain
from contracts.events import BatchAnchored
from gateway.gateway import Gateway
from gateway.station import simulate_station, write_readings
from tests.capsule.frames import Device, some_rows
from tests.gateway.child import open_gateway, open_ledger
from tests.gateway.space import Clock, embedded_space

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A chain with a gateway and a device, closed, for a child to open."""
    with embedded_space(tmp_path / "chain") as space:
        ledger = space.gateway_ledger()
        device = space.enrol()
        assert ledger.account is not None
        known = {
            "directory": str(ledger.pin.directory),
            "account": ledger.account.private_key.hex(),
            "device": str(device.id),
        }
    (tmp_path / "space.json").write_text(json.dumps(known))
    return tmp_path


def device_of(folder: Path) -> Device:
    device = Device()
    device.id = type(device.id).parse(json.loads((folder / "space.json").read_text())["device"])
    return device


@contextmanager
def reopened(folder: Path) -> Iterator[Gateway]:
    with (
        EmbeddedChain.open(folder / "chain", clock=Clock()) as chain,
        open_gateway(folder, open_ledger(chain, folder)) as gateway,
    ):
        yield gateway


def child(what: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.gateway.child", what, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def anchors_on_chain(gateway: Gateway, folder: Path) -> list[int]:
    ledger = gateway._ledger
    events = ledger.events(0, ledger.chain.head().number)
    return [event.number for event in events if isinstance(event, BatchAnchored)]


def test_nothing_receipted_is_lost_when_ingest_is_killed(folder: Path) -> None:
    frames = device_of(folder).frames(200, rows=1)
    (folder / "frames").write_text("\n".join(frame.hex() for frame in frames))
    chance = random.Random(20)
    answered: dict[bytes, SignedFrameReceipt] = {}
    for _ in range(3):
        process = child("ingest", folder)
        assert process.stdout is not None
        wanted = chance.randrange(20, 60)
        lines = [process.stdout.readline() for _ in range(wanted)]
        time.sleep(chance.random() / 50)
        process.kill()
        lines += process.stdout.read().splitlines(keepends=True)
        process.wait()
        process.stdout.close()
        for line in lines:
            if line.endswith("}\n"):
                receipt = SignedFrameReceipt.from_bytes(line.encode())
                assert answered.setdefault(receipt.receipt.frame, receipt) == receipt
    assert len(answered) >= 20
    with reopened(folder) as gateway:
        kept = gateway.status().frames
        assert kept >= len(answered)
        for frame in frames[:kept]:
            receipt, new = gateway.take(frame)
            assert not new
            assert answered.get(receipt.receipt.frame, receipt) == receipt
        for frame in frames[kept:]:
            assert gateway.take(frame)[1]
        assert gateway.status().incidents == 0
        gateway.anchor_all()
        assert anchors_on_chain(gateway, folder) == [1]


def test_a_killed_agent_goes_on_where_it_was(folder: Path) -> None:
    device = device_of(folder)
    rows = list(simulate_station(3, int(Clock()()) - 4 * 3600, seconds=4 * 3600))
    with (folder / "readings.csv").open("w") as sink:
        write_readings(rows, sink)
    for wanted in (4, 7):
        process = child("agent", folder)
        assert process.stdout is not None
        for _ in range(wanted):
            process.stdout.readline()
        process.kill()
        process.communicate()
    process = child("agent", folder)
    process.communicate()
    assert process.returncode == 0
    with reopened(folder) as gateway:
        assert gateway.status().frames == 24
        assert gateway.status().incidents == 0
        gateway.anchor_all()
        container = io.BytesIO()
        export = gateway.export(device.id, container)
        container.seek(0)
        table = verify_source(container, {device.id: device.key}, export.anchors)
        assert list(table.rows) == rows


def test_a_batch_is_anchored_once_when_the_sender_dies_before_it_hears(folder: Path) -> None:
    with reopened(folder) as gateway:
        for frame in device_of(folder).frames(3):
            gateway.ingest(frame)
        gateway.build_batch()
    process = child("anchor", folder)
    process.communicate()
    assert process.returncode == -9
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
