"""Readings from a Parquet file: one column of timestamps, all others numbers; a null or NaN is a missing reading.

A timestamp without a zone is UTC. Whole numbers stay integers, all others are floats; nothing is rounded: a time
between two microseconds is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow
import pyarrow.parquet

from capsule.rows import Reading, Row
from capsule.senml import EARLIEST_TIME, LATEST_TIME
from gateway.errors import ReadingsError

__all__ = ["ParquetReadings", "open_parquet"]

_BATCH_ROWS: Final = 4_096
_MICROSECONDS: Final = 1_000_000
_INT64: Final = 2**63


@dataclass(frozen=True, slots=True)
class ParquetReadings:
    """A Parquet file with good columns."""

    path: Path
    time_column: str
    columns: tuple[str, ...]

    def rows(self) -> Iterator[Row]:
        """The rows in the file's order. Raises ReadingsError at the first fault, naming row and column."""
        number = 0
        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(_BATCH_ROWS):
                    times = batch.column(self.time_column)
                    columns = [batch.column(name).to_pylist() for name in self.columns]
                    for values in zip(self._times(times, number), *columns, strict=True):
                        number += 1
                        yield Row(values[0], self._values(number, values[1:]))
        except (OSError, pyarrow.ArrowException) as exc:
            raise ReadingsError(self.path.name, number + 1, None, f"can't be read: {exc}") from exc

    def _times(self, column: Any, before: int) -> Iterator[Reading]:
        try:
            moments = column.cast(pyarrow.timestamp("us", tz=column.type.tz)).cast(pyarrow.int64()).to_pylist()
        except pyarrow.ArrowInvalid as exc:
            raise ReadingsError(self.path.name, before + 1, self.time_column, f"has times too fine: {exc}") from exc
        for number, moment in enumerate(moments, before + 1):
            if moment is None or not EARLIEST_TIME <= moment / _MICROSECONDS < LATEST_TIME:
                raise ReadingsError(self.path.name, number, self.time_column, "is no time from 1978-07-04 on")
            yield moment / _MICROSECONDS if moment % _MICROSECONDS else moment // _MICROSECONDS

    def _values(self, number: int, values: Sequence[Reading | None]) -> dict[str, Reading]:
        found: dict[str, Reading] = {}
        for name, value in zip(self.columns, values, strict=True):
            if value is None or (isinstance(value, float) and math.isnan(value)):
                continue
            if isinstance(value, float) and math.isinf(value):
                raise ReadingsError(self.path.name, number, name, "is infinite")
            if isinstance(value, int) and not -_INT64 <= value < _INT64:
                raise ReadingsError(self.path.name, number, name, f"{value} does not fit 64 bits")
            found[name] = value
        return found


def open_parquet(path: Path) -> ParquetReadings:
    """Reads the columns. Raises ReadingsError where the file can't be read, has not exactly one column of timestamps,
    or has columns that are no numbers.
    """
    try:
        schema = pyarrow.parquet.read_schema(path)
    except (OSError, pyarrow.ArrowException) as exc:
        raise ReadingsError(path.name, 1, None, f"is no Parquet file that can be read: {exc}") from exc
    times = [field.name for field in schema if pyarrow.types.is_timestamp(field.type)]
    if len(times) != 1:
        raise ReadingsError(path.name, 1, None, f"has {len(times)} columns of timestamps; it takes exactly one")
    for field in schema:
        kind = field.type
        if field.name not in times and not (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)):
            raise ReadingsError(path.name, 1, field.name, f"has values of type {kind}; only numbers are readings")
    columns = tuple(name for name in schema.names if name not in times)
    lowered = [name.lower() for name in columns]
    for name in columns:
        if lowered.count(name.lower()) > 1:
            raise ReadingsError(
                path.name, 1, name, "is there twice; names that differ only in case are the same to SQL"
            )
    if not columns:
        raise ReadingsError(path.name, 1, None, "has no column of readings beside the time")
    return ParquetReadings(path, times[0], columns)
