"""Each term that the chain enforces, alone: from the policy's document to a call that the contracts let through, and
one that they refuse though nobody else would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from capsule.ids import Address, AssetId, Digest
from capsule.policy.compiler import compile_policy
from capsule.policy.offer import offer
from capsule.policy.vocabulary import OPERANDS, Label
from capsule.terms import Terms as CapsuleTerms
from tests.contracts.solidity.space import BUYER, COMPUTE, CUSTODIAN, Offer, Organisation, Space, Terms, h

Trial = Callable[[Space], None]
TRIALS: dict[str, Trial] = {}
# The name of the purpose is compared; that it is kept is the buyer's word.
COMPARED = {"purpose"}


def tries(term: str) -> Callable[[Trial], Trial]:
    def keep(trial: Trial) -> Trial:
        TRIALS[term] = trial
        return trial

    return keep


def test_every_term_that_the_chain_enforces_is_tried() -> None:
    assert set(TRIALS) == {term for term, one in OPERANDS.items() if Label.CHAIN in one.label} | COMPARED


@pytest.mark.parametrize("term", TRIALS)
def test_the_chain_alone_allows_and_forbids(space: Space, term: str) -> None:
    TRIALS[term](space)
    assert space.refusals


def terms(space: Space, **said: Any) -> Terms:
    """A policy of these terms as the contracts take it; the provider's share is required unless it says otherwise."""
    document = offer(
        asset=AssetId(bytes(32)),
        provider=Address.parse(space.provider.address),
        **{"provider_share": True, **said},
    )
    return on_chain(compile_policy(document).terms)


def on_chain(compiled: CapsuleTerms) -> Terms:
    values = {name: getattr(compiled, name) for name in Terms._fields}
    for name in ("buyers", "compute_nodes", "holders"):
        values[name] = tuple(str(account) for account in values[name])
    return Terms(**values)


def account(who: Organisation) -> Address:
    return Address.parse(who.address)


@tries("dateTime")
def _(space: Space) -> None:
    begin = space.now + 100
    offered = space.offer(terms(space, not_before=begin, not_after=begin + 100))
    with space.refused("AccessTooEarly"):
        space.request(offered)
    space.chain.advance(100)
    grant = space.granted(offered)
    space.used(grant)
    space.chain.advance(100)
    with space.refused("AccessTooLate"):
        space.used(grant)
    with space.refused("AccessTooLate"):
        space.request(offered)


@tries("elapsedTime")
def _(space: Space) -> None:
    offered = space.offer(terms(space, seconds_per_grant=50))
    grant = space.granted(offered)
    space.used(grant)
    space.chain.advance(50)
    with space.refused("AccessTooLate"):
        space.used(grant)


@tries("ds:secondsPerUse")
def _(space: Space) -> None:
    _, use = space.used(space.granted(space.offer(terms(space, seconds_per_use=50))))
    space.release(use, space.custodians[0])
    space.chain.advance(50)
    with space.refused("AccessUsePastDeadline"):
        space.release(use, space.custodians[1])


@tries("purpose")
def _(space: Space) -> None:
    offered = space.offer(terms(space, purposes=["research"]))
    space.request(offered, purpose="research")
    with space.refused("AccessPurposeNotAllowed", "sale"):
        space.request(offered, purpose="sale")


@tries("recipient")
def _(space: Space) -> None:
    listed = space.offer(terms(space, buyers=[account(space.buyer)]))
    space.request(listed)
    with space.refused("AccessBuyerNotAllowed", space.other_buyer.address):
        space.request(listed, buyer=space.other_buyer)
    by_role = space.offer(terms(space, buyer_roles=["custodian"]))
    with space.refused("AccessBuyerNotAllowed", space.buyer.address):
        space.request(by_role)
    space.set_roles(space.buyer, BUYER | CUSTODIAN)
    space.request(by_role)


@tries("product")
def _(space: Space) -> None:
    offered = space.offer(terms(space, algorithms=[Digest(space.algorithm)]))
    space.request(offered)
    with space.refused("AccessAlgorithmNotAllowed", h("another")):
        space.request(offered, algorithm=h("another"))


@tries("ds:computeNode")
def _(space: Space) -> None:
    offered = space.offer(terms(space, compute_nodes=[account(space.compute)]))
    space.request(offered)
    with space.refused("AccessComputeNodeNotAllowed", space.other_compute.address):
        space.request(offered, compute=space.other_compute)


@tries("ds:computeByBuyer")
def _(space: Space) -> None:
    space.set_roles(space.buyer, BUYER | COMPUTE)
    space.request(space.offer(terms(space, compute_by_buyer=True)), compute=space.buyer)
    for said in ({}, {"compute_by_buyer": False}):
        with space.refused("AccessComputeNodeInvolved", space.buyer.address):
            space.request(space.offer(terms(space, **said)), compute=space.buyer)


@tries("ds:computeByCustodian")
def _(space: Space) -> None:
    holder = space.custodians[0]
    space.set_roles(holder, CUSTODIAN | COMPUTE)
    space.request(space.offer(terms(space, compute_by_custodian=True)), compute=holder)
    for said in ({}, {"compute_by_custodian": False}):
        with space.refused("AccessComputeNodeInvolved", holder.address):
            space.request(space.offer(terms(space, **said)), compute=holder)


@tries("count")
def _(space: Space) -> None:
    offered = space.offer(terms(space, uses_per_grant=1))
    grant = space.granted(offered)
    space.used(grant)
    with space.refused("AccessUsesSpent", grant, "grant"):
        space.used(grant)
    space.used(space.granted(offered))


@tries("ds:usesPerBuyer")
def _(space: Space) -> None:
    offered = space.offer(terms(space, uses_per_buyer=1))
    space.used(space.granted(offered))
    again = space.granted(offered)
    with space.refused("AccessUsesSpent", again, "buyer"):
        space.used(again)
    space.used(space.granted(offered, buyer=space.other_buyer), buyer=space.other_buyer)


@tries("ds:usesTotal")
def _(space: Space) -> None:
    offered = space.offer(terms(space, uses_total=1))
    space.used(space.granted(offered))
    other = space.granted(offered, buyer=space.other_buyer)
    with space.refused("AccessUsesSpent", other, "asset"):
        space.used(other, buyer=space.other_buyer)


@tries("ds:rowsPerBuyer")
def _(space: Space) -> None:
    """`close` lets out ten rows."""
    offered = space.offer(terms(space, rows_per_buyer=15))
    grant = space.granted(offered)
    for fits in (True, False):
        order, use = space.used(grant)
        space.release(use, *space.custodians[:2], space.provider)
        if fits:
            space.close(order)
        else:
            with space.refused("AccessRowsSpent", grant, 10, 5):
                space.close(order)


@tries("ds:custodian")
def _(space: Space) -> None:
    allowed = terms(space, custodians=[account(one) for one in space.custodians[:3]])
    space.offer(allowed)
    asset = space.register()
    version = space.publish(asset, allowed)
    with space.refused("AssetsHolderNotAllowed", space.custodians[3].address):
        space.deal(asset, version, allowed, custodians=space.custodians[1:4])


@tries("ds:leastThreshold")
def _(space: Space) -> None:
    least = terms(space, least_threshold=2)
    space.offer(least, threshold=2)
    asset = space.register()
    version = space.publish(asset, least)
    with space.refused("AssetsThresholdInvalid", 1, 3, 2):
        space.deal(asset, version, least, threshold=1)


@tries("ds:providerShare")
def _(space: Space) -> None:
    """All custodians together are too few."""
    for said, enough in ((False, True), (True, False)):
        order, use = space.used(space.granted(space.offer(terms(space, provider_share=said))))
        space.release(use, *space.custodians[:3])
        if enough:
            space.close(order)
        else:
            with space.refused("AccessTooFewReleases"):
                space.close(order)


@tries("ds:automaticGrant")
def _(space: Space) -> None:
    outcome = space.request(space.offer(terms(space, automatic_grant=True)))
    assert outcome.event("AccessGranted")["automatic"]
    for said in ({}, {"automatic_grant": False}):
        asked: Offer = space.offer(terms(space, **said))
        outcome = space.request(asked)
        assert [event.name for event in outcome.events] == ["AccessRequested"]
        with space.refused("AccessNotProvider", space.buyer.address):
            space.grant(asked, outcome.value, provider=space.buyer)
