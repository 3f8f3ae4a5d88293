"""A true chain under headers that test validators sealed in Besu's QBFT format.

State and receipts are the true chain's, with its roots; headers are made here: the true block's roots, number and time,
sealed by test validators. So block hashes are other ones than the true chain's, in logs and receipts too. Block 0 stays
as it is, since the Directory names its hash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import rlp
from eth_keys.datatypes import PrivateKey

from capsule.ids import Address, Digest
from contracts.chain import Block, Chain, RawLog, TxReceipt
from contracts.headers import QBFT_MIX_HASH, Extra, Header, seal_digest
from scripts.demo.lying_chain import LyingChain

__all__ = ["SealedChain", "Validator", "sealed", "validators"]


class Validator:
    """A test validator's key."""

    def __init__(self, number: int) -> None:
        self._key = PrivateKey(number.to_bytes(32, "big"))
        self.address = Address(self._key.public_key.to_canonical_address())

    def seal(self, header: Header) -> bytes:
        return bytes(self._key.sign_msg_hash(bytes(seal_digest(header))).to_bytes())


def validators(count: int, first: int = 1) -> tuple[Validator, ...]:
    return tuple(Validator(number) for number in range(first, first + count))


def sealed(
    fields: Sequence[bytes], named: Sequence[Validator], sealing: Sequence[Validator], number: int = 1
) -> Header:
    """A header with these fields, of a block that `named` validate, sealed by `sealing` in round `number`."""
    extra = Extra(bytes(32), tuple(one.address for one in named), None, number, ())
    changed: list[Any] = list(fields)
    changed[7], changed[13], changed[14] = b"\x01", bytes(QBFT_MIX_HASH), bytes(8)
    changed[12] = extra.encode()
    bare = Header.read(rlp.encode(changed))
    changed[12] = replace(extra, seals=tuple(one.seal(bare) for one in sealing)).encode()
    return Header.read(rlp.encode(changed))


class SealedChain(LyingChain):
    """`serving` says which validators serve at a block, `sealing` which of them seal it (None: all)."""

    def __init__(
        self,
        chain: Chain,
        serving: Callable[[int], Sequence[Validator]],
        sealing: Callable[[int], Sequence[Validator]] | None = None,
    ) -> None:
        super().__init__(chain)
        self._serving = serving
        self._sealing = sealing or serving
        self._headers: dict[int, Header] = {}

    def header(self, number: int) -> Header:
        true = self._true.header(number)
        if number == 0:
            return true
        if number not in self._headers:
            fields = rlp.decode(true.encoded)
            fields[0] = bytes(self.header(number - 1).hash)
            self._headers[number] = sealed(fields, self._serving(number), self._sealing(number))
        return self._headers[number]

    def head(self) -> Block:
        return self._block(super().head())

    def block(self, number: int) -> Block:
        return self._block(super().block(number))

    def logs(self, addresses: Sequence[Address], first: int, last: int) -> tuple[RawLog, ...]:
        return tuple(self._log(log) for log in super().logs(addresses, first, last))

    def receipt(self, transaction: Digest) -> TxReceipt | None:
        found = super().receipt(transaction)
        return None if found is None else self._receipt(found)

    def block_receipts(self, number: int) -> tuple[TxReceipt, ...]:
        return tuple(self._receipt(receipt) for receipt in super().block_receipts(number))

    def _block(self, block: Block) -> Block:
        header = self.header(block.number)
        return replace(block, hash=header.hash, parent_hash=header.parent_hash)

    def _receipt(self, receipt: TxReceipt) -> TxReceipt:
        hashed = self.header(receipt.block_number).hash
        return replace(receipt, block_hash=hashed, logs=tuple(self._log(log) for log in receipt.logs))

    def _log(self, log: RawLog) -> RawLog:
        return replace(log, block_hash=self.header(log.block_number).hash)
