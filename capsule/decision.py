"""A holder's signed decision on one use: released or refused, on what view of the chain, and why.

Its hash stands on chain with the release or refusal; the salt keeps it from being guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from capsule.canonical import Json
from capsule.digest import Domain, document_digest
from capsule.document import Fields, hexed, no_unknown, read_as
from capsule.errors import InputError
from capsule.ids import Address, Bytes32, Digest
from capsule.key import MAX_CUSTODIANS
from capsule.oplog import LogHead
from capsule.signature import PublicKey, Signer

__all__ = [
    "CHAIN_VIEWS",
    "KIND",
    "REFUSED",
    "RELEASED",
    "SALT_SIZE",
    "RefusalReason",
    "ShareDecision",
    "SignedDecision",
    "sign_decision",
    "verify_decision",
]

KIND: Final = "dataspace/decision"
SALT_SIZE: Final = 32
RELEASED: Final = "released"
REFUSED: Final = "refused"
CHAIN_VIEWS: Final = ("own node", "agreeing", "single unverified endpoint")

_SIGNED: Final = "dataspace/signed-decision"


class RefusalReason(IntEnum):
    """Why a holder refuses; the number stands on chain. NONE goes with a release."""

    NONE = 0
    NO_SHARE = 1
    DEAL_MISMATCH = 2
    PIN_MISMATCH = 3
    POLICY_MISSING = 4
    POLICY_MISMATCH = 5
    TERMS_NOT_MET = 6
    MEASUREMENT_NOT_ALLOWED = 7
    USE_NOT_OPEN = 8
    DEADLINE_PASSED = 9
    GRANT_REVOKED = 10
    PARTY_NOT_ACTIVE = 11
    COMPUTE_NODE_INVOLVED = 12
    ORDER_INVALID = 13
    OWN_LIMIT = 14
    CLOCK_OFF = 15
    CHAIN_UNVERIFIED = 16
    NOT_CONFIRMED = 17
    KEY_UNUSABLE = 18
    ATTESTATION_NOT_MET = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareDecision:
    """One decision. `use` is a use's or opening's id; `view` how the holder saw the chain, up to final block `block`.

    `log_head` is the head of the holder's operation log before the decision's own entry.
    """

    use: Bytes32
    deal: Digest
    holder: Address
    index: int
    outcome: str
    reason: RefusalReason
    view: str
    block: int
    decided_at: int
    salt: bytes = field(repr=False)
    log_head: LogHead
    unknown: Mapping[str, Json] = field(default_factory=no_unknown, hash=False, repr=False)

    def __post_init__(self) -> None:
        if self.outcome not in (RELEASED, REFUSED):
            raise InputError(f"a decision's outcome is {RELEASED} or {REFUSED}, not {self.outcome!r:.40}")
        if (self.outcome == RELEASED) != (self.reason is RefusalReason.NONE):
            raise InputError("a refusal, and only a refusal, has a reason")
        if self.view not in CHAIN_VIEWS:
            raise InputError(f"chain view {self.view!r:.40} is not one of {', '.join(CHAIN_VIEWS)}")
        if len(self.salt) != SALT_SIZE:
            raise InputError(f"a salt has {SALT_SIZE} bytes")
        if not 0 <= self.index <= MAX_CUSTODIANS or min(self.block, self.decided_at) < 0:
            raise InputError("a decision's numbers are unsigned, its index at most 32")

    @property
    def hash(self) -> Digest:
        return document_digest("decision", self.to_json())

    def to_json(self) -> dict[str, Json]:
        return {
            **self.unknown,
            "kind": KIND,
            "version": 1,
            "use": str(self.use),
            "deal": str(self.deal),
            "holder": str(self.holder),
            "index": self.index,
            "outcome": self.outcome,
            "reason": int(self.reason),
            "view": self.view,
            "block": self.block,
            "decided_at": self.decided_at,
            "salt": hexed(self.salt),
            "log_head": self.log_head.to_json(),
        }

    @classmethod
    def from_json(cls, document: Json) -> ShareDecision:
        fields = Fields.of(document, KIND)
        with read_as(KIND):
            return cls(
                use=fields.id("use", Bytes32),
                deal=fields.id("deal", Digest),
                holder=fields.id("holder", Address),
                index=fields.integer("index", 0, MAX_CUSTODIANS),
                outcome=fields.text("outcome"),
                reason=RefusalReason(fields.integer("reason", 0, max(RefusalReason))),
                view=fields.text("view"),
                block=fields.integer("block"),
                decided_at=fields.integer("decided_at"),
                salt=fields.raw("salt", SALT_SIZE),
                log_head=LogHead.read(fields.object("log_head")),
                unknown=fields.unknown(),
            )


@dataclass(frozen=True, slots=True)
class SignedDecision:
    """A decision with its holder's signature."""

    decision: ShareDecision
    suite: int
    signature: bytes

    def to_json(self) -> dict[str, Json]:
        return {
            "kind": _SIGNED,
            "version": 1,
            "decision": self.decision.to_json(),
            "suite": self.suite,
            "signature": hexed(self.signature),
        }

    @classmethod
    def from_json(cls, document: Json) -> SignedDecision:
        fields = Fields.of(document, _SIGNED)
        return cls(
            ShareDecision.from_json(fields.value("decision")),
            fields.integer("suite", 0, 255),
            fields.raw("signature", limit=256),
        )


def sign_decision(decision: ShareDecision, signer: Signer, domain: Domain) -> SignedDecision:
    """Signs the decision's hash for one ledger."""
    return SignedDecision(decision, signer.suite, signer.sign(domain.statement("decision", decision.hash)))


def verify_decision(signed: SignedDecision, public_key: PublicKey, domain: Domain) -> ShareDecision:
    """Returns the decision when the key signed it for this ledger; VerificationError otherwise."""
    public_key.verify_suite(signed.suite).verify(domain.statement("decision", signed.decision.hash), signed.signature)
    return signed.decision
