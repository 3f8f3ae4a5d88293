"""A device's queue on disk: rows packed for a frame, signed frames, and receipts.

Invariants: a frame is on disk with the sequence number and hash that the next one needs before anybody sees it, so that
no number is ever signed twice, whatever is killed; it stays until its receipt is on disk; a submission is queued whole
or not at all. Every change is flushed to the disk before its call returns (SQLite, `synchronous=FULL`). One process a
queue: two with one key would fork the device; its threads take turns.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from capsule.frame import FIRST_PREVIOUS, Mark, frame_hash
from capsule.frame_receipt import SignedFrameReceipt
from capsule.ids import DeviceId, Digest
from gateway.errors import CallerError, StoreError
from gateway.lock import take_lock

__all__ = ["Outbox", "Parcel", "Place", "Sent", "Submitted"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS device (
    id BLOB PRIMARY KEY, sequence INTEGER NOT NULL, previous BLOB NOT NULL, acknowledged BLOB
);
CREATE TABLE IF NOT EXISTS parcels (number INTEGER PRIMARY KEY, mark TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS frames (sequence INTEGER PRIMARY KEY, data BLOB, receipt BLOB);
CREATE INDEX IF NOT EXISTS frames_waiting ON frames (sequence) WHERE receipt IS NULL;
CREATE TABLE IF NOT EXISTS submissions (name BLOB PRIMARY KEY, rows INTEGER NOT NULL, readings INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Submitted:
    """Rows and readings of a submission; not `new` where the same file was queued before, so that nothing was added."""

    rows: int
    readings: int
    new: bool


@dataclass(frozen=True, slots=True)
class Parcel:
    """The packed rows of one frame to be, with their counts."""

    mark: Mark
    payload: bytes
    rows: int
    readings: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where the next frame stands in the device's history."""

    sequence: int
    previous: Digest
    acknowledged: Digest | None


@dataclass(frozen=True, slots=True)
class Sent:
    """A signed frame without a receipt."""

    sequence: int
    data: bytes

    @property
    def hash(self) -> Digest:
        return frame_hash(self.data)


class Outbox:
    """The queue of `device` at `path`."""

    def __init__(self, path: Path, device: DeviceId) -> None:
        """Opens the queue, or makes it. Raises StoreLockedError, StoreError, CallerError where it is another's."""
        self._device = device
        self._turn = threading.Lock()
        self._lock_file = take_lock(path)
        try:
            with _translated():
                self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.execute("PRAGMA synchronous=FULL")
                self._database.executescript(_SCHEMA)
            self._take_up()
        except BaseException:
            os.close(self._lock_file)
            raise

    def _take_up(self) -> None:
        with self._writing():
            known = self._database.execute("SELECT id FROM device").fetchone()
            if known is None:
                self._database.execute(
                    "INSERT INTO device VALUES (?, 0, ?, NULL)", (bytes(self._device), bytes(FIRST_PREVIOUS))
                )
            elif known[0] != self._device:
                raise CallerError(f"this queue belongs to device {DeviceId(known[0])}, not to {self._device}")

    def close(self) -> None:
        if self._lock_file >= 0:
            self._database.close()
            os.close(self._lock_file)
            self._lock_file = -1

    def submit(self, parcels: Iterable[Parcel], name: bytes | None) -> Submitted:
        """Queues parcels, all or none; what `parcels` raises passes through. The same `name` again adds nothing."""
        with self._writing():
            if name is not None:
                known = self._database.execute("SELECT rows, readings FROM submissions WHERE name = ?", (name,))
                if (found := known.fetchone()) is not None:
                    return Submitted(found[0], found[1], new=False)
            rows = readings = 0
            for parcel in parcels:
                self._database.execute(
                    "INSERT INTO parcels (mark, payload) VALUES (?, ?)", (str(parcel.mark), parcel.payload)
                )
                rows += parcel.rows
                readings += parcel.readings
            if name is not None:
                self._database.execute("INSERT INTO submissions VALUES (?, ?, ?)", (name, rows, readings))
            return Submitted(rows, readings, new=True)

    def frames(self, after: int, most: int, sign: Callable[[bytes, Mark, Place], bytes]) -> tuple[Sent, ...]:
        """At most `most` frames without a receipt past sequence `after`, in order; parcels are signed where there are
        too few, and on disk before they are returned. Raises StoreError.
        """
        with self._writing():
            waiting = self._database.execute(
                "SELECT sequence, data FROM frames WHERE receipt IS NULL AND sequence > ? ORDER BY sequence LIMIT ?",
                (after, most),
            )
            frames = [Sent(*found) for found in waiting]
            missing = most - len(frames)
            parcels = self._database.execute(
                "SELECT number, mark, payload FROM parcels ORDER BY number LIMIT ?", (missing,)
            ).fetchall()
            return (*frames, *(self._signed(number, Mark(mark), payload, sign) for number, mark, payload in parcels))

    def _signed(self, number: int, mark: Mark, payload: bytes, sign: Callable[[bytes, Mark, Place], bytes]) -> Sent:
        sequence, previous, acknowledged = self._database.execute(
            "SELECT sequence, previous, acknowledged FROM device"
        ).fetchone()
        place = Place(sequence + 1, Digest(previous), None if acknowledged is None else Digest(acknowledged))
        sent = Sent(place.sequence, sign(payload, mark, place))
        self._database.execute("INSERT INTO frames VALUES (?, ?, NULL)", (sent.sequence, sent.data))
        self._database.execute("UPDATE device SET sequence = ?, previous = ?", (sent.sequence, bytes(sent.hash)))
        self._database.execute("DELETE FROM parcels WHERE number = ?", (number,))
        return sent

    def settle(self, receipts: Iterable[SignedFrameReceipt]) -> None:
        """Keeps verified receipts; their frames may go. The last one is what the next frame acknowledges."""
        with self._writing():
            for signed in receipts:
                self._database.execute(
                    "UPDATE frames SET receipt = ?, data = NULL WHERE sequence = ?",
                    (signed.to_bytes(), signed.receipt.sequence),
                )
                self._database.execute("UPDATE device SET acknowledged = ?", (bytes(signed.receipt.hash),))

    @property
    def sequence(self) -> int:
        """The last sequence number signed."""
        with self._reading():
            return int(self._database.execute("SELECT sequence FROM device").fetchone()[0])

    @property
    def queued(self) -> int:
        """Frames, signed or yet to be, that have no receipt."""
        question = "SELECT (SELECT count(*) FROM parcels) + (SELECT count(*) FROM frames WHERE receipt IS NULL)"
        with self._reading():
            return int(self._database.execute(question).fetchone()[0])

    def receipts(self) -> tuple[SignedFrameReceipt, ...]:
        """All receipts, by sequence."""
        return self._receipts("ORDER BY sequence")

    def newest_receipts(self) -> tuple[SignedFrameReceipt, ...]:
        """Of each gateway the receipt with the highest sequence number, by that number."""
        with self._reading():
            found = self._database.execute(
                "SELECT receipt, max(sequence) AS newest FROM frames WHERE receipt IS NOT NULL"
                " GROUP BY json_extract(CAST(receipt AS TEXT), '$.receipt.gateway') ORDER BY newest"
            )
            return tuple(SignedFrameReceipt.from_bytes(receipt) for receipt, _ in found)

    def newest_receipt(self) -> SignedFrameReceipt | None:
        """That of the highest sequence number which has one."""
        return next(iter(self._receipts("ORDER BY sequence DESC LIMIT 1")), None)

    def _receipts(self, order: str) -> tuple[SignedFrameReceipt, ...]:
        with self._reading():
            found = self._database.execute(f"SELECT receipt FROM frames WHERE receipt IS NOT NULL {order}")  # noqa: S608
            return tuple(SignedFrameReceipt.from_bytes(receipt) for (receipt,) in found)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._turn, _translated():
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._reading():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise StoreError(f"the device's queue failed: {exc}") from exc
