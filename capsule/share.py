"""Shares at rest and on their way: each sealed to one reader, each bound to its deal, its use and its commitment.

A share that does not match the deal's commitment raises ShareError with its holder, so that nobody else is blamed. A
share at rest that does not come that far names nobody: its label, deal and sealing are of whoever sent it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from capsule.box import BoxKey, seal_to
from capsule.canonical import Json, decode, encode
from capsule.deal import BLINDING_SIZE, Commitment, Deal, DealHolder, blind
from capsule.document import Fields, hexed
from capsule.errors import FormatError, InputError, OpenError, ShareError, ShareSealedError, VerificationError
from capsule.ids import Address, Bytes32, Digest
from capsule.key import KEY_SIZE, MAX_CUSTODIANS, NO_PROVIDER_PART, DataKey, combine, verify_key_commitment

__all__ = [
    "MAX_RELEASE_BYTES",
    "Release",
    "ReleaseContext",
    "SealedShare",
    "ShareSecret",
    "holder_of",
    "open_release",
    "open_share",
    "rebuild_key",
    "seal_release",
    "seal_share",
    "verify_share",
]

MAX_RELEASE_BYTES: Final = 1024

_SHARE: Final = "dataspace/share"
_SHARE_OPENED: Final = "dataspace/share-opened"
_RELEASE: Final = "dataspace/release"


@dataclass(frozen=True, slots=True)
class ShareSecret:
    """One holder's part with the opening of its commitment."""

    index: int
    share: bytes = field(repr=False)
    blinding: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.index <= MAX_CUSTODIANS:
            raise InputError(f"share index {self.index} is not from 0 to {MAX_CUSTODIANS}")
        if len(self.share) != KEY_SIZE or len(self.blinding) != BLINDING_SIZE:
            raise InputError(f"a share has {KEY_SIZE} bytes and its blinding {BLINDING_SIZE}")

    @property
    def commitment(self) -> Commitment:
        return blind(self.index, self.share, self.blinding)


@dataclass(frozen=True, slots=True)
class SealedShare:
    """A share at rest: sealed to its holder's box key, filed under its deal."""

    deal: Digest
    index: int
    sealed: bytes

    def to_json(self) -> dict[str, Json]:
        return {
            "kind": _SHARE,
            "version": 1,
            "deal": str(self.deal),
            "index": self.index,
            "sealed": hexed(self.sealed),
        }

    @classmethod
    def from_json(cls, document: Json) -> SealedShare:
        fields = Fields.of(document, _SHARE)
        return cls(
            fields.id("deal", Digest),
            fields.integer("index", 0, MAX_CUSTODIANS),
            fields.raw("sealed", limit=MAX_RELEASE_BYTES),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseContext:
    """What a release must be for. `use` is the id of a use, or of an opening of the deal."""

    chain_id: int
    access: Address
    use: Bytes32
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A share on its way to one use."""

    chain_id: int
    access: Address
    use: Bytes32
    deal: Digest
    index: int
    share: bytes = field(repr=False)
    blinding: bytes = field(repr=False)


def holder_of(deal: Deal, index: int) -> DealHolder:
    """The holder at a position of a deal; InputError when the deal has no such position."""
    if not 0 <= index < len(deal.holders):
        raise InputError(f"the deal has no position {index}")
    return deal.holders[index]


def verify_share(secret: ShareSecret, deal: Deal) -> ShareSecret:
    """Returns the share when it opens the deal's commitment at its index; ShareError otherwise."""
    return _opens_commitment(secret, deal, f"deal {deal.hash}")


def _opens_commitment(secret: ShareSecret, deal: Deal, evidence: str) -> ShareSecret:
    holder = holder_of(deal, secret.index)
    if not hmac.compare_digest(secret.commitment, holder.commitment):
        raise ShareError(
            "does not open its commitment",
            holder=holder.account,
            index=secret.index,
            evidence=f"{evidence}, commitment {holder.commitment}",
        )
    return secret


def seal_share(secret: ShareSecret, deal: Deal, box_public: bytes) -> SealedShare:
    """Seals a checked share to its holder's box key (X25519, 32 bytes)."""
    verify_share(secret, deal)
    inside: dict[str, Json] = {
        "kind": _SHARE_OPENED,
        "version": 1,
        "deal": str(deal.hash),
        "index": secret.index,
        "share": hexed(secret.share),
        "blinding": hexed(secret.blinding),
    }
    return SealedShare(deal.hash, secret.index, seal_to(box_public, encode(inside)))


def open_share(sealed: SealedShare, deal: Deal, box_key: BoxKey) -> ShareSecret:
    """A holder opens its share and checks it against the deal.

    Raises ShareSealedError when it is sealed to another key, ShareError when it is of another deal or malformed, and
    with the holder's name when it opened and does not match its commitment.
    """
    evidence = f"deal {deal.hash}, sealed {hexed(sealed.sealed)}"
    index = sealed.index
    if index >= len(deal.holders):
        raise ShareError("is of no position of the deal", index=index, evidence=evidence)
    if sealed.deal != deal.hash:
        raise ShareError(f"sealed for deal {sealed.deal}, not for {deal.hash}", index=index, evidence=evidence)
    try:
        opened = box_key.open(sealed.sealed)
    except OpenError as exc:
        raise ShareSealedError("does not open: it is sealed to another key", index=index, evidence=evidence) from exc
    try:
        fields = Fields.of(decode(opened), _SHARE_OPENED)
        secret = _secret(fields)
        bound = (fields.id("deal", Digest), secret.index)
    except FormatError as exc:
        raise ShareError("is malformed", index=index, evidence=evidence) from exc
    if bound != (deal.hash, index):
        raise ShareError("is labelled with another deal or index than is inside", index=index, evidence=evidence)
    return _opens_commitment(secret, deal, evidence)


def seal_release(release: Release, one_time_public: bytes) -> bytes:
    """Seals a share to the one-time key that its use, or opening, names for this holder; at most 1024 bytes."""
    inside: dict[str, Json] = {
        "kind": _RELEASE,
        "version": 1,
        "chain_id": str(release.chain_id),
        "access": str(release.access),
        "use": str(release.use),
        "deal": str(release.deal),
        "index": release.index,
        "share": hexed(release.share),
        "blinding": hexed(release.blinding),
    }
    return seal_to(one_time_public, encode(inside))


def open_release(sealed: bytes, one_time_key: BoxKey, expected: ReleaseContext, deal: Deal) -> ShareSecret:
    """Opens a released share and checks that it is this holder's, for this use of this deal, and the one dealt.

    Raises ShareError naming the holder. Publishing the one-time key then lets anyone repeat the check.
    """
    holder = holder_of(deal, expected.index)
    evidence = f"use {expected.use}, deal {deal.hash}, sealed {hexed(sealed)}"
    try:
        if len(sealed) > MAX_RELEASE_BYTES:
            raise FormatError(f"a release has at most {MAX_RELEASE_BYTES} bytes")
        fields = Fields.of(decode(one_time_key.open(sealed)), _RELEASE)
        secret = _secret(fields)
        bound = (
            ReleaseContext(
                chain_id=fields.decimal("chain_id"),
                access=fields.id("access", Address),
                use=fields.id("use", Bytes32),
                index=secret.index,
            ),
            fields.id("deal", Digest),
        )
    except (OpenError, FormatError) as exc:
        raise ShareError(
            "does not open or is malformed", holder=holder.account, index=expected.index, evidence=evidence
        ) from exc
    if bound != (expected, deal.hash):
        raise ShareError(
            "was released for something else", holder=holder.account, index=expected.index, evidence=evidence
        )
    return _opens_commitment(secret, deal, evidence)


def rebuild_key(deal: Deal, secrets: Iterable[ShareSecret]) -> DataKey:
    """The data key from released shares, all checked again; the provider's is among them where the deal requires it.

    Raises ShareError for a wrong, repeated or missing share, and VerificationError naming the provider when every
    share is the one dealt and the key is not.
    """
    shares: dict[int, bytes] = {}
    for secret in secrets:
        if secret.index in shares:
            raise ShareError("given twice", holder=holder_of(deal, secret.index).account, index=secret.index)
        shares[secret.index] = verify_share(secret, deal).share
    provider_part = shares.pop(0, None if deal.provider_required else NO_PROVIDER_PART)
    if provider_part is None:
        raise ShareError("is missing and required", holder=deal.provider, index=0)
    if len(shares) < deal.threshold:
        raise ShareError(f"{len(shares)} of {deal.threshold} came; add the shares of other custodians")
    data_key = combine(provider_part if deal.provider_required else NO_PROVIDER_PART, shares, deal.threshold)
    try:
        return verify_key_commitment(data_key, deal.key_commitment)
    except VerificationError as exc:
        raise VerificationError(
            f"provider {deal.provider} dealt shares that do not make the key", f"deal {deal.hash}"
        ) from exc


def _secret(fields: Fields) -> ShareSecret:
    return ShareSecret(
        fields.integer("index", 0, MAX_CUSTODIANS),
        fields.raw("share", KEY_SIZE),
        fields.raw("blinding", BLINDING_SIZE),
    )
