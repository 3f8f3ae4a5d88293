"""A random history of one asset beside a model of what the ledger counts.

The model knows uses, rows, releases and deadlines, and says of every opening, release and close whether it is refused
and with which error. It is plain Python and shares nothing with the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from tests.contracts.solidity.heads import check_heads
from tests.contracts.solidity.space import Offer, Order, Organisation, Space, Terms

__all__ = ["Chooser", "History"]

Item = TypeVar("Item")


class Chooser(Protocol):
    def choice(self, items: Sequence[Item], /) -> Item: ...


@dataclass
class Grant:
    id: bytes
    offer: Offer
    buyer: Organisation
    terms: Terms
    not_after: int
    used: int = 0
    open: int = 0
    revoked: bool = False


@dataclass
class Use:
    id: bytes
    grant: Grant
    deadline: int
    decided: set[str] = field(default_factory=set)
    custodians: int = 0
    provider: bool = False
    status: str = "open"

    @property
    def rebuildable(self) -> bool:
        return self.custodians >= 2 and self.provider


@dataclass
class Placed:
    order: Order
    hash: bytes
    uses: list[Use]


class History:
    """Two offers with tight limits, two buyers, three custodians."""

    def __init__(self, chooser: Chooser, scale: int = 1) -> None:
        self.space = Space()
        self.choose = chooser.choice
        limits = Terms(
            uses_per_grant=2,
            uses_per_buyer=5 * scale,
            uses_total=8 * scale,
            rows_per_buyer=50 * scale,
            seconds_per_grant=4000,
        )
        self.offers = [self.space.offer(limits), self.space.offer(limits.but(automatic_grant=True))]
        self.buyers = [self.space.buyer, self.space.other_buyer]
        self.holders = [*self.space.custodians[:3], self.space.provider]
        self.grants: list[Grant] = []
        self.orders: list[Placed] = []
        self.uses_of: dict[tuple[bytes, str], int] = {}
        self.rows_of: dict[tuple[bytes, str], int] = {}
        self.totals: dict[bytes, int] = {}
        self.suspended: set[str] = set()
        self.paused = False
        self.steps: list[Callable[[], None]] = [
            self.grant,
            self.grant,
            self.open,
            self.open,
            self.open,
            *[self.release] * 12,
            self.refuse,
            self.close,
            self.close,
            self.expire,
            self.wait,
            self.revoke,
            self.pause,
            self.pause,
            self.suspend,
            self.suspend,
            self.deal_again,
        ]

    def step(self) -> None:
        self.choose(self.steps)()

    def check(self) -> None:
        """Counters equal the model's, and all heads re-hash from the logs."""
        access = self.space.access
        for offer in self.offers:
            for buyer in self.buyers:
                key = (offer.asset, buyer.address)
                expected = (self.uses_of.get(key, 0), self.rows_of.get(key, 0), self.totals.get(offer.asset, 0))
                assert self.space.counts(offer, buyer) == expected
        for grant in self.grants:
            stored = access.call("grantOf", grant.id)
            assert (stored.used, stored.revoked, stored.notAfter) == (grant.used, grant.revoked, grant.not_after)
        names = {"open": 1, "completed": 2, "failed": 3, "expired": 4}
        for use in (use for order in self.orders for use in order.uses):
            stored = access.call("useOf", use.id)
            assert (stored.status, stored.released) == (names[use.status], use.custodians)
            assert stored.providerReleased == use.provider
        for contract in self.space.contracts:
            check_heads(contract)

    def _expect(self, refusal: str, call: Callable[[], Any]) -> Any:
        """Calls; it must be refused with this error, or succeed where it is empty."""
        if refusal:
            with self.space.refused(refusal):
                call()
            return None
        return call()

    def _inactive(self, *who: Organisation) -> bool:
        return any(one.address in self.suspended for one in who)

    def _recent_uses(self) -> list[Use]:
        """The open ones, or now and then any of the last."""
        recent = [use for order in self.orders[-6:] for use in order.uses]
        still_open = [use for use in recent if use.status == "open" and self.space.now < use.deadline]
        return self.choose([still_open, still_open, still_open, recent]) if still_open else recent

    def _is_live(self, grant: Grant) -> bool:
        return not grant.revoked and self.space.now < grant.not_after and grant.used < grant.terms.uses_per_grant

    # One method per kind of step

    def grant(self) -> None:
        position, buyer = self.choose([0, 1]), self.choose(self.buyers)
        offer = self.offers[position]
        held = [grant for grant in self.grants if grant.offer.asset == offer.asset and grant.buyer == buyer]
        refusal = ""
        if self.paused:
            refusal = "EnforcedPause"
        elif self._inactive(buyer, self.space.provider, self.space.compute):
            refusal = "AccessParticipantNotActive"
        elif offer.terms.automatic_grant and any(map(self._is_live, held)):
            refusal = "AccessLiveGrant"
        id_ = self._expect(refusal, lambda: self.space.granted(offer, buyer=buyer))
        if id_ is not None:
            self.grants.append(Grant(id_, offer, buyer, offer.terms, self.space.now + offer.terms.seconds_per_grant))

    def open(self) -> None:
        buyer = self.choose(self.buyers)
        own = [grant for grant in self.grants if grant.buyer == buyer][-4:]
        if not own:
            return
        first, second = self.choose(own), self.choose(own)
        chosen = [first] if second is first or self.choose([True, False]) else [first, second]
        order = self.space.order(*(grant.id for grant in chosen), seconds=self.choose([1, 1000]))
        refusal = self._refusal_to_open(chosen, buyer)
        outcome = self._expect(refusal, lambda: self.space.open(order, buyer=buyer))
        if outcome is None:
            return
        uses = []
        for grant, id_ in zip(chosen, outcome.value, strict=True):
            self._count(grant, 1)
            grant.open += 1
            uses.append(Use(id_, grant, order.deadline))
        self.orders.append(Placed(order, self.space.access.call("hashOrder", order), uses))

    def _refusal_to_open(self, chosen: Sequence[Grant], buyer: Organisation) -> str:
        if self.paused:
            return "EnforcedPause"
        for place, grant in enumerate(chosen):
            earlier = sum(1 for other in chosen[:place] if other.offer.asset == grant.offer.asset)
            refusal = self._refusal_of_grant(grant, buyer, earlier)
            if refusal:
                return refusal
        return ""

    def _refusal_of_grant(self, grant: Grant, buyer: Organisation, earlier: int) -> str:
        """`earlier`: uses that the same order opens on the same asset before this one."""
        key, limits, refusal = (grant.offer.asset, buyer.address), grant.terms, ""
        if grant.revoked:
            refusal = "AccessGrantRevoked"
        elif self.space.now >= grant.not_after:
            refusal = "AccessTooLate"
        elif grant.offer.deal != self._latest(grant.offer).deal:
            refusal = "AccessDealReplaced"
        elif self._inactive(buyer, self.space.provider, self.space.compute):
            refusal = "AccessParticipantNotActive"
        elif (
            grant.used >= limits.uses_per_grant
            or self.uses_of.get(key, 0) + earlier >= limits.uses_per_buyer
            or self.totals.get(grant.offer.asset, 0) + earlier >= limits.uses_total
        ):
            refusal = "AccessUsesSpent"
        elif self.rows_of.get(key, 0) >= limits.rows_per_buyer:
            refusal = "AccessRowsSpent"
        return refusal

    def release(self) -> None:
        self._decide(self.space.release, released=True)

    def refuse(self) -> None:
        if self.choose([True, False]):
            return
        self._decide(self.space.refuse, released=False)

    def _decide(self, call: Callable[..., None], *, released: bool) -> None:
        uses = self._recent_uses()
        if not uses:
            return
        use, holder = self.choose(uses), self.choose(self.holders)
        refusal = ""
        if released and self.paused:
            refusal = "EnforcedPause"
        elif use.status != "open":
            refusal = "AccessUseNotOpen"
        elif released and self.space.now >= use.deadline:
            refusal = "AccessUsePastDeadline"
        elif released and use.grant.revoked:
            refusal = "AccessGrantRevoked"
        elif holder.address in use.decided:
            refusal = "AccessAlreadyDecided"
        elif released and use.grant.offer.deal != self._latest(use.grant.offer).deal:
            refusal = "AccessDealReplaced"
        elif released and self._inactive(holder):
            refusal = "AccessParticipantNotActive"
        self._expect(refusal, lambda: call(use.id, holder))
        if refusal:
            return
        use.decided.add(holder.address)
        if released and holder is self.space.provider:
            use.provider = True
        elif released:
            use.custodians += 1

    def close(self) -> None:
        if not self.orders:
            return
        # mostly one that can be completed
        whole = [order for order in self.orders if all(use.status == "open" and use.rebuildable for use in order.uses)]
        placed = self.choose((whole or self.orders[-4:]) if self.choose([True, True, False]) else self.orders[-4:])
        completed, rows = self.choose([True, False]), self.choose([0, 7, 30])
        refusal = ""
        spent: dict[tuple[bytes, str], int] = {}
        for use in placed.uses:
            key = (use.grant.offer.asset, use.grant.buyer.address)
            if use.status != "open":
                refusal = "AccessUseNotOpen"
            elif completed and not use.rebuildable:
                refusal = "AccessTooFewReleases"
            elif completed and self.rows_of.get(key, 0) + spent.get(key, 0) + rows > use.grant.terms.rows_per_buyer:
                refusal = "AccessRowsSpent"
            if refusal:
                break
            spent[key] = spent.get(key, 0) + rows
        self._expect(refusal, lambda: self.space.close(placed.hash, completed=completed, rows=rows))
        if refusal:
            return
        for use in placed.uses:
            key = (use.grant.offer.asset, use.grant.buyer.address)
            self._end(use, "completed" if completed else "failed")
            if completed:
                self.rows_of[key] = self.rows_of.get(key, 0) + rows

    def expire(self) -> None:
        uses = [use for order in self.orders for use in order.uses if use.status == "open"]
        if not uses:
            return
        use = self.choose(uses)
        refusal = "AccessUseBeforeDeadline" if self.space.now < use.deadline else ""
        stranger = self.space.stranger.address
        self._expect(refusal, lambda: self.space.access.send(stranger, "expireUse", use.id))
        if not refusal:
            self._end(use, "expired")

    def _end(self, use: Use, status: str) -> None:
        use.status = status
        use.grant.open -= 1
        if use.custodians == 0 and not use.provider:
            self._count(use.grant, -1)

    def _count(self, grant: Grant, by: int) -> None:
        key = (grant.offer.asset, grant.buyer.address)
        grant.used += by
        self.uses_of[key] = self.uses_of.get(key, 0) + by
        self.totals[grant.offer.asset] = self.totals.get(grant.offer.asset, 0) + by

    def wait(self) -> None:
        self.space.chain.advance(self.choose([0, 1, 1, 100, 1500]))

    def revoke(self) -> None:
        if not self.grants or self.choose([True, True, False]):
            return
        grant = self.choose(self.grants[-3:])
        refusal = "AccessGrantRevoked" if grant.revoked else ""
        provider = self.space.provider.address
        self._expect(refusal, lambda: self.space.access.send(provider, "revoke", grant.id, 1))
        grant.revoked = True

    def pause(self) -> None:
        self.paused = not self.paused and self.choose([True, False, False])
        self.space.access.send(self.space.operator.address, "pause" if self.paused else "unpause")

    def suspend(self) -> None:
        parties = [self.space.buyer, self.space.provider, self.space.compute, self.space.custodians[0]]
        if self.suspended:
            for who in parties:
                if who.address in self.suspended:
                    self.space.reinstate(who)
            self.suspended.clear()
        elif self.choose([True, False]):
            who = self.choose(parties)
            self.space.suspend(who)
            self.suspended.add(who.address)

    def deal_again(self) -> None:
        position = self.choose([0, 1, None, None, None, None, None])
        if position is None or self._inactive(self.space.provider, *self.space.custodians[:3]):
            return
        old = self.offers[position]
        deal = self.space.ready_deal(old.asset, old.version, old.terms)
        self.offers[position] = Offer(old.asset, old.version, old.terms, deal)

    def _latest(self, offer: Offer) -> Offer:
        return next(other for other in self.offers if other.asset == offer.asset)
