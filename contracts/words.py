"""Reading Solidity's ABI encoding: 32-byte words at a position, strictly.

A position is a byte offset into `data`. Whatever a Solidity compiler would not have written (a value wider than its
type, padding that is not zero, an offset or length outside the data) raises ChainIntegrityError, so that no two readers
can understand one answer differently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from capsule.errors import InputError
from capsule.ids import Address, Bytes32, Digest, Uscc
from contracts.errors import ChainIntegrityError

__all__ = [
    "address",
    "blob",
    "boolean",
    "bytes32",
    "digest",
    "directory_name",
    "fixed",
    "listing",
    "listing_of_tails",
    "tail",
    "text",
    "topics",
    "uint",
    "uscc",
    "uscc_or_none",
    "word",
]

_T = TypeVar("_T")
_WORD: Final = 32


def word(data: bytes, at: int) -> bytes:
    """The 32 bytes at `at`."""
    value = data[at : at + _WORD]
    if len(value) != _WORD:
        raise ChainIntegrityError(f"encoded data ends at {len(data)}, before the word at {at}")
    return value


def uint(data: bytes, at: int, bits: int) -> int:
    """An unsigned integer of `bits` bits."""
    value = int.from_bytes(word(data, at), "big")
    if value >> bits:
        raise ChainIntegrityError(f"the word at {at} is no uint{bits}")
    return value


def boolean(data: bytes, at: int) -> bool:
    """A bool: 0 or 1, nothing else."""
    return uint(data, at, 1) == 1


def address(data: bytes, at: int) -> Address:
    """An account."""
    value = word(data, at)
    if any(value[:12]):
        raise ChainIntegrityError(f"the word at {at} is no address")
    return Address(value[12:])


def bytes32(data: bytes, at: int) -> Bytes32:
    """32 bytes that are no hash: a key, or an id of one of several kinds."""
    return Bytes32(word(data, at))


def digest(data: bytes, at: int) -> Digest:
    """A hash."""
    return Digest(word(data, at))


def fixed(data: bytes, at: int, size: int) -> bytes:
    """A bytesN with N = `size` below 32, left-aligned."""
    value = word(data, at)
    if any(value[size:]):
        raise ChainIntegrityError(f"the word at {at} is no bytes{size}")
    return value[:size]


def uscc(data: bytes, at: int) -> Uscc:
    """An organisation's code, kept as bytes18."""
    value = fixed(data, at, 18)
    try:
        return Uscc.parse(value.decode("ascii"))
    except (InputError, UnicodeDecodeError):
        raise ChainIntegrityError(f"0x{value.hex()} is no unified social credit code") from None


def uscc_or_none(data: bytes, at: int) -> Uscc | None:
    """The code, or None where nobody was admitted (18 zero bytes)."""
    return uscc(data, at) if any(word(data, at)) else None


def directory_name(data: bytes, at: int) -> str:
    """A Directory name: ASCII, padded with zeros on the right."""
    value = word(data, at).rstrip(b"\x00")
    if not value.isascii():
        raise ChainIntegrityError(f"0x{value.hex()} is no Directory name")
    return value.decode("ascii")


def tail(data: bytes, base: int, at: int) -> int:
    """Position of a dynamic value whose offset, counted from `base`, stands at `at`."""
    position = base + uint(data, at, 64)
    if position + _WORD > len(data):
        raise ChainIntegrityError(f"the offset at {at} points outside the data")
    return position


def blob(data: bytes, at: int) -> bytes:
    """A `bytes` value whose length stands at `at`."""
    length = uint(data, at, 64)
    start = at + _WORD
    padded = start + -(-length // _WORD) * _WORD
    if padded > len(data) or any(data[start + length : padded]):
        raise ChainIntegrityError(f"the bytes at {at} are cut or wrongly padded")
    return data[start : start + length]


def text(data: bytes, at: int) -> str:
    """A `string`. Solidity checks no UTF-8, and no odd string may stop a reader: a bad byte reads as "?"."""
    value = blob(data, at)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("utf-8", "replace").replace("\ufffd", "?")


def listing(data: bytes, at: int, size: int, read: Callable[[bytes, int], _T]) -> tuple[_T, ...]:
    """A list of static items of `size` bytes each; its length stands at `at`."""
    count = uint(data, at, 64)
    start = at + _WORD
    if start + count * size > len(data):
        raise ChainIntegrityError(f"the list at {at} is longer than the data")
    return tuple(read(data, start + place * size) for place in range(count))


def listing_of_tails(data: bytes, at: int, read: Callable[[bytes, int], _T]) -> tuple[_T, ...]:
    """A list of dynamic items; its length stands at `at`."""
    count = uint(data, at, 64)
    start = at + _WORD
    if start + count * _WORD > len(data):
        raise ChainIntegrityError(f"the list at {at} is longer than the data")
    return tuple(read(data, tail(data, start, start + place * _WORD)) for place in range(count))


def topics(found: tuple[bytes, ...], count: int) -> tuple[bytes, ...]:
    """The topics of a log, which must be `count` words; topic 0 is the event's."""
    if len(found) != count or any(len(topic) != _WORD for topic in found):
        raise ChainIntegrityError(f"a log has {len(found)} topics where its event has {count}")
    return found
