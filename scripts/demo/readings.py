"""Where the demo's readings come from: a CSV file, or a storage-station simulator that says that it is one."""

import csv
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from node.errors import InputRefusedError

__all__ = ["Readings", "readings_from_csv"]


@dataclass(frozen=True, slots=True)
class Readings:
    """A CSV file, first column time, others numeric; `step_seconds` lies between its first two rows."""

    path: Path
    title: str
    time_column: str
    columns: tuple[str, ...]
    rows: int
    step_seconds: float
    simulated: bool


def readings_from_csv(path: Path, *, title: str = "", simulated: bool = False) -> Readings:
    """Looks at a CSV file; its rows are read and checked by the device agent. Raises InputRefusedError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as text:
            rows = csv.reader(text)
            header = next(rows, [])
            times = [row[0] for row in rows if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputRefusedError(f"{path} can't be read as CSV in UTF-8: {error}") from error
    if len(header) < 2 or not times:
        raise InputRefusedError(f"{path} needs a time column, at least one other column, and a row")
    step = 1.0
    if len(times) > 1:
        step = max(1.0, _seconds(path, 3, times[1]) - _seconds(path, 2, times[0]))
    return Readings(path, title or path.stem, header[0], tuple(header[1:]), len(times), step, simulated)


def _seconds(path: Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputRefusedError(f"{path.name} line {line}: {text[:40]!r} is no time; correct the file") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
