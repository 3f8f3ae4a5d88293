"""Source containers: an honest one becomes the table that was signed; every dishonest one names what is wrong."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule.batch import BatchRef
from capsule.errors import FormatError, InputError, VerificationError
from capsule.frame import Frame, Mark, frame_hash, sign_frame
from capsule.rows import Row
from capsule.source import (
    Anchor,
    DeviceKey,
    DeviceSpan,
    SourceFrame,
    SourceTable,
    read_source_header,
    verify_source,
    write_source,
)
from capsule.tree import Tree, leaf_hash
from tests.capsule.frames import GATEWAY, START, Device, anchor_of, batch_of, container, some_rows


def check(data: bytes, anchors: list[Anchor], device: Device | None = None) -> SourceTable:
    device = device or Device()
    return verify_source(io.BytesIO(data), {device.id: device.key}, anchors)


def split(frames: list[bytes], *sizes: int) -> list[list[bytes]]:
    remaining = list(frames)
    return [[remaining.pop(0) for _ in range(size)] for size in sizes]


HONEST, ANCHORS = container(split(Device().frames(9), 4, 1, 4))


def test_an_honest_container_becomes_the_table() -> None:
    table = check(HONEST, ANCHORS)
    rows = [row for at in range(9) for row in some_rows(at * 3, 3)]
    assert list(table.rows) == rows
    assert list(table.time) == [row.time for row in rows]
    assert table.columns == {name: [row.values[name] for row in rows] for name in ("C0", "C1", "C2")}
    assert (table.frames, table.verified, table.total) == (9, 27, 27)
    assert set(table.marks) == {"signed"}
    assert set(table.devices) == {Device().id}


def test_header_names_devices_and_batches() -> None:
    header = read_source_header(io.BytesIO(HONEST))
    assert header.spans == (DeviceSpan(Device().id, 1, 9),)
    assert header.devices == (Device().id,)
    assert header.batches == tuple(BatchRef(one.gateway, one.number, one.frames_root) for one in ANCHORS)
    assert header.frames == 9


def test_missing_readings_are_none_and_mixed_columns_are_floats() -> None:
    device = Device()
    rows = [Row(START, {"a": 1, "b": 1}), Row(START + 0.5, {"b": 2.5, "c": 7}), Row(START + 1, {})]
    data, anchors = container([[device.frame(rows)]])
    table = check(data, anchors)
    assert table.columns == {"a": [1, None, None], "b": [1.0, 2.5, None], "c": [None, 7, None]}
    assert [type(value) for value in table.columns["b"]][:2] == [float, float]
    assert list(table.rows) == rows


def test_several_devices_stand_one_after_the_other() -> None:
    one, two = Device(1), Device(2)
    first, second = one.frames(2), [two.frame(some_rows(5, 2), mark=Mark.IMPORTED)]
    document = batch_of(first + second)
    tree = Tree(leaf_hash(data) for data in first + second)
    items = [SourceFrame(0, at, data, tree.proof(at)) for at, data in enumerate(first + second)]
    sink = io.BytesIO()
    spans = [DeviceSpan(one.id, 1, 2), DeviceSpan(two.id, 1, 1)]
    assert write_source(sink, spans, [anchor_of(document)], items) == 3
    table = verify_source(
        io.BytesIO(sink.getvalue()), {one.id: one.key, two.id: (DeviceKey(two.key),)}, [anchor_of(document)]
    )
    assert table.devices == [one.id] * 6 + [two.id] * 2
    assert table.marks == ["signed"] * 6 + ["imported"] * 2
    with pytest.raises(VerificationError, match=f"device {two.id} has no key"):
        verify_source(io.BytesIO(sink.getvalue()), {one.id: one.key}, [anchor_of(document)])


class _Dribble(io.RawIOBase):
    """A stream that gives at most a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(min(size, 7))


def test_streams_may_give_little_at_a_time() -> None:
    device = Device()
    assert verify_source(_Dribble(HONEST), {device.id: device.key}, ANCHORS) == check(HONEST, ANCHORS)  # type: ignore[arg-type]


def test_more_than_a_chunk_streams() -> None:
    device = Device()
    frames = [device.frame(some_rows(at * 400, 400, 30)) for at in range(25)]
    data, anchors = container(split(frames, 12, 13))
    assert len(data) > 3_000_000
    assert check(data, anchors).total == 10_000


# ------------------------------------------------------------------------------------------------------ dishonest


def _items(data: bytes) -> list[Any]:
    stream, items = io.BytesIO(data), []
    decoder = cbor2.CBORDecoder(stream)
    while stream.tell() < len(data):
        items.append(decoder.decode())
    return items


def _rewritten(change: Callable[[list[Any]], Any]) -> bytes:
    items = _items(HONEST)
    change(items)
    return b"".join(cbor2.dumps(item) for item in items)


def _name(sequence: int) -> str:
    return f"frame {sequence} of device {Device().id}"


@pytest.mark.parametrize("dropped", range(1, 10))
def test_a_dropped_frame_is_named(dropped: int) -> None:
    with pytest.raises(VerificationError, match=f"{_name(dropped)} is missing"):
        check(_rewritten(lambda items: items.pop(dropped)), ANCHORS)


def test_a_header_that_hides_the_end_is_no_container_of_the_rest() -> None:
    def shorten(items: list[Any]) -> None:
        items[0]["devices"][0][2] = 8

    with pytest.raises(FormatError, match="other frames"):
        check(_rewritten(shorten), ANCHORS)


def test_swapped_and_repeated_frames_are_named() -> None:
    def swap(items: list[Any]) -> None:
        items[2], items[3] = items[3], items[2]

    with pytest.raises(VerificationError, match=f"{_name(2)} is missing"):
        check(_rewritten(swap), ANCHORS)
    with pytest.raises(VerificationError, match=f"{_name(3)} is missing"):
        check(_rewritten(lambda items: items.insert(3, items[2])), ANCHORS)


def test_a_frame_of_another_key_is_named() -> None:
    device = Device()
    frames = device.frames(9)
    forger = Device(2)
    forger.id, forger.sequence, forger.last = device.id, 4, Device().last

    def forge(items: list[Any]) -> None:
        items[5][2] = sign_frame(
            Frame(device.id, 5, frame_hash(frames[3]), None, Mark.SIGNED, tuple(some_rows(0, 1))), forger.signer
        )

    with pytest.raises(VerificationError, match=f"{_name(5)} is not signed by its device"):
        check(_rewritten(forge), ANCHORS)


def test_another_frame_of_the_same_key_is_not_in_the_batch() -> None:
    device = Device()
    frames = device.frames(9)
    twin = sign_frame(
        Frame(device.id, 5, frame_hash(frames[3]), None, Mark.SIGNED, tuple(some_rows(0, 1))), device.signer
    )

    def fork(items: list[Any]) -> None:
        items[5][2] = twin

    with pytest.raises(VerificationError, match=f"{_name(5)} is not in batch 2 of gateway {GATEWAY}"):
        check(_rewritten(fork), ANCHORS)


def test_a_frame_that_does_not_follow_is_named() -> None:
    one, twin = Device(), Device()
    first = one.frame(some_rows(0, 1))
    twin.frame(some_rows(9, 1))
    second = twin.frame(some_rows(1, 1))
    data, anchors = container([[first, second]])
    with pytest.raises(VerificationError, match=f"{_name(2)} does not follow"):
        check(data, anchors)


@pytest.mark.parametrize(
    "change",
    [
        lambda items: items[3].__setitem__(1, 3),  # another position
        lambda items: items[3].__setitem__(0, 1),  # another batch
        lambda items: items[3][3].pop(),
        lambda items: items[3][3].append(bytes(32)),
        lambda items: items[3][3].__setitem__(0, bytes(32)),
        lambda items: items[3].__setitem__(1, 2**40),
    ],
)
def test_a_wrong_inclusion_proof_is_named(change: Callable[[list[Any]], Any]) -> None:
    with pytest.raises(VerificationError, match=f"{_name(3)} is not in batch"):
        check(_rewritten(change), ANCHORS)


def test_only_batches_on_chain_count() -> None:
    with pytest.raises(VerificationError, match=f"batch 3 of gateway {GATEWAY} is not anchored"):
        check(HONEST, ANCHORS[:2])
    other = [*ANCHORS[:2], replace(ANCHORS[2], size=5)]
    with pytest.raises(VerificationError, match="is not the anchored one"):
        check(HONEST, other)


def test_a_replaced_key_counts_only_for_what_was_anchored_before() -> None:
    device, new = Device(), Device(3)
    keys = {device.id: (DeviceKey(device.key, START + 10), DeviceKey(new.key))}
    early = [replace(anchor, anchored_at=START + 9) for anchor in ANCHORS]
    assert verify_source(io.BytesIO(HONEST), keys, early).total == 27
    late = [*early[:2], replace(ANCHORS[2], anchored_at=START + 10)]
    with pytest.raises(VerificationError, match=f"{_name(6)} is not signed"):
        verify_source(io.BytesIO(HONEST), keys, late)


@pytest.mark.parametrize(
    "change",
    [
        lambda items: items[0].__setitem__("kind", "dataspace/other"),
        lambda items: items[0].__setitem__("version", 2),
        lambda items: items[0].__setitem__("frames", 10),
        lambda items: items[0].__setitem__("devices", [[b"short", 1, 9]]),
        lambda items: items[0].__setitem__("devices", [[bytes(Device().id), 0, 9]]),
        lambda items: items[0].__setitem__("devices", items[0]["devices"] * 2),
        lambda items: items[0].__setitem__("batches", [[b"", 1, bytes(32), 4]]),
        lambda items: items[0].__setitem__("batches", 7),
        lambda items: items.__setitem__(0, []),
        lambda items: items.__setitem__(4, {}),
        lambda items: items[4].pop(),
        lambda items: items[4].__setitem__(0, -1),
        lambda items: items[4].__setitem__(0, 3),
        lambda items: items[4].__setitem__(2, b"\xd2\x84"),
        lambda items: items[4].__setitem__(2, "text"),
        lambda items: items[4].__setitem__(3, [b""]),
        lambda items: items[4].__setitem__(3, [7]),
        lambda items: items.append(items[-1]),
        lambda items: items.append("more"),
        lambda items: items.clear(),
    ],
)
def test_odd_containers_are_format_errors(change: Callable[[list[Any]], Any]) -> None:
    with pytest.raises(FormatError):
        check(_rewritten(change), ANCHORS)


@given(st.data())
@settings(max_examples=60)
def test_fuzz_no_changed_container_gives_another_table(data: st.DataObject) -> None:
    changed = bytearray(HONEST)
    changed[data.draw(st.integers(0, len(HONEST) - 1))] ^= data.draw(st.integers(1, 255))
    cut = bytes(changed[: data.draw(st.integers(0, len(HONEST)))]) if data.draw(st.booleans()) else bytes(changed)
    with pytest.raises((FormatError, VerificationError)):
        check(cut, ANCHORS)


def test_containers_that_do_not_add_up_are_not_written() -> None:
    document = batch_of(Device().frames(2))
    anchor, span = anchor_of(document), DeviceSpan(Device().id, 1, 2)
    frame = SourceFrame(0, 0, b"", ())
    for spans, items in (([span], [frame]), ([span, span], [frame] * 4), ([replace(span, first=3)], [])):
        with pytest.raises(InputError):
            write_source(io.BytesIO(), spans, [anchor], items)
    with pytest.raises(InputError, match="batch 1 of 1"):
        write_source(io.BytesIO(), [span], [anchor], [replace(frame, batch=1)] * 2)
