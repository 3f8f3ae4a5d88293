"""What a gateway keeps: frames as received, evidence of forks, devices, receipts, incidents, batches.

Invariants: see `gateway.tables` and `gateway.database`. A batch is stored with its incidents in one transaction,
before any of it is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, Self

from sqlalchemy import ColumnElement, Dialect, func, insert, inspect, update
from sqlalchemy import select as columns
from sqlalchemy.orm import defer
from sqlmodel import Session, SQLModel, col, select

from capsule.batch import MAX_BATCH_INCIDENTS, BatchFrame, Incident, IncidentKind
from capsule.errors import InputError
from capsule.ids import DeviceId, Digest
from gateway.database import Database
from gateway.tables import BatchRow, DeviceRow, ForkRow, FrameRow, IncidentRow, MarkRow, SchemaRow, Stage

__all__ = [
    "BatchRow",
    "DeviceRow",
    "Fleet",
    "ForkRow",
    "FrameRow",
    "IncidentGroup",
    "IncidentRow",
    "LastFrame",
    "MarkRow",
    "Records",
    "Stage",
    "Store",
]

_DOCUMENT: Any = BatchRow.document
_RECENT_FRAMES: Final = 5_000
_RECENT_INCIDENTS: Final = 100_000
_AT_ONCE: Final = 500
"""values in one IN"""


@lru_cache(maxsize=64)
def _insertion(table: type[SQLModel], columns: tuple[str, ...], dialect: Dialect) -> tuple[str, list[str] | None]:
    """How a row is inserted, as the driver takes it, and the order of its values where they have no names.

    A gateway does this for every frame: SQLAlchemy's own way takes as long as the database itself.
    """
    compiled = insert(table).compile(dialect=dialect, column_keys=list(columns))
    return str(compiled), compiled.positiontup if compiled.positional else None


@dataclass(frozen=True, slots=True)
class LastFrame:
    """The accepted frame of a device with the highest number."""

    last_sequence: int
    last_hash: bytes


@dataclass(frozen=True, slots=True)
class Fleet:
    """A device of the fleet: its highest sequence, and when a frame of it came last (unix seconds)."""

    device: DeviceId
    last_sequence: int
    last_seen: int


@dataclass(frozen=True, slots=True)
class IncidentGroup:
    """Incidents of one kind, and one rule, of one device: how many, between which frames, the newest one's time (unix
    seconds) and its batch, None while it is in none."""

    kind: str
    rule: str
    device: DeviceId
    incidents: int
    first: int
    last: int
    recorded_at: int
    batch: int | None


class Records:
    """The questions and changes of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    # ------------------------------------------------------------------------------------------------- frames in

    def add(self, row: SQLModel) -> None:
        self._session.add(row)

    def add_all(self, table: type[SQLModel], rows: Sequence[Mapping[str, Any]]) -> None:
        """Inserts rows of frames, incidents, devices or marks at once; all have the same columns."""
        if rows:
            connection = self._session.connection()
            statement, order = _insertion(table, tuple(rows[0]), connection.dialect)
            values: Any = rows if order is None else list(map(itemgetter(*order), rows))
            connection.exec_driver_sql(statement, values)

    def last_number(self) -> int:
        """The number of the newest accepted frame; 0 for none."""
        return self._session.exec(select(func.max(FrameRow.number))).one() or 0

    def last_frames(self, devices: Sequence[bytes]) -> dict[bytes, tuple[int, bytes]]:
        """Sequence and hash of the highest frame of each of these devices that has any."""
        found: dict[bytes, tuple[int, bytes]] = {}
        for some in _slices(devices):
            newest = (
                columns(col(FrameRow.number))
                .where(col(FrameRow.device) == col(DeviceRow.device))
                .order_by(col(FrameRow.sequence).desc())
                .limit(1)
                .correlate(DeviceRow)
                .scalar_subquery()
            )
            numbers = columns(newest).where(col(DeviceRow.device).in_(some))
            rows = self._session.connection().execute(
                columns(col(FrameRow.device), col(FrameRow.sequence), col(FrameRow.hash)).where(
                    col(FrameRow.number).in_(numbers)
                )
            )
            found |= {bytes(device): (sequence, bytes(frame)) for device, sequence, frame in rows}
        return found

    def device(self, device: DeviceId) -> LastFrame | None:
        """Where a device's history stands; None where it has none here."""
        found = self.last_frames((bytes(device),)).get(bytes(device))
        return None if found is None else LastFrame(*found)

    def known(self, hashes: Sequence[bytes]) -> dict[bytes, FrameRow | ForkRow]:
        """Those of these frames that are here, accepted or as evidence, by hash."""
        found: dict[bytes, FrameRow | ForkRow] = {}
        for some in _slices(hashes):
            frames = self._session.exec(select(FrameRow).where(col(FrameRow.hash).in_(some))).all()
            forks = self._session.exec(select(ForkRow).where(col(ForkRow.hash).in_(some))).all()
            found |= {row.hash: row for row in frames}
            found |= {row.hash: row for row in forks}
        return found

    def frame(self, frame: Digest) -> FrameRow | None:
        """An accepted frame by hash."""
        return self._session.exec(select(FrameRow).where(FrameRow.hash == bytes(frame))).one_or_none()

    def fork(self, frame: Digest) -> ForkRow | None:
        """A frame kept as evidence, by hash."""
        return self._session.exec(select(ForkRow).where(ForkRow.hash == bytes(frame))).one_or_none()

    def has_forks(self, device: DeviceId, number: int) -> bool:
        """Whether so many frames of a device, or more, are kept as evidence."""
        question = select(ForkRow.number).where(ForkRow.device == bytes(device)).limit(1).offset(number - 1)
        return self._session.exec(question).one_or_none() is not None

    def frame_at(self, device: DeviceId, sequence: int) -> FrameRow | None:
        """The accepted frame of a device with this number."""
        return self._session.exec(
            select(FrameRow).where(FrameRow.device == bytes(device), FrameRow.sequence == sequence)
        ).one_or_none()

    # ---------------------------------------------------------------------------------------------------- batches

    def frames_waiting(self) -> tuple[int, int | None]:
        """How many accepted frames are in no batch, and when the oldest of them came."""
        first = self._next_first()
        waiting = self.last_number() - first + 1
        oldest = self._session.exec(select(FrameRow.received_at).where(FrameRow.number == first)).one_or_none()
        return waiting, oldest

    def next_frames(self, limit: int) -> tuple[int, tuple[BatchFrame, ...]]:
        """The oldest accepted frames that are in no batch, and the number of the first of them."""
        first = self._next_first()
        question = (
            columns(*(col(part) for part in (FrameRow.device, FrameRow.sequence, FrameRow.previous)))
            .add_columns(col(FrameRow.hash), col(FrameRow.leaf))
            .where(col(FrameRow.number) >= first, col(FrameRow.number) < first + limit)
            .order_by(col(FrameRow.number))
        )
        rows = self._session.connection().execute(question)
        return first, tuple(
            BatchFrame(DeviceId(device), sequence, Digest(previous), Digest(frame), Digest(leaf))
            for device, sequence, previous, frame, leaf in rows
        )

    def _next_first(self) -> int:
        question = select(BatchRow.first, BatchRow.size).order_by(col(BatchRow.number).desc()).limit(1)
        last = self._session.exec(question).one_or_none()
        return 1 if last is None else last[0] + last[1]

    def waiting_incidents(self) -> tuple[int, list[Incident]]:
        """Incidents that are in no batch yet, in the order they were recorded, as many as a batch may have; and the
        number of the last of them."""
        question = (
            columns(*(col(part) for part in (IncidentRow.kind, IncidentRow.device, IncidentRow.sequence)))
            .add_columns(
                col(IncidentRow.evidence), col(IncidentRow.last), col(IncidentRow.rule), col(IncidentRow.number)
            )
            .where(col(IncidentRow.batch).is_(None))
            .order_by(col(IncidentRow.number))
            .limit(MAX_BATCH_INCIDENTS)
        )
        rows = self._session.connection().execute(question).all()
        found = [
            Incident(IncidentKind(kind), DeviceId(device), sequence, Digest(evidence), last, rule=rule)
            for kind, device, sequence, evidence, last, rule, _ in rows
        ]
        return rows[-1][-1] if rows else 0, found

    def put_into_batch(self, last_incident: int, batch: int) -> None:
        """Gives waiting incidents, up to the one with this number, to a batch."""
        self._session.connection().execute(
            update(IncidentRow)
            .where(col(IncidentRow.batch).is_(None), col(IncidentRow.number) <= last_incident)
            .values(batch=batch)
        )

    def leaves(self, batch: BatchRow) -> list[bytes]:
        """Leaf hashes of a batch's frames in order."""
        question = select(FrameRow.leaf).where(_in_batch(batch)).order_by(col(FrameRow.number))
        return list(self._session.exec(question))

    def batch(self, number: int) -> BatchRow | None:
        return self._session.get(BatchRow, number)

    def batch_of(self, frame: int) -> BatchRow | None:
        """The batch that holds the frame with this number."""
        question = select(BatchRow).where(BatchRow.first <= frame).order_by(col(BatchRow.first).desc()).limit(1)
        row = self._session.exec(question).one_or_none()
        return row if row is not None and frame < row.first + row.size else None

    def batch_with(self, frames_root: Digest) -> BatchRow | None:
        return self._session.exec(select(BatchRow).where(BatchRow.frames_root == bytes(frames_root))).one_or_none()

    def last_batch(self) -> BatchRow | None:
        return self._session.exec(select(BatchRow).order_by(col(BatchRow.number).desc()).limit(1)).one_or_none()

    def unanchored(self, after: int) -> BatchRow | None:
        """The next batch, past this number, that is not anchored yet."""
        question = select(BatchRow).where(col(BatchRow.stage) != Stage.ANCHORED, BatchRow.number > after)
        return self._session.exec(question.order_by(col(BatchRow.number)).limit(1)).one_or_none()

    # -------------------------------------------------------------------------------------------------------- out

    def span(self, device: DeviceId, start: float | None, end: float | None) -> tuple[int, int | None, int | None]:
        """Count, first and last sequence of a device's accepted frames with rows in start..end (unix seconds).

        Raises InputError for a period that ends before it begins.
        """
        if start is not None and end is not None and start >= end:
            raise InputError("a period begins before it ends: give a 'from' that is earlier than its 'to'")
        question = select(func.count(), func.min(FrameRow.sequence), func.max(FrameRow.sequence)).where(
            FrameRow.device == bytes(device)
        )
        if start is not None:
            question = question.where(FrameRow.last_time >= start)
        if end is not None:
            question = question.where(FrameRow.first_time < end)
        return self._session.exec(question).one()

    def frames_between(self, device: DeviceId, first: int, last: int) -> Iterator[FrameRow]:
        """A device's accepted frames by sequence, read as they are asked for."""
        question = select(FrameRow).where(FrameRow.device == bytes(device), _between(first, last))
        yield from self._session.exec(question.order_by(col(FrameRow.sequence)).execution_options(yield_per=64))

    def frames_before(self, device: DeviceId, sequence: int, count: int) -> list[FrameRow]:
        """The last accepted frames of a device below a sequence number, at most `count`, by sequence."""
        question = select(FrameRow).where(FrameRow.device == bytes(device), FrameRow.sequence < sequence)
        return list(self._session.exec(question.order_by(col(FrameRow.sequence).desc()).limit(count)))[::-1]

    def places(self, device: DeviceId, first: int, last: int) -> Sequence[tuple[int, int, int]]:
        """Sequence, number and count of rows of a device's accepted frames, by sequence."""
        return self._session.exec(
            select(FrameRow.sequence, FrameRow.number, FrameRow.rows)
            .where(FrameRow.device == bytes(device), _between(first, last))
            .order_by(col(FrameRow.sequence))
        ).all()

    def marks(self, device: DeviceId, first: int, last: int) -> Iterator[MarkRow]:
        """Marked readings of a device's frames, by sequence, read as they are asked for."""
        question = select(MarkRow).where(MarkRow.device == bytes(device), col(MarkRow.sequence).between(first, last))
        order = question.order_by(col(MarkRow.sequence), col(MarkRow.number))
        yield from self._session.exec(order.execution_options(yield_per=1024))

    def marked(self, device: DeviceId, first: int, last: int) -> dict[str, int]:
        """How many readings of a device's frames are marked, by rule."""
        question = (
            select(MarkRow.rule, func.sum(MarkRow.readings))
            .where(MarkRow.device == bytes(device), col(MarkRow.sequence).between(first, last))
            .group_by(col(MarkRow.rule))
            .order_by(col(MarkRow.rule))
        )
        return {rule: int(count) for rule, count in self._session.exec(question)}

    def batches_between(self, first: int, last: int) -> Sequence[BatchRow]:
        """The batches that hold frames numbered from `first` to `last`, by number; their documents stay where they
        are."""
        return self._session.exec(
            select(BatchRow)
            .options(defer(_DOCUMENT))
            .where(BatchRow.first <= last, col(BatchRow.first) + col(BatchRow.size) > first)
            .order_by(col(BatchRow.number))
        ).all()

    # ----------------------------------------------------------------------------------------------- at a glance

    def count(self, table: type[SQLModel]) -> int:
        return self._session.exec(select(func.count()).select_from(table)).one()

    def counts(self, table: type[SQLModel], column: str) -> dict[str, int]:
        """How many rows there are of each value of a column."""
        by = inspect(table).columns[column]
        rows = self._session.connection().execute(columns(by, func.count()).group_by(by))
        return dict(rows.all())

    def unanchored_since(self) -> int | None:
        """When the oldest frame came that is in no anchored batch; None where all are."""
        open_first = self._session.exec(
            select(func.min(BatchRow.first)).where(col(BatchRow.stage) != Stage.ANCHORED)
        ).one()
        first = self._next_first() if open_first is None else open_first
        return self._session.exec(select(FrameRow.received_at).where(FrameRow.number == first)).one_or_none()

    def recent_fleet(self, limit: int) -> tuple[Fleet, ...]:
        """The devices that sent last, of those in the newest frames."""
        newest = func.max(FrameRow.received_at)
        question = (
            columns(col(FrameRow.device), func.max(FrameRow.sequence), newest)
            .where(col(FrameRow.number) > self.last_number() - _RECENT_FRAMES)
            .group_by(col(FrameRow.device))
            .order_by(newest.desc(), col(FrameRow.device))
            .limit(limit)
        )
        rows = self._session.connection().execute(question)
        return tuple(Fleet(DeviceId(device), sequence, seen) for device, sequence, seen in rows)

    def recent_incidents(self, limit: int) -> tuple[IncidentGroup, ...]:
        """The newest incidents by kind, rule and device, the group with the newest one first: a faulty device may make
        one with each of its frames, and shall hide no other."""
        number, last = col(IncidentRow.number), func.max(col(IncidentRow.number))
        newest = self._session.exec(select(last)).one() or 0
        same = (col(IncidentRow.kind), col(IncidentRow.rule), col(IncidentRow.device))
        question = (
            columns(*same, func.count(), func.min(IncidentRow.sequence), func.max(IncidentRow.last), last)
            .where(number > newest - _RECENT_INCIDENTS)
            .group_by(*same)
            .order_by(last.desc())
            .limit(limit)
        )
        groups = self._session.connection().execute(question).all()
        told = columns(number, col(IncidentRow.recorded_at), col(IncidentRow.batch)).where(
            number.in_([group[-1] for group in groups])
        )
        when = {row[0]: (row[1], row[2]) for row in self._session.connection().execute(told)}
        return tuple(
            IncidentGroup(kind, rule, DeviceId(device), count, first, end, *when[at])
            for kind, rule, device, count, first, end, at in groups
        )

    def recent_batches(self, limit: int) -> Sequence[BatchRow]:
        """The newest batches, newest first; their documents stay where they are."""
        newest = select(BatchRow).options(defer(_DOCUMENT)).order_by(col(BatchRow.number).desc())
        return self._session.exec(newest.limit(limit)).all()


class Store:
    """The database at a SQLAlchemy URL, opened by this process alone."""

    def __init__(self, url: str) -> None:
        """Raises StoreLockedError when another process has it, StoreError when it can't be opened, SettingsError."""
        self._database = Database(url)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def generation(self) -> int:
        """While it stays the same, nobody but this object changed the database."""
        return self._database.generation

    def probe(self) -> None:
        """Writes nothing of note, to see whether it can be written. Raises StoreError."""
        with self._database.writing() as session:
            session.connection().execute(update(SchemaRow).values(version=SchemaRow.version))

    @contextmanager
    def writing(self) -> Iterator[Records]:
        """A transaction: committed and on disk when the block ends, undone when it raises."""
        with self._database.writing() as session:
            yield Records(session)

    @contextmanager
    def reading(self) -> Iterator[Records]:
        """A look at what is committed."""
        with self._database.reading() as session:
            yield Records(session)


def _between(first: int, last: int) -> ColumnElement[bool]:
    return col(FrameRow.sequence).between(first, last)


def _in_batch(batch: BatchRow) -> ColumnElement[bool]:
    return col(FrameRow.number).between(batch.first, batch.first + batch.size - 1)


def _slices(values: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for at in range(0, len(values), _AT_ONCE):
        yield values[at : at + _AT_ONCE]
