"""Releases, refusals, closing, expiry, counting, budgets, and which check applies when."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.contracts.solidity.errors import exercises
from tests.contracts.solidity.space import (
    COMPUTE,
    CUSTODIAN,
    DAY,
    PROVIDER,
    U64,
    ZERO,
    Offer,
    Order,
    Organisation,
    Space,
    Terms,
    h,
)

OPEN, COMPLETED, FAILED, EXPIRED = 1, 2, 3, 4


def rebuild(space: Space, use: bytes) -> None:
    """Just enough releases."""
    space.release(use, *space.custodians[:2], space.provider)


def status(space: Space, use: bytes) -> int:
    return int(space.access.call("useOf", use).status)


@exercises("AccessNotHolder", "AccessAlreadyDecided", "AccessUseUnknown", "AccessTextTooLong", "AccessUseNotOpen")
def test_one_decision_per_holder_of_the_deal(space: Space) -> None:
    order, use = space.used(space.granted(space.offer()))
    first, second, third, outsider = space.custodians
    with space.refused("AccessTextTooLong", 1025, 1024):
        space.release(use, first, share=bytes(1025))
    for who in (outsider, space.buyer, space.compute, space.stranger):
        for decide in (space.release, space.refuse):
            with space.refused("AccessNotHolder", who.address):
                decide(use, who)
    space.release(use, first, share=bytes(1024))
    space.refuse(use, second)
    for who in (first, second):
        for decide in (space.release, space.refuse):
            with space.refused("AccessAlreadyDecided", use, who.address):
                decide(use, who)
    for decide in (space.release, space.refuse):
        with space.refused("AccessUseUnknown", ZERO):
            decide(ZERO, first)
    space.release(use, space.provider)
    assert [event["index"] for event in space.logs("ShareReleased", "ShareRefused")] == [1, 2, 0]
    assert [space.access.call("decisionOf", use, who.address) for who in (first, second, third)] == [1, 2, 0]
    stored = space.access.call("useOf", use)
    assert (stored.released, stored.providerReleased) == (1, True)
    space.close(order, completed=False)
    for decide in (space.release, space.refuse):
        with space.refused("AccessUseNotOpen", use):
            decide(use, third)


@exercises("AccessNotHolder")
def test_a_provider_whose_share_is_not_required_does_not_release(space: Space) -> None:
    order, use = space.used(space.granted(space.offer(Terms(provider_share_required=False))))
    for decide in (space.release, space.refuse):
        with space.refused("AccessNotHolder", space.provider.address):
            decide(use, space.provider)
    space.release(use, *space.custodians[:2])
    assert space.close(order).event("UseClosed")["completed"]


@exercises("AccessParticipantNotActive")
def test_a_holder_is_active_in_its_role(space: Space) -> None:
    _, use = space.used(space.granted(space.offer()))
    for who, role in ((space.custodians[0], CUSTODIAN), (space.provider, PROVIDER)):
        space.set_roles(who, 63 & ~role)
        with space.refused("AccessParticipantNotActive", who.address, role):
            space.release(use, who)


@exercises(
    "AccessNotComputeNode", "AccessUseUnknown", "AccessReceiptMissing", "AccessTooFewReleases", "AccessUseNotOpen"
)
def test_completing_needs_releases_and_a_receipt(space: Space) -> None:
    order, use = space.used(space.granted(space.offer()))
    with space.refused("AccessUseUnknown", h("no order")):
        space.close(h("no order"))
    with space.refused("AccessNotComputeNode", space.other_compute.address):
        space.close(order, compute=space.other_compute)
    with space.refused("AccessReceiptMissing", order):
        space.close(order, receipt=ZERO)
    for released, provider, holder in ((0, False, 0), (1, False, 1), (2, False, None)):
        with space.refused("AccessTooFewReleases", use, released, 2, provider):
            space.close(order)
        if holder is not None:
            space.release(use, space.custodians[holder])
    space.release(use, space.provider)
    event = space.close(order, rows=12).event("UseClosed")
    assert (event["completed"], event["late"], event["givenBack"], event["rowsOut"]) == (True, False, False, 12)
    assert (event["reason"], event["receiptHash"], event["resultHash"]) == (0, h("receipt"), h("result"))
    stored = space.access.call("useOf", use)
    assert (stored.status, stored.receiptHash, stored.resultHash) == (COMPLETED, h("receipt"), h("result"))
    for completed in (True, False):
        with space.refused("AccessUseNotOpen", use):
            space.close(order, completed=completed)


@exercises("AccessTooFewReleases")
def test_the_provider_alone_is_too_few(space: Space) -> None:
    order, use = space.used(space.granted(space.offer()))
    space.release(use, space.provider)
    with space.refused("AccessTooFewReleases", use, 0, 2, True):
        space.close(order)


def test_a_failed_close_charges_and_logs_no_rows(space: Space) -> None:
    offer = space.offer(Terms(rows_per_buyer=5))
    order, use = space.used(space.granted(offer))
    event = space.close(order, completed=False, rows=99, receipt=ZERO).event("UseClosed")
    assert (event["completed"], event["givenBack"], event["reason"], event["rowsOut"]) == (False, True, 3, 0)
    assert space.counts(offer) == (0, 0, 0)
    assert status(space, use) == FAILED


@exercises("AccessUseUnknown", "AccessUseBeforeDeadline", "AccessUseNotOpen", "AccessUsePastDeadline")
def test_expiry_and_lateness(space: Space) -> None:
    grant = space.granted(space.offer())
    (_, expired), (late_order, late) = (space.used(grant, seconds=100) for _ in range(2))
    rebuild(space, late)
    deadline = space.now + 100
    space.chain.advance(99)
    with space.refused("AccessUseUnknown", ZERO):
        space.access.send(space.stranger.address, "expireUse", ZERO)
    with space.refused("AccessUseBeforeDeadline", expired, deadline):
        space.access.send(space.stranger.address, "expireUse", expired)
    space.release(expired, space.custodians[0])
    space.chain.advance(1)
    with space.refused("AccessUsePastDeadline", expired, deadline):
        space.release(expired, space.custodians[1])
    space.refuse(expired, space.custodians[1])
    event = space.access.send(space.stranger.address, "expireUse", expired).event("UseExpired")
    assert not event["givenBack"]
    assert status(space, expired) == EXPIRED
    with space.refused("AccessUseNotOpen", expired):
        space.access.send(space.stranger.address, "expireUse", expired)
    event = space.close(late_order).event("UseClosed")
    assert (event["completed"], event["late"]) == (True, True)


# Counting


@exercises("AccessUsesSpent")
@pytest.mark.parametrize(
    ("scope", "limit"), [("grant", "uses_per_grant"), ("buyer", "uses_per_buyer"), ("asset", "uses_total")]
)
def test_two_uses_race_for_the_last_count(space: Space, scope: str, limit: str) -> None:
    offer = space.offer(Terms().but(**{limit: 1}))
    first = space.granted(offer)
    same = scope == "grant"
    rival = space.other_buyer if scope == "asset" else space.buyer
    second = first if same else space.granted(offer, buyer=rival)
    order, _ = space.used(first)
    with space.refused("AccessUsesSpent", second, scope):
        space.used(second, buyer=rival)
    # given back, as nothing was released
    space.close(order, completed=False)
    assert space.counts(offer) == (0, 0, 0)
    order, use = space.used(second, buyer=rival)
    rebuild(space, use)
    space.close(order, completed=False)
    # spent, as the key could be rebuilt
    with space.refused("AccessUsesSpent", first, scope):
        space.used(first)


def test_limits_of_zero_and_of_the_largest_number(space: Space) -> None:
    for limit, scope in (("uses_per_grant", "grant"), ("uses_per_buyer", "buyer"), ("uses_total", "asset")):
        grant = space.granted(space.offer(Terms().but(**{limit: 0})))
        with space.refused("AccessUsesSpent", grant, scope):
            space.used(grant)
    offer = space.offer()
    order, use = space.used(space.granted(offer))
    rebuild(space, use)
    space.close(order, rows=U64 - 1)
    assert space.counts(offer) == (1, U64 - 1, 1)


@pytest.mark.parametrize("expire", [False, True])
@pytest.mark.parametrize(
    ("custodians", "provider", "back"), [(0, False, True), (0, True, False), (1, False, False), (2, True, False)]
)
def test_a_use_comes_back_only_while_no_share_was_released(
    space: Space, expire: bool, custodians: int, provider: bool, back: bool
) -> None:
    offer = space.offer()
    grant = space.granted(offer)
    order, use = space.used(grant)
    space.release(use, *space.custodians[:custodians], *[space.provider] * provider)
    if expire:
        space.chain.advance(DAY)
        event = space.access.send(space.stranger.address, "expireUse", use).event("UseExpired")
    else:
        event = space.close(order, completed=False).event("UseClosed")
    assert event["givenBack"] == back
    assert space.counts(offer) == ((0, 0, 0) if back else (1, 0, 1))
    assert space.access.call("grantOf", grant).used == (0 if back else 1)


def test_shares_gathered_over_two_uses_are_both_counted(space: Space) -> None:
    """The shares of a deal never change: one custodian's from each of two uses would make the key."""
    offer = space.offer()
    grant = space.granted(offer)
    for holders in ((space.provider, space.custodians[0]), (space.custodians[1],)):
        order, use = space.used(grant)
        space.release(use, *holders)
        assert not space.close(order, completed=False).event("UseClosed")["givenBack"]
    assert space.counts(offer) == (2, 0, 2)


@exercises("AccessKeysMismatch")
def test_a_zero_key_can_not_hide_behind_one_too_many(space: Space) -> None:
    grant = space.granted(space.offer())
    order = space.order(grant)
    usable = list(space.keys())
    with space.refused("AccessKeysMismatch", len(usable) + 1, len(usable)):
        space.open(order, keys=[[usable[0], ZERO, *usable[2:], h("extra")]])


def test_counts_are_kept_per_buyer_across_grants_and_versions(space: Space) -> None:
    terms = Terms(uses_per_buyer=2)
    offer = space.offer(terms)
    version = space.publish(offer.asset, terms)
    second = Offer(offer.asset, version, terms, space.ready_deal(offer.asset, version, terms))
    space.used(space.granted(offer))
    space.used(space.granted(second))
    third = space.granted(second)
    with space.refused("AccessUsesSpent", third, "buyer"):
        space.used(third)
    space.used(space.granted(offer, buyer=space.other_buyer), buyer=space.other_buyer)
    assert (space.counts(offer), space.counts(offer, space.other_buyer)) == ((2, 0, 3), (1, 0, 3))


@exercises("AccessRowsSpent")
def test_rows_are_budgeted_per_buyer_and_asset(space: Space) -> None:
    offer = space.offer(Terms(rows_per_buyer=15))
    grant = space.granted(offer)
    narrow = space.granted(offer, granted=offer.terms.but(rows_per_buyer=9))
    (first, use), (second, rival), (third, narrowed) = (space.used(item) for item in (grant, grant, narrow))
    for opened in (use, rival, narrowed):
        rebuild(space, opened)
    with space.refused("AccessRowsSpent", grant, 16, 15):
        space.close(first, rows=16)
    space.close(first, rows=10)
    with space.refused("AccessRowsSpent", grant, 6, 5):
        space.close(second, rows=6)
    with space.refused("AccessRowsSpent", narrow, 1, 0):
        space.close(third, rows=1)
    with space.refused("AccessRowsSpent", narrow, 0, 0):
        space.used(narrow)
    space.close(third, rows=0)
    space.close(second, rows=5)
    with space.refused("AccessRowsSpent", grant, 0, 0):
        space.used(grant)
    assert space.counts(offer) == (3, 15, 3)
    assert space.counts(offer, space.other_buyer) == (0, 0, 3)


# Orders over several grants


def test_all_uses_of_an_order_close_or_none(space: Space) -> None:
    offers = [space.offer(), space.offer(Terms(seconds_per_use=100))]
    order = space.order(*(space.granted(offer) for offer in offers))
    first, second = space.open(order).value
    digest = space.access.call("hashOrder", order)
    assert space.access.call("usesOf", digest) == (first, second)
    rebuild(space, first)
    with space.refused("AccessTooFewReleases", second, 0, 2, False):
        space.close(digest)
    assert (status(space, first), space.counts(offers[0])) == (OPEN, (1, 0, 1))
    rebuild(space, second)
    events = space.close(digest, rows=4).events
    assert [event["use"] for event in events] == [first, second]
    assert [space.counts(offer) for offer in offers] == [(1, 4, 1), (1, 4, 1)]

    again = space.order(*(space.granted(offer) for offer in offers))
    first, second = space.open(again).value
    rebuild(space, first)
    space.chain.advance(100)
    space.access.send(space.stranger.address, "expireUse", second)
    for completed in (True, False):
        with space.refused("AccessUseNotOpen", second):
            space.close(space.access.call("hashOrder", again), completed=completed)
    assert status(space, first) == OPEN


def test_each_use_of_a_failed_order_comes_back_by_its_own_releases(space: Space) -> None:
    offers = [space.offer(), space.offer()]
    order = space.order(*(space.granted(offer) for offer in offers))
    first, _ = space.open(order).value
    rebuild(space, first)
    events = space.close(space.access.call("hashOrder", order), completed=False).events
    assert [event["givenBack"] for event in events] == [False, True]
    assert [space.counts(offer) for offer in offers] == [(1, 0, 1), (0, 0, 0)]


def test_one_order_over_two_grants_of_one_asset_charges_both(space: Space) -> None:
    offer = space.offer(Terms(rows_per_buyer=10, uses_per_buyer=2))
    order = space.order(space.granted(offer), space.granted(offer))
    uses = space.open(order).value
    digest = space.access.call("hashOrder", order)
    for use in uses:
        rebuild(space, use)
    with space.refused("AccessRowsSpent"):
        space.close(digest, rows=6)
    space.close(digest, rows=5)
    assert space.counts(offer) == (2, 10, 2)


def test_an_order_of_sixteen_grants(space: Space) -> None:
    offer = space.offer()
    order = space.order(*(space.granted(offer) for _ in range(16)))
    uses = space.open(order).value
    for use in uses:
        rebuild(space, use)
    assert len(space.close(space.access.call("hashOrder", order)).events) == 16


# Openings


@exercises("AccessReleaseTooEarly", "AccessNotHolder", "AccessAlreadyDecided", "AccessDealReplaced")
def test_openings_release_after_their_waiting_time(space: Space) -> None:
    offer = space.offer()
    outcome = space.assets.send(space.provider.address, "openDeal", offer.asset, 1, space.keys(), "new custodian")
    opening, ready = outcome.value, space.now + DAY
    first, second, third, outsider = space.custodians
    space.chain.advance(DAY - 1)
    with space.refused("AccessReleaseTooEarly", opening, ready):
        space.release(opening, first)
    space.refuse(opening, second)
    space.chain.advance(1)
    with space.refused("AccessNotHolder", outsider.address):
        space.release(opening, outsider)
    space.release(opening, first, space.provider)
    with space.refused("AccessAlreadyDecided", opening, first.address):
        space.release(opening, first)
    with space.refused("AccessUseUnknown", opening):
        space.access.send(space.stranger.address, "expireUse", opening)
    space.chain.advance(1000 * DAY)
    space.suspend(third)
    with space.refused("AccessParticipantNotActive", third.address, CUSTODIAN):
        space.release(opening, third)
    space.reinstate(third)
    space.deal(offer.asset, 1, offer.terms)
    with space.refused("AccessDealReplaced", offer.asset, 1, 1):
        space.release(opening, third)
    space.refuse(opening, third)
    assert [event["use"] for event in space.logs("ShareReleased", "ShareRefused")] == [opening] * 4


# Pause, and the table of which check applies when


@exercises("AccessNotOperator")
def test_operators_pause(space: Space) -> None:
    for function in ("pause", "unpause"):
        with space.refused("AccessNotOperator", space.provider.address):
            space.access.send(space.provider.address, function)
    operator = space.operator.address
    assert space.access.send(operator, "pause").event("AccessPaused")["operator"] == operator
    assert space.access.call("paused")
    assert not space.access.send(operator, "pause").events
    space.access.send(operator, "unpause").event("AccessUnpaused")
    assert not space.access.send(operator, "unpause").events
    assert not space.access.call("paused")


class Scene:
    """One call of each kind, all of which would succeed."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.offer = space.offer(Terms(not_after=space.now + 10 * DAY))
        self.grant = space.granted(self.offer)
        self.requests = [space.request(self.offer).value for _ in range(2)]
        self.waiting, self.done, self.over = (space.used(self.grant, seconds=DAY) for _ in range(3))
        rebuild(space, self.done[1])
        # signed long before, for any time
        self.order: Order = space.order(self.grant, deadline=U64)

    @property
    def calls(self) -> dict[str, Callable[[], object]]:
        space, use = self.space, self.waiting[1]
        return {
            "request": lambda: space.request(self.offer),
            "grant": lambda: space.grant(self.offer, self.requests[0]),
            "deny": lambda: space.access.send(space.provider.address, "deny", self.requests[1], 1),
            "openUse": lambda: space.open(self.order),
            "releaseShare": lambda: space.release(use, space.custodians[0]),
            "refuseShare": lambda: space.refuse(self.over[1], space.custodians[0]),
            "completed": lambda: space.close(self.done[0]),
            "failed": lambda: space.close(self.over[0], completed=False),
            "expireUse": lambda: space.access.send(space.stranger.address, "expireUse", use),
            "revoke": lambda: space.access.send(space.provider.address, "revoke", self.grant, 1),
        }


def retire(space: Space, scene: Scene) -> None:
    space.assets.send(space.provider.address, "retire", scene.offer.asset, "old")


def suspend(who: Callable[[Space], Organisation]) -> Callable[[Space, Scene], None]:
    return lambda space, _: space.suspend(who(space))


ASKED = ("request", "grant", "openUse")
NOT_ACTIVE = dict.fromkeys(ASKED, "AccessParticipantNotActive")
EVENTS: dict[str, tuple[Callable[[Space, Scene], Any], dict[str, str]]] = {
    "nothing": (lambda _space, _scene: None, {}),
    "asset retired": (retire, dict.fromkeys(ASKED, "AccessAssetRetired")),
    "deal replaced": (
        lambda space, scene: space.ready_deal(scene.offer.asset, 1, scene.offer.terms),
        dict.fromkeys((*ASKED, "releaseShare"), "AccessDealReplaced"),
    ),
    "new version": (lambda space, scene: space.publish(scene.offer.asset, Terms()), {}),
    "buyer suspended": (suspend(lambda space: space.buyer), NOT_ACTIVE),
    "provider suspended": (suspend(lambda space: space.provider), NOT_ACTIVE),
    "compute node suspended": (suspend(lambda space: space.compute), NOT_ACTIVE),
    "compute node loses its role": (lambda space, _: space.set_roles(space.compute, 63 & ~COMPUTE), NOT_ACTIVE),
    "holder suspended": (
        suspend(lambda space: space.custodians[0]),
        {"releaseShare": "AccessParticipantNotActive"},
    ),
    "grant revoked": (
        lambda space, scene: space.access.send(space.provider.address, "revoke", scene.grant, 1),
        dict.fromkeys(("openUse", "releaseShare", "revoke"), "AccessGrantRevoked"),
    ),
    "deadline past": (
        lambda space, _: space.chain.advance(DAY),
        {"releaseShare": "AccessUsePastDeadline", "expireUse": ""},
    ),
    "terms past": (
        lambda space, _: space.chain.advance(10 * DAY),
        dict.fromkeys(ASKED, "AccessTooLate") | {"releaseShare": "AccessUsePastDeadline", "expireUse": ""},
    ),
    "paused": (
        lambda space, _: space.access.send(space.operator.address, "pause"),
        dict.fromkeys((*ASKED, "releaseShare"), "EnforcedPause"),
    ),
}


@pytest.mark.parametrize("happened", list(EVENTS))
def test_which_check_applies_when(space: Space, happened: str) -> None:
    scene = Scene(space)
    happen, refusals = EVENTS[happened]
    happen(space, scene)
    for name, call in scene.calls.items():
        expected = refusals.get(name, "AccessUseBeforeDeadline" if name == "expireUse" else "")
        if expected:
            with space.refused(expected):
                call()
        else:
            call()
