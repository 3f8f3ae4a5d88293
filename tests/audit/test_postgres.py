"""The index on a real PostgreSQL server, and rebuilds that die at any moment: always the same digest."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from audit.documents import MemoryDocuments
from audit.errors import StoreError
from audit.follow import Follower, Progress, rebuild
from audit.index import Index, Summary
from audit.rows import RowReader
from audit.verify import verify
from capsule.ids import Address
from contracts.chain import Block, Chain, RawLog, StorageProof
from contracts.headers import Header
from contracts.ledger import Ledger
from scripts.demo.lying_chain import LyingChain
from tests.audit.auditing import read_only
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History
from tests.sim.postgres import Postgres, postgres
from tests.sim.reorganising_chain import ReorganisingChain

KILLS = 50


class Remembered(LyingChain):
    """A chain that asks each question once: a child that dies touches no other process's chain."""

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        self._head = cache(super().head)
        self._blocks = cache(super().block)
        self._headers = cache(super().header)
        self._logs = cache(super().logs)
        self._calls = cache(super().call)
        self._proofs = cache(super().storage_proof)

    def head(self) -> Block:
        return self._head()

    def block(self, number: int) -> Block:
        return self._blocks(number)

    def header(self, number: int) -> Header:
        return self._headers(number)

    def logs(self, addresses: Sequence[Address], first: int, last: int) -> tuple[RawLog, ...]:
        return self._logs(tuple(addresses), first, last)

    def call(self, to: Address, data: bytes, *, at: int | None = None, sender: Address | None = None) -> bytes:
        return self._calls(to, data, at=at, sender=sender)

    def storage_proof(self, address: Address, slots: Sequence[int], block: int) -> StorageProof:
        return self._proofs(address, tuple(slots), block)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(scope="module")
def ledger(space: DataSpace) -> Ledger:
    return Ledger.connect(Remembered(space.chain), space.operator.pin.directory, None, space.operator.pin)


@pytest.fixture(scope="module")
def whole(ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """What an undisturbed rebuild on SQLite gives; with the ranges that the children ask for."""
    return rebuild(ledger, tmp_path_factory.mktemp("whole") / "audit.db", range_blocks=2)


def test_postgresql_holds_the_same_index_as_sqlite(
    space: DataSpace, server: Postgres, ledger: Ledger, whole: Summary, honest: History
) -> None:
    url = server.database()
    early = rebuild(ledger, url, last_block=40)
    assert early.tip.number == 40
    assert rebuild(ledger, url) == whole
    index = Index.open(url)
    assert tuple(index.entries()) == honest.entries
    assert index.proof is not None
    index.close()
    # From nothing beside it, twice: the first one's tables gave way.
    for _ in range(2):
        assert rebuild(read_only(space), url, afresh=True) == whole


def test_rebuild_afresh_that_fails_leaves_the_old_index(server: Postgres, ledger: Ledger, whole: Summary) -> None:
    url = server.database()
    rebuild(ledger, url)

    def stop(step: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(ledger, url, afresh=True, range_blocks=2, progress=stop)
    index = Index.open(url)
    assert index.summary() == whole
    index.close()


def test_event_that_stands_already_is_refused_whole(server: Postgres, ledger: Ledger, whole: Summary) -> None:
    url = server.database()
    rebuild(ledger, url)
    index = Index.open(url)
    reader = RowReader({address: name for name, address in ledger.addresses.items()})
    rows = [row for entry in list(index.entries())[:2] if (row := reader.row(entry.event.log, entry.time))]

    with pytest.raises(StoreError, match="can't be written"):
        index.append(rows, replace(whole.tip, number=whole.tip.number + 1))
    index.close()
    index = Index.open(url)
    assert index.summary() == whole
    index.close()


def test_changed_row_in_postgresql_is_noticed(server: Postgres, ledger: Ledger) -> None:
    url = server.database()
    rebuild(ledger, url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("update audit_logs set contract = 'Devices' where event = 'EndpointSet'"))
    engine.dispose()
    index = Index.open(url)

    with pytest.raises(StoreError, match="the index"):
        verify(index, MemoryDocuments({}))
    index.close()


def test_databases_that_are_none_are_refused_and_show_no_password(server: Postgres) -> None:
    for url in ("postgresql://user:secret@127.0.0.1:1/none", "mysql://user:secret@host/none", "secret://:::"):
        with pytest.raises(StoreError) as refused:
            Index.open(url)
        assert "secret" not in str(refused.value)


def killed(work: Callable[[], object], seconds: float) -> None:
    """Runs `work` in a process of its own and kills it (SIGKILL) after so many seconds, done or not."""
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    assert child.pid is not None
    time.sleep(seconds)
    os.kill(child.pid, signal.SIGKILL)
    child.join()


class World:
    """A reorganising chain that goes on whoever dies: how often it has moved is known to all processes."""

    def __init__(self, space: DataSpace) -> None:
        self._space = space
        self._true = Remembered(space.chain)
        self._moves = multiprocessing.RawValue("i", 0)  # no lock that a dead process could hold
        self.chain()

    def chain(self) -> ReorganisingChain:
        chain = ReorganisingChain(self._true, 1, depth=2)
        for _ in range(self._moves.value):
            chain.move()
        return chain

    def ledger(self, chain: ReorganisingChain) -> Ledger:
        return read_only(self._space, chain)

    def follow(self, where: Path | str) -> None:
        """Follows the tip until the whole chain is shown; the chain moves after each look."""
        chain = self.chain()
        index = Index.open(where)
        follower = Follower(self.ledger(chain), index, range_blocks=2)
        while True:
            follower.step()
            if chain.whole:
                break
            self._moves.value += 1
            chain.move()
        index.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_rebuild_killed_at_50_random_moments_gives_the_same_digest(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, ledger: Ledger, whole: Summary
) -> None:
    server = request.getfixturevalue("server") if kind == "postgresql" else None
    where: Path | str = server.database() if server else tmp_path / "audit.db"
    chance = random.Random(3)
    reached = []
    for _ in range(KILLS):
        killed(partial(rebuild, ledger, where, range_blocks=2), chance.uniform(0.01, 0.12))
        reached.append(_tip(where))
        if reached[-1] == whole.tip.number:
            where = server.database() if server else tmp_path / f"audit-{len(reached)}.db"
    assert rebuild(ledger, where, range_blocks=2) == whole
    assert len(set(reached)) > 2


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_follower_of_the_tip_killed_at_50_random_moments_gives_the_same_digest(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, space: DataSpace
) -> None:
    server = request.getfixturevalue("server") if kind == "postgresql" else None
    where: Path | str = server.database() if server else tmp_path / "audit.db"
    world = World(space)
    chance = random.Random(5)
    reached = []
    for _ in range(KILLS):
        killed(partial(world.follow, where), chance.uniform(0.02, 0.15))
        reached.append(_tip(where))
    world.follow(where)
    ended = world.ledger(world.chain())
    assert rebuild(ended, where) == rebuild(ended, tmp_path / "undisturbed.db")
    assert len(set(reached)) > 2


def _tip(where: Path | str) -> int:
    index = Index.open(where)
    try:
        return -1 if index.tip is None else index.tip.number
    finally:
        index.close()
