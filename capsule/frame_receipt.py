"""A gateway's receipt: its signature that a frame is durable with it.

A device keeps the receipt, and its next frame carries the receipt's hash. A receipt for a frame that no anchored batch
holds accuses the gateway that signed it (`capsule.batch.check_receipts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from capsule.canonical import Json, encode
from capsule.digest import Domain, document_digest
from capsule.errors import VerificationError
from capsule.fields import opened
from capsule.ids import Address, DeviceId, Digest
from capsule.signature import PublicKey, Signer

__all__ = ["KIND", "FrameReceipt", "SignedFrameReceipt", "sign_frame_receipt", "verify_frame_receipt"]

KIND: Final = "frame-receipt"


@dataclass(frozen=True, slots=True)
class FrameReceipt:
    """`gateway` (its account) keeps the frame with hash `frame` since `received_at` (unix seconds, its own clock)."""

    gateway: Address
    device: DeviceId
    sequence: int
    frame: Digest
    received_at: int

    def to_json(self) -> Json:
        return {
            "kind": f"dataspace/{KIND}",
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
        fields = opened(document, KIND)
        return cls(
            fields.address("gateway"),
            fields.device("device"),
            fields.count("sequence"),
            fields.digest("frame"),
            fields.count("received_at"),
        )

    @property
    def hash(self) -> Digest:
        return document_digest(KIND, self.to_json())


@dataclass(frozen=True, slots=True)
class SignedFrameReceipt:
    """A receipt with its signature, which is yet to be verified."""

    receipt: FrameReceipt
    signature: bytes

    def to_bytes(self) -> bytes:
        """RFC 8785 JSON: {kind, version, receipt, signature}."""
        return encode(
            {
                "kind": f"dataspace/signed-{KIND}",
                "version": 1,
                "receipt": self.receipt.to_json(),
                "signature": "0x" + self.signature.hex(),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> SignedFrameReceipt:
        """Raises FormatError."""
        fields = opened(data, f"signed-{KIND}")
        return cls(FrameReceipt.from_json(fields.value("receipt")), fields.hexadecimal("signature", 64))


def sign_frame_receipt(receipt: FrameReceipt, signer: Signer, domain: Domain) -> SignedFrameReceipt:
    """Signs with the gateway's registered signing key."""
    return SignedFrameReceipt(receipt, signer.sign(domain.statement(KIND, receipt.hash)))


def verify_frame_receipt(signed: SignedFrameReceipt, key: PublicKey, domain: Domain) -> FrameReceipt:
    """The receipt, once its signature holds under the gateway's `key`. Raises VerificationError."""
    try:
        key.verify(domain.statement(KIND, signed.receipt.hash), signed.signature)
    except VerificationError as exc:
        raise VerificationError(
            f"receipt for frame {signed.receipt.frame} is not signed by gateway {signed.receipt.gateway}", exc.evidence
        ) from exc
    return signed.receipt
