"""Subtraction: what two results, a result and its total, or many narrow ones would tell of a few rows."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import chain, combinations
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from capsule.algorithm import Column, ColumnType, Parameters
from capsule.errors import FormatError, InputError
from capsule.privacy import NO_EPSILON
from node.errors import GuardError, RuntimeRefusedError
from node.runtime.difference import check_difference, partitions_of, suppressed
from node.runtime.engine import Counted, Engine
from node.runtime.launch import run
from node.runtime.members import Partition, free_name, read_members, read_rows, with_numbers, write_members
from node.runtime.protocol import MAX_MEMBER_BYTES, CapsuleInput, Completed, Job, Limits, Refused
from node.runtime.sql import check
from tests.node.runtime.world import Buyer, SealedFile, algorithm, job, seal_file

LEAST = 5
N = Column("n", ColumnType.INTEGER)
S = Column("s", ColumnType.INTEGER)
G = Column("g", ColumnType.INTEGER)
LO = Column("lo", ColumnType.INTEGER)
HI = Column("hi", ColumnType.INTEGER)
BETWEEN = "SELECT sum(x) AS s, count(*) AS n FROM readings WHERE x >= $lo AND x < $hi"
TABLE = pa.table({"x": list(range(40)), "a": [row % 4 for row in range(40)], "b": [row % 3 for row in range(40)]})


def counted(sql: str, table: pa.Table = TABLE, **values: int) -> Counted:
    """What the engine makes of a statement whose groups are counted."""
    parameters = [Column(name, ColumnType.INTEGER) for name in values]
    manifest = algorithm(sql, [N], parameters=parameters, group_column="n")
    row = free_name(sql, [table])
    numbered = with_numbers(table, row)
    engine = Engine({"readings": numbered}, memory_bytes=1 << 28, threads=1, row=row)
    statement = check(sql, ["readings"])
    engine.check(statement, manifest, 2)
    return engine.count(statement, manifest, Parameters(values, bytes(32)), most_rows=10_000, most_bytes=1 << 20)


def members(sql: str, **values: int) -> list[list[int]]:
    return [list(group.rows) for group in counted(sql, **values).groups]


def partition(*groups: Sequence[int]) -> Partition:
    return Partition(tuple(read_rows(",".join(map(str, group)), len(group)) for group in groups))


def is_refused(told: Sequence[Partition], earlier: Sequence[Partition] = (), rows: int = 1000) -> bool:
    try:
        check_difference(told, earlier, rows, LEAST)
    except GuardError as refused:
        return refused.reason == "difference"
    return False


class TestMembers:
    def test_each_row_has_its_own(self) -> None:
        assert members("SELECT a, count(*) AS n FROM readings WHERE x < 8 GROUP BY a ORDER BY a") == [
            [0, 4],
            [1, 5],
            [2, 6],
            [3, 7],
        ]
        assert members("SELECT count(*) AS n FROM readings WHERE x > 99") == [[]]

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT count(*) AS n FROM (SELECT * FROM readings r WHERE r.x > 37) t",
            "SELECT count(*) AS n FROM (SELECT r.* FROM readings r) t WHERE x > 37",
            "WITH v AS (SELECT x AS y FROM readings), w AS (SELECT y FROM v) SELECT count(*) AS n FROM w WHERE y > 37",
            "WITH v(y) AS (SELECT * EXCLUDE (a, b) FROM readings) SELECT count(*) AS n FROM v WHERE y > 37",
            "SELECT count(*) AS n FROM (SELECT *, 39 - x AS k FROM readings) WHERE k < 2",
            "SELECT count(*) AS n FROM readings AS r(y) WHERE y > 37",
            "SELECT b * 0 AS k, count(*) AS n FROM readings WHERE x > 37 GROUP BY ALL ORDER BY ALL",
        ],
    )
    def test_reach_through_what_keeps_rows_apart(self, sql: str) -> None:
        assert members(sql) == [[38, 39]]

    def test_are_those_of_each_part_of_a_union(self) -> None:
        sql = (
            "WITH v AS (SELECT * FROM readings WHERE x < 6) SELECT a AS g, count(*) AS n FROM v GROUP BY a"
            " UNION ALL SELECT 9, count(*) AS n FROM v ORDER BY g"
        )
        groups = counted(sql).groups
        assert [list(group.rows) for group in groups] == [[0, 4], [1, 5], [2], [3], [0, 1, 2, 3, 4, 5]]
        assert [group.part for group in groups] == [(0, 0)] * 4 + [(1, 0)]

    @pytest.mark.parametrize("keys", ["a, b", "a, b % 2", "1, 2", "key, other"])
    def test_of_grouping_sets_are_told_apart(self, keys: str) -> None:
        shown = "a AS key, b % 2 AS other" if "%" in keys else "a AS key, b AS other"
        sql = f"SELECT {shown}, count(*) AS n FROM readings GROUP BY CUBE ({keys})"  # noqa: S608
        told = partitions_of(counted(sql))["readings"]
        assert len(told) == 4
        for each in told:
            assert sum(map(len, each.groups)) == 40
            assert each.union == BitMap(range(40))

    def test_the_result_is_that_of_the_statement_alone(self) -> None:
        sql = "SELECT a, avg(x), max(b), count(*) AS n, sum(x) FILTER (WHERE b = 1) FROM readings GROUP BY 1 ORDER BY 1"
        manifest = algorithm(sql, [N], group_column="n")
        engine = Engine({"readings": TABLE}, memory_bytes=1 << 28, threads=1)
        plain = engine.run(
            check(sql, ["readings"]), manifest, Parameters({}, bytes(32)), most_rows=99, most_bytes=1 << 20
        )
        assert counted(sql).answer == plain

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT min(r) AS g, count(*) AS n FROM readings r",
            "SELECT min(readings) AS g, count(*) AS n FROM readings",
            "SELECT max(y) AS g, count(*) AS n FROM (SELECT t AS y FROM (SELECT * FROM readings) t) u",
            "SELECT max(x) AS g, count(*) AS n FROM (SELECT COLUMNS(*) FROM readings)",
            "SELECT max(x) AS g, count(*) AS n FROM (SELECT COLUMNS('x|row.*') FROM readings)",
        ],
    )
    def test_a_statement_that_would_see_the_numbers_of_rows_is_refused(self, sql: str) -> None:
        with pytest.raises(RuntimeRefusedError) as refused:
            counted(sql)
        assert (refused.value.kind, refused.value.reason) == ("algorithm", "groups")

    @pytest.mark.parametrize(
        "keys", ["GROUPING SETS ((a), (a))", "a, ROLLUP (a)", "CUBE (a, a)", "ROLLUP (99)", "GROUPING SETS ((7), ())"]
    )
    def test_a_grouping_set_that_stands_twice_or_names_no_column_is_refused(self, keys: str) -> None:
        """Twice the same groups, taken for groups without common rows, would be subtracted twice."""
        for ends in (partitions_of, lambda found: suppressed(found, LEAST)):
            with pytest.raises(RuntimeRefusedError) as refused:
                ends(counted(f"SELECT a, count(*) AS n FROM readings GROUP BY {keys}"))  # noqa: S608
            assert refused.value.kind == "algorithm"
            assert refused.value.reason in ("groups", "failed")

    def test_a_statement_that_is_nested_too_deep_is_refused(self) -> None:
        terms = "+".join(["x"] * 5_000)
        with pytest.raises(RuntimeRefusedError) as refused:
            counted(f"SELECT count(*) AS n FROM readings WHERE {terms} > 0")  # noqa: S608
        assert (refused.value.kind, refused.value.reason) == ("algorithm", "statement")

    def test_the_column_of_numbers_has_a_name_that_nobody_uses(self) -> None:
        table = pa.table({"ROW_OF_CAPSULE": [1]})
        assert free_name("SELECT row_of_capsule__ FROM readings", [table]) == "row_of_capsule___"

    def test_come_back(self) -> None:
        told = (partition(range(100_000), [100_001]), partition([7]))
        data = write_members(told)
        assert [each.groups for each in read_members(data)] == [each.groups for each in told]
        assert read_members(write_members(())) == ()
        # rows that follow each other take next to no room
        assert len(write_members(told)) < 300
        for wrong in (data[:-1], data + b"x", data[:20], b"\0\0\0\2{}"):
            with pytest.raises(FormatError):
                read_members(wrong)


class TestRule:
    def test_a_row_less_a_row_more_or_another_row_is_refused(self) -> None:
        before = [partition(range(100))]
        assert not is_refused([partition(range(100))], before)
        assert is_refused([partition(range(99))], before)
        assert is_refused([partition(range(101))], before)
        assert is_refused([partition([*range(99), 500])], before)
        assert is_refused([partition(range(96))], before)
        assert not is_refused([partition(range(95))], before)
        assert not is_refused([partition(range(50, 150))], before)

    def test_the_whole_table_counts_as_told(self) -> None:
        assert is_refused([partition(range(999))])
        assert not is_refused([partition(range(1000))])
        assert not is_refused([partition(range(995))])

    def test_groups_of_one_answer_are_compared_with_its_own_totals(self) -> None:
        total = partition(range(100))
        assert not is_refused([partition(range(50), range(50, 100)), total])
        assert is_refused([partition(range(50), range(50, 98)), total])

    def test_any_groups_that_were_told_together_can_be_added_up(self) -> None:
        before = [partition(range(100), range(100, 200), range(200, 300), range(300, 400))]
        assert is_refused([partition([*range(1, 100), *range(200, 300)])], before)
        assert is_refused([partition([*range(200), 250])], before)
        assert not is_refused([partition(range(200, 400))], before)
        assert not is_refused([partition([*range(50), *range(150, 250)])], before)
        # and the other way round
        assert is_refused(before, [partition([*range(1, 100), *range(200, 300)])])

    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.integers(0, 4), min_size=30, max_size=30), st.sets(st.integers(0, 29), min_size=LEAST))
    def test_equals_trying_every_sum(self, labels: list[int], rows: set[int]) -> None:
        groups = [frozenset(at for at, label in enumerate(labels) if label == one) for one in range(1, 5)]
        groups = [group for group in groups if len(group) >= LEAST]
        earlier = [partition(*map(sorted, groups))]
        sums = [frozenset().union(*picked) for picked in subsets(groups)]
        tried = any(0 < len(rows ^ one) < LEAST for one in [*sums, frozenset(range(30))])
        assert is_refused([partition(sorted(rows))], earlier, 30) == tried


def subsets(groups: Sequence[frozenset[int]]) -> Iterator[tuple[frozenset[int], ...]]:
    return chain.from_iterable(combinations(groups, size) for size in range(len(groups) + 1))


class TestSuppression:
    def kept(self, sql: str) -> tuple[list[int], bool]:
        told = suppressed(counted(sql), LEAST)
        assert len(told.counted.groups) == len(told.counted.answer.rows)
        return sorted(len(group.rows) for group in told.counted.groups), bool(told.short)

    def test_leaves_small_groups_out(self) -> None:
        # 3 + 2 rows are left out, which are enough to hide in
        sql = "SELECT CASE WHEN x < 3 THEN 0 WHEN x < 5 THEN 1 WHEN x < 15 THEN 2 ELSE 3 END AS g, count(*) AS n"
        assert self.kept(f"{sql} FROM readings GROUP BY 1") == ([10, 25], True)

    def test_a_small_group_alone_takes_the_next_with_it(self) -> None:
        """Its rows would be the total less the rest."""
        sql = "SELECT CASE WHEN x < 3 THEN 0 WHEN x < 13 THEN 1 ELSE 2 END AS g, count(*) AS n FROM readings GROUP BY 1"
        assert self.kept(sql) == ([27], True)

    def test_leaves_nothing_out_where_all_are_large_and_all_where_all_are_small(self) -> None:
        assert self.kept("SELECT a, count(*) AS n FROM readings GROUP BY a") == ([10] * 4, False)
        assert self.kept("SELECT x, count(*) AS n FROM readings GROUP BY x") == ([], True)
        assert self.kept("SELECT count(*) AS n FROM readings WHERE x > 99") == ([], True)

    def test_each_grouping_set_hides_its_own(self) -> None:
        sql = "SELECT CASE WHEN x < 3 THEN 0 WHEN x < 13 THEN 1 ELSE 2 END AS g, count(*) AS n FROM readings"
        told = suppressed(counted(f"{sql} GROUP BY ROLLUP (1)"), LEAST).counted
        assert sorted(len(group.rows) for group in told.groups) == [27, 40]
        assert not is_refused(partitions_of(told)["readings"], rows=40)


class TestProperty:
    @settings(deadline=None, max_examples=40)
    @given(st.lists(st.integers(0, 60), min_size=20, max_size=80), st.data())
    def test_no_two_groups_that_are_let_out_differ_by_few_rows(self, cells: list[int], data: st.DataObject) -> None:
        """Random tables, random thresholds; who is in a group is worked out here again, in plain Python."""
        table = pa.table({"x": cells, "a": [cell % 3 for cell in cells]})
        earlier: list[Partition] = []
        published: list[frozenset[int]] = [frozenset(range(len(cells)))]
        for _ in range(8):
            low, high = sorted(data.draw(st.tuples(st.integers(0, 61), st.integers(0, 61))))
            keyed = data.draw(st.booleans())
            key = "a" if keyed else "0"
            sql = f"SELECT {key} AS g, count(*) AS n FROM readings WHERE x >= $lo AND x < $hi GROUP BY 1 ORDER BY 1"  # noqa: S608
            told = counted(sql, table, lo=low, hi=high)
            if data.draw(st.booleans()):
                told = suppressed(told, LEAST).counted
            elif any(len(group.rows) < LEAST for group in told.groups):
                continue
            try:
                check_difference(partitions_of(told).get("readings", ()), earlier, len(cells), LEAST)
            except GuardError:
                continue
            earlier += partitions_of(told).get("readings", ())
            for row in told.answer.rows:
                inside = {at for at, cell in enumerate(cells) if low <= cell < high}
                published.append(frozenset(at for at in inside if not keyed or cells[at] % 3 == row[0]))
        for one, other in combinations(published, 2):
            assert len(one ^ other) not in range(1, LEAST)
            assert not one or len(one) >= min(LEAST, len(cells))


class TestRun:
    """In the confined process, each answer under what was remembered of the ones before."""

    def between(self, buyer: Buyer, capsule: CapsuleInput, low: int, high: int) -> Job:
        return job(
            buyer,
            [capsule],
            BETWEEN,
            [S, N],
            parameters=[LO, HI],
            values={"lo": low, "hi": high},
            group_column="n",
        )

    def ask(
        self, buyer: Buyer, small: SealedFile, limits: Limits, earlier: tuple[bytes, ...], low: int, high: int
    ) -> Completed | Refused:
        capsule = small.input(min_group=LEAST, earlier=earlier)
        return run(self.between(buyer, capsule, low, high), [small.path], limits)

    def test_two_queries_that_differ_by_one_row(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        first = self.ask(buyer, small, limits, (), 0, 10)
        assert buyer.read(first)["rows"] == [[45, 10]]
        assert isinstance(first, Completed)
        (answered,) = first.answered
        assert (answered.groups, answered.epsilon) == (1, NO_EPSILON)
        second = self.ask(buyer, small, limits, (answered.members,), 0, 11)
        assert isinstance(second, Refused)
        assert (second.kind, second.reason) == ("guard", "difference")
        # to another buyer, who was told nothing, it is an answer like any other
        assert isinstance(self.ask(buyer, small, limits, (), 0, 11), Completed)
        # the same again tells nothing new, and takes no room
        again = self.ask(buyer, small, limits, (answered.members,), 0, 10)
        assert isinstance(again, Completed)
        assert (again.answered[0].groups, again.answered[0].members) == (1, b"")

    def test_a_row_against_the_whole_table(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        outcome = self.ask(buyer, small, limits, (), 1, 20)
        assert isinstance(outcome, Refused)
        assert (outcome.kind, outcome.reason) == ("guard", "difference")

    def test_a_join_with_the_buyers_own_table_that_isolates_one_row(
        self, buyer: Buyer, small: SealedFile, tmp_path: Path, limits: Limits
    ) -> None:
        own = seal_file(tmp_path / "own.dsc", b"x\n7\n", "text/csv", {})
        output = [Column("l", ColumnType.TEXT), N]
        for sql in (
            "SELECT max(a.label) AS l, count(*) AS n FROM readings_1 a JOIN readings_2 b ON a.x = b.x",
            "SELECT max(label) AS l, count(*) AS n FROM readings_1 WHERE x IN (SELECT x FROM readings_2)",
            "SELECT max(l) AS l, count(*) AS n FROM (SELECT label AS l FROM readings_1, readings_2"
            " WHERE readings_1.x <> readings_2.x) t",
        ):
            work = job(buyer, [small.input(min_group=LEAST), own.input()], sql, output, group_column="n")
            outcome = run(work, [small.path, own.path], limits)
            assert isinstance(outcome, Refused)
            assert (outcome.kind, outcome.reason) == ("algorithm", "groups")

    def test_the_same_rows_twice_in_one_order(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        """Two uses of one capsule are one table to the guard."""
        sql = (
            "SELECT count(*) AS n FROM readings_1 WHERE x < 10"
            " UNION ALL SELECT count(*) AS n FROM readings_2 WHERE x < 11"
        )
        capsules = [small.input(min_group=LEAST), small.input(min_group=LEAST)]
        outcome = run(job(buyer, capsules, sql, [N], group_column="n"), [small.path, small.path], limits)
        assert isinstance(outcome, Refused)
        assert (outcome.kind, outcome.reason) == ("guard", "difference")

    def test_small_groups_are_left_out_where_every_policy_says_so(
        self, buyer: Buyer, tmp_path: Path, limits: Limits
    ) -> None:
        """Groups of twelve, seven and one row: the one takes the seven with it."""
        lines = ["g", *["0"] * 12, *["1"] * 7, "2", ""]
        careful, suppressing = (
            seal_file(tmp_path / f"{says}.dsc", "\n".join(lines).encode(), "text/csv", {}, suppress_small_groups=says)
            for says in (None, True)
        )

        def asked(*files: SealedFile) -> Completed | Refused:
            table = "readings" if len(files) == 1 else "readings_1"
            sql = f"SELECT g, count(*) AS n FROM {table} GROUP BY 1 ORDER BY 1"  # noqa: S608
            told = [one.input(min_group=LEAST, suppress_groups=one is suppressing) for one in files]
            return run(job(buyer, told, sql, [G, N], group_column="n"), [one.path for one in files], limits)

        outcome = asked(suppressing)
        assert buyer.read(outcome)["rows"] == [[0, 12]]
        assert isinstance(outcome, Completed)
        # two groups asked for: one, and that others were left out
        assert outcome.answered[0].groups == 2
        for files in ((careful,), (suppressing, careful)):
            refused = asked(*files)
            assert isinstance(refused, Refused)
            assert (refused.kind, refused.reason) == ("guard", "group")

    def test_bytes_and_groups_have_their_bounds(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        sql = "SELECT x % 2 AS g, count(*) AS n FROM readings GROUP BY 1 ORDER BY 1"

        def asked(capsule: CapsuleInput) -> Completed | Refused:
            return run(job(buyer, [capsule], sql, [G, N], group_column="n"), [small.path], limits)

        size = len(buyer.key.open(asked(small.input(min_group=LEAST)).sealed_result))  # type: ignore[union-attr]
        for capsule, reason in (
            (small.input(min_group=LEAST, max_bytes=size - 1), "bytes"),
            (small.input(min_group=LEAST, groups_left=1), "group-budget"),
            # where nothing counts groups, each row is one
            (small.input(groups_left=1), "group-budget"),
        ):
            outcome = asked(capsule)
            assert isinstance(outcome, Refused)
            assert (outcome.kind, outcome.reason) == ("guard", reason)
        assert isinstance(asked(small.input(min_group=LEAST, max_bytes=size, groups_left=2)), Completed)


class TestManyQueries:
    def test_a_thousand_narrow_queries_end_at_the_budget_and_single_out_nobody(self) -> None:
        """As the compute node and the runtime count: each answer takes a group at least; here without processes."""
        table = pa.table({"x": list(range(2000))})
        picking = random.Random(6)
        earlier: list[Partition] = []
        spent, budget, refused = 0, 100, 0
        published: list[frozenset[int]] = []
        row = free_name(BETWEEN, [table])
        manifest = algorithm(BETWEEN, [S, N], parameters=[LO, HI], group_column="n")
        engine = Engine({"readings": with_numbers(table, row)}, memory_bytes=1 << 28, threads=1, row=row)
        statement = check(BETWEEN, ["readings"])
        for _ in range(1000):
            low = picking.randrange(1990)
            values = Parameters({"lo": low, "hi": low + picking.randrange(5, 40)}, bytes(32))
            told = engine.count(statement, manifest, values, most_rows=10, most_bytes=1000)
            if spent == budget:
                break
            try:
                check_difference(partitions_of(told)["readings"], earlier, 2000, LEAST)
            except GuardError:
                refused += 1
                continue
            spent += 1
            earlier += partitions_of(told)["readings"]
            published.append(frozenset(told.groups[0].rows))
        assert spent == budget
        assert refused > 0
        assert all(len(one ^ other) not in range(1, LEAST) for one, other in combinations(published, 2))


def test_a_job_is_told_of_no_more_than_fits(buyer: Buyer, small: SealedFile) -> None:
    full = (bytes(MAX_MEMBER_BYTES), b"x")
    with pytest.raises(InputError, match="earlier answers"):
        job(buyer, [small.input(earlier=full)], "SELECT 1 AS n", [N])
