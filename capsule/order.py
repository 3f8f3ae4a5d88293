"""The buyer's signed order (EIP-712): what `Access.openUse` takes.

Invariant: `order_hash` equals the contract's `hashOrder` on the same chain and contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from capsule.canonical import Json
from capsule.document import Fields, read_as
from capsule.errors import InputError, VerificationError
from capsule.ids import Address, Bytes32, Digest, GrantId

__all__ = ["DOMAIN_NAME", "DOMAIN_VERSION", "KIND", "Order", "order_hash", "order_typed_data", "recover"]

KIND: Final = "dataspace/order"
MAX_GRANTS: Final = 16
DOMAIN_NAME: Final = "dataspace Access"
DOMAIN_VERSION: Final = "1"

_GROUP_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_TYPES: Final = {
    "EIP712Domain": [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ],
    "Order": [
        {"name": "grants", "type": "bytes32[]"},
        {"name": "number", "type": "uint256"},
        {"name": "algorithm", "type": "bytes32"},
        {"name": "parameters", "type": "bytes32"},
        {"name": "computeNode", "type": "address"},
        {"name": "resultKey", "type": "bytes32"},
        {"name": "deadline", "type": "uint64"},
    ],
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


def order_typed_data(order: Order, chain_id: int, access: Address) -> dict[str, Any]:
    """The EIP-712 message as wallets take it (`eth_signTypedData_v4`)."""
    return {
        "types": _TYPES,
        "primaryType": "Order",
        "domain": {
            "name": DOMAIN_NAME,
            "version": DOMAIN_VERSION,
            "chainId": chain_id,
            "verifyingContract": str(access),
        },
        "message": {
            "grants": [str(grant) for grant in order.grants],
            "number": order.number,
            "algorithm": str(order.algorithm),
            "parameters": str(order.parameters),
            "computeNode": str(order.compute_node),
            "resultKey": str(order.result_key),
            "deadline": order.deadline,
        },
    }


def _signable(order: Order, chain_id: int, access: Address) -> SignableMessage:
    return encode_typed_data(full_message=order_typed_data(order, chain_id, access))


def order_hash(order: Order, chain_id: int, access: Address) -> Digest:
    """EIP-712 digest: keccak256(0x1901, domain separator, struct hash)."""
    message = _signable(order, chain_id, access)
    return Digest(bytes(keccak(b"\x19" + message.version + message.header + message.body)))


def recover(order: Order, signature: bytes, chain_id: int, access: Address) -> Address:
    """The account that signed an order.

    Takes what the contract takes: r, s, v in 65 bytes, s in the lower half, v 27 or 28; else VerificationError.
    """
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise VerificationError("order signature is not 65 bytes r, s, v", f"signature 0x{signature.hex()}")
    if int.from_bytes(signature[32:64], "big") > _GROUP_ORDER // 2:
        raise VerificationError("order signature has its s in the upper half", f"signature 0x{signature.hex()}")
    try:
        account = Account.recover_message(_signable(order, chain_id, access), signature=signature)
    except (BadSignature, ValidationError, ValueError) as exc:
        raise VerificationError("order signature does not hold", f"signature 0x{signature.hex()}") from exc
    return Address.parse(account)
