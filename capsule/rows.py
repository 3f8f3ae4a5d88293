"""Rows of readings as values: one by one, or by column where all of them have the same columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias, overload

__all__ = ["Reading", "RegularRows", "Row", "times_of"]

Reading: TypeAlias = int | float


class Row(NamedTuple):
    """One moment of a device: time in unix seconds, and its readings by column name. Missing readings are absent."""

    time: Reading
    values: Mapping[str, Reading]


class RegularRows(Sequence[Row]):
    """Rows that all have the same columns in the same order, kept by column; each is made when it is asked for.

    `times` and every one of `columns` have one value for each row. Equal to any sequence of the same rows.
    """

    __slots__ = ("columns", "times")

    def __init__(self, times: tuple[Reading, ...], columns: Mapping[str, tuple[Reading, ...]]) -> None:
        self.times = times
        self.columns = columns

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[Row]:
        names = tuple(self.columns)
        for time, *values in zip(self.times, *self.columns.values(), strict=True):
            yield Row(time, dict(zip(names, values, strict=True)))

    @overload
    def __getitem__(self, at: int) -> Row: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[Row, ...]: ...

    def __getitem__(self, at: int | slice) -> Row | tuple[Row, ...]:
        if isinstance(at, slice):
            return tuple(self)[at]
        return Row(self.times[at], {name: values[at] for name, values in self.columns.items()})

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Sequence) else NotImplemented

    def __repr__(self) -> str:
        return repr(tuple(self))

    __hash__ = None  # type: ignore[assignment]  # rows hold mappings


def times_of(rows: Sequence[Row]) -> Sequence[Reading]:
    """The rows' times in their order."""
    return rows.times if isinstance(rows, RegularRows) else [row.time for row in rows]
