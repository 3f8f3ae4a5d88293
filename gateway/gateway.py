"""A gateway: the rooms of this package around one store, one ledger and one signing key.

Usable in process, and what the HTTP service stands on. All methods may be called from several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Self

from capsule.batch import BatchDocument, FrameProof
from capsule.digest import Domain
from capsule.enrolment import Enrolment
from capsule.errors import InputError
from capsule.frame_receipt import SignedFrameReceipt
from capsule.ids import Address, DeviceId, Digest
from capsule.signature import PublicKey, Signer
from capsule.thing import MODELS
from contracts.fleet import prove_enrolled
from contracts.ledger import Ledger
from gateway.admission import Admission
from gateway.anchoring import AnchoredBatch, Anchoring
from gateway.batching import Batching
from gateway.errors import EnrolmentPendingError, NotFoundError, UncheckedError
from gateway.export import Export, write_export
from gateway.indicator_table import TableFormat, write_indicators
from gateway.indicators import Summary
from gateway.ingest import Intake, Outcome, Taken
from gateway.intake_queue import IntakeQueue
from gateway.overview import Watch
from gateway.proof import Proofs
from gateway.register import Register
from gateway.settings import GatewaySettings
from gateway.store import BatchRow, DeviceRow, IncidentRow, MarkRow, Stage, Store
from gateway.witnessing import Witness

__all__ = ["Gateway", "Status"]


@dataclass(frozen=True, slots=True)
class Status:
    """Counts of this gateway's store; `frames` are the accepted ones."""

    devices: int
    frames: int
    waiting: int
    incidents: int
    batches: int
    unanchored_batches: int


class Gateway:
    """Open it with `Gateway.open`, and close it."""

    def __init__(
        self, store: Store, ledger: Ledger, signer: Signer, *, settings: GatewaySettings, clock: Callable[[], float]
    ) -> None:
        if ledger.account is None:
            raise InputError("a gateway anchors with its account; connect the ledger with one")
        account = ledger.account.address
        self._store = store
        self._ledger = ledger
        self._signer = signer
        self.settings = settings
        self.register = Register(
            ledger,
            account,
            clock,
            refresh_seconds=settings.refresh_seconds,
            stale_seconds=settings.stale_seconds,
        )
        self._intake = Intake(
            store,
            self.register,
            account=account,
            signer=signer,
            domain=ledger.domain,
            clock=clock,
            settings=settings,
        )
        self._anchoring = Anchoring(store, self.register, ledger, account=account, patience=settings.finality_seconds)
        self._admission = Admission(self.register, self._anchoring, account)
        self._queue = IntakeQueue(self._take_admitted, settings)
        self.witness = Witness(store, lambda frame: self.submit(frame).result().receipt, signer)
        self.tally = self._intake.tally
        self.watch = Watch(
            store,
            self.register,
            self._queue,
            self.tally,
            self._anchoring,
            self._admission,
            clock=clock,
            settings=settings,
        )
        self._batching = Batching(store, account=account, clock=clock, settings=settings)
        self._proofs = Proofs(store)
        self.account: Address = account

    @classmethod
    def open(
        cls,
        home: Path,
        ledger: Ledger,
        signer: Signer,
        *,
        clock: Callable[[], float],
        settings: GatewaySettings | None = None,
    ) -> Self:
        """Opens or makes the store: the database of the settings, else `gateway.db` in folder `home`. `signer`: the
        signing key that stands on chain for the ledger's account. `clock` gives unix seconds.

        Raises StoreLockedError, StoreError, InputError without an account.
        """
        settings = settings or GatewaySettings()
        store = Store(settings.database or f"sqlite:///{home / 'gateway.db'}")
        try:
            return cls(store, ledger, signer, settings=settings, clock=clock)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Takes what is queued, leaves anchoring where it is, and lets the store go; without it, nothing
        acknowledged is lost."""
        self.stop()
        self._queue.close()
        self._store.close()

    def stop(self) -> None:
        """Ends what waits for the chain; the next start goes on with it."""
        self._anchoring.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def public_key(self) -> PublicKey:
        """What receipts verify under."""
        return PublicKey(self._signer.suite, self._signer.public_key)

    @property
    def domain(self) -> Domain:
        return self._ledger.domain

    # ------------------------------------------------------------------------------------------------- frames in

    def ingest(self, frame: bytes) -> SignedFrameReceipt:
        """The signed receipt of a frame that is verified and durable. The same bytes get the same receipt.

        Raises FormatError, VerificationError, UnenrolledError, MarkError, ForkError, LedgerError, StoreError.
        """
        return self._intake.take(frame)[0]

    def take(self, frame: bytes) -> tuple[SignedFrameReceipt, bool]:
        """As `ingest`, and whether the frame is new here."""
        return self._intake.take(frame)

    def take_many(self, frames: Sequence[bytes]) -> tuple[Outcome, ...]:
        """What `take` would return or raise for each of these frames in turn, with one commit for all of them."""
        return self._intake.take_many(frames)

    def submit(self, frame: bytes) -> Future[Taken]:
        """Queues a frame, which is then taken together with others. The future has what `take` returns or raises;
        UncheckedError until the chain confirmed this gateway once.

        Raises BehindError when the queue is full, StoppingError when the gateway stops: then nothing was queued.
        """
        return self._queue.submit(frame)

    def submit_many(self, frames: Sequence[bytes]) -> Future[tuple[Outcome, ...]]:
        """As `submit`, for frames that came together: all are queued, or none."""
        return self._queue.submit_many(frames)

    def _take_admitted(self, frames: Sequence[bytes]) -> tuple[Outcome, ...]:
        try:
            self._admission.require()
        except UncheckedError as exc:
            return tuple(exc.with_traceback(None) for _ in frames)
        return self._intake.take_many(frames)

    def prove_enrolled(self, papers: Sequence[Enrolment]) -> tuple[DeviceId, ...]:
        """Puts the keys of a fleet's devices on chain; once that is final, returns those that were not there before.

        Raises VerificationError for a false paper (then nothing is sent), EnrolmentPendingError where a proof that
        somebody else sent is not final yet, LedgerError.
        """
        proven = prove_enrolled(self._ledger, papers)
        self.register.refresh()
        for paper in papers:
            if self.register.device(paper.device) is None:
                raise EnrolmentPendingError(paper.device)
        return proven

    # ---------------------------------------------------------------------------------------------------- batches

    def build_batch(self) -> BatchDocument | None:
        """The next batch of what waits, stored but not sent; None when nothing waits."""
        return self._batching.build()

    def anchor(self) -> tuple[AnchoredBatch, ...]:
        """Sends batches that are not on chain and returns those that became final. See `Anchoring.anchor`."""
        return self._anchoring.anchor()

    def anchor_all(self) -> tuple[AnchoredBatch, ...]:
        """Batches everything that waits, and anchors it."""
        while self.build_batch() is not None:
            pass
        return self.anchor()

    def anchor_due(self) -> tuple[AnchoredBatch, ...]:
        """What a service does at intervals: batches when that is due, and settles what is not final yet; before that,
        what `check_chain` does, until it passed once.
        """
        if not self._admission.passed:
            self.check_chain()
        if self._batching.is_due():
            self.build_batch()
        self.register.follow()
        return self.anchor()

    def check_chain(self) -> None:
        """As a service does at its start: raises RoleError where the final chain does not show this account as a
        gateway, AnchorConflictError where chain and store contradict each other, LedgerError where it can't be asked.
        """
        self._admission.check()

    # ------------------------------------------------------------------------------------------------------- out

    def prove(self, frame: Digest) -> FrameProof:
        """A verified inclusion proof. Raises NotFoundError, NotAnchoredError."""
        return self._proofs.prove(frame)

    def export(
        self, device: DeviceId, sink: IO[bytes], *, start: float | None = None, end: float | None = None
    ) -> Export:
        """Writes a device's frames of a period as a source container. See `write_export`."""
        return write_export(self._store, self._proofs, self.account, device, sink, start=start, end=end)

    def indicators(
        self,
        device: DeviceId,
        sink: IO[bytes],
        written_as: TableFormat,
        *,
        start: float | None = None,
        end: float | None = None,
        capacity: float | None = None,
    ) -> Summary:
        """Writes a device's hourly indicators of a period as a table. See `write_indicators`.

        Raises NotFoundError where the device is not enrolled or its thing model is not known here.
        """
        enrolled = self.register.device(device)
        model = None if enrolled is None else MODELS.get(enrolled.model_hash)
        if model is None:
            raise NotFoundError("thing model of device", device)
        return write_indicators(self._store, device, model, sink, written_as, start=start, end=end, capacity=capacity)

    def marks(
        self, device: DeviceId, limit: int, *, start: float | None = None, end: float | None = None
    ) -> tuple[Mapping[str, int], tuple[MarkRow, ...]]:
        """How many readings are marked by rule in frames of a period, and the first `limit` marks.

        Raises NotFoundError where there are no frames.
        """
        with self._store.reading() as records:
            count, first, last = records.span(device, start, end)
            if not count or first is None or last is None:
                raise NotFoundError("frame in that period of device", device)
            return records.marked(device, first, last), tuple(islice(records.marks(device, first, last), limit))

    def batch_document(self, number: int) -> bytes:
        """The document (index and incidents) of a batch, as auditors verify it. Raises NotFoundError."""
        with self._store.reading() as records:
            row = records.batch(number)
        if row is None:
            raise NotFoundError("batch", number)
        return row.document

    def document(self, frames_root: Digest) -> bytes:
        """The same by the frames root that stands on chain. Raises NotFoundError."""
        with self._store.reading() as records:
            row = records.batch_with(frames_root)
        if row is None:
            raise NotFoundError("batch with frames root", frames_root)
        return row.document

    def evidence(self, frame: Digest) -> bytes:
        """A frame's bytes as received, accepted or kept as evidence. Raises NotFoundError."""
        with self._store.reading() as records:
            row = records.frame(frame) or records.fork(frame)
        if row is None:
            raise NotFoundError("frame", frame)
        return row.data

    def status(self) -> Status:
        with self._store.reading() as records:
            stages = records.counts(BatchRow, "stage")
            return Status(
                devices=records.count(DeviceRow),
                frames=records.last_number(),
                waiting=records.frames_waiting()[0],
                incidents=records.count(IncidentRow),
                batches=sum(stages.values()),
                unanchored_batches=sum(stages.values()) - stages.get(Stage.ANCHORED, 0),
            )
