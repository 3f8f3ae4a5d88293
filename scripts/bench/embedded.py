"""How fast the embedded chain is: `python -m scripts.bench.embedded [--transactions N]`.

Prints durable transactions a second through `Ledger`, the time a fresh process takes to open the chain again, and how
fast its events are read and decoded. Single runs; say which machine.
"""

from __future__ import annotations

import argparse
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from capsule.ids import Digest, Uscc
from contracts.account import Account
from contracts.deploy import deploy
from contracts.embedded import EmbeddedChain
from contracts.heads import rehash
from contracts.ledger import Ledger
from contracts.roles import Role
from scripts.bench.page import say

__all__ = ["main"]

_REOPEN = """
import sys, time
start = time.perf_counter()
from pathlib import Path
from contracts.embedded import EmbeddedChain
imported = time.perf_counter()
with EmbeddedChain.open(Path(sys.argv[1]), clock=time.time) as chain:
    head = chain.head().number
print(f"{time.perf_counter() - start:.2f} s to restart at {head} blocks ({imported - start:.2f} s of it imports)")
"""


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.embedded", description=__doc__)
    parser.add_argument("--transactions", type=int, default=1_000)
    count: int = parser.parse_args(arguments).transactions
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with EmbeddedChain.open(home, clock=time.time) as chain:
            _write(chain, count)
        say(f"{(home / 'chain.db').stat().st_size // 1024} KiB on disk")
        subprocess.run([sys.executable, "-c", _REOPEN, folder], check=True)
    return 0


def _write(chain: EmbeddedChain, count: int) -> None:
    start = time.perf_counter()
    operator = Ledger.connect(chain, deploy(chain, chain.faucet, confirmations=0, finalized_tag=False), chain.faucet)
    say(f"{time.perf_counter() - start:.2f} s to deploy and connect")
    provider = Account.generate(secrets.token_bytes)
    operator.participants.admit(
        provider.address, Uscc.make("91350100M000100Y4"), Digest(secrets.token_bytes(32)), Role.PROVIDER
    )
    assets = operator.as_account(provider).assets
    start = time.perf_counter()
    for _ in range(count):
        assets.register(Digest(secrets.token_bytes(32)))
    seconds = time.perf_counter() - start
    say(f"{count / seconds:.0f} transactions/s, each estimated, signed, made durable and decoded ({count} of them)")
    start = time.perf_counter()
    logs = operator.raw_logs(0, chain.head().number)
    say(f"{len(logs) / (time.perf_counter() - start):.0f} logs/s read over {chain.head().number} blocks")
    start = time.perf_counter()
    events = operator.decode(logs)
    decoded = time.perf_counter()
    rehash(events)
    say(f"{len(logs) / (decoded - start):.0f} events/s decoded")
    say(f"{len(logs) / (time.perf_counter() - decoded):.0f} events/s re-hashed")


if __name__ == "__main__":
    sys.exit(main())
