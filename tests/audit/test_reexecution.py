"""A re-execution's receipt against the first: who is accused, and when nobody is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from audit.reexecution import Outcome, compare
from capsule import canonical
from capsule.algorithm import Algorithm
from capsule.errors import VerificationError
from capsule.ids import Digest
from capsule.receipt import Receipt, SignedReceipt, SourceVerdict
from contracts import events as ev
from contracts.roles import Role
from tests.sim.dataspace import DataSpace, Offered, Party
from tests.sim.histories import History, history_of

OTHER = Digest(b"\xee" * 32)
ROLES = Role.BUYER | Role.COMPUTE


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataSpace]:
    """A data space whose algorithm is deterministic, and whose regulator may buy and compute."""
    space = DataSpace(tmp_path_factory.mktemp("chain"), seed=4)
    space.algorithm = replace(space.algorithm, deterministic=True)
    space.serve("algorithm", space.algorithm.hash, space.algorithm.to_json())
    space.operator.participants.set_roles(space.regulator.account, Role.REGULATOR | ROLES)
    yield space
    space.close()


@pytest.fixture(scope="module")
def offered(founded: DataSpace) -> Offered:
    return founded.offer(founded.register(), compute_by_buyer=True, uses_per_grant=9)


@pytest.fixture(scope="module")
def first(founded: DataSpace, offered: Offered) -> Receipt:
    """The use that is repeated."""
    (use,) = founded.open(founded.grant(offered))
    founded.release(use, 0, 1, 2, 3)
    return founded.complete(use)


def rules(founded: DataSpace) -> list[str]:
    return [finding.rule for finding in history_of(founded).findings()]


@pytest.fixture(scope="module")
def confirmed(founded: DataSpace, offered: Offered, first: Receipt) -> History:
    """The regulator's run gave the same; another participant's, which nobody asked for, did not."""
    founded.reexecute(first, offered, first.output, founded.regulator)
    stranger = founded.admit("stranger", ROLES)
    founded.reexecute(first, offered, OTHER, stranger)
    return history_of(founded)


@pytest.fixture(scope="module")
def undecided(founded: DataSpace, offered: Offered, first: Receipt, confirmed: History) -> History:
    """Another use of the regulator says that it repeats one that it does not: other parameters."""
    founded.reexecute(first, offered, OTHER, founded.regulator, parameters=OTHER)
    return history_of(founded)


@pytest.fixture(scope="module")
def contradicted(founded: DataSpace, offered: Offered, first: Receipt, undecided: History) -> History:
    founded.reexecute(first, offered, OTHER, founded.regulator)
    return history_of(founded)


def test_re_execution_that_gives_the_same_is_no_finding_and_a_strangers_counts_for_nothing(confirmed: History) -> None:
    assert confirmed.findings() == ()


def test_re_execution_of_something_else_accuses_nobody(undecided: History) -> None:
    assert undecided.findings() == ()


def test_regulators_contradiction_accuses_the_compute_node(
    founded: DataSpace, first: Receipt, contradicted: History
) -> None:
    (finding,) = contradicted.findings()
    assert (finding.rule, finding.accused) == ("result-not-reproduced", founded.compute.account)
    assert finding.subject.id == str(first.uses[0])
    assert {exhibit.name: exhibit.value for exhibit in finding.evidence} == {
        "compute_node": str(founded.compute.account),
        "regulator": str(founded.regulator.account),
        "fields": "output",
        "receipt": str(first.hash),
        "reexecution": str(last_receipt(contradicted, founded.regulator).hash),
        "stated": str(first.output),
        "reproduced": str(OTHER),
    }
    assert "{" not in finding.message_en + finding.message_zh


def test_algorithm_that_claims_nothing_accuses_nobody(founded: DataSpace, contradicted: History) -> None:
    """Unserved, or another manifest than the order's."""
    digest = founded.algorithm.hash
    assert contradicted.serve("algorithm", digest, None).findings() == ()
    plain = canonical.encode(replace(founded.algorithm, deterministic=False).to_json())
    assert contradicted.serve("algorithm", digest, plain).findings() == ()


def test_use_that_names_another_nodes_receipt_hides_nothing(
    founded: DataSpace, offered: Offered, first: Receipt, contradicted: History
) -> None:
    """An accomplice closes a use of its own with the accused node's receipt."""
    _, _, closed, *_ = contradicted.all(ev.UseClosed)
    hidden = contradicted.change(closed, receipt_hash=first.hash)
    assert "result-not-reproduced" in {finding.rule for finding in hidden.findings()}


def last_receipt(history: History, party: Party) -> Receipt:
    receipts = [
        SignedReceipt.from_json(canonical.decode(history.documents["receipt", bytes(closed.receipt_hash)])).receipt
        for closed in history.all(ev.UseClosed)
    ]
    return [receipt for receipt in receipts if receipt.compute_node == party.account][-1]


class TestCompare:
    @pytest.fixture
    def algorithm(self, founded: DataSpace) -> Algorithm:
        return founded.algorithm

    @pytest.fixture
    def again(self, first: Receipt, founded: DataSpace) -> Receipt:
        return replace(first, order_hash=OTHER, compute_node=founded.regulator.account, reexecutes=first.hash)

    def test_equal_receipts_confirm(self, first: Receipt, again: Receipt, algorithm: Algorithm) -> None:
        comparison = compare(first, again, algorithm)
        assert (comparison.outcome, comparison.fields) == (Outcome.CONFIRMED, ())

    def test_every_field_that_a_run_gives_is_compared(
        self, first: Receipt, again: Receipt, algorithm: Algorithm
    ) -> None:
        other = replace(again, output=OTHER, rows_in=7, rows_out=9, source=SourceVerdict("verified", 7, 7))
        comparison = compare(first, other, algorithm)
        assert comparison.outcome is Outcome.NOT_REPRODUCED
        assert comparison.fields == ("output", "rows_in", "rows_out", "source")

    def test_other_runtime_confirms_but_never_accuses(
        self, first: Receipt, again: Receipt, algorithm: Algorithm
    ) -> None:
        other = replace(again, measurement=OTHER)
        assert compare(first, other, algorithm).outcome is Outcome.CONFIRMED
        assert compare(first, replace(other, output=OTHER), algorithm).outcome is Outcome.UNDECIDED

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("reexecutes", OTHER),
            ("reexecutes", None),
            ("algorithm", OTHER),
            ("parameters", OTHER),
            ("capsule_roots", (OTHER,)),
        ],
    )
    def test_what_repeats_something_else_is_refused(
        self, first: Receipt, again: Receipt, algorithm: Algorithm, field: str, value: object
    ) -> None:
        with pytest.raises(VerificationError, match="no re-execution") as refused:
            compare(first, replace(again, **{field: value, "output": OTHER}), algorithm)  # type: ignore[arg-type]
        assert refused.value.evidence

    def test_algorithm_without_the_claim_is_refused(self, first: Receipt, again: Receipt, founded: DataSpace) -> None:
        plain = replace(founded.algorithm, deterministic=False)
        first = replace(first, algorithm=plain.hash)
        again = replace(again, algorithm=plain.hash, reexecutes=first.hash)
        with pytest.raises(VerificationError, match="does not claim"):
            compare(first, again, plain)
