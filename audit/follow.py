"""Follows a ledger into an index: history in ranges of final blocks, then the tip block by block.

Only final blocks reach the index, so nothing there is ever undone. Answers are held against each other: every log
against the header of its block (hash and bloom), every range against itself (order, bounds, addresses), the last
indexed block against the chain again before anything is added. What can't be seen in one answer (a log left out) shows
later, in `seq` and heads. All state is the index's tip, so that a follower killed at any moment goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from eth_utils.crypto import keccak

from audit.entries import Claim, Entry, Identity, Tip
from audit.errors import FinalityError, RequestError
from audit.index import Index, Summary
from audit.proof import HeadsProof, prove_heads
from audit.reconcile import FinalEvent, FollowEvent, Link, Local, advance, finalize
from audit.store import Where
from capsule.ids import Address, Digest
from contracts.chain import Block, RawLog
from contracts.errors import ChainIntegrityError, ChainRefusedError
from contracts.events import SequencedEvent
from contracts.ledger import Ledger

__all__ = ["Follower", "Progress", "rebuild"]

_RANGE_BLOCKS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a follower is: last block indexed, final block aimed at, events added by this run."""

    block: int
    final: int
    events: int


class Follower:
    """One ledger into one index. `range_blocks`: blocks asked for at once."""

    def __init__(self, ledger: Ledger, index: Index, range_blocks: int = _RANGE_BLOCKS) -> None:
        """Binds the index to the ledger; StoreError when it is of another one."""
        if range_blocks < 1:
            raise RequestError("a range has at least one block")
        self._ledger = ledger
        self._index = index
        self._range_blocks = range_blocks
        self._local: Local | None = None
        index.begin(Identity(ledger.domain, ledger.pin.genesis_hash, MappingProxyType(dict(ledger.addresses))))

    def catch_up(self, last_block: int | None = None) -> Iterator[Progress]:
        """Indexes everything up to the block that is final when it starts, or up to `last_block`, so that several
        parties can sign one checkpoint of a chain that goes on; one step for each range.

        An endpoint whose final block is below the index's tip adds nothing. Raises FinalityError when the last indexed
        block is not part of the chain any more, ChainIntegrityError for answers that contradict each other.
        """
        final = self._ledger.final_block()
        if last_block is not None and last_block < final.number:
            final = self._ledger.chain.block(last_block)
        self._check_tip(final)
        first = 0 if self._index.tip is None else self._index.tip.number + 1
        added = 0
        while first <= final.number:
            last = min(first + self._range_blocks - 1, final.number)
            entries = self._range(first, last)
            block = final if last == final.number else self._ledger.chain.block(last)
            claim, proof = (self._claim(block), self._proof(block)) if last == final.number else (None, None)
            self._index.append(entries, Tip(block.number, block.hash, block.timestamp), claim, proof)
            added += len(entries)
            first = last + 1
            yield Progress(last, final.number, added)

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
        local, happened = self._advanced(self._local, _link(chain.head()))
        final = self._ledger.final_block()
        local, settled = finalize(local, final.number)
        self._local = local
        if settled:
            self._append_final(settled)
        return (*happened, *settled)

    def _advanced(self, local: Local, head: Link) -> tuple[Local, tuple[FollowEvent, ...]]:
        local, happened, gap = advance(local, head)
        while gap is not None:
            for number in range(gap.first, gap.last + 1):
                local, more, gap = advance(local, _link(self._ledger.chain.block(number)))
                happened += more
                if gap is not None:
                    break
            else:
                local, more, gap = advance(local, head)
                happened += more
        return local, happened

    def _append_final(self, settled: tuple[FinalEvent, ...]) -> None:
        last = settled[-1].block
        self._check_tip(self._ledger.chain.block(last.number))
        block = self._ledger.chain.block(last.number)
        if block.hash != last.hash:
            raise FinalityError(last.number, last.hash, block.hash)
        entries = self._range(settled[0].block.number, last.number)
        tip = Tip(block.number, block.hash, block.timestamp)
        self._index.append(entries, tip, self._claim(block), self._proof(block))

    def _check_tip(self, final: Block) -> None:
        tip = self._index.tip
        if tip is None or tip.number > final.number:
            return
        block = final if tip.number == final.number else self._ledger.chain.block(tip.number)
        if block.hash != tip.hash:
            raise FinalityError(tip.number, tip.hash, block.hash)

    def _range(self, first: int, last: int) -> list[Entry]:
        """The events of blocks first..last, cross-checked."""
        logs = self._ledger.raw_logs(first, last)
        contracts = {address: name for name, address in self._ledger.addresses.items()}
        _check_order(logs, first, last, contracts)
        headers: dict[int, Block] = {}
        entries = []
        for log in logs:
            if log.block_number not in headers:
                headers[log.block_number] = self._ledger.chain.block(log.block_number)
            header = headers[log.block_number]
            _check_log(log, header)
            event = self._ledger.decoder.decode(log)
            if isinstance(event, SequencedEvent):
                entries.append(Entry(contracts[log.address], event, header.timestamp))
        return entries

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

    def _proof(self, block: Block) -> HeadsProof | None:
        try:
            return prove_heads(self._ledger, block)
        except ChainRefusedError:
            return None  # the node keeps no proofs; the report says `unproven` or `checkpoint`


def rebuild(
    ledger: Ledger,
    where: Where,
    *,
    afresh: bool = False,
    range_blocks: int = _RANGE_BLOCKS,
    last_block: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Brings the index up to the ledger's final block, from nothing or from where it stands.

    `afresh` builds beside the old index and takes its place only when it is whole. `last_block` stops before the final
    block; an index that is past it stays as it is.
    """
    index = Index.open(where, beside=afresh)
    try:
        for step in Follower(ledger, index, range_blocks).catch_up(last_block):
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


def _check_order(logs: Iterable[RawLog], first: int, last: int, contracts: dict[Address, str]) -> None:
    before = (first, -1)
    for log in logs:
        place = (log.block_number, log.log_index)
        if place <= before or not first <= log.block_number <= last or log.address not in contracts:
            raise ChainIntegrityError(
                f"the endpoint answers for blocks {first} to {last} with a log of {log.address} at block "
                f"{log.block_number}, position {log.log_index}, which does not belong there"
            )
        before = place


def _check_log(log: RawLog, header: Block) -> None:
    if log.block_hash != header.hash:
        raise ChainIntegrityError(
            f"the endpoint has two blocks {log.block_number}: {header.hash}, and {log.block_hash} for one of its logs"
        )
    for item in (bytes(log.address), *log.topics):
        if not _in_bloom(header.logs_bloom, item):
            raise ChainIntegrityError(
                f"the bloom of block {log.block_number} does not have its log at position {log.log_index}"
            )


def _in_bloom(bloom: bytes, item: bytes) -> bool:
    """Whether a block's bloom (2048 bits, Yellow Paper 4.3.1) may hold an address or topic."""
    digest: Final = Digest(bytes(keccak(item)))
    value = int.from_bytes(bloom, "big")
    return all(value >> (int.from_bytes(digest[at : at + 2], "big") & 2047) & 1 for at in (0, 2, 4))
