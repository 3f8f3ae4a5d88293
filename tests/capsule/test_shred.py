"""A holder's signed word that it destroyed its part."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from capsule import canonical
from capsule.digest import Domain
from capsule.errors import FormatError, InputError, VerificationError
from capsule.ids import Address, Digest
from capsule.shred import ShredStatement, SignedShred, sign_shred, verify_shred
from capsule.signature import Ed25519Signer, PublicKey

SIGNER = Ed25519Signer(bytes(range(32)))
KEY = PublicKey(SIGNER.suite, SIGNER.public_key)
DOMAIN = Domain(7, Address(bytes(range(20))))
STATEMENT = ShredStatement(
    deal=Digest(bytes(range(32))), holder=Address(bytes(range(20))), index=3, time=1_800_000_000, salt=bytes(32)
)


def test_statement_comes_back_signed_with_its_digest_and_what_it_does_not_know() -> None:
    signed = sign_shred(STATEMENT, SIGNER, DOMAIN)
    document = canonical.decode(canonical.encode(signed.to_json()))
    assert SignedShred.from_json(document) == signed
    assert verify_shred(signed, KEY, DOMAIN) == STATEMENT
    later = ShredStatement.from_json({**STATEMENT.to_json(), "witness": "nobody"})
    assert later.to_json()["witness"] == "nobody"
    assert later.hash != STATEMENT.hash


@pytest.mark.parametrize(
    "alter",
    [
        lambda one: replace(one, index=2),
        lambda one: replace(one, time=one.time + 1),
        lambda one: replace(one, deal=Digest(bytes(32))),
        lambda one: replace(one, holder=Address.ZERO),
        lambda one: replace(one, salt=bytes([1]) + bytes(31)),
    ],
)
def test_another_statement_is_not_signed(alter: Callable[[ShredStatement], ShredStatement]) -> None:
    signed = sign_shred(STATEMENT, SIGNER, DOMAIN)
    with pytest.raises(VerificationError):
        verify_shred(replace(signed, statement=alter(STATEMENT)), KEY, DOMAIN)
    with pytest.raises(VerificationError):
        verify_shred(signed, KEY, Domain(8, DOMAIN.directory))


@pytest.mark.parametrize("wrong", [{"salt": b""}, {"index": 33}, {"time": -1}])
def test_values_that_are_none_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(STATEMENT, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"kind": "dataspace/share"}, {"version": 2}, {"index": 33}, {"salt": "0x"}])
def test_documents_that_are_none_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        ShredStatement.from_json({**STATEMENT.to_json(), **wrong})  # type: ignore[dict-item]
