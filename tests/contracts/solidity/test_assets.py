"""Assets, versions, terms and deals."""

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from capsule.ids import Address, Digest
from capsule.terms import Terms as CapsuleTerms
from tests.contracts.solidity.errors import exercises
from tests.contracts.solidity.evm import CHAIN_ID
from tests.contracts.solidity.space import CUSTODIAN, DAY, PROVIDER, U32, U64, ZERO, Space, Terms, account, h

FULL = Terms(
    purposes=("research", "storage dispatch"),
    algorithms=(h("a"), h("b")),
    buyers=(account("buyer").address,),
    compute_nodes=(account("compute").address,),
    holders=tuple(account(f"custodian {i}").address for i in range(3)),
    least_threshold=2,
    seconds_per_grant=DAY,
)


def publish(space: Space, asset: bytes, terms: Terms, **fields: Any) -> None:
    values: dict[str, Any] = {"root": h("root"), "size": 1, "sender": space.provider.address} | fields
    sender = values.pop("sender")
    space.assets.send(sender, "publish", asset, values["root"], values["size"], h("policy"), h("metadata"), terms)


def open_deal(space: Space, asset: bytes, *, keys: tuple[bytes, ...], reason: str = "new custodian") -> bytes:
    return bytes(space.assets.send(space.provider.address, "openDeal", asset, 1, keys, reason).value)


def test_ids_count_per_sender_and_contract(space: Space) -> None:
    for number in range(3):
        expected = keccak(
            encode(
                ["uint256", "address", "address", "uint256"],
                [CHAIN_ID, space.assets.address, space.provider.address, number],
            )
        )
        assert space.register() == expected
    assert space.assets.call("assetOf", expected) == (space.provider.address, False, 0, h("metadata"))


def test_terms_hash_is_that_of_the_capsule_core(space: Space) -> None:
    fields = FULL._asdict() | {
        name: tuple(Address.parse(item) for item in getattr(FULL, name))
        for name in ("buyers", "compute_nodes", "holders")
    }
    fields["algorithms"] = tuple(Digest(item) for item in FULL.algorithms)
    assert space.assets.call("hashTerms", FULL) == CapsuleTerms(**fields).hash
    asset = space.register()
    space.publish(asset, FULL)
    assert space.assets.call("versionOf", asset, 1).termsHash == CapsuleTerms(**fields).hash


@exercises("AssetsParticipantNotActive", "AssetsUnknown", "AssetsNotProvider", "AssetsRetired", "AssetsCapsuleEmpty")
def test_only_its_active_provider_publishes(space: Space) -> None:
    with space.refused("AssetsParticipantNotActive", space.buyer.address, PROVIDER):
        space.assets.send(space.buyer.address, "register", ZERO)
    asset = space.register()
    with space.refused("AssetsUnknown", ZERO):
        publish(space, ZERO, Terms())
    with space.refused("AssetsNotProvider", asset, space.other_provider.address):
        publish(space, asset, Terms(), sender=space.other_provider.address)
    for fields in ({"root": ZERO}, {"size": 0}):
        with space.refused("AssetsCapsuleEmpty"):
            publish(space, asset, Terms(), **fields)
    space.suspend(space.provider)
    with space.refused("AssetsParticipantNotActive", space.provider.address, PROVIDER):
        publish(space, asset, Terms())
    with space.refused("AssetsNotProvider"):
        space.assets.send(space.other_provider.address, "retire", asset, "old")
    space.assets.send(space.provider.address, "retire", asset, "old")
    with space.refused("AssetsRetired", asset):
        space.assets.send(space.provider.address, "retire", asset, "old")
    space.reinstate(space.provider)
    with space.refused("AssetsRetired", asset):
        publish(space, asset, Terms())


@exercises("AssetsListTooLong", "AssetsTextTooLong", "AssetsTermsInvalid")
def test_terms_have_limits(space: Space) -> None:
    asset = space.register()
    accounts = tuple(account(f"{i}").address for i in range(65))
    hashes = tuple(h(f"{i}") for i in range(65))
    texts = tuple(f"{i}" for i in range(65))
    for name, items in (
        ("purposes", texts),
        ("algorithms", hashes),
        ("buyers", accounts),
        ("compute_nodes", accounts),
        ("holders", accounts),
    ):
        with space.refused("AssetsListTooLong", 65, 64):
            publish(space, asset, Terms().but(**{name: items}))
        publish(space, asset, Terms().but(**{name: items[:64]}))
    with space.refused("AssetsTextTooLong", 257, 256):
        publish(space, asset, Terms(purposes=("x" * 257,)))
    publish(space, asset, Terms(purposes=("x" * 256,)))
    with space.refused("AssetsTermsInvalid", "notAfter"):
        publish(space, asset, Terms(not_before=5, not_after=5))
    with space.refused("AssetsTermsInvalid", "leastThreshold"):
        publish(space, asset, Terms(least_threshold=33))
    with space.refused("AssetsTermsInvalid", "leastThreshold"):
        publish(space, asset, Terms(least_threshold=2, holders=accounts[:1]))
    with space.refused("AssetsTermsInvalid", "leastThreshold"):
        publish(space, asset, Terms(least_threshold=33, holders=accounts[:64]))
    with space.refused("AssetsTextTooLong", 257, 256):
        space.assets.send(space.provider.address, "retire", asset, "x" * 257)
    assert space.assets.call("assetOf", asset).versions == 6


@exercises(
    "AssetsVersionUnknown",
    "AssetsTermsMismatch",
    "AssetsListTooLong",
    "AssetsThresholdInvalid",
    "AssetsHolderNotAllowed",
    "AssetsHolderRepeated",
    "AssetsParticipantNotActive",
    "AssetsNotProvider",
    "AssetsRetired",
)
def test_deals_keep_to_the_terms(space: Space) -> None:
    asset = space.register()
    space.publish(asset, FULL)
    custodians = [custodian.address for custodian in space.custodians]

    def deal(*holders: str, threshold: int = 2, terms: Terms = FULL, version: int = 1, by: str = "") -> None:
        sender = by or space.provider.address
        space.assets.send(sender, "deal", asset, version, h("deal"), threshold, DAY, holders, terms)

    provider = space.provider.address
    with space.refused("AssetsVersionUnknown", asset, 2):
        deal(provider, *custodians[:3], version=2)
    with space.refused("AssetsTermsMismatch"):
        deal(provider, *custodians[:3], terms=FULL.but(least_threshold=1))
    with space.refused("AssetsListTooLong", 34, 33):
        deal(provider, *(account(f"{i}").address for i in range(33)))
    for threshold in (0, 1, 4):
        with space.refused("AssetsThresholdInvalid", threshold, 3, 2):
            deal(provider, *custodians[:3], threshold=threshold)
    with space.refused("AssetsThresholdInvalid", 2, 0, 2):
        deal()
    with space.refused("AssetsHolderNotAllowed", custodians[0]):
        deal(*custodians[:3])
    with space.refused("AssetsHolderNotAllowed", custodians[3]):
        deal(provider, custodians[0], custodians[3])
    with space.refused("AssetsHolderRepeated", custodians[0]):
        deal(provider, custodians[0], custodians[1], custodians[0])
    with space.refused("AssetsHolderRepeated", provider):
        deal(provider, custodians[0], custodians[1], provider)
    space.suspend(space.custodians[2])
    with space.refused("AssetsParticipantNotActive", custodians[2], CUSTODIAN):
        deal(provider, *custodians[:3])
    with space.refused("AssetsNotProvider"):
        deal(provider, *custodians[:2], by=space.other_provider.address)
    deal(provider, *custodians[:2])
    dealt = space.assets.call("dealOf", asset, 1, 1)
    assert dealt == (h("deal"), 2, True, False, 0, DAY, (provider, *custodians[:2]))
    space.assets.send(provider, "retire", asset, "old")
    with space.refused("AssetsRetired"):
        deal(provider, *custodians[:2])


def test_thirty_two_custodians(space: Space) -> None:
    asset = space.register()
    space.publish(asset, Terms())
    custodians = [account(f"many {i}") for i in range(32)]
    for custodian in custodians:
        space.admit(custodian, CUSTODIAN)
    deal = space.deal(asset, 1, Terms(), threshold=32, custodians=custodians)
    space.accept(asset, 1, deal, *custodians, space.provider)
    assert space.assets.call("isReady", asset, 1, deal)
    assert space.assets.call("holderIndex", asset, 1, deal, custodians[31].address) == 32


@exercises(
    "AssetsUnknown",
    "AssetsVersionUnknown",
    "AssetsDealUnknown",
    "AssetsDealReplaced",
    "AssetsNotHolder",
    "AssetsAlreadyAccepted",
    "AssetsDealHashMismatch",
    "AssetsParticipantNotActive",
    "AssetsRetired",
)
def test_acceptance_makes_a_deal_ready(space: Space) -> None:
    asset = space.register()
    space.publish(asset, Terms())
    first = space.deal(asset, 1, Terms())
    custodian = space.custodians[0]
    accept = space.accept
    with space.refused("AssetsUnknown", ZERO):
        accept(ZERO, 1, 1, custodian)
    with space.refused("AssetsVersionUnknown", asset, 2):
        accept(asset, 2, 1, custodian)
    for number in (0, 2):
        with space.refused("AssetsDealUnknown", asset, 1, number):
            accept(asset, 1, number, custodian)
    with space.refused("AssetsNotHolder", space.custodians[3].address):
        accept(asset, 1, first, space.custodians[3])
    with space.refused("AssetsDealHashMismatch", h("other"), h("deal")):
        space.assets.send(custodian.address, "acceptShare", asset, 1, first, h("other"))
    space.suspend(custodian)
    with space.refused("AssetsParticipantNotActive", custodian.address, CUSTODIAN):
        accept(asset, 1, first, custodian)
    space.reinstate(custodian)
    ready = []
    for holder in (custodian, space.custodians[2], space.provider):
        accept(asset, 1, first, holder)
        ready.append(space.assets.call("isReady", asset, 1, first))
    assert ready == [False, False, True]
    assert space.logs("CustodyAccepted")[-2]["index"] == 3
    assert space.assets.call("hasAccepted", asset, 1, first, custodian.address)
    assert not space.assets.call("hasAccepted", asset, 1, first, space.custodians[1].address)
    with space.refused("AssetsAlreadyAccepted", custodian.address):
        accept(asset, 1, first, custodian)
    assert space.assets.call("holderIndex", asset, 1, first, space.provider.address) == 0
    with space.refused("AssetsNotHolder", space.stranger.address):
        space.assets.call("holderIndex", asset, 1, first, space.stranger.address)
    second = space.deal(asset, 1, Terms())
    assert not space.assets.call("isReady", asset, 1, second)
    with space.refused("AssetsDealReplaced", asset, 1, first):
        accept(asset, 1, first, space.custodians[1])
    space.assets.send(space.provider.address, "retire", asset, "old")
    with space.refused("AssetsRetired", asset):
        accept(asset, 1, second, custodian)


@exercises("AssetsNotHolder")
def test_a_provider_whose_share_is_not_required_does_not_accept(space: Space) -> None:
    terms = Terms(provider_share_required=False)
    asset = space.register()
    space.publish(asset, terms)
    deal = space.deal(asset, 1, terms, threshold=1)
    with space.refused("AssetsNotHolder", space.provider.address):
        space.accept(asset, 1, deal, space.provider)
    space.accept(asset, 1, deal, space.custodians[0])
    assert space.assets.call("isReady", asset, 1, deal)


@exercises("AssetsDealUnknown", "AssetsKeysMismatch", "AssetsTextTooLong")
def test_openings(space: Space) -> None:
    asset = space.register()
    space.publish(asset, Terms())
    with space.refused("AssetsDealUnknown", asset, 1, 0):
        open_deal(space, asset, keys=space.keys())
    space.deal(asset, 1, Terms(), waiting=U32)
    for keys in (space.keys(3), space.keys(5), (*space.keys(3), ZERO)):
        usable = sum(key != ZERO for key in keys)
        with space.refused("AssetsKeysMismatch", usable, 4):
            open_deal(space, asset, keys=keys)
    with space.refused("AssetsTextTooLong", 257, 256):
        open_deal(space, asset, keys=space.keys(), reason="x" * 257)
    opening = open_deal(space, asset, keys=(ZERO, *space.keys(3)))
    assert space.assets.call("openingOf", opening) == (asset, 1, 1, space.now + U32)


def test_unknown_ids_read_as_nothing(space: Space) -> None:
    assert space.assets.call("assetOf", ZERO).versions == 0
    assert space.assets.call("versionOf", ZERO, 1).capsuleRoot == ZERO
    assert space.assets.call("dealOf", ZERO, 1, 0).holders == ()
    assert not space.assets.call("isReady", ZERO, 1, 0)


@pytest.mark.parametrize("terms", [Terms(), FULL, Terms(not_after=U64, uses_total=0)])
def test_published_terms_are_in_the_log(space: Space, terms: Terms) -> None:
    asset = space.register()
    space.publish(asset, terms)
    assert tuple(space.logs("CapsulePublished")[0]["terms"]) == terms
