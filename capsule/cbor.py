"""Strict reading of CBOR (RFC 8949): what this project's formats need of it, and nothing that could surprise.

Integers, byte and text strings, arrays, maps, booleans, null and floats of any width, with definite lengths and the
shortest form of every length and integer. No tags, no indefinite lengths, no repeated map keys. Nothing is allocated by
a length before the bytes that it promises are there. Everything else is a FormatError.
"""

from __future__ import annotations

import struct
from typing import Final, TypeAlias

from capsule.errors import FormatError

__all__ = [
    "ARRAY",
    "BYTES",
    "MAP",
    "NEGATIVE",
    "TEXT",
    "UNSIGNED",
    "Cbor",
    "byte_string",
    "decode",
    "read_head",
    "read_item",
]

Cbor: TypeAlias = "int | float | bytes | str | bool | list[Cbor] | dict[int | str, Cbor] | None"

UNSIGNED: Final = 0
NEGATIVE: Final = 1
BYTES: Final = 2
TEXT: Final = 3
ARRAY: Final = 4
MAP: Final = 5
_TAG: Final = 6

_SIMPLE: Final[dict[int, bool | None]] = {20: False, 21: True, 22: None}
_FLOATS: Final = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
_DEPTH: Final = 4


def read_head(data: bytes, at: int) -> tuple[int, int, int]:
    """Major type, argument, and where the content starts, of the item at `at`; not for major type 7."""
    if at >= len(data):
        raise FormatError("CBOR ends too early")
    major, argument = data[at] >> 5, data[at] & 0x1F
    at += 1
    if argument < 24:
        return major, argument, at
    if argument > 27:
        raise FormatError("CBOR item has an indefinite or reserved length")
    width = 1 << (argument - 24)
    if at + width > len(data):
        raise FormatError("CBOR ends too early")
    value = int.from_bytes(data[at : at + width], "big")
    if value < 24 if width == 1 else value >> (4 * width) == 0:
        raise FormatError("CBOR integer or length is not in its shortest form")
    return major, value, at + width


def byte_string(content: bytes) -> bytes:
    """The byte string with this content."""
    size = len(content)
    if size < 24:
        return bytes((BYTES << 5 | size,)) + content
    width = 1 if size < 1 << 8 else 2 if size < 1 << 16 else 4 if size < 1 << 32 else 8
    return bytes((BYTES << 5 | 23 + width.bit_length(),)) + size.to_bytes(width, "big") + content


def read_item(data: bytes, at: int, depth: int = _DEPTH) -> tuple[Cbor, int]:
    """The value at `at` and where the next one starts. `depth`: how many arrays and maps may lie in each other."""
    if at < len(data) and data[at] >> 5 == 7:
        return _read_simple(data, at)
    major, argument, at = read_head(data, at)
    if major == UNSIGNED:
        return argument, at
    if major == NEGATIVE:
        return -1 - argument, at
    if major in (BYTES, TEXT):
        if at + argument > len(data):
            raise FormatError("CBOR ends too early")
        content = data[at : at + argument]
        return (content if major == BYTES else _text(content)), at + argument
    if major == _TAG:
        raise FormatError("CBOR holds a tag where none belongs")
    if depth == 0:
        raise FormatError("CBOR is nested too deeply")
    if argument > len(data) - at:
        raise FormatError("CBOR ends too early")
    if major == ARRAY:
        members: list[Cbor] = []
        for _ in range(argument):
            member, at = read_item(data, at, depth - 1)
            members.append(member)
        return members, at
    return _read_map(data, argument, at, depth)


def decode(data: bytes, depth: int = _DEPTH) -> Cbor:
    """Reads exactly one item."""
    value, at = read_item(data, 0, depth)
    if at != len(data):
        raise FormatError("CBOR item is followed by other bytes")
    return value


def _read_map(data: bytes, size: int, at: int, depth: int) -> tuple[Cbor, int]:
    pairs: dict[int | str, Cbor] = {}
    for _ in range(size):
        key, at = read_item(data, at, 0)
        if isinstance(key, bool) or not isinstance(key, int | str):
            raise FormatError("CBOR map key is neither an integer nor text")
        if key in pairs:
            raise FormatError(f"CBOR map repeats the key {key!r:.40}")
        pairs[key], at = read_item(data, at, depth - 1)
    return pairs, at


def _read_simple(data: bytes, at: int) -> tuple[Cbor, int]:
    argument = data[at] & 0x1F
    if argument in _SIMPLE:
        return _SIMPLE[argument], at + 1
    layout = _FLOATS.get(argument)
    if layout is None:
        raise FormatError("CBOR holds a simple value that has no meaning here")
    if at + 1 + layout.size > len(data):
        raise FormatError("CBOR ends too early")
    value: float = layout.unpack_from(data, at + 1)[0]
    return value, at + 1 + layout.size


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise FormatError("CBOR text is not UTF-8") from exc
