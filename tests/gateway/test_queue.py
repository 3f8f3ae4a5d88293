"""The intake queue on a real gateway: bounded, in order, and done with everything before it ends."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from capsule.frame import FIRST_PREVIOUS
from gateway.errors import BehindError, ForkError, StoppingError, StoreError
from gateway.gateway import Gateway
from gateway.ingest import Taken
from tests.capsule.frames import Device, some_rows
from tests.gateway.space import Space
from tests.gateway.test_ingest import _twin


def _fill(gateway: Gateway, frames: list[bytes], futures: list[Future[Taken]]) -> None:
    for frame in frames:
        futures.append(gateway.submit(frame))


def test_frames_of_many_devices_share_commits(space: Space, tmp_path: Path) -> None:
    devices = [space.enrol() for _ in range(4)]
    frames = [frame for some in zip(*(device.frames(10, rows=1) for device in devices), strict=True) for frame in some]
    with space.open_gateway(tmp_path / "gateway", commit_seconds=0.05, commit_frames=64) as gateway:
        futures = [gateway.submit(frame) for frame in frames]
        together = gateway.submit_many([frames[0], b"none", frames[1]])
        assert all(future.result(20).new for future in futures)
        known, refused, other = together.result(20)
        assert (isinstance(known, Taken), isinstance(refused, Taken), isinstance(other, Taken)) == (True, False, True)
        assert gateway.submit_many([]).result(0) == ()
        assert gateway.status().incidents == 0
        assert gateway.tally.outcomes == {"new": 40, "known": 2, "malformed": 1}
        assert gateway.tally.groups <= 5


def test_a_refused_frame_raises_from_its_future_alone(space: Space, device: Device, tmp_path: Path) -> None:
    with space.open_gateway(tmp_path / "gateway", commit_seconds=0.05) as gateway:
        first = device.frame(some_rows(0, 1))
        taken, forked = gateway.submit(first), gateway.submit(_twin(device, 1, FIRST_PREVIOUS, some_rows(5, 1)))
        second = gateway.submit(device.frame(some_rows(1, 1)))
        assert taken.result(20).new
        assert isinstance(forked.exception(20), ForkError)
        assert second.result(20).new


def test_a_full_queue_refuses_at_once_and_keeps_what_it_took(space: Space, device: Device, tmp_path: Path) -> None:
    frames = device.frames(60, rows=1)
    home = tmp_path / "gateway"
    with space.open_gateway(home, intake_frames=20, commit_frames=8) as gateway:
        gateway.take(frames[0])
        blocker = sqlite3.connect(home / "gateway.db")
        blocker.execute("BEGIN IMMEDIATE")
        futures: list[Future[Taken]] = []
        with pytest.raises(BehindError) as caught:
            _fill(gateway, frames[1:], futures)
        assert len(futures) == 20
        assert 1 <= caught.value.retry_after <= 60
        with pytest.raises(BehindError):
            gateway.submit_many(frames[30:])
        assert not any(future.done() for future in futures)
        blocker.rollback()
        blocker.close()
        assert all(future.result(20).new for future in futures)
        assert all(gateway.submit(frame).result(20).new for frame in frames[21:])
        assert (gateway.status().frames, gateway.status().incidents) == (60, 0)


def test_bytes_are_bounded_too_and_a_single_frame_always_fits(space: Space, device: Device, tmp_path: Path) -> None:
    frames = device.frames(10, rows=20)
    home = tmp_path / "gateway"
    with space.open_gateway(home, intake_bytes=len(frames[0]) * 2) as gateway:
        blocker = sqlite3.connect(home / "gateway.db")
        blocker.execute("BEGIN IMMEDIATE")
        taken: list[Future[Taken]] = []
        with pytest.raises(BehindError):
            _fill(gateway, frames, taken)
        assert 1 <= len(taken) <= 3
        blocker.rollback()
        blocker.close()
        assert all(future.result(20).new for future in taken)
    with space.open_gateway(tmp_path / "small", intake_bytes=1) as gateway:
        assert gateway.submit(frames[0]).result(20).new


def test_a_gateway_that_closes_takes_what_is_queued_and_no_more(space: Space, device: Device, tmp_path: Path) -> None:
    frames = device.frames(50, rows=1)
    gateway = space.open_gateway(tmp_path / "gateway", commit_seconds=5)
    futures = [gateway.submit(frame) for frame in frames]
    start = time.monotonic()
    gateway.close()
    assert time.monotonic() - start < 4
    assert all(future.done() and future.result().new for future in futures)
    with pytest.raises(StoppingError):
        gateway.submit(frames[0])


def test_a_cancelled_frame_is_left_out(space: Space, device: Device, tmp_path: Path) -> None:
    with space.open_gateway(tmp_path / "gateway", commit_seconds=0.2) as gateway:
        one, two = device.frames(2, rows=1)
        first, second = gateway.submit(one), gateway.submit(two)
        assert second.cancel()
        assert first.result(20).new
        assert gateway.submit(two).result(20).new


def test_a_database_that_fails_fails_each_waiting_frame(space: Space, device: Device, tmp_path: Path) -> None:
    home = tmp_path / "gateway"
    with space.open_gateway(home) as gateway:
        gateway.take(device.frame(some_rows(0, 1)))
        with sqlite3.connect(home / "gateway.db") as other:
            other.execute(
                "CREATE TRIGGER broken BEFORE INSERT ON gateway_frames BEGIN SELECT RAISE(ABORT, 'broken'); END"
            )
        frame = device.frame(some_rows(1, 1))
        assert isinstance(gateway.submit(frame).exception(20), StoreError)
        with sqlite3.connect(home / "gateway.db") as other:
            other.execute("DROP TRIGGER broken")
        assert gateway.submit(frame).result(20).new
        assert gateway.tally.outcomes["store"] == 1
