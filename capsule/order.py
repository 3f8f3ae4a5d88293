"""The buyer's signed order (EIP-712): what `Access.openUse` takes.

Invariant: `order_hash` equals the contract's `hashOrder` on the same chain and contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from capsule.canonical import Json
from capsule.document import Fields, read_as
from capsule.errors import InputError
from capsule.ids import Address, Bytes32, Digest, GrantId
from capsule.typed_data import TypedData

__all__ = ["KIND", "Order", "order_hash", "order_typed_data", "recover"]

KIND: Final = "dataspace/order"
MAX_GRANTS: Final = 16

_FIELDS: Final = {
    "grants": "bytes32[]",
    "number": "uint256",
    "algorithm": "bytes32",
    "parameters": "bytes32",
    "computeNode": "address",
    "resultKey": "bytes32",
    "deadline": "uint64",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One run of one algorithm under one or more grants of one buyer.

    `number` is the buyer's own and never used twice; `parameters` the salted hash of the parameters; `result_key` the
    X25519 key that the result is sealed to; `deadline` unix seconds.
    """

    grants: tuple[GrantId, ...]
    number: int
    algorithm: Digest
    parameters: Digest
    compute_node: Address
    result_key: Bytes32
    deadline: int

    def __post_init__(self) -> None:
        if not self.grants:
            raise InputError("an order names at least one grant")
        if not 0 <= self.number < 2**256:
            raise InputError("an order's number is a uint256")
        if not 0 <= self.deadline < 2**64:
            raise InputError("an order's deadline is a uint64")

    def to_json(self) -> dict[str, Json]:
        return {
            "kind": KIND,
            "version": 1,
            "grants": [str(grant) for grant in self.grants],
            "number": str(self.number),
            "algorithm": str(self.algorithm),
            "parameters": str(self.parameters),
            "compute_node": str(self.compute_node),
            "result_key": str(self.result_key),
            "deadline": str(self.deadline),
        }

    @classmethod
    def from_json(cls, document: Json) -> Order:
        fields = Fields.of(document, KIND)
        with read_as(KIND):
            return cls(
                grants=fields.ids("grants", GrantId, MAX_GRANTS),
                number=fields.decimal("number"),
                algorithm=fields.id("algorithm", Digest),
                parameters=fields.id("parameters", Digest),
                compute_node=fields.id("compute_node", Address),
                result_key=fields.id("result_key", Bytes32),
                deadline=fields.decimal("deadline"),
            )


def order_typed_data(order: Order, chain_id: int, access: Address) -> TypedData:
    """What its buyer signs."""
    values = {
        "grants": [str(grant) for grant in order.grants],
        "number": order.number,
        "algorithm": str(order.algorithm),
        "parameters": str(order.parameters),
        "computeNode": str(order.compute_node),
        "resultKey": str(order.result_key),
        "deadline": order.deadline,
    }
    return TypedData("Order", _FIELDS, values, chain_id, access)


def order_hash(order: Order, chain_id: int, access: Address) -> Digest:
    """Its EIP-712 digest."""
    return order_typed_data(order, chain_id, access).hash


def recover(order: Order, signature: bytes, chain_id: int, access: Address) -> Address:
    """The account that signed an order; VerificationError for what the contract takes as no signature."""
    return order_typed_data(order, chain_id, access).recover(signature)
