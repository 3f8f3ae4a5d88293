"""An account on chain: a secp256k1 key that signs transactions, orders and agreements, and shows nothing of itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Self

from eth_account import Account as EthAccount

from capsule.errors import InputError
from capsule.ids import Address
from capsule.order import Order, order_typed_data
from capsule.typed_data import TypedData

__all__ = ["Account"]

_GROUP_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class Account:
    """A private key in use. Keep one object per key in a process: `turn` orders the nonces of all that send with it."""

    __slots__ = ("_signer", "address", "turn")

    def __init__(self, private_key: bytes) -> None:
        """`private_key`: 32 bytes; raises InputError where it is no secp256k1 key."""
        if len(private_key) != 32 or not 0 < int.from_bytes(private_key, "big") < _GROUP_ORDER:
            raise InputError("a private key is 32 bytes, above zero and below the order of secp256k1")
        self._signer = EthAccount.from_key(private_key)
        self.address: Final = Address.parse(self._signer.address)
        self.turn: Final = threading.RLock()

    @classmethod
    def generate(cls, entropy: Callable[[int], bytes]) -> Self:
        """A fresh account from `entropy` (32 bytes at a time until they make a key)."""
        while True:
            candidate = entropy(32)
            if 0 < int.from_bytes(candidate, "big") < _GROUP_ORDER:
                return cls(candidate)

    @property
    def private_key(self) -> bytes:
        """The secret itself, for a key store and nobody else."""
        return bytes(self._signer.key)

    def sign_transaction(
        self, *, chain_id: int, nonce: int, to: Address | None, data: bytes, value: int, gas: int, gas_price: int
    ) -> bytes:
        """An EIP-1559 transaction, ready to send; it tips `gas_price` wei per gas and pays at most twice that."""
        fields: dict[str, object] = {
            "type": 2,
            "chainId": chain_id,
            "nonce": nonce,
            "data": data,
            "value": value,
            "gas": gas,
            "maxFeePerGas": 2 * gas_price,
            "maxPriorityFeePerGas": gas_price,
        }
        if to is not None:
            fields["to"] = str(to)
        return bytes(self._signer.sign_transaction(fields).raw_transaction)

    def sign_order(self, order: Order, chain_id: int, access: Address) -> bytes:
        """The buyer's EIP-712 signature, r || s || v in 65 bytes."""
        return self.sign_typed(order_typed_data(order, chain_id, access))

    def sign_typed(self, message: TypedData) -> bytes:
        """An EIP-712 signature, r || s || v in 65 bytes."""
        return bytes(self._signer.sign_typed_data(full_message=message.to_wallet()).signature)

    def __repr__(self) -> str:
        return f"Account({self.address})"

    def __reduce__(self) -> str:
        raise TypeError("an account's key is not pickled")
