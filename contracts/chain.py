"""The port to a chain, and the values that cross it.

An implementation answers as a JSON-RPC node does, in typed values, and raises only errors of `contracts.errors`. It
does not know our contracts, except to name the custom error of a revert. All numbers are ints, hashes `Digest`, times
unix seconds. Implementations are safe to share between threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from capsule.ids import Address, Digest
from contracts.headers import Header

__all__ = ["Block", "Chain", "RawLog", "StorageProof", "TxReceipt", "Verification"]

Verification = Literal["own node", "agreeing", "single unverified endpoint"]


@dataclass(frozen=True, slots=True)
class Block:
    """A block's header, as far as anyone here needs it."""

    number: int
    hash: Digest
    parent_hash: Digest
    timestamp: int
    state_root: Digest
    receipts_root: Digest
    logs_bloom: bytes


@dataclass(frozen=True, slots=True)
class RawLog:
    """One log as emitted, with its place. `log_index` counts within the block."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: Digest
    transaction_hash: Digest
    log_index: int


@dataclass(frozen=True, slots=True)
class TxReceipt:
    """What a transaction did: all that a receipts proof needs. `kind` is its EIP-2718 type, `index` its place."""

    transaction_hash: Digest
    block_number: int
    block_hash: Digest
    index: int
    kind: int
    succeeded: bool
    gas_used: int
    cumulative_gas_used: int
    logs_bloom: bytes
    contract: Address | None
    logs: tuple[RawLog, ...]


@dataclass(frozen=True, slots=True)
class StorageProof:
    """Values of storage slots under a block's state root (eth_getProof).

    `account_proof` are the trie nodes from the state root to keccak256(address), `proofs[i]` those from `storage_hash`
    to keccak256(slots[i]). `values[i]` is the 32-byte word at `slots[i]`.
    """

    address: Address
    block_number: int
    nonce: int
    balance: int
    code_hash: Digest
    storage_hash: Digest
    account_proof: tuple[bytes, ...]
    slots: tuple[int, ...]
    values: tuple[bytes, ...]
    proofs: tuple[tuple[bytes, ...], ...]


class Chain(Protocol):
    """A chain, seen through one or more nodes. `verification` says how far its answers may be trusted (DESIGN 3)."""

    @property
    def verification(self) -> Verification: ...

    def chain_id(self) -> int: ...

    def head(self) -> Block:
        """The newest block."""
        ...

    def finalized(self) -> Block:
        """The block that the node's `finalized` tag names; raises ChainRefusedError where it has none."""
        ...

    def block(self, number: int) -> Block:
        """A block by number; raises ChainRefusedError when there is none yet."""
        ...

    def blocks(self, numbers: Sequence[int]) -> tuple[Block, ...]:
        """Blocks by number, in that order, in as few round trips as there can be; raises as `block`."""
        ...

    def header(self, number: int) -> Header:
        """A block's whole header; raises ChainRefusedError where there is none, or none that hashes to its hash."""
        ...

    def call(self, to: Address, data: bytes, *, at: int | None = None, sender: Address | None = None) -> bytes:
        """Runs a call on the state after block `at` (None: the newest); raises RevertedError."""
        ...

    def logs(self, addresses: Sequence[Address], first: int, last: int) -> tuple[RawLog, ...]:
        """All logs of these addresses in blocks first..last (both included), in chain order."""
        ...

    def send(self, raw: bytes) -> Digest:
        """Hands a signed transaction over; the same bytes twice are harmless.

        Raises NonceConflictError when another transaction took the nonce.
        """
        ...

    def receipt(self, transaction: Digest) -> TxReceipt | None:
        """The receipt, or None while the transaction is in no block."""
        ...

    def block_receipts(self, number: int) -> tuple[TxReceipt, ...]:
        """All receipts of a block, in order."""
        ...

    def nonce(self, account: Address) -> int:
        """The account's next nonce, counting what the node holds but has not put into a block."""
        ...

    def balance(self, account: Address) -> int:
        """The account's balance in wei."""
        ...

    def gas_price(self) -> int:
        """Wei per gas that is enough now; zero on chains without fees."""
        ...

    def estimate_gas(self, sender: Address, to: Address | None, data: bytes, value: int) -> int:
        """Gas that the transaction would take on the newest state; raises RevertedError."""
        ...

    def code(self, address: Address) -> bytes:
        """Code at an address on the newest state; empty when there is none."""
        ...

    def storage_proof(self, address: Address, slots: Sequence[int], block: int) -> StorageProof:
        """Storage with its Merkle proof; raises ChainRefusedError where the node keeps no proofs."""
        ...
