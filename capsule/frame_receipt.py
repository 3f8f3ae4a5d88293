"""A gateway's receipt: its signature that a frame is durable with it.

A device keeps the receipt, and its next frame carries the receipt's hash. A receipt for a frame that no anchored batch
holds accuses the gateway that signed it (`capsule.batch.check_receipts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from capsule.canonical import Json, decode, encode
from capsule.digest import Domain, document_digest
from capsule.document import Fields, hexed, no_unknown
from capsule.errors import VerificationError
from capsule.ids import Address, DeviceId, Digest
from capsule.signature import PublicKey, Signer

__all__ = ["KIND", "FrameReceipt", "SignedFrameReceipt", "sign_frame_receipt", "verify_frame_receipt"]

KIND: Final = "dataspace/frame-receipt"

_SIGNED: Final = "dataspace/signed-frame-receipt"
_STATEMENT: Final = "frame-receipt"


@dataclass(frozen=True, slots=True)
class FrameReceipt:
    """`gateway` (its account) keeps the frame with hash `frame` since `received_at` (unix seconds, its own clock)."""

    gateway: Address
    device: DeviceId
    sequence: int
    frame: Digest
    received_at: int
    unknown: Mapping[str, Json] = field(default_factory=no_unknown, hash=False, repr=False)

    @property
    def hash(self) -> Digest:
        return document_digest(_STATEMENT, self.to_json())

    def to_json(self) -> dict[str, Json]:
        return {
            **self.unknown,
            "kind": KIND,
            "version": 1,
            "gateway": str(self.gateway),
            "device": str(self.device),
            "sequence": self.sequence,
            "frame": str(self.frame),
            "received_at": self.received_at,
        }

    @classmethod
    def from_json(cls, document: Json) -> FrameReceipt:
        """Raises FormatError."""
        fields = Fields.of(document, KIND)
        return cls(
            fields.id("gateway", Address),
            fields.id("device", DeviceId),
            fields.integer("sequence", 1),
            fields.id("frame", Digest),
            fields.integer("received_at"),
            fields.unknown(),
        )


@dataclass(frozen=True, slots=True)
class SignedFrameReceipt:
    """A receipt with its gateway's signature, which is yet to be verified."""

    receipt: FrameReceipt
    suite: int
    signature: bytes

    def to_bytes(self) -> bytes:
        """RFC 8785 JSON."""
        return encode(
            {
                "kind": _SIGNED,
                "version": 1,
                "receipt": self.receipt.to_json(),
                "suite": self.suite,
                "signature": hexed(self.signature),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> SignedFrameReceipt:
        """Raises FormatError."""
        return cls.from_json(decode(data))

    @classmethod
    def from_json(cls, document: Json) -> SignedFrameReceipt:
        """Raises FormatError."""
        fields = Fields.of(document, _SIGNED)
        return cls(
            FrameReceipt.from_json(fields.value("receipt")),
            fields.integer("suite", 0, 255),
            fields.raw("signature", limit=256),
        )


def sign_frame_receipt(receipt: FrameReceipt, signer: Signer, domain: Domain) -> SignedFrameReceipt:
    """Signs the receipt's hash, with the gateway's registered signing key, for one ledger."""
    return SignedFrameReceipt(receipt, signer.suite, signer.sign(domain.statement(_STATEMENT, receipt.hash)))


def verify_frame_receipt(signed: SignedFrameReceipt, key: PublicKey, domain: Domain) -> FrameReceipt:
    """The receipt, once its signature holds under the gateway's `key`. Raises VerificationError."""
    try:
        key.verify_suite(signed.suite).verify(domain.statement(_STATEMENT, signed.receipt.hash), signed.signature)
    except VerificationError as exc:
        raise VerificationError(
            f"receipt for frame {signed.receipt.frame} is not signed by gateway {signed.receipt.gateway}",
            exc.evidence or str(exc),
        ) from exc
    return signed.receipt
