"""The real data as rows of the models' quantities."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from capsule.rows import Row

DATA = Path(__file__).parents[3].parent / "shared" / "data"

BMW_I3 = {
    "Velocity [km/h]": ("speed_kmh", 1),
    "Throttle [%]": ("accel_pct", 1),
    "Battery Voltage [V]": ("voltage_V", 1),
    "Battery Current [A]": ("current_A", -1),
    "SoC [%]": ("soc_pct", 1),
    "max. Battery Temperature [°C]": ("temperature_max_degC", 1),
}
"""Column: quantity of the electric vehicle, and factor. The source's current is negative when it discharges."""

_TRIP_START = 1_561_000_000


def source(name: str) -> Path:
    path = DATA / name
    if not path.is_file():
        pytest.skip("the real data is not here")
    return path


def station_10s() -> list[Row]:
    with source("m5bat-20230407/station_and_2_units_10s.csv").open(encoding="utf-8-sig", newline="") as text:
        return [
            Row(
                int(datetime.fromisoformat(row.pop("DateAndTime")).replace(tzinfo=UTC).timestamp()),
                {name: int(cell) for name, cell in row.items()},
            )
            for row in csv.DictReader(text)
        ]


def station_1s(every: int = 1) -> list[Row]:
    path = source("m5bat-20230407/bess_battery_together_sample.parquet")
    with duckdb.connect() as connection:
        table = connection.execute(
            "select epoch(__index_level_0__) as time, * exclude (__index_level_0__) from read_parquet(?) order by time",
            [str(path)],
        )
        names = [column[0] for column in table.description or ()]
        return [Row(int(cells[0]), dict(zip(names[1:], cells[1:], strict=True))) for cells in table.fetchall()[::every]]


def vehicle() -> list[Row]:
    """GB/T 32960, one row every 30 s."""
    with source("gbt32960-bev/decoded_realtime.csv").open(encoding="utf-8-sig", newline="") as text:
        return [
            Row(
                int(datetime.fromisoformat(row["time"]).replace(tzinfo=UTC).timestamp()),
                {
                    name: float(cell) if "." in cell else int(cell)
                    for name, cell in row.items()
                    if cell and name not in {"frame_no", "cmd", "vin", "time", "unknown_block"}
                },
            )
            for row in csv.DictReader(text)
        ]


def trip(name: str) -> list[Row]:
    """A BMW i3 trip at 10 Hz."""
    with source(f"bmw-i3-trips/{name}.csv").open(encoding="latin-1", newline="") as text:
        return [
            Row(
                _TRIP_START + float(row["Time [s]"]),
                {quantity: factor * float(row[name]) for name, (quantity, factor) in BMW_I3.items() if row.get(name)},
            )
            for row in csv.DictReader(text, delimiter=";")
        ]
