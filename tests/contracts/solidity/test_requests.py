"""Requests and grants: pins, terms, narrowing, automatic grants."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.ids import Address, Digest
from capsule.terms import Terms as CapsuleTerms
from tests.contracts.solidity.errors import exercises
from tests.contracts.solidity.evm import RevertedError
from tests.contracts.solidity.space import (
    BUYER,
    COMPUTE,
    CUSTODIAN,
    DAY,
    PROVIDER,
    REGULATOR,
    U32,
    U64,
    ZERO,
    Offer,
    Space,
    Terms,
    account,
    h,
)

PENDING, GRANTED, DENIED = 1, 2, 3


@exercises("AccessPinMismatch")
@pytest.mark.parametrize(
    "change",
    [
        {"asset": h("other")},
        {"version": 2},
        {"version": 0},
        {"capsule_root": h("other")},
        {"policy_hash": h("other")},
        {"terms_hash": h("other")},
        {"deal": 2},
        {"deal_hash": h("other")},
        {"version": 2, "capsule_root": ZERO, "policy_hash": ZERO, "terms_hash": ZERO, "deal": 0, "deal_hash": ZERO},
    ],
)
def test_a_pin_names_the_present_state(space: Space, change: dict[str, Any]) -> None:
    offer = space.offer()
    pin = space.pin(offer)._replace(**change)
    with space.refused("AccessPinMismatch", pin.asset, pin.version):
        space.request(offer, pin=pin)


@exercises("AccessDealNotReady", "AccessDealReplaced", "AccessAssetRetired")
def test_a_request_needs_a_ready_deal_that_is_the_latest(space: Space) -> None:
    asset = space.register()
    space.publish(asset, Terms())
    with space.refused("AccessDealNotReady", asset, 1, 0):
        space.request(Offer(asset, 1, Terms(), 0))
    deal = space.deal(asset, 1, Terms())
    offer = Offer(asset, 1, Terms(), deal)
    space.accept(asset, 1, deal, *space.custodians[:2])
    with space.refused("AccessDealNotReady", asset, 1, deal):
        space.request(offer)
    space.accept(asset, 1, deal, space.provider)
    space.request(offer)
    space.ready_deal(asset, 1, Terms())
    with space.refused("AccessDealReplaced", asset, 1, deal):
        space.request(offer)
    ahead = Offer(asset, 1, Terms(), 3)
    with space.refused("AccessDealReplaced", asset, 1, 3):
        space.request(ahead)
    space.assets.send(space.provider.address, "retire", asset, "old")
    with space.refused("AccessAssetRetired", asset):
        space.request(Offer(asset, 1, Terms(), 2))


def test_an_earlier_version_can_still_be_requested(space: Space) -> None:
    offer = space.offer()
    space.publish(offer.asset, Terms(compiler=2))
    pin = space.pin(offer)
    request = space.request(offer).value
    stored = space.access.call("requestOf", request)
    assert tuple(stored.pin) == pin
    assert stored[1:] == (
        space.buyer.address,
        PENDING,
        space.compute.address,
        space.algorithm,
        h("research"),
        h("proposal"),
    )


@exercises("AccessParticipantNotActive")
@pytest.mark.parametrize(("who", "role"), [("buyer", BUYER), ("provider", PROVIDER), ("compute", COMPUTE)])
def test_parties_are_active_in_their_roles(space: Space, who: str, role: int) -> None:
    offer, party = space.offer(), getattr(space, who)
    request = space.request(offer).value
    for roles, suspended in ((63 & ~role, False), (63, True)):
        space.set_roles(party, roles)
        if suspended:
            space.suspend(party)
        with space.refused("AccessParticipantNotActive", party.address, role):
            space.request(offer)
        with space.refused("AccessParticipantNotActive", party.address, role):
            space.grant(offer, request)


@exercises("AccessTermsMismatch", "AccessTooEarly", "AccessTooLate", "AccessTextTooLong")
def test_terms_are_those_of_the_version_and_open_now(space: Space) -> None:
    begin = space.now + 100
    offer = space.offer(Terms(not_before=begin, not_after=begin + 100))
    with space.refused("AccessTermsMismatch"):
        space.request(offer, terms=Terms())
    with space.refused("AccessTextTooLong", 257, 256):
        space.request(offer, purpose="x" * 257)
    with space.refused("AccessTooEarly", space.now, begin):
        space.request(offer)
    space.chain.advance(100)
    request = space.request(offer).value
    with space.refused("AccessTermsMismatch"):
        space.grant(offer, request, terms=Terms())
    space.chain.advance(99)
    space.request(offer)
    space.chain.advance(1)
    with space.refused("AccessTooLate", space.now, begin + 100):
        space.request(offer)
    with space.refused("AccessTooLate", space.now, begin + 100):
        space.grant(offer, request)


@exercises(
    "AccessPurposeNotAllowed",
    "AccessAlgorithmNotAllowed",
    "AccessBuyerNotAllowed",
    "AccessComputeNodeNotAllowed",
)
def test_a_request_fits_the_lists(space: Space) -> None:
    terms = Terms(
        purposes=("research", "storage dispatch"),
        algorithms=(h("another"), space.algorithm),
        buyers=(space.buyer.address,),
        buyer_roles=REGULATOR | CUSTODIAN,
        compute_nodes=(space.compute.address,),
    )
    offer = space.offer(terms)
    space.request(offer)
    space.request(offer, purpose="storage dispatch")
    with space.refused("AccessPurposeNotAllowed", "sale"):
        space.request(offer, purpose="sale")
    with space.refused("AccessAlgorithmNotAllowed", h("unknown")):
        space.request(offer, algorithm=h("unknown"))
    with space.refused("AccessComputeNodeNotAllowed", space.other_compute.address):
        space.request(offer, compute=space.other_compute)
    with space.refused("AccessBuyerNotAllowed", space.other_buyer.address):
        space.request(offer, buyer=space.other_buyer)
    space.set_roles(space.other_buyer, BUYER | CUSTODIAN)
    space.request(offer, buyer=space.other_buyer)


@exercises("AccessBuyerNotAllowed")
def test_no_buyers_and_no_roles_means_nobody(space: Space) -> None:
    offer = space.offer(Terms(buyer_roles=0))
    with space.refused("AccessBuyerNotAllowed"):
        space.request(offer)


@exercises("AccessComputeNodeInvolved")
def test_the_compute_node_is_not_involved_unless_the_terms_say_so(space: Space) -> None:
    both, holder, spare = space.buyer, space.custodians[0], space.custodians[3]
    space.set_roles(both, BUYER | COMPUTE)
    for custodian in (holder, spare):
        space.set_roles(custodian, CUSTODIAN | COMPUTE)
    plain = space.offer()
    for compute in (both, holder):
        with space.refused("AccessComputeNodeInvolved", compute.address):
            space.request(plain, compute=compute)
    space.request(plain, compute=spare)
    space.request(space.offer(Terms(compute_by_buyer=True)), compute=both)
    space.request(space.offer(Terms(compute_by_custodian=True)), compute=holder)


@exercises("AccessNotProvider", "AccessRequestNotPending", "AccessPurposeNotAllowed", "AccessListTooLong")
def test_only_the_provider_decides_once(space: Space) -> None:
    offer = space.offer()
    request, denied = space.request(offer).value, space.request(offer).value
    with space.refused("AccessNotProvider", space.other_provider.address):
        space.grant(offer, request, provider=space.other_provider)
    with space.refused("AccessNotProvider"):
        space.access.send(space.other_provider.address, "deny", request, 1)
    with space.refused("AccessPurposeNotAllowed", "sale"):
        space.grant(offer, request, purpose="sale")
    with space.refused("AccessListTooLong", 65, 64):
        space.grant(offer, request, granted=Terms(algorithms=tuple(h(f"{i}") for i in range(65))))
    with space.refused("AccessTextTooLong", 257, 256):
        space.grant(offer, request, granted=Terms(purposes=("research", "x" * 257)))
    grant = space.grant(offer, request)
    outcome = space.access.send(space.provider.address, "deny", denied, 9)
    assert outcome.event("AccessDenied")["reason"] == 9
    for over in (request, denied, ZERO):
        with space.refused("AccessRequestNotPending", over):
            space.grant(offer, over)
        with space.refused("AccessRequestNotPending", over):
            space.access.send(space.provider.address, "deny", over, 1)
    assert [space.access.call("requestOf", item).status for item in (request, denied)] == [GRANTED, DENIED]
    stored = space.access.call("grantOf", grant)
    assert tuple(stored.pin) == space.pin(offer)
    assert (stored.request, stored.buyer, stored.provider) == (request, space.buyer.address, space.provider.address)
    assert (stored.agreementHash, stored.used, stored.revoked) == (h("agreement"), 0, False)


@exercises("AccessNotProvider", "AccessGrantUnknown", "AccessGrantRevoked")
def test_revoking(space: Space) -> None:
    grant = space.granted(space.offer())
    with space.refused("AccessGrantUnknown", ZERO):
        space.access.send(space.provider.address, "revoke", ZERO, 1)
    with space.refused("AccessNotProvider"):
        space.access.send(space.buyer.address, "revoke", grant, 1)
    space.access.send(space.provider.address, "revoke", grant, 4)
    assert space.access.call("grantOf", grant).revoked
    with space.refused("AccessGrantRevoked", grant):
        space.access.send(space.provider.address, "revoke", grant, 1)


def test_a_grant_ends_at_the_earlier_of_terms_and_seconds(space: Space) -> None:
    now = space.now
    for terms, expected in (
        (Terms(seconds_per_grant=50), now + 50),
        (Terms(not_after=now + 20, seconds_per_grant=50), now + 20),
        (Terms(not_after=now + 20), now + 20),
        (Terms(seconds_per_grant=U64 - now), U64),
        (Terms(), U64),
    ):
        grant = space.granted(space.offer(terms))
        assert space.access.call("grantOf", grant).notAfter == expected


BUYERS = (account("buyer").address, account("other buyer").address)
WIDE = Terms(
    compiler=3,
    not_before=1_000,
    not_after=2_000_000_000,
    purposes=("research", "audit"),
    algorithms=(h("algorithm"), h("b")),
    buyers=BUYERS,
    buyer_roles=BUYER | REGULATOR,
    compute_nodes=(account("compute").address, account("other compute").address),
    holders=tuple(account(f"custodian {i}").address for i in range(4)),
    least_threshold=1,
    provider_share_required=True,
    seconds_per_grant=1000,
    seconds_per_use=100,
    uses_per_grant=5,
    uses_per_buyer=10,
    uses_total=20,
    rows_per_buyer=500,
)
WIDER: dict[str, list[tuple[str, Any]]] = {
    "compiler": [("compiler", 2), ("compiler", 4)],
    "notBefore": [("not_before", 999)],
    "notAfter": [("not_after", 2_000_000_001)],
    "purposes": [("purposes", ()), ("purposes", ("research", "sale"))],
    "algorithms": [("algorithms", ()), ("algorithms", (h("algorithm"), h("c")))],
    "buyers": [("buyers", (*BUYERS, account("x").address))],
    "buyerRoles": [("buyer_roles", BUYER | CUSTODIAN)],
    "computeNodes": [("compute_nodes", ()), ("compute_nodes", (account("x").address,))],
    "holders": [("holders", ()), ("holders", (*WIDE.holders, account("x").address)), ("holders", WIDE.holders[:2])],
    "leastThreshold": [("least_threshold", 0), ("least_threshold", 3)],
    "providerShareRequired": [("provider_share_required", False)],
    "secondsPerGrant": [("seconds_per_grant", 1001)],
    "secondsPerUse": [("seconds_per_use", 101)],
    "usesPerGrant": [("uses_per_grant", 6)],
    "usesPerBuyer": [("uses_per_buyer", 11)],
    "usesTotal": [("uses_total", U32)],
    "rowsPerBuyer": [("rows_per_buyer", U64)],
    "automaticGrant": [("automatic_grant", True)],
    "computeByBuyer": [("compute_by_buyer", True)],
    "computeByCustodian": [("compute_by_custodian", True)],
}


def test_every_field_can_be_too_wide() -> None:
    assert len(WIDER) == len(Terms._fields)


@exercises("AccessTermsWider")
@pytest.mark.parametrize("field", list(WIDER))
def test_a_grant_may_only_narrow(space: Space, field: str) -> None:
    offer = space.offer(WIDE)
    request = space.request(offer).value
    for name, value in WIDER[field]:
        with space.refused("AccessTermsWider", field):
            space.grant(offer, request, granted=WIDE.but(**{name: value}))


@exercises("AccessTermsWider")
def test_a_grant_asks_no_more_of_custody_than_the_deal_keeps(space: Space) -> None:
    offer = space.offer(Terms(provider_share_required=False))
    request = space.request(offer).value
    with space.refused("AccessTermsWider", "providerShareRequired"):
        space.grant(offer, request, granted=offer.terms.but(provider_share_required=True))


NARROWER = WIDE.but(
    not_before=1_750_000_500,
    not_after=1_750_000_900,
    purposes=("research",),
    algorithms=(h("algorithm"),),
    buyers=BUYERS[:1],
    buyer_roles=0,
    compute_nodes=WIDE.compute_nodes[:1],
    holders=WIDE.holders[:3],
    least_threshold=2,
    seconds_per_grant=999,
    seconds_per_use=99,
    uses_per_grant=4,
    uses_per_buyer=9,
    uses_total=19,
    rows_per_buyer=499,
)


def test_a_grant_keeps_the_narrower_limits(space: Space) -> None:
    offer = space.offer(WIDE)
    grant = space.granted(offer, granted=NARROWER)
    stored = space.access.call("grantOf", grant)
    assert stored.termsHash == space.assets.call("hashTerms", NARROWER) != stored.pin.termsHash
    assert (stored.notBefore, stored.notAfter) == (1_750_000_500, 1_750_000_900)
    assert (stored.secondsPerUse, stored.usesPerGrant) == (99, 4)
    assert (stored.usesPerBuyer, stored.usesTotal, stored.rowsPerBuyer) == (9, 19, 499)
    assert tuple(space.logs("AccessGranted")[0]["terms"]) == NARROWER


@exercises(
    "AccessPurposeNotAllowed",
    "AccessAlgorithmNotAllowed",
    "AccessBuyerNotAllowed",
    "AccessComputeNodeNotAllowed",
    "AccessTooLate",
)
def test_the_request_must_fit_the_narrowed_terms_too(space: Space) -> None:
    offer = space.offer(WIDE)
    request = space.request(offer).value
    for error, changes in (
        ("AccessPurposeNotAllowed", {"purposes": ("audit",)}),
        ("AccessAlgorithmNotAllowed", {"algorithms": (h("b"),)}),
        ("AccessBuyerNotAllowed", {"buyers": BUYERS[1:], "buyer_roles": REGULATOR}),
        ("AccessComputeNodeNotAllowed", {"compute_nodes": WIDE.compute_nodes[1:]}),
        ("AccessTooLate", {"not_after": space.now}),
    ):
        with space.refused(error):
            space.grant(offer, request, granted=WIDE.but(**changes))


@exercises("AccessLiveGrant")
def test_an_automatic_grant_waits_for_the_last_one_to_end(space: Space) -> None:
    terms = Terms(automatic_grant=True, uses_per_grant=1, seconds_per_grant=1000)
    offer = space.offer(terms)

    def live(grant: bytes) -> None:
        with space.refused("AccessLiveGrant", offer.asset, space.buyer.address, grant):
            space.request(offer)

    outcome = space.request(offer)
    assert [event.name for event in outcome.events] == ["AccessRequested", "AccessGranted"]
    event = outcome.event("AccessGranted")
    first = event["grant"]
    assert (event["automatic"], event["agreementHash"], event["notAfter"]) == (True, h("proposal"), space.now + 1000)
    assert space.access.call("requestOf", outcome.value).status == GRANTED
    live(first)
    space.granted(offer, buyer=space.other_buyer)

    order, _ = space.used(first)
    second = space.granted(offer)
    live(second)
    # given back: the first grant is live again, beside the second
    space.close(order, completed=False)
    space.access.send(space.provider.address, "revoke", second, 1)
    live(first)
    space.chain.advance(1000)
    third = space.granted(offer)
    live(third)
    order, use = space.used(third)
    space.release(use, *space.custodians[:2], space.provider)
    space.close(order)
    space.granted(offer)


def test_spent_grants_make_room_for_the_next(space: Space) -> None:
    offer = space.offer(Terms(automatic_grant=True, uses_per_grant=1))
    for _ in range(66):
        order, use = space.used(space.granted(offer))
        space.release(use, *space.custodians[:2], space.provider)
        space.close(order)
    assert space.counts(offer) == (66, 660, 66)


@exercises("AccessListTooLong")
def test_a_buyer_holds_at_most_sixty_four_live_grants_on_an_asset(space: Space) -> None:
    offer = space.offer(Terms(seconds_per_grant=DAY))
    for _ in range(64):
        space.granted(offer)
    request = space.request(offer).value
    with space.refused("AccessListTooLong", 65, 64):
        space.grant(offer, request)
    space.granted(offer, buyer=space.other_buyer)
    space.chain.advance(DAY)
    space.grant(offer, request)


texts = st.lists(st.sampled_from(["research", "audit", "sale"]), max_size=3, unique=True).map(tuple)
hashes = st.lists(st.sampled_from([h("algorithm"), h("b")]), max_size=2, unique=True).map(tuple)
accounts = st.lists(st.sampled_from([*BUYERS, account("x").address]), max_size=3, unique=True).map(tuple)
small = st.integers(0, 2)
any_terms = st.builds(
    Terms,
    compiler=st.just(1),
    not_before=small,
    not_after=st.integers(2**63, 2**63 + 2),
    purposes=texts,
    algorithms=hashes,
    buyers=accounts,
    buyer_roles=st.integers(0, 3),
    compute_nodes=st.just(()),
    holders=st.just(()),
    least_threshold=small,
    provider_share_required=st.just(True),
    seconds_per_grant=small,
    seconds_per_use=small,
    uses_per_grant=small,
    uses_per_buyer=small,
    uses_total=small,
    rows_per_buyer=small,
    automatic_grant=st.just(False),
    compute_by_buyer=st.booleans(),
    compute_by_custodian=st.booleans(),
)
SHARED = Space()


def _in_capsule(terms: Terms) -> CapsuleTerms:
    fields = terms._asdict()
    fields["buyers"] = tuple(Address.parse(item) for item in terms.buyers)
    fields["algorithms"] = tuple(Digest(item) for item in terms.algorithms)
    return CapsuleTerms(**fields)


@given(any_terms, any_terms)
def test_the_capsule_core_orders_terms_as_the_contract_does(terms: Terms, granted: Terms) -> None:
    space = SHARED
    offer = space.offer(terms)
    purpose = terms.purposes[0] if terms.purposes else "research"
    with suppress(RevertedError):
        request = space.request(offer, purpose=purpose).value
        assert _is_wider(lambda: space.grant(offer, request, purpose=purpose, granted=granted)) == (
            not _in_capsule(granted).narrows(_in_capsule(terms))
        )


def _is_wider(call: Callable[[], object]) -> bool:
    """Whether a grant was refused as wider; another refusal comes after that check."""
    try:
        call()
    except RevertedError as refusal:
        return refusal.name == "AccessTermsWider"
    return False
