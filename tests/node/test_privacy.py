"""Privacy budgets on real parts: one for each buyer and asset, across grants, and nothing is told when it is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from capsule.deal import Deal
from capsule.ids import Digest, GrantId
from capsule.privacy import BoundedSum, Epsilon, Privacy
from node.access import Narrowing
from node.answers import added, history_of
from node.closing import CloseReason
from node.runtime.protocol import Answered, CapsuleInput
from scripts.algorithm import sql_algorithm
from tests.node.space import PURPOSE, Offered, Space
from tests.node.test_compute import audited, failed, failure, rows, step

SQL = "SELECT sum(power) AS total, count(*) AS n FROM readings"
TENTH = Epsilon.parse("0.1")
OUTPUT = ["total:integer", "n:integer"]


def promise(epsilon: Epsilon) -> Privacy:
    return Privacy(epsilon=epsilon, count="n", sums=(BoundedSum(name="total", lower=0, upper=100),))


PRIVATE = sql_algorithm(SQL, OUTPUT, (), "n", privacy=promise(TENTH))
PLAIN = sql_algorithm(SQL, OUTPUT, (), "n")


@pytest.fixture(scope="module")
def other(space: Space) -> str:
    """Another buyer."""
    space.world.admit(space.world.join("other-buyer"), space.world.role("buyer"))
    return "other-buyer"


def offered(space: Space, budget: str, **terms: Any) -> Offered:
    return space.offered(
        uses_per_grant=100, uses_per_buyer=100, epsilon_per_buyer=Epsilon.parse(budget), epsilon_per_use=TENTH, **terms
    )


def ordered(space: Space, grant: GrantId, buyer: str = "buyer") -> Digest:
    order = space[buyer].node.ordering.place((grant,), {}, 600).order_hash
    space["compute"].node.work()
    space.release()
    return order


def granted(space: Space, offer: Offered, buyer: str = "buyer") -> GrantId:
    node = space[buyer].node
    requested = node.access.request(offer.asset, PURPOSE, PRIVATE, SQL.encode(), space["compute"].account)
    return space["provider"].node.access.grant(requested.request, Narrowing()).grant


def spent(space: Space, offer: Offered, buyer: str = "buyer") -> Epsilon:
    return history_of(space["compute"].node.context.store, space[buyer].account, offer.asset).epsilon


def test_answer_with_noise_leaves_and_its_receipt_says_what_it_spent(space: Space, tmp_path: Path) -> None:
    offer = offered(space, "1")
    order = ordered(space, granted(space, offer))
    assert step(space, order).note == ""
    ((total, count),) = rows(space, order)
    # noise of scale 20 and 2,000: out of these bounds once in 10^9
    assert abs(count - 40) < 500
    assert abs(total - 780) < 50_000
    assert space["buyer"].node.ordering.collect(order).receipt.epsilon == TENTH
    assert spent(space, offer) == TENTH
    assert audited(space, order, tmp_path) == set()


def test_budget_stops_the_thousandth_query(space: Space, tmp_path: Path) -> None:
    """998 answers are in the compute node's memory already, written as it writes them."""
    offer = offered(space, "99.9")
    grant = granted(space, offer)
    store = space["compute"].node.context.store
    deal = Deal.from_json(offer.deal.to_json())
    capsule = CapsuleInput(
        chain_id=deal.chain_id,
        access=deal.access,
        use=deal.hash,
        deal=deal,
        capsule_root=deal.capsule_root,
        policy_hash=deal.policy_hash,
        policy=None,
        one_time_keys={},
        releases={},
    )
    for number in range(998):
        before = Digest(number.to_bytes(32, "big"))
        entry, _ = added(store, before, space["buyer"].account, [capsule], [Answered(groups=1, epsilon=TENTH)])
        store.save(*entry)
    order = ordered(space, grant)
    assert step(space, order).note == ""
    assert spent(space, offer) == Epsilon.parse("99.9")
    order = ordered(space, grant)
    assert step(space, order).note == "output_refused"
    failed(space, order, CloseReason.OUTPUT_REFUSED)
    assert failure(space, order).epsilon is None
    assert spent(space, offer) == Epsilon.parse("99.9")
    assert audited(space, order, tmp_path) == set()


def test_budget_is_shared_by_a_buyers_grants_and_by_no_other_buyer(space: Space, other: str) -> None:
    offer = offered(space, "0.15")
    first, second = granted(space, offer), granted(space, offer)
    assert first != second
    assert step(space, ordered(space, first)).note == ""
    order = ordered(space, second)
    assert step(space, order).note == "output_refused"
    failed(space, order, CloseReason.OUTPUT_REFUSED)
    order = ordered(space, granted(space, offer, other), other)
    assert step(space, order).note == ""
    assert spent(space, offer) == spent(space, offer, other) == TENTH


def test_budget_outlives_the_compute_nodes_process(space: Space) -> None:
    offer = offered(space, "0.1")
    grant = granted(space, offer)
    assert step(space, ordered(space, grant)).note == ""
    space.restart("compute")
    order = ordered(space, grant)
    assert step(space, order).note == "output_refused"
    failed(space, order, CloseReason.OUTPUT_REFUSED)


def test_algorithm_without_noise_gets_no_answer_under_a_budget(space: Space) -> None:
    offer = offered(space, "1000")
    order = space.ordered(space.granted(offer, PLAIN, SQL)).order_hash
    space["compute"].node.work()
    space.release()
    assert step(space, order).note == "algorithm_failed"
    failed(space, order, CloseReason.ALGORITHM_FAILED)
    assert spent(space, offer) == Epsilon(0)


def test_answer_that_is_held_back_for_its_rows_is_paid_for(space: Space) -> None:
    """The refusal tells something of the rows, and could be asked for again and again."""
    offer = offered(space, "0.1", output_rows=0)
    grant = granted(space, offer)
    order = ordered(space, grant)
    assert step(space, order).note == "output_refused"
    failed(space, order, CloseReason.OUTPUT_REFUSED)
    assert failure(space, order).epsilon == spent(space, offer) == TENTH
