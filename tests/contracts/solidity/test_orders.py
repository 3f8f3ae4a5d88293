"""Opening uses: the buyer's order, its signature, one-time keys, deadlines."""

from typing import Any

import pytest
from eth_utils.crypto import keccak

from capsule.ids import Address, Bytes32, Digest, GrantId
from capsule.order import Order as CapsuleOrder
from capsule.order import order_hash, recover
from tests.contracts.solidity.errors import exercises
from tests.contracts.solidity.evm import CHAIN_ID
from tests.contracts.solidity.space import BUYER, COMPUTE, PROVIDER, U64, ZERO, Order, Space, Terms, account, h

GROUP_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def in_capsule(order: Order) -> CapsuleOrder:
    return CapsuleOrder(
        grants=tuple(GrantId(grant) for grant in order.grants),
        number=order.number,
        algorithm=Digest(order.algorithm),
        parameters=Digest(order.parameters),
        compute_node=Address.parse(order.compute_node),
        result_key=Bytes32(order.result_key),
        deadline=order.deadline,
    )


@pytest.mark.parametrize("grants", [1, 3])
def test_order_hash_and_signature_are_those_of_the_capsule_core(space: Space, grants: int) -> None:
    order = space.order(*(h(f"{i}") for i in range(grants)))
    access = Address.parse(space.access.address)
    assert space.access.call("hashOrder", order) == order_hash(in_capsule(order), CHAIN_ID, access)
    signer = recover(in_capsule(order), space.sign(order), CHAIN_ID, access)
    assert signer == Address.parse(space.buyer.address)


def test_a_use_is_opened_as_ordered(space: Space) -> None:
    offer = space.offer(Terms(seconds_per_use=100))
    grant = space.granted(offer)
    order = space.order(grant)
    signature = space.sign(order)
    outcome = space.open(order)
    (use,) = outcome.value
    event = outcome.event("UseOpened")
    digest = space.access.call("hashOrder", order)
    assert tuple(event["order"]) == order
    assert (event["use"], event["orderSignature"], event["orderHash"]) == (use, signature, digest)
    assert (event["measurement"], event["oneTimeKeys"]) == (space.measurement, space.keys())
    assert tuple(event["pin"]) == space.pin(offer)
    assert event["deadline"] == space.now + 100
    opened = (grant, digest, space.compute.address, 1, space.now, space.now + 100, 0, False, ZERO, ZERO)
    assert space.access.call("useOf", use) == opened
    assert space.access.call("usesOf", digest) == (use,)


def test_a_deadline_is_the_earlier_one_without_overflow(space: Space) -> None:
    for terms, deadline, expected in (
        (Terms(seconds_per_use=U64), space.now + 5, space.now + 5),
        (Terms(seconds_per_use=U64 - space.now), U64, U64),
        (Terms(seconds_per_use=U64 - space.now + 1), U64, U64),
        (Terms(seconds_per_use=3), U64, space.now + 3),
    ):
        order = space.order(space.granted(space.offer(terms)), deadline=deadline)
        assert space.open(order).event("UseOpened")["deadline"] == expected


@exercises("AccessOrderEmpty", "AccessListTooLong", "AccessTextTooLong", "AccessKeysMismatch", "AccessGrantUnknown")
def test_an_order_has_limits(space: Space) -> None:
    grant = space.granted(space.offer())
    with space.refused("AccessOrderEmpty"):
        space.open(space.order(), signature=b"")
    with space.refused("AccessListTooLong", 17, 16):
        space.open(space.order(*[grant] * 17))
    with space.refused("AccessTextTooLong", 1025, 1024):
        space.open(space.order(grant), signature=bytes(1025))
    for keys in ([], [space.keys()] * 2):
        with space.refused("AccessKeysMismatch", len(keys), 1):
            space.open(space.order(grant), keys=keys)
    with space.refused("AccessGrantUnknown", ZERO):
        space.open(space.order(ZERO))
    with space.refused("AccessGrantUnknown", ZERO):
        space.open(space.order(grant, ZERO))


@exercises("AccessKeysMismatch")
def test_every_holder_that_may_release_has_a_key(space: Space) -> None:
    required = space.granted(space.offer())
    optional = space.granted(space.offer(Terms(provider_share_required=False)))
    key = h("key")
    for grant, keys, usable in (
        (required, (key,) * 3, 3),
        (required, (key,) * 5, 5),
        (required, (ZERO, key, key, key), 3),
        (required, (key, key, ZERO, ZERO), 2),
        (optional, (ZERO, key, key, ZERO), 3),
    ):
        with space.refused("AccessKeysMismatch", usable, 4):
            space.open(space.order(grant), keys=[keys])
    space.open(space.order(optional), keys=[(ZERO, key, key, key)])


@exercises("AccessNotComputeNode", "AccessParticipantNotActive", "AccessOrderExpired")
def test_the_ordered_compute_node_opens_in_time(space: Space) -> None:
    grant = space.granted(space.offer())
    with space.refused("AccessNotComputeNode", space.other_compute.address):
        space.open(space.order(grant), compute=space.other_compute)
    order = space.order(grant, seconds=10)
    space.chain.advance(10)
    with space.refused("AccessOrderExpired", space.now, space.now):
        space.open(order)
    for party, role in ((space.compute, COMPUTE), (space.buyer, BUYER), (space.provider, PROVIDER)):
        space.suspend(party)
        with space.refused("AccessParticipantNotActive", party.address, role):
            space.open(space.order(grant))
        space.reinstate(party)


@exercises("AccessOrderSignatureInvalid", "AccessOrderUsed")
def test_the_buyer_signs_each_number_once(space: Space) -> None:
    grant = space.granted(space.offer())
    order = space.order(grant)
    good = space.sign(order)
    s = GROUP_ORDER - int.from_bytes(good[32:64], "big")
    mirrored = good[:32] + s.to_bytes(32, "big") + bytes([55 - good[64]])
    for bad in (b"", good[:64], good[:64] + b"\x00", bytes(65), mirrored, space.sign(order, space.stranger)):
        with space.refused("AccessOrderSignatureInvalid", space.buyer.address):
            space.open(order, signature=bad)
    other = space.order(grant, parameters=h("other parameters"))
    with space.refused("AccessOrderSignatureInvalid"):
        space.open(other, signature=good)
    space.open(order)
    again = space.order(grant, number=order.number, parameters=h("other parameters"))
    for used in (order, again):
        with space.refused("AccessOrderUsed", space.buyer.address, order.number):
            space.open(used)
    theirs = space.granted(space.offer(), buyer=space.other_buyer)
    space.open(space.order(theirs, number=order.number), buyer=space.other_buyer)


@exercises("AccessOrderMismatch")
def test_an_order_fits_all_its_grants(space: Space) -> None:
    offer = space.offer()
    first, second = space.granted(offer), space.granted(offer)
    theirs = space.granted(offer, buyer=space.other_buyer)
    with space.refused("AccessOrderMismatch", first):
        space.open(space.order(first, second, first))
    with space.refused("AccessOrderMismatch", theirs):
        space.open(space.order(first, theirs))
    with space.refused("AccessOrderMismatch", first):
        space.open(space.order(first, algorithm=h("other")))
    with space.refused("AccessOrderMismatch", first):
        space.open(space.order(first, compute_node=space.other_compute.address), compute=space.other_compute)
    outcome = space.open(space.order(first, second))
    assert len(set(outcome.value)) == 2
    assert [event["grant"] for event in outcome.events] == [first, second]


@exercises(
    "AccessGrantRevoked",
    "AccessTooEarly",
    "AccessTooLate",
    "AccessAssetRetired",
    "AccessDealReplaced",
    "AccessDealNotReady",
)
def test_a_grant_is_open_and_its_deal_the_latest(space: Space) -> None:
    begin = space.now + 10
    offer = space.offer(Terms(seconds_per_grant=20))
    grant = space.granted(offer, granted=offer.terms._replace(not_before=begin))
    with space.refused("AccessTooEarly", space.now, begin):
        space.open(space.order(grant))
    space.chain.advance(10)
    space.open(space.order(grant))
    space.chain.advance(10)
    with space.refused("AccessTooLate", space.now, begin + 10):
        space.open(space.order(grant))
    revoked = space.granted(offer)
    space.access.send(space.provider.address, "revoke", revoked, 1)
    with space.refused("AccessGrantRevoked", revoked):
        space.open(space.order(revoked))
    replaced = space.granted(offer)
    # a new version leaves a grant alone, a new deal of its version does not
    space.publish(offer.asset, Terms(compiler=2))
    space.open(space.order(replaced))
    space.ready_deal(offer.asset, 1, offer.terms)
    with space.refused("AccessDealReplaced", offer.asset, 1, 1):
        space.open(space.order(replaced))
    asset = space.register()
    space.publish(asset, Terms())
    unready = space.deal(asset, 1, Terms())
    with space.refused("AccessDealNotReady", asset, 1, unready):
        space.access.send(
            space.buyer.address,
            "request",
            (asset, 1, h("root"), h("policy"), space.assets.call("hashTerms", Terms()), unready, h("deal")),
            "research",
            space.algorithm,
            space.compute.address,
            ZERO,
            Terms(),
        )
    space.assets.send(space.provider.address, "retire", offer.asset, "old")
    with space.refused("AccessAssetRetired", offer.asset):
        space.open(space.order(replaced))


def test_a_wallet_contract_buys(space: Space) -> None:
    owner = account("wallet owner")
    wallet = space.chain.deploy("Wallet", owner.address, sender=owner.address)
    space.admit(wallet.address, BUYER)
    offer = space.offer(Terms(automatic_grant=True))

    def through_wallet(function: str, *arguments: Any) -> Any:
        data = space.access.encode(function, *arguments)
        return wallet.send(owner.address, "execute", space.access.address, data)

    pin = space.pin(offer)
    outcome = through_wallet(
        "request", pin, "research", space.algorithm, space.compute.address, h("proposal"), offer.terms
    )
    grant = outcome.event("AccessGranted")["grant"]
    assert outcome.event("AccessGranted")["buyer"] == wallet.address
    order = space.order(grant)
    with space.refused("AccessOrderSignatureInvalid", wallet.address):
        space.open(order, signature=space.sign(order, space.buyer))
    assert space.open(order, signature=space.sign(order, owner)).event("UseOpened")["grant"] == grant


def test_the_typed_order_is_the_one_wallets_show(space: Space) -> None:
    domain = space.access.call("eip712Domain")
    assert (domain[1], domain[2], domain[4]) == ("dataspace Access", "1", space.access.address)
    separator = keccak(
        b"".join(
            [
                keccak(text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak(text="dataspace Access"),
                keccak(text="1"),
                CHAIN_ID.to_bytes(32, "big"),
                bytes(12) + bytes.fromhex(space.access.address[2:]),
            ]
        )
    )
    order = space.order(h("grant"))
    inner = keccak(
        b"".join(
            [
                keccak(
                    text="Order(bytes32[] grants,uint256 number,bytes32 algorithm,bytes32 parameters,"
                    "address computeNode,bytes32 resultKey,uint64 deadline)"
                ),
                keccak(b"".join(order.grants)),
                order.number.to_bytes(32, "big"),
                order.algorithm,
                order.parameters,
                bytes(12) + bytes.fromhex(order.compute_node[2:]),
                order.result_key,
                order.deadline.to_bytes(32, "big"),
            ]
        )
    )
    assert space.access.call("hashOrder", order) == keccak(b"\x19\x01" + separator + inner)
