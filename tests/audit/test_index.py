"""The index: empty, whole, changed behind the auditor's back."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from audit.errors import StoreError
from audit.follow import Follower, rebuild
from audit.index import Index
from tests.audit.auditing import read_only
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History


@pytest.fixture(scope="module")
def built(space: DataSpace, honest: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "audit.db"
    rebuild(read_only(space), path)
    return path


def altered(built: Path, folder: Path, statement: str) -> Index:
    path = folder / "altered.db"
    path.write_bytes(built.read_bytes())
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()
    return Index.open(path)


def test_empty_index_says_so() -> None:
    index = Index.open(None)

    assert index.tip is None
    for ask in (index.state, index.summary, index.digest):
        with pytest.raises(StoreError, match="empty"):
            ask()


def test_entries_are_the_honest_events(built: Path, honest: History) -> None:
    entries = list(Index.open(built).entries(honest.tip.number))

    assert tuple(entries) == honest.entries


def test_frozen_index_holds_what_there_was(space: DataSpace, tmp_path: Path) -> None:
    ledger, path = read_only(space), tmp_path / "audit.db"
    rebuild(ledger, path, last_block=30)
    index = Index.open(path)
    before, frozen = index.summary(), index.frozen()

    for _ in Follower(ledger, index).catch_up():
        continue

    assert index.summary().events > before.events
    assert frozen.summary() == before
    assert {entry.event.log.block_number for entry in frozen.entries()} <= set(range(31))
    assert frozen.state().tip == before.tip
    assert (frozen.rows(30, 10), frozen.count()) == ((), before.events)
    later = list(index.entries(after=30))
    assert len(later) == index.count() - before.events
    assert [row.block_number for row in index.rows(30, 3)] == [entry.event.log.block_number for entry in later[:3]]
    index.close()


@pytest.mark.parametrize(
    "statement",
    [
        "update audit_logs set body = replace(body, 'provider', 'owner') where event = 'EndpointSet'",
        "update audit_logs set data = zeroblob(64) where event = 'CapsulePublished'",
        "update audit_logs set contract = 'Devices' where event = 'EndpointSet'",
        "update audit_logs set block_hash = 'none' where block_number = 20",
    ],
)
def test_changed_row_is_noticed_when_it_is_read(built: Path, tmp_path: Path, statement: str) -> None:
    index = altered(built, tmp_path, statement)

    with pytest.raises(StoreError, match="the index"):
        index.state()


@pytest.mark.parametrize(
    "statement",
    [
        "update audit_logs set time = time + 1 where block_number = 20",
        "update audit_logs set transaction_hash = block_hash where block_number = 20",
        "update audit_logs set body = body || ' ' where block_number = 20",
        "delete from audit_logs where block_number = 20",
    ],
)
def test_digest_covers_every_row(built: Path, tmp_path: Path, statement: str) -> None:
    index = altered(built, tmp_path, statement)

    assert index.digest() != Index.open(built).digest()


@pytest.mark.parametrize(
    "statement",
    [
        "update audit_facts set value = '0' where name = 'schema'",
        "update audit_facts set value = '0' where name = 'identity'",
        "update audit_facts set value = '0' where name = 'tip'",
        "delete from audit_facts where name = 'identity'",
    ],
)
def test_damaged_facts_are_refused(built: Path, tmp_path: Path, statement: str) -> None:
    with pytest.raises(StoreError, match="rebuild"):
        altered(built, tmp_path, statement)


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    path.write_bytes(b"this is no database, but long enough to be one" * 100)

    with pytest.raises(StoreError, match="rebuild --afresh") as refused:
        Index.open(path)

    assert is_one_sentence(refused.value)


def is_one_sentence(error: StoreError) -> bool:
    """Without what a library says to programmers."""
    return not any(strange in str(error) for strange in ("\n", "sqlalche", "Background", "[SQL"))


def test_damaged_pages_of_an_index_are_told_with_what_helps(built: Path, tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    content = bytearray(built.read_bytes())
    page = 16_384
    content[3 * page :] = b"\xff" * (len(content) - 3 * page)
    path.write_bytes(content)

    with pytest.raises(StoreError, match="rebuild --afresh") as refused:
        Index.open(path).summary()

    assert is_one_sentence(refused.value)


def test_database_that_is_not_there_is_told_without_its_password() -> None:
    with pytest.raises(StoreError, match="check that it runs") as refused:
        Index.open("postgresql://auditor:secret@127.0.0.1:9/audit")

    assert is_one_sentence(refused.value)
    assert "secret" not in str(refused.value)


def test_folder_of_an_index_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="check its folder and permissions") as refused:
        Index.open(tmp_path / "typo" / "audit.db")

    assert is_one_sentence(refused.value)
    assert list(tmp_path.iterdir()) == []
