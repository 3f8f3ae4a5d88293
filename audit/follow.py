"""Follows a ledger into an index: history in ranges of final blocks, then the tip block by block.

Only final blocks reach the index, so nothing there is ever undone. Answers are held against each other before they are
written (`audit.answers`), and the last indexed block against the chain again before anything is added. All state is the
index's tip, so that a follower killed at any moment goes on where it was.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from audit.answers import Answer, check_headers, check_order
from audit.entries import Claim, Identity, Tip
from audit.errors import FinalityError, RequestError
from audit.index import Index, Summary
from audit.proof import HeadsProof, prove_heads
from audit.ranges import Pace, Ranges
from audit.reconcile import FinalEvent, FollowEvent, Gap, Link, Local, advance, finalize
from audit.rows import RowReader
from audit.store import Where
from contracts.chain import Block
from contracts.errors import ChainIntegrityError, ChainRefusedError
from contracts.ledger import Ledger

__all__ = ["Follower", "Progress", "check_last", "collect_seldom", "rebuild"]

_RANGE_BLOCKS: Final = 10_000
_WORKERS: Final = 2
_GAP_BLOCKS: Final = 128
_PROOF_SECONDS: Final = 0.5
_COLLECT_AFTER: Final = (50_000, 20, 50)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a follower is: last block indexed, final block aimed at, events added by this run."""

    block: int
    final: int
    events: int


class Follower:
    """One ledger into one index.

    `range_blocks`: most blocks asked for at once; `workers` fetch ranges ahead. An endpoint that fails is asked again
    after pauses that `sleep` makes, before its error is raised.
    """

    def __init__(
        self,
        ledger: Ledger,
        index: Index,
        range_blocks: int = _RANGE_BLOCKS,
        *,
        workers: int = _WORKERS,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        between: Callable[[], None] = lambda: None,
        is_part: bool = False,
    ) -> None:
        """Binds the index to the ledger; StoreError when it is of another one.

        `between` is called after each range: what it raises ends the run, and the index is whole up to there.
        `is_part`: of an index in parts (`audit.parts`): no proofs are asked for, and a node that has no state of the
        last block any more may leave its heads out.
        """
        self._is_part = is_part
        self._between = between
        self.final: int | None = None
        """The last block that the chain called final when it was asked."""
        self._ledger = ledger
        self._index = index
        self._ranges = Ranges(self._answer, _size, Pace(most=range_blocks), workers, monotonic=monotonic, sleep=sleep)
        self._monotonic = monotonic
        self._proves_quickly = True
        self._owes_proof = False
        self._reader = RowReader({address: name for name, address in ledger.addresses.items()})
        self._local: Local | None = None
        index.begin(Identity(ledger.domain, ledger.pin.genesis_hash, MappingProxyType(dict(ledger.addresses))))

    def catch_up(self, last_block: int | None = None) -> Iterator[Progress]:
        """Indexes everything up to the block that is final when it starts, or up to `last_block`, so that several
        parties can sign one checkpoint of a chain that goes on; one step for each range.

        An endpoint whose final block is below the index's tip adds nothing. Raises RequestError for a
        `last_block` that is not final, FinalityError when the last indexed block is not part of the chain any more,
        ChainIntegrityError for answers that contradict each other.
        """
        final = self._final_block()
        if last_block is not None and last_block > final.number:
            raise RequestError(
                f"block {last_block} is not final yet, the last one is {final.number}; wait, or name that"
            )
        if last_block is not None:
            final = self._ledger.chain.block(last_block)
        self._check_tip(final)
        first = 0 if self._index.tip is None else self._index.tip.number + 1
        added = 0
        for answer in self._ranges.over(first, final.number):
            added += self._append(answer, final)
            if answer.last == final.number:
                self._settle(final)
            yield Progress(answer.last, final.number, added)
            self._between()
        # A follower that died between events and their heads, or left the proof for later, still owes them.
        tip = self._index.tip
        if tip is not None and tip.number == final.number and self._owes:
            self._settle(final)

    def step(self) -> tuple[FollowEvent, ...]:
        """One look at the head: what joined, what left, what became final (and is indexed then).

        Raises as `catch_up`; FinalityError also when a reorganisation reaches below a final block.
        """
        chain = self._ledger.chain
        if self._local is None:
            for _ in self.catch_up():
                continue
            tip = self._index.tip
            if tip is None:
                raise ChainIntegrityError("the chain has no final block")
            self._local = Local(_link(chain.block(tip.number)))
        # The final block before the head: what was final then stands under any head that is asked for later.
        final = self._final_block()
        local, happened = self._advanced(self._local, _link(chain.head()))
        local, settled = finalize(local, final.number)
        if settled:
            self._append_final(settled)
        elif self._owes_proof:
            self._settle(chain.block(local.final.number), at_tip=True)
        self._local = local
        return (*happened, *settled)

    def _final_block(self) -> Block:
        block = self._ledger.final_block()
        self.final = block.number
        return block

    def _advanced(self, local: Local, head: Link) -> tuple[Local, tuple[FollowEvent, ...]]:
        local, happened, gap = advance(local, head)
        while gap is not None:
            for block in self._blocks(gap):
                local, more, gap = advance(local, _link(block))
                happened += more
                if gap is not None:
                    break
            else:
                local, more, gap = advance(local, head)
                happened += more
        return local, happened

    def _blocks(self, gap: Gap) -> Iterator[Block]:
        for first in range(gap.first, gap.last + 1, _GAP_BLOCKS):
            yield from self._ledger.chain.blocks(range(first, min(first + _GAP_BLOCKS, gap.last + 1)))

    def _append_final(self, settled: tuple[FinalEvent, ...]) -> None:
        last = settled[-1].block
        block = self._ledger.chain.block(last.number)
        self._check_tip(block)
        if block.hash != last.hash:
            raise FinalityError(last.number, last.hash, block.hash)
        # A step that failed after it wrote some ranges is taken again: they are not written twice.
        first = settled[0].block.number if self._index.tip is None else self._index.tip.number + 1
        for answer in self._ranges.over(first, last.number):
            self._append(answer, block)
            self._between()
        self._settle(block, at_tip=True)

    def _check_tip(self, final: Block) -> None:
        tip = self._index.tip
        if tip is None or tip.number > final.number:
            return
        block = final if tip.number == final.number else self._ledger.chain.block(tip.number)
        if block.hash != tip.hash:
            raise FinalityError(tip.number, tip.hash, block.hash)

    @property
    def _owes(self) -> bool:
        return not self._index.claimed or (self._index.proof is None and not self._proves_quickly)

    def _answer(self, first: int, last: int) -> Answer:
        """What the chain has of blocks first..last; in a worker."""
        logs = self._ledger.raw_logs(first, last)
        check_order(logs, first, last, self._ledger.addresses.values())
        numbers = sorted({log.block_number for log in logs} | {last})
        headers = dict(zip(numbers, self._ledger.chain.blocks(numbers), strict=True))
        return Answer(first, last, logs, headers)

    def _append(self, answer: Answer, final: Block) -> int:
        """Writes an answer, cross-checked; how many events it had."""
        check_headers(answer)
        rows = self._reader.rows(answer.logs, answer.headers)
        block = answer.headers[answer.last]
        if block.number == final.number and block.hash != final.hash:
            raise FinalityError(final.number, final.hash, block.hash)
        self._index.append(rows, Tip(block.number, block.hash, block.timestamp))
        return len(rows)

    def _settle(self, block: Block, *, at_tip: bool = False) -> None:
        """Adds the heads that events up to `block`, the index's tip, must hash to; the events can be seen before.

        A node that is slow to prove heads is not asked for proofs at the tip: they wait for the next `catch_up`.
        """
        proof = None
        if not self._is_part and (not at_tip or self._proves_quickly):
            begin = self._monotonic()
            proof = self._tip_proof(block) if at_tip else self._proof(block)
            self._proves_quickly = self._monotonic() - begin <= _PROOF_SECONDS
        self._index.append((), Tip(block.number, block.hash, block.timestamp), self._heads(block), proof)

    def _heads(self, block: Block) -> Claim | None:
        try:
            return self._claim(block)
        except ChainRefusedError:
            if not self._is_part:
                raise
            return None

    def _claim(self, block: Block) -> Claim:
        """The heads that the endpoint's state has at a block."""
        ledger, at = self._ledger, block.number
        heads = {
            "Directory": ledger.directory.head(at=at),
            "Participants": ledger.participants.head(at=at),
            "Assets": ledger.assets.head(at=at),
            "Access": ledger.access.head(at=at),
            "Devices": ledger.devices.head(at=at),
            "OperationLog": ledger.operation_log.head(at=at),
        }
        return Claim("endpoint", block.number, block.hash, MappingProxyType(heads))

    def _tip_proof(self, block: Block) -> HeadsProof | None:
        """As `_proof`. A node that made a block meanwhile may have proven that one's state: it is asked again later."""
        self._owes_proof = False
        try:
            return self._proof(block)
        except ChainIntegrityError:
            if self._ledger.chain.head().number <= block.number:
                raise
            self._owes_proof = True
            return None

    def _proof(self, block: Block) -> HeadsProof | None:
        try:
            return prove_heads(self._ledger, block)
        except ChainRefusedError:
            return None  # the node keeps no proofs; the report says `unproven` or `checkpoint`


def collect_seldom() -> None:
    """Sets this process's garbage collector for events by the thousand, which hold no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def check_last(ledger: Ledger, last_block: int) -> None:
    """Raises RequestError for a block that no index can end with, since the ledger's contracts were not there yet.

    A block that the node has no state of any more, or that is not there yet, is for the follower to judge.
    """
    try:
        absent = ledger.absent_at(last_block)
    except ChainRefusedError:
        return
    if absent:
        raise RequestError(
            f"the ledger is not there yet at block {last_block}: {', '.join(absent)} came later; name a later block"
        )


def rebuild(
    ledger: Ledger,
    where: Where,
    *,
    afresh: bool = False,
    range_blocks: int = _RANGE_BLOCKS,
    workers: int = _WORKERS,
    last_block: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Brings the index up to the ledger's final block, from nothing or from where it stands.

    `afresh` builds beside the old index and takes its place only when it is whole. `last_block` stops before the final
    block: RequestError where the index is past it already, and as `check_last`.
    """
    if last_block is not None:
        check_last(ledger, last_block)
    index = Index.open(where, beside=afresh)
    try:
        if last_block is not None and index.tip is not None and index.tip.number > last_block:
            raise RequestError(
                f"the index is at block {index.tip.number} already; --afresh builds it up to {last_block}, in its place"
            )
        for step in Follower(ledger, index, range_blocks, workers=workers).catch_up(last_block):
            if progress is not None:
                progress(step)
        summary = index.summary()
        if afresh:
            index.take_place()
    finally:
        index.close()
    return summary


def _link(block: Block) -> Link:
    return Link(block.number, block.hash, block.parent_hash)


def _size(answer: Answer) -> int:
    return len(answer.logs)
