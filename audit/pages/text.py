"""Text of others as readers see it: what would hide, turn round or break a line is shown as its escape."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Final

__all__ = ["date", "short", "shown", "time"]

# controls, formats (with the bidirectional ones), surrogates, private use, line and paragraph separators
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_SHORT: Final = 14
_LAST_SECOND: Final = 253_402_300_799


def shown(text: object) -> str:
    """One line: newlines and unseen characters become \\xNN, \\uNNNN or \\UNNNNNNNN."""
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(_escape(one) if unicodedata.category(one) in _HIDDEN else one for one in plain)


def short(identifier: str) -> str:
    """An id by its beginning and end, where it is long."""
    return identifier if len(identifier) <= 2 * _SHORT else f"{identifier[:10]}…{identifier[-4:]}"


def time(seconds: int) -> str:
    """Unix seconds as date and time, UTC; as the number itself where it is past the year 9999."""
    if seconds > _LAST_SECOND:
        return str(seconds)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def date(seconds: int, step: int) -> str:
    """The beginning of a stretch of `step` seconds: with the hour, where it is shorter than a day."""
    pattern = "%Y-%m-%d" if step >= 86_400 else "%Y-%m-%d %H:%M"
    return datetime.fromtimestamp(seconds, UTC).strftime(pattern)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
