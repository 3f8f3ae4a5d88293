"""What the generated bindings stand on: one contract at one address, seen through one chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError

from capsule.errors import InputError
from capsule.ids import Address
from contracts.chain import Chain
from contracts.errors import ChainIntegrityError
from contracts.transaction import Sender, Transaction

__all__ = ["Binding"]


class Binding:
    """Base of the generated classes.

    Views read the state after block `at` (None: the newest). Sending methods return when the transaction is in a block;
    they raise RevertedError where the contract refuses, and InputError without an account to send with.
    """

    def __init__(self, chain: Chain, address: Address, sender: Sender | None) -> None:
        self._chain = chain
        self._sender = sender
        self.address = address

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address})"

    def _call(
        self, selector: bytes, types: Sequence[str] = (), values: Sequence[object] = (), *, at: int | None
    ) -> bytes:
        sender = self._sender.account.address if self._sender else None
        return self._chain.call(self.address, selector + _encode(types, values), at=at, sender=sender)

    def _send(
        self, selector: bytes, types: Sequence[str] = (), values: Sequence[object] = (), *, value: int = 0
    ) -> Transaction:
        if self._sender is None:
            raise InputError(f"this ledger was opened for reading: {type(self).__name__} needs an account to send with")
        return self._sender.send(self.address, selector + _encode(types, values), value)

    @contextmanager
    def _reading(self, function: str) -> Iterator[None]:
        """Names the question where the answer can't be read."""
        try:
            yield
        except (InputError, ChainIntegrityError, ValueError) as error:
            raise ChainIntegrityError(f"{self!r}.{function} answered what its type does not allow: {error}") from error


def _encode(types: Sequence[str], values: Sequence[object]) -> bytes:
    try:
        return bytes(encode(types, values))
    except (EncodingError, OverflowError, TypeError, AttributeError) as error:
        raise InputError(f"an argument does not fit its type: {error}") from error
