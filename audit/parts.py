"""An index built in parts, for histories that one process would take too long over: each a range of blocks.

A part begins with the tip of the block before it, and is no index to judge by. Joined, parts are the same index as one
that was built in one go, with the same digest. Invariant: parts join only where each begins with the very block that
the one before ends with, and where all events re-hash to every head that the endpoints gave at the seams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Final

from audit.checkpoints import check_record
from audit.entries import Identity, Tip
from audit.errors import RequestError, StoreError
from audit.follow import Follower, Progress, check_last
from audit.index import Index
from audit.ledger_state import fold
from audit.notation import identity_json
from audit.store import LogRow, Where
from contracts.ledger import Ledger

__all__ = ["build_part", "join"]

_CHUNK_ROWS: Final = 10_000


def build_part(
    ledger: Ledger,
    path: Path,
    first: int,
    last: int,
    *,
    workers: int,
    progress: Callable[[Progress], None] = lambda step: None,
) -> Tip:
    """Indexes blocks `first` to `last` into a file, from nothing or from where it stands; returns its tip.

    Heads at the end are kept where the node still has that block's state; proofs are left to the follower that goes on
    from the joined index. Raises RequestError for an empty range and for a `last` that is not final or as `check_last`,
    StoreError for a file that begins elsewhere.
    """
    if not 0 <= first <= last:
        raise RequestError(f"blocks {first} to {last} are no range; begin at 0 or later, and end no earlier")
    check_last(ledger, last)
    index = Index.open(path)
    with closing(index):
        if first:
            block = ledger.chain.block(first - 1)
            identity = Identity(ledger.domain, ledger.pin.genesis_hash, MappingProxyType(dict(ledger.addresses)))
            index.begin(identity, Tip(block.number, block.hash, block.timestamp))
        elif index.before is not None:
            raise StoreError(f"the part at {path} begins after block {index.before.number}, not at block 0")
        for step in Follower(ledger, index, workers=workers, is_part=True).catch_up(last):
            progress(step)
        tip = index.tip
        if tip is None or tip.number > last:
            raise RequestError(f"the part at {path} goes on past block {last} already; give it another folder")
        return tip


def join(
    parts: Sequence[Path], where: Where, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[int, Tip]:
    """Puts parts together in the place of the index at `where`, all or nothing; returns events and tip.

    Parts may be given in any order. Raises StoreError where two do not join, and RequestError where the joined events
    have gaps or do not re-hash to the heads at the seams; the index at `where` stays as it was then.
    """
    with ExitStack() as stack:
        indexes = []
        for path in parts:
            if not path.is_file():
                raise RequestError(f"there is no part at {path}; build it with 'dataspace audit part' first")
            indexes.append(stack.enter_context(closing(Index.open(path))))
        whole = stack.enter_context(closing(Index.open(where, beside=True)))
        ordered = _ordered(indexes)
        whole.begin(ordered[0].identity)
        claims = [index.claim for index in ordered if index.claim is not None and index.claimed]
        done, total = 0, sum(index.count() for index in ordered)
        for index in ordered:
            tip = _tip(index)
            kept: list[LogRow] = []
            for row in index.raw():
                kept.append(row)
                if len(kept) == _CHUNK_ROWS:
                    # of these blocks more may follow; the tip comes with the last of them
                    whole.add(kept)
                    done += len(kept)
                    progress(done, total)
                    kept = []
            # without a claim: the follower that goes on from here asks for the newest heads, and their proofs
            whole.append(kept, tip)
            done += len(kept)
            progress(done, total)
        tip = _tip(whole)
        check_record(fold(whole.entries(), whole.identity, tip, tuple(claims)))
        whole.take_place()
        return total, tip


def _ordered(indexes: Sequence[Index]) -> list[Index]:
    """By block, each beginning where the one before ends."""
    ordered = sorted(indexes, key=lambda index: -1 if index.before is None else index.before.number)
    if not ordered or ordered[0].before is not None:
        raise StoreError("none of the parts begins at block 0; build that one, or name it")
    for one, next_ in pairwise(ordered):
        if identity_json(one.identity) != identity_json(next_.identity):
            raise StoreError("the parts are of different ledgers (chain, Directory or contracts differ)")
        end, begin = _tip(one), next_.before
        if begin != end:
            begins = "nothing, at block 0" if begin is None else f"block {begin.number} (0x{begin.hash.hex()})"
            raise StoreError(
                f"two parts do not join: one ends with block {end.number} (0x{end.hash.hex()}), the next one begins "
                f"after {begins}; build the blocks between them, or find out which endpoint shows another chain"
            )
    return ordered


def _tip(index: Index) -> Tip:
    if index.tip is None:
        raise StoreError("a part is empty; build it with 'dataspace audit part' first")
    return index.tip
