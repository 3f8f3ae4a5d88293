"""What a gateway keeps: frames as received, devices, receipts, incidents, batches. SQLite, WAL, synchronous FULL.

Invariants: a transaction that `writing` committed survives `kill -9` and power loss; a device has at most one accepted
frame for each sequence number; a batch is stored with its frames and incidents in one transaction, before any of it is
sent. One process a store; within it, one writer at a time. Frames that were refused as forks stay as evidence.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Engine, Index, MetaData, bindparam, event, func, text, update
from sqlalchemy import select as columns
from sqlalchemy.exc import DBAPIError
from sqlmodel import Field, Session, SQLModel, col, create_engine, select

from capsule.batch import BatchFrame
from capsule.ids import DeviceId, Digest
from gateway.errors import StoreError
from gateway.lock import take_lock

__all__ = ["BatchRow", "DeviceRow", "FrameRow", "IncidentRow", "Records", "Stage", "Store"]

_BUSY_SECONDS = 10


class Stage(StrEnum):
    """Where a batch is on its way: stored here, in a block, in a final block."""

    BUILT = "built"
    SENT = "sent"
    ANCHORED = "anchored"


class _Table(SQLModel):
    """Tables of this store alone, not of whatever else in the process uses SQLModel."""

    metadata = MetaData()


class DeviceRow(_Table, table=True):
    """A device seen here, and the highest frame of it."""

    __tablename__ = "gateway_devices"
    device: bytes = Field(primary_key=True)
    first_seen: int
    last_sequence: int
    last_hash: bytes


class FrameRow(_Table, table=True):
    """A frame as received. `number` is the order of arrival; a batch's frames stand in that order.

    Not `accepted`: evidence of a fork, without receipt and batch.
    """

    __tablename__ = "gateway_frames"
    __table_args__ = (
        Index("gateway_frames_accepted", "device", "sequence", unique=True, sqlite_where=text("accepted = 1")),
        Index("gateway_frames_batch", "batch", "position"),
    )
    number: int | None = Field(default=None, primary_key=True)
    hash: bytes = Field(unique=True)
    device: bytes
    sequence: int
    previous: bytes
    leaf: bytes
    mark: str
    rows: int
    first_time: float
    last_time: float
    received_at: int
    accepted: bool
    data: bytes
    receipt: bytes | None = None
    batch: int | None = None
    position: int | None = None


class IncidentRow(_Table, table=True):
    """An incident; `batch` once it is in one."""

    __tablename__ = "gateway_incidents"
    number: int | None = Field(default=None, primary_key=True)
    kind: str
    device: bytes
    sequence: int
    last: int
    evidence: bytes
    recorded_at: int
    batch: int | None = Field(default=None, index=True)


class BatchRow(_Table, table=True):
    """A batch and its document (JSON). `anchored_at` is its block's time."""

    __tablename__ = "gateway_batches"
    number: int = Field(primary_key=True)
    frames_root: bytes = Field(unique=True)
    document: bytes
    built_at: int
    stage: str = Field(default=Stage.BUILT, index=True)
    block: int | None = None
    transaction: bytes | None = None
    anchored_at: int | None = None


class Records:
    """The questions and changes of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, row: SQLModel) -> None:
        self._session.add(row)

    def device(self, device: DeviceId) -> DeviceRow | None:
        return self._session.get(DeviceRow, bytes(device))

    def frame(self, frame: Digest) -> FrameRow | None:
        """A frame by hash, accepted or not."""
        return self._session.exec(select(FrameRow).where(FrameRow.hash == bytes(frame))).one_or_none()

    def frame_at(self, device: DeviceId, sequence: int) -> FrameRow | None:
        """The accepted frame of a device with this number."""
        return self._session.exec(
            select(FrameRow).where(
                FrameRow.device == bytes(device), FrameRow.sequence == sequence, col(FrameRow.accepted)
            )
        ).one_or_none()

    def frames_waiting(self) -> tuple[int, int | None]:
        """How many accepted frames are in no batch, and when the oldest of them came."""
        question = select(func.count(), func.min(FrameRow.received_at)).where(
            col(FrameRow.accepted), col(FrameRow.batch).is_(None)
        )
        count, oldest = self._session.exec(question).one()
        return count, oldest

    def next_frames(self, limit: int) -> tuple[tuple[int, BatchFrame], ...]:
        """The oldest accepted frames that are in no batch, with their numbers."""
        question = (
            columns(*(col(part) for part in (FrameRow.number, FrameRow.device, FrameRow.sequence)))
            .add_columns(*(col(part) for part in (FrameRow.previous, FrameRow.hash, FrameRow.leaf)))
            .where(col(FrameRow.accepted), col(FrameRow.batch).is_(None))
            .order_by(col(FrameRow.number))
            .limit(limit)
        )
        rows = self._session.connection().execute(question)
        return tuple(
            (number, BatchFrame(DeviceId(device), sequence, Digest(previous), Digest(frame), Digest(leaf)))
            for number, device, sequence, previous, frame, leaf in rows
        )

    def put_into_batch(self, numbers: Sequence[int], batch: int) -> None:
        """Gives frames, in this order, their positions in a batch."""
        change = update(FrameRow).where(col(FrameRow.number) == bindparam("frame"))
        self._session.connection().execute(
            change.values(batch=batch, position=bindparam("place")),
            [{"frame": number, "place": position} for position, number in enumerate(numbers)],
        )

    def incidents(self, batch: int | None) -> Sequence[IncidentRow]:
        """Incidents of a batch, or those that are in none yet, in the order they were recorded."""
        wanted = col(IncidentRow.batch).is_(None) if batch is None else col(IncidentRow.batch) == batch
        return self._session.exec(select(IncidentRow).where(wanted).order_by(col(IncidentRow.number))).all()

    def leaves(self, batch: int) -> list[bytes]:
        """Leaf hashes of a batch's frames in order."""
        question = select(FrameRow.leaf).where(FrameRow.batch == batch).order_by(col(FrameRow.position))
        return list(self._session.exec(question))

    def span(self, device: DeviceId, start: float | None, end: float | None) -> tuple[int, int | None, int | None]:
        """Count, first and last sequence of a device's accepted frames with rows in start..end (unix seconds)."""
        question = select(func.count(), func.min(FrameRow.sequence), func.max(FrameRow.sequence)).where(
            FrameRow.device == bytes(device), col(FrameRow.accepted)
        )
        if start is not None:
            question = question.where(FrameRow.last_time >= start)
        if end is not None:
            question = question.where(FrameRow.first_time < end)
        return self._session.exec(question).one()

    def frames_between(self, device: DeviceId, first: int, last: int) -> Iterator[FrameRow]:
        """A device's accepted frames by sequence, read as they are asked for."""
        question = (
            select(FrameRow)
            .where(
                FrameRow.device == bytes(device),
                col(FrameRow.accepted),
                FrameRow.sequence >= first,
                FrameRow.sequence <= last,
            )
            .order_by(col(FrameRow.sequence))
            .execution_options(yield_per=64)
        )
        yield from self._session.exec(question)

    def places(self, device: DeviceId, first: int, last: int) -> Sequence[tuple[int, int | None, int]]:
        """Sequence, batch and number of rows of a device's accepted frames, by sequence."""
        return self._session.exec(
            select(FrameRow.sequence, FrameRow.batch, FrameRow.rows)
            .where(
                FrameRow.device == bytes(device),
                col(FrameRow.accepted),
                FrameRow.sequence >= first,
                FrameRow.sequence <= last,
            )
            .order_by(col(FrameRow.sequence))
        ).all()

    def batch(self, number: int) -> BatchRow | None:
        return self._session.get(BatchRow, number)

    def batch_with(self, frames_root: Digest) -> BatchRow | None:
        return self._session.exec(select(BatchRow).where(BatchRow.frames_root == bytes(frames_root))).one_or_none()

    def last_batch(self) -> BatchRow | None:
        return self._session.exec(select(BatchRow).order_by(col(BatchRow.number).desc()).limit(1)).one_or_none()

    def batches(self, *stages: Stage) -> Sequence[BatchRow]:
        """Batches in one of these stages, by number."""
        return self._session.exec(
            select(BatchRow).where(col(BatchRow.stage).in_(stages)).order_by(col(BatchRow.number))
        ).all()

    def count(self, table: type[SQLModel]) -> int:
        return self._session.exec(select(func.count()).select_from(table)).one()


class Store:
    """The database file at `path`, opened by this process alone."""

    def __init__(self, path: Path) -> None:
        """Raises StoreLockedError when another process has it, StoreError when it can't be opened."""
        self._lock_file = take_lock(path)
        self._turn = threading.Lock()
        try:
            self._engine = _engine(path)
            with _translated():
                _Table.metadata.create_all(self._engine)
        except BaseException:
            os.close(self._lock_file)
            raise

    def close(self) -> None:
        self._engine.dispose()
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writing(self) -> Iterator[Records]:
        """A transaction: committed and on disk when the block ends, undone when it raises."""
        with self._turn, _translated(), Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield Records(session)

    @contextmanager
    def reading(self) -> Iterator[Records]:
        """A look at what is committed."""
        with _translated(), Session(self._engine, expire_on_commit=False) as session:
            yield Records(session)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DBAPIError as exc:
        raise StoreError(f"the gateway's database failed: {exc.orig}") from exc


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine
