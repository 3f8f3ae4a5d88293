"""Frames taken together fare as they would one by one, and become durable together or not at all."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from capsule.frame import Frame, Mark, frame_hash, sign_frame
from capsule.ids import DeviceId, Digest
from gateway.errors import ForkError, StoreError, StoreFullError
from gateway.gateway import Gateway
from gateway.ingest import Outcome, Taken
from tests.capsule.frames import Device, some_rows
from tests.gateway.space import GATEWAY_SIGNER, Space


def _pool(space: Space) -> list[bytes]:
    """Frames of two devices and a stranger: in order, contradicting each other, forged, falsely marked, or none."""
    pool: list[bytes] = []
    for device in (space.enrol(), space.enrol()):
        frames = device.frames(5, rows=1)
        hashes = [Digest(bytes(32)), *(frame_hash(frame) for frame in frames)]
        pool += frames
        for sequence, previous, rows in (
            (1, hashes[0], 80),
            (3, hashes[2], 81),
            (3, Digest(b"\x55" * 32), 82),
            (6, hashes[3], 83),
            (6, hashes[5], 84),
            (7, Digest(b"\x66" * 32), 85),
        ):
            twin = Frame(device.id, sequence, previous, None, Mark.SIGNED, tuple(some_rows(rows, 1)))
            pool.append(sign_frame(twin, device.signer))
        forged = bytearray(frames[1])
        forged[-1] ^= 1
        pool.append(bytes(forged))
        claims = Frame(device.id, 1, hashes[0], None, Mark.WITNESSED, tuple(some_rows(0, 1)))
        pool.append(sign_frame(claims, device.signer))
        on_fork = Frame(device.id, 4, frame_hash(pool[-7]), None, Mark.SIGNED, tuple(some_rows(86, 1)))
        pool.append(sign_frame(on_fork, device.signer))
    stranger = Device(7)
    stranger.id = DeviceId(secrets.token_bytes(32))
    return [*pool, stranger.frame(some_rows(0, 1)), b"", b"\xd2\x84"]


def _one_by_one(gateway: Gateway, frame: bytes) -> Outcome:
    try:
        return Taken(*gateway.take(frame))
    except Exception as error:  # compared below
        return error  # type: ignore[return-value]


def _told(outcome: Outcome) -> object:
    return outcome if isinstance(outcome, Taken) else (type(outcome), str(outcome))


def _wiped(home: Path) -> dict[str, list[object]]:
    """What the store holds, which is then emptied."""
    database = sqlite3.connect(home / "gateway.db")
    tables = ("gateway_frames", "gateway_forks", "gateway_incidents", "gateway_devices")
    found: dict[str, list[object]] = {
        name: list(database.execute(f"SELECT * FROM {name} ORDER BY 1"))  # noqa: S608
        for name in tables
    }
    for name in (*tables, "gateway_marks"):
        database.execute(f"DELETE FROM {name}")  # noqa: S608
    database.commit()
    database.close()
    return found


def test_frames_taken_together_fare_as_one_by_one(space: Space, tmp_path: Path) -> None:
    pool = _pool(space)
    ledger = space.gateway_ledger()

    @given(
        st.lists(
            st.one_of(
                st.lists(st.integers(0, len(pool) - 1), max_size=14),
                st.tuples(st.integers(0, 4), st.integers(1, 5)).map(
                    lambda run: list(range(run[0], min(run[0] + run[1], 5)))
                ),
            ),
            max_size=5,
        )
    )
    @example([[16, 22], [23, 22]])
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    def alike(calls: list[list[int]]) -> None:
        with space.open_gateway(tmp_path / "one", ledger) as one:
            expected = [[_told(_one_by_one(one, pool[at])) for at in call] for call in calls]
        with space.open_gateway(tmp_path / "many", ledger) as many:
            found = [[_told(outcome) for outcome in many.take_many([pool[at] for at in call])] for call in calls]
        assert found == expected
        assert _wiped(tmp_path / "many") == _wiped(tmp_path / "one")

    alike()


def test_a_bad_frame_does_not_spoil_its_neighbours(space: Space, gateway: Gateway) -> None:
    one, two = space.enrol(), space.enrol()
    first, second, third = one.frames(3)
    other = two.frame(some_rows(0, 1))
    outcomes = gateway.take_many([first, b"\x00", second, second[:-1] + b"\x00", other, third, first])
    assert [isinstance(outcome, Taken) and outcome.new for outcome in outcomes] == [
        True,
        False,
        True,
        False,
        True,
        True,
        False,
    ]
    assert outcomes[6] == Taken(outcomes[0].receipt, new=False)  # type: ignore[union-attr]
    assert (gateway.status().frames, gateway.status().incidents) == (4, 0)
    assert gateway.take_many([]) == ()


def test_when_the_database_fails_none_of_a_group_is_kept_and_all_may_come_again(
    space: Space, device: Device, tmp_path: Path
) -> None:
    home = tmp_path / "gateway"
    with space.open_gateway(home) as gateway:
        frames = device.frames(6)
        gateway.take_many(frames[:2])
        with sqlite3.connect(home / "gateway.db") as other:
            other.execute(
                "CREATE TRIGGER broken BEFORE INSERT ON gateway_frames WHEN NEW.sequence = 5 "
                "BEGIN SELECT RAISE(ABORT, 'out of order'); END"
            )
        outcomes = gateway.take_many([*frames[2:], b"none"])
        assert [type(outcome) for outcome in outcomes[:4]] == [StoreError] * 4
        assert not isinstance(outcomes[4], StoreError)
        assert gateway.status().frames == 2
        with sqlite3.connect(home / "gateway.db") as other:
            other.execute("DROP TRIGGER broken")
        assert all(isinstance(outcome, Taken) and outcome.new for outcome in gateway.take_many(frames[2:]))
        assert (gateway.status().frames, gateway.status().incidents) == (6, 0)


def test_a_full_disk_is_told_and_room_made_later_is_used(space: Space, device: Device, tmp_path: Path) -> None:
    def small(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count=50")

    frames = [device.frame(some_rows(at, 1, columns=300)) for at in range(80)]
    event.listen(Engine, "connect", small)
    try:
        gateway = space.open_gateway(tmp_path / "gateway")
        outcomes = [outcome for at in range(0, 80, 8) for outcome in gateway.take_many(frames[at : at + 8])]
    finally:
        event.remove(Engine, "connect", small)
    with gateway:
        kept = sum(isinstance(outcome, Taken) for outcome in outcomes)
        assert 0 < kept < 80
        assert {type(outcome) for outcome in outcomes[kept:]} == {StoreFullError}
        assert gateway.status().frames == kept
        again = gateway.take_many(frames)
        assert [outcome.receipt for outcome in again[:kept]] == [outcome.receipt for outcome in outcomes[:kept]]  # type: ignore[union-attr]
        assert all(isinstance(outcome, Taken) and outcome.new for outcome in again[kept:])
        assert (gateway.status().frames, gateway.status().incidents) == (80, 0)


def test_places_in_memory_are_forgotten_for_more_devices_than_there_is_room(space: Space, tmp_path: Path) -> None:
    with space.open_gateway(tmp_path / "gateway", known_devices=2) as gateway:
        devices = [space.enrol() for _ in range(5)]
        for _ in range(3):
            outcomes = gateway.take_many([device.frame(some_rows(device.sequence, 1)) for device in devices])
            assert all(isinstance(outcome, Taken) for outcome in outcomes)
        twin = Frame(devices[0].id, 3, Digest(b"\x01" * 32), None, Mark.SIGNED, tuple(some_rows(9, 1)))
        with pytest.raises(ForkError):
            gateway.take(sign_frame(twin, devices[0].signer))
        assert gateway.status().incidents == 1
        assert gateway.public_key.key == GATEWAY_SIGNER.public_key


def test_a_store_from_before_an_index_gets_it(space: Space, device: Device, tmp_path: Path) -> None:
    ledger = space.gateway_ledger()
    with space.open_gateway(tmp_path / "gateway", ledger) as gateway:
        gateway.take(device.frame(some_rows(0, 1)))
    with sqlite3.connect(tmp_path / "gateway" / "gateway.db") as old:
        old.execute("DROP INDEX gateway_forks_device")
    with space.open_gateway(tmp_path / "gateway", ledger) as gateway:
        assert gateway.status().frames == 1
    with sqlite3.connect(tmp_path / "gateway" / "gateway.db") as now:
        plan = now.execute("EXPLAIN QUERY PLAN SELECT number FROM gateway_forks WHERE device = x'00'").fetchall()
    assert "gateway_forks_device" in str(plan)


def test_a_store_of_another_version_is_told_and_left_alone(space: Space, tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()
    with sqlite3.connect(tmp_path / "gateway" / "gateway.db") as old:
        old.execute("CREATE TABLE gateway_frames (number INTEGER PRIMARY KEY, accepted BOOLEAN)")
    for _ in range(2):  # and the lock is let go
        with pytest.raises(StoreError, match="tables of version 1"):
            space.open_gateway(tmp_path / "gateway")
    with sqlite3.connect(tmp_path / "gateway" / "gateway.db") as old:
        assert [name for (name,) in old.execute("SELECT name FROM sqlite_master")] == ["gateway_frames"]
