"""Two lenders, rivals, each with its own policy and custodians: a bank's scoring and aggregates over both at once."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from capsule import canonical
from capsule.algorithm import Algorithm
from capsule.ids import AssetId, Digest, GrantId
from capsule.policy.offer import offer
from contracts.structs import UseStatus
from node.access import Narrowing
from node.answers import history_of
from node.catalogue import CustodyPlan, Plaintext
from node.closing import CloseReason
from scripts.algorithm import algorithm_of, sql_algorithm
from tests.node.runtime import credit
from tests.node.space import TOKEN, Space
from tests.node.test_compute import audited, failed, failure, step

PURPOSE = "credit scoring"
CODE = credit.SCORE.read_bytes()
OUTPUT = ["lender:integer", "band:text", "applicants:integer", "mean_risk:number", "defaults:integer"]
SCORING = algorithm_of(CODE, OUTPUT, ["min_group:integer"], "applicants")
SQL = """
SELECT 1 AS lender, creditability AS outcome, count(*) AS applicants, avg(age_in_years) AS age
FROM readings_1 GROUP BY creditability
UNION ALL
SELECT 2, CASE WHEN "default" = 1 THEN 'bad' ELSE 'good' END, count(*) AS applicants, avg(AGE)
FROM readings_2 GROUP BY 2
ORDER BY 1, 2
"""
AGGREGATES = sql_algorithm(
    SQL, ["lender:integer", "outcome:text", "applicants:integer", "age:number"], (), "applicants"
)
PURPOSES_SQL = """
SELECT 1 AS lender, purpose AS part, count(*) AS applicants, avg(credit_amount) AS mean
FROM readings_1 GROUP BY purpose
UNION ALL
SELECT 2, CAST(EDUCATION AS VARCHAR), count(*) AS applicants, avg(LIMIT_BAL)
FROM readings_2 GROUP BY EDUCATION
ORDER BY 1, 2
"""
PURPOSES = sql_algorithm(
    PURPOSES_SQL, ["lender:integer", "part:text", "applicants:integer", "mean:number"], (), "applicants"
)
BILLS_SQL = """
SELECT count(*) AS holders, avg(LIMIT_BAL) AS mean_limit, sum("default") AS defaults
FROM readings WHERE BILL_AMT1 <= $most
"""
BILLS = sql_algorithm(
    BILLS_SQL, ["holders:integer", "mean_limit:number", "defaults:integer"], ["most:number"], "holders"
)


@dataclass(frozen=True)
class Lender:
    """An asset on offer, and who holds its key."""

    provider: str
    asset: AssetId
    custodians: tuple[str, ...]
    threshold: int


def put_up(
    space: Space, provider: str, table: Path, custodians: tuple[str, ...], threshold: int, **terms: Any
) -> Lender:
    node = space[provider].node
    asset = node.catalogue.register({"title": table.stem})
    accounts = tuple(space[name].account for name in custodians)
    policy = offer(
        asset=asset,
        provider=space[provider].account,
        purposes=[PURPOSE],
        algorithms=[SCORING.hash, AGGREGATES.hash, BILLS.hash, PURPOSES.hash],
        custodians=accounts,
        least_threshold=threshold,
        provider_share=True,
        seconds_per_use=600,
        uses_per_buyer=50,
        **terms,
    )
    content = table.read_bytes()
    plaintext = Plaintext(io.BytesIO(content), len(content), "text/csv", {})
    plan = CustodyPlan(accounts, threshold=threshold, waiting_seconds=0)
    node.catalogue.finish(node.catalogue.seal(asset, plaintext, policy, plan).capsule_root)
    return Lender(provider, asset, custodians, threshold)


@pytest.fixture(scope="module")
def parties(space: Space) -> Space:
    """A rival provider, and three custodians of its own choice."""
    for path in (credit.GERMAN, credit.TAIWAN):
        if not path.exists():
            pytest.skip(f"the shared table {path.parent.name} is not here")
    for name, role in (
        ("rival", "provider"),
        ("rival-custodian-1", "custodian-1"),
        ("rival-custodian-2", "custodian-1"),
        ("rival-custodian-3", "custodian-1"),
    ):
        space.world.admit(space.world.join(name), space.world.role(role))
    return space


OURS = ("custodian-1", "custodian-2", "custodian-3")
THEIRS = ("rival-custodian-1", "rival-custodian-2", "rival-custodian-3")


@pytest.fixture(scope="module")
def households(parties: Space) -> Lender:
    terms = {"group_size": 5, "declared_groups": True, "output_rows": 20, "rows_per_buyer": 1000}
    return put_up(parties, "provider", credit.GERMAN, OURS, 2, **terms)


@pytest.fixture(scope="module")
def cards(parties: Space) -> Lender:
    terms = {"group_size": 20, "declared_groups": True, "output_rows": 10, "rows_per_buyer": 500}
    return put_up(parties, "rival", credit.TAIWAN, THEIRS, 3, **terms)


def granted(space: Space, lender: Lender, algorithm: Algorithm, code: bytes) -> GrantId:
    compute = space["compute"].account
    requested = space["buyer"].node.access.request(lender.asset, PURPOSE, algorithm, code, compute)
    return space[lender.provider].node.access.grant(requested.request, Narrowing()).grant


def ordered(
    space: Space, lenders: tuple[Lender, ...], algorithm: Algorithm, code: bytes, parameters: dict[str, Any]
) -> tuple[Digest, tuple[GrantId, ...]]:
    """`dataspace use order GRANT GRANT`: the route that the command calls. Then all holders release."""
    grants = tuple(granted(space, lender, algorithm, code) for lender in lenders)
    body = {"grants": list(map(str, grants)), "parameters": parameters, "seconds": 600}
    answer = space.world.client.post(
        "http://buyer.demo/v1/orders", json=body, headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert answer.status_code == 201, answer.text
    order = Digest.parse(answer.json()["order"])
    space["compute"].node.work()
    for lender in lenders:
        space.release(lender.provider, *lender.custodians[: lender.threshold])
    return order, grants


def result(space: Space, order: Digest) -> list[list[Any]]:
    document = canonical.decode(space["buyer"].node.ordering.collect(order).result)
    assert isinstance(document, dict)
    rows: list[list[Any]] = document["rows"]  # type: ignore[assignment]
    return rows


def test_a_bank_scores_both_lenders_as_on_plain_data_and_nobody_finds_fault(
    parties: Space, households: Lender, cards: Lender, tmp_path: Path
) -> None:
    order, grants = ordered(parties, (households, cards), SCORING, CODE, {"min_group": 20})
    assert step(parties, order).note == ""
    expected = credit.scored((credit.GERMAN, credit.TAIWAN), 20)
    rows = result(parties, order)
    assert [(row[0], row[1], row[2], row[4]) for row in rows] == [(one[0], one[1], one[2], one[4]) for one in expected]
    assert [row[3] for row in rows] == [pytest.approx(one[3], rel=1e-12) for one in expected]
    collected = parties["buyer"].node.ordering.collect(order)
    uses = parties.uses(order)
    assert collected.receipt.grants == grants
    assert collected.receipt.uses == tuple(opened.use for opened in uses)
    assert collected.receipt.capsule_roots == tuple(opened.pin.capsule_root for opened in uses)
    assert collected.receipt.rows_in == 25_000
    access = parties["buyer"].ledger.access
    assert [access.use_of(opened.use).status for opened in uses] == [UseStatus.COMPLETED] * 2
    for lender in (households, cards):
        _, rows_used, _ = access.counts_of(lender.asset, parties["buyer"].account)
        assert rows_used == len(rows)
    assert audited(parties, order, tmp_path) == set()


def test_the_banks_aggregates_over_both_lenders_equal_duckdb_on_the_plain_files(
    parties: Space, households: Lender, cards: Lender, tmp_path: Path
) -> None:
    store, buyer = parties["compute"].node.context.store, parties["buyer"].account
    before = [history_of(store, buyer, lender.asset).groups for lender in (households, cards)]
    order, _ = ordered(parties, (households, cards), AGGREGATES, SQL.encode(), {})
    assert step(parties, order).note == ""
    # two outcomes of each lender; each has its own in its history
    after = [history_of(store, buyer, lender.asset).groups for lender in (households, cards)]
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 2]
    plain = duckdb.connect(":memory:")
    plain.execute(f"CREATE VIEW readings_1 AS SELECT * FROM read_csv('{credit.GERMAN}')")  # noqa: S608
    plain.execute(f"CREATE VIEW readings_2 AS SELECT * FROM read_csv('{credit.TAIWAN}')")  # noqa: S608
    assert result(parties, order) == [list(row) for row in plain.execute(SQL).fetchall()]
    assert audited(parties, order, tmp_path) == set()


def test_the_stricter_lenders_group_size_holds_for_the_rows_of_both(
    parties: Space, households: Lender, cards: Lender
) -> None:
    """The households' smallest band would do for their own lender, which asks for five."""
    least = min(one[2] for one in credit.scored((credit.GERMAN,), 5))
    stricter = put_up(
        parties, "rival", credit.TAIWAN, THEIRS, 3, group_size=least + 1, declared_groups=True, output_rows=10
    )
    order, _ = ordered(parties, (households, stricter), SCORING, CODE, {"min_group": 5})
    assert step(parties, order).note == "output_refused"
    failed(parties, order, CloseReason.OUTPUT_REFUSED)


def test_the_stricter_lenders_rows_hold_for_the_rows_of_both(parties: Space, households: Lender) -> None:
    most = len(credit.scored((credit.GERMAN, credit.TAIWAN), 5)) - 1
    few = put_up(parties, "rival", credit.TAIWAN, THEIRS, 3, output_rows=most)
    order, _ = ordered(parties, (households, few), SCORING, CODE, {"min_group": 5})
    assert step(parties, order).note == "output_refused"
    failed(parties, order, CloseReason.OUTPUT_REFUSED)


def test_a_lender_that_takes_no_modules_word_for_its_groups_stops_the_use_for_both(
    parties: Space, households: Lender, tmp_path: Path
) -> None:
    """The reason stands in the receipt that both uses are closed with."""
    careful = put_up(parties, "rival", credit.TAIWAN, THEIRS, 3, group_size=20, output_rows=10)
    order, grants = ordered(parties, (households, careful), SCORING, CODE, {"min_group": 20})
    assert step(parties, order).note == "algorithm_failed"
    failed(parties, order, CloseReason.ALGORITHM_FAILED)
    assert failure(parties, order).grants == grants
    assert audited(parties, order, tmp_path) == set()
    # the same lender lets its groups be counted by SQL
    order, _ = ordered(parties, (households, careful), AGGREGATES, SQL.encode(), {})
    assert step(parties, order).note == ""


def test_one_card_holder_is_not_singled_out_by_two_averages(parties: Space, cards: Lender, tmp_path: Path) -> None:
    """Two thresholds with one holder's bill between them would give that holder's limit and default by subtraction."""
    plain = duckdb.connect(":memory:")
    plain.execute(f"CREATE VIEW readings AS SELECT * FROM read_csv('{credit.TAIWAN}')")  # noqa: S608
    found = plain.execute(
        "SELECT BILL_AMT1, lag(BILL_AMT1) OVER (ORDER BY BILL_AMT1), count(*), sum(count(*)) OVER (ORDER BY BILL_AMT1)"
        " FROM readings GROUP BY BILL_AMT1 QUALIFY count(*) = 1 ORDER BY BILL_AMT1 DESC LIMIT 1 OFFSET 200"
    ).fetchone()
    assert found is not None
    most, less, one, below = found
    assert (one, 20 < below < 29_980) == (1, True)
    first, _ = ordered(parties, (cards,), BILLS, BILLS_SQL.encode(), {"most": most})
    assert step(parties, first).note == ""
    [row] = result(parties, first)
    assert row == [pytest.approx(cell, rel=1e-12) for cell in plain.execute(BILLS_SQL, {"most": most}).fetchall()[0]]
    second, _ = ordered(parties, (cards,), BILLS, BILLS_SQL.encode(), {"most": less})
    assert step(parties, second).note == "output_refused"
    failed(parties, second, CloseReason.OUTPUT_REFUSED)
    assert audited(parties, second, tmp_path) == set()


def test_small_groups_of_both_lenders_are_left_out_where_both_say_so(parties: Space) -> None:
    """Eleven card holders take the next group, of 39, with them: they would be the total less the rest."""
    terms = {"group_size": 35, "suppress_small_groups": True}
    ours = put_up(parties, "provider", credit.GERMAN, OURS, 2, **terms)
    theirs = put_up(parties, "rival", credit.TAIWAN, THEIRS, 3, **terms)
    order, _ = ordered(parties, (ours, theirs), PURPOSES, PURPOSES_SQL.encode(), {})
    assert step(parties, order).note == ""
    plain = duckdb.connect(":memory:")
    plain.execute(f"CREATE VIEW readings_1 AS SELECT * FROM read_csv('{credit.GERMAN}')")  # noqa: S608
    plain.execute(f"CREATE VIEW readings_2 AS SELECT * FROM read_csv('{credit.TAIWAN}')")  # noqa: S608
    every = [list(row) for row in plain.execute(PURPOSES_SQL).fetchall()]
    kept = result(parties, order)
    assert kept == [row for row in every if row in kept]
    for lender in (1, 2):
        left_out = [row[2] for row in every if row[0] == lender and row not in kept]
        assert all(row[2] >= 35 for row in kept if row[0] == lender)
        # some were too small, and what is left out together is not
        assert min(left_out) < 35 <= sum(left_out)
        assert any(row[0] == lender for row in kept)


def test_one_lender_that_refuses_stops_the_use_for_both(parties: Space, households: Lender, cards: Lender) -> None:
    grants = tuple(granted(parties, lender, SCORING, CODE) for lender in (households, cards))
    order = parties["buyer"].node.ordering.place(grants, {"min_group": 20}, 600).order_hash
    parties["compute"].node.work()
    parties.release("provider", *OURS[:2])
    second = parties.uses(order)[1]
    parties["rival"].ledger.access.refuse_share(second.use, 14, Digest(bytes(32)))
    assert step(parties, order).note == "too_few_releases"
    failed(parties, order, CloseReason.TOO_FEW_RELEASES)
