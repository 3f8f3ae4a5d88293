"""A hostile or broken endpoint: whatever it answers, only our own errors leave."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from capsule.errors import InputError
from capsule.ids import Address, Digest
from contracts.account import Account
from contracts.errors import (
    ChainIntegrityError,
    ChainRefusedError,
    ChainTooMuchError,
    ChainUnreachableError,
    LedgerError,
    NonceConflictError,
    RevertedError,
)
from contracts.headers import QBFT_MIX_HASH
from contracts.rpc import RpcChain

_SOMEONE = Address(b"\x01" * 20)
_HASH = Digest(b"\x02" * 32)
_QUESTIONS: dict[str, Callable[[RpcChain], object]] = {
    "chain_id": lambda chain: chain.chain_id(),
    "head": lambda chain: chain.head(),
    "finalized": lambda chain: chain.finalized(),
    "block": lambda chain: chain.block(3),
    "blocks": lambda chain: chain.blocks([3, 4]),
    "call": lambda chain: chain.call(_SOMEONE, b"", at=3),
    "logs": lambda chain: chain.logs([_SOMEONE], 0, 3),
    "send": lambda chain: chain.send(b"\x02"),
    "receipt": lambda chain: chain.receipt(_HASH),
    "header": lambda chain: chain.header(3),
    "block_receipts": lambda chain: chain.block_receipts(3),
    "nonce": lambda chain: chain.nonce(_SOMEONE),
    "balance": lambda chain: chain.balance(_SOMEONE),
    "gas_price": lambda chain: chain.gas_price(),
    "estimate_gas": lambda chain: chain.estimate_gas(_SOMEONE, None, b"", 0),
    "code": lambda chain: chain.code(_SOMEONE),
    "storage_proof": lambda chain: chain.storage_proof(_SOMEONE, (0,), 3),
}


class Endpoint:
    """An HTTP server that gives `answer` (text) with `status` to everything, or what `answers` has for the method."""

    def __init__(self) -> None:
        self.status = 200
        self.answer = "{}"
        self.answers: dict[str, Any] = {}
        self.batches: Callable[[dict[str, Any]], object] | None = None
        self.asked: list[str] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                first = question[0] if isinstance(question, list) else question
                endpoint.asked.append("batch" if isinstance(question, list) else question["method"])
                known = endpoint.answers.get(first["method"])
                text = endpoint.answer if known is None else json.dumps({"jsonrpc": "2.0", "id": 1, **known})
                if isinstance(question, list) and endpoint.batches is not None:
                    text = json.dumps([endpoint.batches(one) for one in question][::-1])
                self.send_response(endpoint.status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.chain = RpcChain(f"http://127.0.0.1:{self.server.server_port}", timeout=2)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.mark.parametrize("question", list(_QUESTIONS))
def test_nobody_there(question: str) -> None:
    chain = RpcChain("http://127.0.0.1:9", timeout=0.5)
    with pytest.raises(ChainUnreachableError, match="does not answer"):
        _QUESTIONS[question](chain)


@pytest.mark.parametrize("status", [200, 404, 500, 503])
@pytest.mark.parametrize("text", ["", "<html>", "[]", "null", "7", '{"jsonrpc":"2.0"}', '{"result":'])
def test_no_json_rpc(endpoint: Endpoint, status: int, text: str) -> None:
    endpoint.status, endpoint.answer = status, text
    for ask in _QUESTIONS.values():
        with pytest.raises(ChainUnreachableError):
            ask(endpoint.chain)


@pytest.mark.parametrize(
    "result",
    [
        None,
        True,
        7,
        -1,
        1.5,
        "",
        "0x",
        "0xzz",
        "text",
        [],
        {},
        [None],
        [{}],
        ["0x1"],
        {"number": "0x3"},
        "0x" + "ff" * 99,
    ],
    ids=str,
)
def test_wrong_types_raise_our_errors_only(endpoint: Endpoint, result: object) -> None:
    endpoint.answer = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result})
    for ask in _QUESTIONS.values():
        try:
            ask(endpoint.chain)
        except LedgerError as error:
            assert isinstance(error, (ChainIntegrityError, ChainRefusedError))  # noqa: PT017


_LOG = {
    "address": "0x" + "01" * 20,
    "topics": ["0x" + "02" * 32],
    "data": "0x",
    "blockNumber": "0x2",
    "blockHash": "0x" + "03" * 32,
    "transactionHash": "0x" + "04" * 32,
    "logIndex": "0x0",
}


@pytest.mark.parametrize("field", list(_LOG))
@pytest.mark.parametrize("value", [None, 7, "", "0x1", "0xzz", [], {}, "0x" + "01" * 40])
def test_bent_logs(endpoint: Endpoint, field: str, value: object) -> None:
    endpoint.answer = json.dumps({"jsonrpc": "2.0", "id": 1, "result": [{**_LOG, field: value}]})
    try:
        logs = endpoint.chain.logs([_SOMEONE], 0, 2)
    except ChainIntegrityError:
        return
    assert len(logs) == 1


def test_logs_that_nobody_asked_for(endpoint: Endpoint) -> None:
    endpoint.answers["eth_getLogs"] = {"result": [_LOG]}
    assert len(endpoint.chain.logs([_SOMEONE], 0, 2)) == 1
    for addresses, first, last in (([Address.ZERO], 0, 2), ([_SOMEONE], 0, 1), ([_SOMEONE], 3, 3)):
        with pytest.raises(ChainIntegrityError, match="nobody asked"):
            endpoint.chain.logs(addresses, first, last)


def test_logs_are_fetched_in_spans(endpoint: Endpoint) -> None:
    chain = RpcChain(f"http://127.0.0.1:{endpoint.server.server_port}", log_span=10)
    endpoint.answers["eth_getLogs"] = {"result": []}
    assert chain.logs([_SOMEONE], 0, 34) == ()
    assert len(endpoint.asked) == 4


def _block(number: int) -> dict[str, object]:
    hashes = dict.fromkeys(("hash", "parentHash", "stateRoot", "receiptsRoot"), "0x" + "05" * 32)
    return {**hashes, "number": hex(number), "timestamp": "0x1", "logsBloom": "0x" + "00" * 256}


def test_blocks_come_in_one_round_trip_in_whatever_order_they_are_answered(endpoint: Endpoint) -> None:
    endpoint.batches = lambda one: {"jsonrpc": "2.0", "id": one["id"], "result": _block(int(one["params"][0], 16))}
    assert [block.number for block in endpoint.chain.blocks([7, 3, 5])] == [7, 3, 5]
    assert endpoint.asked == ["batch"]


def test_block_missing_from_a_batch_or_of_another_number_is_told(endpoint: Endpoint) -> None:
    endpoint.batches = lambda one: {"jsonrpc": "2.0", "id": 0, "result": _block(3)}
    with pytest.raises(ChainUnreachableError, match="no JSON-RPC"):
        endpoint.chain.blocks([3, 4, 5])
    endpoint.batches = lambda one: {"jsonrpc": "2.0", "id": one["id"], "result": _block(3)}
    with pytest.raises(ChainIntegrityError, match="answered with block 3, asked for 4"):
        endpoint.chain.blocks([3, 4])


def test_node_that_takes_no_batches_is_asked_one_by_one(endpoint: Endpoint) -> None:
    endpoint.answers["eth_getBlockByNumber"] = {"result": _block(3)}
    for _ in range(2):
        assert [block.number for block in endpoint.chain.blocks([3, 3])] == [3, 3]
    assert endpoint.asked == ["batch", *["eth_getBlockByNumber"] * 4]


@pytest.mark.parametrize(
    ("code", "message"), [(-32005, "no"), (-32000, "Query returned more than 10000 results"), (-32602, "block range")]
)
def test_refusal_of_too_many_logs_is_told_from_others(endpoint: Endpoint, code: int, message: str) -> None:
    endpoint.answers["eth_getLogs"] = {"error": {"code": code, "message": message}}
    with pytest.raises(ChainTooMuchError):
        endpoint.chain.logs([_SOMEONE], 0, 3)
    endpoint.answers["eth_call"] = {"error": {"code": code, "message": message}}
    with pytest.raises(ChainRefusedError) as other:
        endpoint.chain.call(_SOMEONE, b"", at=3)
    assert not isinstance(other.value, ChainTooMuchError)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        ({"code": 3, "message": "execution reverted", "data": "0x"}, "Empty"),
        ({"code": 3, "message": "execution reverted: custom error", "data": "0xdb9f1fcb"}, None),
        ({"code": -32000, "message": "Execution reverted", "data": "0x4e487b71" + "00" * 31 + "11"}, "Panic"),
        ({"code": -32000, "message": "execution reverted", "data": {"data": "0x01020304"}}, "Unknown"),
        ({"code": 3, "message": "execution reverted"}, "Empty"),
    ],
)
def test_reverts_of_several_nodes(endpoint: Endpoint, error: dict[str, object], name: str | None) -> None:
    endpoint.answer = json.dumps({"jsonrpc": "2.0", "id": 1, "error": error})
    for ask in (_QUESTIONS["call"], _QUESTIONS["estimate_gas"]):
        with pytest.raises(RevertedError) as refused:
            ask(endpoint.chain)
        assert name is None or refused.value.name == name


@pytest.mark.parametrize("error", [{"code": -32601, "message": "no such method"}, "text", 7, {}, {"message": None}])
def test_other_errors_are_refusals(endpoint: Endpoint, error: object) -> None:
    endpoint.answer = json.dumps({"jsonrpc": "2.0", "id": 1, "error": error})
    for name, ask in _QUESTIONS.items():
        with pytest.raises(ChainRefusedError):
            ask(endpoint.chain)
        assert name


def test_sending_again_what_the_node_has(endpoint: Endpoint) -> None:
    raw = Account(b"\x01" * 32).sign_transaction(
        chain_id=1, nonce=0, to=_SOMEONE, data=b"", value=0, gas=21_000, gas_price=0
    )
    endpoint.answers["eth_sendRawTransaction"] = {"error": {"code": -32000, "message": "already known"}}
    endpoint.answers["eth_getTransactionByHash"] = {"result": {"hash": "0x"}}
    endpoint.chain.send(raw)
    endpoint.answers["eth_getTransactionByHash"] = {"result": None}
    with pytest.raises(ChainRefusedError):
        endpoint.chain.send(raw)
    endpoint.answers["eth_sendRawTransaction"] = {"error": {"code": -32003, "message": "Nonce too low"}}
    with pytest.raises(NonceConflictError):
        endpoint.chain.send(raw)
    endpoint.answers["eth_sendRawTransaction"] = {"result": "0x" + "00" * 32}
    with pytest.raises(ChainIntegrityError):
        endpoint.chain.send(raw)


def test_a_send_is_never_repeated_unseen(endpoint: Endpoint) -> None:
    endpoint.status = 503
    with pytest.raises(ChainUnreachableError):
        endpoint.chain.send(b"\x02")
    assert endpoint.asked == ["eth_sendRawTransaction"]


@pytest.mark.parametrize("url", ["", "ftp://host", "file:///etc/passwd", "host:8545", "http://"])
def test_what_is_no_endpoint(url: str) -> None:
    with pytest.raises(InputError):
        RpcChain(url)


def test_keys_in_a_url_are_not_shown() -> None:
    chain = RpcChain("http://user:secret@127.0.0.1:9/v3/apikey?token=hidden", timeout=0.2)
    with pytest.raises(ChainUnreachableError) as refused:
        chain.head()
    shown = repr(chain) + str(refused.value)
    assert not any(word in shown for word in ("secret", "apikey", "hidden", "user"))
    assert (chain.verification, RpcChain("http://localhost:1", own_node=True).verification) == (
        "single unverified endpoint",
        "own node",
    )


def test_chain_that_proves_nothing_is_refused_and_not_called_a_liar(endpoint: Endpoint) -> None:
    """Another consensus (IBFT 2.0 has QBFT's mix hash), a header with unknown fields, a node that forgot its state."""
    header = {
        **dict.fromkeys(("parentHash", "sha3Uncles", "stateRoot", "receiptsRoot", "hash"), "0x" + "05" * 32),
        "transactionsRoot": "0x" + "05" * 32,
        "miner": "0x" + "00" * 20,
        "logsBloom": "0x" + "00" * 256,
        **dict.fromkeys(("difficulty", "gasLimit", "gasUsed", "timestamp"), "0x1"),
        "number": "0x3",
        "nonce": "0x" + "00" * 8,
        "extraData": "0xc0",
        "mixHash": "0x" + QBFT_MIX_HASH.hex(),
    }
    endpoint.answers = {"eth_getBlockByNumber": {"result": header}, "eth_getProof": {"result": None}}
    with pytest.raises(ChainRefusedError, match="not QBFT"):
        endpoint.chain.header(3)
    header["mixHash"] = "0x" + "00" * 32
    with pytest.raises(ChainRefusedError, match="does not hash to its hash"):
        endpoint.chain.header(3)
    with pytest.raises(ChainRefusedError, match="keeps no state"):
        endpoint.chain.storage_proof(_SOMEONE, (0,), 3)
