"""Algorithms that want more than a result, each in a real runtime."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from capsule.algorithm import Column, ColumnType
from node.runtime.launch import run
from node.runtime.protocol import Limits, Refused
from node.runtime.wire import write_message
from tests.node.runtime.conftest import CANARY
from tests.node.runtime.world import Buyer, SealedFile, job

N = [Column("n", ColumnType.INTEGER)]
TEXT = [Column("t", ColumnType.TEXT)]
CROSS = " , ".join(f"readings r{place}" for place in range(12))

# what each layer of checks refuses, once through the whole process; the long lists are in test_sql.py
STATEMENTS = [
    ("SELECT count(*) AS n FROM read_csv('/etc/passwd')", "table"),
    ("SELECT content AS t FROM read_text('/etc/passwd')", "table"),
    ("COPY readings TO '/tmp/stolen.csv'", "statement"),
    ("ATTACH '/tmp/stolen.db' AS stolen", "statement"),
    ("INSTALL httpfs", "statement"),
    ("LOAD httpfs", "statement"),
    ("PRAGMA database_list", "statement"),
    ("SET enable_external_access = true", "statement"),
    ("SELECT getenv('HOME') AS t", "function"),
    ("SELECT error(label) AS t FROM readings", "function"),
    ("SELECT count(*) AS n FROM readings; COPY readings TO '/tmp/stolen.csv'", "statement"),
    # the engine's text for these quotes a cell, or the columns that there are
    ("SELECT CAST(label AS BIGINT) AS n FROM readings", "failed"),
    ("SELECT count(*) AS n FROM readings WHERE no_such_column = 1", "failed"),
]


def refused(outcome: object) -> Refused:
    assert isinstance(outcome, Refused), outcome
    assert CANARY.encode() not in write_message(outcome)
    return outcome


class TestStatements:
    @pytest.mark.parametrize(("sql", "reason"), STATEMENTS)
    def test_is_refused_with_a_bare_reason(
        self, buyer: Buyer, small: SealedFile, limits: Limits, sql: str, reason: str
    ) -> None:
        outcome = refused(run(job(buyer, [small.input()], sql, N), [small.path], limits))
        assert (outcome.kind, outcome.reason) == ("algorithm", reason)
        assert (outcome.holder, outcome.index) == (None, None)
        assert not list(Path("/tmp").glob("stolen*"))  # noqa: S108

    def test_code_other_than_the_manifests_is_not_even_read(
        self, buyer: Buyer, small: SealedFile, limits: Limits
    ) -> None:
        work = job(buyer, [small.input()], "SELECT count(*) AS n FROM readings", N)
        outcome = refused(run(replace(work, code=b"SELECT 1 AS n"), [small.path], limits))
        assert (outcome.kind, outcome.reason) == ("algorithm", "code")


class TestOutput:
    def test_too_many_rows(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        work = job(buyer, [small.input(max_rows=19)], "SELECT x AS n FROM readings", N)
        outcome = refused(run(work, [small.path], limits))
        assert (outcome.kind, outcome.reason) == ("guard", "rows")

    def test_more_rows_than_the_budget_has_left(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        work = job(buyer, [small.input(rows_left=19)], "SELECT x AS n FROM readings", N)
        outcome = refused(run(work, [small.path], limits))
        assert (outcome.kind, outcome.reason) == ("guard", "budget")

    @pytest.mark.parametrize(
        ("sql", "output"),
        [
            ("SELECT x AS m FROM readings", N),
            ("SELECT y AS n FROM readings", N),
        ],
    )
    def test_another_schema(
        self, buyer: Buyer, small: SealedFile, limits: Limits, sql: str, output: list[Column]
    ) -> None:
        outcome = refused(run(job(buyer, [small.input()], sql, output), [small.path], limits))
        assert (outcome.kind, outcome.reason) == ("guard", "schema")

    def test_a_group_too_small(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        sql = "SELECT hour(time) AS h, max(label) AS t, count(*) AS n FROM readings GROUP BY ALL"
        output = [Column("h", ColumnType.INTEGER), *TEXT, *N]
        work = job(buyer, [small.input(min_group=2)], sql, output, group_column="n")
        outcome = refused(run(work, [small.path], limits))
        assert (outcome.kind, outcome.reason) == ("guard", "group")
        large = job(buyer, [small.input(min_group=1)], sql, output, group_column="n")
        assert len(buyer.read(run(large, [small.path], limits))["rows"]) == 3  # type: ignore[arg-type]

    def test_a_group_size_that_does_not_count(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        sql = "SELECT a.label AS t, count(*) AS n FROM readings a, readings b GROUP BY ALL"
        work = job(buyer, [small.input(min_group=2)], sql, [*TEXT, *N], group_column="n")
        outcome = refused(run(work, [small.path], limits))
        assert (outcome.kind, outcome.reason) == ("algorithm", "groups")

    def test_more_bytes_than_allowed(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        sql = f"SELECT r0.label AS t FROM {CROSS}"  # noqa: S608
        work = job(buyer, [small.input(max_rows=None)], sql, TEXT)
        outcome = refused(run(work, [small.path], replace(limits, output_bytes=20_000)))
        assert (outcome.kind, outcome.reason) == ("limits", "output")


class TestLimits:
    ENDLESS = f"SELECT sum(r0.x * r1.y * r2.x * r3.y) AS n FROM {CROSS}"  # noqa: S608

    def test_time(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        work = job(buyer, [small.input()], self.ENDLESS, N)
        begun = time.monotonic()
        outcome = refused(run(work, [small.path], replace(limits, wall_seconds=8.0)))
        assert (outcome.kind, outcome.reason) == ("limits", "time")
        assert time.monotonic() - begun < 15

    def test_processor_time(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        work = job(buyer, [small.input()], self.ENDLESS, N)
        outcome = refused(run(work, [small.path], replace(limits, cpu_seconds=2)))
        assert (outcome.kind, outcome.reason) == ("limits", "cpu")

    def test_memory(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        sql = f"SELECT r0.label || r1.label || r2.label || r3.label AS t FROM {CROSS} ORDER BY t"  # noqa: S608
        work = job(buyer, [small.input()], sql, TEXT)
        outcome = refused(run(work, [small.path], replace(limits, memory_bytes=512 << 20)))
        assert (outcome.kind, outcome.reason) == ("limits", "memory")
