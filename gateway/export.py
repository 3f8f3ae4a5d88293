"""Exports: a device's frames of a period as a source container, ready to be sealed into a capsule."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from capsule.batch import BatchRef
from capsule.ids import Address, DeviceId, Digest
from capsule.source import Anchor, DeviceSpan, SourceFrame, write_source
from capsule.tree import leaf_hash, verify_inclusion
from gateway.errors import IncompleteError, NotAnchoredError, NotFoundError
from gateway.proof import Proofs
from gateway.store import BatchRow, FrameRow, Records, Stage, Store

__all__ = ["Export", "write_export"]


@dataclass(frozen=True, slots=True)
class Export:
    """What was written: frames `first` to `last` of `device`, their rows, and the batches that they come from."""

    device: DeviceId
    first: int
    last: int
    frames: int
    rows: int
    batches: tuple[BatchRef, ...]
    anchors: tuple[Anchor, ...]


def write_export(
    store: Store,
    proofs: Proofs,
    gateway: Address,
    device: DeviceId,
    sink: IO[bytes],
    *,
    start: float | None = None,
    end: float | None = None,
) -> Export:
    """Writes all frames of `device` that have rows from `start` (inclusive) to `end` (exclusive), in unix seconds;
    `gateway` is the account that anchored them.

    Frames stay whole, so that rows just outside the period come along. Every proof is verified before it is written.
    Raises NotFoundError for no frames, NotAnchoredError and IncompleteError before the first byte is written.
    """
    with store.reading() as records:
        count, first, last = records.span(device, start, end)
        if not count or first is None or last is None:
            raise NotFoundError("frame in that period of device", device)
        places = records.places(device, first, last)
        _require_all(device, first, [sequence for sequence, _, _ in places])
        batches = _anchored(records, device, [(sequence, number) for sequence, number, _ in places])
        anchors = tuple(
            Anchor(gateway, row.number, Digest(row.frames_root), row.size, row.anchored_at or 0) for row in batches
        )
        frames = (_item(frame, batches, anchors, proofs) for frame in records.frames_between(device, first, last))
        written = write_source(sink, [DeviceSpan(device, first, last)], anchors, frames)
    names = tuple(BatchRef(anchor.gateway, anchor.number, anchor.frames_root) for anchor in anchors)
    return Export(device, first, last, written, sum(rows for _, _, rows in places), names, anchors)


def _require_all(device: DeviceId, first: int, sequences: list[int]) -> None:
    expected = first
    for sequence in sequences:
        if sequence != expected:
            raise IncompleteError(device, expected, sequence - 1)
        expected += 1


def _anchored(records: Records, device: DeviceId, places: Sequence[tuple[int, int]]) -> tuple[BatchRow, ...]:
    """The anchored batches that frames at these places (sequence, number) are in, by number. Raises NotAnchoredError,
    which names the time up to which a period is anchored, where there is one.
    """
    numbers = [number for _, number in places]
    final = [row for row in records.batches_between(min(numbers), max(numbers)) if row.stage == Stage.ANCHORED]
    used = {_batch_of(number, final) for number in numbers}
    if None in used:
        waiting = [sequence for sequence, number in places if _batch_of(number, final) is None]
        anchored_before = None
        if waiting[0] != places[0][0]:
            (frame,) = records.frames_between(device, waiting[0], waiting[0])
            anchored_before = frame.first_time
        raise NotAnchoredError(len(waiting), anchored_before)
    return tuple(row for place, row in enumerate(final) if place in used)


def _batch_of(number: int, batches: Sequence[BatchRow]) -> int | None:
    """The place of the batch that holds the frame with this number."""
    place = bisect_right(batches, number, key=lambda row: row.first) - 1
    return place if place >= 0 and number < batches[place].first + batches[place].size else None


def _item(frame: FrameRow, batches: Sequence[BatchRow], anchors: Sequence[Anchor], proofs: Proofs) -> SourceFrame:
    place = _batch_of(frame.number, batches)
    if place is None:
        raise NotAnchoredError(1)
    batch, anchor = batches[place], anchors[place]
    position = frame.number - batch.first
    path = proofs.tree(batch.number).proof(position)
    verify_inclusion(leaf_hash(frame.data), position, anchor.size, path, anchor.frames_root)
    return SourceFrame(place, position, frame.data, path)
