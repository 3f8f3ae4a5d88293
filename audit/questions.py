"""Questions that the regulator's pages ask of the register: pages of events and subjects, look-ups, sums.

Each is bounded by its page or limit, and served by an index of the register. Text of others comes back as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Engine, Select, distinct, func, select, union_all
from sqlalchemy.exc import SQLAlchemyError

from audit.complaints import REMAKE, complaint
from audit.errors import StoreError
from audit.register import EVENTS, INCIDENTS, LINKS, MENTIONS, SUBJECTS

__all__ = ["Bucket", "EventRow", "IncidentRow", "Page", "Questions", "SubjectRow"]

_HIGHEST: Final = "\uffff"
_Row = TypeVar("_Row")
_CHUNK: Final = 1_000


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event: `who` acted (empty where anybody may), `uscc` its organisation; `kind`, `id`: its subject."""

    number: int
    block: int
    position: int
    time: int
    transaction: str
    contract: str
    event: str
    who: str
    uscc: str
    kind: str
    id: str
    amount: int
    what_en: str
    what_zh: str
    body: str

    def what(self, language: str) -> str:
        return self.what_zh if language == "zh" else self.what_en

    def values(self) -> dict[str, Any]:
        """The event's own fields."""
        values: dict[str, Any] = json.loads(self.body)
        return values


@dataclass(frozen=True, slots=True)
class SubjectRow:
    """One thing with a trail; `number` is that of the event which made it."""

    kind: str
    id: str
    label: str
    parent: str
    number: int


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """An incident as a gateway's batch document tells it."""

    number: int
    time: int
    kind: str
    device: str
    first: int
    last: int
    gateway: str
    batch: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """How often an event happened in a stretch of time that begins at `start`, and the sum of what it counts."""

    start: int
    event: str
    count: int
    amount: int


@dataclass(frozen=True, slots=True)
class Page(Generic[_Row]):
    """Part of a list: rows from `offset` on, of `total`."""

    rows: tuple[_Row, ...]
    offset: int
    total: int


class Questions:
    """Reads a register. Safe to share between threads. Raises StoreError for whatever the database refuses."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def trail(self, abouts: Sequence[bytes], offset: int, limit: int) -> Page[EventRow]:
        """Events about any of these, in chain order."""
        numbers = select(MENTIONS.c.number).where(MENTIONS.c.about.in_(abouts))
        column = MENTIONS.c.number if len(abouts) == 1 else distinct(MENTIONS.c.number)
        total = self._one(select(func.count(column)).where(MENTIONS.c.about.in_(abouts)))
        if len(abouts) > 1:
            numbers = numbers.distinct()
        paged = numbers.order_by(MENTIONS.c.number).offset(offset).limit(limit).subquery()
        found = self._rows(select(EVENTS).join(paged, EVENTS.c.number == paged.c.number).order_by(EVENTS.c.number))
        return Page(tuple(EventRow(*row) for row in found), offset, total)

    def newest(self, limit: int, before: int | None = None) -> tuple[EventRow, ...]:
        """The newest events first; those before a number, where one is given."""
        query = select(EVENTS).order_by(EVENTS.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(EVENTS.c.number < before)
        return tuple(EventRow(*row) for row in self._rows(query))

    def of_kind(self, events: Sequence[str], offset: int, limit: int) -> Page[EventRow]:
        """Events of these names, the newest first."""
        total = self._one(select(func.count()).select_from(EVENTS).where(EVENTS.c.event.in_(events)))
        query = select(EVENTS).where(EVENTS.c.event.in_(events)).order_by(EVENTS.c.number.desc())
        return Page(tuple(EventRow(*row) for row in self._rows(query.offset(offset).limit(limit))), offset, total)

    def every(self, abouts: Sequence[bytes] | None = None) -> Iterator[EventRow]:
        """All events, or all about any of these, in chain order, a part at a time."""
        last = 0
        while True:
            query = select(EVENTS).where(EVENTS.c.number > last).order_by(EVENTS.c.number).limit(_CHUNK)
            if abouts is not None:
                numbers = (
                    select(MENTIONS.c.number)
                    .where(MENTIONS.c.about.in_(abouts), MENTIONS.c.number > last)
                    .distinct()
                    .order_by(MENTIONS.c.number)
                    .limit(_CHUNK)
                )
                query = select(EVENTS).where(EVENTS.c.number.in_(numbers)).order_by(EVENTS.c.number)
            rows = self._rows(query)
            yield from (EventRow(*row) for row in rows)
            if len(rows) < _CHUNK:
                return
            last = rows[-1][0]

    def subjects(self, kind: str, offset: int, limit: int) -> Page[SubjectRow]:
        """Subjects of a kind, the newest first."""
        total = self._one(select(func.count()).select_from(SUBJECTS).where(SUBJECTS.c.kind == kind))
        query = _SUBJECT.where(SUBJECTS.c.kind == kind).order_by(SUBJECTS.c.number.desc()).offset(offset).limit(limit)
        return Page(tuple(SubjectRow(*row) for row in self._rows(query)), offset, total)

    def children(self, kind: str, parent: str, limit: int) -> Page[SubjectRow]:
        """Subjects of a kind that hang on another one, the newest first."""
        mine = (SUBJECTS.c.kind == kind, SUBJECTS.c.parent == parent)
        total = self._one(select(func.count()).select_from(SUBJECTS).where(*mine))
        query = _SUBJECT.where(*mine).order_by(SUBJECTS.c.number.desc()).limit(limit)
        return Page(tuple(SubjectRow(*row) for row in self._rows(query)), 0, total)

    def find(self, prefixes: Sequence[str], label: str, limit: int) -> tuple[SubjectRow, ...]:
        """Subjects whose id begins with one of these (lower case), or whose label begins with `label`."""
        parts = [_SUBJECT.where(_starts(SUBJECTS.c.key, prefix)).limit(limit) for prefix in prefixes if prefix]
        if label:
            parts.append(_SUBJECT.where(_starts(SUBJECTS.c.label, label)).limit(limit))
        if not parts:
            return ()
        selects = [select(part.subquery()) for part in parts]
        rows = self._rows(selects[0] if len(selects) == 1 else union_all(*selects))
        unique = {(row[0], row[1]): SubjectRow(*row) for row in rows}
        return tuple(sorted(unique.values(), key=lambda row: (row.kind, row.number)))[:limit]

    def linked(self, kind: str, *, source: str = "", target: str = "", limit: int) -> Page[str]:
        """The other ends of a join: the targets of a source, or the sources of a target."""
        here, there = (LINKS.c.source, LINKS.c.target) if source else (LINKS.c.target, LINKS.c.source)
        mine = (LINKS.c.kind == kind, here == (source or target))
        total = self._one(select(func.count()).select_from(LINKS).where(*mine))
        rows = self._rows(select(there).where(*mine).order_by(there.desc()).limit(limit))
        return Page(tuple(row[0] for row in rows), 0, total)

    def incidents(self, offset: int, limit: int) -> Page[IncidentRow]:
        """Incidents that gateways told, the newest first."""
        total = self._one(select(func.count()).select_from(INCIDENTS))
        query = select(INCIDENTS).order_by(INCIDENTS.c.number.desc()).offset(offset).limit(limit)
        return Page(tuple(IncidentRow(*row) for row in self._rows(query)), offset, total)

    def span(self) -> tuple[int, int]:
        """Times of the first and the last event; (0, 0) where there is none."""
        (row,) = self._rows(select(func.min(EVENTS.c.time), func.max(EVENTS.c.time)))
        return row[0] or 0, row[1] or 0

    def buckets(self, seconds: int) -> tuple[Bucket, ...]:
        """All events by stretches of so many seconds. Reads every event: once a look, not once a page."""
        start = EVENTS.c.time - EVENTS.c.time % seconds
        query = select(start, EVENTS.c.event, func.count(), func.sum(EVENTS.c.amount)).group_by(start, EVENTS.c.event)
        return tuple(Bucket(*row) for row in self._rows(query))

    def failed_uses(self, seconds: int) -> tuple[Bucket, ...]:
        """Uses that were closed as failed, by stretches of so many seconds. Once a look, as `buckets`."""
        start = EVENTS.c.time - EVENTS.c.time % seconds
        failed = (EVENTS.c.event == "UseClosed", EVENTS.c.body.contains('"completed":false'))
        query = select(start, EVENTS.c.event, func.count(), func.sum(EVENTS.c.amount)).where(*failed)
        return tuple(Bucket(*row) for row in self._rows(query.group_by(start)))

    def _rows(self, query: Any) -> Sequence[Any]:
        try:
            with self._engine.connect() as connection:
                return connection.execute(query).all()
        except SQLAlchemyError as exc:
            raise StoreError(f"the pages' register can't be read: {complaint(exc, REMAKE)}") from exc

    def _one(self, query: Select[Any]) -> int:
        (row,) = self._rows(query)
        return int(row[0])


_SUBJECT: Final = select(SUBJECTS.c.kind, SUBJECTS.c.id, SUBJECTS.c.label, SUBJECTS.c.parent, SUBJECTS.c.number)


def _starts(column: Any, prefix: str) -> Any:
    return (column >= prefix) & (column < prefix + _HIGHEST)
