"""A chain that lies: the `Chain` port over a true chain, with answers bent as `lies` say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from capsule.ids import Address, Digest
from contracts.chain import Block, Chain, RawLog, StorageProof, TxReceipt, Verification
from contracts.errors import ChainRefusedError, ChainUnreachableError
from contracts.headers import Header

__all__ = ["Lies", "LyingChain"]


@dataclass(frozen=True, slots=True)
class Lies:
    """`omit` drops logs, `hidden` hides that many newest blocks, `call` and `block` replace an answer.

    `lost_receipts` denies receipts, `silent` answers nothing at all.
    """

    omit: Callable[[RawLog], bool] = field(default=lambda log: False)
    hidden: int = 0
    call: Callable[[Address, bytes, bytes], bytes] = field(default=lambda to, data, answer: answer)
    block: Callable[[Block], Block] = field(default=lambda block: block)
    lost_receipts: bool = False
    silent: bool = False


class LyingChain:
    """Answers as `chain` does, but for its lies; `lies` may be replaced at any time."""

    verification: Verification = "single unverified endpoint"

    def __init__(self, chain: Chain, lies: Lies | None = None) -> None:
        self._chain = chain
        self.lies = lies or Lies()

    def __repr__(self) -> str:
        return "LyingChain"

    @property
    def _true(self) -> Chain:
        if self.lies.silent:
            raise ChainUnreachableError("LyingChain does not answer")
        return self._chain

    def chain_id(self) -> int:
        return self._true.chain_id()

    def head(self) -> Block:
        return self.lies.block(self._true.block(max(0, self._true.head().number - self.lies.hidden)))

    def finalized(self) -> Block:
        return self.head()

    def block(self, number: int) -> Block:
        if number > self.head().number:
            raise ChainRefusedError(f"LyingChain has no block {number}")
        return self.lies.block(self._true.block(number))

    def blocks(self, numbers: Sequence[int]) -> tuple[Block, ...]:
        return tuple(self.block(number) for number in numbers)

    def header(self, number: int) -> Header:
        return self._true.header(number)

    def call(self, to: Address, data: bytes, *, at: int | None = None, sender: Address | None = None) -> bytes:
        number = self.head().number if at is None and self.lies.hidden else at
        return self.lies.call(to, data, self._true.call(to, data, at=number, sender=sender))

    def logs(self, addresses: Sequence[Address], first: int, last: int) -> tuple[RawLog, ...]:
        found = self._true.logs(addresses, first, min(last, self.head().number))
        return tuple(log for log in found if not self.lies.omit(log))

    def send(self, raw: bytes) -> Digest:
        return self._true.send(raw)

    def receipt(self, transaction: Digest) -> TxReceipt | None:
        found = self._true.receipt(transaction)
        if found is None or self.lies.lost_receipts or found.block_number > self.head().number:
            return None
        return found

    def block_receipts(self, number: int) -> tuple[TxReceipt, ...]:
        return self._true.block_receipts(number)

    def nonce(self, account: Address) -> int:
        return self._true.nonce(account)

    def balance(self, account: Address) -> int:
        return self._true.balance(account)

    def gas_price(self) -> int:
        return self._true.gas_price()

    def estimate_gas(self, sender: Address, to: Address | None, data: bytes, value: int) -> int:
        return self._true.estimate_gas(sender, to, data, value)

    def code(self, address: Address) -> bytes:
        return self._true.code(address)

    def storage_proof(self, address: Address, slots: Sequence[int], block: int) -> StorageProof:
        return self._true.storage_proof(address, slots, block)
