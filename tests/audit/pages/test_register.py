"""The register answers as the audit itself does: trails, subjects, sums."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from audit.abouts import trail_abouts
from audit.documents import MemoryDocuments
from audit.errors import StoreError
from audit.pages.series import count
from audit.papers import Papers
from audit.questions import Questions
from audit.register import Register
from audit.trail import subject, trail_of
from tests.sim.histories import History


@pytest.fixture
def register(tmp_path: Path, honest: History) -> Register:
    made = Register(tmp_path / "register.db")
    state = honest.state()
    made.take(honest.entries, state, Papers(state, MemoryDocuments(honest.documents)))
    return made


def places(history: History, kind: str, named: str) -> list[tuple[int, int]]:
    state = history.state()
    papers = Papers(state, MemoryDocuments(history.documents))
    found = trail_of(state, history.entries, subject(kind, named), papers)
    return [(row.place.block, row.place.position) for row in found.rows]


def test_trails_are_those_of_the_audit(register: Register, honest: History) -> None:
    questions, state = Questions(register.engine), honest.state()
    tables = {
        "asset": state.assets,
        "request": state.requests,
        "grant": state.grants,
        "use": state.uses,
        "device": state.devices,
        "participant": state.participants,
    }

    for kind, table in tables.items():
        assert table
        for named in map(str, table):
            abouts = trail_abouts(state, kind, named)
            page = questions.trail(abouts, 0, 10_000)
            assert [(row.block, row.position) for row in page.rows] == places(honest, kind, named), (kind, named)
            assert page.total == len(page.rows)
            assert list(questions.every(abouts)) == list(page.rows)


def test_pages_of_a_trail_join_without_gap_or_repeat(register: Register, honest: History) -> None:
    questions, state = Questions(register.engine), honest.state()
    abouts = trail_abouts(state, "asset", str(next(iter(state.assets))))
    whole = questions.trail(abouts, 0, 10_000)

    parts = [row for at in range(0, whole.total, 7) for row in questions.trail(abouts, at, 7).rows]

    assert parts == list(whole.rows)


def test_lists_hold_every_subject_once(register: Register, honest: History) -> None:
    questions, state = Questions(register.engine), honest.state()

    for kind, table in (("participant", state.participants), ("use", state.uses), ("device", state.devices)):
        page = questions.subjects(kind, 0, 1_000)
        assert {row.id for row in page.rows} == set(map(str, table))
        assert page.total == len(table)


def test_search_finds_beginnings_of_ids_and_codes(register: Register, honest: History) -> None:
    questions, state = Questions(register.engine), honest.state()
    use = str(next(iter(state.uses)))
    who = next(iter(state.participants.values()))

    assert [row.id for row in questions.find((use[:12],), "", 10)] == [use]
    assert [row.id for row in questions.find((str(who.account)[:10].lower(),), "", 10)] == [str(who.account)]
    assert str(who.account) in [row.id for row in questions.find((), str(who.uscc)[:6], 100)]
    assert questions.find(("0x%",), "%", 10) == ()
    assert questions.find((), "", 10) == ()


def test_looks_add_up_and_a_repeated_one_changes_nothing(tmp_path: Path, honest: History) -> None:
    register = Register(tmp_path / "register.db")
    state = honest.state()
    papers = Papers(state, MemoryDocuments(honest.documents))
    for _ in range(2):
        register.take(honest.entries, state, papers)

    newest = Questions(register.engine).newest(10_000)

    assert [row.number for row in newest] == list(range(len(honest.entries), 0, -1))


def test_documents_that_come_later_are_joined_later(tmp_path: Path, honest: History) -> None:
    register = Register(tmp_path / "register.db")
    state = honest.state()
    device = str(next(iter(state.devices)))
    questions = Questions(register.engine)

    register.take(honest.entries, state, Papers(state, MemoryDocuments({})))
    before = questions.linked("device-batch", source=device, limit=10)
    register.take(honest.entries, state, Papers(state, MemoryDocuments(honest.documents)))
    after = questions.linked("device-batch", source=device, limit=10)

    assert (before.total, after.total) == (0, 3)


def test_series_count_every_event_once(register: Register, honest: History) -> None:
    series = count(Questions(register.engine))
    seen = Counter(type(entry.event).__name__ for entry in honest.entries)
    totals = series.totals()

    assert totals["opened"] == seen["UseOpened"]
    assert totals["completed"] + totals["failed"] == seen["UseClosed"]
    assert totals["completed"] == sum(
        1 for use in honest.state().uses.values() if use.closing and use.closing.completed
    )
    assert totals["batches"] == seen["BatchAnchored"]
    assert [point.start % series.step for point in series.points] == [0] * len(series.points)


def test_a_register_that_is_gone_is_an_error_of_the_store(register: Register) -> None:
    with register.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE events")

    with pytest.raises(StoreError):
        Questions(register.engine).newest(1)
