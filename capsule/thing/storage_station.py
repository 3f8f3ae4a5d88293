"""A battery storage station: grid connection, counters, power conversion, battery management, state.

Power at the grid connection and of the battery is positive when it discharges. The tolerances leave room for what a
real station's day shows: a unit's management system corrects its state of charge by six points at once, and reports
current and voltage up to a second beside its power, so conversion is judged over an hour and a unit's state of charge
is not held against its power.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from capsule.thing.model import ThingModel
from capsule.thing.physics import Conversion, Efficiency, Order, Physics, Power, Rate, Roles, SocPower
from capsule.thing.schema import Quantity

__all__ = ["STORAGE_STATION", "STORAGE_STATION_SIMULATOR"]

_POWER_KW: Final = 200_000
_COUNTER_KWH_PER_SECOND: Final = _POWER_KW / 3600
_FLAG: Final = "0/1"
_STATION_POWERS: Final = (Power(("P_AC",)), Power(("M5BAT_P",)), Power(("U_DC", "I_DC"), 1e-3))


def _flag(name: str) -> Quantity:
    return Quantity(name, _FLAG, 0, 1, whole=True)


STORAGE_STATION: Final = ThingModel(
    name="storage-station",
    version=2,
    late_after=24 * 3600,
    quantities=(
        # Energy management: power at the grid connection, set points, market.
        Quantity("P_AC", "kW", -_POWER_KW, _POWER_KW),
        Quantity("P_AC_Set", "kW", -_POWER_KW, _POWER_KW),
        Quantity("Q_AC", "kvar", -_POWER_KW, _POWER_KW),
        Quantity("Q_AC_Set", "kvar", -_POWER_KW, _POWER_KW),
        Quantity("M5BAT_P", "kW", -_POWER_KW, _POWER_KW),
        Quantity("M5BAT_Q", "kvar", -_POWER_KW, _POWER_KW),
        Quantity("FCR_P", "kW", -_POWER_KW, _POWER_KW),
        Quantity("FCR_control", "kW", 0, _POWER_KW),
        _flag("FCR_activated"),
        Quantity("SPA_ask_P", "kW", -_POWER_KW, _POWER_KW),
        Quantity("SPA_exec_P", "kW", -_POWER_KW, _POWER_KW),
        Quantity("Grid_frequency", "mHz", 45_000, 65_000),
        Quantity("Power_factor", "1", -1, 1),
        # Energy counters at the grid connection and of the station's own consumption; they only grow.
        Quantity("E_charged", "kWh", 0, 1e12),
        Quantity("E_discharged", "kWh", 0, 1e12),
        Quantity("E_auxiliary", "kWh", 0, 1e12),
        # Power conversion.
        Quantity("U_AC", "V", 0, 60_000),
        Quantity("I_AC", "A", 0, 20_000),
        Quantity("T_converter", "degC", -50, 200),
        # Battery management: the station in percent, a unit's management system in tenths.
        Quantity("SOC", "%", 0, 100),
        Quantity("SOC_batt", "0.1 %", 0, 1_000),
        Quantity("SOH", "%", 0, 110),
        Quantity("U_DC", "V", 0, 3_000),
        Quantity("I_DC", "A", -20_000, 20_000),
        Quantity("U_DC_Batt", "0.1 V", 0, 30_000),
        Quantity("I_DC_Batt", "0.1 A", -200_000, 200_000),
        Quantity("P_charge_max", "kW", 0, _POWER_KW),
        Quantity("P_discharge_max", "kW", 0, _POWER_KW),
        Quantity("U_cell_max", "V", 0, 5),
        Quantity("U_cell_min", "V", 0, 5),
        Quantity("T_cell_max", "degC", -40, 125),
        Quantity("T_cell_min", "degC", -40, 125),
        Quantity("R_insulation", "kOhm", 0, 1e6),
        Quantity("Cycles", "1", 0, 1e6),
        Quantity("T_ambient", "degC", -50, 70),
        Quantity("Temperature", "0.1 degC", -500, 1_250),
        # State: 0 off, 1 standby, 2 charging, 3 discharging, 4 fault, 5 maintenance.
        Quantity("State", "1", 0, 5, whole=True, values=(0, 1, 2, 3, 4, 5)),
        _flag("Mode_PQ"),
        _flag("Mode_Stop"),
        _flag("Mode_Silent"),
        _flag("Mode_Wait"),
        _flag("Fault"),
        _flag("interpolated"),
        Quantity("Alarms", "1", 0, 1e6, whole=True),
        Quantity("Alarm_level", "1", 0, 4, whole=True),
    ),
    physics=Physics(
        gap_seconds=120,
        rates=(
            Rate("SOC", 0.1, 5),
            Rate("SOC_batt", 1, 100),
            Rate("SOH", 0.001, 5),
            Rate("E_charged", _COUNTER_KWH_PER_SECOND, 100, counter=True),
            Rate("E_discharged", _COUNTER_KWH_PER_SECOND, 100, counter=True),
            Rate("E_auxiliary", _COUNTER_KWH_PER_SECOND, 100, counter=True),
            Rate("Cycles", 0.01, 2, counter=True),
            Rate("U_cell_max", 0.2, 0.6),
            Rate("U_cell_min", 0.2, 0.6),
            Rate("T_cell_max", 0.5, 5),
            Rate("T_cell_min", 0.5, 5),
            Rate("T_ambient", 0.2, 10),
            Rate("Temperature", 5, 50),
            Rate("Grid_frequency", 2_000, 500),
        ),
        orders=(Order("U_cell_min", "U_cell_max"), Order("T_cell_min", "T_cell_max")),
        soc_power=(SocPower("SOC", _STATION_POWERS, seconds=3600, points=4, share=0.2),),
        efficiency=(
            Efficiency("SOC", _STATION_POWERS, "E_charged", "E_discharged", seconds=7 * 86_400, points=1, swing=10),
        ),
        conversion=(
            Conversion(Power(("P_AC",)), Power(("U_DC", "I_DC"), 1e-3), seconds=3600, share=0.05, allowance=1),
            Conversion(
                Power(("P_AC",)), Power(("U_DC_Batt", "I_DC_Batt"), 1e-5), seconds=3600, share=0.05, allowance=1
            ),
        ),
    ),
    roles=Roles(
        powers=_STATION_POWERS,
        energy_in="E_charged",
        energy_out="E_discharged",
        soc="SOC",
        voltage=("U_cell_max", "U_cell_min"),
        temperature=("T_cell_max", "T_cell_min"),
        stopped=("Mode_Stop", "Fault"),
        alarms="Alarms",
    ),
)
"""A battery storage station of any size."""

STORAGE_STATION_SIMULATOR: Final = replace(
    STORAGE_STATION, name="storage-station-simulator", late_after=7 * 24 * 3600, capacity=5_000
)
"""The same quantities, made up by a program, days at a time."""
