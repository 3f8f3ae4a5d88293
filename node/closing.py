"""How a run ends on chain: what `closeUse` will say, recorded before it is sent."""

from dataclasses import dataclass

from capsule import canonical
from capsule.document import Fields
from capsule.ids import Digest
from capsule.receipt import CloseReason

__all__ = ["NOTHING", "CloseReason", "Closing"]

KIND = "dataspace/closing"
NOTHING = Digest(bytes(32))


@dataclass(frozen=True, slots=True)
class Closing:
    """One close. `receipt_hash` names the run's receipt, or for a wrong share the accusation."""

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
