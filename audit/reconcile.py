"""How a follower takes in blocks: pure, no chain and no clock.

Invariant of `Local`: `pending` starts on `final` and every block names the one before it as its parent; nothing in
`pending` is final. A block is exactly one of four cases against it: a duplicate, behind (it contradicts pending blocks,
which are dropped), a gap (blocks between are missing) or next. A block that contradicts `final` or what lies below is
FinalityError: the follower stops and undoes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from audit.errors import FinalityError
from capsule.ids import Digest

__all__ = [
    "Behind",
    "BlockEvent",
    "Duplicate",
    "FinalEvent",
    "FollowEvent",
    "Gap",
    "Link",
    "Local",
    "Next",
    "Outcome",
    "ReorgEvent",
    "advance",
    "finalize",
    "reconcile",
]


@dataclass(frozen=True, slots=True)
class Link:
    """What of a block's header ties it to the chain."""

    number: int
    hash: Digest
    parent_hash: Digest


@dataclass(frozen=True, slots=True)
class Local:
    """The follower's end of the chain: the last final block and the linked blocks above it, lowest first."""

    final: Link
    pending: tuple[Link, ...] = ()

    @property
    def tip(self) -> Link:
        return self.pending[-1] if self.pending else self.final

    def at(self, number: int) -> Link | None:
        """Our block at a height, None below the final one and above the tip."""
        if number == self.final.number:
            return self.final
        position = number - self.final.number - 1
        return self.pending[position] if 0 <= position < len(self.pending) else None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """We have this block."""


@dataclass(frozen=True, slots=True)
class Behind:
    """The chain left our branch: `dropped` (highest first) are out; reconcile the same block again with `local`."""

    local: Local
    dropped: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """Blocks `first` to `last` are needed before this one can be placed."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Next:
    """The block extends our tip."""

    local: Local


Outcome: TypeAlias = Duplicate | Behind | Gap | Next


@dataclass(frozen=True, slots=True)
class BlockEvent:
    """A block joined our chain. It may still go."""

    block: Link


@dataclass(frozen=True, slots=True)
class ReorgEvent:
    """Blocks left our chain, highest first; `ancestor` is the tip now."""

    dropped: tuple[Link, ...]
    ancestor: Link


@dataclass(frozen=True, slots=True)
class FinalEvent:
    """A block became final. It stays, or the follower stops."""

    block: Link


FollowEvent: TypeAlias = BlockEvent | ReorgEvent | FinalEvent


def reconcile(local: Local, block: Link) -> Outcome:
    """Places one block against our end of the chain.

    Raises FinalityError when the block, or its claim about its parent, contradicts what is final. A block below the
    final one can't be compared here and counts as a duplicate: whoever stores final hashes compares there.
    """
    if block.number < local.final.number:
        return Duplicate()
    ours = local.at(block.number)
    if ours is not None and ours.hash == block.hash:
        return Duplicate()
    if block.number == local.final.number:
        raise FinalityError(block.number, local.final.hash, block.hash)
    if block.number > local.tip.number + 1:
        return Gap(local.tip.number + 1, block.number - 1)
    parent = local.at(block.number - 1)
    linked = parent is not None and parent.hash == block.parent_hash
    if linked and block.number == local.tip.number + 1:
        return Next(Local(local.final, (*local.pending, block)))
    if block.number - 1 == local.final.number and not linked:
        raise FinalityError(local.final.number, local.final.hash, block.parent_hash)
    # The block's own height is contradicted, and its parent's too unless it links there.
    keep = block.number - local.final.number - (1 if linked else 2)
    return Behind(Local(local.final, local.pending[:keep]), tuple(reversed(local.pending[keep:])))


def advance(local: Local, block: Link) -> tuple[Local, tuple[FollowEvent, ...], Gap | None]:
    """Takes one block in as far as it goes: our new end, what happened, and which blocks are needed first, if any.

    With a gap, fetch its blocks in order, advance by each, then by this block again.
    """
    happened: list[FollowEvent] = []
    while True:
        match reconcile(local, block):
            case Duplicate():
                return local, tuple(happened), None
            case Next(local=longer):
                return longer, (*happened, BlockEvent(block)), None
            case Gap() as gap:
                return local, tuple(happened), gap
            case Behind(local=shorter, dropped=dropped):
                local = shorter
                happened.append(ReorgEvent(dropped, shorter.tip))


def finalize(local: Local, number: int) -> tuple[Local, tuple[FinalEvent, ...]]:
    """Declares our blocks up to a height final, by the chain's rule that the caller evaluated."""
    settled = tuple(_up_to(local, number))
    if not settled:
        return local, ()
    return Local(settled[-1], local.pending[len(settled) :]), tuple(FinalEvent(block) for block in settled)


def _up_to(local: Local, number: int) -> Iterator[Link]:
    return (block for block in local.pending if block.number <= number)
