"""The device's side: rows in, signed frames out, with a queue on disk in between.

Invariants: a frame is on disk, with the sequence number and hash that the next one needs, before it is sent, so that no
number is ever signed twice, whatever is killed; it stays queued until a gateway's receipt for it was verified; rows are
queued all or none. One process a queue: two with one key would fork the device.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Self

from capsule.digest import Domain
from capsule.errors import InputError, VerificationError
from capsule.frame import FIRST_PREVIOUS, MAX_FRAME_BYTES, Mark, Row, frame_hash, read_frame, sign_packed
from capsule.frame_receipt import FrameReceipt, SignedFrameReceipt, verify_frame_receipt
from capsule.ids import Address, DeviceId, Digest
from capsule.senml import pack_rows
from capsule.signature import PublicKey, Signer
from gateway.door import FrameDoor
from gateway.errors import CallerError, PeerAnswerError, StoreError
from gateway.lock import take_lock
from gateway.readings import open_readings

__all__ = ["Agent", "Submitted"]

_ROWS_PER_FRAME: Final = 60
_READINGS_PER_FRAME: Final = 20_000
_MAX_PAYLOAD_BYTES: Final = MAX_FRAME_BYTES - 1024  # the rest is for header and signature
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS device (
    id BLOB PRIMARY KEY, sequence INTEGER NOT NULL, previous BLOB NOT NULL, acknowledged BLOB
);
CREATE TABLE IF NOT EXISTS parcels (number INTEGER PRIMARY KEY, mark TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS frames (sequence INTEGER PRIMARY KEY, data BLOB, receipt BLOB);
CREATE TABLE IF NOT EXISTS submissions (name BLOB PRIMARY KEY, rows INTEGER NOT NULL, readings INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Submitted:
    """Rows and readings of a submission; not `new` where the same file was queued before, so that nothing was added."""

    rows: int
    readings: int
    new: bool


class Agent:
    """A device's agent. `gateways`: the accounts that it delivers to, with the keys that stand on chain for them."""

    def __init__(
        self,
        path: Path,
        device: DeviceId,
        signer: Signer,
        *,
        gateways: Mapping[Address, PublicKey],
        domain: Domain,
    ) -> None:
        """Opens the queue at `path`, or makes it.

        Raises StoreLockedError, StoreError, CallerError where the queue is another device's.
        """
        self._signer = signer
        self._gateways = dict(gateways)
        self._domain = domain
        self.device = device
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
                    "INSERT INTO device VALUES (?, 0, ?, NULL)", (bytes(self.device), bytes(FIRST_PREVIOUS))
                )
            elif known[0] != self.device:
                raise CallerError(f"this queue belongs to device {DeviceId(known[0])}, not to {self.device}")

    def close(self) -> None:
        if self._lock_file >= 0:
            self._database.close()
            os.close(self._lock_file)
            self._lock_file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------------ queueing

    def submit(self, rows: Iterable[Row], *, mark: Mark = Mark.SIGNED, name: bytes | None = None) -> Submitted:
        """Queues rows, all or none; whatever `rows` raises passes through. The same `name` again adds nothing."""
        with self._writing():
            if name is not None:
                known = self._database.execute("SELECT rows, readings FROM submissions WHERE name = ?", (name,))
                if (found := known.fetchone()) is not None:
                    return Submitted(found[0], found[1], new=False)
            total = readings = 0
            for parcel in _parcels(rows):
                for payload in self._payloads(parcel):
                    self._database.execute("INSERT INTO parcels (mark, payload) VALUES (?, ?)", (str(mark), payload))
                total += len(parcel)
                readings += sum(len(row.values) for row in parcel)
            if name is not None:
                self._database.execute("INSERT INTO submissions VALUES (?, ?, ?)", (name, total, readings))
            return Submitted(total, readings, new=True)

    def _payloads(self, rows: Sequence[Row]) -> Iterator[bytes]:
        """What fits into one frame, or several."""
        try:
            payload = pack_rows(self.device, rows, {})
        except InputError as exc:
            raise CallerError(f"rows can't be sent: {exc}") from exc
        if len(payload) <= _MAX_PAYLOAD_BYTES:
            yield payload
        elif len(rows) == 1:
            raise CallerError(f"the row at {rows[0].time} has {len(payload)} bytes, more than one frame can carry")
        else:
            middle = len(rows) // 2
            yield from self._payloads(rows[:middle])
            yield from self._payloads(rows[middle:])

    def submit_csv(self, path: Path, *, mark: Mark = Mark.IMPORTED, origin: int = 0) -> Submitted:
        """Queues a CSV file, all of it or nothing. Raises ReadingsError naming line and column.

        The same content again adds nothing, so that the call can be repeated after a crash.
        """
        source = open_readings(path, origin=origin)
        try:
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
        except OSError as exc:
            raise CallerError(f"{path} can't be read: {exc.strerror}") from exc
        return self.submit(source.rows(), mark=mark, name=content + str(mark).encode() + str(origin).encode())

    # ------------------------------------------------------------------------------------------------------- sending

    def deliver(self, door: FrameDoor, *, most: int | None = None) -> int:
        """Signs and sends what is queued, in order, one frame at a time, at most `most`; returns how many.

        Each frame acknowledges the receipt of the one before. Raises PeerUnreachableError when a retry helps (the frame
        stays queued), PeerAnswerError for a receipt that does not hold, and what `door` refuses the frame with.
        """
        frames = 0
        while most is None or frames < most:
            data = self._next_frame()
            if data is None:
                break
            self._settle(self._verified(data, door.ingest(data)))
            frames += 1
        return frames

    @property
    def sequence(self) -> int:
        """The last sequence number signed."""
        return int(self._database.execute("SELECT sequence FROM device").fetchone()[0])

    @property
    def queued(self) -> int:
        """Frames, signed or yet to be, that have no receipt."""
        question = "SELECT (SELECT count(*) FROM parcels) + (SELECT count(*) FROM frames WHERE receipt IS NULL)"
        return int(self._database.execute(question).fetchone()[0])

    def receipts(self) -> tuple[SignedFrameReceipt, ...]:
        """All receipts, by sequence. The newest of each gateway shows what it must have anchored."""
        found = self._database.execute("SELECT receipt FROM frames WHERE receipt IS NOT NULL ORDER BY sequence")
        return tuple(SignedFrameReceipt.from_bytes(receipt) for (receipt,) in found)

    def _next_frame(self) -> bytes | None:
        """The oldest frame without a receipt; else the next parcel, signed and on disk."""
        with self._writing():
            waiting = self._database.execute(
                "SELECT data FROM frames WHERE receipt IS NULL ORDER BY sequence LIMIT 1"
            ).fetchone()
            if waiting is not None:
                return bytes(waiting[0])
            parcel = self._database.execute(
                "SELECT number, mark, payload FROM parcels ORDER BY number LIMIT 1"
            ).fetchone()
            if parcel is None:
                return None
            number, mark, payload = parcel
            sequence, previous, acknowledged = self._database.execute(
                "SELECT sequence, previous, acknowledged FROM device"
            ).fetchone()
            data = sign_packed(
                payload,
                self._signer,
                device=self.device,
                sequence=sequence + 1,
                previous=Digest(previous),
                acknowledged=None if acknowledged is None else Digest(acknowledged),
                mark=Mark(mark),
            )
            self._database.execute("INSERT INTO frames VALUES (?, ?, NULL)", (sequence + 1, data))
            self._database.execute(
                "UPDATE device SET sequence = ?, previous = ?", (sequence + 1, bytes(frame_hash(data)))
            )
            self._database.execute("DELETE FROM parcels WHERE number = ?", (number,))
            return data

    def _verified(self, data: bytes, signed: SignedFrameReceipt) -> SignedFrameReceipt:
        claimed, frame = signed.receipt, read_frame(data)
        key = self._gateways.get(claimed.gateway)
        if key is None:
            raise PeerAnswerError(f"the receipt is from {claimed.gateway}, which is none of this device's gateways")
        try:
            receipt: FrameReceipt = verify_frame_receipt(signed, key, self._domain)
        except VerificationError as exc:
            raise PeerAnswerError(str(exc)) from exc
        if (receipt.device, receipt.sequence, receipt.frame) != (self.device, frame.sequence, frame.hash):
            raise PeerAnswerError(f"the receipt is for another frame than {frame.sequence} of device {self.device}")
        return signed

    def _settle(self, signed: SignedFrameReceipt) -> None:
        with self._writing():
            self._database.execute(
                "UPDATE frames SET receipt = ?, data = NULL WHERE sequence = ?",
                (signed.to_bytes(), signed.receipt.sequence),
            )
            self._database.execute("UPDATE device SET acknowledged = ?", (bytes(signed.receipt.hash),))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with _translated():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise


def _parcels(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows as they will share frames."""
    source = iter(rows)
    for first in source:
        most = max(1, min(_ROWS_PER_FRAME, _READINGS_PER_FRAME // max(1, len(first.values))))
        yield [first, *islice(source, most - 1)]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise StoreError(f"the device's queue failed: {exc}") from exc
