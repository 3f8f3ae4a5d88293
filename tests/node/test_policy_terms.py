"""Each term that holders enforce, by a holder alone: on a chain whose contracts enforce no policy, with compute nodes
that run whatever they are told to, a share is released for what fits the term and for nothing else.

A holder meets a term twice: it refuses a share whose terms on chain are not those of the policy, and refuses a use that
the policy does not allow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from capsule import canonical
from capsule.algorithm import Algorithm
from capsule.attestation import Level
from capsule.deal import Deal
from capsule.decision import RefusalReason
from capsule.ids import Address, Digest, GrantId
from capsule.policy.compiler import compile_policy
from capsule.policy.vocabulary import OPERANDS, Label
from capsule.share import SealedShare, open_share, seal_share
from contracts.errors import RevertedError
from contracts.events import UseOpened
from contracts.roles import Role
from contracts.structs import Grant
from node.access import Narrowing
from node.custody import SharePackage
from node.errors import RefusedError
from node.ordering import Placed
from node.runtime.measurement import measure
from scripts.algorithm import sql_algorithm
from tests.node.space import ALGORITHM, PURPOSE, SQL, Offered, Space, decided_on
from tests.sim.lax_chain import AT_ONCE, BRIBED_SECONDS, lax_space

Trial = Callable[[Space], None]
TRIALS: dict[str, Trial] = {}
# The name of the purpose is compared; that it is kept is the buyer's word.
COMPARED = {"purpose"}
OTHER = Digest(bytes(range(32)))
STRANGER = Address(bytes(range(20)))
HOLDER = "custodian-1"
TERMS = RefusalReason.TERMS_NOT_MET


def tries(term: str) -> Callable[[Trial], Trial]:
    def keep(trial: Trial) -> Trial:
        TRIALS[term] = trial
        return trial

    return keep


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """On the dishonest chain; here the buyer and a custodian may compute."""
    with lax_space(tmp_path_factory.mktemp("lax")) as space:
        participants = space.world.operator.participants
        participants.set_roles(space["buyer"].account, Role.BUYER | Role.COMPUTE)
        participants.set_roles(space["custodian-3"].account, Role.CUSTODIAN | Role.COMPUTE)
        yield space


def test_every_term_that_holders_enforce_is_tried() -> None:
    assert set(TRIALS) == {term for term, one in OPERANDS.items() if Label.HOLDER in one.label} | COMPARED


@pytest.mark.parametrize("term", TRIALS)
def test_a_holder_alone_allows_and_forbids(space: Space, term: str) -> None:
    TRIALS[term](space)


# Uses that the chain opened


def granted(
    space: Space,
    offered: Offered,
    *,
    purpose: str = PURPOSE,
    algorithm: Algorithm = ALGORITHM,
    sql: str = SQL,
    compute: str = "compute",
) -> GrantId:
    account = space[compute].account
    requested = space["buyer"].node.access.request(offered.asset, purpose, algorithm, sql.encode(), account)
    return requested.grant or space["provider"].node.access.grant(requested.request, Narrowing()).grant


def opened(space: Space, grant: GrantId, compute: str = "compute") -> UseOpened:
    placed: Placed = space.ordered(grant)
    space[compute].node.work()
    return space.uses(placed.order_hash)[0]


def judged(space: Space, use: UseOpened, reason: RefusalReason, name: str = HOLDER) -> None:
    """One holder decides, released for the reason NONE; a refusal leaves nothing of the share on chain."""
    decided = decided_on(space[name].node.work(), use.use)
    assert (decided.released, decided.reason) == (reason is RefusalReason.NONE, reason)
    view = space["compute"].node.context.view
    view.refresh()
    assert bool(view.releases.get(use.use)) == decided.released


def tried(space: Space, terms: dict[str, Any], reason: RefusalReason, **asked: Any) -> None:
    """A fresh asset under `terms`, asked for as said, and one holder's decision on its first use."""
    offered = space.offered(**terms)
    use = opened(space, granted(space, offered, **asked), asked.get("compute", "compute"))
    judged(space, use, reason)


@tries("dateTime")
def _(space: Space) -> None:
    tried(space, {"not_before": space.clock() + 1000}, TERMS)
    grant = granted(space, space.offered(not_after=space.clock() + 1000, uses_per_grant=9))
    judged(space, opened(space, grant), RefusalReason.NONE)
    space.tick(1000)
    judged(space, opened(space, grant), TERMS)


@tries("elapsedTime")
def _(space: Space) -> None:
    grant = granted(space, space.offered(seconds_per_grant=1000, uses_per_grant=9))
    judged(space, opened(space, grant), RefusalReason.NONE)
    space.tick(1000)
    judged(space, opened(space, grant), TERMS)


@tries("ds:secondsPerUse")
def _(space: Space) -> None:
    """The chain holds the use open for as long as the order says."""
    grant = granted(space, space.offered(seconds_per_use=100, uses_per_grant=9))
    judged(space, opened(space, grant), RefusalReason.NONE)
    use = opened(space, grant)
    space.tick(100)
    judged(space, use, TERMS)


@tries("purpose")
def _(space: Space) -> None:
    tried(space, {}, RefusalReason.NONE, purpose=PURPOSE)
    tried(space, {}, TERMS, purpose="sale")


@tries("recipient")
def _(space: Space) -> None:
    tried(space, {"buyers": [space["buyer"].account]}, RefusalReason.NONE)
    tried(space, {"buyers": [STRANGER]}, TERMS)
    tried(space, {"buyer_roles": ["buyer", "regulator"]}, RefusalReason.NONE)
    tried(space, {"buyer_roles": ["regulator"]}, TERMS)


@tries("product")
def _(space: Space) -> None:
    terms = {"algorithms": [ALGORITHM.hash]}
    tried(space, terms, RefusalReason.NONE)
    sql = SQL.replace("sum", "max")
    other = sql_algorithm(sql, ["total:integer", "n:integer"], (), "n")
    tried(space, terms, TERMS, algorithm=other, sql=sql)


@tries("ds:computeNode")
def _(space: Space) -> None:
    tried(space, {"compute_nodes": [space["compute"].account]}, RefusalReason.NONE)
    tried(space, {"compute_nodes": [STRANGER]}, TERMS)


@tries("ds:computeByBuyer")
def _(space: Space) -> None:
    tried(space, {"compute_by_buyer": True}, RefusalReason.NONE, compute="buyer")
    tried(space, {"compute_by_buyer": False}, TERMS, compute="buyer")
    tried(space, {}, TERMS, compute="buyer")


@tries("ds:computeByCustodian")
def _(space: Space) -> None:
    tried(space, {"compute_by_custodian": True}, RefusalReason.NONE, compute="custodian-3")
    tried(space, {"compute_by_custodian": False}, TERMS, compute="custodian-3")
    tried(space, {}, TERMS, compute="custodian-3")


@tries("count")
def _(space: Space) -> None:
    offered = space.offered(uses_per_grant=1)
    grant = granted(space, offered)
    judged(space, opened(space, grant), RefusalReason.NONE)
    judged(space, opened(space, grant), TERMS)
    judged(space, opened(space, granted(space, offered)), RefusalReason.NONE)


@tries("ds:usesPerBuyer")
def _(space: Space) -> None:
    offered = space.offered(uses_per_buyer=1)
    judged(space, opened(space, granted(space, offered)), RefusalReason.NONE)
    judged(space, opened(space, granted(space, offered)), TERMS)


@tries("ds:usesTotal")
def _(space: Space) -> None:
    offered = space.offered(uses_total=1)
    judged(space, opened(space, granted(space, offered)), RefusalReason.NONE)
    judged(space, opened(space, granted(space, offered)), TERMS)


@tries("ds:rowsPerBuyer")
def _(space: Space) -> None:
    """The result has one row."""
    for rows, reason in ((2, RefusalReason.NONE), (1, TERMS)):
        offered = space.offered(rows_per_buyer=rows)
        grant = granted(space, offered)
        use = opened(space, grant)
        space.release()
        space["compute"].node.work()
        _, spent, _ = space["buyer"].ledger.access.counts_of(use.asset, space["buyer"].account)
        assert spent == 1
        judged(space, opened(space, grant), reason)


@tries("ds:automaticGrant")
def _(space: Space) -> None:
    tried(space, {"automatic_grant": True}, RefusalReason.NONE)
    buyer = space["buyer"].node
    with pytest.MonkeyPatch.context() as patch:
        # the buyer looks away too: nobody signed for the provider
        patch.setattr(buyer.ordering._agreements, "settled", lambda granted: granted)
        tried(space, {"purposes": [AT_ONCE]}, TERMS, purpose=AT_ONCE)


@tries("ds:measurement")
def _(space: Space) -> None:
    tried(space, {"measurements": [measure(allow_unprotected=False).digest, OTHER]}, RefusalReason.NONE)
    tried(space, {"measurements": [OTHER]}, RefusalReason.MEASUREMENT_NOT_ALLOWED)


@tries("ds:attestation")
def _(space: Space) -> None:
    tried(space, {"attestation": [Level.SOFTWARE]}, RefusalReason.NONE)
    tried(space, {"attestation": [Level.HARDWARE]}, RefusalReason.ATTESTATION_NOT_MET)


# Shares that the chain let deal


def package(
    space: Space,
    terms: dict[str, Any],
    alter: Callable[[Deal], Deal] = lambda deal: deal,
    *,
    on_chain: dict[str, Any] | None = None,
    waiting: int = 0,
) -> SharePackage:
    """The share of the first custodian, under a policy of `terms`, as a provider deals it that the chain lets have its
    way: with an altered deal, or with the terms of another policy on chain."""
    provider = space["provider"]
    asset = space.register()
    sealed = space.seal(asset, space.policy(asset, custodians=[]))
    store, box = provider.node.context.store, space[HOLDER].keystore.box
    row = store.offering(sealed.capsule_root)
    assert row is not None
    deal = Deal.from_json(canonical.decode(store.document("deal", sealed.deal_hash) or b""))
    secret = open_share(SealedShare.from_json(canonical.decode(row.shares)[1]), deal, box)  # type: ignore[index,call-overload]
    policy = space.policy(asset, **{"custodians": [], **terms})
    shown = space.policy(asset, **{"custodians": [], **(terms if on_chain is None else on_chain)})
    compiled, known = compile_policy(policy), compile_policy(shown).terms
    deal = replace(deal, policy_hash=compiled.policy_hash, terms_hash=known.hash, waiting_seconds=waiting)
    deal = alter(replace(deal, provider_required=known.provider_share_required and waiting != BRIBED_SECONDS))
    assets = provider.ledger.assets
    assets.publish(asset, sealed.capsule_root, sealed.capsule_size, compiled.policy_hash, OTHER, known)
    accounts = tuple(holder.account for holder in deal.holders)
    assets.deal(asset, 1, deal.hash, deal.threshold, waiting, accounts, known)
    return SharePackage(deal.to_json(), policy, seal_share(secret, deal, box.public).to_json())


def taken(space: Space, offered: SharePackage) -> None:
    deal = Deal.from_json(offered.deal)
    assert space[HOLDER].node.custody.accept(offered) == deal.hash
    assert space[HOLDER].ledger.assets.has_accepted(deal.asset, 1, 1, space[HOLDER].account)


def turned_away(space: Space, offered: SharePackage, reason: str) -> None:
    """Nothing of the share is kept, and the deal is not accepted on chain."""
    deal = Deal.from_json(offered.deal)
    with pytest.raises(RefusedError, match=reason):
        space[HOLDER].node.custody.accept(offered)
    assert space[HOLDER].node.context.store.held_share(deal.hash) is None
    assert not space[HOLDER].ledger.assets.has_accepted(deal.asset, 1, 1, space[HOLDER].account)


@tries("ds:custodian")
def _(space: Space) -> None:
    taken(space, package(space, {"custodians": space.custodians}))
    turned_away(space, package(space, {"custodians": space.custodians[:2]}), "does not allow the custodian")


@tries("ds:leastThreshold")
def _(space: Space) -> None:
    taken(space, package(space, {"least_threshold": 2}))
    lower = package(space, {"least_threshold": 2}, lambda deal: replace(deal, threshold=1))
    turned_away(space, lower, "its threshold is 1, the policy asks for 2")


@tries("ds:providerShare")
def _(space: Space) -> None:
    taken(space, package(space, {"provider_share": True}))
    taken(space, package(space, {"provider_share": False}, waiting=BRIBED_SECONDS))
    without = package(space, {"provider_share": True}, waiting=BRIBED_SECONDS)
    turned_away(space, without, "does without the provider's share")


LEFT_OUT: dict[str, dict[str, Any]] = {
    "dateTime": {"not_after": 2_000_000_000},
    "elapsedTime": {"seconds_per_grant": 10},
    "ds:secondsPerUse": {"seconds_per_use": 10},
    "count": {"uses_per_grant": 1},
    "ds:usesPerBuyer": {"uses_per_buyer": 1},
    "ds:usesTotal": {"uses_total": 1},
    "ds:rowsPerBuyer": {"rows_per_buyer": 1},
    "purpose": {"purposes": ["audit"]},
    "recipient": {"buyers": [STRANGER]},
    "product": {"algorithms": [OTHER]},
    "ds:computeNode": {"compute_nodes": [STRANGER]},
    "ds:computeByBuyer": {"compute_by_buyer": False},
    "ds:computeByCustodian": {"compute_by_custodian": False},
    "ds:custodian": {"custodians": [STRANGER]},
    "ds:leastThreshold": {"least_threshold": 3},
    "ds:providerShare": {"provider_share": True},
    "ds:automaticGrant": {"automatic_grant": False},
}
"""A policy with the term. Its provider has the chain enforce another policy, which says nothing of it, or opens it."""
OPENED: dict[str, dict[str, Any]] = {
    "ds:computeByBuyer": {"compute_by_buyer": True},
    "ds:computeByCustodian": {"compute_by_custodian": True},
    "ds:automaticGrant": {"automatic_grant": True},
    "ds:providerShare": {"provider_share": False},
    "ds:leastThreshold": {"least_threshold": 1},
    "purpose": {"purposes": []},
    "count": {"uses_per_grant": None},
    "ds:secondsPerUse": {"seconds_per_use": None},
}


def test_every_term_on_chain_can_be_left_out() -> None:
    assert set(LEFT_OUT) == {term for term, one in OPERANDS.items() if Label.CHAIN in one.label} | COMPARED


@pytest.mark.parametrize("term", LEFT_OUT)
def test_a_holder_takes_no_share_where_the_chain_lacks_a_term_of_the_policy(space: Space, term: str) -> None:
    offered = package(space, LEFT_OUT[term], on_chain=OPENED.get(term, {}))
    turned_away(space, offered, "does not compile to the terms on chain")


# What the chain says of counts and orders


@pytest.mark.parametrize("term", ["uses_per_grant", "uses_per_buyer", "uses_total"])
def test_a_holder_counts_its_own_releases_where_the_chain_forgets_them(
    space: Space, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = space.offered(**{"uses_per_grant": 9, term: 1})
    grant = granted(space, offered)
    judged(space, opened(space, grant), RefusalReason.NONE)
    use = opened(space, grant)
    access = space[HOLDER].ledger.access
    grant_of = access.grant_of

    def forgetful(asked: GrantId, **at: Any) -> Grant:
        return replace(grant_of(asked, **at), used=1)

    monkeypatch.setattr(access, "grant_of", forgetful)
    monkeypatch.setattr(access, "counts_of", lambda *_, **__: (1, 0, 1))
    judged(space, use, TERMS)


def test_a_release_that_never_reached_the_chain_does_not_count_once_the_use_was_given_back(space: Space) -> None:
    grant = granted(space, space.offered(uses_per_grant=1))
    use = opened(space, grant)
    node = space[HOLDER].node

    def refusing(*_: object) -> None:
        raise RevertedError("EnforcedPause", ())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node.context.ledger.access, "release_share", refusing)
        assert use.use not in {one.use for one in node.work().decided}
    kept = node.context.store.decision(use.use)
    assert kept is not None
    assert kept.outcome == "released"
    nothing = Digest(bytes(32))
    space["compute"].ledger.access.close_use(use.order_hash, False, 1, nothing, nothing, 0)
    judged(space, opened(space, grant), RefusalReason.NONE)


def test_a_holder_refuses_a_use_that_the_buyer_did_not_order(space: Space) -> None:
    grant = granted(space, space.offered())
    use = opened(space, grant)
    compute = space["compute"]
    forged = replace(use.order, number=use.order.number + 1)
    keys = [list(map(bytes, use.one_time_keys))]
    opening = compute.ledger.access.open_use(forged, use.order_signature, use.measurement, keys).event(UseOpened)
    judged(space, opening, RefusalReason.ORDER_INVALID)


def test_a_holder_refuses_a_second_use_of_one_order(space: Space) -> None:
    grant = granted(space, space.offered())
    use = opened(space, grant)
    judged(space, use, RefusalReason.NONE)
    keys = [list(map(bytes, use.one_time_keys))]
    again = space["compute"].ledger.access.open_use(use.order, use.order_signature, use.measurement, keys)
    judged(space, again.event(UseOpened), RefusalReason.ORDER_INVALID)
