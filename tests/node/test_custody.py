from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from capsule import canonical
from capsule.box import BoxKey
from capsule.canonical import Json
from capsule.deal import Deal
from capsule.decision import RefusalReason, SignedDecision, verify_decision
from capsule.ids import Address, AssetId, Digest
from capsule.policy.compiler import compile_policy
from capsule.share import SealedShare, ShareSecret, open_share, seal_share
from contracts.errors import RevertedError
from contracts.events import ShareRefused, ShareReleased
from contracts.structs import Decision
from node.custody import Decided, SharePackage
from node.errors import RefusedError
from node.runtime.measurement import measure
from tests.node.space import Offered, Space, decided_on

OTHER = Digest(bytes(range(32)))
STRANGER = Address(bytes(range(20)))


SMALL_ORDER_KEY = b"\x01" + bytes(31)


@pytest.fixture(scope="module")
def dealt(space: Space) -> Offered:
    """Dealt on chain; no custodian has its share yet."""
    return space.offered(finish=False)


def held(space: Space, name: str, deal: Digest) -> bool:
    return space[name].node.context.store.held_share(deal) is not None


def accepted(space: Space, name: str, offered: Offered) -> bool:
    member = space[name]
    return member.ledger.assets.has_accepted(offered.asset, 1, 1, member.account)


def refuse(space: Space, offered: Offered, package: SharePackage, reason: str, name: str = "custodian-1") -> None:
    """The share is refused for this reason, and nothing of it was kept."""
    with pytest.raises(RefusedError, match=reason):
        space[name].node.custody.accept(package)
    assert not held(space, name, offered.deal.hash)
    assert not held(space, name, Deal.from_json(package.deal).hash)
    assert not accepted(space, name, offered)


def secret_of(space: Space, offered: Offered, index: int) -> ShareSecret:
    name = f"custodian-{index}"
    return open_share(offered.shares[index], offered.deal, space[name].keystore.box)


def sealed_for(space: Space, offered: Offered, deal: Deal, index: int = 1) -> SharePackage:
    """A share that is right in all but the deal it is sealed for."""
    secret = secret_of(space, offered, index)
    sealed = seal_share(secret, deal, space[f"custodian-{index}"].keystore.box.public)
    return SharePackage(deal.to_json(), offered.policy, sealed.to_json())


def test_a_good_share_is_kept_and_accepted_once(space: Space) -> None:
    offered = space.offered(finish=False)
    custody = space["custodian-1"].node.custody
    assert custody.accept(offered.package(1)) == offered.deal.hash
    assert held(space, "custodian-1", offered.deal.hash)
    assert accepted(space, "custodian-1", offered)
    head = space.world.chain.head().number
    assert custody.accept(offered.package(1)) == offered.deal.hash
    assert space.world.chain.head().number == head


def test_a_share_of_another_deal_is_refused(space: Space, dealt: Offered) -> None:
    other = space.offered(finish=False)
    refuse(space, dealt, SharePackage(dealt.deal.to_json(), dealt.policy, other.shares[1].to_json()), "sealed for deal")


def test_a_share_sealed_to_somebody_else_is_refused(space: Space, dealt: Offered) -> None:
    refuse(space, dealt, dealt.package(2), "does not open")
    stranger = seal_share(secret_of(space, dealt, 1), dealt.deal, BoxKey(bytes(range(32))).public)
    refuse(space, dealt, SharePackage(dealt.deal.to_json(), dealt.policy, stranger.to_json()), "does not open")


def test_a_share_at_the_place_of_another_holder_is_refused(space: Space, dealt: Offered) -> None:
    sealed = seal_share(secret_of(space, dealt, 2), dealt.deal, space["custodian-1"].keystore.box.public)
    package = SharePackage(dealt.deal.to_json(), dealt.policy, sealed.to_json())
    refuse(space, dealt, package, "position 2 of its deal is not this organisation")


def test_a_share_that_does_not_open_its_commitment_is_refused(space: Space, dealt: Offered) -> None:
    secret = replace(secret_of(space, dealt, 1), share=bytes(16))
    forged = replace(dealt.deal.holders[1], commitment=secret.commitment)
    deal = replace(dealt.deal, holders=(dealt.deal.holders[0], forged, *dealt.deal.holders[2:]))
    sealed = seal_share(secret, deal, space["custodian-1"].keystore.box.public)
    bound = SealedShare(dealt.deal.hash, 1, sealed.sealed)
    refuse(space, dealt, SharePackage(dealt.deal.to_json(), dealt.policy, bound.to_json()), "the share is refused")


def _holders(deal: Deal) -> Deal:
    """Its last two custodians are others."""
    third, last = deal.holders[2:]
    strangers = (replace(third, account=last.account), replace(last, account=STRANGER))
    return replace(deal, holders=(*deal.holders[:2], *strangers))


def _provider(deal: Deal) -> Deal:
    own = replace(deal.holders[0], account=STRANGER)
    return replace(deal, provider=STRANGER, holders=(own, *deal.holders[1:]))


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (lambda deal: replace(deal, chain_id=deal.chain_id + 1), "its chain id is"),
        (lambda deal: replace(deal, access=STRANGER), "its Access contract is"),
        (lambda deal: replace(deal, asset=AssetId(bytes(32))), "its provider is"),
        (lambda deal: replace(deal, version=2), "its capsule root is"),
        (_provider, "its provider is"),
        (lambda deal: replace(deal, capsule_root=OTHER), "its capsule root is"),
        (lambda deal: replace(deal, policy_hash=OTHER), "its policy hash is"),
        (lambda deal: replace(deal, terms_hash=OTHER), "its terms hash is"),
        (lambda deal: replace(deal, number=2), "its deal number is"),
        (lambda deal: replace(deal, threshold=1), "its deal hash is"),
        (lambda deal: replace(deal, provider_required=False), "its deal hash is"),
        (lambda deal: replace(deal, waiting_seconds=1), "its deal hash is"),
        (lambda deal: replace(deal, key_commitment=bytes(32)), "its deal hash is"),
        (lambda deal: replace(deal, capsule_id=bytes(16)), "its deal hash is"),
        (_holders, "its deal hash is"),
    ],
)
def test_a_deal_that_differs_from_the_chain_is_refused(
    space: Space, dealt: Offered, alter: Callable[[Deal], Deal], reason: str
) -> None:
    refuse(space, dealt, sealed_for(space, dealt, alter(dealt.deal)), reason)


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("threshold", "its threshold is"),
        ("provider_required", "its provider required is"),
        ("waiting_seconds", "its waiting time is"),
        ("holders", "its holders is"),
    ],
)
def test_a_deal_whose_document_differs_from_its_entry_on_chain_is_refused(
    space: Space, field: str, reason: str
) -> None:
    """The provider puts the document's hash on chain with other values than the document has."""
    offered = space.offered(finish=False)
    provider = space["provider"]
    deal = offered.deal
    altered = {
        "threshold": replace(deal, number=2, threshold=3),
        "provider_required": replace(deal, number=2, provider_required=False),
        "waiting_seconds": replace(deal, number=2, waiting_seconds=7),
        "holders": replace(_holders(deal), number=2),
    }[field]
    published = provider.node.context.view.latest_version(offered.asset)
    accounts = tuple(holder.account for holder in deal.holders)
    provider.ledger.assets.deal(offered.asset, 1, altered.hash, 2, 0, accounts, published.terms)
    refuse(space, offered, sealed_for(space, offered, altered), reason)


def test_a_policy_that_is_not_the_one_on_chain_is_refused(space: Space, dealt: Offered) -> None:
    sealed = dealt.shares[1].to_json()
    other = space.policy(dealt.asset, uses_per_grant=1000)
    refuse(space, dealt, SharePackage(dealt.deal.to_json(), other, sealed), "does not compile to the terms")
    refuse(space, dealt, SharePackage(dealt.deal.to_json(), {"@type": "Offer"}, sealed), "the share is refused")


def published(space: Space, asset: AssetId, policy: Json, terms_of: Json) -> Offered:
    """A provider publishes a policy under terms of its own choice, and deals its key."""
    provider = space["provider"]
    sealed = space.seal(asset, space.policy(asset))
    store = provider.node.context.store
    row = store.offering(sealed.capsule_root)
    assert row is not None
    compiled, terms = compile_policy(policy), compile_policy(terms_of).terms
    deal = Deal.from_json(canonical.decode(store.document("deal", sealed.deal_hash) or b""))
    own = open_share(SealedShare.from_json(canonical.decode(row.shares)[1]), deal, space["custodian-1"].keystore.box)
    deal = replace(deal, policy_hash=compiled.policy_hash, terms_hash=terms.hash)
    assets = provider.ledger.assets
    assets.publish(asset, sealed.capsule_root, sealed.capsule_size, compiled.policy_hash, OTHER, terms)
    assets.deal(asset, 1, deal.hash, 2, 0, tuple(holder.account for holder in deal.holders), terms)
    share = seal_share(own, deal, space["custodian-1"].keystore.box.public)
    return Offered(asset, sealed, deal, policy, (share, share))


def test_a_policy_that_does_not_compile_to_the_terms_on_chain_is_refused(space: Space) -> None:
    asset = space.register()
    wide = space.policy(asset, uses_per_grant=1000)
    offered = published(space, asset, space.policy(asset), wide)
    refuse(space, offered, offered.package(1), "does not compile to the terms")


def test_a_policy_for_another_asset_is_refused(space: Space) -> None:
    asset, other = space.register(), space.register()
    foreign = space.policy(other)
    offered = published(space, asset, foreign, foreign)
    refuse(space, offered, offered.package(1), "its policy is for the asset")


def test_a_share_that_the_chain_does_not_let_accept_is_not_kept(space: Space) -> None:
    offered = space.offered(finish=False)
    space["provider"].node.catalogue.retire(offered.asset, "over")
    with pytest.raises(RevertedError, match="AssetsRetired"):
        space["custodian-1"].node.custody.accept(offered.package(1))
    assert not held(space, "custodian-1", offered.deal.hash)
    assert not accepted(space, "custodian-1", offered)


# Decisions


@pytest.fixture(scope="module")
def offered(space: Space) -> Offered:
    return space.offered(uses_per_grant=100, uses_per_buyer=100, seconds_per_use=1_000_000)


def document_of(space: Space, decided: Decided, name: str = "custodian-1") -> SignedDecision:
    """The decision document that the chain names for a holder's decision."""
    member = space[name]
    events = member.ledger.events(0, space.world.chain.head().number)
    (event,) = [
        event
        for event in events
        if isinstance(event, ShareReleased | ShareRefused)
        and event.use == decided.use
        and event.holder == member.account
    ]
    answer = space.world.client.get(f"http://{name}.demo/v1/documents/decision/{event.decision_hash}")
    signed = SignedDecision.from_json(canonical.decode(answer.content))
    decision = verify_decision(signed, member.public_key, member.ledger.domain)
    assert decision.hash == event.decision_hash
    assert (decision.use, decision.holder) == (decided.use, member.account)
    assert (decision.outcome == "released") == isinstance(event, ShareReleased)
    return signed


def test_a_use_is_released_once_with_a_signed_decision(space: Space, offered: Offered) -> None:
    _, opened = space.opened(offered)
    node = space["custodian-1"].node
    decided = decided_on(node.work(), opened.use)
    assert decided.released
    assert decided.reason is RefusalReason.NONE
    assert document_of(space, decided).decision.reason is RefusalReason.NONE
    head = space.world.chain.head().number
    assert node.work().decided == ()
    assert space.restart("custodian-1").work().decided == ()
    assert space.world.chain.head().number == head


def refused(space: Space, decided: Decided, reason: RefusalReason) -> None:
    assert not decided.released
    assert decided.reason is reason
    assert document_of(space, decided).decision.reason is reason


def test_a_revoked_grant_is_refused(space: Space, offered: Offered) -> None:
    _, opened = space.opened(offered)
    space["provider"].node.access.revoke(opened.grant, 1)
    refused(space, decided_on(space["custodian-1"].node.work(), opened.use), RefusalReason.GRANT_REVOKED)


def test_a_key_that_nothing_can_be_sealed_to_is_refused_and_the_next_use_decided(
    space: Space, offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chain takes any 32 bytes for a one-time key; a point of small order is one that everybody could open."""
    compute = space["compute"].node.compute
    usable = compute._one_time_keys

    def poisoned(*order: Any) -> list[bytes]:
        return [SMALL_ORDER_KEY if position == 1 else key for position, key in enumerate(usable(*order))]

    with monkeypatch.context() as patch:
        patch.setattr(compute, "_one_time_keys", poisoned)
        _, first = space.opened(offered)
    _, second = space.opened(offered)
    work = space["custodian-1"].node.work()
    refused(space, decided_on(work, first.use), RefusalReason.KEY_UNUSABLE)
    assert decided_on(work, second.use).released


@pytest.mark.parametrize("off", [-1000, 1000])
def test_a_clock_that_is_off_refuses(space: Space, offered: Offered, off: int) -> None:
    """Ahead of the chain only where the chain makes blocks by itself, which the embedded one does not."""
    _, opened = space.opened(offered)
    urls = ("http://chain",) if off > 0 else ()
    node = space.node("custodian-1", clock=lambda: space.clock() + off, settings={"chain_urls": urls})
    refused(space, decided_on(node.work(), opened.use), RefusalReason.CLOCK_OFF)


def test_a_measurement_that_the_policy_does_not_allow_is_refused(space: Space) -> None:
    _, opened = space.opened(space.offered(measurements=[OTHER]))
    node = space["custodian-1"].node
    refused(space, decided_on(node.work(), opened.use), RefusalReason.MEASUREMENT_NOT_ALLOWED)
    _, opened = space.opened(space.offered(measurements=[OTHER, measure(allow_unprotected=False).digest]))
    assert decided_on(node.work(), opened.use).released


def test_the_own_daily_limit_refuses(space: Space) -> None:
    offered = space.offered()
    name = "custodian-3"
    space[name].node.work()
    _, first = space.opened(offered)
    count = space[name].node.context.store.releases_since(space.clock() - 86_400, OTHER)
    node = space.node(name, settings={"releases_per_day": count + 1})
    assert decided_on(node.work(), first.use).released
    _, second = space.opened(offered)
    decided = decided_on(node.work(), second.use)
    assert decided.reason is RefusalReason.OWN_LIMIT
    document_of(space, decided, name)


def test_a_share_kept_for_other_values_than_the_use_pins_is_refused(space: Space) -> None:
    """Filed under the deal's hash, but for another deal: a home that was tampered with."""
    one, two = space.offered(), space.offered()
    store = space["custodian-1"].node.context.store
    document = canonical.decode(store.document("deal", two.deal.hash) or b"")
    _, opened = space.opened(one)
    store.put_document("deal", one.deal.hash, document)
    refused(space, decided_on(space["custodian-1"].node.work(), opened.use), RefusalReason.PIN_MISMATCH)


def test_a_lost_share_or_policy_is_refused_by_its_own_reason(space: Space) -> None:
    offered = space.offered()
    node = space["custodian-1"].node
    store = node.context.store
    _, opened = space.opened(offered)
    store.put_document("policy", offered.deal.policy_hash, {"@type": "Offer"})
    refused(space, decided_on(node.work(), opened.use), RefusalReason.POLICY_MISSING)
    offered = space.offered()
    _, opened = space.opened(offered)
    row = store.held_share(offered.deal.hash)
    assert row is not None
    right, row.sealed = row.sealed, canonical.encode(offered.shares[2].to_json())
    store.save(row)
    refused(space, decided_on(node.work(), opened.use), RefusalReason.NO_SHARE)
    row.sealed = right
    store.save(row)


def test_a_replaced_deal_is_refused(space: Space) -> None:
    offered = space.offered()
    _, opened = space.opened(offered)
    provider = space["provider"]
    published = provider.node.context.view.latest_version(offered.asset)
    accounts = tuple(holder.account for holder in offered.deal.holders)
    provider.ledger.assets.deal(offered.asset, 1, OTHER, 2, 0, accounts, published.terms)
    refused(space, decided_on(space["custodian-1"].node.work(), opened.use), RefusalReason.DEAL_MISMATCH)


def test_a_use_past_its_deadline_is_refused_and_a_closed_one_left_alone(space: Space) -> None:
    offered = space.offered(seconds_per_use=100)
    placed, opened = space.opened(offered)
    space.tick(200)
    refused(space, decided_on(space["custodian-1"].node.work(), opened.use), RefusalReason.DEADLINE_PASSED)
    space["compute"].ledger.access.close_use(placed.order_hash, False, 1, Digest(bytes(32)), Digest(bytes(32)), 0)
    assert [one for one in space["custodian-2"].node.work().decided if one.use == opened.use] == []


class UnpluggedError(Exception):
    """The process ends here."""


def test_a_decision_interrupted_before_it_was_sent_is_taken_up(
    space: Space, offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, opened = space.opened(offered)
    name = "custodian-2"
    member = space[name]
    limit = member.node.context.store.releases_since(0, OTHER) + 1
    node = space.node(name, settings={"releases_per_day": limit})

    def unplugged(*_: object) -> None:
        raise UnpluggedError

    with monkeypatch.context() as patch:
        patch.setattr(node.context.ledger.access, "release_share", unplugged)
        with pytest.raises(UnpluggedError):
            node.work()
    kept = node.context.store.decision(opened.use)
    assert kept is not None
    assert member.ledger.access.decision_of(Digest(opened.use), member.account) is Decision.NONE
    space.restart(name)
    decided = decided_on(space.node(name, settings={"releases_per_day": limit}).work(), opened.use)
    assert decided.released
    assert str(document_of(space, decided, name).decision.hash) == kept.digest
    assert space[name].node.work().decided == ()


def test_an_interrupted_release_is_not_sent_once_its_grant_is_revoked(
    space: Space, offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, opened = space.opened(offered)
    node = space["custodian-2"].node

    def refusing(*_: object) -> None:
        raise RevertedError("AccessGrantRevoked", ())

    with monkeypatch.context() as patch:
        patch.setattr(node.context.ledger.access, "release_share", refusing)
        assert node.work().decided == ()
    space["provider"].node.access.revoke(opened.grant, 1)
    decided = decided_on(node.work(), opened.use)
    assert decided.reason is RefusalReason.GRANT_REVOKED
    assert document_of(space, decided, "custodian-2").decision.reason is RefusalReason.GRANT_REVOKED


def test_one_use_that_the_chain_does_not_take_leaves_the_others(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    _, first = space.opened(space.offered())
    _, second = space.opened(space.offered())
    node = space["custodian-2"].node
    release = node.context.ledger.access.release_share

    def picky(use: Digest, decision: Digest, sealed: bytes) -> object:
        if use == first.use:
            raise RevertedError("AccessUseNotOpen", (first.use,))
        return release(use, decision, sealed)

    with monkeypatch.context() as patch:
        patch.setattr(node.context.ledger.access, "release_share", picky)
        assert first.use not in {one.use for one in node.work().decided}
    assert node.context.ledger.access.decision_of(Digest(second.use), node.context.account) is Decision.RELEASED
    assert decided_on(node.work(), first.use).released


def test_a_provider_whose_share_is_not_required_decides_nothing(space: Space) -> None:
    offered = space.offered(provider_share=False)
    _, opened = space.opened(offered)
    assert [one for one in space["provider"].node.work().decided if one.use == opened.use] == []
    assert decided_on(space["custodian-1"].node.work(), opened.use).released
