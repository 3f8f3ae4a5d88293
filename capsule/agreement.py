"""The contract behind a grant: who may use what, for which purpose, with which algorithm, computed where.

Its salted hash stands on chain (`agreementHash`); the document stays with its parties and is shown to who must check
it. Both sides sign it with their accounts (EIP-712): the buyer when it asks, the provider when it grants. Where the
terms grant by themselves, the provider's signature is the one on its offer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from capsule.canonical import Json
from capsule.digest import document_digest
from capsule.document import Fields, hexed, no_unknown, read_as
from capsule.errors import InputError, VerificationError
from capsule.ids import Address, AssetId, Digest
from capsule.typed_data import SIGNATURE_BYTES, TypedData

__all__ = [
    "KIND",
    "OFFER_KIND",
    "SALT_SIZE",
    "SIGNATURES_KIND",
    "Agreement",
    "Offer",
    "Signatures",
    "SignedOffer",
    "verify_signatures",
]

KIND: Final = "dataspace/agreement"
OFFER_KIND: Final = "dataspace/offer"
SIGNATURES_KIND: Final = "dataspace/agreement-signatures"
_SIGNED_OFFER: Final = "dataspace/signed-offer"
SALT_SIZE: Final = 32

_OFFER_FIELDS: Final = {
    "asset": "bytes32",
    "assetVersion": "uint32",
    "policyHash": "bytes32",
    "termsHash": "bytes32",
    "provider": "address",
}
_AGREEMENT_FIELDS: Final = {
    **_OFFER_FIELDS,
    "purpose": "string",
    "algorithm": "bytes32",
    "buyer": "address",
    "computeNode": "address",
    "document": "bytes32",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a provider offers to all whom its policy lets ask; `version` is the asset's version."""

    asset: AssetId
    version: int
    policy_hash: Digest
    terms_hash: Digest
    provider: Address
    unknown: Mapping[str, Json] = field(default_factory=no_unknown, hash=False, repr=False)

    @property
    def hash(self) -> Digest:
        return document_digest("offer", self.to_json())

    def to_json(self) -> dict[str, Json]:
        return {
            **self.unknown,
            "kind": OFFER_KIND,
            "version": 1,
            "asset": str(self.asset),
            "asset_version": self.version,
            "policy_hash": str(self.policy_hash),
            "terms_hash": str(self.terms_hash),
            "provider": str(self.provider),
        }

    @classmethod
    def from_json(cls, document: Json) -> Offer:
        """Raises FormatError."""
        fields = Fields.of(document, OFFER_KIND)
        return cls(
            asset=fields.id("asset", AssetId),
            version=fields.integer("asset_version", high=2**32 - 1),
            policy_hash=fields.id("policy_hash", Digest),
            terms_hash=fields.id("terms_hash", Digest),
            provider=fields.id("provider", Address),
            unknown=fields.unknown(),
        )

    def typed_data(self, chain_id: int, access: Address) -> TypedData:
        """What its provider signs."""
        values = {
            "asset": str(self.asset),
            "assetVersion": self.version,
            "policyHash": str(self.policy_hash),
            "termsHash": str(self.terms_hash),
            "provider": str(self.provider),
        }
        return TypedData("Offer", _OFFER_FIELDS, values, chain_id, access)


@dataclass(frozen=True, slots=True)
class SignedOffer:
    """An offer with its provider's signature, which is yet to be verified."""

    offer: Offer
    signature: bytes

    def to_json(self) -> dict[str, Json]:
        return {
            "kind": _SIGNED_OFFER,
            "version": 1,
            "offer": self.offer.to_json(),
            "signature": hexed(self.signature),
        }

    @classmethod
    def from_json(cls, document: Json) -> SignedOffer:
        """Raises FormatError."""
        fields = Fields.of(document, _SIGNED_OFFER)
        return cls(Offer.from_json(fields.value("offer")), fields.raw("signature", SIGNATURE_BYTES))

    def verify(self, offer: Offer, chain_id: int, access: Address) -> SignedOffer:
        """This, when it is that offer, signed by its provider; VerificationError otherwise."""
        if self.offer != offer:
            raise VerificationError("the signed offer is another", f"{self.offer}, not {offer}")
        offer.typed_data(chain_id, access).verify(self.signature, offer.provider)
        return self


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

    @property
    def offer(self) -> Offer:
        """What of it the provider offered."""
        return Offer(
            asset=self.asset,
            version=self.version,
            policy_hash=self.policy_hash,
            terms_hash=self.terms_hash,
            provider=self.provider,
        )

    def typed_data(self, chain_id: int, access: Address) -> TypedData:
        """What both sides sign. `document` is `hash`, so that nothing that the document says is left out."""
        values = {
            **self.offer.typed_data(chain_id, access).values,
            "purpose": self.purpose,
            "algorithm": str(self.algorithm),
            "buyer": str(self.buyer),
            "computeNode": str(self.compute_node),
            "document": str(self.hash),
        }
        return TypedData("Agreement", _AGREEMENT_FIELDS, values, chain_id, access)

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


@dataclass(frozen=True, slots=True)
class Signatures:
    """Both sides' signatures of the agreement with this hash; the provider's is empty until it granted.

    `on_offer`: the provider's is the one on its offer, since the terms granted by themselves.
    """

    agreement: Digest
    buyer: bytes
    provider: bytes = b""
    on_offer: bool = False

    def to_json(self) -> dict[str, Json]:
        return {
            "kind": SIGNATURES_KIND,
            "version": 1,
            "agreement": str(self.agreement),
            "buyer": hexed(self.buyer),
            "provider": hexed(self.provider),
            "on_offer": self.on_offer,
        }

    @classmethod
    def from_json(cls, document: Json) -> Signatures:
        """Raises FormatError."""
        fields = Fields.of(document, SIGNATURES_KIND)
        return cls(
            fields.id("agreement", Digest),
            fields.raw("buyer", SIGNATURE_BYTES),
            fields.raw("provider", limit=SIGNATURE_BYTES),
            fields.flag("on_offer"),
        )

    def verify_buyer(self, agreement: Agreement, chain_id: int, access: Address) -> Signatures:
        """These, when they are that agreement's and its buyer signed; VerificationError otherwise."""
        if self.agreement != agreement.hash:
            raise VerificationError("signatures are of another agreement", f"{self.agreement}, not {agreement.hash}")
        agreement.typed_data(chain_id, access).verify(self.buyer, agreement.buyer)
        return self


def verify_signatures(
    agreement: Agreement, signatures: Signatures, chain_id: int, access: Address, *, automatic: bool
) -> Agreement:
    """The agreement, when both sides signed it; VerificationError otherwise.

    `automatic`: its grant is one that the terms gave by themselves; only then the provider's signature may be on the
    offer.
    """
    signatures.verify_buyer(agreement, chain_id, access)
    if signatures.on_offer and not automatic:
        raise VerificationError("provider signed its offer and not the agreement", f"agreement {agreement.hash}")
    signed = agreement.offer if signatures.on_offer else agreement
    signed.typed_data(chain_id, access).verify(signatures.provider, agreement.provider)
    return agreement
