"""anvil, as the benchmarks start it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from contracts.endpoint import Endpoint
from contracts.errors import ChainUnreachableError
from contracts.rpc import RpcChain

__all__ = ["ANVIL", "FAUCET", "anvil", "blocks_by_the_second"]

ANVIL: Final = Path(__file__).parents[2] / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
FAUCET: Final = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
"""The key of anvil's first account: published, and worthless anywhere else."""


@contextmanager
def anvil(*options: str) -> Iterator[str]:
    """A node on a free port, gone at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [str(ANVIL), "--port", str(port), "--order", "fifo", "--silent"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(400):
            try:
                RpcChain(url).chain_id()
                break
            except ChainUnreachableError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def blocks_by_the_second(url: str) -> Iterator[None]:
    """One block a second instead of one for each transaction: anvil goes through its whole state for every block."""
    endpoint = Endpoint(url, timeout=60, most_bytes=1 << 20)
    endpoint.ask("evm_setAutomine", (False,))
    endpoint.ask("evm_setIntervalMining", (1,))
    try:
        yield
    finally:
        endpoint.ask("evm_setIntervalMining", (0,))
        endpoint.ask("evm_setAutomine", (True,))
