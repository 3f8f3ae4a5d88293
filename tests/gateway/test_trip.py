"""Whole trips on real parts: enrol, sign, ingest, batch, anchor, prove, export, verify."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from capsule.batch import BatchDocument, check_continuity, check_receipts, verify_batch, verify_frame_proof
from capsule.frame import Mark, read_frame
from capsule.frame_receipt import verify_frame_receipt
from capsule.source import verify_source
from contracts.events import BatchAnchored
from gateway.gateway import Gateway
from gateway.station import simulate_station, write_readings
from tests.capsule.frames import Device, some_rows
from tests.gateway.space import GATEWAY_KEY, Space, account_of

STATION = Path(__file__).parents[2].parent / "shared" / "data" / "m5bat-20230407" / "station_and_2_units_10s.csv"


def test_a_real_day_arrives_complete_and_equal_to_its_file(
    space: Space, gateway: Gateway, device: Device, tmp_path: Path, later: None
) -> None:
    if not STATION.is_file():
        pytest.skip("the real data is not here")
    with space.open_agent(tmp_path / "queue.db", device, gateway) as agent:
        submitted = agent.submit_csv(STATION)
        assert (submitted.rows, submitted.readings) == (8640, 8640 * 35)
        assert agent.deliver(gateway) == 144
        receipts = agent.receipts()
    anchored = gateway.anchor_all()
    assert [batch.batch.size for batch in anchored] == [144]
    container = io.BytesIO()
    export = gateway.export(device.id, container)
    assert (export.frames, export.rows, export.first, export.last) == (144, 8640, 1, 144)
    container.seek(0)
    table = verify_source(container, {device.id: device.key}, export.anchors)

    with STATION.open(encoding="utf-8-sig", newline="") as text:
        lines = list(csv.reader(text))
    assert (table.verified, table.total) == (8640, 8640)
    assert list(table.columns) == lines[0][1:]
    for place, column in enumerate(table.columns.values(), 1):
        assert [str(value) for value in column] == [line[place] for line in lines[1:]]
    assert table.time[0] == 1_680_825_600
    assert list(table.time) == list(range(1_680_825_600, 1_680_825_600 + 86_400, 10))
    assert set(table.marks) == {"imported"}

    document = BatchDocument.from_bytes(gateway.batch_document(1))
    assert document.incidents == ()
    verified = [verify_frame_receipt(receipt, GATEWAY_KEY, space.operator.domain) for receipt in receipts]
    assert check_receipts(verified, document.entries) == ()


def test_a_frame_is_proven_against_what_stands_on_chain(space: Space, gateway: Gateway, device: Device) -> None:
    frames = device.frames(5)
    for frame in frames:
        gateway.ingest(frame)
    gateway.build_batch()
    later = device.frames(2)
    for frame in later:
        gateway.ingest(frame)
    first, second = gateway.anchor_all()
    head = space.chain.head().number
    events = [event for event in space.operator.events(0, head) if isinstance(event, BatchAnchored)]
    mine = [event.batch for event in events if event.gateway == gateway.account]
    assert [(batch.number, batch.size, batch.predecessor) for batch in mine] == [
        (1, 5, bytes(32)),
        (2, 2, first.batch.frames_root),
    ]
    for frame in frames:
        proof = gateway.prove(read_frame(frame).hash)
        assert verify_frame_proof(proof, frame, first.batch).frames_root == mine[0].frames_root
    for batch in (first, second):
        document = BatchDocument.from_bytes(gateway.document(batch.batch.frames_root))
        assert verify_batch(document, batch.batch).entries[0].device == device.id
    entries = [entry for number in (1, 2) for entry in BatchDocument.from_bytes(gateway.batch_document(number)).entries]
    assert check_continuity(entries) == ()


def test_the_simulator_s_rows_travel_as_rows_and_as_csv(space: Space, gateway: Gateway, tmp_path: Path) -> None:
    rows = list(simulate_station(7, int(space.clock()) - 3600, seconds=1800))
    direct, by_file = space.enrol(), space.enrol()
    with (tmp_path / "day.csv").open("w") as sink:
        assert write_readings(rows, sink) == 180
    with space.open_agent(tmp_path / "one.db", direct, gateway) as agent:
        agent.submit(rows)
        assert agent.deliver(gateway) == 3
    with space.open_agent(tmp_path / "two.db", by_file, gateway) as agent:
        agent.submit_csv(tmp_path / "day.csv", mark=Mark.SIGNED)
        agent.deliver(gateway)
    gateway.anchor_all()
    for device in (direct, by_file):
        container = io.BytesIO()
        export = gateway.export(device.id, container)
        container.seek(0)
        table = verify_source(container, {device.id: device.key}, export.anchors)
        assert list(table.rows) == rows
        assert set(table.marks) == {"signed"}
    assert gateway.status().incidents == 0


def test_a_period_is_exported_in_whole_frames(gateway: Gateway, device: Device) -> None:
    for at in range(10):
        gateway.ingest(device.frame(some_rows(at * 6, 6)))
    gateway.anchor_all()
    first = some_rows(0, 1)[0].time
    container = io.BytesIO()
    export = gateway.export(device.id, container, start=first + 120, end=first + 240)
    assert (export.first, export.last, export.rows) == (3, 4, 12)
    container.seek(0)
    assert verify_source(container, {device.id: device.key}, export.anchors).time[0] == first + 120
    assert account_of is not None


def test_receipts_are_acknowledged_by_the_next_frame(
    space: Space, gateway: Gateway, device: Device, tmp_path: Path
) -> None:
    with space.open_agent(tmp_path / "queue.db", device, gateway) as agent:
        agent.submit(some_rows(0, 200))
        agent.deliver(gateway)
        receipts = agent.receipts()
    acknowledged = [read_frame(gateway.evidence(receipt.receipt.frame)).acknowledged for receipt in receipts]
    assert acknowledged == [None, *(receipt.receipt.hash for receipt in receipts[:-1])]
