"""The follower on a chain that reorganises, fails and lies by a seed."""

from __future__ import annotations

import random

import pytest

from audit.errors import FinalityError
from audit.follow import Follower
from audit.index import Index
from audit.reconcile import BlockEvent, FinalEvent, FollowEvent, Link, ReorgEvent
from audit.rulebook import RECORD_RULES
from contracts.errors import ChainIntegrityError, ChainRefusedError, ChainUnreachableError
from tests.audit.auditing import read_only, rules_of
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History
from tests.sim.reorganising_chain import LIES, Line, ReorganisingChain

SEEDS = range(25)
# Seeds that once ended otherwise than they should.
BAD_SEEDS: tuple[int, ...] = ()


class Consumer:
    """Applies the events of one follower and nothing else."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.final = 0

    def take(self, events: tuple[FollowEvent, ...]) -> None:
        for event in events:
            match event:
                case BlockEvent(block=added):
                    assert not self.links or added.parent_hash == self.links[-1].hash
                    self.links.append(added)
                case ReorgEvent(dropped=dropped):
                    for gone in dropped:
                        assert self.links.pop() == gone
                    assert len(self.links) >= self.final
                case FinalEvent(block=settled):
                    assert self.links[self.final] == settled
                    self.final += 1


def quiet(seconds: float) -> None:
    """No test waits."""


def followed(space: DataSpace, seed: int) -> tuple[Index, ReorganisingChain]:
    """Follows until the whole chain is shown, over a bad line, killed now and then."""
    chance = random.Random(seed)
    chain = ReorganisingChain(space.chain, seed, depth=chance.randint(1, 6), moving=0.3)
    ledger = read_only(space, chain)
    chain.line = Line(chance.choice([0.0, 0.1]), chance.choice([0.0, 0.1]), chance.choice([2, 5, 1_000]))
    index = Index.open(None)
    follower = Follower(ledger, index, chance.choice([1, 3, 50]), workers=chance.choice([1, 3]), sleep=quiet)
    consumer = Consumer()
    while not chain.whole:
        chain.move()
        if chance.random() < 0.1:
            follower = Follower(ledger, index, 7, sleep=quiet)  # killed; only the index is left
            consumer = Consumer()
        try:
            events = follower.step()
        except (ChainUnreachableError, ChainRefusedError):
            continue
        consumer.take(events)
    chain.line, chain.moving = Line(), 0.0
    follower.step()
    return index, chain


@pytest.mark.parametrize("seed", [*SEEDS, *BAD_SEEDS])
def test_follower_has_what_the_chain_calls_final_however_it_got_there(
    space: DataSpace, honest: History, seed: int
) -> None:
    index, chain = followed(space, seed)

    fresh = Index.open(None)
    for _ in Follower(read_only(space, chain), fresh).catch_up():
        continue
    assert index.summary() == fresh.summary()
    assert fresh.summary().tip.number == chain.head().number - chain.depth
    assert [entry.event.log.data for entry in index.entries()] == [
        entry.event.log.data for entry in honest.entries if entry.event.log.block_number <= fresh.summary().tip.number
    ]
    assert not rules_of(index).intersection(RECORD_RULES)


@pytest.mark.parametrize("depth", [1, 3])
def test_reorganisation_past_finality_stops_the_follower_and_undoes_nothing(
    space: DataSpace, honest: History, depth: int
) -> None:
    chain = ReorganisingChain(space.chain, 1, depth=depth)
    index = Index.open(None)
    follower = Follower(read_only(space, chain), index)
    for _ in range(20):
        chain.grow()
        follower.step()
    before = index.summary()

    chain.reorganise(depth + 1)

    for one in (follower, Follower(read_only(space, chain), index)):
        for _ in range(2):
            with pytest.raises(FinalityError) as stopped:
                one.step()
            assert stopped.value.number == before.tip.number
    assert index.summary() == before


@pytest.mark.parametrize("depth", [1, 4])
def test_reorganisation_to_the_configured_depth_is_undone_exactly(
    space: DataSpace, honest: History, depth: int
) -> None:
    chain = ReorganisingChain(space.chain, 1, depth=depth)
    follower = Follower(read_only(space, chain), Index.open(None))
    chain.grow()
    follower.step()
    ours = [chain.block(chain.head().number - back).hash for back in range(depth)]

    chain.reorganise(depth)
    events = follower.step()

    reorgs = [event for event in events if isinstance(event, ReorgEvent)]
    assert [link.hash for reorg in reorgs for link in reorg.dropped] == ours
    assert [event.block for event in events if isinstance(event, BlockEvent)] == [
        Link(block.number, block.hash, block.parent_hash)
        for block in chain.blocks(range(reorgs[-1].ancestor.number + 1, chain.head().number + 1))
    ]


@pytest.mark.parametrize("lie", list(LIES))
@pytest.mark.parametrize("seed", range(6))
def test_lie_about_logs_is_never_taken_in_silence(space: DataSpace, honest: History, lie: str, seed: int) -> None:
    chance = random.Random(seed)
    chain = ReorganisingChain(space.chain, seed, depth=2)
    index = Index.open(None)
    follower = Follower(read_only(space, chain), index, chance.choice([2, 9, 100]), sleep=quiet)
    told = set()

    def bend(logs):  # type: ignore[no-untyped-def]
        bent = LIES[lie](logs) if chance.random() < 0.5 else logs
        told.update({lie} if bent != logs else ())
        return bent

    chain.lie = bend
    stopped: Exception | None = None
    try:
        for _ in range(30):
            chain.move()
            follower.step()
    except (ChainIntegrityError, FinalityError) as error:
        stopped = error
    chain.lie = None

    assert told
    assert stopped is not None or rules_of(index).intersection(RECORD_RULES)


def test_line_that_stays_down_is_told_after_several_questions(space: DataSpace, honest: History) -> None:
    chain = ReorganisingChain(space.chain, 1, depth=1)
    index = Index.open(None)
    waits: list[float] = []
    follower = Follower(read_only(space, chain), index, sleep=waits.append)
    original = chain.logs

    def down(*_: object) -> object:
        raise ChainUnreachableError("the line is down")

    chain.logs = down  # type: ignore[method-assign, assignment]
    with pytest.raises(ChainUnreachableError, match="the line is down"):
        list(follower.catch_up())
    assert waits == [0.5, 1.0, 2.0, 4.0]
    assert index.tip is None

    chain.logs = original  # type: ignore[method-assign]
    list(follower.catch_up())
    assert index.tip is not None
