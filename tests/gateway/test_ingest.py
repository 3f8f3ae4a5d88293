"""Taking in frames: honest ones once, hostile ones never, and the store says the same afterwards."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capsule.batch import BatchDocument
from capsule.errors import CapsuleError, FormatError, VerificationError
from capsule.frame import Frame, Mark, frame_hash, read_frame, sign_frame
from capsule.frame_receipt import verify_frame_receipt
from capsule.ids import DeviceId, Digest
from capsule.rows import Row
from capsule.signature import ED25519, Ed25519Signer, Sm2Signer
from capsule.thing import STORAGE_STATION
from gateway.errors import ForkError, GatewayError, MarkError, UnenrolledError
from gateway.gateway import Gateway
from tests.capsule.frames import Device, some_rows
from tests.gateway.space import GATEWAY_KEY, GATEWAY_SIGNER, Clock, Space


def contents(gateway: Gateway, home: Path) -> dict[str, list[object]]:
    """Everything in the store."""
    database = sqlite3.connect(home / "gateway.db")
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found: dict[str, list[object]] = {name: list(database.execute(f"SELECT * FROM {name}")) for name in tables}  # noqa: S608
    database.close()
    return found


def incidents_of(gateway: Gateway) -> list[tuple[str, int, int]]:
    """Kind, first and last sequence of the incidents of the next batch."""
    document = gateway.build_batch()
    assert document is not None
    return [(str(incident.kind), incident.sequence, incident.last) for incident in document.incidents]


def test_a_frame_gets_a_receipt_that_verifies(space: Space, gateway: Gateway, device: Device) -> None:
    frame = device.frame(some_rows(0, 3))
    receipt = verify_frame_receipt(gateway.ingest(frame), GATEWAY_KEY, space.operator.domain)
    assert (receipt.gateway, receipt.device, receipt.sequence) == (gateway.account, device.id, 1)
    assert receipt.frame == frame_hash(frame)
    assert receipt.received_at == int(space.clock())
    assert gateway.evidence(receipt.frame) == frame


def test_the_same_bytes_get_the_same_receipt_and_change_nothing(
    space: Space, gateway: Gateway, device: Device, tmp_path: Path
) -> None:
    frames = device.frames(3)
    receipts = [gateway.ingest(frame) for frame in frames]
    before = contents(gateway, tmp_path / "gateway")
    space.clock.now += 50
    try:
        assert [gateway.take(frame) for frame in frames] == [(receipt, False) for receipt in receipts]
    finally:
        space.clock.now -= 50
    assert contents(gateway, tmp_path / "gateway") == before


def test_a_known_frame_gets_its_receipt_under_the_gateway_s_newest_key(
    space: Space, device: Device, tmp_path: Path
) -> None:
    ledger, frame = space.gateway_ledger(), device.frame(some_rows(0, 3))
    with space.open_gateway(tmp_path / "rotating", ledger) as gateway:
        before = gateway.ingest(frame)
    signer = Sm2Signer.generate(secrets.token_bytes)
    with Gateway.open(tmp_path / "rotating", ledger, signer, clock=space.clock) as gateway:
        after, new = gateway.take(frame)
        assert not new
        assert after.receipt == before.receipt
        verify_frame_receipt(after, gateway.public_key, space.operator.domain)


def _refused(gateway: Gateway, home: Path, frame: bytes, error: type[Exception], match: str) -> None:
    before = contents(gateway, home)
    with pytest.raises(error, match=match):
        gateway.ingest(frame)
    assert contents(gateway, home) == before


def test_a_device_that_is_not_enrolled_is_refused(gateway: Gateway, tmp_path: Path) -> None:
    stranger = Device()
    stranger.id = DeviceId(secrets.token_bytes(32))
    frame = stranger.frame(some_rows(0, 1))
    _refused(gateway, tmp_path / "gateway", frame, UnenrolledError, "not enrolled")


def test_another_key_and_another_device_s_name_are_refused(
    space: Space, gateway: Gateway, device: Device, tmp_path: Path
) -> None:
    other = space.enrol(Device(9))
    gateway.ingest(device.frame(some_rows(0, 1)))
    other.id = device.id
    _refused(
        gateway, tmp_path / "gateway", other.frame(some_rows(0, 1)), VerificationError, "not signed by its enrolled key"
    )


def test_a_retired_device_is_refused(space: Space, gateway: Gateway, tmp_path: Path) -> None:
    device = space.enrol()
    gateway.ingest(device.frame(some_rows(0, 1)))
    space.provider.devices.retire(device.id)
    _refused(gateway, tmp_path / "gateway", device.frame(some_rows(1, 1)), UnenrolledError, "is retired")


def test_a_replaced_key_counts_until_its_overlap_ends(space: Space, tmp_path: Path) -> None:
    clock = Clock()
    local = replace(space, clock=clock)
    device = space.enrol()
    new = Ed25519Signer(secrets.token_bytes(32))
    with local.open_gateway(tmp_path / "gateway") as gateway:
        gateway.ingest(device.frame(some_rows(0, 1)))
        rotated = space.provider.devices.rotate(device.id, ED25519, new.public_key, 600, 0)
        clock.now = rotated.timestamp + 599
        gateway.ingest(device.frame(some_rows(1, 1)))
        device.signer, old = new, device.signer
        gateway.ingest(device.frame(some_rows(2, 1)))
        clock.now = rotated.timestamp + 600
        gateway.ingest(device.frame(some_rows(3, 1)))
        device.signer = old
        with pytest.raises(VerificationError):
            gateway.ingest(device.frame(some_rows(4, 1)))


def test_a_compromised_key_counts_only_to_the_time_named(space: Space, tmp_path: Path) -> None:
    clock = Clock()
    device = space.enrol()
    with replace(space, clock=clock).open_gateway(tmp_path / "gateway") as gateway:
        start = space.chain.head().timestamp
        space.provider.devices.rotate(device.id, ED25519, GATEWAY_SIGNER.public_key, 600, start + 5)
        clock.now = start + 5
        with pytest.raises(VerificationError):
            gateway.ingest(device.frame(some_rows(0, 1)))


def test_marks_are_true_or_refused(space: Space, gateway: Gateway, device: Device, tmp_path: Path) -> None:
    claims = sign_frame(
        Frame(device.id, 1, Digest(bytes(32)), None, Mark.WITNESSED, tuple(some_rows(0, 1))), device.signer
    )
    _refused(gateway, tmp_path / "gateway", claims, MarkError, "signed by the device")
    mute = Device()
    mute.id, mute.signer = DeviceId(secrets.token_bytes(32)), GATEWAY_SIGNER
    space.provider.devices.enroll(mute.id, ED25519, GATEWAY_SIGNER.public_key, STORAGE_STATION.hash)
    gateway.ingest(mute.frame(some_rows(0, 1), mark=Mark.WITNESSED))
    _refused(gateway, tmp_path / "gateway", mute.frame(some_rows(1, 1)), MarkError, "signed by the gateway")


# ------------------------------------------------------------------------------------------------------ continuity


def test_a_gap_is_an_incident_and_nothing_is_lost(gateway: Gateway, device: Device) -> None:
    frames = device.frames(6)
    for frame in (*frames[:2], *frames[4:]):
        gateway.ingest(frame)
    document = gateway.build_batch()
    assert document is not None
    assert [(str(one.kind), one.sequence, one.last, one.evidence) for one in document.incidents] == [
        ("gap", 3, 4, frame_hash(frames[4]))
    ]
    assert [(entry.first, entry.last) for entry in document.entries] == [(1, 2), (5, 6)]


def test_frames_that_come_late_fill_their_hole(gateway: Gateway, device: Device) -> None:
    frames = device.frames(6)
    for at in (0, 1, 4, 5, 3, 2):
        gateway.ingest(frames[at])
    assert incidents_of(gateway) == [("gap", 3, 4), ("reordered", 4, 4), ("reordered", 3, 3)]
    gateway.ingest(device.frame(some_rows(50, 1)))
    assert incidents_of(gateway) == []


def test_a_first_frame_that_is_not_the_first_leaves_a_gap(gateway: Gateway, device: Device) -> None:
    gateway.ingest(device.frames(4)[3])
    assert incidents_of(gateway) == [("gap", 1, 3)]


def _twin(device: Device, sequence: int, previous: Digest, rows: list[Row]) -> bytes:
    return sign_frame(Frame(device.id, sequence, previous, None, Mark.SIGNED, tuple(rows)), device.signer)


_WHOLE_HISTORY = ("same number", "other predecessor", "on a fork", "on another number")


@pytest.mark.parametrize("case", [*_WHOLE_HISTORY, "into a hole", "before"])
def test_two_histories_are_a_fork_and_both_are_kept(gateway: Gateway, device: Device, case: str) -> None:
    frames = device.frames(6)
    hashes = [frame_hash(frame) for frame in frames]
    kept = frames if case in _WHOLE_HISTORY else frames[:2] + frames[3:]
    for frame in kept:
        gateway.ingest(frame)
    other = Digest(b"\x77" * 32)
    forked, sequence, known = {
        "same number": (_twin(device, 4, hashes[2], some_rows(90, 1)), 4, hashes[3]),
        "other predecessor": (_twin(device, 7, other, some_rows(90, 1)), 6, hashes[5]),
        "into a hole": (_twin(device, 3, other, some_rows(90, 1)), 2, hashes[1]),
        "before": (_twin(device, 3, hashes[1], some_rows(90, 1)), 4, hashes[3]),
        "on a fork": (_twin(device, 4, hashes[2], some_rows(90, 1)), 4, hashes[3]),
        "on another number": (_twin(device, 9, hashes[3], some_rows(90, 1)), 4, hashes[3]),
    }[case]
    for _ in range(2):  # again changes nothing
        with pytest.raises(ForkError, match="second history") as caught:
            gateway.ingest(forked)
        assert caught.value.frame == frame_hash(forked)
    with pytest.raises(ForkError):
        gateway.ingest(_twin(device, 8, frame_hash(forked), some_rows(91, 1)))
    assert gateway.evidence(frame_hash(forked)) == forked
    document = gateway.build_batch()
    assert document is not None
    assert document.batch.size == len(kept)
    forks = [one for one in document.incidents if one.kind == "fork"]
    assert next(one.evidence for one in forks) == frame_hash(forked)
    assert len(forks) == 2
    assert sequence > 0
    assert known in hashes


def test_a_fork_names_both_frames(gateway: Gateway, device: Device) -> None:
    frames = device.frames(3)
    for frame in frames:
        gateway.ingest(frame)
    twin = _twin(device, 2, frame_hash(frames[0]), some_rows(90, 1))
    with pytest.raises(ForkError) as caught:
        gateway.ingest(twin)
    assert (caught.value.device, caught.value.sequence) == (device.id, 2)
    assert (caught.value.known, caught.value.frame) == (frame_hash(frames[1]), frame_hash(twin))


def test_a_device_goes_on_after_somebody_tried_to_fork_it(gateway: Gateway, device: Device) -> None:
    gateway.ingest(device.frame(some_rows(0, 1)))
    with pytest.raises(ForkError):
        gateway.ingest(_twin(device, 1, Digest(bytes(32)), some_rows(9, 1)))
    gateway.ingest(device.frame(some_rows(1, 1)))
    assert gateway.status().waiting == 2


def test_old_and_future_readings_are_incidents(space: Space, gateway: Gateway, device: Device) -> None:
    now = int(space.clock())
    late = STORAGE_STATION.late_after
    for time in (now - late - 1, now - late - 1, now - late, now + 300, now + 301):
        gateway.ingest(device.frame([Row(time, {"P": 1})]))
    gateway.ingest(device.frame([Row(now - 10 * late, {"P": 1})], mark=Mark.IMPORTED))
    assert incidents_of(gateway) == [("late", 1, 2), ("ahead", 5, 5)]


# ---------------------------------------------------------------------------------------------------------- hostile


def _mutations() -> list[Callable[[bytes], bytes]]:
    return [
        lambda frame: frame[:-1],
        lambda frame: frame + b"\x00",
        lambda frame: frame[1:],
        lambda frame: b"",
        lambda frame: b"\x81" * 500_000,
        lambda frame: frame[:2] + b"\x5b" + b"\xff" * 8,
        lambda frame: frame[:2] + b"\x3b" + b"\xff" * 8,
        lambda frame: frame[:2] + b"\x9b" + b"\xff" * 8,
        lambda frame: bytes(2_000_000),
        lambda frame: frame.replace(b"\xa0", b"\xa1\x04\x41\x00", 1),
        lambda frame: b"\xd9\xd9\xf7" + frame,
    ]


@pytest.mark.parametrize("number", range(len(_mutations())))
def test_malformed_frames_change_nothing(gateway: Gateway, device: Device, tmp_path: Path, number: int) -> None:
    hostile = _mutations()[number](device.frame(some_rows(0, 2)))
    _refused(gateway, tmp_path / "gateway", hostile, FormatError, ".")


def test_fuzz_hostile_frames_are_documented_errors_and_change_nothing(
    gateway: Gateway, device: Device, tmp_path: Path
) -> None:
    honest = device.frames(2)
    for frame in honest:
        gateway.ingest(frame)
    before = contents(gateway, tmp_path / "gateway")
    third = device.frame(some_rows(9, 2))

    @given(st.data())
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    def attack(data: st.DataObject) -> None:
        changed = bytearray(third)
        for _ in range(data.draw(st.integers(1, 3))):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        hostile = data.draw(
            st.sampled_from([bytes(changed), bytes(changed[: data.draw(st.integers(0, len(changed)))])])
            | st.binary(max_size=300)
        )
        if hostile != third:
            with pytest.raises((CapsuleError, GatewayError)):
                gateway.ingest(hostile)

    attack()
    assert contents(gateway, tmp_path / "gateway") == before
    gateway.ingest(third)


def test_frames_from_many_threads_are_each_kept_once(space: Space, gateway: Gateway) -> None:
    devices = [space.enrol() for _ in range(4)]
    frames = [frame for device in devices for frame in device.frames(5, rows=1)]
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(gateway.ingest, frames * 3))
    assert receipts[: len(frames)] == receipts[len(frames) : 2 * len(frames)] == receipts[2 * len(frames) :]
    assert gateway.status().frames == len(frames)
    document = gateway.build_batch()
    assert document is not None
    gaps = {one.kind for one in document.incidents} - {"gap", "reordered"}
    assert (document.batch.size, gaps) == (20, set())
    assert BatchDocument.from_bytes(document.to_bytes()) == document
    assert {read_frame(frame).device for frame in frames} == {device.id for device in devices}
