"""Deals name every holder once and bind all that a release must match."""

import hashlib
from dataclasses import replace

import pytest

from capsule.canonical import decode, encode
from capsule.deal import Commitment, Deal, DealHolder, blind
from capsule.errors import FormatError, InputError
from capsule.ids import AssetId
from tests.capsule.samples import account, dealt, digest

DEAL = dealt().deal


def test_commitment_is_a_tagged_digest() -> None:
    expected = hashlib.sha256(b"dataspace/share/1\x00" + b"\x02" + b"s" * 16 + b"b" * 32).digest()
    assert blind(2, b"s" * 16, b"b" * 32) == expected


@pytest.mark.parametrize(
    ("index", "share", "blinding"),
    [(-1, bytes(16), bytes(32)), (33, bytes(16), bytes(32)), (1, bytes(15), bytes(32)), (1, bytes(16), bytes(31))],
)
def test_commitment_refuses_other_lengths(index: int, share: bytes, blinding: bytes) -> None:
    with pytest.raises(InputError):
        blind(index, share, blinding)


def test_deal_survives_json_with_members_of_the_future() -> None:
    document = decode(encode({**DEAL.to_json(), "later": {"a": [1]}}))
    read = Deal.from_json(document)
    assert read.to_json() == document
    assert read.hash != DEAL.hash
    assert Deal.from_json(DEAL.to_json()) == DEAL
    assert Deal.from_json(DEAL.to_json()).hash == DEAL.hash
    assert DEAL.hash == hashlib.sha256(b"dataspace/deal/1\x00" + encode(DEAL.to_json())).digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"chain_id": 1},
        {"access": account(9)},
        {"asset": AssetId(digest(9))},
        {"version": 2},
        {"capsule_id": bytes(16)},
        {"capsule_root": digest(9)},
        {"policy_hash": digest(9)},
        {"terms_hash": digest(9)},
        {"key_commitment": bytes(32)},
        {"number": 2},
        {"threshold": 1},
        {"provider_required": False},
        {"waiting_seconds": 0},
        {"holders": DEAL.holders[:-1]},
    ],
)
def test_everything_counts_in_the_hash(changes: dict[str, object]) -> None:
    assert replace(DEAL, **changes).hash != DEAL.hash  # type: ignore[arg-type]


def holder(number: int, index: int) -> DealHolder:
    return DealHolder(account(number), index, Commitment(digest(index)))


@pytest.mark.parametrize(
    "changes",
    [
        {"holders": DEAL.holders[:1]},
        {"holders": ()},
        {"holders": DEAL.holders[1:]},
        {"holders": (DEAL.holders[0], DEAL.holders[2], DEAL.holders[1], DEAL.holders[3])},
        {"holders": (*DEAL.holders, holder(1, 4))},
        {"holders": (DEAL.holders[0], *(holder(index, index) for index in range(1, 34)))},
        {"provider": account(77)},
        {"threshold": 0},
        {"threshold": 4},
        {"capsule_id": bytes(15)},
        {"key_commitment": bytes(16)},
        {"chain_id": -1},
        {"version": -1},
        {"waiting_seconds": -1},
    ],
)
def test_impossible_deals_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(DEAL, **changes)  # type: ignore[arg-type]


def test_deal_has_one_form_only() -> None:
    document = DEAL.to_json()
    first, *others = document["holders"]
    for changed in (
        {"provider": str(DEAL.provider).lower(), "holders": [{**first, "account": first["account"].lower()}, *others]},
        {"holders": [{**first, "later": 1}, *others]},
    ):
        with pytest.raises(FormatError):
            Deal.from_json({**document, **changed})


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "dataspace/share"},
        {"version": 2},
        {"holders": []},
        {"threshold": 9},
        {"chain_id": 5},
        {"holders": [{"account": str(account(1)), "index": 0}]},
        {"provider_required": 1},
    ],
)
def test_malformed_documents_are_format_errors(changes: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        Deal.from_json({**DEAL.to_json(), **changes})  # type: ignore[dict-item]
