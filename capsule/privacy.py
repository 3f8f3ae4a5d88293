"""What a private algorithm promises in its manifest: how much it spends of a privacy budget, and what it lets out.

The guarantee is (epsilon, delta)-differential privacy of one answer, for capsules that differ by one row, added or
removed. Each column of the output is the count, a bounded sum, or a key of the groups. Numbers that budgets add up are
whole millionths, so that sums are exact.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from capsule.canonical import Json
from capsule.document import Fields, read_as
from capsule.errors import FormatError, InputError

__all__ = ["MAX_DELTA", "MAX_KEYS", "MIN_DELTA", "NO_EPSILON", "BoundedSum", "Epsilon", "Key", "Privacy"]

MAX_DELTA: Final = 1e-6
"""The most that an answer's guarantee may fail with beyond epsilon: no budget counts it, so it has to be negligible."""
MIN_DELTA: Final = 1e-12
"""Far enough from 0 for doubles to tell the two apart in the tail of the noise."""
MAX_KEYS: Final = 10_000

_EPSILON: Final = re.compile(r"(0|[1-9][0-9]{0,9})(?:\.([0-9]{0,5}[1-9]))?")
_MILLION: Final = 1_000_000
_MOST_MILLIONTHS: Final = 2**53 - 1
_MOST_OF_ONE: Final = 1_000 * _MILLION
# In units of the sum: with 2^31 rows at most, every sum and its noise stay within 64 bits.
_MOST_BOUND: Final = 2**31
_MOST_DECIMALS: Final = 6
_MOST_INTEGER: Final = 2**53 - 1
_MOST_SUMS: Final = 64

Key: TypeAlias = tuple[str | int | bool | None, ...]
"""A group's key: one cell for each key column, None for a missing value."""


@dataclass(frozen=True, slots=True, order=True)
class Epsilon:
    """An amount of privacy budget from 0, in millionths."""

    millionths: int

    def __post_init__(self) -> None:
        if isinstance(self.millionths, bool) or not 0 <= self.millionths <= _MOST_MILLIONTHS:
            raise InputError("an epsilon is from 0 to 2^53 - 1 millionths")

    @classmethod
    def parse(cls, text: str) -> Epsilon:
        """Reads the one form of decimal text, such as 0.5, 1 or 0.000001."""
        match = _EPSILON.fullmatch(text)
        if match is None:
            raise InputError(
                f"{text!r:.40} is no epsilon: a number from 0 with at most six decimals, none of them in vain"
            )
        return cls(int(match[1]) * _MILLION + int((match[2] or "").ljust(6, "0")))

    def __add__(self, other: Epsilon) -> Epsilon:
        return Epsilon(min(self.millionths + other.millionths, _MOST_MILLIONTHS))

    def less(self, spent: Epsilon) -> Epsilon:
        """What is left of a budget; nothing where more is spent."""
        return Epsilon(max(0, self.millionths - spent.millionths))

    def __str__(self) -> str:
        whole, rest = divmod(self.millionths, _MILLION)
        return f"{whole}.{rest:06}".rstrip("0") if rest else str(whole)


NO_EPSILON: Final = Epsilon(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundedSum:
    """A column that sums values clamped to `lower` .. `upper` and rounded to `decimals` places, rows without a value
    counting as 0. Bounds are in the values' own unit."""

    name: str
    lower: int
    upper: int
    decimals: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.decimals <= _MOST_DECIMALS:
            raise InputError(f"a bounded sum has 0 to {_MOST_DECIMALS} decimals")
        if not self.lower < self.upper or self.sensitivity > _MOST_BOUND:
            raise InputError(f"bounds of the sum {self.name} are not in order, or past 2^31 steps of its last decimal")

    @property
    def scale(self) -> int:
        """Steps of the last decimal in one unit."""
        return int(10**self.decimals)

    @property
    def sensitivity(self) -> int:
        """How much one row, added or removed, changes the sum at most, in steps of its last decimal."""
        return max(abs(self.lower), abs(self.upper)) * self.scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """The promise. `count` names the column of COUNT(*), None without one.

    The answer's `epsilon` is shared equally by the count and the sums. `keys` are the groups that the answer has,
    whatever the data; None where the data say it: then a group is let out when its count with noise is past a
    threshold that a single row reaches with a probability of at most `delta`, and the sums of these groups with it.
    """

    epsilon: Epsilon
    count: str | None = None
    sums: tuple[BoundedSum, ...] = ()
    keys: tuple[Key, ...] | None = None
    delta: float | None = None

    def __post_init__(self) -> None:
        if not self.noised or len(self.sums) > _MOST_SUMS or len(set(self.noised)) != len(self.noised):
            raise InputError(f"a private algorithm has a count or at most {_MOST_SUMS} sums, each a column of its own")
        if self.share.millionths == 0 or self.epsilon.millionths > _MOST_OF_ONE:
            raise InputError("a private algorithm's epsilon is at most 1000, and a millionth for each column at least")
        if self.delta is not None and not MIN_DELTA <= self.delta <= MAX_DELTA:
            raise InputError(f"a private algorithm's delta is from {MIN_DELTA} to {MAX_DELTA}")
        if self.delta is not None and (self.count is None or self.keys is not None):
            raise InputError("a delta goes with a count, and with groups that the manifest does not list")
        if self.keys is not None and not 1 <= len(self.keys) <= MAX_KEYS:
            raise InputError(f"a private algorithm lists 1 to {MAX_KEYS} groups")
        if any(type(cell) is int and abs(cell) > _MOST_INTEGER for key in self.keys or () for cell in key):
            raise InputError("a group's whole numbers are within 2^53 - 1")
        # True is not 1 here
        if self.keys is not None and len({_exact(key) for key in self.keys}) != len(self.keys):
            raise InputError("a private algorithm lists each of its groups once")

    @property
    def noised(self) -> tuple[str, ...]:
        """The columns with noise."""
        return (*(() if self.count is None else (self.count,)), *(each.name for each in self.sums))

    @property
    def share(self) -> Epsilon:
        """What each column with noise spends."""
        return Epsilon(self.epsilon.millionths // len(self.noised))

    def to_json(self) -> dict[str, Json]:
        return {
            "epsilon": str(self.epsilon),
            "count": self.count,
            "sums": [
                {"name": each.name, "lower": each.lower, "upper": each.upper, "decimals": each.decimals}
                for each in self.sums
            ],
            "keys": None if self.keys is None else [list(key) for key in self.keys],
            "delta": self.delta,
        }

    @classmethod
    def from_json(cls, document: Json) -> Privacy:
        """Reads the member of a manifest. A member that is not known would change the promise: FormatError."""
        fields = Fields(document, "privacy")
        with read_as("privacy"):
            privacy = cls(
                epsilon=fields.id("epsilon", Epsilon),
                count=None if fields.value("count") is None else fields.text("count"),
                sums=fields.objects("sums", _MOST_SUMS, _sum),
                keys=None if fields.value("keys") is None else _keys(fields.value("keys")),
                delta=None if fields.value("delta") is None else float(fields.number("delta")),
            )
        if fields.unknown():
            raise FormatError("privacy: a member is unknown")
        return privacy


def _exact(key: Key) -> tuple[tuple[type, str | int | bool | None], ...]:
    return tuple((type(cell), cell) for cell in key)


def _sum(fields: Fields) -> BoundedSum:
    bounded = BoundedSum(
        name=fields.text("name"),
        lower=fields.integer("lower", -_MOST_BOUND, _MOST_BOUND),
        upper=fields.integer("upper", -_MOST_BOUND, _MOST_BOUND),
        decimals=fields.integer("decimals", 0, _MOST_DECIMALS),
    )
    if fields.unknown():
        raise FormatError("privacy sums: a member is unknown")
    return bounded


def _keys(value: Json) -> tuple[Key, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > MAX_KEYS:
        raise FormatError(f"privacy: keys is not a list of at most {MAX_KEYS}")
    return tuple(map(_key, value))


def _key(value: Json) -> Key:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise FormatError("privacy: a key is not a list of cells")
    cells = tuple(cell for cell in value if cell is None or isinstance(cell, str | int | bool))
    if len(cells) != len(value):
        raise FormatError("privacy: a key's cells are texts, whole numbers, true, false or null")
    return cells
