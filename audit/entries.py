"""Events in their places, and what they add up to: the record under a ledger's state.

A place says where an event stands on the chain. Running heads (ISequenced) are computed from raw logs; a claim is what
somebody else says that they must be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from capsule.digest import Domain
from capsule.ids import Address, Bytes32, Digest
from contracts.events import EntrySet, SequencedEvent

__all__ = [
    "Break",
    "Claim",
    "Entry",
    "Identity",
    "Mark",
    "Orphan",
    "Place",
    "Running",
    "Tip",
    "misnamed",
]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an event stands: block, position of its log in the block, block time, transaction. Sorts in chain order."""

    block: int
    position: int
    time: int
    transaction: Digest


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of the index: which contract emitted it, and the time of its block."""

    contract: str
    event: SequencedEvent
    time: int

    @property
    def place(self) -> Place:
        log = self.event.log
        return Place(log.block_number, log.log_index, self.time, log.transaction_hash)


@dataclass(frozen=True, slots=True)
class Identity:
    """Which ledger this is. `contracts` by name, the Directory among them; the hash of block 0 where it is known."""

    domain: Domain
    genesis_hash: Digest | None
    contracts: Mapping[str, Address]


@dataclass(frozen=True, slots=True)
class Tip:
    """The last block that the index covers."""

    number: int
    hash: Digest
    time: int


@dataclass(frozen=True, slots=True)
class Break:
    """Events `first` to `last` of a contract, or of one subject of it, are missing or there twice."""

    first: int
    last: int
    what: Literal["missing", "repeated"]
    subject: Bytes32 | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody's word for the state after a block: `source` is "endpoint" or "checkpoint".

    `heads`: head and seq by contract name. A checkpoint also says the block's `time`, and `places` (see `Mark`).
    """

    source: str
    block: int
    block_hash: Digest
    heads: Mapping[str, tuple[Digest, int]]
    places: Mapping[str, Digest] = field(default_factory=dict)
    time: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """What the events of a contract add up to so far.

    `head` and `seq` as the contract keeps them (ISequenced); `places` runs over what a head leaves out: where each
    event stands, that is block, block time, transaction and position.
    """

    head: Digest
    seq: int
    places: Digest


@dataclass(frozen=True, slots=True)
class Running:
    """One contract's events: the mark at the tip, and `at` each block that a claim is about; and what is missing."""

    now: Mark
    at: Mapping[int, Mark]
    breaks: tuple[Break, ...]


@dataclass(frozen=True, slots=True)
class Orphan:
    """An event that speaks of something which no earlier event made. `kind` and `id` name the missing thing."""

    event: str
    place: Place
    kind: str
    id: str


def misnamed(entries: Iterable[Entry], identity: Identity) -> tuple[str, ...]:
    """Contracts of a ledger that are not those that its Directory's events name."""
    named = {entry.event.name: entry.event.entry for entry in entries if isinstance(entry.event, EntrySet)}
    named["Directory"] = identity.domain.directory
    return tuple(name for name, address in identity.contracts.items() if named.get(name) != address)
