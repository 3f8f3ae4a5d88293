"""An electric vehicle as GB/T 32960.3 reports it; ranges cover the editions of 2016 and 2025.

Current is positive when the battery discharges, so that voltage times current is power as everywhere here. Motors,
packs and cells are numbered where there are several: `motor2_rpm`, `pack_cell17_V`.
"""

from __future__ import annotations

from typing import Final

from capsule.thing.model import ThingModel
from capsule.thing.physics import Efficiency, Order, Physics, Power, Rate, Roles, SocPower
from capsule.thing.schema import Quantity

__all__ = ["ELECTRIC_VEHICLE"]

_BATTERY: Final = (Power(("voltage_V", "current_A"), 1e-3), Power(("pack#_V", "pack#_A"), 1e-3))

ELECTRIC_VEHICLE: Final = ThingModel(
    name="electric-vehicle",
    version=2,
    late_after=7 * 24 * 3600,
    quantities=(
        # Whole vehicle.
        Quantity("vehicle_state", "1", 1, 3, whole=True),
        Quantity("charge_state", "1", 1, 4, whole=True),
        Quantity("run_mode", "1", 1, 3, whole=True),
        Quantity("speed_kmh", "km/h", 0, 500),
        Quantity("mileage_km", "km", 0, 999_999.9),
        Quantity("voltage_V", "V", 0, 6_000),
        Quantity("current_A", "A", -3_000, 3_000),
        Quantity("soc_pct", "%", 0, 100),
        Quantity("dcdc", "1", 1, 2, whole=True),
        Quantity("gear_byte", "1", 0, 255, whole=True),
        Quantity("insulation_kohm", "kOhm", 0, 60_000),
        Quantity("accel_pct", "%", 0, 100),
        Quantity("brake_pct", "%", 0, 101),
        # Drive motors.
        Quantity("motors", "1", 1, 253, whole=True),
        Quantity("motor#_number", "1", 1, 253, whole=True),
        Quantity("motor#_state", "1", 1, 4, whole=True),
        Quantity("motor#_controller_degC", "degC", -40, 210),
        Quantity("motor#_rpm", "r/min", -32_000, 45_531),
        Quantity("motor#_torque_Nm", "N.m", -20_000, 20_000),
        Quantity("motor#_degC", "degC", -40, 210),
        Quantity("motor#_V", "V", 0, 6_000),
        Quantity("motor#_A", "A", -1_000, 1_000),
        # Engine, fuel cell, hydrogen.
        Quantity("engine_state", "1", 1, 2, whole=True),
        Quantity("engine_rpm", "r/min", 0, 60_000),
        Quantity("engine_consumption_l_100km", "l/100km", 0, 600),
        Quantity("fc_V", "V", 0, 2_000),
        Quantity("fc_A", "A", 0, 2_000),
        Quantity("fc_consumption_kg_100km", "kg/100km", 0, 600),
        Quantity("fc_probe#_degC", "degC", -40, 200),
        Quantity("fc_dcdc", "1", 1, 2, whole=True),
        Quantity("fc_dcdc_degC", "degC", -40, 210),
        Quantity("hydrogen_max_degC", "degC", -40, 210),
        Quantity("hydrogen_max_mg_kg", "mg/kg", 0, 60_000),
        Quantity("hydrogen_max_pct", "%", 0, 6),
        Quantity("hydrogen_max_MPa", "MPa", 0, 100),
        Quantity("hydrogen_left_pct", "%", 0, 100),
        Quantity("stack#_V", "V", 0, 2_000),
        Quantity("stack#_A", "A", 0, 2_000),
        Quantity("stack#_hydrogen_kPa", "kPa", -100, 400),
        Quantity("stack#_air_kPa", "kPa", -100, 400),
        Quantity("stack#_air_degC", "degC", -40, 210),
        Quantity("stack#_probe#_degC", "degC", -40, 210),
        # Position.
        Quantity("pos_flag", "1", 0, 7, whole=True),
        Quantity("coordinate_system", "1", 1, 3, whole=True),
        Quantity("lon_deg", "deg", -180, 180),
        Quantity("lat_deg", "deg", -90, 90),
        # Alarms.
        Quantity("max_alarm_level", "1", 0, 4, whole=True),
        Quantity("general_alarm_bits", "1", 0, 2**32 - 1, whole=True),
        Quantity("alarm#_bit", "1", 0, 27, whole=True),
        Quantity("alarm#_level", "1", 0, 4, whole=True),
        # Rechargeable storage.
        Quantity("packs", "1", 1, 250, whole=True),
        Quantity("pack#_V", "V", 0, 6_000),
        Quantity("pack#_A", "A", -3_000, 3_000),
        Quantity("cells#", "1", 1, 65_531, whole=True),
        Quantity("pack#_cell#_V", "V", 0, 60),
        Quantity("temp_probes#", "1", 1, 65_531, whole=True),
        Quantity("pack#_probe#_degC", "degC", -40, 210),
        Quantity("cell_voltage_max_V", "V", 0, 15),
        Quantity("cell_voltage_min_V", "V", 0, 15),
        Quantity("temperature_max_degC", "degC", -40, 210),
        Quantity("temperature_min_degC", "degC", -40, 210),
        # Supercapacitor.
        Quantity("capacitor_V", "V", 0, 1_000),
        Quantity("capacitor_A", "A", -3_000, 3_000),
        Quantity("capacitor_cell#_V", "V", 0, 60),
        Quantity("capacitor_probe#_degC", "degC", -40, 210),
        Quantity("capacitor_voltage_max_V", "V", 0, 60),
        Quantity("capacitor_voltage_min_V", "V", 0, 60),
        Quantity("capacitor_temperature_max_degC", "degC", -40, 210),
        Quantity("capacitor_temperature_min_degC", "degC", -40, 210),
    ),
    physics=Physics(
        gap_seconds=120,
        rates=(
            Rate("speed_kmh", 60, 10),
            Rate("mileage_km", 0.14, 2, counter=True),
            Rate("soc_pct", 0.2, 5),
            Rate("motor#_degC", 10, 20),
            Rate("motor#_controller_degC", 10, 20),
            Rate("temperature_max_degC", 1, 10),
            Rate("temperature_min_degC", 1, 10),
            Rate("lon_deg", 0.01, 0.1),
            Rate("lat_deg", 0.002, 0.05),
        ),
        orders=(
            Order("cell_voltage_min_V", "cell_voltage_max_V"),
            Order("temperature_min_degC", "temperature_max_degC"),
            Order("capacitor_voltage_min_V", "capacitor_voltage_max_V"),
            Order("capacitor_temperature_min_degC", "capacitor_temperature_max_degC"),
        ),
        soc_power=(SocPower("soc_pct", _BATTERY, seconds=900, points=3, share=0.2),),
        efficiency=(Efficiency("soc_pct", _BATTERY, "", "", seconds=7 * 86_400, points=1, swing=10),),
    ),
    roles=Roles(
        powers=_BATTERY,
        soc="soc_pct",
        voltage=("cell_voltage_max_V", "cell_voltage_min_V"),
        temperature=("temperature_max_degC", "temperature_min_degC"),
        alarms="max_alarm_level",
    ),
)
"""An electric vehicle."""
