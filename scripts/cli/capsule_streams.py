"""Capsules and plaintext through standard input and output, where a path says `-`.

Invariants: nothing but the bytes that were asked for goes to standard output; a terminal takes and gives none.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from capsule.header import Header
from capsule.layout import read_layout
from capsule.opening import inspect
from node.errors import InputRefusedError
from node.home import create_new
from scripts.cli.console import show

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["HeldBack", "is_stream", "peek", "source", "summary", "target"]


def is_stream(path: Path | None) -> bool:
    """Whether a path stands for standard input or output."""
    return path is not None and str(path) == "-"


class _Sequential(RawIOBase):
    """A stream that is read once, from front to back; what was read in advance can be put back."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._ahead = b""

    def readable(self) -> bool:
        return True

    def put_back(self, data: bytes) -> None:
        self._ahead = data + self._ahead

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        part = self._ahead[: len(view)] or self._stream.read(len(view))
        self._ahead = self._ahead[len(part) :]
        view[: len(part)] = part
        return len(part)


@contextmanager
def source(path: Path) -> Iterator[BinaryIO]:
    """A file to read, or standard input; InputRefusedError for a folder or a terminal."""
    if is_stream(path):
        if sys.stdin.isatty():
            raise InputRefusedError("standard input is a terminal; pipe a file into it, or name the file")
        yield cast(BinaryIO, _Sequential(sys.stdin.buffer))
        return
    if path.is_dir():
        raise InputRefusedError(f"{path} is a folder; pack it into one file first, or name a file in it")
    with path.open("rb") as stream:
        yield stream if stream.seekable() else cast(BinaryIO, _Sequential(stream))


def peek(stream: BinaryIO) -> Header:
    """The header, unverified; the stream stands where it stood. FormatError when it is no capsule."""
    if isinstance(stream, _Sequential):
        layout = read_layout(stream)
        stream.put_back(b"".join(layout.pieces))
        return layout.header
    header = inspect(stream)
    stream.seek(0)
    return header


@contextmanager
def target(path: Path) -> Iterator[BinaryIO]:
    """A new file that appears whole or not at all, or standard output; InputRefusedError where that is a terminal."""
    if not is_stream(path):
        with create_new(path) as sink:
            yield sink
        return
    if sys.stdout.isatty():
        raise InputRefusedError("standard output is a terminal; send it into a file or a pipe")
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # what Python still holds for it must not fail again at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise InputRefusedError("whoever read standard output stopped before its end; run both again") from None


class HeldBack(RawIOBase):
    """Keeps the last piece until it is released: without that a capsule is not whole."""

    def __init__(self, sink: BinaryIO) -> None:
        super().__init__()
        self._sink = sink
        self._last = b""

    @property
    def stream(self) -> BinaryIO:
        """Itself, to write to."""
        return cast(BinaryIO, self)

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # type: ignore[override]
        self._sink.write(self._last)
        self._last = bytes(data)
        return len(self._last)

    def release(self) -> None:
        """Writes what was kept."""
        self._sink.write(self._last)
        self._last = b""


def summary(content: Mapping[str, object], as_json: bool, out: Path) -> None:
    """What a command did; on standard error where standard output holds its bytes."""
    if not is_stream(out):
        show(content, as_json)
        return
    with redirect_stdout(sys.stderr):
        show(content, as_json)
