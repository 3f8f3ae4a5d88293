"""Readings from a CSV file: first column time, all others numbers, an empty cell is a missing reading.

UTF-8 with or without a byte order mark and commas, unless told otherwise; one header line. A time is ISO 8601 (UTC
unless it names an offset) or unix seconds. A whole number stays an integer, anything with a point or exponent is a
float; nothing else is a number.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from capsule.errors import InputError
from capsule.ids import DeviceId
from capsule.rows import Reading, Row
from capsule.senml import EARLIEST_TIME, LATEST_TIME, pack_rows
from gateway.errors import CallerError, ReadingsError

__all__ = ["ReadingsFile", "open_readings", "parse_time"]

_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_MAX_DIGITS: Final = 20
_INT64: Final = 2**63


@dataclass(frozen=True, slots=True)
class ReadingsFile:
    """A CSV file with a good header. `origin`: seconds added to times that are plain numbers."""

    path: Path
    time_column: str
    columns: tuple[str, ...]
    origin: int
    delimiter: str = ","
    encoding: str = "utf-8-sig"

    def rows(self) -> Iterator[Row]:
        """The rows in the file's order. Raises ReadingsError at the first fault, naming line and column."""
        for number, (line, cells) in enumerate(_lines(self.path, self.delimiter, self.encoding)):
            if number > 0 and cells:
                yield self._row(line, cells)

    def _row(self, line: int, cells: list[str]) -> Row:
        name = self.path.name
        if len(cells) != len(self.columns) + 1:
            raise ReadingsError(name, line, None, f"has {len(cells)} cells, the header names {len(self.columns) + 1}")
        try:
            time = parse_time(cells[0], self.origin)
        except ValueError as exc:
            raise ReadingsError(name, line, self.time_column, str(exc)) from exc
        values: dict[str, Reading] = {}
        for column, cell in zip(self.columns, cells[1:], strict=True):
            text = cell.strip()
            if text:
                try:
                    values[column] = _number(text)
                except ValueError as exc:
                    raise ReadingsError(name, line, column, str(exc)) from exc
        return Row(time, values)


def open_readings(path: Path, *, origin: int = 0, delimiter: str = ",", encoding: str = "utf-8-sig") -> ReadingsFile:
    """Reads the header. Raises ReadingsError where the file can't be read or its header names no columns, CallerError
    for a delimiter or an encoding that is none.
    """
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise CallerError(f"{delimiter!r:.20} separates no cells; give one character, such as , or ;")
    try:
        "".encode(encoding)  # codecs.lookup would take those that are no text
    except LookupError as exc:
        raise CallerError(f"there is no encoding {encoding!r:.40}; try utf-8, latin-1 or gb18030") from exc
    with closing(_lines(path, delimiter, encoding)) as lines:
        _, header = next(lines, (1, []))
    names = [name.strip() for name in header]
    if len(names) < 2:
        raise ReadingsError(
            path.name,
            1,
            None,
            "names a time column and at least one other, separated by "
            f"{'commas' if delimiter == ',' else repr(delimiter)}",
        )
    for place, name in enumerate(names, 1):
        if not name:
            raise ReadingsError(path.name, 1, None, f"column {place} has no name")
    lowered = [name.lower() for name in names]
    for name in names:
        if lowered.count(name.lower()) > 1:
            raise ReadingsError(
                path.name, 1, name, "is named twice; names that differ only in case are the same to SQL"
            )
    if all(_DECIMAL.fullmatch(name) for name in names[1:]):
        raise ReadingsError(path.name, 1, None, "is a row of readings; the first line names the columns")
    try:
        pack_rows(DeviceId(bytes(32)), [Row(EARLIEST_TIME, dict.fromkeys(names[1:], 0))], {})
    except InputError as exc:
        raise ReadingsError(path.name, 1, None, str(exc)) from exc
    return ReadingsFile(path, names[0], tuple(names[1:]), origin, delimiter, encoding)


def parse_time(text: str, origin: int = 0) -> Reading:
    """Unix seconds of an ISO 8601 time or of plain seconds. Raises ValueError with the reason."""
    text = text.strip()
    if _DECIMAL.fullmatch(text):
        time = _number(text) + origin
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as exc:
            raise ValueError(f"{text!r:.40} is no time (YYYY-MM-DD HH:MM:SS or unix seconds)") from exc
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = moment.timestamp()
        time = seconds if moment.microsecond else int(seconds)
    if not EARLIEST_TIME <= time < LATEST_TIME:
        raise ValueError(f"{text!r:.40} is not between 1978-07-04 and the year 9999; give plain seconds an origin")
    return time


def _number(text: str) -> Reading:
    if _INTEGER.fullmatch(text):
        value = int(text) if len(text) <= _MAX_DIGITS else _INT64
        if not -_INT64 <= value < _INT64:
            raise ValueError(f"{text!r:.40} does not fit 64 bits")
        return value
    if _DECIMAL.fullmatch(text):
        number = float(text)
        if math.isfinite(number):
            return number
        raise ValueError(f"{text!r:.40} is too large")
    raise ValueError(f"{text!r:.40} is no number")


def _lines(path: Path, delimiter: str, encoding: str) -> Generator[tuple[int, list[str]], None, None]:
    """Number and cells of each line. Faults of the file, its encoding and its CSV are ReadingsError."""
    line = 0
    try:
        with path.open(newline="", encoding=encoding) as text:
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            for cells in reader:
                line = reader.line_num
                yield line, cells
    except OSError as exc:
        raise ReadingsError(path.name, None, None, f"can't be read: {exc.strerror}; check the path") from exc
    except UnicodeDecodeError as exc:
        raise ReadingsError(
            path.name,
            line + 1,
            None,
            f"is not {'UTF-8' if encoding == 'utf-8-sig' else encoding}; convert the file first, or name its encoding",
        ) from exc
    except csv.Error as exc:
        raise ReadingsError(path.name, line + 1, None, f"is no CSV: {exc}") from exc
