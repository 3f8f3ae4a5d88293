"""A chain behind one JSON-RPC endpoint.

One endpoint can lie and leave things out: `verification` says so, unless the caller states that the node is its own.
Every answer is taken for hostile: what is not of its type raises ChainIntegrityError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import rlp
from eth_utils.crypto import keccak

from capsule.errors import InputError
from capsule.ids import Address, Digest
from contracts.chain import Block, RawLog, StorageProof, TxReceipt, Verification
from contracts.endpoint import Endpoint
from contracts.errors import ChainIntegrityError, ChainRefusedError, NonceConflictError, RevertedError
from contracts.headers import Header

__all__ = ["RpcChain"]

_Json = Any
# A header's fields in the order of its RLP, then those that later forks put behind them.
_HEADER: Final = (
    *("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom"),
    *("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce"),
)
_LATER: Final = (
    *("baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash"),
)
_BYTES: Final = frozenset(
    {
        *("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom"),
        *("extraData", "mixHash", "nonce", "withdrawalsRoot", "parentBeaconBlockRoot", "requestsHash"),
    }
)


class RpcChain:
    """A `Chain` behind `url` (http or https).

    `timeout` is how many seconds an endpoint may be silent, `most_bytes` the longest answer that is taken; `log_span`
    is how many blocks one look for logs covers, since nodes limit it; `own_node` states that whoever runs this process
    also runs the node.
    """

    def __init__(
        self,
        url: str,
        timeout: float = 10.0,
        *,
        own_node: bool = False,
        log_span: int = 5_000,
        most_bytes: int = 256 * 1024 * 1024,
    ) -> None:
        self._endpoint = Endpoint(url, timeout, most_bytes)
        self.verification: Verification = "own node" if own_node else "single unverified endpoint"
        self._log_span = log_span
        self._chain_id: int | None = None

    def __repr__(self) -> str:
        return repr(self._endpoint)

    # Blocks and receipts

    def chain_id(self) -> int:
        if self._chain_id is None:
            self._chain_id = _number(self._ask("eth_chainId"))
        return self._chain_id

    def head(self) -> Block:
        return self._block("latest")

    def finalized(self) -> Block:
        return self._block("finalized")

    def block(self, number: int) -> Block:
        return self._same_number(number, self._block(hex(number)))

    def blocks(self, numbers: Sequence[int]) -> tuple[Block, ...]:
        answers = self._endpoint.ask_all("eth_getBlockByNumber", [(hex(number), False) for number in numbers])
        blocks = tuple(self._read_block(hex(number), answer) for number, answer in zip(numbers, answers, strict=True))
        for number, block in zip(numbers, blocks, strict=True):
            self._same_number(number, block)
        return blocks

    def header(self, number: int) -> Header:
        answer = self._ask("eth_getBlockByNumber", hex(number), False)
        if answer is None:
            raise ChainRefusedError(f"{self!r} has no block {number}")
        with _Reading(self, "eth_getBlockByNumber"):
            encoded, stated = _encoded_header(answer), Digest(_bytes(answer["hash"]))
        # Not an error in the answer: the header may be of a consensus or a fork that is not known here.
        try:
            header = Header.read(encoded)
        except ChainIntegrityError as error:
            raise ChainRefusedError(f"{self!r} has a header of block {number} that proves nothing: {error}") from error
        if (header.hash, header.number) != (stated, number):
            raise ChainRefusedError(
                f"{self!r} gives a header of block {number} that does not hash to its hash; it proves nothing"
            )
        return header

    def logs(self, addresses: Sequence[Address], first: int, last: int) -> tuple[RawLog, ...]:
        found: list[RawLog] = []
        wanted = {_hex(address): address for address in addresses}
        for start in range(first, last + 1, self._log_span):
            end = min(last, start + self._log_span - 1)
            query = {"address": list(wanted), "fromBlock": hex(start), "toBlock": hex(end)}
            answer = self._ask("eth_getLogs", query)
            with _Reading(self, "eth_getLogs"):
                logs = _logs(answer)
            if any(log.address not in wanted.values() or not start <= log.block_number <= end for log in logs):
                raise ChainIntegrityError(f"{self!r} answered with logs that nobody asked for")
            found += logs
        found.sort(key=lambda log: (log.block_number, log.log_index))
        return tuple(found)

    def receipt(self, transaction: Digest) -> TxReceipt | None:
        answer = self._ask("eth_getTransactionReceipt", _hex(transaction))
        if answer is None:
            return None
        receipt = self._receipt(answer)
        if receipt.transaction_hash != transaction:
            raise ChainIntegrityError(f"{self!r} answered with the receipt of another transaction")
        return receipt

    def block_receipts(self, number: int) -> tuple[TxReceipt, ...]:
        answer = self._ask("eth_getBlockReceipts", hex(number))
        if answer is None:
            raise ChainRefusedError(f"{self!r} has no block {number}")
        with _Reading(self, "eth_getBlockReceipts"):
            return tuple(self._receipt(entry) for entry in answer)

    # State

    def nonce(self, account: Address) -> int:
        return _number(self._ask("eth_getTransactionCount", _hex(account), "pending"))

    def balance(self, account: Address) -> int:
        return _number(self._ask("eth_getBalance", _hex(account), "latest"))

    def code(self, address: Address) -> bytes:
        return _bytes(self._ask("eth_getCode", _hex(address), "latest"))

    def gas_price(self) -> int:
        return _number(self._ask("eth_gasPrice"))

    def call(self, to: Address, data: bytes, *, at: int | None = None, sender: Address | None = None) -> bytes:
        call = {"to": _hex(to), "data": _hex(data)}
        if sender is not None:
            call["from"] = _hex(sender)
        return _bytes(self._ask("eth_call", call, "latest" if at is None else hex(at)))

    def estimate_gas(self, sender: Address, to: Address | None, data: bytes, value: int) -> int:
        call = {"from": _hex(sender), "data": _hex(data), "value": hex(value)}
        if to is not None:
            call["to"] = _hex(to)
        return _number(self._ask("eth_estimateGas", call))

    def storage_proof(self, address: Address, slots: Sequence[int], block: int) -> StorageProof:
        keys = [_hex(slot.to_bytes(32, "big")) for slot in slots]
        answer = self._ask("eth_getProof", _hex(address), keys, hex(block))
        if answer is None:
            raise ChainRefusedError(f"{self!r} keeps no state of block {block} any more")
        with _Reading(self, "eth_getProof"):
            return _storage_proof(address, tuple(slots), block, answer)

    # Sending

    def send(self, raw: bytes) -> Digest:
        digest = Digest(bytes(keccak(raw)))
        try:
            answer = self._ask("eth_sendRawTransaction", _hex(raw))
        except (ChainRefusedError, RevertedError) as error:
            # Nodes word "I have it already" each in its own way; that the node knows it is what counts.
            if self._ask("eth_getTransactionByHash", _hex(digest)) is not None:
                return digest
            if "nonce too low" in str(error).lower():
                raise NonceConflictError(f"{self!r}: another transaction took this nonce") from error
            raise
        if _bytes(answer) != digest:
            raise ChainIntegrityError(f"{self!r} answered with the hash of another transaction")
        return digest

    # Asking

    def _same_number(self, number: int, block: Block) -> Block:
        if block.number != number:
            raise ChainIntegrityError(f"{self!r} answered with block {block.number}, asked for {number}")
        return block

    def _block(self, tag: str) -> Block:
        return self._read_block(tag, self._ask("eth_getBlockByNumber", tag, False))

    def _read_block(self, tag: str, answer: _Json) -> Block:
        if answer is None:
            raise ChainRefusedError(f"{self!r} has no block {tag}")
        with _Reading(self, "eth_getBlockByNumber"):
            return Block(
                number=_number(answer["number"]),
                hash=Digest(_bytes(answer["hash"])),
                parent_hash=Digest(_bytes(answer["parentHash"])),
                timestamp=_number(answer["timestamp"]),
                state_root=Digest(_bytes(answer["stateRoot"])),
                receipts_root=Digest(_bytes(answer["receiptsRoot"])),
                logs_bloom=_bytes(answer["logsBloom"]),
            )

    def _receipt(self, answer: _Json) -> TxReceipt:
        with _Reading(self, "receipt"):
            contract = answer.get("contractAddress")
            return TxReceipt(
                transaction_hash=Digest(_bytes(answer["transactionHash"])),
                block_number=_number(answer["blockNumber"]),
                block_hash=Digest(_bytes(answer["blockHash"])),
                index=_number(answer["transactionIndex"]),
                kind=_number(answer.get("type", "0x0")),
                succeeded=_number(answer["status"]) == 1,
                gas_used=_number(answer["gasUsed"]),
                cumulative_gas_used=_number(answer["cumulativeGasUsed"]),
                logs_bloom=_bytes(answer["logsBloom"]),
                contract=Address(_bytes(contract)) if contract else None,
                logs=tuple(_logs(answer["logs"])),
            )

    def _ask(self, method: str, *params: object) -> _Json:
        return self._endpoint.ask(method, params)


class _Reading:
    """Whatever goes wrong while reading an answer is the endpoint's fault."""

    def __init__(self, chain: RpcChain, method: str) -> None:
        self._what = f"{chain!r} answered {method} with values of the wrong type"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (KeyError, TypeError, ValueError, AttributeError, InputError)):
            raise ChainIntegrityError(self._what) from error


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _bytes(text: _Json) -> bytes:
    if not isinstance(text, str) or not text.startswith("0x"):
        raise ChainIntegrityError("the endpoint answered with something that is no hex data")
    try:
        return bytes.fromhex(text[2:])
    except ValueError as error:
        raise ChainIntegrityError("the endpoint answered with something that is no hex data") from error


def _number(text: _Json) -> int:
    if not isinstance(text, str) or not text.startswith("0x"):
        raise ChainIntegrityError("the endpoint answered with something that is no hex number")
    try:
        return int(text, 16)
    except ValueError as error:
        raise ChainIntegrityError("the endpoint answered with something that is no hex number") from error


def _logs(answer: _Json) -> list[RawLog]:
    """The busiest function here: what comes again from log to log is read once, and no call is made in vain."""
    fromhex = bytes.fromhex
    addresses: dict[str, Address] = {}
    hashes: dict[str, Digest] = {}
    numbers: dict[str, int] = {}
    logs = []
    for entry in answer:
        written, number, block, transaction = (
            entry["address"],
            entry["blockNumber"],
            entry["blockHash"],
            entry["transactionHash"],
        )
        if written not in addresses:
            addresses[written] = Address(fromhex(written[2:]))
        if number not in numbers:
            numbers[number] = int(number, 16)
        if block not in hashes:
            hashes[block] = Digest(fromhex(block[2:]))
        if transaction not in hashes:
            hashes[transaction] = Digest(fromhex(transaction[2:]))
        logs.append(
            RawLog(
                addresses[written],
                tuple([fromhex(topic[2:]) for topic in entry["topics"]]),
                fromhex(entry["data"][2:]),
                numbers[number],
                hashes[block],
                hashes[transaction],
                int(entry["logIndex"], 16),
            )
        )
    return logs


def _encoded_header(answer: _Json) -> bytes:
    fields = [_bytes(answer[name]) if name in _BYTES else _minimal(answer[name]) for name in _HEADER]
    for name in _LATER:
        if answer.get(name) is None:
            break
        fields.append(_bytes(answer[name]) if name in _BYTES else _minimal(answer[name]))
    encoded: bytes = rlp.encode(fields)
    return encoded


def _minimal(text: _Json) -> bytes:
    number = _number(text)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _storage_proof(address: Address, slots: tuple[int, ...], block: int, answer: _Json) -> StorageProof:
    found = answer["storageProof"]
    if len(found) != len(slots) or [_number(entry["key"]) for entry in found] != list(slots):
        raise ValueError("proofs for other slots")
    return StorageProof(
        address=address,
        block_number=block,
        nonce=_number(answer["nonce"]),
        balance=_number(answer["balance"]),
        code_hash=Digest(_bytes(answer["codeHash"])),
        storage_hash=Digest(_bytes(answer["storageHash"])),
        account_proof=tuple(_bytes(node) for node in answer["accountProof"]),
        slots=slots,
        values=tuple(_number(entry["value"]).to_bytes(32, "big") for entry in found),
        proofs=tuple(tuple(_bytes(node) for node in entry["proof"]) for entry in found),
    )
