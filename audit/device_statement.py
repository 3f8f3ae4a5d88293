"""What a device's owner can show of its own: the gateways' signed receipts for its last frames.

A device keeps the receipt of every frame it got an answer for; the owner serves the newest of each gateway, so that
frames which a gateway took and then left out of its batches show, also at the end of a history, where no next frame
misses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from capsule import canonical
from capsule.canonical import Json
from capsule.document import Fields
from capsule.errors import FormatError
from capsule.frame_receipt import SignedFrameReceipt
from capsule.ids import DeviceId

__all__ = ["KIND", "DeviceStatement"]

KIND: Final = "dataspace/device-statement"
_MAX_RECEIPTS: Final = 1024


@dataclass(frozen=True, slots=True)
class DeviceStatement:
    """Receipts for frames of `device`, not yet verified."""

    device: DeviceId
    receipts: tuple[SignedFrameReceipt, ...]

    def to_json(self) -> dict[str, Json]:
        return {
            "kind": KIND,
            "version": 1,
            "device": str(self.device),
            "receipts": [canonical.decode(receipt.to_bytes()) for receipt in self.receipts],
        }

    @classmethod
    def from_json(cls, document: Json) -> DeviceStatement:
        """Raises FormatError."""
        fields = Fields.of(document, KIND)
        receipts = fields.value("receipts")
        if not isinstance(receipts, list) or len(receipts) > _MAX_RECEIPTS:
            raise FormatError(f"{KIND}: receipts is not a list of at most {_MAX_RECEIPTS}")
        return cls(
            fields.id("device", DeviceId),
            tuple(SignedFrameReceipt.from_bytes(canonical.encode(receipt)) for receipt in receipts),
        )
