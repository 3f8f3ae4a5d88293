"""How well it is known that a use's keys went to the runtime that its measurement names: quotes, levels, verifiers.

A quote vouches for a claim: this measurement, these one-time keys, this order, on this ledger. At level `software`
nobody but the compute node vouches, which protects from nothing that the node itself does; `hardware` takes a quote
that a verifier of its technology accepts. None for hardware is here yet: `Verifier` and `Attester` are where it goes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from capsule.canonical import Json
from capsule.digest import document_digest
from capsule.document import Fields, hexed, read_as
from capsule.errors import VerificationError
from capsule.ids import Address, Digest

__all__ = [
    "Attester",
    "Claim",
    "Level",
    "Quote",
    "SoftwareAttester",
    "SoftwareVerifier",
    "Verifier",
    "is_met",
    "verify_quote",
]

MAX_EVIDENCE_BYTES: Final = 1 << 20

_QUOTE: Final = "dataspace/quote"


class Level(StrEnum):
    """Who vouches for a runtime: SOFTWARE only the compute node, unprotected; HARDWARE its processor's maker."""

    SOFTWARE = "software"
    HARDWARE = "hardware"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a quote vouches for. `one_time_keys` are one use's X25519 public keys by the deal's positions."""

    chain_id: int
    access: Address
    order_hash: Digest
    measurement: Digest
    one_time_keys: tuple[bytes, ...]

    @property
    def digest(self) -> Digest:
        """What a quote must contain, and what it is asked for by."""
        return document_digest(
            "attestation-claim",
            {
                "chain_id": str(self.chain_id),
                "access": str(self.access),
                "order_hash": str(self.order_hash),
                "measurement": str(self.measurement),
                "one_time_keys": [hexed(key) for key in self.one_time_keys],
            },
        )


@dataclass(frozen=True, slots=True)
class Quote:
    """Evidence in the form of its `technology`."""

    technology: str
    evidence: bytes = field(repr=False)

    def to_json(self) -> dict[str, Json]:
        return {"kind": _QUOTE, "version": 1, "technology": self.technology, "evidence": hexed(self.evidence)}

    @classmethod
    def from_json(cls, document: Json) -> Quote:
        fields = Fields.of(document, _QUOTE)
        with read_as(_QUOTE):
            return cls(fields.text("technology", 40), fields.raw("evidence", limit=MAX_EVIDENCE_BYTES))


class Verifier(Protocol):
    """Knows the quotes of one technology, and what a good one is worth."""

    @property
    def technology(self) -> str: ...

    def verify(self, quote: Quote, claim: Claim) -> Level:
        """The level that the quote gives the claim; VerificationError unless it vouches for exactly this claim."""
        ...


class Attester(Protocol):
    """Makes a runtime's quotes. `level` is what a good one is worth."""

    @property
    def level(self) -> Level: ...

    def quote(self, claim: Claim) -> Quote: ...


class SoftwareAttester:
    """Vouches with nothing but the compute node's word."""

    level = Level.SOFTWARE

    def quote(self, claim: Claim) -> Quote:
        return Quote("software", bytes(claim.digest))


class SoftwareVerifier:
    """Reads quotes of software, which are unprotected: they show that the node says it, never that it is so."""

    technology = "software"
    protection = "unprotected"

    def verify(self, quote: Quote, claim: Claim) -> Level:
        if quote.evidence != bytes(claim.digest):
            raise VerificationError("quote is of another claim", f"this one is {claim.digest}")
        return Level.SOFTWARE


def verify_quote(quote: Quote, claim: Claim, verifiers: Iterable[Verifier]) -> Level:
    """The level that a quote gives a claim. VerificationError where no verifier knows it, or its own refuses it."""
    for verifier in verifiers:
        if verifier.technology == quote.technology:
            return verifier.verify(quote, claim)
    raise VerificationError("quote is of a technology that nobody here verifies", quote.technology[:40])


def is_met(level: Level, allowed: Collection[Level]) -> bool:
    """Whether a policy that names these levels is met; one that names none takes any."""
    return not allowed or level in allowed
