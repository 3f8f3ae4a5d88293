"""How a field's bytes become a value: width, range, step and offset, and the marks of GB/T 32960.3.

All bits set means invalid, all but the last abnormal, where the field has such marks. A number outside the standard's
range (also of an enumeration) is kept and marked. Values are raw steps less the offset, over the divisor: one rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["Layout", "Mark", "Value", "byte", "choice", "count", "flags", "number", "word"]

_WIDTHS: Final = (1, 2, 4)


class Mark(StrEnum):
    """What the standard, or its range, says of a value."""

    GOOD = "good"
    INVALID = "invalid"
    ABNORMAL = "abnormal"
    OUTSIDE = "outside"
    """a number that the standard's range does not hold"""


@dataclass(frozen=True, slots=True)
class Value:
    """A decoded field: a number in its unit, or none where the vehicle marked it invalid or abnormal."""

    number: int | float | None
    mark: Mark = Mark.GOOD


@dataclass(frozen=True, slots=True)
class Layout:
    """`low` to `high` are raw steps; the value is (raw - offset) / divisor. Not `marked`: FF and FE are numbers."""

    width: int
    low: int
    high: int
    divisor: int = 1
    offset: int = 0
    marked: bool = True

    def read(self, raw: int) -> Value:
        """The value of a raw number of this width."""
        top = (1 << (8 * self.width)) - 1
        if self.marked and raw >= top - 1:
            return Value(None, Mark.INVALID if raw == top else Mark.ABNORMAL)
        value = raw - self.offset
        shown = value if self.divisor == 1 else value / self.divisor
        return Value(shown, Mark.GOOD if self.low <= raw <= self.high else Mark.OUTSIDE)


def number(width: int, high: int, divisor: int = 1, offset: int = 0, low: int = 0) -> Layout:
    """`width` in bytes: 1, 2 or 4."""
    if width not in _WIDTHS:
        raise ValueError(f"a field has 1, 2 or 4 bytes, not {width}")
    return Layout(width, low, high, divisor, offset)


def byte(high: int, divisor: int = 1, offset: int = 0, low: int = 0) -> Layout:
    return number(1, high, divisor, offset, low)


def word(high: int, divisor: int = 1, offset: int = 0, low: int = 0) -> Layout:
    return number(2, high, divisor, offset, low)


def choice(last: int, low: int = 1) -> Layout:
    """An enumeration of one byte, from `low` to `last`."""
    return Layout(1, low, last)


def count(width: int, high: int, low: int = 0) -> Layout:
    """How many elements follow; marked invalid or abnormal, none do."""
    return Layout(width, low, high)


def flags(width: int, used: int | None = None) -> Layout:
    """Bits, kept as one number. `used`: the highest value without reserved bits."""
    top = (1 << (8 * width)) - 1
    return Layout(width, 0, top if used is None else used, marked=False)
