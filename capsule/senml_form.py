"""The one form in which this project writes SenML packs, recognised as a whole.

What matches holds numbers in their shortest forms, integers of 64 bits and finite floats; no tags, indefinite lengths
or repeated keys. So a general CBOR decoder, which would take all those in, reads exactly what was meant, and fast.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

import cbor2

__all__ = ["PlainRecord", "read_plain"]

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


def read_plain(records: bytes) -> list[PlainRecord] | None:
    """The records in `records`, one after the other; None where they are not all in this form."""
    if _RECORDS.fullmatch(records) is None:
        return None
    read: list[PlainRecord] = cbor2.loads(b"\x9f" + records + b"\xff")
    return read
