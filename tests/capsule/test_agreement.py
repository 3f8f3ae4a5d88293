"""Agreements bind all that was agreed, and both who agreed."""

from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account

from capsule.agreement import Agreement, Offer, Signatures, SignedOffer, verify_signatures
from capsule.canonical import Json, decode, encode
from capsule.errors import FormatError, InputError, VerificationError
from capsule.ids import Address
from capsule.typed_data import TypedData
from tests.capsule.samples import ASSET, POLICY_HASH, PROVIDER, TERMS, account, digest

AGREEMENT = Agreement(
    asset=ASSET,
    version=1,
    policy_hash=POLICY_HASH,
    terms_hash=TERMS.hash,
    purpose="电网规划",
    algorithm=digest(1),
    buyer=account(1),
    provider=PROVIDER,
    compute_node=account(2),
    salt=bytes(range(32)),
)


def test_agreement_survives_json() -> None:
    read = Agreement.from_json(decode(encode(AGREEMENT.to_json())))
    assert (read, read.hash) == (AGREEMENT, AGREEMENT.hash)
    assert Agreement.from_json({**AGREEMENT.to_json(), "later": 1}).hash != AGREEMENT.hash
    for changes in ({"salt": b""}, {"version": 2**32}):
        with pytest.raises(InputError):
            replace(AGREEMENT, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in Agreement.__slots__ if name not in ("unknown",)])
def test_everything_counts_in_the_agreements_hash(name: str) -> None:
    value = getattr(AGREEMENT, name)
    other = value + 1 if isinstance(value, int) else type(value)(value[1:] + value[:1])
    assert replace(AGREEMENT, **{name: other}).hash != AGREEMENT.hash  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"salt": "0x00"},
        {"asset_version": "1"},
        {"buyer": "Alice"},
        {"version": 2},
    ],
)
def test_malformed_documents_are_format_errors(changes: dict[str, Json]) -> None:
    with pytest.raises(FormatError):
        Agreement.from_json({**AGREEMENT.to_json(), **changes})


CHAIN, ACCESS = 31337, Address(b"\xac" * 20)
BUYER_KEY, PROVIDER_KEY = Account.from_key(b"\x01" * 32), Account.from_key(b"\x02" * 32)
AGREED = replace(AGREEMENT, buyer=Address.parse(BUYER_KEY.address), provider=Address.parse(PROVIDER_KEY.address))


def signed(by: Any, message: TypedData) -> bytes:
    return bytes(by.sign_typed_data(full_message=message.to_wallet()).signature)


def signatures(agreement: Agreement = AGREED, chain_id: int = CHAIN, *, on_offer: bool = False) -> Signatures:
    message = agreement.typed_data(chain_id, ACCESS)
    own = agreement.offer.typed_data(chain_id, ACCESS) if on_offer else message
    return Signatures(agreement.hash, signed(BUYER_KEY, message), signed(PROVIDER_KEY, own), on_offer)


@pytest.mark.parametrize("on_offer", [False, True])
def test_what_both_sides_signed_holds_and_survives_json(on_offer: bool) -> None:
    both = Signatures.from_json(decode(encode(signatures(on_offer=on_offer).to_json())))
    assert verify_signatures(AGREED, both, CHAIN, ACCESS, automatic=on_offer) == AGREED


def test_a_signature_on_the_offer_binds_where_the_terms_grant_by_themselves_alone() -> None:
    both = signatures(on_offer=True)
    with pytest.raises(VerificationError, match="signed its offer and not the agreement"):
        verify_signatures(AGREED, both, CHAIN, ACCESS, automatic=False)
    with pytest.raises(VerificationError):
        verify_signatures(AGREED, replace(both, on_offer=False), CHAIN, ACCESS, automatic=True)


@pytest.mark.parametrize("name", [name for name in Agreement.__slots__ if name not in ("unknown",)])
def test_no_signature_holds_for_an_agreement_that_says_something_else(name: str) -> None:
    value = getattr(AGREED, name)
    other = replace(AGREED, **{name: value + 1 if isinstance(value, int) else type(value)(value[1:] + value[:1])})
    both = signatures()
    for given in (both, replace(both, agreement=other.hash)):
        with pytest.raises(VerificationError):
            verify_signatures(other, given, CHAIN, ACCESS, automatic=True)


@pytest.mark.parametrize(
    "false",
    [
        replace(signatures(), provider=b""),
        replace(signatures(), buyer=b""),
        replace(signatures(), provider=signatures().buyer),
        replace(signatures(), buyer=signatures().provider),
        signatures(chain_id=1),
        replace(signatures(), provider=signatures().provider[:-1] + b"\x00"),
    ],
)
def test_a_missing_swapped_or_foreign_signature_is_refused(false: Signatures) -> None:
    with pytest.raises(VerificationError):
        verify_signatures(AGREED, false, CHAIN, ACCESS, automatic=False)


def test_an_offer_is_its_providers() -> None:
    offer = AGREED.offer
    message = offer.typed_data(CHAIN, ACCESS)
    good = SignedOffer.from_json(decode(encode(SignedOffer(offer, signed(PROVIDER_KEY, message)).to_json())))
    assert good.verify(offer, CHAIN, ACCESS) == good
    assert Offer.from_json(decode(encode(offer.to_json()))).hash == offer.hash
    for false, wanted in (
        (replace(good, signature=signed(BUYER_KEY, message)), offer),
        (good, replace(offer, version=2)),
        (replace(good, offer=replace(offer, version=2)), replace(offer, version=2)),
    ):
        with pytest.raises(VerificationError):
            false.verify(wanted, CHAIN, ACCESS)
