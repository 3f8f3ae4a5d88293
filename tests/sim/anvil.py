"""A real anvil node for tests: `with anvil() as url: RpcChain(url)`.

Without the npm package the test is skipped, or fails where CI=true.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from contracts.account import Account

__all__ = ["anvil", "anvil_faucet", "ask_anvil", "replay"]

_BINARY: Final = Path(__file__).parents[2] / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
# anvil's first account: a published key, worthless anywhere else.
_FIRST_KEY: Final = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"


def anvil_faucet() -> Account:
    """An account that every anvil funds."""
    return Account(bytes.fromhex(_FIRST_KEY))


@contextmanager
def anvil(*, block_time: int | None = 1, extra: Sequence[str] = ()) -> Iterator[str]:
    """Starts a node on a free port and stops it at the end; `block_time` None makes a block per transaction."""
    if not _BINARY.is_file():
        reason = "anvil is not installed: run `npm ci` (Linux on amd64 only)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    port = _free_port()
    timing = [] if block_time is None else ["--block-time", str(block_time)]
    command = [str(_BINARY), "--port", str(port), "--order", "fifo", "--silent", *timing, *extra]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


def ask_anvil(url: str, method: str, *params: object) -> object:
    """One JSON-RPC call, for what only a test node offers (evm_mine, anvil_reorg, ...)."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return json.loads(answer.read()).get("result")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"anvil ended at once with status {process.returncode}")
        try:
            ask_anvil(url, "eth_chainId")
        except (OSError, urllib.error.URLError):
            time.sleep(0.05)
        else:
            return
    pytest.fail("anvil did not answer within 20 s")


def replay(source: str, replica: str) -> None:
    """Brings a second node into lockstep: its blocks get the transactions and times of the first one's.

    Both start with the same `--timestamp` and settings; the replica makes no blocks of its own. Raises AssertionError
    when a block comes out with another hash.
    """
    first = _number_of(replica) + 1
    for number in range(first, _number_of(source) + 1):
        block = ask_anvil(source, "eth_getBlockByNumber", hex(number), False)
        assert isinstance(block, dict)
        for transaction in block["transactions"]:
            ask_anvil(replica, "eth_sendRawTransaction", ask_anvil(source, "eth_getRawTransactionByHash", transaction))
        ask_anvil(replica, "evm_setNextBlockTimestamp", block["timestamp"])
        ask_anvil(replica, "evm_mine")
        made = ask_anvil(replica, "eth_getBlockByNumber", hex(number), False)
        assert isinstance(made, dict)
        assert made["hash"] == block["hash"], f"block {number} of the replica has another hash"


def _number_of(url: str) -> int:
    answer = ask_anvil(url, "eth_blockNumber")
    assert isinstance(answer, str)
    return int(answer, 16)
