"""A chain that grows, reorganises, fails and lies by a seed: the `Chain` port over the blocks of a true chain.

It shows a growing part of the true chain. A reorganisation gives the newest blocks other hashes (their logs say so
too), never deeper than `depth` blocks below the highest head shown. What a question meets (an outage, a slow line, a
refusal) is drawn from the seed, the question and how often it was asked, so that threads change nothing.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from eth_abi.abi import encode

from capsule.ids import Address, Digest
from contracts.chain import Block, Chain, RawLog, StorageProof
from contracts.errors import ChainRefusedError, ChainSlowError, ChainTooMuchError, ChainUnreachableError
from contracts.headers import Header
from scripts.demo.lying_chain import LyingChain

__all__ = ["LIES", "Line", "ReorganisingChain"]

_FINALITY: Final = bytes.fromhex("739fc8d1")


@dataclass(frozen=True, slots=True)
class Line:
    """How bad the line is: the share of questions that meet an outage or are too slow, most blocks in one answer."""

    outages: float = 0.0
    slow: float = 0.0
    most_blocks: int = 1_000_000


class ReorganisingChain(LyingChain):
    """`depth`: confirmations, as the Directory says here. `moving`: the share of looks at the head that move it."""

    def __init__(self, chain: Chain, seed: int, *, depth: int, line: Line | None = None, moving: float = 0.0) -> None:
        super().__init__(chain)
        self.line = line or Line()
        self.depth = depth
        self.moving = moving
        self.lie: Callable[[tuple[RawLog, ...]], tuple[RawLog, ...]] | None = None
        self._seed = seed
        self._random = random.Random(seed)
        self._blocks = [chain.block(number) for number in range(chain.head().number + 1)]
        self._turn = threading.RLock()
        self._asked: Counter[str] = Counter()
        self._branches = 0
        self._shown = list(self._blocks[: 10 + depth])

    def __repr__(self) -> str:
        return f"ReorganisingChain({self._seed})"

    @property
    def whole(self) -> bool:
        """Whether the true chain's last block is shown."""
        return len(self._shown) == len(self._blocks)

    def move(self) -> None:
        """Grows, or gives the newest blocks up for others and then grows."""
        with self._turn:
            if self._random.random() < 0.4:
                self.reorganise(self._random.randint(1, self.depth) if self.depth else 0)
            for _ in range(self._random.randint(0, 3)):
                self.grow()

    def grow(self) -> None:
        """Shows one more block, if there is one."""
        with self._turn:
            if not self.whole:
                self._show(self._blocks[len(self._shown)])

    def reorganise(self, blocks: int) -> None:
        """Gives so many of the newest blocks other hashes."""
        with self._turn:
            self._branches += 1
            kept = len(self._shown) - blocks
            again = self._blocks[kept : len(self._shown)]
            del self._shown[kept:]
            for block in again:
                self._show(block)

    def _show(self, true: Block) -> None:
        parent = self._shown[-1]
        mark = self._branches.to_bytes(4, "big")
        hashed = Digest(sha256(mark + bytes(true.hash)).digest()) if self._branches else true.hash
        self._shown.append(replace(true, hash=hashed, parent_hash=parent.hash))

    # Questions

    def head(self) -> Block:
        with self._turn:
            times = self._meet("head")
            if random.Random(f"{self._seed} move {times}").random() < self.moving:
                self.move()
            return self._shown[-1]

    def block(self, number: int) -> Block:
        with self._turn:
            self._meet(f"block {number}")
            if number >= len(self._shown):
                raise ChainRefusedError(f"{self!r} has no block {number}")
            return self._shown[number]

    def header(self, number: int) -> Header:
        raise ChainRefusedError(f"{self!r} keeps no proofs")

    def logs(self, addresses: Sequence[Address], first: int, last: int) -> tuple[RawLog, ...]:
        with self._turn:
            self._meet(f"logs {first} {last}")
            if last - first >= self.line.most_blocks:
                raise ChainTooMuchError("query returned more than 10 results")
            found = self._chain.logs(addresses, first, min(last, len(self._shown) - 1))
            shown = tuple(replace(log, block_hash=self._shown[log.block_number].hash) for log in found)
            return shown if self.lie is None else self.lie(shown)

    def call(self, to: Address, data: bytes, *, at: int | None = None, sender: Address | None = None) -> bytes:
        if data == _FINALITY:
            return encode(["uint32", "bool"], [self.depth, False])
        self._meet(f"call {data.hex()} {at}")
        return self._chain.call(to, data, at=at, sender=sender)

    def storage_proof(self, address: Address, slots: Sequence[int], block: int) -> StorageProof:
        raise ChainRefusedError(f"{self!r} keeps no proofs")

    def _meet(self, question: str) -> int:
        """Counts the question, and raises what it meets on the line."""
        self._asked[question] += 1
        times = self._asked[question]
        chance = random.Random(f"{self._seed} {question} {times}").random()
        if chance < self.line.outages:
            raise ChainUnreachableError("the line is down")
        if chance < self.line.outages + self.line.slow:
            raise ChainSlowError("no answer in time")
        return times


def _omit(logs: tuple[RawLog, ...]) -> tuple[RawLog, ...]:
    return logs[: len(logs) // 2] + logs[len(logs) // 2 + 1 :]


def _partial(logs: tuple[RawLog, ...]) -> tuple[RawLog, ...]:
    return logs[: len(logs) // 2]


def _altered(logs: tuple[RawLog, ...]) -> tuple[RawLog, ...]:
    def alter(log: RawLog) -> RawLog:
        at = next((place for place in reversed(range(len(log.data))) if log.data[place]), None)
        if at is None:
            return log
        return replace(log, data=log.data[:at] + bytes([log.data[at] ^ 1]) + log.data[at + 1 :])

    return tuple(alter(log) if place == len(logs) // 2 else log for place, log in enumerate(logs))


def _moved(logs: tuple[RawLog, ...]) -> tuple[RawLog, ...]:
    return tuple(replace(log, block_hash=Digest(b"\x09" * 32)) for log in logs)


def _reversed(logs: tuple[RawLog, ...]) -> tuple[RawLog, ...]:
    return logs[::-1]


def _twice(logs: tuple[RawLog, ...]) -> tuple[RawLog, ...]:
    return tuple(log for log in logs for _ in range(2))


def _foreign(logs: tuple[RawLog, ...]) -> tuple[RawLog, ...]:
    return tuple(replace(log, address=Address(b"\x09" * 20)) for log in logs)


LIES: Final = {
    "omits": _omit,
    "answers partially": _partial,
    "alters": _altered,
    "names another block": _moved,
    "turns round": _reversed,
    "repeats": _twice,
    "makes up": _foreign,
}
"""What an endpoint may make of the logs of a range. A lie about an empty range is none."""
