"""A `Chain` on an in-process EVM that is a hundred times as fast as the embedded one, for long histories.

Real contracts and real headers, a block for each transaction; receipts and state have no tries, so it proves nothing,
and only the newest state is there to ask.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pyrevm
import rlp
from eth.vm.forks.prague import PragueVM
from eth_utils.crypto import keccak

from capsule.ids import Address, Digest
from contracts.account import Account
from contracts.chain import Block, RawLog, StorageProof, TxReceipt, Verification
from contracts.decode import decode_revert
from contracts.errors import ChainRefusedError, NonceConflictError, RevertedError
from contracts.headers import Header

__all__ = ["QuickChain"]

CHAIN_ID: Final = 0x9A5
FUNDS: Final = 10**27
_GAS: Final = 30_000_000
_OUTPUT: Final = re.compile(r"output: 0x([0-9a-f]*)")
_NOTHING: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class _Mined:
    block: Block
    header: Header
    receipt: TxReceipt | None


class QuickChain:
    """One EVM, its blocks in memory."""

    verification: Verification = "own node"

    def __init__(self, clock: Callable[[], float], entropy: Callable[[int], bytes]) -> None:
        self._clock = clock
        self._turn = threading.RLock()
        self._evm = pyrevm.EVM(env=pyrevm.Env(cfg=pyrevm.CfgEnv(chain_id=CHAIN_ID)), spec_id="CANCUN", gas_limit=_GAS)
        self._mined: list[_Mined] = []
        self._places: dict[Digest, int] = {}
        self._nonces: dict[Address, int] = {}
        self.faucet: Final = Account.generate(entropy)
        self._evm.set_balance(str(self.faucet.address), FUNDS)
        self._mine(Digest(_NOTHING), None)

    def close(self) -> None:
        """There is nothing to let go."""

    # Blocks

    def chain_id(self) -> int:
        return CHAIN_ID

    def head(self) -> Block:
        return self._mined[-1].block

    def finalized(self) -> Block:
        return self.head()

    def block(self, number: int) -> Block:
        return self._at(number).block

    def blocks(self, numbers: Sequence[int]) -> tuple[Block, ...]:
        return tuple(self.block(number) for number in numbers)

    def header(self, number: int) -> Header:
        return self._at(number).header

    def logs(self, addresses: Sequence[Address], first: int, last: int) -> tuple[RawLog, ...]:
        wanted = frozenset(addresses)
        receipts = (mined.receipt for mined in self._mined[first : last + 1])
        return tuple(log for one in receipts if one is not None for log in one.logs if log.address in wanted)

    def receipt(self, transaction: Digest) -> TxReceipt | None:
        number = self._places.get(transaction)
        return None if number is None else self._mined[number].receipt

    def block_receipts(self, number: int) -> tuple[TxReceipt, ...]:
        receipt = self._at(number).receipt
        return () if receipt is None else (receipt,)

    def _at(self, number: int) -> _Mined:
        if not 0 <= number < len(self._mined):
            raise ChainRefusedError(f"there is no block {number}")
        return self._mined[number]

    # State

    def call(self, to: Address, data: bytes, *, at: int | None = None, sender: Address | None = None) -> bytes:
        if at is not None and at != self.head().number:
            raise ChainRefusedError("only the newest state is kept")
        with self._turn:
            return self._run(sender or Address.ZERO, to, data, 0, static=True)

    def nonce(self, account: Address) -> int:
        return self._nonces.get(account, 0)

    def balance(self, account: Address) -> int:
        return int(self._evm.get_balance(str(account)))

    def gas_price(self) -> int:
        return 0

    def estimate_gas(self, sender: Address, to: Address | None, data: bytes, value: int) -> int:
        """Runs it and takes it back; what it took is not counted."""
        with self._turn:
            before = self._evm.snapshot()
            try:
                if to is not None:
                    self._run(sender, to, data, value, static=False)
            finally:
                self._evm.revert(before)
        return _GAS // 2

    def code(self, address: Address) -> bytes:
        return bytes(self._evm.get_code(str(address)) or b"")

    def storage_proof(self, address: Address, slots: Sequence[int], block: int) -> StorageProof:
        raise ChainRefusedError("there are no tries to prove anything with")

    # Sending

    def send(self, raw: bytes) -> Digest:
        with self._turn:
            return self._take(PragueVM.get_transaction_builder().decode(raw))

    def _take(self, transaction: Any) -> Digest:
        digest, sender = Digest(bytes(transaction.hash)), Address(bytes(transaction.sender))
        if digest in self._places:
            return digest
        if transaction.nonce != self.nonce(sender):
            raise NonceConflictError(f"nonce {transaction.nonce} is not the next, {self.nonce(sender)}")
        self._set_block()
        contract = None
        if transaction.to:
            self._run(sender, Address(bytes(transaction.to)), transaction.data, transaction.value, static=False)
        else:
            contract = Address.parse(self._evm.deploy(str(sender), transaction.data))
        self._nonces[sender] = transaction.nonce + 1
        self._mine(digest, contract)
        return digest

    def _run(self, sender: Address, to: Address, data: bytes, value: int, *, static: bool) -> bytes:
        self._set_block()
        try:
            return bytes(self._evm.message_call(str(sender), str(to), data, value, is_static=static))
        except RuntimeError as error:
            found = _OUTPUT.search(str(error))
            raise (decode_revert(bytes.fromhex(found[1])) if found else RevertedError(str(error), ())) from None

    def _set_block(self) -> None:
        number = len(self._mined)
        self._evm.set_block_env(pyrevm.BlockEnv(number=number, timestamp=int(self._clock()), gas_limit=_GAS))

    def _mine(self, transaction: Digest, contract: Address | None) -> None:
        number = len(self._mined)
        logs = tuple(
            RawLog(
                address=Address.parse(log.address),
                topics=tuple(bytes(topic) for topic in log.data[0]),
                data=bytes(log.data[1]),
                block_number=number,
                block_hash=Digest(_NOTHING),
                transaction_hash=transaction,
                log_index=place,
            )
            for place, log in enumerate(self._evm.result.logs if number else ())
        )
        bloom = _bloom(logs)
        header = self._header(number, bloom)
        logs = tuple(replace(log, block_hash=header.hash) for log in logs)
        receipt = None
        if number:
            receipt = TxReceipt(transaction, number, header.hash, 0, 2, True, _GAS, _GAS, bloom, contract, logs)
            self._places[transaction] = number
        block = Block(
            number, header.hash, header.parent_hash, header.timestamp, header.state_root, header.receipts_root, bloom
        )
        self._mined.append(_Mined(block, header, receipt))

    def _header(self, number: int, bloom: bytes) -> Header:
        parent = self._mined[-1].header.hash if self._mined else Digest(_NOTHING)
        numbers = [0, number, _GAS, _GAS if number else 0, int(self._clock())]
        fields = [bytes(parent), _NOTHING, bytes(20), _NOTHING, _NOTHING, _NOTHING, bloom]
        fields += [one.to_bytes((one.bit_length() + 7) // 8, "big") for one in numbers]
        return Header.read(rlp.encode([*fields, b"", _NOTHING, bytes(8)]))


def _bloom(logs: Sequence[RawLog]) -> bytes:
    """2048 bits, Yellow Paper 4.3.1."""
    bits = 0
    for log in logs:
        for item in (bytes(log.address), *log.topics):
            digest = keccak(item)
            for at in (0, 2, 4):
                bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits.to_bytes(256, "big")
