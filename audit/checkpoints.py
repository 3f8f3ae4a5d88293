"""Checkpoints of an index: what regulator and participants sign after each has built its own.

For every contract a checkpoint holds the head and the number of events; beside them (members `places` and
`block_time`) a digest over where each event stands, and the block's time: heads fix what was said, places fix when.
Two honest auditors of one ledger build the same checkpoint for the same block.
"""

from __future__ import annotations

from audit.documents import MemoryDocuments
from audit.errors import BundleError, RequestError
from audit.index import Index
from audit.papers import Papers
from audit.picture import State
from audit.rules.record import heads_mismatch, seq_gap
from capsule import canonical
from capsule.checkpoint import Checkpoint, Head, SignedCheckpoint
from capsule.errors import FormatError

__all__ = ["build_checkpoint", "check_record", "checkpoint_of", "read_checkpoint"]


def build_checkpoint(index: Index) -> Checkpoint:
    """The checkpoint of an index at its tip, to be signed.

    Raises RequestError when the events have gaps or do not re-hash to the heads that the endpoint gave: nobody should
    sign such a record.
    """
    return checkpoint_of(index.state())


def checkpoint_of(state: State) -> Checkpoint:
    """As `build_checkpoint`, of a state."""
    check_record(state)
    return Checkpoint(
        chain_id=state.identity.domain.chain_id,
        directory=state.identity.domain.directory,
        block_number=state.tip.number,
        block_hash=state.tip.hash,
        heads={name: Head(running.now.head, running.now.seq) for name, running in state.running.items()},
        unknown={
            "block_time": state.tip.time,
            "places": {name: str(running.now.places) for name, running in state.running.items()},
        },
    )


def check_record(state: State) -> State:
    """The same state, where it has no gaps and re-hashes to the heads that endpoints gave; else RequestError."""
    nothing = Papers(state, MemoryDocuments({}))
    broken = [finding for rule in (seq_gap, heads_mismatch) for finding in rule(state, nothing)]
    if broken:
        raise RequestError(f"the record is not whole, so that it can't be signed or joined: {broken[0].message_en}")
    return state


def read_checkpoint(data: bytes) -> SignedCheckpoint:
    """A signed checkpoint from its file; nothing is verified yet. Raises BundleError."""
    try:
        return SignedCheckpoint.from_json(canonical.decode(data))
    except FormatError as exc:
        raise BundleError(f"the checkpoint file does not read: {exc}") from exc
