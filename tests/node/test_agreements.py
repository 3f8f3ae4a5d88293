"""Agreements between nodes: nobody grants or orders without the other side's signature, and each hears of its end."""

from dataclasses import replace

import pytest

from capsule import canonical
from capsule.agreement import Agreement, Signatures, verify_signatures
from capsule.ids import GrantId
from node.access import Narrowing
from node.agreements import Change, State
from node.errors import PeerAnswerError, PeerUnreachableError
from node.organisation import Node
from tests.node.space import ALGORITHM, PURPOSE, SQL, Offered, Space


@pytest.fixture(scope="module")
def offered(space: Space) -> Offered:
    return space.offered(uses_per_grant=100, seconds_per_grant=100_000)


def kept(node: Node, grant: GrantId) -> tuple[Agreement, Signatures]:
    """The agreement of a grant as a node keeps it."""
    node.context.view.refresh()
    digest = node.context.view.grant(grant).agreement_hash
    documents = [node.context.store.document(kind, digest) for kind in ("agreement", "agreement-signatures")]
    content, signatures = (canonical.decode(document or b"") for document in documents)
    return Agreement.from_json(content), Signatures.from_json(signatures)


def asked(space: Space, offered: Offered) -> tuple[Node, Node, GrantId]:
    """Buyer, provider, and a grant that the buyer has not used yet."""
    return space["buyer"].node, space["provider"].node, space.granted(offered)


def test_both_sides_keep_what_both_signed(space: Space, offered: Offered) -> None:
    buyer, provider, grant = asked(space, offered)
    assert kept(buyer, grant)[1].provider == b""
    space.ordered(grant)
    domain = buyer.context.ledger.domain.chain_id, buyer.context.ledger.access.address
    for node in (buyer, provider):
        agreement, signatures = kept(node, grant)
        assert verify_signatures(agreement, signatures, *domain, automatic=False).buyer == buyer.context.account
    assert kept(buyer, grant) == kept(provider, grant)


def test_a_provider_grants_nothing_that_the_buyer_did_not_sign(space: Space, offered: Offered) -> None:
    buyer, provider = space["buyer"].node, space["provider"].node
    requested = buyer.access.request(offered.asset, PURPOSE, ALGORITHM, SQL.encode(), space["compute"].account)
    event = provider.context.view.refresh() and provider.context.view.request(requested.request)
    assert event
    store = buyer.context.store
    true = store.document("agreement-signatures", event.agreement_hash)
    signatures = Signatures.from_json(canonical.decode(true or b""))
    stranger = space["custodian-1"].keystore.account
    agreement = Agreement.from_json(canonical.decode(store.document("agreement", event.agreement_hash) or b""))
    ledger = buyer.context.ledger
    foreign = stranger.sign_typed(agreement.typed_data(ledger.domain.chain_id, ledger.access.address))
    for false in (replace(signatures, buyer=b"\x00" * 65), replace(signatures, buyer=foreign)):
        store.put_document("agreement-signatures", event.agreement_hash, false.to_json())
        with pytest.raises(PeerAnswerError, match="did not sign"):
            provider.access.grant(requested.request, Narrowing())
        assert requested.request in {one.request for one in provider.access.pending()}
        assert provider.context.store.document("agreement-signatures", event.agreement_hash) is None
    store.put_document("agreement-signatures", event.agreement_hash, signatures.to_json())
    assert provider.access.grant(requested.request, Narrowing()).grant


def test_a_buyer_orders_nothing_that_the_provider_did_not_sign(space: Space, offered: Offered) -> None:
    buyer, provider, grant = asked(space, offered)
    _, signatures = kept(provider, grant)
    store = provider.context.store
    orders = buyer.context.store.document("agreement-signatures", signatures.agreement)
    for false in (replace(signatures, provider=b""), replace(signatures, provider=signatures.buyer)):
        store.put_document("agreement-signatures", signatures.agreement, false.to_json())
        with pytest.raises(PeerAnswerError, match="did not sign"):
            space.ordered(grant)
        assert buyer.context.store.document("agreement-signatures", signatures.agreement) == orders
    store.put_document("agreement-signatures", signatures.agreement, signatures.to_json())
    assert space.ordered(grant).order_hash


def test_a_grant_that_the_terms_gave_stands_on_the_providers_signed_offer(space: Space) -> None:
    offered = space.offered(automatic_grant=True)
    buyer, provider = space["buyer"].node, space["provider"].node
    with space.away("provider"), pytest.raises(PeerUnreachableError):
        space.granted(offered)
    assert not [one for one in buyer.agreements.standing() if one.asset == offered.asset]
    grant = space.granted(offered)
    agreement, signatures = kept(buyer, grant)
    assert signatures.on_offer
    assert provider.context.store.document("signed-offer", agreement.offer.hash)
    assert space.ordered(grant).order_hash


def test_a_buyer_asks_for_no_offer_that_its_provider_did_not_sign(space: Space) -> None:
    offered = space.offered(automatic_grant=True)
    provider = space["provider"].node
    version = provider.context.view.refresh() and provider.context.view.version(offered.asset, 1)
    assert version
    other = space.offered(automatic_grant=True)
    agreement, _ = kept(space["buyer"].node, space.granted(other))
    store = provider.context.store
    elsewhere = canonical.decode(store.document("signed-offer", agreement.offer.hash) or b"")
    mine = replace(agreement.offer, asset=offered.asset, policy_hash=version.policy_hash, terms_hash=version.terms_hash)
    store.put_document("signed-offer", mine.hash, elsewhere)
    with pytest.raises(PeerAnswerError, match="an offer that it did not sign"):
        space.granted(offered)


def states(changes: tuple[Change, ...], grant: GrantId) -> list[tuple[State | None, State]]:
    return [(one.before, one.standing.state) for one in changes if one.standing.grant == grant]


def test_both_sides_are_told_once_of_an_end_a_renewal_and_a_revocation(space: Space) -> None:
    offered = space.offered(uses_per_grant=100, seconds_per_grant=1000)
    buyer, provider, grant = asked(space, offered)
    for node in (buyer, provider):
        assert states(node.agreements.changes(), grant) == [(None, State.LIVE)]
        assert states(node.agreements.changes(), grant) == []
    space.tick(800)
    for node in (buyer, provider):
        assert states(node.work().agreements, grant) == [(State.LIVE, State.ENDING)]
    second = space.granted(offered)
    assert states(buyer.agreements.changes(), grant) == [(State.ENDING, State.RENEWED)]
    assert [one.renewed_by for one in buyer.agreements.standing() if one.grant == grant] == [second]
    provider.access.revoke(second, 7)
    told = {one.standing.grant: one.standing for one in buyer.agreements.changes()}
    assert (told[second].state, told[second].reason) == (State.REVOKED, 7)
    third = space.granted(offered)
    space.tick(2000)
    assert states(space.restart("buyer").agreements.changes(), third) == [(None, State.ENDED)]
