"""Thing models: what the readings of a kind of device are called, their units and their possible range.

Units are labels; values are never converted. A reading outside its range is kept and marked, never dropped. A column
that a model doesn't know has no unit and any value passes. The hash of a model stands on chain with each device.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from capsule.canonical import Json
from capsule.digest import document_digest
from capsule.ids import Digest
from capsule.senml import Reading

__all__ = ["ELECTRIC_VEHICLE", "MODELS", "STORAGE_STATION", "STORAGE_STATION_SIMULATOR", "Quantity", "ThingModel"]

_UNIT_NAME: Final = re.compile(r"_?[A-Za-z]*[0-9]+")


@dataclass(frozen=True, slots=True)
class Quantity:
    """One column: its unit, and its least and greatest possible value in that unit."""

    name: str
    unit: str
    low: float
    high: float

    def to_json(self) -> Json:
        return {"name": self.name, "unit": self.unit, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class ThingModel:
    """A kind of device. Readings that arrive more than `late_after` seconds after their time are `late`."""

    name: str
    version: int
    late_after: int
    quantities: tuple[Quantity, ...]

    def to_json(self) -> Json:
        return {
            "kind": "dataspace/thing-model",
            "version": 1,
            "name": self.name,
            "model_version": self.version,
            "late_after": self.late_after,
            "quantities": [quantity.to_json() for quantity in self.quantities],
        }

    @property
    def hash(self) -> Digest:
        return document_digest("thing-model", self.to_json())

    def quantity(self, column: str) -> Quantity | None:
        """The quantity of a column. "P_AC" is also that of "P_AC_batt10": a unit's column ends with the unit's name."""
        named = [quantity for quantity in self.quantities if _is_of(column, quantity.name)]
        return max(named, key=lambda quantity: len(quantity.name), default=None)

    def unit(self, column: str) -> str:
        """The unit's label, or "" where the model knows none."""
        quantity = self.quantity(column)
        return "" if quantity is None else quantity.unit

    def out_of_range(self, values: Mapping[str, Reading]) -> tuple[str, ...]:
        """The columns whose value can't be."""
        known = ((column, value, self.quantity(column)) for column, value in values.items())
        return tuple(
            column
            for column, value, quantity in known
            if quantity is not None and not quantity.low <= value <= quantity.high
        )


def _is_of(column: str, name: str) -> bool:
    return column == name or (column.startswith(name) and _UNIT_NAME.fullmatch(column, len(name)) is not None)


STORAGE_STATION: Final = ThingModel(
    name="storage-station",
    version=1,
    late_after=24 * 3600,
    quantities=(
        # Power at the grid connection: positive discharges, negative charges.
        Quantity("P_AC", "kW", -200_000, 200_000),
        Quantity("P_AC_Set", "kW", -200_000, 200_000),
        Quantity("Q_AC", "kvar", -200_000, 200_000),
        Quantity("Q_AC_Set", "kvar", -200_000, 200_000),
        Quantity("M5BAT_P", "kW", -200_000, 200_000),
        Quantity("M5BAT_Q", "kvar", -200_000, 200_000),
        Quantity("FCR_P", "kW", -200_000, 200_000),
        Quantity("FCR_control", "kW", 0, 200_000),
        Quantity("FCR_activated", "0/1", 0, 1),
        Quantity("SPA_ask_P", "kW", -200_000, 200_000),
        Quantity("SPA_exec_P", "kW", -200_000, 200_000),
        Quantity("Grid_frequency", "mHz", 45_000, 65_000),
        # Energy counters at the grid connection; they only grow.
        Quantity("E_charged", "kWh", 0, 1e12),
        Quantity("E_discharged", "kWh", 0, 1e12),
        # Battery: station in percent, a unit's management system in tenths.
        Quantity("SOC", "%", 0, 100),
        Quantity("SOC_batt", "0.1 %", 0, 1_000),
        Quantity("SOH", "%", 0, 110),
        Quantity("U_DC", "V", 0, 3_000),
        Quantity("I_DC", "A", -20_000, 20_000),
        Quantity("U_DC_Batt", "0.1 V", 0, 30_000),
        Quantity("I_DC_Batt", "0.1 A", -200_000, 200_000),
        Quantity("U_cell_max", "V", 0, 5),
        Quantity("U_cell_min", "V", 0, 5),
        Quantity("T_cell_max", "degC", -40, 125),
        Quantity("T_cell_min", "degC", -40, 125),
        Quantity("T_ambient", "degC", -50, 70),
        Quantity("Temperature", "0.1 degC", -500, 1_250),
        # State.
        Quantity("Mode_PQ", "0/1", 0, 1),
        Quantity("Mode_Stop", "0/1", 0, 1),
        Quantity("Mode_Silent", "0/1", 0, 1),
        Quantity("Mode_Wait", "0/1", 0, 1),
        Quantity("interpolated", "0/1", 0, 1),
        Quantity("Alarms", "1", 0, 1e6),
    ),
)
"""A battery storage station: grid connection, counters, battery management, state."""

STORAGE_STATION_SIMULATOR: Final = replace(STORAGE_STATION, name="storage-station-simulator", late_after=7 * 24 * 3600)
"""The same quantities, made up by a program, days at a time."""

ELECTRIC_VEHICLE: Final = ThingModel(
    name="electric-vehicle",
    version=1,
    late_after=7 * 24 * 3600,
    quantities=(
        # GB/T 32960.3, vehicle data; ranges cover the editions of 2016 and 2025.
        Quantity("vehicle_state", "1", 1, 3),
        Quantity("charge_state", "1", 1, 4),
        Quantity("run_mode", "1", 1, 3),
        Quantity("speed_kmh", "km/h", 0, 500),
        Quantity("mileage_km", "km", 0, 999_999.9),
        Quantity("voltage_V", "V", 0, 2_000),
        Quantity("current_A", "A", -3_000, 3_000),
        Quantity("soc_pct", "%", 0, 100),
        Quantity("dcdc", "1", 1, 2),
        Quantity("insulation_kohm", "kOhm", 0, 60_000),
        Quantity("accel_pct", "%", 0, 100),
        Quantity("brake_pct", "%", 0, 101),
        Quantity("lon_deg", "deg", -180, 180),
        Quantity("lat_deg", "deg", -90, 90),
        Quantity("max_alarm_level", "1", 0, 4),
        Quantity("pack_V", "V", 0, 2_000),
        Quantity("pack_A", "A", -3_000, 3_000),
        Quantity("cell_voltage_max_V", "V", 0, 60),
        Quantity("cell_voltage_min_V", "V", 0, 60),
        Quantity("temperature_max_degC", "degC", -40, 210),
        Quantity("temperature_min_degC", "degC", -40, 210),
    ),
)
"""An electric vehicle as GB/T 32960.3 reports it."""

MODELS: Final[Mapping[Digest, ThingModel]] = {
    model.hash: model for model in (STORAGE_STATION, STORAGE_STATION_SIMULATOR, ELECTRIC_VEHICLE)
}
"""The models that this version knows, by their hash on chain."""
