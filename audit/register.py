"""The register behind the regulator's pages: which events are about what, so that every page is a few look-ups.

It is made from an index and its documents, one look at a time, in a SQLite file of its own that is begun anew at each
start: nothing in it is evidence, the index's content and digest are untouched, and losing it loses nothing.
Invariant: readers see whole looks only, since a look is written in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    insert,
)
from sqlalchemy.exc import SQLAlchemyError

from audit.abouts import about, abouts, amount, made, narrowest
from audit.complaints import REMAKE, complaint
from audit.deeds import actor, words
from audit.deeds_zh import words_zh
from audit.entries import Entry
from audit.errors import StoreError
from audit.papers import Papers
from audit.picture import Anchor, State, Version
from audit.record import body
from capsule.batch import BatchDocument
from capsule.header import Header
from contracts import events as ev

__all__ = ["EVENTS", "INCIDENTS", "LINKS", "MENTIONS", "SUBJECTS", "Register"]

_CHUNK: Final = 2_000
_META: Final = MetaData()

EVENTS: Final = Table(
    "events",
    _META,
    Column("number", Integer, primary_key=True),
    Column("block", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("time", Integer, nullable=False),
    Column("transaction_hash", String, nullable=False),
    Column("contract", String, nullable=False),
    Column("event", String, nullable=False),
    Column("who", String, nullable=False),
    Column("uscc", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("id", String, nullable=False),
    Column("amount", Integer, nullable=False),
    Column("what_en", String, nullable=False),
    Column("what_zh", String, nullable=False),
    Column("body", String, nullable=False),
    Index("events_by_event", "event", "number"),
)
"""All events in chain order, numbered from 1. `kind`, `id`: the narrowest subject; `amount`: frames, rows, devices."""

SUBJECTS: Final = Table(
    "subjects",
    _META,
    Column("kind", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("key", String, nullable=False),
    Column("label", String, nullable=False),
    Column("parent", String, nullable=False),
    Column("number", Integer, nullable=False),
    Index("subjects_by_key", "key"),
    Index("subjects_by_label", "label"),
    Index("subjects_by_number", "kind", "number"),
    Index("subjects_by_parent", "kind", "parent", "number"),
    sqlite_with_rowid=False,
)
"""What has a trail. `key`: the id in lower case; `label`: an organisation's code; `parent`: the id that it hangs on."""

MENTIONS: Final = Table(
    "mentions",
    _META,
    Column("about", LargeBinary, primary_key=True),
    Column("number", Integer, primary_key=True),
    sqlite_with_rowid=False,
)
"""Which events are about what (`about`)."""

LINKS: Final = Table(
    "links",
    _META,
    Column("kind", String, primary_key=True),
    Column("source", String, primary_key=True),
    Column("target", String, primary_key=True),
    Index("links_back", "kind", "target"),
    sqlite_with_rowid=False,
)
"""What documents join: device-batch, batch-version. A batch is GATEWAY/NUMBER, a version ASSET/NUMBER."""

INCIDENTS: Final = Table(
    "incidents",
    _META,
    Column("number", Integer, primary_key=True),
    Column("time", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("device", String, nullable=False),
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    Column("gateway", String, nullable=False),
    Column("batch", Integer, nullable=False),
)
"""Incidents that the gateways' batch documents tell, numbered as they were read."""


class Register:
    """The register's writer. One thread at a time; `engine` is for readers, which need no turn."""

    def __init__(self, path: Path) -> None:
        """An empty register in a file; what was there is dropped. Raises StoreError."""
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)
        self.engine: Engine = _engine(path)
        self._number = 0
        self._block = -1
        self._incidents = 0
        # Documents that were not served yet; each look asks again.
        self._anchors: list[tuple[Anchor, int]] = []
        self._versions: list[Version] = []
        try:
            _META.create_all(self.engine)
        except SQLAlchemyError as exc:
            raise StoreError(f"the pages' register can't be made at {path}: {complaint(exc, REMAKE)}") from exc

    @property
    def block(self) -> int:
        """The last block taken over; -1 before the first look."""
        return self._block

    def close(self) -> None:
        self.engine.dispose()

    def take(self, entries: Iterable[Entry], state: State, papers: Papers) -> None:
        """Adds the events that are new since the last look, and what documents join. All or nothing.

        `entries`: all of the index in chain order, or at least those after the last look.
        """
        number, block, incidents = self._number, self._block, self._incidents
        anchors, versions = list(self._anchors), list(self._versions)
        try:
            with self.engine.begin() as connection:
                if state.tip.number > block:
                    for chunk in _chunks(entry for entry in entries if entry.event.log.block_number > block):
                        self._write(connection, state, chunk)
                self._join(connection, state, papers)
        except SQLAlchemyError as exc:
            self._number, self._incidents, self._anchors, self._versions = number, incidents, anchors, versions
            raise StoreError(f"the pages' register can't be written: {complaint(exc, REMAKE)}") from exc
        self._block = state.tip.number

    def _write(self, connection: Connection, state: State, entries: list[Entry]) -> None:
        events, subjects, mentions = [], [], []
        for entry in entries:
            self._number += 1
            happened, log = entry.event, entry.event.log
            who = actor(state, happened)
            known = None if who is None else state.participants.get(who)
            kind, named = narrowest(happened)
            events.append(
                {
                    "number": self._number,
                    "block": log.block_number,
                    "position": log.log_index,
                    "time": entry.time,
                    "transaction_hash": str(log.transaction_hash),
                    "contract": entry.contract,
                    "event": type(happened).__name__,
                    "who": "" if who is None else str(who),
                    "uscc": "" if known is None else str(known.uscc),
                    "kind": kind,
                    "id": named,
                    "amount": amount(happened),
                    "what_en": words(happened),
                    "what_zh": words_zh(happened),
                    "body": body(happened).decode(),
                }
            )
            new = made(happened)
            if new is not None:
                row = {"kind": new.kind, "id": new.id, "key": new.id.lower(), "parent": new.parent, "label": new.label}
                subjects.append({**row, "number": self._number})
            mentions += [{"about": name, "number": self._number} for name in abouts(state, happened, who)]
            if isinstance(happened, ev.BatchAnchored):
                self._anchors.append((_anchor(entry, happened), self._number))
            elif isinstance(happened, ev.CapsulePublished):
                version = state.version(happened.asset, happened.version)
                if version is not None:
                    self._versions.append(version)
        connection.execute(insert(EVENTS), events)
        if subjects:
            connection.execute(insert(SUBJECTS).prefix_with("OR IGNORE"), subjects)
        if mentions:
            connection.execute(insert(MENTIONS), mentions)

    def _join(self, connection: Connection, state: State, papers: Papers) -> None:
        absent: list[tuple[Anchor, int]] = []
        for anchor, number in self._anchors:
            document = papers.batch(anchor)
            if isinstance(document, BatchDocument):
                self._join_batch(connection, anchor, number, document)
            else:
                absent.append((anchor, number))
        self._anchors = absent
        unread: list[Version] = []
        for version in self._versions:
            asset = state.assets[version.asset]
            header = papers.capsule(asset, version)
            if isinstance(header, Header):
                named = f"{version.asset}/{version.number}"
                joins = [(f"{batch.gateway}/{batch.number}", named) for batch in header.source]
                _link(connection, "batch-version", joins)
            else:
                unread.append(version)
        self._versions = unread

    def _join_batch(self, connection: Connection, anchor: Anchor, number: int, document: BatchDocument) -> None:
        named = f"{anchor.gateway}/{anchor.number}"
        devices = sorted({str(entry.device) for entry in document.entries})
        _link(connection, "device-batch", [(device, named) for device in devices])
        mentions = [{"about": about("device", device), "number": number} for device in devices]
        if mentions:
            connection.execute(insert(MENTIONS).prefix_with("OR IGNORE"), mentions)
        incidents = []
        for incident in document.incidents:
            self._incidents += 1
            incidents.append(
                {
                    "number": self._incidents,
                    "time": anchor.place.time,
                    "kind": str(incident.kind),
                    "device": str(incident.device),
                    "first": incident.sequence,
                    "last": incident.last,
                    "gateway": str(anchor.gateway),
                    "batch": anchor.number,
                }
            )
        if incidents:
            connection.execute(insert(INCIDENTS), incidents)


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")  # begun anew at each start

    return engine


def _chunks(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    chunk: list[Entry] = []
    for entry in entries:
        chunk.append(entry)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _link(connection: Connection, kind: str, joins: Iterable[tuple[str, str]]) -> None:
    rows = [{"kind": kind, "source": source, "target": target} for source, target in joins]
    if rows:
        connection.execute(insert(LINKS).prefix_with("OR IGNORE"), rows)


def _anchor(entry: Entry, happened: ev.BatchAnchored) -> Anchor:
    return Anchor(happened.gateway, happened.number, happened.batch, entry.place)
