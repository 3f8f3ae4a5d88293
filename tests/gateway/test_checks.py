"""Marks at the door: kept beside their frames, anchored with their batch, and the same whatever happened in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from capsule.batch import BatchDocument, IncidentKind, verify_batch
from capsule.frame import Mark, frame_hash, verify_frame
from capsule.ids import DeviceId
from capsule.rows import Row
from capsule.thing import STORAGE_STATION
from gateway.checks import Checks, read_ranges, write_ranges
from gateway.errors import ForkError
from gateway.gateway import Gateway
from gateway.station import simulate_station
from tests.capsule.frames import Device
from tests.gateway.space import Space

START = 1_680_829_200


def frames_of(device: Device, rows: list[Row], size: int = 30) -> list[bytes]:
    return [device.frame(rows[at : at + size], mark=Mark.IMPORTED) for at in range(0, len(rows), size)]


def marks_of(gateway: Gateway, device: DeviceId) -> list[tuple[int, str, str, str]]:
    with gateway._store.reading() as records:
        return [(row.sequence, row.column, row.rule, row.rows) for row in records.marks(device, 1, 2**53)]


@pytest.fixture
def rows() -> list[Row]:
    """Half an hour with two false readings in the second frame, one in the fifth, and a counter's fall at the sixth."""
    made = list(simulate_station(5, START - 7200, seconds=1800))
    for place, column, value in ((32, "SOC", 130), (33, "SOC", 140), (121, "Mode_PQ", 3)):
        made[place] = Row(made[place].time, {**made[place].values, column: value})
    return [
        Row(row.time, {**row.values, "E_charged": row.values["E_charged"] - 10}) if place >= 150 else row
        for place, row in enumerate(made)
    ]


EXPECTED = [(2, "SOC", "range", "2-3"), (5, "Mode_PQ", "range", "1"), (6, "E_charged", "counter", "0-2")]


def test_marked_readings_are_kept_and_anchored_by_rule(gateway: Gateway, device: Device, rows: list[Row]) -> None:
    frames = frames_of(device, rows)
    for frame in frames:
        gateway.ingest(frame)
    assert marks_of(gateway, device.id) == EXPECTED
    with gateway._store.reading() as records:
        first = next(records.marks(device.id, 1, 9))
        assert (first.frame, first.readings, first.time) == (bytes(frame_hash(frames[1])), 2, rows[32].time)
        assert first.detail == "130 is not within 0 to 100 %"
        assert records.marked(device.id, 1, 9) == {"counter": 3, "range": 3}
        kept = records.frame_at(device.id, 2)
        assert kept is not None
        assert kept.data == frames[1]
    document = gateway.build_batch()
    assert document is not None
    document = verify_batch(BatchDocument.from_bytes(document.to_bytes()), document.batch)
    assert [(one.kind, one.rule, one.sequence, one.evidence) for one in document.incidents] == [
        (IncidentKind.IMPLAUSIBLE, "range", 2, frame_hash(frames[1])),
        (IncidentKind.IMPLAUSIBLE, "range", 5, frame_hash(frames[4])),
        (IncidentKind.IMPLAUSIBLE, "counter", 6, frame_hash(frames[5])),
    ]


def test_a_frame_sent_again_and_a_fork_leave_the_marks_alone(gateway: Gateway, device: Device, rows: list[Row]) -> None:
    frames = frames_of(device, rows)
    other = Device()
    other.id, other.sequence, other.last = device.id, 2, frame_hash(frames[1])
    fork = other.frame([Row(rows[60].time, {"SOC": 500})])
    for at, frame in enumerate(frames):
        gateway.ingest(frame)
        gateway.ingest(frame)
        if at == 3:
            with pytest.raises(ForkError):
                gateway.ingest(fork)
    assert marks_of(gateway, device.id) == EXPECTED


def test_marks_are_the_same_after_a_restart(space: Space, device: Device, rows: list[Row], tmp_path: Path) -> None:
    ledger = space.gateway_ledger()
    for frame in frames_of(device, rows):
        with space.open_gateway(tmp_path / "again", ledger) as gateway:
            gateway.ingest(frame)
    with space.open_gateway(tmp_path / "again", ledger) as gateway:
        assert marks_of(gateway, device.id) == EXPECTED


def test_marks_are_the_same_for_devices_that_are_not_in_memory(space: Space, rows: list[Row], tmp_path: Path) -> None:
    devices = [space.enrol(), space.enrol()]
    with space.open_gateway(tmp_path / "small", checked_devices=1) as gateway:
        for pair in zip(*(frames_of(device, rows) for device in devices), strict=True):
            for frame in pair:
                gateway.ingest(frame)
        assert [marks_of(gateway, device.id) for device in devices] == [EXPECTED, EXPECTED]


def test_a_frame_that_was_judged_and_not_stored_does_not_bend_the_next_judgement(
    gateway: Gateway, device: Device, rows: list[Row]
) -> None:
    frames = frames_of(device, rows)
    for frame in frames[:3]:
        gateway.ingest(frame)
    checks = Checks(gateway._store, clock=lambda: float(START), ahead_seconds=300, most=10)

    def judge(frame: bytes) -> list[tuple[str, tuple[int, ...]]]:
        verified = verify_frame(frame, device.key)
        return [(mark.column, mark.rows) for mark in checks.judge(verified, STORAGE_STATION)]

    assert judge(frames[5]) == [("E_charged", (0, 1, 2))]  # as if 4 and 5 had not come; it is not stored
    assert judge(frames[3]) == []
    assert judge(frames[4]) == [("Mode_PQ", (1,))]
    assert judge(frames[5]) == [("E_charged", (0, 1, 2))]


def test_row_numbers_come_back_from_their_ranges() -> None:
    for numbers in ([0], [0, 1, 2], [3, 5, 6, 9], list(range(100)), list(range(0, 50, 2))):
        assert list(read_ranges(write_ranges(numbers))) == numbers
    assert write_ranges([0, 1, 2, 7]) == "0-2,7"


@pytest.fixture(autouse=True)
def late_enough(space: Space) -> Iterator[None]:
    """Every frame is from the past, none from the future."""
    now, space.clock.now = space.clock.now, float(START)
    yield
    space.clock.now = now
