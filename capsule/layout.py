"""Where everything stands in a capsule: magic, header length, header, signature, slot, chunks.

Invariant: the leaves of the capsule's tree are the file cut into pieces, in order and without rest: magic with length
and header; signature; slot; each chunk with its tag. The header alone fixes how many chunks there are and how long
each is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Final

from capsule.errors import FormatError, InputError
from capsule.header import MAX_HEADER_SIZE, Header
from capsule.ids import Digest
from capsule.suite import SLOT_SIZE, TAG_SIZE
from capsule.tree import leaf_hash

__all__ = ["LEADING_LEAVES", "MAGIC", "MAX_SIGNATURE_SIZE", "Layout", "read_exactly", "read_into", "read_layout"]

MAGIC: Final = b"dsc1\r\n\x1a\n"
MAX_SIGNATURE_SIZE: Final = 512
LEADING_LEAVES: Final = 3


@dataclass(frozen=True, slots=True)
class Layout:
    """What stands before the chunks. `stored_header` and `slot` as they are in the file."""

    header: Header
    stored_header: bytes
    suite: int
    signature: bytes
    slot: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.suite <= 255 or not 1 <= len(self.signature) <= MAX_SIGNATURE_SIZE:
            raise InputError(f"a signature has a suite of one byte and 1 to {MAX_SIGNATURE_SIZE} bytes")

    @property
    def pieces(self) -> tuple[bytes, bytes, bytes]:
        """Header, signature and slot with their framing: the first three leaves' data."""
        return (
            MAGIC + len(self.stored_header).to_bytes(4, "big") + self.stored_header,
            bytes([self.suite]) + len(self.signature).to_bytes(2, "big") + self.signature,
            self.slot,
        )

    @property
    def leaves(self) -> tuple[Digest, ...]:
        return tuple(leaf_hash(piece) for piece in self.pieces)

    @property
    def body(self) -> int:
        """Offset of the first chunk."""
        return sum(map(len, self.pieces))

    @property
    def size(self) -> int:
        """Bytes of the whole capsule."""
        return self.body + self.header.plaintext_size + self.header.chunk_count * TAG_SIZE

    def offset(self, index: int) -> int:
        """Where a chunk begins."""
        return self.body + index * (self.header.chunk_size + TAG_SIZE)

    def sealed_length(self, index: int) -> int:
        """Bytes of a chunk with its tag."""
        return self.header.chunk_length(index) + TAG_SIZE


def read_layout(stream: BinaryIO) -> Layout:
    """Reads up to the first chunk. Nothing is verified. FormatError when it is no capsule."""
    if read_exactly(stream, len(MAGIC)) != MAGIC:
        raise FormatError("not a dsc1 capsule")
    length = int.from_bytes(read_exactly(stream, 4), "big")
    if length > MAX_HEADER_SIZE:
        raise FormatError(f"capsule header is larger than {MAX_HEADER_SIZE} bytes")
    stored_header = read_exactly(stream, length)
    header = Header.from_bytes(stored_header)
    suite, high, low = read_exactly(stream, 3)
    signature_size = high << 8 | low
    if not 1 <= signature_size <= MAX_SIGNATURE_SIZE:
        raise FormatError(f"capsule signature has not 1 to {MAX_SIGNATURE_SIZE} bytes")
    signature = read_exactly(stream, signature_size)
    return Layout(header, stored_header, suite, signature, read_exactly(stream, SLOT_SIZE))


def read_exactly(stream: BinaryIO, length: int) -> bytes:
    """Reads `length` bytes, also from streams that return fewer at a time; FormatError when they end before."""
    data = stream.read(length)
    if len(data) == length:
        return data
    parts = bytearray(data)
    while data and len(parts) < length:
        data = stream.read(length - len(parts))
        parts += data
    if len(parts) != length:
        raise FormatError("capsule is cut off")
    return bytes(parts)


def read_into(stream: BinaryIO, target: memoryview) -> None:
    """Fills `target`, also from streams that return fewer bytes at a time; FormatError when they end before."""
    filled = 0
    while filled < len(target):
        count = _read_some(stream, target[filled:])
        if not count:
            raise FormatError("capsule is cut off")
        filled += count


def _read_some(stream: BinaryIO, target: memoryview) -> int:
    try:
        count: int = stream.readinto(target)  # type: ignore[attr-defined]
    except (AttributeError, NotImplementedError):  # a stream that only gives bytes
        data = stream.read(len(target))
        count = len(data)
        target[:count] = data
    return count
