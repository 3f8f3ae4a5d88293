"""A process that writes to an embedded chain and notes what was acknowledged, until it is killed."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from capsule.ids import Address
from contracts.decode import EventDecoder
from contracts.embedded import EmbeddedChain
from contracts.transaction import Sender

__all__ = ["hold", "write_until_killed"]


def write_until_killed(home: Path, notes: Path) -> None:
    """Each line of `notes` is the hash of a transaction whose acknowledgement was seen."""
    chain = EmbeddedChain.open(home, clock=time.time)
    sender = Sender(chain, chain.faucet, EventDecoder({}))
    descriptor = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while True:
        receipt = sender.transact(Address(secrets.token_bytes(20)), b"", 1)
        os.write(descriptor, str(receipt.transaction_hash).encode() + b"\n")


def hold(home: Path, ready: Path) -> None:
    """Keeps the chain open."""
    with EmbeddedChain.open(home, clock=time.time):
        ready.touch()
        time.sleep(600)
