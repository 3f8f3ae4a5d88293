"""Chunks through many threads: the same bytes as through one, in order, in constant memory, and no thread left."""

import io
import os
import threading
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule.errors import FormatError, InputError, OpenError, VerificationError
from capsule.layout import read_layout
from capsule.opening import CapsuleReader, Level, verify
from capsule.sealing import RebindPlan, rebind, seal
from tests.capsule.samples import DATA_KEY, DOMAIN, OTHER_DATA_KEY, PLAN, SIGNER, capsule_of, digest, entropy_of

MIB = 1 << 20
PLAN_LARGE = replace(PLAN, chunk_size=100_000)
LARGE = capsule_of(bytes(range(256)) * 20_000, plan=PLAN_LARGE)
LAYOUT = read_layout(LARGE.stream)


def sealed_by(workers: int, plaintext: bytes, chunk_size: int) -> bytes:
    sink = io.BytesIO()
    plan = replace(PLAN, chunk_size=chunk_size)
    sealed = seal(io.BytesIO(plaintext), sink, plan, SIGNER, DATA_KEY, DOMAIN, entropy_of(1), workers=workers)
    assert sealed.size == len(sink.getvalue())
    return sink.getvalue()


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3 * MIB, 3 * MIB + 1, 5 * MIB - 1])
@pytest.mark.parametrize("chunk_size", [1_000, 65_536, MIB, 2 * MIB])
def test_any_number_of_workers_gives_the_same_capsule(size: int, chunk_size: int) -> None:
    plaintext = bytes(range(251)) * (size // 251 + 1)
    plaintext = plaintext[:size]
    one = sealed_by(1, plaintext, chunk_size)
    assert sealed_by(3, plaintext, chunk_size) == one
    for workers in (1, 3):
        out = io.BytesIO()
        assert CapsuleReader(io.BytesIO(one), DATA_KEY, workers=workers).copy_to(out) == size
        assert out.getvalue() == plaintext


@settings(max_examples=60, deadline=None)  # starts threads, and waits for them on a busy machine
@given(st.integers(0, 5_120_000), st.integers(0, 5_120_000), st.integers(1, 4), st.booleans())
def test_any_range_is_copied(begin: int, end: int, workers: int, rooted: bool) -> None:
    begin, end = sorted((begin, end))
    checks = {"root": LARGE.sealed.root, "leaves": LARGE.sealed.leaves} if rooted else {}
    out = io.BytesIO()
    heard: list[int] = []
    reader = CapsuleReader(LARGE.stream, DATA_KEY, workers=workers, **checks)  # type: ignore[arg-type]
    assert reader.copy_to(out, begin, end, progress=heard.append) == end - begin
    assert out.getvalue() == LARGE.plaintext[begin:end]
    assert heard == sorted(heard)
    assert heard[-1:] in ([], [end - begin])


def test_pipes_are_sealed_and_opened_as_they_come() -> None:
    """Through pipes of the system, which return what is there and can't seek."""

    def pump(data: bytes) -> BinaryIO:
        reading, writing = os.pipe()

        def write() -> None:
            with os.fdopen(writing, "wb") as stream, suppress(BrokenPipeError):
                stream.write(data)

        threading.Thread(target=write).start()
        return os.fdopen(reading, "rb")

    plan = replace(PLAN_LARGE, plaintext_size=len(LARGE.plaintext))
    sink = io.BytesIO()
    with pump(LARGE.plaintext) as source:
        seal(source, sink, plan, SIGNER, DATA_KEY, DOMAIN, entropy_of(1), workers=3)
    assert sink.getvalue() == LARGE.data
    for checks in ({}, {"root": LARGE.sealed.root, "leaves": LARGE.sealed.leaves}):
        out = io.BytesIO()
        with pump(LARGE.data) as stream:
            CapsuleReader(stream, DATA_KEY, workers=3, **checks).copy_to(out)  # type: ignore[arg-type]
        assert out.getvalue() == LARGE.plaintext
    for spoilt in (LARGE.data + b"\x00", LARGE.data[:-1]):
        out = io.BytesIO()
        with pump(spoilt) as stream, pytest.raises(OpenError):
            CapsuleReader(stream, DATA_KEY, workers=3).copy_to(out)
        assert len(out.getvalue()) < len(LARGE.plaintext)


def test_empty_plaintext_is_opened_too() -> None:
    empty = capsule_of(b"")
    assert CapsuleReader(empty.stream, DATA_KEY).copy_to(io.BytesIO()) == 0
    changed = io.BytesIO(empty.data[:-1] + bytes([empty.data[-1] ^ 1]))
    with pytest.raises(OpenError):
        CapsuleReader(changed, DATA_KEY).copy_to(io.BytesIO())


def test_progress_counts_plaintext() -> None:
    heard: list[int] = []
    seal(
        io.BytesIO(LARGE.plaintext),
        io.BytesIO(),
        PLAN_LARGE,
        SIGNER,
        DATA_KEY,
        DOMAIN,
        entropy_of(1),
        workers=2,
        progress=heard.append,
    )
    assert heard == sorted(set(heard))
    assert heard[-1] == len(LARGE.plaintext)


@pytest.mark.parametrize("index", [0, 25, 51])
@pytest.mark.parametrize("rooted", [False, True])
def test_a_changed_chunk_ends_all_workers(index: int, rooted: bool) -> None:
    spoilt = bytearray(LARGE.data)
    spoilt[LAYOUT.offset(index) + 7] ^= 1
    checks = {"root": LARGE.sealed.root, "leaves": LARGE.sealed.leaves} if rooted else {}
    reader = CapsuleReader(io.BytesIO(bytes(spoilt)), DATA_KEY, workers=3, **checks)  # type: ignore[arg-type]
    out = io.BytesIO()
    with pytest.raises(OpenError):
        reader.copy_to(out)
    assert LARGE.plaintext.startswith(out.getvalue())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("chunks")]


def test_a_short_source_ends_all_workers() -> None:
    plan = replace(PLAN_LARGE, plaintext_size=len(LARGE.plaintext) + 1)
    with pytest.raises(InputError, match="fewer"):
        seal(io.BytesIO(LARGE.plaintext), io.BytesIO(), plan, SIGNER, DATA_KEY, DOMAIN, entropy_of(1), workers=3)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("chunks")]


def test_no_workers_do_no_work() -> None:
    with pytest.raises(InputError):
        sealed_by(0, b"x", 16)


def test_rebinding_with_workers_gives_the_same_capsule() -> None:
    sinks = [io.BytesIO(), io.BytesIO()]
    plan = RebindPlan(policy_hash=digest(0xF1), sealed_at=1_760_000_000)
    for workers, sink in enumerate(sinks, 1):
        rebind(
            LARGE.stream, sink, plan, SIGNER, DATA_KEY, OTHER_DATA_KEY, DOMAIN, root=LARGE.sealed.root, workers=workers
        )
    assert sinks[0].getvalue() == sinks[1].getvalue()


@pytest.mark.parametrize("stopped", [0, 1, 17, 51, 52])
def test_verification_goes_on_where_it_stopped(stopped: int) -> None:
    seen = bytearray()
    whole = verify(LARGE.stream, root=LARGE.sealed.root, workers=2, found=seen.extend)
    assert len(seen) == 32 * 52
    unread = bytearray(LARGE.data)
    for index in range(stopped):
        unread[LAYOUT.offset(index)] ^= 1  # what is known is not read again
    again = verify(io.BytesIO(bytes(unread)), root=LARGE.sealed.root, known=bytes(seen[: 32 * stopped]))
    assert again == whole
    assert again.level is Level.CHAIN


def test_what_is_known_of_another_capsule_does_not_pass() -> None:
    with pytest.raises(VerificationError):
        verify(LARGE.stream, root=LARGE.sealed.root, known=bytes(64))
    for known in (bytes(31), bytes(32 * 53)):
        with pytest.raises(InputError):
            verify(LARGE.stream, known=known)
    with pytest.raises(FormatError):
        verify(io.BytesIO(LARGE.data[:-1]), known=LARGE.sealed.leaves.packed[96:-32])


class Counter(io.RawIOBase):
    """A sink that only counts."""

    size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.size += len(memoryview(data))  # type: ignore[arg-type]
        return len(memoryview(data))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [24 * MIB, 48 * MIB])
def test_many_workers_take_constant_memory(tmp_path: Path, size: int) -> None:
    with (tmp_path / "plain").open("w+b") as source, (tmp_path / "sealed").open("w+b") as sink:
        source.truncate(size)
        plan = replace(PLAN, chunk_size=MIB)
        tracemalloc.start()
        try:
            seal(source, sink, plan, SIGNER, DATA_KEY, DOMAIN, entropy_of(1), workers=4)
            sink.seek(0)
            counter = Counter()
            CapsuleReader(sink, DATA_KEY, workers=4).copy_to(counter)  # type: ignore[arg-type]
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert counter.size == size
    assert peak < 10 * MIB
