"""What a chain itself proves: the contracts' heads under a block's state root, and events in receipts of their blocks.

A `ChainProof` is read but not believed: `heads_of` and `verify_events` verify it against the headers in it, and whether
these headers count is for T to say (`audit.seals`). Written forms are members of a bundle and of the index; their trie
nodes are exactly those on the proven paths, so that no byte of them is without meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from audit.entries import Claim, Entry
from capsule.canonical import Json
from capsule.document import Fields, hexed
from capsule.errors import FormatError
from capsule.ids import Address, Digest
from contracts.chain import Block, RawLog, StorageProof
from contracts.errors import ChainIntegrityError
from contracts.headers import Header
from contracts.heads import HEAD_SLOT, SEQ_SLOT
from contracts.ledger import Ledger
from contracts.proofs import (
    encode_receipt,
    log_content,
    path_nodes,
    receipt_key,
    receipt_proof,
    tidy_storage,
    verify_receipt,
    verify_storage,
)

__all__ = [
    "BlockProof",
    "ChainProof",
    "HeadsProof",
    "ReceiptProof",
    "heads_of",
    "heads_proof_from_json",
    "heads_proof_json",
    "proof_from_json",
    "proof_json",
    "prove_blocks",
    "prove_heads",
    "verify_events",
]

_SLOTS: Final = (HEAD_SLOT, SEQ_SLOT)
_MAX_HEADER_BYTES: Final = 128 * 1024
_MAX_RECEIPT_BYTES: Final = 16 * 1024 * 1024
_MAX_NODES: Final = 64
_MAX_STEPS: Final = 10_000
_MAX_BLOCKS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class HeadsProof:
    """Storage of each contract (by name), slots of head and number of events, under the header's state root."""

    header: Header
    contracts: Mapping[str, StorageProof]


@dataclass(frozen=True, slots=True)
class ReceiptProof:
    """Receipt `index` of a block as the receipts trie holds it, and the trie's nodes that lead to it."""

    index: int
    encoded: bytes
    nodes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BlockProof:
    """Receipts of one block, under its header's receipts root."""

    header: Header
    receipts: tuple[ReceiptProof, ...]


@dataclass(frozen=True, slots=True)
class ChainProof:
    """Proven heads; `steps`, headers by which validator sets are followed (`contracts.headers`); proven receipts."""

    heads: HeadsProof
    steps: tuple[Header, ...] = ()
    blocks: tuple[BlockProof, ...] = ()


# Asking a chain


def prove_heads(ledger: Ledger, block: Block) -> HeadsProof:
    """The heads of all contracts at a block, verified as they come.

    Raises ChainRefusedError where the chain keeps no proofs, ChainIntegrityError where they don't hold.
    """
    header = _header(ledger, block.number, block.hash)
    contracts = {}
    for name, address in ledger.addresses.items():
        proof = ledger.chain.storage_proof(address, _SLOTS, block.number)
        verify_storage(proof, header.state_root)
        contracts[name] = tidy_storage(proof, header.state_root)
    return HeadsProof(header, MappingProxyType(contracts))


def prove_blocks(ledger: Ledger, entries: Iterable[Entry]) -> tuple[BlockProof, ...]:
    """The receipts that hold these events, block by block. Raises as `prove_heads`."""
    logs: dict[int, list[RawLog]] = {}
    for entry in entries:
        logs.setdefault(entry.event.log.block_number, []).append(entry.event.log)
    return tuple(_prove_block(ledger, number, logs[number]) for number in sorted(logs))


def _prove_block(ledger: Ledger, number: int, logs: Iterable[RawLog]) -> BlockProof:
    header = None
    wanted = set()
    for log in logs:
        header = header or _header(ledger, number, log.block_hash)
        wanted.add(log.transaction_hash)
    receipts = ledger.chain.block_receipts(number)
    proofs = tuple(
        ReceiptProof(one.index, encode_receipt(one), receipt_proof(receipts, one.index, header.receipts_root))
        for one in receipts
        if header is not None and one.transaction_hash in wanted
    )
    if header is None or len(proofs) != len(wanted):
        raise ChainIntegrityError(f"the endpoint's receipts of block {number} lack transactions that it gave logs of")
    return BlockProof(header, proofs)


def _header(ledger: Ledger, number: int, hashed: Digest) -> Header:
    header = ledger.chain.header(number)
    if header.hash != hashed:
        raise ChainIntegrityError(f"the endpoint has two blocks {number}: {hashed}, and {header.hash} by its header")
    return header


# Verifying


def heads_of(proof: HeadsProof) -> Claim:
    """The proven heads, as a claim to hold events against. Raises ChainIntegrityError."""
    heads = {}
    for name, storage in proof.contracts.items():
        head, seq = verify_storage(storage, proof.header.state_root)
        if tidy_storage(storage, proof.header.state_root) != storage:
            raise ChainIntegrityError(f"the proof of {name} holds nodes that are not on its path")
        heads[name] = (Digest(head), int.from_bytes(seq, "big"))
    header = proof.header
    return Claim("endpoint", header.number, header.hash, MappingProxyType(heads), time=header.timestamp)


def verify_events(blocks: Sequence[BlockProof], entries: Iterable[Entry]) -> None:
    """Each event stands in a receipt of its block, at that block's number and time; each receipt holds some of them.

    Blocks and receipts come in order, once each. Transactions and positions within a block are not proven. Raises
    ChainIntegrityError.
    """
    order = [(block.header.number, receipt.index) for block in blocks for receipt in block.receipts]
    if any(later <= earlier for earlier, later in pairwise(order)):
        raise ChainIntegrityError("blocks or receipts are not in order, once each")
    headers = {block.header.hash: block.header for block in blocks}
    unused = {(block.header.hash, receipt.index) for block in blocks for receipt in block.receipts}
    if not all(block.receipts for block in blocks):
        raise ChainIntegrityError("a block is there without receipts")
    proven = {log: key for block in blocks for log, key in _logs(block)}
    for entry in entries:
        log = entry.event.log
        key, header = proven.get((log.block_hash, *log_content(log))), headers.get(log.block_hash)
        if key is None or header is None or (header.number, header.timestamp) != (log.block_number, entry.time):
            raise ChainIntegrityError(
                f"no receipt holds the {type(entry.event).__name__} of block {log.block_number}, log {log.log_index}"
            )
        unused.discard(key)
    if unused:
        raise ChainIntegrityError(f"{len(unused)} receipts hold none of the subject's events")


def _logs(block: BlockProof) -> Iterator[tuple[tuple[object, ...], tuple[Digest, int]]]:
    root, hashed = block.header.receipts_root, block.header.hash
    for receipt in block.receipts:
        logs = verify_receipt(receipt.nodes, receipt.index, receipt.encoded, root)
        if path_nodes(root, receipt_key(receipt.index), receipt.nodes) != receipt.nodes:
            raise ChainIntegrityError(f"the proof of receipt {receipt.index} holds nodes that are not on its path")
        for log in logs:
            yield (hashed, *log), (hashed, receipt.index)


# Written forms


def proof_json(proof: ChainProof) -> dict[str, Json]:
    return {
        **heads_proof_json(proof.heads),
        "steps": [hexed(header.encoded) for header in proof.steps],
        "blocks": [
            {
                "header": hexed(block.header.encoded),
                "receipts": [
                    {"index": one.index, "receipt": hexed(one.encoded), "nodes": [hexed(node) for node in one.nodes]}
                    for one in block.receipts
                ],
            }
            for block in proof.blocks
        ],
    }


def proof_from_json(value: Json, contracts: Mapping[str, Address]) -> ChainProof:
    """Raises FormatError or ChainIntegrityError; nothing is verified yet. `contracts`: whose heads it must hold."""
    fields = Fields(value, "proof")
    return ChainProof(
        heads_proof_from_json(value, contracts),
        tuple(Header.read(one) for one in _hexes(fields, "steps", _MAX_STEPS, _MAX_HEADER_BYTES)),
        fields.objects("blocks", _MAX_BLOCKS, _block),
    )


def heads_proof_json(proof: HeadsProof) -> dict[str, Json]:
    return {
        "header": hexed(proof.header.encoded),
        "contracts": {
            name: {
                "nonce": str(one.nonce),
                "balance": str(one.balance),
                "code_hash": str(one.code_hash),
                "storage_hash": str(one.storage_hash),
                "account_proof": [hexed(node) for node in one.account_proof],
                "head": hexed(one.values[0]),
                "head_proof": [hexed(node) for node in one.proofs[0]],
                "seq": hexed(one.values[1]),
                "seq_proof": [hexed(node) for node in one.proofs[1]],
            }
            for name, one in sorted(proof.contracts.items())
        },
    }


def heads_proof_from_json(value: Json, contracts: Mapping[str, Address]) -> HeadsProof:
    fields = Fields(value, "proof")
    header = Header.read(fields.raw("header", limit=_MAX_HEADER_BYTES))
    proven = fields.object("contracts")
    if set(proven.names()) != set(contracts):
        raise FormatError("proof: its contracts are not those of the ledger")
    found = {name: _storage(proven.object(name), address, header.number) for name, address in contracts.items()}
    return HeadsProof(header, MappingProxyType(found))


def _storage(fields: Fields, address: Address, block: int) -> StorageProof:
    return StorageProof(
        address=address,
        block_number=block,
        nonce=fields.decimal("nonce"),
        balance=fields.decimal("balance"),
        code_hash=fields.id("code_hash", Digest),
        storage_hash=fields.id("storage_hash", Digest),
        account_proof=_hexes(fields, "account_proof", _MAX_NODES),
        slots=_SLOTS,
        values=(fields.raw("head", 32), fields.raw("seq", 32)),
        proofs=(_hexes(fields, "head_proof", _MAX_NODES), _hexes(fields, "seq_proof", _MAX_NODES)),
    )


def _block(fields: Fields) -> BlockProof:
    header = Header.read(fields.raw("header", limit=_MAX_HEADER_BYTES))
    return BlockProof(header, fields.objects("receipts", _MAX_BLOCKS, _receipt))


def _receipt(fields: Fields) -> ReceiptProof:
    return ReceiptProof(
        fields.integer("index"),
        fields.raw("receipt", limit=_MAX_RECEIPT_BYTES),
        # A receipt may stand in its leaf whole.
        _hexes(fields, "nodes", _MAX_NODES, _MAX_RECEIPT_BYTES),
    )


def _hexes(fields: Fields, name: str, count: int, limit: int = _MAX_HEADER_BYTES) -> tuple[bytes, ...]:
    value = fields.value(name)
    if not isinstance(value, list | tuple) or len(value) > count:
        raise FormatError(f"proof: {name} is not a list of at most {count}")
    return tuple(Fields({name: item}, "proof").raw(name, limit=limit) for item in value)
