"""An index in parts: joined it is the one built in one go; parts that don't meet, or lie, do not join."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from audit.errors import RequestError, StoreError
from audit.follow import rebuild
from audit.index import Index, Summary
from audit.parts import build_part, join
from capsule.ids import Digest
from contracts.ledger import Ledger
from contracts.rpc import RpcChain
from scripts.bench.many_events import BLOCK_GAS, CALLS, ManyEvents
from tests.sim.anvil import anvil

WRONG = "0x" + "09" * 32


class Source:
    """A ledger with a history, its whole index, and three parts of it."""

    def __init__(self, url: str, folder: Path) -> None:
        many = ManyEvents(url)
        many.fill(12 * CALLS)
        self.ledger = Ledger.connect(RpcChain(url), many.directory)
        self.folder = folder
        self.whole: Summary = rebuild(self.ledger, folder / "whole.db")
        last = self.whole.tip.number
        self.cuts = (0, last - 8, last - 3, last + 1)
        self.parts = [self.part(place) for place in range(3)]

    def part(self, place: int, name: str = "part") -> Path:
        path = self.folder / f"{name}-{place}.db"
        build_part(self.ledger, path, self.cuts[place], self.cuts[place + 1] - 1, workers=2)
        return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    with anvil(block_time=None, extra=("--gas-limit", str(BLOCK_GAS))) as url:
        yield Source(url, tmp_path_factory.mktemp("parts"))


def altered(source: Source, tmp_path: Path, place: int, statement: str) -> list[Path]:
    """The parts, one of them changed in its database."""
    path = tmp_path / f"altered-{place}.db"
    with closing(sqlite3.connect(source.parts[place])) as database, closing(sqlite3.connect(path)) as copy:
        database.backup(copy)
        copy.execute(statement)
        copy.commit()
    return [path if number == place else part for number, part in enumerate(source.parts)]


def test_parts_joined_are_the_index_built_in_one_go(source: Source, tmp_path: Path) -> None:
    where = tmp_path / "audit.db"
    told: list[tuple[int, int]] = []

    events, tip = join(
        [source.parts[1], source.parts[2], source.parts[0]], where, progress=lambda *step: told.append(step)
    )

    assert (events, tip) == (source.whole.events, source.whole.tip)
    assert told[-1] == (events, events)
    index = Index.open(where)
    assert (index.summary(), index.before) == (source.whole, None)
    index.close()
    assert rebuild(source.ledger, where) == source.whole
    index = Index.open(where)
    assert index.claimed
    assert index.proof is not None
    index.close()


def test_part_is_no_index_to_judge_by(source: Source) -> None:
    index = Index.open(source.parts[1])
    with pytest.raises(StoreError, match="audit join"):
        index.state()
    index.close()


def test_part_that_was_interrupted_goes_on(source: Source, tmp_path: Path) -> None:
    path, (_, first, end, _) = tmp_path / "part.db", source.cuts
    build_part(source.ledger, path, first, first + 1, workers=1)
    assert build_part(source.ledger, path, first, end - 1, workers=1).number == end - 1

    one, other = Index.open(path), Index.open(source.parts[1])
    assert one.digest() == other.digest()
    one.close()
    other.close()
    with pytest.raises(StoreError, match="does not begin after block"):
        build_part(source.ledger, path, first + 1, end - 1, workers=1)
    with pytest.raises(StoreError, match="not at block 0"):
        build_part(source.ledger, path, 0, end - 1, workers=1)
    with pytest.raises(RequestError, match="past block"):
        build_part(source.ledger, path, first, first, workers=1)
    with pytest.raises(RequestError, match="not final"):
        build_part(source.ledger, tmp_path / "next.db", first, 10**6, workers=1)


@pytest.mark.parametrize(
    ("chosen", "told"),
    [((0, 2), "do not join"), ((1, 2), "none of the parts begins at block 0"), ((0, 0, 1), "do not join")],
)
def test_parts_that_do_not_meet_leave_the_index_as_it_was(
    source: Source, tmp_path: Path, chosen: tuple[int, ...], told: str
) -> None:
    where = tmp_path / "audit.db"
    before = rebuild(source.ledger, where, last_block=source.cuts[1] - 1)

    with pytest.raises(StoreError, match=told):
        join([source.parts[place] for place in chosen], where)

    index = Index.open(where)
    assert index.summary() == before
    index.close()


def test_event_left_out_of_a_part_is_found_at_the_joining(source: Source, tmp_path: Path) -> None:
    where = tmp_path / "audit.db"
    newest = "(select max(block_number) from audit_logs)"
    left_out = f"delete from audit_logs where log_index = 7 and block_number = {newest}"  # noqa: S608
    for place in range(3):
        with pytest.raises(RequestError, match="signed or joined"):
            join(altered(source, tmp_path, place, left_out), where)
        assert not where.exists()


def test_head_that_another_endpoint_gave_at_a_seam_is_found(source: Source, tmp_path: Path) -> None:
    """The events are whole: it is one head at the end of the middle part that is not theirs."""
    claim = Index.open(source.parts[1]).claim
    assert claim is not None
    head = Digest(claim.heads["Devices"][0])
    other = f"update audit_facts set value = replace(value, '{head}', '{WRONG}') where name = 'claim'"  # noqa: S608

    with pytest.raises(RequestError, match="Devices"):
        join(altered(source, tmp_path, 1, other), tmp_path / "audit.db")
    assert not (tmp_path / "audit.db").exists()


def test_part_of_another_history_does_not_join(source: Source, tmp_path: Path) -> None:
    before = Index.open(source.parts[1]).before
    assert before is not None
    other = f"update audit_facts set value = replace(value, '{before.hash}', '{WRONG}') where name = 'before'"  # noqa: S608
    told = rf"ends with block {before.number} .* begins after block {before.number} \({WRONG}"

    with pytest.raises(StoreError, match=told):
        join(altered(source, tmp_path, 1, other), tmp_path / "audit.db")
    assert not (tmp_path / "audit.db").exists()
