"""How a run ends on chain: what `closeUse` will say, recorded before it is sent."""

from dataclasses import dataclass
from enum import IntEnum

from capsule import canonical
from capsule.document import Fields
from capsule.ids import Digest

__all__ = ["NOTHING", "CloseReason", "Closing"]

KIND = "dataspace/closing"
NOTHING = Digest(bytes(32))


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


@dataclass(frozen=True, slots=True)
class Closing:
    """One close. `receipt_hash` names the receipt of a completed run, or the accusation of a failed one."""

    reason: CloseReason
    receipt_hash: Digest = NOTHING
    result_hash: Digest = NOTHING
    rows_out: int = 0

    def encode(self) -> bytes:
        return canonical.encode(
            {
                "kind": KIND,
                "version": 1,
                "reason": int(self.reason),
                "receipt_hash": str(self.receipt_hash),
                "result_hash": str(self.result_hash),
                "rows_out": self.rows_out,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> "Closing":
        """Reads what `encode` wrote; FormatError for anything else."""
        fields = Fields.of(canonical.decode(data), KIND)
        return cls(
            CloseReason(fields.integer("reason", 0, max(CloseReason))),
            fields.id("receipt_hash", Digest),
            fields.id("result_hash", Digest),
            fields.integer("rows_out"),
        )
