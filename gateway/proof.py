"""Proofs that a frame is in an anchored batch, each verified here before anyone gets it."""

from __future__ import annotations

from functools import lru_cache

from capsule.batch import BatchDocument, FrameProof, verify_frame_proof
from capsule.ids import Digest
from capsule.tree import Tree
from gateway.errors import NotAnchoredError, NotFoundError
from gateway.store import Stage, Store

__all__ = ["Proofs"]

_TREES_KEPT = 8


class Proofs:
    """Inclusion proofs from the store; the trees of the last few batches asked for stay in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.tree = lru_cache(maxsize=_TREES_KEPT)(self._tree)

    def prove(self, frame: Digest) -> FrameProof:
        """Raises NotFoundError for a frame never accepted here, NotAnchoredError before its anchor is final."""
        with self._store.reading() as records:
            row = records.frame(frame)
            batch = None if row is None else records.batch_of(row.number)
        if row is None:
            raise NotFoundError("frame", frame)
        if batch is None or batch.stage != Stage.ANCHORED:
            raise NotAnchoredError(1)
        anchored = BatchDocument.from_bytes(batch.document).batch
        position = row.number - batch.first
        proof = FrameProof(anchored, position, self.tree(batch.number).proof(position))
        verify_frame_proof(proof, row.data, anchored)
        return proof

    def _tree(self, batch: int) -> Tree:
        with self._store.reading() as records:
            row = records.batch(batch)
            return Tree(() if row is None else records.leaves(row))
