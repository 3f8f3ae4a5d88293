"""Completeness of events by their heads (ISequenced): pure re-hashing of raw logs.

Each contract keeps head' = keccak256(abi.encode(head, seq, eventHash)) over all its events, and the same for each asset
and device; eventHash = keccak256(topics || data). Events that re-hash to the heads proven under a state root are all
there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from eth_utils.crypto import keccak

from capsule.ids import Address, Bytes32, Digest
from contracts.chain import RawLog
from contracts.errors import ChainIntegrityError
from contracts.events import AssetEvent, DeviceEvent, Event, SequencedEvent

__all__ = ["EMPTY_HEAD", "HEAD_SLOT", "SEQ_SLOT", "Head", "Heads", "event_hash", "next_head", "rehash", "subject_slots"]

HEAD_SLOT: Final = 0
SEQ_SLOT: Final = 1
_SUBJECTS_SLOT: Final = 2


@dataclass(frozen=True, slots=True)
class Head:
    """A running head and the number of events under it."""

    head: Digest
    seq: int


EMPTY_HEAD: Final = Head(Digest(bytes(32)), 0)


@dataclass(frozen=True, slots=True)
class Heads:
    """Where re-hashing arrived: by contract, and by contract and subject (asset or device id)."""

    contracts: Mapping[Address, Head] = field(default_factory=dict)
    subjects: Mapping[tuple[Address, Bytes32], Head] = field(default_factory=dict)


def event_hash(log: RawLog) -> Digest:
    """keccak256 of the topics and the data as emitted."""
    return Digest(bytes(keccak(b"".join(log.topics) + log.data)))


def next_head(head: Digest, seq: int, hashed: Digest) -> Digest:
    """The head after the event with number `seq`."""
    return Digest(bytes(keccak(head + seq.to_bytes(32, "big") + hashed)))


def rehash(events: Iterable[Event], start: Heads | None = None) -> Heads:
    """Runs over events in chain order, from `start` (None: from the beginning).

    Raises ChainIntegrityError naming the first event whose number is not the next one. Events that the libraries under
    our contracts emit (roles, ownership) carry no number and are passed over.
    """
    contracts = dict(start.contracts) if start else {}
    subjects = dict(start.subjects) if start else {}
    for event in events:
        if not isinstance(event, SequencedEvent):
            continue
        address, hashed = event.log.address, event_hash(event.log)
        contracts[address] = _advance(contracts.get(address, EMPTY_HEAD), event.seq, hashed, event, f"{address}")
        if isinstance(event, AssetEvent):
            subject, number = Bytes32(event.asset), event.asset_seq
        elif isinstance(event, DeviceEvent):
            subject, number = Bytes32(event.device), event.device_seq
        else:
            continue
        key, name = (address, subject), f"{subject} in {address}"
        subjects[key] = _advance(subjects.get(key, EMPTY_HEAD), number, hashed, event, name)
    return Heads(contracts, subjects)


def subject_slots(subject: bytes) -> tuple[int, int]:
    """Storage slots of a subject's head and number, for `storage_proof`."""
    base = int.from_bytes(keccak(subject + _SUBJECTS_SLOT.to_bytes(32, "big")), "big")
    return base, base + 1


def _advance(last: Head, seq: int, hashed: Digest, event: SequencedEvent, subject: str) -> Head:
    if seq != last.seq + 1:
        raise ChainIntegrityError(
            f"event {last.seq + 1} of {subject} is missing: block {event.log.block_number}, log {event.log.log_index} "
            f"is {type(event).__name__} number {seq}"
        )
    return Head(next_head(last.head, seq, hashed), seq)
