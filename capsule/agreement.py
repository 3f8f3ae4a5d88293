"""The contract behind a grant: who may use what, for which purpose, with which algorithm, computed where.

Its salted hash stands on chain (`agreementHash`); the document stays with its parties and is shown to who must check
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from capsule.canonical import Json
from capsule.digest import document_digest
from capsule.document import Fields, hexed, no_unknown, read_as
from capsule.errors import InputError
from capsule.ids import Address, AssetId, Digest

__all__ = ["KIND", "SALT_SIZE", "Agreement"]

KIND: Final = "dataspace/agreement"
SALT_SIZE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One agreement; `version` is the asset's version."""

    asset: AssetId
    version: int
    policy_hash: Digest
    terms_hash: Digest
    purpose: str
    algorithm: Digest
    buyer: Address
    provider: Address
    compute_node: Address
    salt: bytes = field(repr=False)
    unknown: Mapping[str, Json] = field(default_factory=no_unknown, hash=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.salt) != SALT_SIZE:
            raise InputError(f"a salt has {SALT_SIZE} bytes")
        if not 0 <= self.version < 2**32:
            raise InputError("an asset's version is a uint32")

    @property
    def hash(self) -> Digest:
        return document_digest("agreement", self.to_json())

    def to_json(self) -> dict[str, Json]:
        return {
            **self.unknown,
            "kind": KIND,
            "version": 1,
            "asset": str(self.asset),
            "asset_version": self.version,
            "policy_hash": str(self.policy_hash),
            "terms_hash": str(self.terms_hash),
            "purpose": self.purpose,
            "algorithm": str(self.algorithm),
            "buyer": str(self.buyer),
            "provider": str(self.provider),
            "compute_node": str(self.compute_node),
            "salt": hexed(self.salt),
        }

    @classmethod
    def from_json(cls, document: Json) -> Agreement:
        fields = Fields.of(document, KIND)
        with read_as(KIND):
            return cls(
                asset=fields.id("asset", AssetId),
                version=fields.integer("asset_version", high=2**32 - 1),
                policy_hash=fields.id("policy_hash", Digest),
                terms_hash=fields.id("terms_hash", Digest),
                purpose=fields.text("purpose"),
                algorithm=fields.id("algorithm", Digest),
                buyer=fields.id("buyer", Address),
                provider=fields.id("provider", Address),
                compute_node=fields.id("compute_node", Address),
                salt=fields.raw("salt", SALT_SIZE),
                unknown=fields.unknown(),
            )
