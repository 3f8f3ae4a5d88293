"""Merkle proofs against block headers: storage under a state root, receipts under a receipts root. Pure.

`verify_*` return what was proven or raise ChainIntegrityError.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import rlp
from eth_utils.crypto import keccak
from rlp.exceptions import RLPException
from trie.exceptions import BadTrieProof, MissingTraversalNode, MissingTrieNode, ValidationError
from trie.hexary import HexaryTrie

from capsule.ids import Address, Digest
from contracts.chain import RawLog, StorageProof, TxReceipt
from contracts.errors import ChainIntegrityError
from contracts.nesting import read_nested

__all__ = [
    "encode_receipt",
    "log_content",
    "path_nodes",
    "receipt_key",
    "receipt_proof",
    "tidy_storage",
    "verify_receipt",
    "verify_storage",
]

_TRIE: Final[Any] = HexaryTrie
# A node may hold nodes of less than 32 bytes; a receipt holds logs, which hold topics.
_NODE_DEPTH: Final = 16
_RECEIPT_DEPTH: Final = 4


def verify_storage(proof: StorageProof, state_root: Digest) -> tuple[bytes, ...]:
    """The 32-byte words at `proof.slots` under a block's state root."""
    account = rlp.encode([_number(proof.nonce), _number(proof.balance), proof.storage_hash, proof.code_hash])
    _verify(state_root, keccak(proof.address), proof.account_proof, account, f"account {proof.address}")
    for slot, value, nodes in zip(proof.slots, proof.values, proof.proofs, strict=True):
        stored = value.lstrip(b"\x00")
        expected = rlp.encode(stored) if stored else b""
        key = keccak(slot.to_bytes(32, "big"))
        _verify(proof.storage_hash, key, nodes, expected, f"slot {slot:#x} of {proof.address}")
    return proof.values


def tidy_storage(proof: StorageProof, state_root: Digest) -> StorageProof:
    """A proof that holds, with exactly the nodes on its paths: nodes say nothing when they may be any."""
    account = path_nodes(state_root, keccak(proof.address), proof.account_proof)
    proofs = (
        path_nodes(proof.storage_hash, keccak(slot.to_bytes(32, "big")), nodes)
        for slot, nodes in zip(proof.slots, proof.proofs, strict=True)
    )
    return replace(proof, account_proof=account, proofs=tuple(proofs))


def path_nodes(root: Digest, key: bytes, nodes: Sequence[bytes]) -> tuple[bytes, ...]:
    """Those of `nodes` that lead from the root towards a key, in order. Raises ChainIntegrityError."""
    trie: Any = HexaryTrie({keccak(node): node for node in nodes}, root)
    try:
        for node in nodes:
            read_nested(node, _NODE_DEPTH)
        return tuple(rlp.encode(node) for node in trie.get_proof(key))
    except (
        MissingTraversalNode,
        MissingTrieNode,
        ValidationError,
        RLPException,
        KeyError,
        TypeError,
        RecursionError,
    ) as error:
        raise ChainIntegrityError(f"nodes do not lead to {root}") from error


def encode_receipt(receipt: TxReceipt) -> bytes:
    """The receipt as the receipts trie holds it (EIP-2718)."""
    logs = [[bytes(log.address), list(log.topics), log.data] for log in receipt.logs]
    status = b"\x01" if receipt.succeeded else b""
    body: bytes = rlp.encode([status, receipt.cumulative_gas_used, receipt.logs_bloom, logs])
    return (bytes([receipt.kind]) if receipt.kind else b"") + body


def receipt_proof(receipts: Sequence[TxReceipt], index: int, receipts_root: Digest) -> tuple[bytes, ...]:
    """Trie nodes from the receipts root to receipt `index`, from all receipts of its block.

    Raises ChainIntegrityError when the receipts are not those under `receipts_root`.
    """
    trie: Any = HexaryTrie({})
    for receipt in receipts:
        trie[rlp.encode(receipt.index)] = encode_receipt(receipt)
    if trie.root_hash != receipts_root:
        raise ChainIntegrityError(f"{len(receipts)} receipts do not hash to the receipts root {receipts_root}")
    return tuple(rlp.encode(node) for node in trie.get_proof(rlp.encode(index)))


def verify_receipt(
    nodes: Sequence[bytes], index: int, encoded: bytes, receipts_root: Digest
) -> tuple[tuple[Address, tuple[bytes, ...], bytes], ...]:
    """Address, topics and data of each log of the receipt `encoded`, proven to be number `index` under the root."""
    _verify(receipts_root, rlp.encode(index), nodes, encoded, f"receipt {index}")
    try:
        _, _, _, logs = read_nested(encoded if encoded[:1] >= b"\xc0" else encoded[1:], _RECEIPT_DEPTH)
        return tuple((Address(address), tuple(topics), data) for address, topics, data in logs)
    except (RLPException, ValueError, TypeError, RecursionError) as error:
        raise ChainIntegrityError(f"receipt {index} is not a receipt") from error


def receipt_key(index: int) -> bytes:
    """Where the receipts trie has receipt `index`."""
    key: bytes = rlp.encode(index)
    return key


def log_content(log: RawLog) -> tuple[Address, tuple[bytes, ...], bytes]:
    """What `verify_receipt` proves of a log."""
    return log.address, log.topics, log.data


def _verify(root: Digest, key: bytes, nodes: Sequence[bytes], expected: bytes, subject: str) -> None:
    try:
        found = _TRIE.get_from_proof(root, key, tuple(read_nested(node, _NODE_DEPTH) for node in nodes))
    except (
        BadTrieProof,
        MissingTraversalNode,
        ValidationError,
        RLPException,
        KeyError,
        TypeError,
        RecursionError,
    ) as error:
        raise ChainIntegrityError(f"the proof of {subject} does not lead to {root}") from error
    if found != expected:
        raise ChainIntegrityError(f"the proof of {subject} proves another value")


def _number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")
