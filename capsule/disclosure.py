"""What a buyer discloses of a completed order, so that its use can be re-executed: parameters and result, with salts.

Both stand on chain as salted hashes only: the parameters in the order, the result in the receipt. Nothing of a
disclosure is believed: it holds when those hashes are its own, so that who makes one up accuses nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from capsule.algorithm import Parameters
from capsule.canonical import Json, decode, encode
from capsule.document import Fields, read_as
from capsule.errors import FormatError, VerificationError
from capsule.ids import Digest
from capsule.order import Order
from capsule.receipt import SALT_SIZE, Receipt, output_digest

__all__ = ["KIND", "PURPOSE", "RESULT", "Disclosure", "result_salt", "verify_disclosure"]

KIND: Final = "dataspace/disclosure"
RESULT: Final = "dataspace/result"
PURPOSE: Final = "re-execution"
"""What a policy names so that a regulator may repeat uses, unless both agree on another."""
MAX_RESULT: Final = 64 * 1024 * 1024


def result_salt(result: bytes) -> bytes:
    """The salt that a result's document carries; FormatError for what is no result."""
    return Fields.of(decode(result), RESULT).raw("salt", SALT_SIZE)


@dataclass(frozen=True, slots=True)
class Disclosure:
    """`result` is the result's document as it was sealed for the buyer, byte by byte."""

    order_hash: Digest
    parameters: Parameters
    result: bytes

    def to_bytes(self) -> bytes:
        document: dict[str, Json] = {
            "kind": KIND,
            "version": 1,
            "order_hash": str(self.order_hash),
            "parameters": self.parameters.to_json(),
            "result": self.result.decode(),
        }
        return encode(document)

    @classmethod
    def from_bytes(cls, data: bytes) -> Disclosure:
        fields = Fields.of(decode(data), KIND)
        with read_as(KIND):
            return cls(
                fields.id("order_hash", Digest),
                Parameters.from_json(fields.value("parameters")),
                fields.text("result", MAX_RESULT).encode(),
            )


def verify_disclosure(disclosure: Disclosure, order: Order, receipt: Receipt) -> bytes:
    """Returns the result's salt when order and receipt hash exactly what is disclosed; VerificationError otherwise."""
    if disclosure.order_hash != receipt.order_hash:
        raise VerificationError(
            "the disclosure is of another order", f"disclosed {disclosure.order_hash}, receipt {receipt.order_hash}"
        )
    if disclosure.parameters.hash != order.parameters:
        raise VerificationError(
            "the disclosed parameters are not those of the order",
            f"digest {disclosure.parameters.hash}, order {order.parameters}",
        )
    try:
        salt = result_salt(disclosure.result)
    except FormatError as exc:
        raise VerificationError("the disclosed result is none", str(exc)) from exc
    output = output_digest(disclosure.result, salt)
    if output != receipt.output:
        raise VerificationError(
            "the disclosed result is not the one of the receipt", f"digest {output}, receipt {receipt.output}"
        )
    return salt
