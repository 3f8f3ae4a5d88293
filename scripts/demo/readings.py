"""Where the demo's readings come from: a CSV file, or a storage-station simulator that says that it is one."""

from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ReadingsError
from gateway.readings import open_readings

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
    """Reads a CSV file through, before anything is made of it; raises ReadingsError naming line and column."""
    source = open_readings(path)
    times: list[float] = []
    for number, row in enumerate(source.rows(), 2):
        if times and row.time < times[-1]:
            raise ReadingsError(path.name, number, source.time_column, "is earlier than the row before; sort the file")
        times.append(row.time)
    if not times:
        raise ReadingsError(path.name, 2, None, "there is no row of readings under the header")
    step = times[1] - times[0] if len(times) > 1 else 1
    return Readings(path, title or path.stem, source.time_column, source.columns, len(times), float(step), simulated)
