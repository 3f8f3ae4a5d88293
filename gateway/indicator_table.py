"""A device's hourly indicators out of the store as a table in a file: CSV or Parquet, ready for a capsule."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import astuple
from datetime import UTC, datetime
from enum import StrEnum
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pa_parquet

from capsule.frame import read_frame
from capsule.ids import DeviceId
from capsule.thing import ThingModel
from gateway.checks import read_ranges
from gateway.errors import NotFoundError
from gateway.indicators import COLUMNS, UNITS, Hour, Indicators, Summary
from gateway.store import MarkRow, Records, Store

__all__ = ["TableFormat", "write_indicators"]

_DIGITS: Final = 9
_COUNTS: Final = frozenset({"rows", "readings", "marked_readings"})
_HOURS_AT_ONCE: Final = 4096


class TableFormat(StrEnum):
    """What a table is written as."""

    CSV = "csv"
    PARQUET = "parquet"


def write_indicators(
    store: Store,
    device: DeviceId,
    model: ThingModel,
    sink: IO[bytes],
    written_as: TableFormat,
    *,
    start: float | None = None,
    end: float | None = None,
    capacity: float | None = None,
) -> Summary:
    """Writes the hours of `device` with rows from `start` (inclusive) to `end` (exclusive), in unix seconds.

    `capacity`: its nominal energy in kWh, where the model has none. Raises NotFoundError where there are no rows.
    """
    indicators = Indicators(device, model, capacity)
    with store.reading() as records:
        count, first, last = records.span(device, start, end)
        if not count or first is None or last is None:
            raise NotFoundError("frame in that period of device", device)
        hours = _hours(records, indicators, device, (first, last), (start, end))
        if written_as is TableFormat.CSV:
            _write_csv(hours, sink)
        else:
            _write_parquet(hours, sink)
    return indicators.summary


def _hours(
    records: Records,
    indicators: Indicators,
    device: DeviceId,
    sequences: tuple[int, int],
    period: tuple[float | None, float | None],
) -> Iterator[Hour]:
    start, end = period
    marks = records.marks(device, *sequences)
    mark = next(marks, None)
    for frame in records.frames_between(device, *sequences):
        marked: dict[int, set[str]] = {}
        while mark is not None and mark.sequence <= frame.sequence:
            _note(marked, mark)
            mark = next(marks, None)
        content = read_frame(frame.data).content_unverified()  # verified when it came in
        for place, row in enumerate(content.rows):
            if (start is None or row.time >= start) and (end is None or row.time < end):
                yield from indicators.add(row, marked.get(place, ()))
    yield from indicators.finish()


def _note(marked: dict[int, set[str]], mark: MarkRow) -> None:
    for place in read_ranges(mark.rows):
        marked.setdefault(place, set()).add(mark.column)


def _write_csv(hours: Iterator[Hour], sink: IO[bytes]) -> None:
    text = io.TextIOWrapper(sink, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for hour in hours:
        moment = datetime.fromtimestamp(hour.time, UTC).replace(tzinfo=None)
        writer.writerow([moment.isoformat(" "), *("" if cell is None else cell for cell in _cells(hour)[1:])])
    text.detach()


def _write_parquet(hours: Iterator[Hour], sink: IO[bytes]) -> None:
    schema = pa.schema([_field(name) for name in COLUMNS])
    with pa_parquet.ParquetWriter(sink, schema) as writer:
        group: list[list[Any]] = []
        for hour in hours:
            group.append(_cells(hour))
            if len(group) >= _HOURS_AT_ONCE:
                writer.write_table(_table(group, schema))
                group = []
        writer.write_table(_table(group, schema))


def _field(name: str) -> pa.Field:
    kinds = {"time": pa.timestamp("s"), "device": pa.string()} | dict.fromkeys(_COUNTS, pa.int64())
    unit = UNITS.get(name)
    return pa.field(name, kinds.get(name, pa.float64()), metadata={"unit": unit} if unit else None)


def _table(group: list[list[Any]], schema: pa.Schema) -> pa.Table:
    columns = zip(*group, strict=True) if group else ([] for _ in COLUMNS)
    return pa.table(
        [pa.array(cells, type=kind) for cells, kind in zip(columns, schema.types, strict=True)], schema=schema
    )


def _cells(hour: Hour) -> list[Any]:
    """By column; the device as text, floats to nine digits."""
    cells = [round(cell, _DIGITS) if isinstance(cell, float) else cell for cell in astuple(hour)]
    cells[1] = str(hour.device)
    return cells
