"""The receipt of a run: what the compute node states it computed, signed with its registered key.

Its hash stands on chain in `UseClosed`. A run that failed leaves one too, which names the `failure` and no output;
only a wrong share is told by an accusation instead. Level `software` means that all of it is the node's word until a
hardware quote says more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from capsule.attestation import Level
from capsule.canonical import Json
from capsule.digest import Domain, document_digest, tagged
from capsule.document import Fields, hexed, no_unknown, read_as
from capsule.errors import InputError
from capsule.ids import Address, Digest, GrantId, UseId
from capsule.oplog import LogHead
from capsule.privacy import NO_EPSILON, Epsilon
from capsule.signature import PublicKey, Signer

__all__ = [
    "FAILURES",
    "GUARD_PASSED",
    "GUARD_REFUSED",
    "KIND",
    "NO_OUTPUT",
    "SALT_SIZE",
    "CloseReason",
    "Receipt",
    "SignedReceipt",
    "SourceVerdict",
    "output_digest",
    "sign_receipt",
    "verify_receipt",
]

KIND: Final = "dataspace/receipt"
SALT_SIZE: Final = 32
GUARD_PASSED: Final = "passed"
GUARD_REFUSED: Final = "refused"
NO_OUTPUT: Final = Digest(bytes(32))
MAX_GRANTS: Final = 64

_SIGNED: Final = "dataspace/signed-receipt"
_SOURCE_LEVELS: Final = ("verified", "declared")


class CloseReason(IntEnum):
    """Why a use was closed as failed (`UseClosed.reason`)."""

    COMPLETED = 0
    TOO_FEW_RELEASES = 1
    SHARE_WRONG = 2
    CAPSULE_WRONG = 3
    ALGORITHM_FAILED = 4
    OUTPUT_REFUSED = 5
    LIMIT_REACHED = 6
    NOT_RUN = 7
    KEY_WRONG = 8


FAILURES: Final[Mapping[int, str]] = MappingProxyType(
    {
        int(reason): reason.name.lower()
        for reason in CloseReason
        if reason not in (CloseReason.COMPLETED, CloseReason.SHARE_WRONG)
    }
)
"""What a receipt says of a run that was closed as failed, by the reason on chain."""


def output_digest(output: bytes, salt: bytes) -> Digest:
    """Salted digest of a result: digest "output" over salt (32 bytes) and the result's bytes."""
    if len(salt) != SALT_SIZE:
        raise InputError(f"a salt has {SALT_SIZE} bytes")
    return tagged("output", salt + output)


@dataclass(frozen=True, slots=True)
class SourceVerdict:
    """Whether the runtime verified the device frames inside: `verified` of `of` rows; `declared` when it could not."""

    level: str
    verified: int = 0
    of: int = 0

    def __post_init__(self) -> None:
        if self.level not in _SOURCE_LEVELS:
            raise InputError(f"source level {self.level!r:.40} is not one of {', '.join(_SOURCE_LEVELS)}")
        if not 0 <= self.verified <= self.of:
            raise InputError(f"source verdict counts {self.verified} of {self.of}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One run of one order. Per grant, in the order's order: its use, its agreement's hash, its capsule's root.

    `failure` is one of FAILURES, empty for a completed run. With it the guard refused, nothing came out, and
    `measurement` is of the runtime that the use was opened with, whether or not it ran. `log_head` is the head of the
    node's operation log that contains what led to the receipt; the receipt's own entry comes after it. `reexecutes` is
    the hash of the receipt whose run this one repeats, with its parameters and under its output's salt. `epsilon` is
    what a private answer, or a refusal that came after rows were looked at, spent of the buyer's privacy budget on each
    of the assets; None for any other run.
    """

    order_hash: Digest
    uses: tuple[UseId, ...]
    grants: tuple[GrantId, ...]
    agreements: tuple[Digest, ...]
    capsule_roots: tuple[Digest, ...]
    algorithm: Digest
    parameters: Digest
    output: Digest
    rows_in: int
    rows_out: int
    guard: str
    source: SourceVerdict
    measurement: Digest
    protected: bool
    log_head: LogHead
    opened_at: int
    closed_at: int
    compute_node: Address
    level: str = Level.SOFTWARE
    failure: str = ""
    reexecutes: Digest | None = None
    epsilon: Epsilon | None = None
    unknown: Mapping[str, Json] = field(default_factory=no_unknown, hash=False, repr=False)

    def __post_init__(self) -> None:
        lengths = {len(self.uses), len(self.grants), len(self.agreements), len(self.capsule_roots)}
        if len(lengths) != 1 or not self.uses or len(self.uses) > MAX_GRANTS:
            raise InputError(f"a receipt lists 1 to {MAX_GRANTS} grants, each with use, agreement and capsule root")
        if self.guard not in (GUARD_PASSED, GUARD_REFUSED):
            raise InputError(f"guard verdict {self.guard!r:.40} is not {GUARD_PASSED} or {GUARD_REFUSED}")
        if self.level not in tuple(Level):
            raise InputError(f"receipt level {self.level!r:.40} is not one of {', '.join(Level)}")
        if min(self.rows_in, self.rows_out) < 0:
            raise InputError("a receipt's counts are unsigned")
        if not 0 <= self.opened_at <= self.closed_at:
            raise InputError("a receipt closes after it opened")
        if self.failure:
            if self.failure not in FAILURES.values():
                raise InputError(f"failure {self.failure!r:.40} is not one of {', '.join(FAILURES.values())}")
            if (self.guard, self.rows_out, self.output) != (GUARD_REFUSED, 0, NO_OUTPUT):
                raise InputError("the receipt of a failed run lets nothing out")
        if self.epsilon is not None and (self.epsilon == NO_EPSILON or self.reexecutes is not None):
            raise InputError("a receipt's epsilon is above 0, and no repeated run spends any")

    @property
    def hash(self) -> Digest:
        return document_digest("receipt", self.to_json())

    def to_json(self) -> dict[str, Json]:
        return {
            **self.unknown,
            "kind": KIND,
            "version": 1,
            "order_hash": str(self.order_hash),
            "uses": [str(use) for use in self.uses],
            "grants": [str(grant) for grant in self.grants],
            "agreements": [str(agreement) for agreement in self.agreements],
            "capsule_roots": [str(root) for root in self.capsule_roots],
            "algorithm": str(self.algorithm),
            "parameters": str(self.parameters),
            "output": str(self.output),
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "guard": self.guard,
            "source": {"level": self.source.level, "verified": self.source.verified, "of": self.source.of},
            "measurement": str(self.measurement),
            "level": self.level,
            "protected": self.protected,
            "log_head": self.log_head.to_json(),
            "opened_at": self.opened_at,
            "closed_at": self.closed_at,
            "compute_node": str(self.compute_node),
            **({"failure": self.failure} if self.failure else {}),
            **({} if self.reexecutes is None else {"reexecutes": str(self.reexecutes)}),
            **({} if self.epsilon is None else {"epsilon": str(self.epsilon)}),
        }

    @classmethod
    def from_json(cls, document: Json) -> Receipt:
        fields = Fields.of(document, KIND)
        source = fields.object("source")
        with read_as(KIND):
            return cls(
                order_hash=fields.id("order_hash", Digest),
                uses=fields.ids("uses", UseId, MAX_GRANTS),
                grants=fields.ids("grants", GrantId, MAX_GRANTS),
                agreements=fields.ids("agreements", Digest, MAX_GRANTS),
                capsule_roots=fields.ids("capsule_roots", Digest, MAX_GRANTS),
                algorithm=fields.id("algorithm", Digest),
                parameters=fields.id("parameters", Digest),
                output=fields.id("output", Digest),
                rows_in=fields.integer("rows_in"),
                rows_out=fields.integer("rows_out"),
                guard=fields.text("guard"),
                source=SourceVerdict(source.text("level"), source.integer("verified"), source.integer("of")),
                measurement=fields.id("measurement", Digest),
                level=fields.text("level"),
                protected=fields.flag("protected"),
                log_head=LogHead.read(fields.object("log_head")),
                opened_at=fields.integer("opened_at"),
                closed_at=fields.integer("closed_at"),
                compute_node=fields.id("compute_node", Address),
                failure=fields.one_of("failure", tuple(FAILURES.values())) if fields.has("failure") else "",
                reexecutes=fields.id("reexecutes", Digest) if fields.has("reexecutes") else None,
                epsilon=fields.id("epsilon", Epsilon) if fields.has("epsilon") else None,
                unknown=fields.unknown(),
            )


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt with its node's signature."""

    receipt: Receipt
    suite: int
    signature: bytes

    def to_json(self) -> dict[str, Json]:
        return {
            "kind": _SIGNED,
            "version": 1,
            "receipt": self.receipt.to_json(),
            "suite": self.suite,
            "signature": hexed(self.signature),
        }

    @classmethod
    def from_json(cls, document: Json) -> SignedReceipt:
        fields = Fields.of(document, _SIGNED)
        return cls(
            Receipt.from_json(fields.value("receipt")),
            fields.integer("suite", 0, 255),
            fields.raw("signature", limit=256),
        )


def sign_receipt(receipt: Receipt, signer: Signer, domain: Domain) -> SignedReceipt:
    """Signs the receipt's hash for one ledger."""
    return SignedReceipt(receipt, signer.suite, signer.sign(domain.statement("receipt", receipt.hash)))


def verify_receipt(signed: SignedReceipt, public_key: PublicKey, domain: Domain) -> Receipt:
    """Returns the receipt when the key signed it for this ledger; VerificationError otherwise."""
    public_key.verify_suite(signed.suite).verify(domain.statement("receipt", signed.receipt.hash), signed.signature)
    return signed.receipt
