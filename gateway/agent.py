"""The device's side: rows in, signed frames out, with a queue on disk in between (`gateway.outbox`).

Invariants: a frame stays queued until a gateway's receipt for it was verified, whatever a broker or a proxy on the way
acknowledged; frames are sent in order, and after every doubt again from the oldest without a receipt, alone until that
one is answered, so that none passes another on its way to a gateway.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Final, Self

from capsule.digest import Domain
from capsule.errors import InputError, VerificationError
from capsule.frame import MAX_FRAME_BYTES, Mark, sign_packed
from capsule.frame_receipt import SignedFrameReceipt, verify_frame_receipt
from capsule.ids import Address, DeviceId, Digest
from capsule.rows import Row
from capsule.senml import pack_rows
from capsule.signature import PublicKey, Signer
from gateway.delivery import Delivery, Streaming
from gateway.door import FrameDoor, FrameStream
from gateway.errors import CallerError, PeerAnswerError, PeerUnreachableError
from gateway.outbox import Outbox, Parcel, Place, Submitted
from gateway.parquet import open_parquet
from gateway.readings import open_readings

__all__ = ["Agent", "Submitted"]

_LOG: Final = logging.getLogger("dataspace.device")
_ROWS_PER_FRAME: Final = 60
_READINGS_PER_FRAME: Final = 20_000
_MAX_PAYLOAD_BYTES: Final = MAX_FRAME_BYTES - 1024  # the rest is for header and signature


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
        rows_per_frame: int = _ROWS_PER_FRAME,
    ) -> None:
        """Opens the queue at `path`, or makes it. `rows_per_frame`: at most; frames of many columns have fewer.

        Raises StoreLockedError, StoreError, CallerError where the queue is another device's.
        """
        if rows_per_frame < 1:
            raise CallerError(f"a frame has at least one row, not {rows_per_frame}")
        self._signer = signer
        self._gateways = dict(gateways)
        self._domain = domain
        self._rows_per_frame = rows_per_frame
        self.device = device
        self._outbox = Outbox(path, device)

    def close(self) -> None:
        self._outbox.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------------ queueing

    def submit(self, rows: Iterable[Row], *, mark: Mark = Mark.SIGNED, name: bytes | None = None) -> Submitted:
        """Queues rows, all or none; whatever `rows` raises passes through. The same `name` again adds nothing."""
        return self._outbox.submit(self._parcels(rows, mark), name)

    def submit_csv(
        self,
        path: Path,
        *,
        mark: Mark = Mark.IMPORTED,
        origin: int = 0,
        delimiter: str = ",",
        encoding: str = "utf-8-sig",
    ) -> Submitted:
        """Queues a CSV file, all of it or nothing. Raises ReadingsError naming line and column.

        The same content again adds nothing, so that the call can be repeated after a crash.
        """
        source = open_readings(path, origin=origin, delimiter=delimiter, encoding=encoding)
        return self.submit_file(path, source.rows(), mark=mark, reading=str(origin))

    def submit_parquet(self, path: Path, *, mark: Mark = Mark.IMPORTED) -> Submitted:
        """Queues a Parquet file, as `submit_csv` does."""
        return self.submit_file(path, open_parquet(path).rows(), mark=mark)

    def submit_file(
        self, path: Path, rows: Iterable[Row], *, mark: Mark = Mark.IMPORTED, reading: str = ""
    ) -> Submitted:
        """Queues the `rows` of a file, all or none. The same content again, under the same mark and `reading` (how its
        rows were made of it), adds nothing. Raises CallerError where the file can't be read.
        """
        try:
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
        except OSError as exc:
            raise CallerError(f"{path} can't be read: {exc.strerror}") from exc
        return self.submit(rows, mark=mark, name=content + str(mark).encode() + reading.encode())

    def _parcels(self, rows: Iterable[Row], mark: Mark) -> Iterator[Parcel]:
        """Rows as they will share frames."""
        source = iter(rows)
        for first in source:
            most = max(1, min(self._rows_per_frame, _READINGS_PER_FRAME // max(1, len(first.values))))
            yield from self._packed([first, *islice(source, most - 1)], mark)

    def _packed(self, rows: Sequence[Row], mark: Mark) -> Iterator[Parcel]:
        """What fits into one frame, or several."""
        try:
            payload = pack_rows(self.device, rows, {})
        except InputError as exc:
            raise CallerError(f"rows can't be sent: {exc}") from exc
        if len(payload) <= _MAX_PAYLOAD_BYTES:
            yield Parcel(mark, payload, len(rows), sum(len(row.values) for row in rows))
        elif len(rows) == 1:
            raise CallerError(f"the row at {rows[0].time} has {len(payload)} bytes, more than one frame can carry")
        else:
            middle = len(rows) // 2
            yield from self._packed(rows[:middle], mark)
            yield from self._packed(rows[middle:], mark)

    @property
    def sequence(self) -> int:
        """The last sequence number signed."""
        return self._outbox.sequence

    @property
    def queued(self) -> int:
        """Frames, signed or yet to be, that have no receipt."""
        return self._outbox.queued

    def receipts(self) -> tuple[SignedFrameReceipt, ...]:
        """All receipts, by sequence."""
        return self._outbox.receipts()

    def newest_receipts(self) -> tuple[SignedFrameReceipt, ...]:
        """Of each gateway its newest receipt, by sequence: what the gateway must have anchored."""
        return self._outbox.newest_receipts()

    # ------------------------------------------------------------------------------------------------------- sending

    def deliver(self, door: FrameDoor, *, most: int | None = None) -> int:
        """Signs and sends what is queued, in order, one frame at a time, at most `most`; returns how many.

        Each frame acknowledges the receipt of the one before. Raises PeerUnreachableError when a retry helps (the frame
        stays queued), PeerAnswerError for a receipt that does not hold, and what `door` refuses the frame with.
        """
        frames = 0
        while most is None or frames < most:
            oldest = self._outbox.frames(0, 1, self._signed)
            if not oldest:
                break
            (sent,) = oldest
            self._outbox.settle([self._verified(sent.sequence, sent.hash, door.ingest(sent.data))])
            frames += 1
        return frames

    def stream(self, door: FrameStream, delivery: Delivery | None = None) -> int:
        """Signs and sends what is queued until all of it has receipts, many frames at a time; returns how many got one.

        A frame acknowledges the newest receipt that was here when it was signed. Raises PeerUnreachableError when no
        receipt came for as long as `delivery` allows, PeerAnswerError for a receipt that does not hold and for a
        refusal; then all that has no receipt stays queued.
        """
        return Streaming(
            self._outbox, self._signed, self._verified, door, delivery or Delivery(), self._gateways.keys()
        ).run()

    def follow(
        self,
        source: Callable[[], Iterable[Row]],
        deliver: Callable[[], object],
        *,
        stop: threading.Event,
        every_seconds: float = 1.0,
        mark: Mark = Mark.SIGNED,
    ) -> None:
        """Queues what `source` returns, and delivers what is queued with `deliver`, until `stop` is set.

        `source` is called every so many seconds in a thread of its own, also while no gateway can be reached. A call
        means that the rows of the call before are on disk. What it raises ends the following, and is raised; so is all
        that `deliver` raises but PeerUnreachableError.
        """
        with ThreadPoolExecutor(1, "source") as pool:
            watching = pool.submit(self._watch, source, stop, every_seconds, mark)
            try:
                while not stop.is_set():
                    if self.queued:
                        try:
                            deliver()
                        except PeerUnreachableError as exc:
                            _LOG.warning("%s; it is tried again", exc)
                    stop.wait(every_seconds)
            finally:
                stop.set()
        watching.result()

    def _watch(
        self, source: Callable[[], Iterable[Row]], stop: threading.Event, every_seconds: float, mark: Mark
    ) -> None:
        try:
            while not stop.is_set():
                self.submit(source(), mark=mark)
                stop.wait(every_seconds)
        finally:
            stop.set()

    def _signed(self, payload: bytes, mark: Mark, place: Place) -> bytes:
        return sign_packed(
            payload,
            self._signer,
            device=self.device,
            sequence=place.sequence,
            previous=place.previous,
            acknowledged=place.acknowledged,
            mark=mark,
        )

    def _verified(self, sequence: int, frame: Digest, signed: SignedFrameReceipt) -> SignedFrameReceipt:
        claimed = signed.receipt
        key = self._gateways.get(claimed.gateway)
        if key is None:
            raise PeerAnswerError(f"the receipt is from {claimed.gateway}, which is none of this device's gateways")
        try:
            receipt = verify_frame_receipt(signed, key, self._domain)
        except VerificationError as exc:
            raise PeerAnswerError(str(exc)) from exc
        if (receipt.device, receipt.sequence, receipt.frame) != (self.device, sequence, frame):
            raise PeerAnswerError(f"the receipt is for another frame than {sequence} of device {self.device}")
        return signed
