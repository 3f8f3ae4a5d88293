"""The follower's case analysis, over random trees of blocks."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import FinalityError
from audit.reconcile import (
    Behind,
    BlockEvent,
    Duplicate,
    FinalEvent,
    FollowEvent,
    Gap,
    Link,
    Local,
    Next,
    ReorgEvent,
    advance,
    finalize,
    reconcile,
)
from capsule.ids import Digest


def block(number: int, branch: int = 0, parent: Link | None = None) -> Link:
    before = parent.hash if parent is not None else _hash(number - 1, branch)
    return Link(number, _hash(number, branch), before)


def _hash(number: int, branch: int) -> Digest:
    return Digest(number.to_bytes(16, "big") + branch.to_bytes(16, "big"))


def chain(first: int, last: int, *, on: Link, branch: int = 0) -> list[Link]:
    links = []
    for number in range(first, last + 1):
        on = block(number, branch, on)
        links.append(on)
    return links


FINAL = block(10)
LOCAL = Local(FINAL, tuple(chain(11, 13, on=FINAL)))


def test_block_on_the_tip_is_next() -> None:
    following = block(14, parent=LOCAL.tip)

    assert reconcile(LOCAL, following) == Next(Local(FINAL, (*LOCAL.pending, following)))


@pytest.mark.parametrize("number", [10, 11, 13])
def test_known_block_is_a_duplicate(number: int) -> None:
    known = LOCAL.at(number)
    assert known is not None

    assert reconcile(LOCAL, known) == Duplicate()


def test_later_block_leaves_a_gap() -> None:
    assert reconcile(LOCAL, block(17)) == Gap(14, 16)


def test_other_block_at_our_height_is_behind_and_drops_ours_from_there() -> None:
    known = LOCAL.at(11)
    assert known is not None

    outcome = reconcile(LOCAL, block(12, 7, known))

    assert outcome == Behind(Local(FINAL, LOCAL.pending[:1]), (LOCAL.pending[2], LOCAL.pending[1]))


def test_next_height_on_another_parent_drops_our_tip() -> None:
    outcome = reconcile(LOCAL, block(14, 7))

    assert outcome == Behind(Local(FINAL, LOCAL.pending[:2]), (LOCAL.pending[2],))


def test_another_final_block_stops_loudly() -> None:
    with pytest.raises(FinalityError) as caught:
        reconcile(LOCAL, block(10, 7))

    assert (caught.value.number, caught.value.ours, caught.value.theirs) == (10, FINAL.hash, _hash(10, 7))


def test_child_of_another_final_block_stops_loudly() -> None:
    with pytest.raises(FinalityError) as caught:
        reconcile(LOCAL, block(11, 7))

    assert caught.value.number == 10


def test_block_below_the_final_one_is_not_judged_here() -> None:
    assert reconcile(LOCAL, block(9, 7)) == Duplicate()


def test_finalizing_moves_the_floor_and_tells_each_block() -> None:
    local, happened = finalize(LOCAL, 12)

    assert local == Local(LOCAL.pending[1], LOCAL.pending[2:])
    assert happened == (FinalEvent(LOCAL.pending[0]), FinalEvent(LOCAL.pending[1]))
    assert finalize(LOCAL, 10) == (LOCAL, ())


@dataclass
class Node:
    """A simulated chain: seeded growth and reorganisations, never below `depth` blocks from the head."""

    seed: random.Random
    depth: int
    links: list[Link] = field(default_factory=lambda: [Link(0, _hash(0, 0), Digest(bytes(32)))])
    branch: int = 0

    def move(self) -> None:
        back = self.seed.randrange(self.depth) if self.seed.random() < 0.4 else 0
        keep = max(1, len(self.links) - back)
        floor = max(1, len(self.links) - self.depth)
        self.branch += 1
        self.links = self.links[: max(keep, floor)]
        for _ in range(back + self.seed.randrange(3)):
            self.links.append(block(len(self.links), self.branch, self.links[-1]))


def follow(local: Local, node: Node) -> tuple[Local, list[FollowEvent]]:
    """As the shell does: advance by the head, filling gaps first."""
    events: list[FollowEvent] = []
    local, happened, gap = advance(local, node.links[-1])
    events += happened
    while gap is not None:
        for number in range(gap.first, gap.last + 1):
            local, happened, gap = advance(local, node.links[number])
            events += happened
            if gap is not None:
                break
        else:
            local, happened, gap = advance(local, node.links[-1])
            events += happened
    return local, events


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), depth=st.integers(1, 8), confirmations=st.integers(0, 4), steps=st.integers(1, 40))
def test_follower_ends_where_the_chain_is(seed: int, depth: int, confirmations: int, steps: int) -> None:
    """Consumers that only apply the events have the node's chain, and no final block ever leaves it."""
    node = Node(random.Random(seed), depth)
    local = Local(node.links[0])
    applied = [node.links[0]]
    final = 0
    for _ in range(steps):
        node.move()
        local, events = follow(local, node)
        for event in events:
            match event:
                case BlockEvent(block=added):
                    assert added.parent_hash == applied[-1].hash
                    applied.append(added)
                case ReorgEvent(dropped=dropped, ancestor=ancestor):
                    for gone in dropped:
                        assert applied.pop() == gone
                    assert applied[-1] == ancestor
                case FinalEvent():
                    raise AssertionError
            assert len(applied) > final
        if node.links[-1].number >= applied[-1].number:
            assert applied == node.links
        local, settled = finalize(local, node.links[-1].number - confirmations - depth)
        assert [event.block for event in settled] == applied[final + 1 : final + 1 + len(settled)]
        final += len(settled)
        assert local.final == applied[final]
