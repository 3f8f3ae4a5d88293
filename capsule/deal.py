"""Who holds which part of a capsule's key: the deal, whose digest stands on chain in `CustodyDealt`.

Position 0 is always the provider, positions 1 to n the custodians; a position is the index of the share. Every part
is committed to under blinding, so that a holder can check its own and a wrong release is proven by opening one
commitment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from capsule.canonical import Json
from capsule.digest import document_digest, tagged
from capsule.document import Fields, hexed, no_unknown, read_as
from capsule.errors import FormatError, InputError
from capsule.ids import Address, AssetId, Digest
from capsule.key import KEY_SIZE, MAX_CUSTODIANS

__all__ = ["BLINDING_SIZE", "CAPSULE_ID_SIZE", "KIND", "Commitment", "Deal", "DealHolder", "blind"]

KIND: Final = "dataspace/deal"
BLINDING_SIZE: Final = 32
CAPSULE_ID_SIZE: Final = 16


class Commitment(Digest):
    """A blinded commitment to one holder's part."""

    __slots__ = ()


def blind(index: int, share: bytes, blinding: bytes) -> Commitment:
    """Commitment to a part: digest "share" over index (1 byte), part (16), blinding (32)."""
    if not 0 <= index <= MAX_CUSTODIANS or len(share) != KEY_SIZE or len(blinding) != BLINDING_SIZE:
        raise InputError("a commitment takes an index from 0 to 32, a part of 16 and a blinding of 32 bytes")
    return Commitment(tagged("share", bytes([index]) + share + blinding))


@dataclass(frozen=True, slots=True)
class DealHolder:
    """One holder: its account, its position, and the commitment to its part."""

    account: Address
    index: int
    commitment: Commitment


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """The deal. `number` counts the deals of one version, `waiting_seconds` delays the opening for the next deal."""

    chain_id: int
    access: Address
    asset: AssetId
    version: int
    provider: Address
    capsule_id: bytes
    capsule_root: Digest
    policy_hash: Digest
    terms_hash: Digest
    key_commitment: bytes
    number: int
    threshold: int
    provider_required: bool
    waiting_seconds: int
    holders: tuple[DealHolder, ...]
    unknown: Mapping[str, Json] = field(default_factory=no_unknown, hash=False, repr=False)

    def __post_init__(self) -> None:
        custodians = len(self.holders) - 1
        if not 1 <= custodians <= MAX_CUSTODIANS:
            raise InputError(f"a deal names the provider and 1 to {MAX_CUSTODIANS} custodians")
        if tuple(holder.index for holder in self.holders) != tuple(range(len(self.holders))):
            raise InputError("a deal lists its holders by position from 0")
        if len({holder.account for holder in self.holders}) != len(self.holders):
            raise InputError("a deal names a holder twice")
        if self.holders[0].account != self.provider:
            raise InputError("position 0 of a deal is its provider")
        if not 1 <= self.threshold <= custodians:
            raise InputError(f"threshold {self.threshold} of {custodians} custodians")
        if len(self.capsule_id) != CAPSULE_ID_SIZE or len(self.key_commitment) != 32:
            raise InputError("a deal names a capsule id of 16 and a key commitment of 32 bytes")
        if not (0 <= self.chain_id < 2**256 and min(self.version, self.number, self.waiting_seconds) >= 0):
            raise InputError("a deal's numbers are unsigned")

    @property
    def hash(self) -> Digest:
        return document_digest("deal", self.to_json())

    def to_json(self) -> dict[str, Json]:
        return {
            **self.unknown,
            "kind": KIND,
            "version": 1,
            "chain_id": str(self.chain_id),
            "access": str(self.access),
            "asset": str(self.asset),
            "asset_version": self.version,
            "provider": str(self.provider),
            "capsule_id": hexed(self.capsule_id),
            "capsule_root": str(self.capsule_root),
            "policy_hash": str(self.policy_hash),
            "terms_hash": str(self.terms_hash),
            "key_commitment": hexed(self.key_commitment),
            "number": self.number,
            "threshold": self.threshold,
            "provider_required": self.provider_required,
            "waiting_seconds": self.waiting_seconds,
            "holders": [
                {"account": str(holder.account), "index": holder.index, "commitment": str(holder.commitment)}
                for holder in self.holders
            ],
        }

    @classmethod
    def from_json(cls, document: Json) -> Deal:
        """Reads a deal; FormatError unless it is in its one form, so that its hash is the document's."""
        fields = Fields.of(document, KIND)
        with read_as(KIND):
            deal = cls(
                chain_id=fields.decimal("chain_id"),
                access=fields.id("access", Address),
                asset=fields.id("asset", AssetId),
                version=fields.integer("asset_version", high=2**32 - 1),
                provider=fields.id("provider", Address),
                capsule_id=fields.raw("capsule_id", CAPSULE_ID_SIZE),
                capsule_root=fields.id("capsule_root", Digest),
                policy_hash=fields.id("policy_hash", Digest),
                terms_hash=fields.id("terms_hash", Digest),
                key_commitment=fields.raw("key_commitment", 32),
                number=fields.integer("number", high=2**32 - 1),
                threshold=fields.integer("threshold", 1, MAX_CUSTODIANS),
                provider_required=fields.flag("provider_required"),
                waiting_seconds=fields.integer("waiting_seconds", high=2**32 - 1),
                holders=fields.objects("holders", MAX_CUSTODIANS + 1, _holder),
                unknown=fields.unknown(),
            )
        if deal.to_json() != document:  # an account in other letters, a member within a holder that nobody knows
            raise FormatError(f"{KIND}: not written as its format says")
        return deal


def _holder(fields: Fields) -> DealHolder:
    return DealHolder(
        fields.id("account", Address), fields.integer("index", 0, MAX_CUSTODIANS), fields.id("commitment", Commitment)
    )
