"""The chunks of a capsule on their way through memory: read in order, worked on in threads, handed on in order.

Invariants: chunks move in runs of about 1 MiB (one chunk where chunks are larger), each in one buffer where it is
sealed, hashed and opened in its place; buffers are used again, so memory depends on the number of workers and the
chunk size, never on the capsule. Reading and writing stay with the calling thread; the work releases the interpreter's
lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, Final

from capsule.errors import InputError, OpenError
from capsule.header import Header
from capsule.layout import read_into
from capsule.suite import TAG_SIZE, open_chunk, seal_chunk
from capsule.tree import leaf_hash

__all__ = ["Run", "hashed", "no_progress", "opened", "sealed", "write"]

_RUN_BYTES: Final = 1 << 20
_WRITE_BYTES: Final = 1 << 18
_MOST_BYTES: Final = 64 << 20  # of all buffers together, where chunks allow it


@dataclass(slots=True)
class Run:
    """Neighbouring chunks in one buffer, each with room for its tag. Valid until the next run is asked for."""

    first: int
    views: tuple[memoryview, ...]
    buffer: bytearray
    leaves: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of plaintext."""
        return sum(map(len, self.views)) - TAG_SIZE * len(self.views)

    @property
    def sealed(self) -> memoryview:
        """The chunks with their tags."""
        return memoryview(self.buffer)[: sum(map(len, self.views))]

    @property
    def plaintexts(self) -> Iterator[memoryview]:
        """The chunks without their tags."""
        return (view[:-TAG_SIZE] for view in self.views)


def no_progress(_: int) -> None:
    """Hears of progress and says nothing."""


def write(sink: BinaryIO, data: memoryview) -> None:
    """Writes `data` in pieces of 256 KiB: whole aligned mebibytes cost ext4 three to ten times the processor time."""
    for at in range(0, len(data), _WRITE_BYTES):
        sink.write(data[at : at + _WRITE_BYTES])


def sealed(source: BinaryIO, header: Header, content_key: bytes, workers: int) -> Iterator[Run]:
    """Seals the plaintext that `source` stands before; FormatError when it is too short."""

    def read(run: Run) -> None:
        for plaintext in run.plaintexts:
            read_into(source, plaintext)

    def seal(run: Run) -> None:
        for index, view in enumerate(run.views, run.first):
            last = index == header.chunk_count - 1
            seal_chunk(content_key, header.capsule_id, index, last, view[:-TAG_SIZE], view)
        run.leaves = _leaves(run)

    return _each(header, range(header.chunk_count), read, seal, workers)


def hashed(source: BinaryIO, header: Header, workers: int, first: int = 0) -> Iterator[Run]:
    """Hashes the sealed chunks from `first` on, which `source` stands before; FormatError when it is too short."""

    def work(run: Run) -> None:
        run.leaves = _leaves(run)

    return _each(header, range(first, header.chunk_count), lambda run: read_into(source, run.sealed), work, workers)


def opened(
    source: BinaryIO,
    header: Header,
    content_key: bytes,
    chunks: range,
    leaves: bytes | None,
    workers: int,
    *,
    hashing: bool = False,
) -> Iterator[Run]:
    """Opens the sealed chunks that `source` stands before, after comparing them with `leaves`, 32 bytes each, if given.

    With `hashing` each run has the leaf hashes of its sealed chunks. OpenError for a chunk that is another, FormatError
    when the source is too short.
    """

    def work(run: Run) -> None:
        at = run.first - chunks.start
        if hashing or leaves is not None:
            run.leaves = _leaves(run)
        if leaves is not None and run.leaves != leaves[32 * at : 32 * (at + len(run.views))]:
            raise OpenError
        for index, view in enumerate(run.views, run.first):
            open_chunk(content_key, header.capsule_id, index, index == header.chunk_count - 1, view, view[:-TAG_SIZE])

    return _each(header, chunks, lambda run: read_into(source, run.sealed), work, workers)


def _leaves(run: Run) -> bytes:
    return b"".join(leaf_hash(view) for view in run.views)


def _each(
    header: Header, chunks: range, read: Callable[[Run], None], work: Callable[[Run], None], workers: int
) -> Iterator[Run]:
    if workers < 1:
        raise InputError(f"{workers} workers can't work")
    step = header.chunk_size + TAG_SIZE
    count = max(1, _RUN_BYTES // step)
    ahead = min(workers + 2, max(1, _MOST_BYTES // (count * step)))
    free: list[bytearray] = []

    def runs() -> Iterator[Run]:
        for first in range(chunks.start, chunks.stop, count):
            indexes = range(first, min(first + count, chunks.stop))
            buffer = free.pop() if free else bytearray(min(len(chunks), count) * step)
            whole = memoryview(buffer)
            views = tuple(
                whole[place * step : place * step + header.chunk_length(index) + TAG_SIZE]
                for place, index in enumerate(indexes)
            )
            run = Run(first, views, buffer)
            read(run)
            yield run

    for run in _worked(runs(), work, workers, ahead):
        yield run
        free.append(run.buffer)


def _worked(runs: Iterable[Run], work: Callable[[Run], None], workers: int, ahead: int) -> Iterator[Run]:
    """The runs in order, after their work; at most `ahead` are under way."""
    if workers == 1 or ahead == 1:
        for run in runs:
            work(run)
            yield run
        return
    with ThreadPoolExecutor(workers, "chunks") as pool:
        waiting: deque[tuple[Run, Future[None]]] = deque()
        try:
            for run in runs:
                waiting.append((run, pool.submit(work, run)))
                if len(waiting) >= ahead:
                    yield _ended(*waiting.popleft())
            while waiting:
                yield _ended(*waiting.popleft())
        finally:
            for _, future in waiting:
                future.cancel()


def _ended(run: Run, future: Future[None]) -> Run:
    try:
        future.result()
    finally:
        del future  # it holds its error, whose traceback holds this frame
    return run
