"""The embedded chain: eth-tester's py-evm backend in this process, kept in one folder and durable.

Invariants: a transaction's hash is returned only after its block is on disk, so neither a restart nor `kill -9` loses
what was acknowledged; one process a folder; every transaction has its own block, whose time is the clock's and never
runs back (several blocks may share a second); gas is free. Whoever owns the folder can rewrite the chain: it proves
nothing to others.

The folder holds `chain.db`, `faucet.key` (hex, mode 0600: the account that genesis funds) and `lock`.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import rlp
from eth.abc import BlockHeaderAPI, ComputationAPI, ReceiptAPI, SignedTransactionAPI
from eth.db.atomic import AtomicDB
from eth.exceptions import HeaderNotFound, Revert, TransactionNotFound, UnrecognizedTransactionType, VMError
from eth.vm.forks.prague import PragueVM
from eth.vm.spoof import SpoofTransaction
from eth_keys.exceptions import BadSignature
from eth_tester.backends.pyevm.main import PyEVMBackend, get_default_genesis_params, setup_tester_chain
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException
from trie.hexary import HexaryTrie

from capsule.errors import InputError
from capsule.ids import Address, Digest
from contracts.account import Account
from contracts.chain import Block, RawLog, StorageProof, TxReceipt, Verification
from contracts.decode import decode_revert
from contracts.errors import (
    ChainIntegrityError,
    ChainRefusedError,
    HomeLockedError,
    NonceConflictError,
    RevertedError,
)
from contracts.headers import Header
from contracts.store import BlockStore

__all__ = ["EmbeddedChain"]

_CHAIN_ID: Final = 0xDA7A
_FUNDS: Final = 10**27
# A block's base fee stays zero while no block is more than half full.
_BLOCK_GAS: Final = 60_000_000
_TRANSACTION_GAS: Final = _BLOCK_GAS // 2
_BLOCKS_KEPT: Final = 10_000
_CANONICAL_HEAD: Final = b"v1:canonical_head_hash"


class _SteadyVM(PragueVM):
    """Prague, but blocks may share a second: block time is wall time, and more than one block fits in."""

    @classmethod
    def validate_header(cls, header: BlockHeaderAPI, parent_header: BlockHeaderAPI) -> None:
        if parent_header is not None and header.timestamp == parent_header.timestamp:
            parent_header = parent_header.copy(timestamp=header.timestamp - 1)
        super().validate_header(header, parent_header)


class _DurableBackend(PyEVMBackend):  # type: ignore[misc]
    """eth-tester's backend on a store that outlives the process."""

    def __init__(self, store: BlockStore, faucet: Address, timestamp: int) -> None:
        self._store = store
        genesis = get_default_genesis_params({"timestamp": timestamp, "gas_limit": _BLOCK_GAS})
        state = {bytes(faucet): {"balance": _FUNDS, "nonce": 0, "code": b"", "storage": {}}}
        super().__init__({**genesis, "base_fee_per_gas": 0}, state, ((0, _SteadyVM),))

    def reset_to_genesis(self, *parameters: Any) -> None:
        """Takes up the stored chain, or starts one; eth-tester's well-known keys are dropped."""
        _, fresh = setup_tester_chain(*parameters)
        self.account_keys = ()
        self._chain_class = type("EmbeddedMiningChain", (type(fresh),), {"chain_id": _CHAIN_ID})
        if _CANONICAL_HEAD not in self._store:
            for key, value in fresh.chaindb.db.wrapped_db.kv_store.items():
                self._store[key] = value
            self._store.commit()
        self.reload()

    def reload(self) -> None:
        """Back to what is on disk."""
        self._store.discard()
        self.chain = self._chain_class(AtomicDB(self._store))


class EmbeddedChain:
    """A `Chain` in this process. Open it with `EmbeddedChain.open`, and close it."""

    verification: Verification = "own node"

    def __init__(
        self, backend: _DurableBackend, store: BlockStore, lock: int, faucet: Account, clock: Callable[[], float]
    ) -> None:
        self._backend = backend
        self._store = store
        self._lock_file = lock
        self._clock = clock
        self._turn = threading.RLock()
        self._receipts_of: dict[int, tuple[TxReceipt, ...]] = {}
        self.faucet: Final = faucet

    @classmethod
    def open(cls, path: Path, *, clock: Callable[[], float]) -> Self:
        """Opens the chain in folder `path`, or makes it. `clock` gives unix seconds.

        Raises HomeLockedError when another process (or this one) has it open, ChainIntegrityError when the folder lacks
        the faucet's key.
        """
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _take_lock(path / "lock")
        try:
            store = BlockStore(path / "chain.db")
            faucet = _faucet(path / "faucet.key", fresh=_CANONICAL_HEAD not in store)
            backend = _DurableBackend(store, faucet.address, int(clock()))
            genesis = backend.chain.get_vm(backend.chain.get_canonical_block_header_by_number(0))
            if genesis.state.get_balance(bytes(faucet.address)) != _FUNDS:
                raise ChainIntegrityError(f"{path / 'faucet.key'} is not the key of this chain's faucet")
        except BaseException:
            os.close(lock)
            raise
        return cls(backend, store, lock, faucet, clock)

    def close(self) -> None:
        """Lets the folder go. Nothing is lost without it."""
        with self._turn:
            if self._lock_file >= 0:
                self._store.close()
                os.close(self._lock_file)
                self._lock_file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return "EmbeddedChain"

    # Blocks and receipts

    def chain_id(self) -> int:
        return _CHAIN_ID

    def head(self) -> Block:
        with self._turn:
            return _block(self._chain.get_canonical_head())

    def finalized(self) -> Block:
        """Nothing here is ever reorganised: the newest block."""
        return self.head()

    def block(self, number: int) -> Block:
        with self._turn:
            return _block(self._header(number))

    def blocks(self, numbers: Sequence[int]) -> tuple[Block, ...]:
        with self._turn:
            return tuple(_block(self._header(number)) for number in numbers)

    def header(self, number: int) -> Header:
        with self._turn:
            return Header.read(bytes(rlp.encode(self._header(number))))

    def logs(self, addresses: Sequence[Address], first: int, last: int) -> tuple[RawLog, ...]:
        wanted = frozenset(addresses)
        found: list[RawLog] = []
        with self._turn:
            for number in range(first, min(last, int(self._chain.get_canonical_head().block_number)) + 1):
                header = self._header(number)
                if header.bloom:
                    found += (
                        log for receipt in self._receipts(header) for log in receipt.logs if log.address in wanted
                    )
        return tuple(found)

    def receipt(self, transaction: Digest) -> TxReceipt | None:
        with self._turn:
            try:
                number, index = self._chain.chaindb.get_transaction_index(bytes(transaction))
            except TransactionNotFound:
                return None
            return self._receipts(self._header(int(number)))[int(index)]

    def block_receipts(self, number: int) -> tuple[TxReceipt, ...]:
        with self._turn:
            return self._receipts(self._header(number))

    # State

    def nonce(self, account: Address) -> int:
        with self._turn:
            return int(self._state().get_nonce(bytes(account)))

    def balance(self, account: Address) -> int:
        with self._turn:
            return int(self._state().get_balance(bytes(account)))

    def code(self, address: Address) -> bytes:
        with self._turn:
            return bytes(self._state().get_code(bytes(address)))

    def gas_price(self) -> int:
        return 0

    def call(self, to: Address, data: bytes, *, at: int | None = None, sender: Address | None = None) -> bytes:
        """With `at` None the call sees the time that a block made now would have."""
        with self._turn:
            header = self._next_header() if at is None else self._header(at)
            return bytes(self._run(header, sender or Address.ZERO, to, data, 0).output)

    def estimate_gas(self, sender: Address, to: Address | None, data: bytes, value: int) -> int:
        """What one run on the newest state took, before refunds; at least the floor for its data (EIP-7623)."""
        with self._turn:
            computation = self._run(self._next_header(), sender, to, data, value)
        tokens = 4 * len(data) - 3 * data.count(0)
        return max(_TRANSACTION_GAS - int(computation.get_gas_remaining()), 21_000 + 10 * tokens)

    def storage_proof(self, address: Address, slots: Sequence[int], block: int) -> StorageProof:
        with self._turn:
            database = self._chain.chaindb.db
            accounts = HexaryTrie(database, self._header(block).state_root)
            path = keccak(bytes(address))
            leaf = accounts[path]
            if not leaf:
                raise ChainRefusedError(f"there is no account {address} in block {block}")
            nonce, balance, storage_hash, code_hash = rlp.decode(leaf)
            storage = HexaryTrie(database, storage_hash)
            keys = [keccak(slot.to_bytes(32, "big")) for slot in slots]
            words = [storage[key] for key in keys]
            return StorageProof(
                address=address,
                block_number=block,
                nonce=int.from_bytes(nonce, "big"),
                balance=int.from_bytes(balance, "big"),
                code_hash=Digest(code_hash),
                storage_hash=Digest(storage_hash),
                account_proof=_nodes(accounts, path),
                slots=tuple(slots),
                values=tuple((rlp.decode(word) if word else b"").rjust(32, b"\x00") for word in words),
                proofs=tuple(_nodes(storage, key) for key in keys),
            )

    # Sending

    def send(self, raw: bytes) -> Digest:
        """Runs the transaction in a block of its own; that block is on disk when this returns."""
        with self._turn:
            transaction = self._decode(raw)
            digest = Digest(bytes(transaction.hash))
            if self.receipt(digest) is not None:
                return digest
            if transaction.gas > _TRANSACTION_GAS:
                raise ChainRefusedError(f"a transaction takes at most {_TRANSACTION_GAS} gas here")
            expected = self.nonce(Address(bytes(transaction.sender)))
            if transaction.nonce < expected:
                raise NonceConflictError(f"nonce {transaction.nonce} is spent, the next is {expected}")
            with self._all_or_nothing():
                self._chain.header = self._next_header()
                self._chain.apply_transaction(transaction)
                self._backend.mine_blocks()
                self._store.commit()
            return digest

    def _decode(self, raw: bytes) -> SignedTransactionAPI:
        try:
            transaction: SignedTransactionAPI = self._chain.get_vm().get_transaction_builder().decode(raw)
            transaction.validate()
            _ = transaction.sender
        except (
            RLPException,
            ValidationError,
            BadSignature,
            UnrecognizedTransactionType,
            ValueError,
            IndexError,
        ) as error:
            raise ChainRefusedError(f"not a signed transaction of this chain: {error}") from error
        if transaction.chain_id != _CHAIN_ID:
            raise ChainRefusedError(f"a transaction for chain {transaction.chain_id}, not {_CHAIN_ID}")
        return transaction

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        try:
            yield
        except ValidationError as error:
            self._backend.reload()
            raise ChainRefusedError(f"the chain does not take this transaction: {error}") from error
        except BaseException:
            self._backend.reload()
            raise

    def _run(
        self, header: BlockHeaderAPI, sender: Address, to: Address | None, data: bytes, value: int
    ) -> ComputationAPI:
        vm = self._chain.get_vm(header)
        unsigned = vm.get_transaction_builder().new_unsigned_dynamic_fee_transaction(
            chain_id=_CHAIN_ID,
            nonce=vm.state.get_nonce(bytes(sender)),
            max_priority_fee_per_gas=0,
            max_fee_per_gas=0,
            gas=_TRANSACTION_GAS,
            to=b"" if to is None else bytes(to),
            value=value,
            data=data,
            access_list=(),
        )
        try:
            computation: ComputationAPI = vm.state.apply_transaction(SpoofTransaction(unsigned, from_=bytes(sender)))
        except ValidationError as error:
            raise ChainRefusedError(f"the chain does not take this call: {error}") from error
        if computation.is_error:
            raise _refusal(computation.error)
        return computation

    # Reading py-evm

    @property
    def _chain(self) -> Any:
        if self._lock_file < 0:
            raise InputError("this embedded chain is closed")
        return self._backend.chain

    def _state(self) -> Any:
        return self._chain.get_vm(self._chain.get_canonical_head()).state

    def _header(self, number: int) -> BlockHeaderAPI:
        try:
            header: BlockHeaderAPI = self._chain.get_canonical_block_header_by_number(number)
        except (HeaderNotFound, ValidationError) as error:
            raise ChainRefusedError(f"there is no block {number}") from error
        return header

    def _next_header(self) -> BlockHeaderAPI:
        head = self._chain.get_canonical_head()
        header: BlockHeaderAPI = self._chain.create_header_from_parent(head)
        return header.copy(timestamp=max(int(self._clock()), head.timestamp))

    def _receipts(self, header: BlockHeaderAPI) -> tuple[TxReceipt, ...]:
        known = self._receipts_of.get(header.block_number)
        if known is not None:
            return known
        vm_class = self._chain.get_vm_class(header)
        chaindb = self._chain.chaindb
        transactions = chaindb.get_block_transactions(header, vm_class.get_transaction_builder())
        receipts = chaindb.get_receipts(header, vm_class.get_receipt_builder())
        made: list[TxReceipt] = []
        for transaction, receipt in zip(transactions, receipts, strict=True):
            made.append(_tx_receipt(header, transaction, receipt, made))
        if len(self._receipts_of) >= _BLOCKS_KEPT:
            self._receipts_of.clear()
        self._receipts_of[header.block_number] = tuple(made)
        return tuple(made)


def _block(header: BlockHeaderAPI) -> Block:
    return Block(
        number=header.block_number,
        hash=Digest(bytes(header.hash)),
        parent_hash=Digest(bytes(header.parent_hash)),
        timestamp=header.timestamp,
        state_root=Digest(bytes(header.state_root)),
        receipts_root=Digest(bytes(header.receipt_root)),
        logs_bloom=header.bloom.to_bytes(256, "big"),
    )


def _tx_receipt(
    header: BlockHeaderAPI, transaction: SignedTransactionAPI, receipt: ReceiptAPI, earlier: Sequence[TxReceipt]
) -> TxReceipt:
    block_hash, transaction_hash = Digest(bytes(header.hash)), Digest(bytes(transaction.hash))
    logs_before = sum(len(one.logs) for one in earlier)
    logs = tuple(
        RawLog(
            address=Address(bytes(log.address)),
            topics=tuple(topic.to_bytes(32, "big") for topic in log.topics),
            data=bytes(log.data),
            block_number=header.block_number,
            block_hash=block_hash,
            transaction_hash=transaction_hash,
            log_index=logs_before + place,
        )
        for place, log in enumerate(receipt.logs)
    )
    contract = None
    if not transaction.to:
        contract = Address(keccak(rlp.encode([bytes(transaction.sender), transaction.nonce]))[12:])
    return TxReceipt(
        transaction_hash=transaction_hash,
        block_number=header.block_number,
        block_hash=block_hash,
        index=len(earlier),
        kind=getattr(receipt, "type_id", 0),
        succeeded=receipt.state_root == b"\x01",
        gas_used=receipt.gas_used - (earlier[-1].cumulative_gas_used if earlier else 0),
        cumulative_gas_used=receipt.gas_used,
        logs_bloom=receipt.bloom.to_bytes(256, "big"),
        contract=contract,
        logs=logs,
    )


def _refusal(error: VMError) -> RevertedError:
    if isinstance(error, Revert):
        return decode_revert(bytes(error.args[0]) if error.args else b"")
    return RevertedError("Halted", (f"{type(error).__name__}: {error}",))


def _nodes(trie: Any, key: bytes) -> tuple[bytes, ...]:
    return tuple(rlp.encode(node) for node in trie.get_proof(key))


def _take_lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise HomeLockedError(f"another process uses the embedded chain in {path.parent}; stop it first") from None
    return descriptor


def _faucet(path: Path, *, fresh: bool) -> Account:
    if path.exists():
        try:
            return Account(bytes.fromhex(path.read_text("ascii").strip()))
        except (ValueError, InputError) as error:
            raise ChainIntegrityError(f"{path} holds no private key") from error
    if not fresh:
        raise ChainIntegrityError(f"{path} is missing, and the chain beside it was made with it")
    account = Account.generate(secrets.token_bytes)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(account.private_key.hex() + "\n")
        file.flush()
        os.fsync(descriptor)
    part.rename(path)
    return account
