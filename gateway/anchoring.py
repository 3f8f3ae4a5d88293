"""Putting batches on chain, each exactly once, whatever crashes between sending and remembering.

The chain is the memory: before anything is sent, it is asked which batch of this account it has last. The contract
takes only the next number on the right predecessor, so two senders can't both succeed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from time import monotonic
from typing import Final

from capsule.batch import Batch, BatchDocument
from capsule.ids import Address, Digest
from contracts.errors import RevertedError, TransactionPendingError
from contracts.events import BatchAnchored
from contracts.ledger import Ledger
from contracts.structs import Batch as LedgerBatch
from contracts.transaction import Transaction
from gateway.errors import AnchorConflictError
from gateway.register import Register
from gateway.store import BatchRow, Stage, Store

__all__ = ["AnchoredBatch", "Anchoring"]

_LOOK_UP_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class AnchoredBatch:
    """A batch in a final block. `anchored_at` is that block's time."""

    batch: Batch
    block: int
    transaction: Digest
    anchored_at: int


class Anchoring:
    """Anchors the batches of the store with the ledger's account."""

    def __init__(self, store: Store, register: Register, ledger: Ledger, *, account: Address, patience: float) -> None:
        """`patience`: seconds to wait for finality before leaving the rest to the next call."""
        self._store = store
        self._register = register
        self._ledger = ledger
        self._account = account
        self._patience = patience
        self._turn = threading.Lock()
        self._stopped = threading.Event()
        self.refusal = ""
        """why the chain refused a batch the last time; empty once it took one"""

    def anchor(self) -> tuple[AnchoredBatch, ...]:
        """Sends what is not on chain, waits for finality, and returns the batches that became final, by number.

        Batches that are on chain but not final yet are left for the next call. Raises LedgerError where the chain can't
        be reached or refuses, AnchorConflictError where it holds other batches of this account.
        """
        with self._turn:
            done: list[AnchoredBatch] = []
            while (row := self._next(done)) is not None:
                try:
                    anchored = self._settle(row)
                except RevertedError as exc:
                    self.refusal = str(exc)
                    raise
                self.refusal = ""
                if anchored is None:
                    break
                done.append(anchored)
            return tuple(done)

    def _next(self, done: list[AnchoredBatch]) -> BatchRow | None:
        """One at a time: while the chain is away, more documents come together than memory holds."""
        with self._store.reading() as records:
            return records.unanchored(after=done[-1].batch.number if done else 0)

    def stop(self) -> None:
        """Ends the waiting for finality, now and from now on."""
        self._stopped.set()

    def check(self) -> None:
        """Compares the store with the chain, as a start does. Raises AnchorConflictError."""
        self._register.refresh()
        with self._store.reading() as records:
            last = records.last_batch()
            number, root = self._ledger.devices.last_batch_of(self._account)
            here = records.batch(number) if number else None
        if number and (last is None or number > last.number):
            raise AnchorConflictError(number, Digest(bytes(32)), root)
        if here is not None and here.frames_root != root:
            raise AnchorConflictError(number, Digest(here.frames_root), root)

    def _settle(self, row: BatchRow) -> AnchoredBatch | None:
        if (anchored := self._recorded(row)) is not None:
            return anchored
        batch = BatchDocument.from_bytes(row.document).batch
        if not self._is_on_chain(batch):
            try:
                transaction = self._ledger.devices.anchor(
                    LedgerBatch(
                        number=batch.number,
                        predecessor=batch.predecessor,
                        size=batch.size,
                        frames_root=batch.frames_root,
                        index_root=batch.index_root,
                        incidents_root=batch.incidents_root,
                    )
                )
            except RevertedError as exc:
                if not _is_taken(exc, batch):
                    raise
                # An earlier sending of ours came into a block meanwhile, or waits for one.
            else:
                self._remember(row.number, stage=Stage.SENT, transaction=transaction.hash)
                if not self._became_final(transaction):
                    return None
        return self._recorded(row)

    def _became_final(self, transaction: Transaction) -> bool:
        """Waits as long as there is patience, and nobody stops this."""
        until = monotonic() + self._patience
        while True:
            try:
                self._ledger.wait_final(transaction, min(max(until - monotonic(), 0), _LOOK_UP_SECONDS))
            except TransactionPendingError:
                if self._stopped.is_set() or monotonic() >= until:
                    return False
            else:
                return True

    def _recorded(self, row: BatchRow) -> AnchoredBatch | None:
        """The batch as the final chain has it, recorded here."""
        if self._register.batch(row.number) is None:
            self._register.refresh()
        event = self._register.batch(row.number)
        if event is None:
            return None
        batch = BatchDocument.from_bytes(row.document).batch
        if _as_anchored(event) != batch:
            raise AnchorConflictError(row.number, batch.frames_root, event.batch.frames_root)
        block = self._ledger.chain.block(event.log.block_number)
        self._remember(
            row.number,
            stage=Stage.ANCHORED,
            block=block.number,
            transaction=event.log.transaction_hash,
            anchored_at=block.timestamp,
        )
        return AnchoredBatch(batch, block.number, event.log.transaction_hash, block.timestamp)

    def _is_on_chain(self, batch: Batch) -> bool:
        """In some block, final or not."""
        number, root = self._ledger.devices.last_batch_of(self._account)
        if number == batch.number and root != batch.frames_root:
            raise AnchorConflictError(number, batch.frames_root, root)
        return number >= batch.number

    def _remember(
        self,
        number: int,
        *,
        stage: Stage,
        transaction: Digest,
        block: int | None = None,
        anchored_at: int | None = None,
    ) -> None:
        with self._store.writing() as records:
            row = records.batch(number)
            if row is not None:
                row.stage, row.transaction = stage, bytes(transaction)
                row.block, row.anchored_at = block, anchored_at
                records.add(row)


def _is_taken(refusal: RevertedError, batch: Batch) -> bool:
    """The contract, or the node's view of what is coming, is already past this number."""
    if refusal.name != "DevicesBatchNumber":
        return False
    expected = refusal.arguments[-1]
    return isinstance(expected, int) and expected > batch.number


def _as_anchored(event: BatchAnchored) -> Batch:
    anchored = event.batch
    return Batch(
        event.gateway,
        anchored.number,
        anchored.predecessor,
        anchored.frames_root,
        anchored.index_root,
        anchored.incidents_root,
        anchored.size,
    )
