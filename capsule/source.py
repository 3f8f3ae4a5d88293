"""The plaintext of a capsule of device data: frames as the devices signed them, each with its proof of inclusion.

A CBOR sequence (RFC 8742): a header map {kind, version, devices: [[id, first, last]], batches: [[gateway, number,
frames root, size]], frames}, then for each frame [position in `batches`, position in the batch, frame bytes, proof].
Frames stand by device in the header's order, and by sequence number from `first` to `last` without gaps.

Invariant: `verify_source` returns a table only when every frame is signed, anchored and in its place; so a runtime that
holds the devices' keys and the anchors from the chain needs to trust nobody who handled the data in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Final, TypeAlias

import cbor2

from capsule.batch import BatchRef
from capsule.cbor import Cbor, read_item
from capsule.errors import FormatError, InputError, VerificationError
from capsule.frame import FIRST_PREVIOUS, VerifiedFrame, read_frame
from capsule.ids import Address, DeviceId, Digest
from capsule.rows import Reading, Row
from capsule.signature import PublicKey
from capsule.tree import leaf_hash, verify_inclusion

__all__ = [
    "MEDIA_TYPE",
    "Anchor",
    "DeviceKey",
    "DeviceKeys",
    "DeviceSpan",
    "SourceFrame",
    "SourceHeader",
    "SourceTable",
    "read_source_header",
    "verify_source",
    "write_source",
]

MEDIA_TYPE: Final = "application/vnd.dataspace.frames+cbor"

_KIND: Final = "dataspace/source"
_VERSION: Final = 1
_CHUNK_BYTES: Final = 1 << 20
_MAX_ITEM_BYTES: Final = 2 << 20
"""Of the header, and of a frame with its proof."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A batch that stands on chain since `anchored_at`, its block's time in unix seconds."""

    gateway: Address
    number: int
    frames_root: Digest
    size: int
    anchored_at: int


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """A device's key; once replaced, it counts only for frames anchored before `anchored_before` (unix seconds)."""

    key: PublicKey
    anchored_before: int | None = None


DeviceKeys: TypeAlias = Mapping[DeviceId, "PublicKey | Sequence[DeviceKey]"]
"""A device's only key, or all that it had."""


@dataclass(frozen=True, slots=True)
class DeviceSpan:
    """The frames of one device in a container, by their sequence numbers."""

    device: DeviceId
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """A frame as received. `batch` is its batch's place in the container's list, `position` its own in that batch."""

    batch: int
    position: int
    data: bytes
    path: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class SourceHeader:
    """What a container says of itself: the spans of its devices, and its batches. Nothing is verified."""

    spans: tuple[DeviceSpan, ...]
    anchors: tuple[Anchor, ...]
    frames: int

    @property
    def devices(self) -> tuple[DeviceId, ...]:
        return tuple(span.device for span in self.spans)

    @property
    def batches(self) -> tuple[BatchRef, ...]:
        """As a capsule's header names them."""
        return tuple(BatchRef(batch.gateway, batch.number, batch.frames_root) for batch in self.anchors)


@dataclass(frozen=True, slots=True)
class SourceTable:
    """Rows in columns, all of one length. A column holds integers, or floats if any of its readings is one; None where
    a reading is missing. `time` is unix seconds. `units` names what frames said of units, where they did.

    `verified` rows of `total` are signed and anchored: all, since anything else raises.
    """

    time: Sequence[Reading]
    columns: Mapping[str, Sequence[Reading | None]]
    devices: Sequence[DeviceId]
    marks: Sequence[str]
    units: Mapping[str, str]
    frames: int
    verified: int
    total: int

    @property
    def rows(self) -> Iterator[Row]:
        """The same row by row, without the readings that are missing."""
        names = tuple(self.columns)
        for time, *cells in zip(self.time, *self.columns.values(), strict=True):
            yield Row(time, {name: cell for name, cell in zip(names, cells, strict=True) if cell is not None})


def read_source_header(stream: IO[bytes]) -> SourceHeader:
    """What a container says of itself, by no authority. Reads on past the header; raises FormatError."""
    return _header(next(_items(stream), None))


def write_source(
    sink: IO[bytes], spans: Sequence[DeviceSpan], anchors: Sequence[Anchor], frames: Iterable[SourceFrame]
) -> int:
    """Writes a container and returns how many frames it holds. Frames come in the order of the spans.

    Raises InputError where the number of frames is not that of the spans, or a batch's position is not in `anchors`.
    """
    expected = sum(span.last - span.first + 1 for span in spans)
    if any(not 1 <= span.first <= span.last for span in spans) or len({span.device for span in spans}) != len(spans):
        raise InputError("a container has one span of frames for each of its devices")
    header = {
        "kind": _KIND,
        "version": _VERSION,
        "devices": [[bytes(span.device), span.first, span.last] for span in spans],
        "batches": [[bytes(at.gateway), at.number, bytes(at.frames_root), at.size] for at in anchors],
        "frames": expected,
    }
    encoded = cbor2.dumps(header)
    if len(encoded) > _MAX_ITEM_BYTES:
        raise InputError("a container's header names too many batches or devices: export a shorter period")
    sink.write(encoded)
    written = 0
    for frame in frames:
        if not 0 <= frame.batch < len(anchors):
            raise InputError(f"frame names batch {frame.batch} of {len(anchors)}")
        sink.write(cbor2.dumps([frame.batch, frame.position, frame.data, [bytes(step) for step in frame.path]]))
        written += 1
    if written != expected:
        raise InputError(f"the spans count {expected} frames, {written} were given")
    return written


def verify_source(stream: IO[bytes], device_keys: DeviceKeys, anchors: Iterable[Anchor]) -> SourceTable:
    """Reads a container, checks every frame, and derives the table.

    `anchors`: what the chain says of at least the batches that the container names. In order, for each frame:
    1. its batch is the anchored one; 2. it is the next of its device; 3. one of the device's keys that counted when it
    was anchored signed it; 4. it names the frame before it; 5. its batch includes it at its position.

    Raises VerificationError, which names device and sequence, or FormatError.
    """
    items = _items(stream)
    header = _header(next(items, None))
    known = _anchored(header.anchors, anchors)
    columns = _Columns()
    frames = _frames(items)
    for span in header.spans:
        keys = _keys_of(device_keys, span.device)
        previous: Digest | None = FIRST_PREVIOUS if span.first == 1 else None
        for sequence in range(span.first, span.last + 1):
            frame = next(frames, None)
            if frame is None:
                raise VerificationError(f"frame {sequence} of device {span.device} is missing")
            if frame.batch >= len(known):
                raise FormatError(f"frame names batch {frame.batch} of {len(known)}")
            verified = _verify_frame(
                frame, span.device, sequence, keys=keys, previous=previous, anchor=known[frame.batch]
            )
            previous = verified.hash
            columns.add(verified)
    table = columns.table()
    if next(frames, None) is not None or table.frames != header.frames:
        raise FormatError("container holds other frames than its header says")
    return table


def _verify_frame(
    item: SourceFrame,
    device: DeviceId,
    sequence: int,
    *,
    keys: Sequence[DeviceKey],
    previous: Digest | None,
    anchor: Anchor,
) -> VerifiedFrame:
    frame = read_frame(item.data)
    name = f"frame {sequence} of device {device}"
    if frame.device != device or frame.sequence != sequence:
        raise VerificationError(
            f"{name} is missing", f"in its place stands frame {frame.sequence} of device {frame.device}"
        )
    counting = [one.key for one in keys if one.anchored_before is None or anchor.anchored_at < one.anchored_before]
    verified = None
    for key in counting:
        try:
            verified = frame.verify(key)
        except VerificationError:
            continue
        break
    if verified is None:
        raise VerificationError(f"{name} is not signed by its device", f"frame hash {frame.hash}")
    if previous is not None and frame.previous != previous:
        raise VerificationError(f"{name} does not follow the frame before", f"names {frame.previous}, it is {previous}")
    try:
        verify_inclusion(leaf_hash(item.data), item.position, anchor.size, item.path, anchor.frames_root)
    except VerificationError as exc:
        raise VerificationError(
            f"{name} is not in batch {anchor.number} of gateway {anchor.gateway}", str(exc)
        ) from exc
    return verified


class _Columns:
    """Rows turned into columns as they come."""

    def __init__(self) -> None:
        self._time: list[Reading] = []
        self._columns: dict[str, list[Reading | None]] = {}
        self._devices: list[DeviceId] = []
        self._marks: list[str] = []
        self._units: dict[str, str] = {}
        self._frames = 0

    def add(self, verified: VerifiedFrame) -> None:
        frame = verified.frame
        for column, unit in frame.units.items():
            if self._units.setdefault(column, unit) != unit:
                raise FormatError(f"column {column} has two units: {self._units[column]} and {unit}")
        for row in frame.rows:
            self._add_row(row)
        self._devices += [frame.device] * len(frame.rows)
        self._marks += [str(frame.mark)] * len(frame.rows)
        self._frames += 1

    def _add_row(self, row: Row) -> None:
        at = len(self._time)
        self._time.append(row.time)
        columns = self._columns
        for name, value in row.values.items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = [None] * at
            column.append(value)
        if len(row.values) != len(columns):
            for column in columns.values():
                if len(column) == at:
                    column.append(None)

    def table(self) -> SourceTable:
        rows = len(self._time)
        return SourceTable(
            time=self._time,
            columns={name: _one_type(column) for name, column in self._columns.items()},
            devices=self._devices,
            marks=self._marks,
            units=self._units,
            frames=self._frames,
            verified=rows,
            total=rows,
        )


def _one_type(column: list[Reading | None]) -> list[Reading | None]:
    kinds = {type(value) for value in column}
    if float in kinds and int in kinds:
        return [None if value is None else float(value) for value in column]
    return column


def _keys_of(device_keys: DeviceKeys, device: DeviceId) -> Sequence[DeviceKey]:
    keys = device_keys.get(device, ())
    if not keys:
        raise VerificationError(f"device {device} has no key", "none was given")
    return (DeviceKey(keys),) if isinstance(keys, PublicKey) else keys


def _anchored(batches: Sequence[Anchor], anchors: Iterable[Anchor]) -> tuple[Anchor, ...]:
    on_chain = {(anchor.gateway, anchor.number): anchor for anchor in anchors}
    found = []
    for named in batches:
        anchor = on_chain.get((named.gateway, named.number))
        if anchor is None:
            raise VerificationError(f"batch {named.number} of gateway {named.gateway} is not anchored")
        if (anchor.frames_root, anchor.size) != (named.frames_root, named.size):
            raise VerificationError(
                f"batch {named.number} of gateway {named.gateway} is not the anchored one",
                f"{named.size} frames under {named.frames_root}, anchored {anchor.size} under {anchor.frames_root}",
            )
        found.append(anchor)
    return tuple(found)


def _items(stream: IO[bytes]) -> Iterator[Cbor]:
    """The items of a CBOR sequence, with at most a chunk and an item in memory."""
    pending, at, ended = b"", 0, False
    while True:
        while not ended and len(pending) - at < _MAX_ITEM_BYTES:
            chunk = stream.read(_CHUNK_BYTES)
            ended = not chunk
            pending, at = pending[at:] + chunk, 0
        if at == len(pending):
            return
        item, after = read_item(pending, at)
        if after - at > _MAX_ITEM_BYTES:
            raise FormatError("container holds an item that is too long")
        at = after
        yield item


def _frames(items: Iterator[Cbor]) -> Iterator[SourceFrame]:
    for item in items:
        match item:
            case [int(batch), int(position), bytes(data), list(path)] if batch >= 0 and position >= 0:
                yield SourceFrame(batch, position, data, tuple(_digest(step) for step in path))
            case _:
                raise FormatError("container item is not [batch, position, frame, proof]")


def _header(header: Cbor) -> SourceHeader:
    match header:
        case {
            "kind": "dataspace/source",
            "version": 1,
            "devices": list(devices),
            "batches": list(batches),
            "frames": int(count),
        }:
            spans = tuple(_span(span) for span in devices)
            if len({span.device for span in spans}) != len(spans):
                raise FormatError("container names a device twice")
            return SourceHeader(spans, tuple(_batch(batch) for batch in batches), count)
        case _:
            raise FormatError("not a dataspace/source container of version 1")


def _span(item: Cbor) -> DeviceSpan:
    match item:
        case [bytes(device), int(first), int(last)] if 1 <= first <= last:
            return DeviceSpan(DeviceId(_digest(device)), first, last)
        case _:
            raise FormatError("container header: a device is [id, first, last]")


def _batch(item: Cbor) -> Anchor:
    match item:
        case [bytes(gateway), int(number), bytes(frames_root), int(size)] if len(gateway) == 20:
            return Anchor(Address(gateway), number, _digest(frames_root), size, 0)
        case _:
            raise FormatError("container header: a batch is [gateway, number, frames root, size]")


def _digest(item: Cbor) -> Digest:
    if not isinstance(item, bytes) or len(item) != 32:
        raise FormatError("container: a hash has 32 bytes")
    return Digest(item)
