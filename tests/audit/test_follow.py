"""From a chain to an index: the same content however it was reached, and loud where the chain contradicts itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from audit.entries import Entry
from audit.errors import FinalityError, StoreError
from audit.follow import Follower, rebuild
from audit.index import Index
from audit.reconcile import BlockEvent, FinalEvent
from audit.store import Store
from capsule.ids import Digest
from contracts.chain import Block, RawLog
from contracts.errors import ChainIntegrityError
from contracts.ledger import Ledger
from scripts.demo.lying_chain import Lies, LyingChain
from tests.audit.auditing import caught_up, read_only, rules_of
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History


def content(index: Index) -> list[tuple[object, ...]]:
    return [(entry.contract, entry.event, entry.time) for entry in index.entries()]


def test_rebuilding_twice_gives_identical_content_and_digest(space: DataSpace, honest: History, tmp_path: Path) -> None:
    first = rebuild(read_only(space), tmp_path / "one.db")
    second = rebuild(read_only(space), tmp_path / "two.db", range_blocks=7)

    assert first == second
    assert first.events == len(honest.entries)
    assert content(Index.open(tmp_path / "one.db")) == content(Index.open(tmp_path / "two.db"))


def test_rebuilding_again_or_afresh_changes_nothing(space: DataSpace, honest: History, tmp_path: Path) -> None:
    first = rebuild(read_only(space), tmp_path / "one.db")

    assert rebuild(read_only(space), tmp_path / "one.db") == first
    assert rebuild(read_only(space), tmp_path / "one.db", afresh=True) == first
    assert [path.name for path in tmp_path.iterdir()] == ["one.db"]


class KilledError(Exception):
    """The process is gone."""


class DyingStore(Store):
    """Dies at one of its writes, before or after the rows are there but not yet committed."""

    def __init__(self, path: Path, at: int) -> None:
        super().__init__(path)
        self.left = at

    def append(self, rows: object, facts: object) -> None:
        self.left -= 1
        if self.left < 0:
            raise KilledError
        super().append(rows, facts)  # type: ignore[arg-type]


def test_interrupted_follower_resumes_without_gap_or_repeat(space: DataSpace, honest: History, tmp_path: Path) -> None:
    whole = rebuild(read_only(space), tmp_path / "whole.db")
    path = tmp_path / "torn.db"
    for at in range(1, 9):
        store = DyingStore(path, at)
        steps = Follower(read_only(space), Index(store), range_blocks=3).catch_up()
        with pytest.raises(KilledError):
            list(steps)
        store.close()

    assert rebuild(read_only(space), path, range_blocks=5) == whole


def test_follower_says_how_far_it_is(space: DataSpace, honest: History) -> None:
    index = Index.open(None)
    steps = list(Follower(read_only(space), index, range_blocks=10).catch_up())

    assert all(0 < after.block - before.block <= 10 for before, after in pairwise(steps))
    assert steps[-1].block == steps[-1].final == space.chain.head().number
    assert steps[-1].events == index.summary().events


@pytest.mark.parametrize("position", [5, -1])
def test_omitted_log_is_a_gap(space: DataSpace, honest: History, position: int) -> None:
    """In the middle, and at the end, where only the contract's own count shows it."""
    hidden = [entry.event.log for entry in honest.entries if entry.contract == "Devices"][position]

    index = caught_up(space, Lies(omit=lambda log: log == hidden))

    assert rules_of(index) == {"seq-gap"}


def test_changed_log_breaks_the_heads(space: DataSpace, honest: History) -> None:
    index = Index.open(None)
    chain = AlteringChain(space.chain, honest.entries[30])
    for _ in Follower(read_only(space, chain), index).catch_up():
        continue

    assert rules_of(index) == {"heads-mismatch"}


class AlteringChain(LyingChain):
    """Changes the last byte of one log: a value that still reads."""

    def __init__(self, chain: object, entry: Entry) -> None:
        super().__init__(chain)  # type: ignore[arg-type]
        self._altered = entry.event.log

    def logs(self, addresses: object, first: int, last: int) -> tuple[RawLog, ...]:
        found = super().logs(addresses, first, last)  # type: ignore[arg-type]
        return tuple(_altered(log) if log == self._altered else log for log in found)


def _altered(log: RawLog) -> RawLog:
    index = next(at for at in reversed(range(len(log.data))) if log.data[at])
    return replace(log, data=log.data[:index] + bytes([log.data[index] ^ 1]) + log.data[index + 1 :])


def test_log_of_another_block_stops_the_follower(space: DataSpace, honest: History) -> None:
    def forge(block: Block) -> Block:
        return replace(block, hash=Digest(b"\x09" * 32)) if block.number == 20 else block

    with pytest.raises(ChainIntegrityError, match="two blocks 20"):
        caught_up(space, Lies(block=forge))


def test_log_outside_the_bloom_stops_the_follower(space: DataSpace, honest: History) -> None:
    def blank(block: Block) -> Block:
        return replace(block, logs_bloom=bytes(256)) if block.number == 20 else block

    with pytest.raises(ChainIntegrityError, match="bloom of block 20"):
        caught_up(space, Lies(block=blank))


def test_lagging_endpoint_adds_nothing_and_takes_nothing(space: DataSpace, honest: History) -> None:
    index = caught_up(space, Lies())
    before = index.summary()

    caught_up(space, Lies(hidden=5), index)

    assert index.summary() == before


def test_changed_final_block_stops_the_follower_loudly(space: DataSpace, honest: History) -> None:
    index = caught_up(space, Lies(hidden=1))
    tip = index.tip
    assert tip is not None

    def forge(block: Block) -> Block:
        return replace(block, hash=Digest(b"\x09" * 32)) if block.number == tip.number else block

    with pytest.raises(FinalityError) as caught:
        caught_up(space, Lies(block=forge), index)

    assert caught.value.number == tip.number
    assert index.tip == tip


def test_index_of_another_ledger_is_refused(space: DataSpace, honest: History, tmp_path: Path) -> None:
    index = caught_up(space, Lies())
    ledger = read_only(space)
    other = Ledger(ledger.chain, replace(ledger.pin, chain_id=1), ledger.addresses, None, ledger._patience)

    with pytest.raises(StoreError, match="another ledger"):
        Follower(other, index)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[DataSpace]:
    founded = DataSpace(tmp_path / "chain")
    yield founded
    founded.close()


def test_tip_is_followed_block_by_block(small: DataSpace) -> None:
    index = Index.open(None)
    follower = Follower(read_only(small), index)
    assert follower.step() == ()

    device = small.enroll()
    small.anchor([small.frame(device)])
    events = follower.step()

    assert [type(event) for event in events] == [BlockEvent, BlockEvent, FinalEvent, FinalEvent]
    assert index.tip is not None
    assert index.tip.number == small.chain.head().number
    again = Index.open(None)
    for _ in Follower(read_only(small), again).catch_up():
        continue
    assert again.digest() == index.digest()
