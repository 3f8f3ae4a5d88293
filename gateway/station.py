"""A battery storage station that does not exist: readings of a day or more, the same for the same seed.

Its thing model is `storage-station-simulator`, so that its readings say what they are wherever they travel. The numbers
hang together as a station's do: state of charge follows power, counters only grow, less comes out than went in.
"""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final, TextIO

from capsule.rows import Reading, Row
from capsule.thing import STORAGE_STATION_SIMULATOR as MODEL

__all__ = ["MODEL", "TIME_COLUMN", "simulate_station", "write_readings"]

TIME_COLUMN: Final = "DateAndTime"

_CAPACITY: Final = 5_000.0  # kWh
_POWER: Final = 2_500.0  # kW
_EFFICIENCY: Final = 0.955  # each way
_STANDBY: Final = 4.0  # kW that the battery itself loses
_DAY: Final = 86_400


def simulate_station(seed: int, start: int, *, seconds: int = _DAY, step: int = 10) -> Iterator[Row]:
    """Rows from `start` (unix seconds) on, one each `step` seconds. Power in kW, positive discharges."""
    chance = random.Random(seed)
    energy = _CAPACITY * chance.uniform(0.28, 0.34)
    charged = chance.uniform(1e6, 2e6)
    discharged = charged * 0.88
    warmth, frequency = 24.0, 50_000.0
    for time in range(start, start + seconds, step):
        hour = time % _DAY / 3600
        frequency += (50_000 - frequency) * 0.02 + chance.gauss(0, 3)
        wanted = _schedule(hour) * _POWER + (50_000 - frequency) * 4 + chance.gauss(0, 6)
        soc = energy / _CAPACITY
        power = max(-_POWER, min(_POWER, wanted))
        if (power > 0 and soc < 0.06) or (power < 0 and soc > 0.94):
            power = 0.0
        hours = step / 3600
        battery = power / _EFFICIENCY if power > 0 else power * _EFFICIENCY
        energy -= (battery + _STANDBY) * hours
        charged += max(-power, 0) * hours
        discharged += max(power, 0) * hours
        ambient = 16 + 6 * math.sin((hour - 9) / 24 * 2 * math.pi)
        warmth += (ambient + 8 + abs(power) / _POWER * 9 - warmth) * step / 7200
        voltage = 640 + 140 * energy / _CAPACITY - battery * 0.004
        yield Row(
            time,
            {
                "P_AC": round(power, 1),
                "Q_AC": round(chance.gauss(0, 8), 1),
                "SOC": round(100 * energy / _CAPACITY, 2),
                "U_DC": round(voltage, 1),
                "I_DC": round(battery * 1000 / voltage, 1),
                "E_charged": round(charged, 3),
                "E_discharged": round(discharged, 3),
                "T_cell_max": round(warmth + 1.5 + abs(chance.gauss(0, 0.2)), 1),
                "T_cell_min": round(warmth - 1.5 - abs(chance.gauss(0, 0.2)), 1),
                "T_ambient": round(ambient + chance.gauss(0, 0.1), 1),
                "Grid_frequency": round(frequency),
                "Mode_PQ": int(power != 0),
                "Alarms": 0,
            },
        )


def write_readings(rows: Iterable[Row], sink: TextIO) -> int:
    """Writes rows as CSV that the agent reads back to equal rows; returns how many. The first row names the columns."""
    writer = csv.writer(sink, lineterminator="\n")
    columns: list[str] | None = None
    count = 0
    for row in rows:
        if columns is None:
            columns = list(row.values)
            writer.writerow([TIME_COLUMN, *columns])
        writer.writerow([_written(row.time), *(row.values.get(column, "") for column in columns)])
        count += 1
    return count


def _written(time: Reading) -> str:
    moment = datetime.fromtimestamp(time, UTC).replace(tzinfo=None)
    return moment.isoformat(" ")


def _schedule(hour: float) -> float:
    """Share of full power: charges at night and at noon, discharges in the morning and in the evening."""
    if 1 <= hour < 3 or 12 <= hour < 13.5:
        return -0.5
    if 7 <= hour < 8.5 or 18 <= hour < 19.5:
        return 0.52
    return 0.0
