"""A holder's signed word that it destroyed its part of one deal: a statement, not a proof (DESIGN section 5).

It says nothing of copies that were made before, and does not reach keys that were rebuilt earlier. The salt keeps its
digest from being guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from capsule.canonical import Json
from capsule.digest import Domain, document_digest, tagged
from capsule.document import Fields, hexed, no_unknown, read_as
from capsule.errors import InputError
from capsule.ids import Address, Digest
from capsule.key import MAX_CUSTODIANS
from capsule.signature import PublicKey, Signer

__all__ = ["KIND", "SALT_SIZE", "ShredStatement", "SignedShred", "shred_name", "sign_shred", "verify_shred"]

KIND: Final = "dataspace/shred-statement"
SALT_SIZE: Final = 32

_SIGNED: Final = "dataspace/signed-shred-statement"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShredStatement:
    """`holder` destroyed what it held at position `index` of a deal, at `time` in unix seconds of its own clock."""

    deal: Digest
    holder: Address
    index: int
    time: int
    salt: bytes = field(repr=False)
    unknown: Mapping[str, Json] = field(default_factory=no_unknown, hash=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.salt) != SALT_SIZE:
            raise InputError(f"a salt has {SALT_SIZE} bytes")
        if not 0 <= self.index <= MAX_CUSTODIANS or self.time < 0:
            raise InputError(f"a shred statement's numbers are unsigned, its index at most {MAX_CUSTODIANS}")

    @property
    def hash(self) -> Digest:
        return document_digest("shred-statement", self.to_json())

    def to_json(self) -> dict[str, Json]:
        return {
            **self.unknown,
            "kind": KIND,
            "version": 1,
            "deal": str(self.deal),
            "holder": str(self.holder),
            "index": self.index,
            "time": self.time,
            "salt": hexed(self.salt),
        }

    @classmethod
    def from_json(cls, document: Json) -> ShredStatement:
        fields = Fields.of(document, KIND)
        with read_as(KIND):
            return cls(
                deal=fields.id("deal", Digest),
                holder=fields.id("holder", Address),
                index=fields.integer("index", 0, MAX_CUSTODIANS),
                time=fields.integer("time"),
                salt=fields.raw("salt", SALT_SIZE),
                unknown=fields.unknown(),
            )


@dataclass(frozen=True, slots=True)
class SignedShred:
    """A shred statement with its holder's signature."""

    statement: ShredStatement
    suite: int
    signature: bytes

    def to_json(self) -> dict[str, Json]:
        return {
            "kind": _SIGNED,
            "version": 1,
            "statement": self.statement.to_json(),
            "suite": self.suite,
            "signature": hexed(self.signature),
        }

    @classmethod
    def from_json(cls, document: Json) -> SignedShred:
        fields = Fields.of(document, _SIGNED)
        return cls(
            ShredStatement.from_json(fields.value("statement")),
            fields.integer("suite", 0, 255),
            fields.raw("signature", limit=256),
        )


def shred_name(deal: Digest, holder: Address) -> Digest:
    """The name of a holder's statement among those of all holders of a deal; each serves its own under the deal."""
    return tagged("shred-name", bytes(deal) + bytes(holder))


def sign_shred(statement: ShredStatement, signer: Signer, domain: Domain) -> SignedShred:
    """Signs the statement's hash for one ledger."""
    return SignedShred(statement, signer.suite, signer.sign(domain.statement("shred-statement", statement.hash)))


def verify_shred(signed: SignedShred, public_key: PublicKey, domain: Domain) -> ShredStatement:
    """Returns the statement when the key signed it for this ledger; VerificationError otherwise."""
    statement = domain.statement("shred-statement", signed.statement.hash)
    public_key.verify_suite(signed.suite).verify(statement, signed.signature)
    return signed.statement
