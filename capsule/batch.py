"""Batches of frames as a gateway anchors them: three RFC 9162 trees, their documents, and what their joins show.

- frames: leaf data = a frame's bytes as received, in the order of arrival;
- index: leaf data = RFC 8785 JSON of an entry; one entry for each unbroken run of a device's frames in the batch,
  ordered by device and first sequence;
- incidents: leaf data = RFC 8785 JSON of an incident; EMPTY_ROOT when there are none.

Invariant: a batch document says nothing that its batch's roots and size do not fix (`verify_batch`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final

from capsule.canonical import Json, decode, encode
from capsule.digest import document_digest
from capsule.document import Fields, no_unknown
from capsule.errors import FormatError, InputError, VerificationError
from capsule.frame_receipt import FrameReceipt
from capsule.ids import Address, DeviceId, Digest
from capsule.tree import leaf_hash, root, verify_inclusion

__all__ = [
    "MAX_BATCH_FRAMES",
    "MAX_BATCH_INCIDENTS",
    "NO_PREDECESSOR",
    "Batch",
    "BatchDocument",
    "BatchFrame",
    "BatchRef",
    "FrameProof",
    "Incident",
    "IncidentKind",
    "IndexEntry",
    "build_batch",
    "check_continuity",
    "check_receipts",
    "verify_batch",
    "verify_frame_proof",
]

NO_PREDECESSOR: Final = Digest(bytes(32))
"""Stands for the frames root before a gateway's first batch."""

MAX_BATCH_FRAMES: Final = 1 << 20
MAX_BATCH_INCIDENTS: Final = 1 << 20

_MAX_RULE: Final = 64
_BATCH_KIND: Final = "dataspace/batch"
_PROOF_KIND: Final = "dataspace/frame-proof"


class IncidentKind(StrEnum):
    """How a device's sequence broke, or what was odd about a frame."""

    GAP = "gap"
    """frames `sequence` to `last` were missing when the next one came"""
    REORDERED = "reordered"
    """a frame came after a later one, and fits where it was missing"""
    REPLAY = "replay"
    """frames `sequence` to `last` are anchored more than once"""
    FORK = "fork"
    """two frames have the same sequence number"""
    LATE = "late"
    """readings older on arrival than the thing model allows"""
    AHEAD = "ahead"
    """readings from the future by the gateway's clock"""
    IMPLAUSIBLE = "implausible"
    """readings that fail a check of the thing model, named by `rule`"""
    UNANCHORED = "unanchored"
    """a gateway signed a receipt for a frame that no batch holds"""


@dataclass(frozen=True, slots=True)
class Incident:
    """A break in what `device` sent, from `sequence` to `last` (the same where it is one frame).

    `evidence` is the hash of the frame that showed it; where an index or a receipt showed it, the hash of that. `rule`:
    what readings failed where they are implausible, else "".
    """

    kind: IncidentKind
    device: DeviceId
    sequence: int
    evidence: Digest
    last: int
    unknown: Mapping[str, Json] = field(default_factory=no_unknown, hash=False, repr=False)
    rule: str = ""

    def to_json(self) -> dict[str, Json]:
        content: dict[str, Json] = {
            **self.unknown,
            "kind": str(self.kind),
            "device": str(self.device),
            "sequence": self.sequence,
            "last": self.last,
            "evidence": str(self.evidence),
        }
        return {**content, "rule": self.rule} if self.rule else content

    @classmethod
    def from_fields(cls, fields: Fields) -> Incident:
        """Raises FormatError."""
        kind = IncidentKind(fields.one_of("kind", tuple(IncidentKind)))
        rule = fields.text("rule", _MAX_RULE) if kind is IncidentKind.IMPLAUSIBLE else ""
        if kind is IncidentKind.IMPLAUSIBLE and not rule:
            raise FormatError("an implausible reading names no rule")
        return cls(
            kind,
            fields.id("device", DeviceId),
            fields.integer("sequence", 1),
            fields.id("evidence", Digest),
            fields.integer("last", 1),
            fields.unknown(),
            rule,
        )


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One unbroken run of a device's frames: first and last sequence, hash before the first, hash of the last."""

    device: DeviceId
    first: int
    last: int
    previous: Digest
    last_hash: Digest
    unknown: Mapping[str, Json] = field(default_factory=no_unknown, hash=False, repr=False)

    def to_json(self) -> dict[str, Json]:
        return {
            **self.unknown,
            "device": str(self.device),
            "first": self.first,
            "last": self.last,
            "previous": str(self.previous),
            "last_hash": str(self.last_hash),
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> IndexEntry:
        """Raises FormatError."""
        first, last = fields.integer("first", 1), fields.integer("last", 1)
        if last < first:
            raise FormatError(f"index entry runs from {first} to {last}")
        previous, last_hash = fields.id("previous", Digest), fields.id("last_hash", Digest)
        return cls(fields.id("device", DeviceId), first, last, previous, last_hash, fields.unknown())

    @property
    def hash(self) -> Digest:
        return document_digest("index-entry", self.to_json())


@dataclass(frozen=True, slots=True)
class Batch:
    """What a gateway anchors. `number` counts its batches from 1; `predecessor` is the last one's frames root."""

    gateway: Address
    number: int
    predecessor: Digest
    frames_root: Digest
    index_root: Digest
    incidents_root: Digest
    size: int

    def to_json(self) -> dict[str, Json]:
        return {
            "gateway": str(self.gateway),
            "number": self.number,
            "predecessor": str(self.predecessor),
            "frames_root": str(self.frames_root),
            "index_root": str(self.index_root),
            "incidents_root": str(self.incidents_root),
            "size": self.size,
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> Batch:
        """Raises FormatError."""
        return cls(
            fields.id("gateway", Address),
            fields.integer("number", 1),
            fields.id("predecessor", Digest),
            fields.id("frames_root", Digest),
            fields.id("index_root", Digest),
            fields.id("incidents_root", Digest),
            fields.integer("size", 1),
        )


@dataclass(frozen=True, slots=True)
class BatchRef:
    """A batch by name, as a capsule's header names those that its readings come from."""

    gateway: Address
    number: int
    frames_root: Digest


@dataclass(frozen=True, slots=True)
class BatchDocument:
    """A batch with its index and incidents in full, as auditors fetch it."""

    batch: Batch
    entries: tuple[IndexEntry, ...]
    incidents: tuple[Incident, ...]

    def to_bytes(self) -> bytes:
        """RFC 8785 JSON."""
        return encode(
            {
                "kind": _BATCH_KIND,
                "version": 1,
                **self.batch.to_json(),
                "index": [entry.to_json() for entry in self.entries],
                "incidents": [incident.to_json() for incident in self.incidents],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> BatchDocument:
        """Raises FormatError. Nothing is verified yet."""
        fields = Fields.of(decode(data), _BATCH_KIND)
        return cls(
            Batch.from_fields(fields),
            fields.objects("index", MAX_BATCH_FRAMES, IndexEntry.from_fields),
            fields.objects("incidents", MAX_BATCH_INCIDENTS, Incident.from_fields),
        )


@dataclass(frozen=True, slots=True)
class BatchFrame:
    """What a batch needs of a verified frame. `leaf` is the leaf hash of its bytes, `hash` its frame hash."""

    device: DeviceId
    sequence: int
    previous: Digest
    hash: Digest
    leaf: Digest


@dataclass(frozen=True, slots=True)
class FrameProof:
    """That a frame stands at `position` (from 0) in a batch: its inclusion proof, lowest sibling first."""

    batch: Batch
    position: int
    path: tuple[Digest, ...]

    def to_bytes(self) -> bytes:
        """RFC 8785 JSON."""
        return encode(
            {
                "kind": _PROOF_KIND,
                "version": 1,
                **self.batch.to_json(),
                "position": self.position,
                "path": [str(step) for step in self.path],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> FrameProof:
        """Raises FormatError. Nothing is verified yet."""
        fields = Fields.of(decode(data), _PROOF_KIND)
        return cls(Batch.from_fields(fields), fields.integer("position"), fields.ids("path", Digest, 64))


def build_batch(
    gateway: Address,
    number: int,
    predecessor: Digest,
    frames: Sequence[BatchFrame],
    incidents: Sequence[Incident] = (),
) -> BatchDocument:
    """The batch of `frames` in the order given. Raises InputError where there are none, or too many."""
    if not 1 <= len(frames) <= MAX_BATCH_FRAMES or len(incidents) > MAX_BATCH_INCIDENTS:
        raise InputError(f"a batch has 1 to {MAX_BATCH_FRAMES} frames and at most {MAX_BATCH_INCIDENTS} incidents")
    entries = tuple(_runs(frames))
    batch = Batch(
        gateway,
        number,
        predecessor,
        root(frame.leaf for frame in frames),
        _index_root(entries),
        _incidents_root(incidents),
        len(frames),
    )
    return BatchDocument(batch, entries, tuple(incidents))


def verify_batch(document: BatchDocument, anchored: Batch) -> BatchDocument:
    """The document, once it is shown to be the one that `anchored` stands for. Raises VerificationError."""
    if document.batch != anchored:
        raise VerificationError(
            f"document of batch {anchored.number} of gateway {anchored.gateway} is about another batch",
            f"document {document.batch}, anchored {anchored}",
        )
    name = f"batch {anchored.number} of gateway {anchored.gateway}"
    if (found := _index_root(document.entries)) != anchored.index_root:
        raise VerificationError(f"{name}: index is not the anchored one", f"{found}, anchored {anchored.index_root}")
    if (found := _incidents_root(document.incidents)) != anchored.incidents_root:
        raise VerificationError(
            f"{name}: incidents are not the anchored ones", f"{found}, anchored {anchored.incidents_root}"
        )
    counted = sum(entry.last - entry.first + 1 for entry in document.entries)
    if counted != anchored.size:
        raise VerificationError(f"{name}: index counts {counted} frames, anchored are {anchored.size}")
    return document


def verify_frame_proof(proof: FrameProof, data: bytes, anchored: Batch) -> Batch:
    """The anchored batch, once it is shown to hold the frame with these bytes. Raises VerificationError."""
    if proof.batch != anchored:
        raise VerificationError("frame proof is about another batch", f"proof {proof.batch}, anchored {anchored}")
    verify_inclusion(leaf_hash(data), proof.position, anchored.size, proof.path, anchored.frames_root)
    return anchored


def check_continuity(entries: Iterable[IndexEntry]) -> tuple[Incident, ...]:
    """Joins the indexes of all batches of all gateways and tells what breaks in the devices' sequences.

    Where two entries name different hashes for one sequence number: a fork. Where runs overlap otherwise: a replay,
    whether of equal frames only the frames can tell. Where no run holds a number below the highest: a gap.
    """
    incidents: list[Incident] = []
    by_device: defaultdict[DeviceId, list[IndexEntry]] = defaultdict(list)
    for entry in entries:
        by_device[entry.device].append(entry)
    for device in sorted(by_device):
        runs = sorted(by_device[device], key=lambda run: (run.first, run.last, run.last_hash))
        forks = tuple(_forks(device, runs))
        incidents += forks
        forked = {fork.evidence for fork in forks}
        reached = 0
        for run in runs:
            if run.first > reached + 1:
                incidents.append(Incident(IncidentKind.GAP, device, reached + 1, run.hash, run.first - 1))
            elif run.first <= reached and run.hash not in forked:
                last = min(run.last, reached)
                incidents.append(Incident(IncidentKind.REPLAY, device, run.first, run.hash, last))
            reached = max(reached, run.last)
    return tuple(incidents)


def check_receipts(receipts: Iterable[FrameReceipt], entries: Iterable[IndexEntry]) -> tuple[Incident, ...]:
    """Verified receipts against the indexes of all batches: receipted frames that no batch holds, and forks."""
    by_device: defaultdict[DeviceId, list[IndexEntry]] = defaultdict(list)
    for entry in entries:
        by_device[entry.device].append(entry)
    incidents: list[Incident] = []
    for receipt in receipts:
        runs = [run for run in by_device[receipt.device] if run.first <= receipt.sequence <= run.last]
        named = {run.last_hash for run in runs if run.last == receipt.sequence}
        named |= {run.previous for run in by_device[receipt.device] if run.first == receipt.sequence + 1}
        if not runs:
            kind = IncidentKind.UNANCHORED
        elif named and receipt.frame not in named:
            kind = IncidentKind.FORK
        else:
            continue
        incidents.append(Incident(kind, receipt.device, receipt.sequence, receipt.hash, receipt.sequence))
    return tuple(incidents)


def _runs(frames: Sequence[BatchFrame]) -> Iterable[IndexEntry]:
    ordered = sorted(frames, key=lambda frame: (frame.device, frame.sequence))
    start = 0
    for at, (one, following) in enumerate(pairwise([*ordered, None]), 1):
        if one is None or (
            following is not None
            and following.device == one.device
            and following.sequence == one.sequence + 1
            and following.previous == one.hash
        ):
            continue
        first = ordered[start]
        yield IndexEntry(one.device, first.sequence, one.sequence, first.previous, one.hash)
        start = at


def _forks(device: DeviceId, runs: Sequence[IndexEntry]) -> Iterable[Incident]:
    """Different hashes for one number. A run names two: the one before its first, and its last."""
    named: dict[int, Digest] = {}
    accused: set[int] = set()
    for run in runs:
        for sequence, frame in ((run.first - 1, run.previous), (run.last, run.last_hash)):
            if named.setdefault(sequence, frame) != frame and sequence not in accused:
                accused.add(sequence)
                yield Incident(IncidentKind.FORK, device, sequence, run.hash, sequence)


def _index_root(entries: Iterable[IndexEntry]) -> Digest:
    return root(leaf_hash(encode(entry.to_json())) for entry in entries)


def _incidents_root(incidents: Iterable[Incident]) -> Digest:
    return root(leaf_hash(encode(incident.to_json())) for incident in incidents)
