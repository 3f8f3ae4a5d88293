"""A signed statement of a chain's state, where no seals or proofs exist: a block, and the head of every contract at it.

It anchors trust only when one regulator and two other participants signed it, each with its own key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from capsule.canonical import Json
from capsule.digest import Domain, document_digest
from capsule.document import Fields, hexed, no_unknown, read_as
from capsule.errors import FormatError, InputError, VerificationError
from capsule.ids import Address, Digest
from capsule.signature import PublicKey, Signer

__all__ = [
    "KIND",
    "OTHERS_NEEDED",
    "Checkpoint",
    "CheckpointSignature",
    "Head",
    "SignedCheckpoint",
    "sign_checkpoint",
    "verify_checkpoint",
]

KIND: Final = "dataspace/checkpoint"
OTHERS_NEEDED: Final = 2
MAX_HEADS: Final = 64
MAX_SIGNATURES: Final = 256

_SIGNED: Final = "dataspace/signed-checkpoint"


class Head(NamedTuple):
    """A contract's running hash and the number of its events."""

    head: Digest
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The heads of all contracts, by name, as of one block."""

    chain_id: int
    directory: Address
    block_number: int
    block_hash: Digest
    heads: Mapping[str, Head] = field(hash=False)
    unknown: Mapping[str, Json] = field(default_factory=no_unknown, hash=False, repr=False)

    def __post_init__(self) -> None:
        if not self.heads or len(self.heads) > MAX_HEADS:
            raise InputError(f"a checkpoint has 1 to {MAX_HEADS} heads")
        if self.block_number < 0 or any(head.seq < 0 for head in self.heads.values()):
            raise InputError("a checkpoint's numbers are unsigned")
        heads = {name: Head(*head) for name, head in sorted(self.heads.items())}
        object.__setattr__(self, "heads", MappingProxyType(heads))

    @property
    def domain(self) -> Domain:
        return Domain(self.chain_id, self.directory)

    @property
    def hash(self) -> Digest:
        return document_digest("checkpoint", self.to_json())

    def to_json(self) -> dict[str, Json]:
        return {
            **self.unknown,
            "kind": KIND,
            "version": 1,
            "chain_id": str(self.chain_id),
            "directory": str(self.directory),
            "block_number": self.block_number,
            "block_hash": str(self.block_hash),
            "heads": {name: {"head": str(head.head), "seq": head.seq} for name, head in self.heads.items()},
        }

    @classmethod
    def from_json(cls, document: Json) -> Checkpoint:
        fields = Fields.of(document, KIND)
        heads = fields.object("heads")
        with read_as(KIND):
            return cls(
                chain_id=fields.decimal("chain_id"),
                directory=fields.id("directory", Address),
                block_number=fields.integer("block_number"),
                block_hash=fields.id("block_hash", Digest),
                heads={name: _head(heads.object(name)) for name in heads.names()},
                unknown=fields.unknown(),
            )


def _head(fields: Fields) -> Head:
    return Head(fields.id("head", Digest), fields.integer("seq"))


@dataclass(frozen=True, slots=True)
class CheckpointSignature:
    """One participant's signature; `account` says whose key to look up."""

    account: Address
    suite: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint and the signatures gathered for it."""

    checkpoint: Checkpoint
    signatures: tuple[CheckpointSignature, ...]

    def to_json(self) -> dict[str, Json]:
        return {
            "kind": _SIGNED,
            "version": 1,
            "checkpoint": self.checkpoint.to_json(),
            "signatures": [
                {"account": str(one.account), "suite": one.suite, "signature": hexed(one.signature)}
                for one in self.signatures
            ],
        }

    @classmethod
    def from_json(cls, document: Json) -> SignedCheckpoint:
        fields = Fields.of(document, _SIGNED)
        signatures = fields.objects("signatures", MAX_SIGNATURES, _signature)
        if len({one.account for one in signatures}) != len(signatures):
            raise FormatError(f"{_SIGNED}: an account's signature is there twice")
        return cls(Checkpoint.from_json(fields.value("checkpoint")), signatures)


def _signature(fields: Fields) -> CheckpointSignature:
    return CheckpointSignature(
        fields.id("account", Address), fields.integer("suite", 0, 255), fields.raw("signature", limit=256)
    )


def sign_checkpoint(checkpoint: Checkpoint, account: Address, signer: Signer) -> CheckpointSignature:
    """One participant's signature under the ledger that the checkpoint names."""
    message = checkpoint.domain.statement("checkpoint", checkpoint.hash)
    return CheckpointSignature(account, signer.suite, signer.sign(message))


def verify_checkpoint(
    signed: SignedCheckpoint, keys: Mapping[Address, PublicKey], regulators: Collection[Address], domain: Domain
) -> Checkpoint:
    """Returns the checkpoint when it is of this ledger and enough of the known participants signed it.

    Signatures of accounts that `keys` does not name count for nothing. Raises VerificationError.
    """
    checkpoint = signed.checkpoint
    # 1. It is about the ledger that the caller trusts.
    if checkpoint.domain != domain:
        raise VerificationError(
            "checkpoint is of another ledger",
            f"chain {checkpoint.chain_id} Directory {checkpoint.directory}, "
            f"expected chain {domain.chain_id} Directory {domain.directory}",
        )
    # 2. Every signature under a known account holds.
    message = domain.statement("checkpoint", checkpoint.hash)
    accounts = set()
    for one in signed.signatures:
        if one.account in keys:
            keys[one.account].verify_suite(one.suite).verify(message, one.signature)
            accounts.add(one.account)
    # 3. One key speaks for one participant.
    if len({keys[account] for account in accounts}) != len(accounts):
        raise VerificationError("checkpoint is signed twice with one key", f"checkpoint {checkpoint.hash}")
    # 4. One regulator and two others are among them.
    if not accounts & set(regulators) or len(accounts) < 1 + OTHERS_NEEDED:
        raise VerificationError(
            f"checkpoint needs a regulator's and {OTHERS_NEEDED} other participants' signatures",
            f"checkpoint {checkpoint.hash}, signed by {', '.join(sorted(map(str, accounts))) or 'nobody known'}",
        )
    return checkpoint
