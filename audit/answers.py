"""Answers of an endpoint held against each other: a range's logs against the range, its contracts and its headers.

What can't be seen in one answer (a log left out) shows later, in `seq` and heads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Final

from eth_utils.crypto import keccak

from capsule.ids import Address
from contracts.chain import Block, RawLog
from contracts.errors import ChainIntegrityError

__all__ = ["Answer", "check_headers", "check_order"]

_REMEMBERED: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    """The logs of blocks `first` to `last`, with the headers of all blocks that have some, and of the last."""

    first: int
    last: int
    logs: tuple[RawLog, ...]
    headers: Mapping[int, Block]


def check_order(logs: Iterable[RawLog], first: int, last: int, contracts: Collection[Address]) -> None:
    """Logs come in chain order, once each, of these blocks and contracts. Raises ChainIntegrityError."""
    before, position = first, -1
    for log in logs:
        number, index = log.block_number, log.log_index
        forward = number > before or (number == before and index > position)
        if not forward or number > last or log.address not in contracts:
            raise ChainIntegrityError(
                f"the endpoint answers for blocks {first} to {last} with a log of {log.address} at block {number}, "
                f"position {index}, which does not belong there"
            )
        before, position = number, index


def check_headers(answer: Answer) -> None:
    """Each log is of the block whose header is given, and in its bloom. Raises ChainIntegrityError."""
    for number, found in groupby(answer.logs, key=attrgetter("block_number")):
        logs, header = tuple(found), answer.headers[number]
        items: set[bytes] = set()
        for log in logs:
            if log.block_hash != header.hash:
                raise ChainIntegrityError(
                    f"the endpoint has two blocks {number}: {header.hash}, and {log.block_hash} for one of its logs"
                )
            items.add(log.address)
            items.update(log.topics)
        bloom = int.from_bytes(header.logs_bloom, "big")
        absent = {item for item in items if ~bloom & _bloom_bits(bytes(item))}
        for log in logs if absent else ():
            if absent.intersection((log.address, *log.topics)):
                raise ChainIntegrityError(
                    f"the bloom of block {number} does not have its log at position {log.log_index}"
                )


@lru_cache(maxsize=_REMEMBERED)
def _bloom_bits(item: bytes) -> int:
    """The three bits (of 2048) that an address or topic sets in a block's bloom (Yellow Paper 4.3.1)."""
    digest = keccak(item)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits
