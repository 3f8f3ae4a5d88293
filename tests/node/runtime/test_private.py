"""Private answers, through the confined process: which statements can have noise, that it is of the stated scale, and
that no row shows past its bounds."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from capsule.algorithm import Algorithm, Column, ColumnType, Parameters, code_digest
from capsule.canonical import Json
from capsule.privacy import BoundedSum, Epsilon, Privacy
from node.errors import RuntimeFailedError, RuntimeRefusedError
from node.runtime.engine import Answer, Engine
from node.runtime.launch import run
from node.runtime.noise import Noise
from node.runtime.protocol import CapsuleInput, Completed, Job, Limits, Refused
from node.runtime.sql import check
from tests.node.runtime import credit, world
from tests.node.runtime.world import Buyer, SealedFile

N = Column("n", ColumnType.INTEGER)
KEY = Column("k", ColumnType.TEXT)
S = Column("s", ColumnType.NUMBER)
# so much that noise is there with a probability of 10^-21 and less: what is left is the exact answer
LOUD = Epsilon.parse("1000")
FAR = 0.5
"""Noise at this epsilon is farther off once in 10^10, for a sum up to 100 tenths."""
ONCE_IN = 1e-9
"""How often a test of noise may fail though all is right."""


def private_job(
    buyer: Buyer,
    capsules: Sequence[CapsuleInput],
    sql: str,
    output: Sequence[Column],
    privacy: Privacy | None,
    **values: int,
) -> Job:
    parameters = [Column(name, ColumnType.INTEGER) for name in values]
    job = world.job(buyer, capsules, sql, output, values=dict(values), parameters=parameters)
    count = None if privacy is None else privacy.count
    return replace(job, algorithm=replace(job.algorithm, privacy=privacy, group_column=count))


def rows(buyer: Buyer, job: Job, file: SealedFile, limits: Limits) -> list[list[Json]]:
    document = buyer.read(run(job, [file.path], limits))
    found = document["rows"]
    assert isinstance(found, list)
    return found  # type: ignore[return-value]


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[str]], SealedFile]:
    """A capsule of key and value, as CSV lines."""

    def sealed(lines: Sequence[str]) -> SealedFile:
        path = tmp_path_factory.mktemp("values") / "values.dsc"
        return world.seal_file(path, "\n".join(["k,x,label", *lines, ""]).encode(), "text/csv", {})

    return sealed


class TestNoise:
    def test_is_of_the_scale_that_epsilon_and_bounds_state(
        self, buyer: Buyer, values: Callable[[Sequence[str]], SealedFile], limits: Limits
    ) -> None:
        """10,000 empty groups show nothing but noise; by Dvoretzky, Kiefer, Wolfowitz and Massart an empirical
        distribution of it is farther than `far` from the true one once in 10^9 tests."""
        file = values(["there,1,a"])
        privacy = Privacy(
            epsilon=Epsilon.parse("0.5"),
            count="n",
            sums=(BoundedSum(name="s", lower=-3, upper=7, decimals=1),),
            keys=tuple((f"empty {number}",) for number in range(10_000)),
        )
        sql = "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY k"
        found = rows(buyer, private_job(buyer, [file.input(max_rows=None)], sql, (KEY, N, S), privacy), file, limits)
        assert [row[0] for row in found] == [key[0] for key in privacy.keys or ()]
        far = math.sqrt(math.log(2 / ONCE_IN * 2) / (2 * len(found)))
        for drawn, scale in (([row[1] for row in found], 4.0), ([row[2] * 10 for row in found], 280.0)):  # type: ignore[operator]
            assert distance([round(one) for one in drawn], scale) < far  # type: ignore[arg-type]
            # the test can tell: a scale that is off by a half is farther
            assert distance([round(one) for one in drawn], scale * 1.5) > far  # type: ignore[arg-type]

    def test_differs_from_run_to_run(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        privacy = Privacy(epsilon=Epsilon.parse("0.000001"), count="n")
        job = private_job(buyer, [small.input()], "SELECT count(*) AS n FROM readings", (N,), privacy)
        assert rows(buyer, job, small, limits) != rows(buyer, job, small, limits)

    def test_confirms_each_bound_with_opendp(self) -> None:
        noise = Noise()
        for epsilon in (Epsilon(1), Epsilon(333_333), Epsilon.parse("1"), LOUD):
            for sensitivity in (1, 7, 2**31 - 1, 2**31):
                assert len(noise.around([2**63 - 1, -(2**63)], sensitivity, epsilon)) == 2
            for delta in (1e-6, 1e-12):
                assert set(noise.past_threshold({"all": 2**60, "one": 1}, epsilon, delta)) == {"all"}


def distance(drawn: Sequence[int], scale: float) -> float:
    """How far the empirical distribution is from a discrete Laplace one."""
    ratio = math.exp(-1 / scale)
    counts, seen, most = Counter(drawn), 0, 0.0
    for value in sorted(counts):
        upto = 1 - ratio ** (value + 1) / (1 + ratio) if value >= 0 else ratio**-value / (1 + ratio)
        before = upto - (1 - ratio) / (1 + ratio) * ratio ** abs(value)
        most = max(most, abs(seen / len(drawn) - before))
        seen += counts[value]
        most = max(most, abs(seen / len(drawn) - upto))
    return most


class TestRows:
    SUM = BoundedSum(name="s", lower=-5, upper=10, decimals=1)
    SQL = "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY k"

    def test_an_outlier_moves_nothing_past_its_bound(
        self, buyer: Buyer, values: Callable[[Sequence[str]], SealedFile], limits: Limits
    ) -> None:
        base = [*["a,1.25,a"] * 10, *["b,2.0,a"] * 10]
        privacy = Privacy(epsilon=LOUD, count="n", sums=(self.SUM,), keys=(("a",), ("b",)))
        for outlier, moved in (("1e300", 10.0), ("-1e300", -5.0), ("nan", 10.0), ("inf", 10.0), ("", 0.0)):
            file = values([*base, f"a,{outlier},a"])
            found = rows(buyer, private_job(buyer, [file.input()], self.SQL, (KEY, N, S), privacy), file, limits)
            # each 1.25 is rounded to a tenth before it is added
            assert [row[:2] for row in found] == [["a", 11], ["b", 10]]
            assert [row[2] for row in found] == [pytest.approx(13 + moved, abs=FAR), pytest.approx(20, abs=FAR)]

    def test_a_row_whose_value_fails_counts_as_none_and_the_run_goes_on(
        self, buyer: Buyer, values: Callable[[Sequence[str]], SealedFile], limits: Limits
    ) -> None:
        """A failed run would tell that the row is there."""
        file = values(["a,1,5", "a,1,not a number", "b,1,7"])
        sql = """
            SELECT k, count(*) AS n, sum(CAST(label AS INTEGER)) AS s FROM readings
            WHERE label = 'not a number' OR CAST(label AS INTEGER) > 0 GROUP BY k
        """
        privacy = Privacy(epsilon=LOUD, count="n", sums=(self.SUM,), keys=(("a",), ("b",)))
        found = rows(buyer, private_job(buyer, [file.input()], sql, (KEY, N, S), privacy), file, limits)
        assert [row[:2] for row in found] == [["a", 1], ["b", 1]]
        assert [row[2] for row in found] == [pytest.approx(5, abs=FAR), pytest.approx(7, abs=FAR)]
        plain = private_job(buyer, [file.input()], sql, (KEY, N, S), None)
        assert isinstance(refused := run(plain, [file.path], limits), Refused)
        assert refused.reason == "failed"

    def test_a_value_that_two_columns_share_fails_in_each_by_itself(self) -> None:
        """The engine would take the cast out of both TRYs, to do it once."""
        table = pa.table({"k": ["1", "x", "2"], "x": [1, 2, 3]})
        sql = "SELECT k::INTEGER + 1 AS k, count(*) AS n, sum(k::INTEGER + 1) AS s FROM readings GROUP BY ALL"
        assert sorted(ask(sql, table=table).rows, key=str) == [(2, 1, 2), (3, 1, 3), (None, 1, 0)]

    def test_a_time_past_the_calendar_is_a_missing_key(
        self, buyer: Buyer, values: Callable[[Sequence[str]], SealedFile], limits: Limits
    ) -> None:
        file = values([*["2026-01-01,1,a"] * 40, "infinity,1,a", "290000-01-01 00:00:00,1,a", "never,1,a"])
        privacy = Privacy(epsilon=LOUD, count="n", delta=1e-6)
        sql = "SELECT CAST(k AS TIMESTAMP) AS hour, count(*) AS n FROM readings GROUP BY ALL"
        job = private_job(buyer, [file.input()], sql, (Column("hour", ColumnType.TIME), N), privacy)
        assert rows(buyer, job, file, limits) == [["2026-01-01T00:00:00", 40], [None, 3]]

    def test_listed_groups_are_there_whatever_the_data_and_no_others(
        self, buyer: Buyer, values: Callable[[Sequence[str]], SealedFile], limits: Limits
    ) -> None:
        file = values(["a,1,a", "secret,1,a", ",1,a"])
        privacy = Privacy(epsilon=LOUD, count="n", keys=((None,), ("z",), ("a",)))
        sql = "SELECT k, count(*) AS n FROM readings GROUP BY ALL"
        found = rows(buyer, private_job(buyer, [file.input()], sql, (KEY, N), privacy), file, limits)
        assert found == [[None, 1], ["z", 0], ["a", 1]]

    def test_a_group_of_a_single_row_stays_in(
        self, buyer: Buyer, values: Callable[[Sequence[str]], SealedFile], limits: Limits
    ) -> None:
        file = values([*["many,1,a"] * 200, *["more,2,a"] * 300, "secret,3,a"])
        privacy = Privacy(epsilon=Epsilon.parse("2"), count="n", sums=(self.SUM,), delta=1e-9)
        sql = "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY 1"
        found = rows(buyer, private_job(buyer, [file.input()], sql, (KEY, N, S), privacy), file, limits)
        assert [row[0] for row in found] == ["many", "more"]
        far = 2 * math.log(1 / ONCE_IN)
        assert [row[1] for row in found] == [pytest.approx(200, abs=far), pytest.approx(300, abs=far)]

    def test_least_group_size_leaves_groups_out_by_their_count_with_noise(
        self, buyer: Buyer, values: Callable[[Sequence[str]], SealedFile], limits: Limits
    ) -> None:
        file = values([*["a,1,a"] * 3, *["b,1,a"] * 30])
        privacy = Privacy(epsilon=LOUD, count="n", keys=(("a",), ("b",), ("c",)))
        sql = "SELECT k, count(*) AS n FROM readings GROUP BY k"
        job = private_job(buyer, [file.input(min_group=20)], sql, (KEY, N), privacy)
        assert rows(buyer, job, file, limits) == [["b", 30]]
        sums = replace(privacy, count=None, sums=(self.SUM,))
        uncounted = private_job(
            buyer, [file.input(min_group=20)], "SELECT k, sum(x) AS s FROM readings GROUP BY k", (KEY, S), sums
        )
        assert isinstance(refused := run(uncounted, [file.path], limits), Refused)
        assert (refused.kind, refused.reason) == ("algorithm", "groups")

    def test_hours_are_groups_and_parameters_are_taken(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        privacy = Privacy(epsilon=LOUD, count="n", delta=1e-6)
        sql = "SELECT date_trunc('hour', time) AS hour, count(*) AS n FROM readings WHERE x >= $least GROUP BY hour"
        output = (Column("hour", ColumnType.TIME), N)
        job = private_job(buyer, [small.input()], sql.replace("BY hour", "BY ALL"), output, privacy, least=2)
        assert rows(buyer, job, small, limits) == [["2024-05-01T00:00:00", 10], ["2024-05-01T01:00:00", 7]]


class TestBudget:
    PRIVACY = Privacy(epsilon=Epsilon.parse("0.5"), count="n")
    SQL = "SELECT count(*) AS n FROM readings"

    @pytest.mark.parametrize("bound", ["epsilon_per_use", "epsilon_left"])
    def test_holds_back_what_would_spend_more(
        self, buyer: Buyer, small: SealedFile, limits: Limits, bound: str
    ) -> None:
        def outcome(privacy: Privacy | None, most: str) -> Completed | Refused:
            capsule = replace(small.input(), **{bound: Epsilon.parse(most)})
            return run(private_job(buyer, [capsule], self.SQL, (N,), privacy), [small.path], limits)

        assert isinstance(enough := outcome(self.PRIVACY, "0.5"), Completed)
        assert [one.epsilon for one in enough.answered] == [Epsilon.parse("0.5")]
        for privacy, most, reason in (
            (self.PRIVACY, "0.499999", ("guard", "epsilon")),
            (self.PRIVACY, "0", ("guard", "epsilon")),
            (None, "1000", ("algorithm", "noiseless")),
        ):
            assert isinstance(refused := outcome(privacy, most), Refused)
            assert (refused.kind, refused.reason) == reason

    @pytest.mark.parametrize("behaviour", ["no epsilon", "other epsilon"])
    def test_is_charged_as_the_manifest_says_whatever_the_runtime_says(
        self, buyer: Buyer, small: SealedFile, limits: Limits, behaviour: str
    ) -> None:
        entry = (sys.executable, "-m", "tests.node.runtime.hooks.liar", behaviour)
        job = private_job(buyer, [small.input()], self.SQL, (N,), self.PRIVACY)
        with pytest.raises(RuntimeFailedError, match="contradicts"):
            run(job, [small.path], limits, entry=entry)
        # it is the epsilon that contradicts
        plain = private_job(buyer, [small.input()], self.SQL, (N,), None)
        if behaviour == "no epsilon":
            assert isinstance(run(plain, [small.path], limits, entry=entry), Completed)

    def test_is_looked_at_before_any_share_is_used(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        capsule = replace(small.input(positions=(0,)), epsilon_left=Epsilon.parse("0.4"))
        refused = run(private_job(buyer, [capsule], self.SQL, (N,), self.PRIVACY), [small.path], limits)
        assert isinstance(refused, Refused)
        assert refused.reason == "epsilon"


TABLE = pa.table({"k": ["a", "b"], "x": [1, 2], "y": [1.5, 2.5], "n": [3, 4]})
FORM = Privacy(epsilon=LOUD, count="n", sums=(BoundedSum(name="s", lower=0, upper=9),), delta=1e-9)


def ask(sql: str, *, table: pa.Table = TABLE) -> Answer:
    algorithm = Algorithm(
        kind="sql",
        code_hash=code_digest(sql.encode()),
        parameters=(),
        output=(KEY, N, S),
        group_column="n",
        privacy=FORM,
    )
    engine = Engine({"readings": table}, memory_bytes=256 << 20, threads=1, private=True)
    statement = engine.exact(check(sql, ("readings",)), algorithm)
    return engine.run(statement, algorithm, Parameters({}, bytes(32)), most_rows=100, most_bytes=10_000)


class TestForm:
    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY k",
            "SELECT upper(k) AS k, count(*) AS n, sum(x * y) AS s FROM READINGS r WHERE r.x > 0 GROUP BY upper(k)",
            "SELECT k, count(*) AS n, sum(CASE WHEN y > 2 THEN x ELSE -x END) AS s FROM readings GROUP BY 1",
            "SELECT k, count() AS n, sum(x) AS s FROM readings WHERE k LIKE 'a%' OR k IN ('b', 'it''s') GROUP BY ALL",
        ],
    )
    def test_takes_one_select_that_groups_counts_and_sums(self, sql: str) -> None:
        assert [name for name, _ in ask(sql).columns] == ["k", "n", "s"]

    @pytest.mark.parametrize(
        "sql",
        [
            # other aggregates, and these two in other ways
            "SELECT k, count(*) AS n, avg(x) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) AS n, min(x) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) AS n, max(x) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) AS n, any_value(x) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) AS n, fsum(x) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) AS n, product(x) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) AS n, median(x) AS s FROM readings GROUP BY k",
            "SELECT k, count(x) AS n, sum(x) AS s FROM readings GROUP BY k",
            "SELECT k, count(DISTINCT x) AS n, sum(x) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) FILTER (WHERE x > 1) AS n, sum(x) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) AS n, sum(x) FILTER (WHERE x > 1) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) AS n, sum(DISTINCT x) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) AS n, sum(x ORDER BY y) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) + 1 AS n, sum(x) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) * 1000000 AS n, sum(x) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) AS n, sum(x) * 1000 AS s FROM readings GROUP BY k",
            "SELECT k, count(*) AS n, sum(max(x)) AS s FROM readings GROUP BY k",
            # what looks at other rows
            "SELECT k, count(*) AS n, sum(x) OVER () AS s FROM readings GROUP BY k",
            "SELECT k, count(*) AS n, sum((SELECT max(x) FROM readings)) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings WHERE x > (SELECT avg(x) FROM readings) GROUP BY k",
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings WHERE EXISTS (FROM readings) GROUP BY k",
            "SELECT max(k) AS k, count(*) AS n, sum(x) AS s FROM readings",
            "SELECT lag(k) OVER (ORDER BY x) AS k, count(*) AS n, sum(x) AS s FROM readings GROUP BY k",
            # rows more than once, and in more than one group
            "SELECT a.k, count(*) AS n, sum(a.x) AS s FROM readings a JOIN readings b ON true GROUP BY a.k",
            "SELECT a.k, count(*) AS n, sum(a.x) AS s FROM readings a, readings b GROUP BY a.k",
            "SELECT k, count(*) AS n, sum(x) AS s FROM (FROM readings UNION ALL FROM readings) GROUP BY k",
            "SELECT k, count(*) AS n, sum(x) AS s FROM (SELECT k, sum(x) OVER () AS x FROM readings) GROUP BY k",
            "WITH readings2 AS (FROM readings) SELECT k, count(*) AS n, sum(x) AS s FROM readings2 GROUP BY k",
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY ROLLUP (k)",
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY CUBE (k)",
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY GROUPING SETS ((k), ())",
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY k UNION ALL "
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY k",
            # groups of more than the keys tell
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY k, x",
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY x",
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY 2",
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY 9999",
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings",
            # what hides or picks groups by what is exact
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY k HAVING count(*) > 1",
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY k QUALIFY row_number() OVER () = 1",
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY k ORDER BY n LIMIT 1",
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY k ORDER BY n",
            "SELECT DISTINCT k, count(*) AS n, sum(x) AS s FROM readings GROUP BY k",
            # other columns than the manifest's
            "SELECT count(*) AS n, k, sum(x) AS s FROM readings GROUP BY k",
            "SELECT k, sum(x) AS n, sum(x) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) AS n, count(*) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) AS n, sum(x) AS s, x FROM readings GROUP BY k, x",
            "SELECT k, count(*) AS n, sum(COLUMNS(*)) AS s FROM readings GROUP BY k",
            "SELECT k, count(*) AS n, sum(x) AS s FROM readings r(a, k, c) GROUP BY k",
        ],
    )
    def test_takes_nothing_else(self, sql: str) -> None:
        with pytest.raises(RuntimeRefusedError) as refused:
            ask(sql)
        assert refused.value.kind == "algorithm"
        assert refused.value.reason in ("privacy", "function", "statement")

    def test_a_name_that_only_an_aggregate_has_fails(self) -> None:
        """The engine lets a SELECT refer to its own columns where the table has none of that name."""
        with pytest.raises(RuntimeRefusedError, match="failed"):
            ask("SELECT k, count(*) AS n, sum(x * n) AS s FROM readings GROUP BY k", table=TABLE.drop_columns("n"))

    def test_the_engine_stays_locked(self) -> None:
        engine = Engine({"readings": TABLE}, memory_bytes=256 << 20, threads=1, private=True)
        with pytest.raises(duckdb.Error, match="locked"):
            engine._connection.execute("SET disabled_optimizers = ''")


def test_a_lenders_table_answers_within_the_noise(tmp_path: Path, buyer: Buyer, limits: Limits) -> None:
    """Households by outcome: how many, their credit in all, and how many with a loan of more than two years."""
    if not credit.GERMAN.exists():
        pytest.skip("the shared table german-credit is not here")
    file = world.seal_file(tmp_path / "german.dsc", credit.GERMAN.read_bytes(), "text/csv", {})
    sql = """
        SELECT creditability AS k, count(*) AS n, sum(credit_amount) AS s, sum(duration_in_month > 24) AS long
        FROM readings GROUP BY creditability
    """
    sums = (BoundedSum(name="s", lower=0, upper=10_000), BoundedSum(name="long", lower=0, upper=1))
    privacy = Privacy(epsilon=Epsilon.parse("3"), count="n", sums=sums, keys=(("good",), ("bad",)))
    output = (KEY, N, S, Column("long", ColumnType.INTEGER))
    found = rows(buyer, private_job(buyer, [file.input(min_group=20)], sql, output, privacy), file, limits)
    plain = duckdb.connect(":memory:").execute(
        "SELECT creditability, count(*), sum(least(credit_amount, 10000)), count(*) FILTER (duration_in_month > 24) "  # noqa: S608
        f"FROM read_csv('{credit.GERMAN}') GROUP BY 1 ORDER BY 1 DESC"
    )
    far = math.log(6 / ONCE_IN)
    for row, (key, count, amount, long) in zip(found, plain.fetchall(), strict=True):
        assert row[0] == key
        assert row[1] == pytest.approx(count, abs=far)
        assert row[2] == pytest.approx(amount, abs=far * 10_000)
        assert row[3] == pytest.approx(long, abs=far)
