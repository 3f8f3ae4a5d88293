"""anvil, as the benchmarks start it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from contracts.errors import ChainUnreachableError
from contracts.rpc import RpcChain

__all__ = ["ANVIL", "anvil"]

ANVIL: Final = Path(__file__).parents[2] / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"


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
