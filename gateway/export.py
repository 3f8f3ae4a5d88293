"""Exports: a device's frames of a period as a source container, ready to be sealed into a capsule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from capsule.batch import BatchDocument, BatchRef
from capsule.ids import DeviceId
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
    device: DeviceId,
    sink: IO[bytes],
    *,
    start: float | None = None,
    end: float | None = None,
) -> Export:
    """Writes all frames of `device` that have rows from `start` (inclusive) to `end` (exclusive), in unix seconds.

    Frames stay whole, so that rows just outside the period come along. Every proof is verified before it is written.
    Raises NotFoundError for no frames, NotAnchoredError and IncompleteError before the first byte is written.
    """
    with store.reading() as records:
        count, first, last = records.span(device, start, end)
        if not count or first is None or last is None:
            raise NotFoundError("frame in that period of device", device)
        places = records.places(device, first, last)
        _require_all(device, first, [sequence for sequence, _, _ in places])
        anchors = _anchors(records, [batch for _, batch, _ in places])
        order = {anchor.number: place for place, anchor in enumerate(anchors)}
        frames = (_item(frame, order, anchors, proofs) for frame in records.frames_between(device, first, last))
        written = write_source(sink, [DeviceSpan(device, first, last)], anchors, frames)
    batches = tuple(BatchRef(anchor.gateway, anchor.number, anchor.frames_root) for anchor in anchors)
    return Export(device, first, last, written, sum(rows for _, _, rows in places), batches, anchors)


def _require_all(device: DeviceId, first: int, sequences: list[int]) -> None:
    expected = first
    for sequence in sequences:
        if sequence != expected:
            raise IncompleteError(device, expected, sequence - 1)
        expected += 1


def _anchors(records: Records, batches: list[int | None]) -> tuple[Anchor, ...]:
    """The anchors of the batches that frames are in, by number."""
    rows = {number: records.batch(number) for number in sorted({number for number in batches if number is not None})}
    final = {number: row for number, row in rows.items() if row is not None and row.stage == Stage.ANCHORED}
    if waiting := sum(number not in final for number in batches):
        raise NotAnchoredError(waiting)
    return tuple(_anchor(row) for row in final.values())


def _anchor(row: BatchRow) -> Anchor:
    batch = BatchDocument.from_bytes(row.document).batch
    return Anchor(batch.gateway, batch.number, batch.frames_root, batch.size, row.anchored_at or 0)


def _item(frame: FrameRow, order: dict[int, int], anchors: tuple[Anchor, ...], proofs: Proofs) -> SourceFrame:
    if frame.batch is None or frame.position is None:
        raise NotAnchoredError(1)
    place = order[frame.batch]
    path = proofs.tree(frame.batch).proof(frame.position)
    verify_inclusion(leaf_hash(frame.data), frame.position, anchors[place].size, path, anchors[place].frames_root)
    return SourceFrame(place, frame.position, frame.data, path)
