"""Levels of attestation: a policy asks for one, and each of those who enforce it does so alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from capsule.attestation import Claim, Level, Quote, SoftwareVerifier
from capsule.decision import RefusalReason
from capsule.errors import VerificationError
from capsule.ids import GrantId
from node.closing import CloseReason
from node.organisation import Node
from tests.node.space import Offered, Space, decided_on
from tests.node.test_compute import audited, failed, failure
from tests.node.test_hostile_algorithms import verdicts


class Enclave:
    """A technology of tests: whoever knows its secret vouches at level hardware."""

    technology = "enclave"
    level = Level.HARDWARE

    def __init__(self, secret: bytes = b"maker") -> None:
        self._secret = secret

    def quote(self, claim: Claim) -> Quote:
        return Quote(self.technology, self._secret + bytes(claim.digest))

    def verify(self, quote: Quote, claim: Claim) -> Level:
        if quote.evidence != b"maker" + bytes(claim.digest):
            raise VerificationError("quote is not the maker's", self.technology)
        return Level.HARDWARE


@pytest.fixture(scope="module")
def hardware(space: Space) -> Offered:
    """An asset for runtimes that hardware vouches for."""
    return space.offered(attestation=[Level.HARDWARE], uses_per_grant=100, uses_per_buyer=100)


@pytest.fixture(scope="module")
def grant(space: Space, hardware: Offered) -> GrantId:
    return space.granted(hardware)


def holders(space: Space) -> list[Node]:
    """The provider and two custodians, which know the technology."""
    verifiers = (SoftwareVerifier(), Enclave())
    return [space.node(name, verifiers=verifiers) for name in ("provider", "custodian-1", "custodian-2")]


def test_a_runtime_of_software_gets_no_share_where_the_policy_asks_for_hardware(
    space: Space, hardware: Offered, grant: GrantId, tmp_path: Path
) -> None:
    order = space.ordered(grant).order_hash
    space["compute"].node.work()
    (opened,) = space.uses(order)
    for node in holders(space):
        decided = decided_on(node.work(), opened.use)
        assert (decided.released, decided.reason) == (False, RefusalReason.ATTESTATION_NOT_MET)
    (progress,) = [one for one in space["compute"].node.work().progress if one.order_hash == order]
    assert progress.note == "too_few_releases"
    failed(space, order, CloseReason.TOO_FEW_RELEASES)
    assert audited(space, order, tmp_path) == set()


def test_a_runtime_that_its_hardware_vouches_for_runs_and_the_receipt_says_so(
    space: Space, grant: GrantId, tmp_path: Path
) -> None:
    compute = space.node("compute", attester=Enclave())
    order = space.ordered(grant).order_hash
    compute.work()
    (opened,) = space.uses(order)
    for node in holders(space):
        assert decided_on(node.work(), opened.use).released
    (progress,) = [one for one in compute.work().progress if one.order_hash == order]
    assert progress.note == ""
    receipt = space["buyer"].node.ordering.collect(order).receipt
    assert receipt.level == Level.HARDWARE
    assert receipt.measurement == opened.measurement
    assert audited(space, order, tmp_path) == set()


@pytest.mark.parametrize("knows", [True, False])
def test_a_forged_quote_and_one_that_a_holder_cannot_read_are_worth_no_more_than_software(
    space: Space, grant: GrantId, knows: bool
) -> None:
    compute = space.node("compute", attester=Enclave(b"thief" if knows else b"maker"))
    order = space.ordered(grant).order_hash
    compute.work()
    (opened,) = space.uses(order)
    verifiers = (SoftwareVerifier(), Enclave()) if knows else (SoftwareVerifier(),)
    decided = decided_on(space.node("custodian-1", verifiers=verifiers).work(), opened.use)
    assert (decided.released, decided.reason) == (False, RefusalReason.ATTESTATION_NOT_MET)


def test_the_runtime_refuses_alone_when_every_holder_looks_away(space: Space, grant: GrantId) -> None:
    """The holders take any word for hardware; the compute node is at level software and says so to its runtime."""

    class Credulous(SoftwareVerifier):
        def verify(self, quote: Quote, claim: Claim) -> Level:
            return Level.HARDWARE

    order = space.ordered(grant).order_hash
    compute = space["compute"].node
    compute.work()
    (opened,) = space.uses(order)
    for name in ("provider", "custodian-1", "custodian-2"):
        assert decided_on(space.node(name, verifiers=(Credulous(),)).work(), opened.use).released
    (progress,) = [one for one in compute.work().progress if one.order_hash == order]
    assert progress.note == "not_run"
    failed(space, order, CloseReason.NOT_RUN)
    assert verdicts(compute, order) == ["runtime/attestation"]
    assert failure(space, order).level == Level.SOFTWARE


def test_a_policy_that_names_software_needs_no_quote(space: Space) -> None:
    offered = space.offered(attestation=[Level.SOFTWARE])
    placed, opened = space.opened(offered)
    assert all(decided.released for decided in space.release() if decided.use == opened.use)
    assert placed.order_hash == opened.order_hash
