"""Which statements may claim that they give the same bytes again, and that those which do, do."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from capsule.algorithm import Column, ColumnType
from node.errors import RuntimeRefusedError
from node.runtime.determinism import check_deterministic
from node.runtime.launch import run
from node.runtime.protocol import Completed, Limits
from node.runtime.sql import check, table_names
from tests.node.runtime.world import Buyer, algorithm, job, seal_file

A, B = Column("a", ColumnType.NUMBER), Column("b", ColumnType.NUMBER)
ROWS = 300_000


def judge(sql: str, *output: Column) -> None:
    claimed = replace(algorithm(sql, output), deterministic=True)
    check_deterministic(check(sql, table_names(1)[0]), claimed)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(x) AS a, count(*) * 2 AS b FROM readings",
        "SELECT max(x) - min(x) AS a, avg(y) FILTER (WHERE y > 0) AS b FROM readings WHERE x IN (1, 2)",
        "SELECT g AS a, sum(x) AS b FROM readings GROUP BY g ORDER BY a, b",
        "SELECT g AS A, sum(x) AS b FROM readings GROUP BY g ORDER BY B DESC NULLS LAST, a",
        "SELECT g AS a, sum(x) AS b FROM readings GROUP BY g ORDER BY 1, 2",
        "SELECT date_trunc('hour', t) AS a, sum(x) AS b FROM data GROUP BY ROLLUP (1) ORDER BY ALL",
        "SELECT x AS a, y AS b FROM readings UNION ALL SELECT y, x FROM data ORDER BY a, b",
        "WITH v AS (SELECT DISTINCT x, y FROM readings) SELECT x AS a, coalesce(y, 0) AS b FROM v ORDER BY ALL",
        "SELECT CASE WHEN x > 0 THEN x ELSE 0 END AS a, round(CAST(y AS DOUBLE), 2) AS b FROM readings ORDER BY ALL",
    ],
)
def test_statement_with_one_order_of_rows_and_exact_functions_may_claim(sql: str) -> None:
    judge(sql, A, B)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT x AS a FROM readings",
        "SELECT g AS a FROM readings GROUP BY g",
        "SELECT x AS a FROM readings ORDER BY y",
        "SELECT x AS a FROM readings ORDER BY readings.a",
        "SELECT x AS a FROM readings ORDER BY 2",
        "SELECT x AS a FROM readings ORDER BY lower(a)",
        "SELECT (SELECT sum(x) FROM data) AS a FROM readings",
        "SELECT x AS a FROM readings UNION ALL SELECT sum(x) FROM data",
        "SELECT x AS a FROM readings ORDER BY a LIMIT 3",
        "SELECT x AS a FROM readings ORDER BY a OFFSET 3",
        "SELECT (SELECT y FROM data LIMIT 1) AS a FROM readings ORDER BY a",
        "SELECT DISTINCT ON (y) x AS a FROM readings ORDER BY a",
        "SELECT row_number() OVER () AS a FROM readings ORDER BY a",
        "SELECT x AS a FROM readings QUALIFY rank() OVER (ORDER BY y) = 1 ORDER BY a",
        "SELECT mode(x) AS a FROM readings",
        "SELECT any_value(x) AS a FROM readings",
        "SELECT first(x) AS a FROM readings",
        "SELECT random() AS a FROM readings ORDER BY a",
        "SELECT ln(sum(x)) AS a FROM readings",
        "SELECT sum(x) ** 2 AS a FROM readings",
        "SELECT sum(sin(x)) AS a FROM readings",
        "SELECT unheard_of(sum(x)) AS a FROM readings",
    ],
)
def test_any_other_may_not(sql: str) -> None:
    with pytest.raises(RuntimeRefusedError) as refused:
        judge(sql, A)
    assert (refused.value.kind, refused.value.reason) == ("algorithm", "deterministic")


def test_order_over_some_of_the_columns_is_not_enough() -> None:
    with pytest.raises(RuntimeRefusedError):
        judge("SELECT g AS a, sum(x) AS b FROM readings GROUP BY g ORDER BY a", A, B)


def test_statement_that_claims_nothing_passes_as_it_came() -> None:
    sql = "SELECT x AS a FROM readings LIMIT 1"
    statement = check(sql, table_names(1)[0])
    assert check_deterministic(statement, algorithm(sql, [A])) is statement


def test_sums_of_doubles_are_the_same_however_many_threads_a_run_may_take(buyer: Buyer, tmp_path: Path) -> None:
    """On several threads the engine adds them up in another order each time."""
    draw = random.Random(7)
    lines = [f"{row % 97},{draw.uniform(-1, 1) * 10 ** draw.randrange(-8, 12)!r}" for row in range(ROWS)]
    sealed = seal_file(tmp_path / "sums.dsc", "\n".join(["g,x", *lines, ""]).encode(), "text/csv", {})
    sql = "SELECT g AS a, sum(x) AS b FROM readings GROUP BY g ORDER BY ALL"
    output = [Column("a", ColumnType.INTEGER), B]
    work = job(buyer, [sealed.input()], sql, output)
    work = replace(work, algorithm=replace(work.algorithm, deterministic=True))
    outputs = set()
    for threads in (1, 4, 4, 4):
        limits = Limits(wall_seconds=120.0, memory_bytes=1 << 30, threads=threads)
        outcome = run(work, [sealed.path], limits)
        assert isinstance(outcome, Completed), outcome
        outputs.add(outcome.output_hash)
    assert len(outputs) == 1
