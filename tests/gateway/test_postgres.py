"""The same store on a real PostgreSQL server: same results, one process, and it outlives the server's stop."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from capsule.frame import Frame, Mark, frame_hash, sign_frame
from capsule.frame_receipt import SignedFrameReceipt
from capsule.source import verify_source
from gateway.errors import ForkError, SettingsError, StoreError, StoreFullError, StoreLockedError
from gateway.ingest import Taken
from tests.capsule.frames import Device, some_rows
from tests.gateway.space import Space
from tests.gateway.test_kill import ROOT, anchors_on_chain, device_of, folder, reopened
from tests.sim.postgres import Postgres, postgres

__all__ = ["folder"]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


def test_a_trip_on_postgresql(space: Space, server: Postgres, device: Device, tmp_path: Path, later: None) -> None:
    ledger, url = space.gateway_ledger(), server.database()
    frames = device.frames(7, rows=2)
    with space.open_gateway(tmp_path, ledger, database=url) as gateway:
        outcomes = gateway.take_many([*frames[:3], *frames[4:6]])
        assert all(isinstance(outcome, Taken) and outcome.new for outcome in outcomes)
        with pytest.raises(StoreLockedError, match="another process"):
            space.open_gateway(tmp_path, ledger, database=url)
    with space.open_gateway(tmp_path, ledger, database=url) as gateway:
        assert [type(outcome) for outcome in gateway.take_many([frames[3], frames[0], frames[6]])] == [Taken] * 3
        twin = Frame(device.id, 2, frame_hash(frames[0]), None, Mark.SIGNED, tuple(some_rows(90, 1)))
        forked = sign_frame(twin, device.signer)
        for _ in range(2):
            with pytest.raises(ForkError):
                gateway.take(forked)
        assert gateway.evidence(frame_hash(forked)) == forked
        status = gateway.status()
        assert (status.devices, status.frames, status.waiting) == (1, 7, 7)
        (anchored,) = gateway.anchor_all()
        assert anchored.batch.size == 7
        container = io.BytesIO()
        export = gateway.export(device.id, container)
        container.seek(0)
        assert verify_source(container, {device.id: device.key}, export.anchors).total == 14
        assert gateway.watch.overview().incidents["fork"] == 1
        gateway.prove(frame_hash(frames[5]))


def test_a_stopped_server_is_an_error_for_a_while_and_loses_nothing(
    space: Space, server: Postgres, device: Device, tmp_path: Path
) -> None:
    frames = device.frames(30, rows=1)
    with space.open_gateway(tmp_path, database=server.database()) as gateway:
        kept = [gateway.submit(frame).result(30) for frame in frames[:10]]
        assert gateway.watch.troubles() == {}
        server.stop()
        try:
            start = time.monotonic()
            refused = [gateway.submit(frame) for frame in frames[10:20]]
            assert {type(future.exception(30)) for future in refused} == {StoreError}
            assert time.monotonic() - start < 20
            time.sleep(1.1)  # as long as an answer stands
            assert "database" in gateway.watch.troubles()
        finally:
            server.start()
        assert all(gateway.submit(frame).result(30).new for frame in frames[10:])
        again = [gateway.submit(frame).result(30) for frame in frames[:10]]
        assert [taken.receipt for taken in again] == [taken.receipt for taken in kept]
        assert not any(taken.new for taken in again)
        status = gateway.status()
        assert (status.frames, status.waiting, status.incidents) == (30, 30, 0)
        assert [batch.batch.size for batch in gateway.anchor_all()] == [30]


def test_whoever_lost_the_lock_reads_the_database_again(
    space: Space, server: Postgres, device: Device, tmp_path: Path
) -> None:
    ledger, url = space.gateway_ledger(), server.database()
    frames = device.frames(4, rows=1)
    with space.open_gateway(tmp_path / "one", ledger, database=url) as one:
        one.take(frames[0])
        engine = create_engine(url)
        with engine.begin() as admin:
            admin.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'dataspace%'")
            )
        engine.dispose()
        with space.open_gateway(tmp_path / "two", ledger, database=url) as two:
            two.take(frames[1])
            for _ in range(2):
                with pytest.raises(StoreError):
                    one.take(frames[2])
        assert one.take(frames[2])[1]
        assert not one.take(frames[1])[1]
        assert one.take(frames[3])[1]
        assert (one.status().frames, one.status().incidents) == (4, 0)


def test_a_full_disk_of_the_server_is_told(space: Space, server: Postgres, device: Device, tmp_path: Path) -> None:
    url = server.database()
    with space.open_gateway(tmp_path, database=url) as gateway:
        engine = create_engine(url)
        with engine.begin() as admin:
            admin.execute(
                text(
                    "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
                    "$$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$"
                )
            )
            admin.execute(text("CREATE TRIGGER full_disk BEFORE INSERT ON gateway_frames EXECUTE FUNCTION full_disk()"))
        frame = device.frame(some_rows(0, 1))
        with pytest.raises(StoreFullError, match="disk is full"):
            gateway.take(frame)
        assert gateway.status().frames == 0
        with engine.begin() as admin:
            admin.execute(text("DROP TRIGGER full_disk ON gateway_frames"))
        engine.dispose()
        assert gateway.take(frame)[1]


def test_nothing_receipted_is_lost_when_a_gateway_on_postgresql_is_killed(
    folder: Path,
    server: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATASPACE_GATEWAY_DATABASE", server.database())
    frames = device_of(folder).frames(120, rows=1)
    (folder / "frames").write_text("\n".join(frame.hex() for frame in frames))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.gateway.child", "ingest", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(40)]
    process.kill()
    lines += process.stdout.read().splitlines(keepends=True)
    process.wait()
    process.stdout.close()
    receipts = [SignedFrameReceipt.from_bytes(line.encode()) for line in lines if line.endswith("}\n")]
    with reopened(folder) as gateway:
        kept = gateway.status().frames
        assert kept >= len(receipts) >= 40
        for frame, receipt in zip(frames, receipts, strict=False):
            assert gateway.take(frame) == (receipt, False)
        assert all(isinstance(outcome, Taken) for outcome in gateway.take_many(frames))
        assert (gateway.status().frames, gateway.status().incidents) == (120, 0)
        gateway.anchor_all()
        assert anchors_on_chain(gateway, folder) == [1]


@pytest.mark.parametrize("url", ["nothing", "mysql://host/name", "sqlite://", "postgresql+psycopg://host"])
def test_a_database_of_another_kind_is_refused(space: Space, tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match="sqlite:///FILE or postgresql"):
        space.open_gateway(tmp_path, database=url)
