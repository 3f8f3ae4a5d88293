"""The one form in which this project writes SenML packs, recognised as a whole.

What matches holds numbers in their shortest forms, integers of 64 bits and finite floats; no tags, indefinite lengths
or repeated keys. So a general CBOR decoder, which would take all those in, reads exactly what was meant, and fast.
Where all rows but the first have the same bytes but for their numbers, which is nearly always so, the numbers are
taken out at their places, a column at once.
"""

from __future__ import annotations

import re
import struct
from math import isfinite
from typing import Any, Final, NamedTuple, TypeAlias

import cbor2

from capsule.rows import Reading

__all__ = ["PlainRecord", "PlainRows", "read_plain", "read_plain_rows"]

PlainRecord: TypeAlias = dict[int, Any]
"""Name (0) and value (2), or neither; perhaps unit (1) and base time (-3); the first has base name (-2) and time."""

_SHORT_TEXT: Final = b"|".join(re.escape(bytes([0x60 + size])) + rb"[!-~]{%d}" % size for size in range(1, 24))
_LONG_TEXT: Final = b"|".join(re.escape(bytes([size])) + rb"[!-~]{%d}" % size for size in range(24, 128))
_TEXT: Final = rb"(?:" + _SHORT_TEXT + rb"|\x78(?:" + _LONG_TEXT + rb"))"
_NUMBER: Final = (
    rb"(?:\xfb(?![\x7f\xff][\xf0-\xff]).{8}|[\x00-\x17\x20-\x37]|[\x18\x38][\x18-\xff]|[\x19\x39](?!\x00).{2}"
    rb"|[\x1a\x3a](?!\x00\x00).{4}|[\x1b\x3b](?!\x00{4})[\x00-\x7f].{7})"
)
_NAME: Final = rb"\x00" + _TEXT
_UNIT: Final = rb"\x01" + _TEXT
_VALUE: Final = rb"\x02" + _NUMBER
_BASE_TIME: Final = rb"\x22" + _NUMBER
_BASES: Final = rb"\x21" + _TEXT + _BASE_TIME
_GOES_ON: Final = rb"(?:\xa2" + _NAME + _VALUE + rb"|\xa3" + _NAME + _UNIT + _VALUE + rb")*+"
_RECORDS: Final = re.compile(
    rb"(?:\xa4" + _NAME + _VALUE + _BASES
    + rb"|\xa5" + _NAME + _UNIT + _VALUE + _BASES
    + rb"|\xa2" + _BASES
    + rb")(?:\xa2" + _NAME + _VALUE
    + rb"|\xa3" + _NAME + rb"(?:" + _VALUE + _BASE_TIME + rb"|" + _UNIT + _VALUE + rb")"
    + rb"|\xa4" + _NAME + _UNIT + _VALUE + _BASE_TIME
    + rb"|\xa1" + _BASE_TIME
    + rb")*+",
    re.DOTALL,
)  # fmt: skip
_FIRST_ROW: Final = re.compile(
    rb"(?:\xa4" + _NAME + _VALUE + _BASES + rb"|\xa5" + _NAME + _UNIT + _VALUE + _BASES + rb")" + _GOES_ON, re.DOTALL
)
_ROW: Final = re.compile(
    rb"(?:\xa3" + _NAME + _VALUE + _BASE_TIME + rb"|\xa4" + _NAME + _UNIT + _VALUE + _BASE_TIME + rb")" + _GOES_ON,
    re.DOTALL,
)
_READING: Final = re.compile(
    rb"\x00(" + _TEXT + rb")(?:\x01(" + _TEXT + rb"))?\x02(" + _NUMBER + rb")(?:\x22(" + _NUMBER + rb"))?", re.DOTALL
)
_LEAST: Final = {"B": 24, "H": 1 << 8, "I": 1 << 16, "Q": 1 << 32}
"""of an integer written with so many bytes"""
_WIDTHS: Final = "BHIQ"


class PlainRows(NamedTuple):
    """The first row's records, the times of the rows after it, and their readings, in the order of its records."""

    first: list[PlainRecord]
    times: tuple[Reading, ...]
    readings: tuple[tuple[Reading, ...], ...]


def read_plain_rows(records: bytes, count: int) -> PlainRows | None:
    """`count` records as rows with the same names, units and widths of numbers; None where they are not all so."""
    first, second = _FIRST_ROW.match(records), None
    if first is not None:
        second = _ROW.match(records, first.end())
    if first is None or second is None or (len(records) - first.end()) % len(second[0]):
        return None
    opening = read_plain(first[0])
    if opening is None or len({record[0] for record in opening}) != len(opening):
        return None
    rows = (len(records) - first.end()) // len(second[0])
    readings = list(_READING.finditer(second[0]))
    if count != len(opening) * (rows + 1) or [reading.group(1, 2) for reading in readings] != [
        reading.group(1, 2) for reading in _READING.finditer(first[0])
    ]:
        return None
    layout, kinds = _layout(readings)
    parts = struct.Struct(">" + layout * rows).unpack(records[first.end() :])  # `struct.unpack` would keep each layout
    columns = [parts[at :: 2 * len(kinds)] for at in range(2 * len(kinds))]
    if any(fixed.count(fixed[0]) != rows for fixed in columns[::2]):
        return None
    values = [_numbers(kind, column) for kind, column in zip(kinds, columns[1::2], strict=True)]
    times = values.pop(1)
    whole = tuple(column for column in values if column is not None)
    return None if times is None or len(whole) != len(values) else PlainRows(opening, times, whole)


def _layout(readings: list[re.Match[bytes]]) -> tuple[str, list[int]]:
    """Of a row: what lies between its numbers and the numbers, as a format of `struct`; and their initial bytes.

    The initial byte of a number that has more lies in what is before it.
    """
    parts, kinds, at = [], [], 0
    for reading in readings:
        for group in (3, 4):
            start, end = reading.span(group)
            if start < 0:
                continue
            kind = reading[group][0]
            code = "d" if kind == 0xFB else "B" if end == start + 1 else _WIDTHS[(kind & 0x1F) - 24]
            start += end > start + 1
            parts.append(f"{start - at}s{code}")
            kinds.append(kind)
            at = end
    return "".join(parts), kinds


def _numbers(kind: int, column: tuple[Any, ...]) -> tuple[Reading, ...] | None:
    """The numbers that these are the contents of; None where one is not in its shortest form or not finite."""
    if kind == 0xFB:
        return column if isfinite(sum(column)) or all(map(isfinite, column)) else None
    negative, width = divmod(kind, 0x20)
    if width < 24:  # in the initial byte itself
        if not all(byte & 0xDF < 24 for byte in column):
            return None
        return tuple(byte if byte < 24 else 0x1F - byte for byte in column)
    if min(column) < _LEAST[_WIDTHS[width - 24]] or max(column) >= 1 << 63:
        return None
    return tuple(-1 - number for number in column) if negative else column


def read_plain(records: bytes) -> list[PlainRecord] | None:
    """The records in `records`, one after the other; None where they are not all in this form."""
    if _RECORDS.fullmatch(records) is None:
        return None
    read: list[PlainRecord] = cbor2.loads(b"\x9f" + records + b"\xff")
    return read
