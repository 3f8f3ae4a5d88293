"""The information items of real-time data as tables, the editions of 2016 and 2025 side by side.

A line is: column, unit, layout of 2016, layout of 2025; None where the edition has no such field. The order of lines is
the order of bytes in both. In a list's columns {n} is the element's number from the second on and empty for the first
(`pack_V`, `pack2_V`); {m} is the number always (`pack_cell17_V`).

GB/T 32960.3-2016, tables 9 to 19 and B.4 to B.8; GB/T 32960.3-2025, tables 9 to 27. The layouts of 2025 come from a
transcription of the standard, and agree with two codecs that others wrote independently of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from gateway.gbt32960.fields import Layout, byte, choice, count, flags, number, word
from gateway.gbt32960.frame import Edition

__all__ = ["ITEMS", "SIGNATURE_TYPE", "Item", "Line", "Part", "Repeat", "item_of", "reserved_name"]

SIGNATURE_TYPE: Final = 0xFF
"""Opens the signature record, edition of 2025."""


@dataclass(frozen=True, slots=True)
class Line:
    """A field: one column."""

    column: str
    unit: str
    e2016: Layout | None
    e2025: Layout | None

    def layout(self, edition: Edition) -> Layout | None:
        return self.e2016 if edition is Edition.E2016 else self.e2025


@dataclass(frozen=True, slots=True)
class Repeat:
    """A count, which is a column of its own, and so many elements.

    `first_number`: the column that says which number the first element has; else 1.
    """

    counted: Line
    parts: tuple[Part, ...]
    first_number: str | None = None

    @property
    def numbered(self) -> str:
        """Which of the two numbers in a column is the element's."""
        return "m" if any("{m}" in part.column for part in self.parts if isinstance(part, Line)) else "n"


Part: TypeAlias = "Line | Repeat"


@dataclass(frozen=True, slots=True)
class Item:
    """An information item: its type in each edition, and its parts."""

    name: str
    type_2016: int | None
    type_2025: int | None
    parts: tuple[Part, ...]

    def type(self, edition: Edition) -> int | None:
        return self.type_2016 if edition is Edition.E2016 else self.type_2025


def _same(column: str, unit: str, layout: Layout) -> Line:
    return Line(column, unit, layout, layout)


def _codes(kind: str) -> Repeat:
    """A vendor's fault codes."""
    return Repeat(
        Line(f"{kind}_faults", "1", count(1, 252), count(1, 253)),
        (_same(f"{kind}_fault{{m}}_code", "1", flags(4)),),
    )


_DEGREES: Final = byte(250, offset=40)
_CURRENT_2016: Final = word(20_000, 10, 10_000)  # -1000 A to 1000 A
_CURRENT_2025: Final = word(60_000, 10, 30_000)  # -3000 A to 3000 A
_CELL: Final = word(60_000, 1_000)
_SENSOR: Final = byte(253, low=1)
_MILLIONTHS: Final = 1_000_000

VEHICLE: Final = Item(
    "vehicle",
    0x01,
    0x01,
    (
        _same("vehicle_state", "1", choice(3)),
        _same("charge_state", "1", choice(4)),
        _same("run_mode", "1", choice(3)),
        Line("speed_kmh", "km/h", word(2_200, 10), word(5_000, 10)),
        _same("mileage_km", "km", number(4, 9_999_999, 10)),
        Line("voltage_V", "V", word(10_000, 10), word(60_000, 10)),
        Line("current_A", "A", _CURRENT_2016, _CURRENT_2025),
        _same("soc_pct", "%", byte(100)),
        _same("dcdc", "1", choice(2)),
        Line("gear_byte", "1", flags(1, 0x3F), flags(1, 0xBF)),
        _same("insulation_kohm", "kOhm", word(60_000)),
        Line("accel_pct", "%", byte(100), None),
        Line("brake_pct", "%", byte(101), None),
    ),
)

MOTORS: Final = Item(
    "drive motors",
    0x02,
    0x02,
    (
        Repeat(
            _same("motors", "1", count(1, 253, 1)),
            (
                _same("motor{n}_number", "1", _SENSOR),
                _same("motor{n}_state", "1", choice(4)),
                _same("motor{n}_controller_degC", "degC", _DEGREES),
                Line("motor{n}_rpm", "r/min", word(65_531, offset=20_000), word(65_531, offset=32_000)),
                Line("motor{n}_torque_Nm", "N.m", word(65_531, 10, 20_000), number(4, 400_000, 10, 200_000)),
                _same("motor{n}_degC", "degC", _DEGREES),
                Line("motor{n}_V", "V", word(60_000, 10), None),
                Line("motor{n}_A", "A", _CURRENT_2016, None),
            ),
        ),
    ),
)

FUEL_CELL: Final = Item(
    "fuel cell and hydrogen",
    0x03,
    0x03,
    (
        Line("fc_V", "V", word(20_000, 10), None),
        Line("fc_A", "A", word(20_000, 10), None),
        Line("fc_consumption_kg_100km", "kg/100km", word(60_000, 100), None),
        Repeat(
            Line("fc_probes", "1", count(2, 65_531), None),
            (Line("fc_probe{m}_degC", "degC", byte(240, offset=40), None),),
        ),
        Line("hydrogen_max_degC", "degC", word(2_400, 10, 400), word(250, offset=40)),
        Line("hydrogen_max_degC_probe", "1", byte(252, low=1), _SENSOR),
        Line("hydrogen_max_mg_kg", "mg/kg", word(60_000), None),
        Line("hydrogen_max_pct", "%", None, word(60_000, 10_000)),
        Line("hydrogen_concentration_sensor", "1", byte(252, low=1), _SENSOR),
        _same("hydrogen_max_MPa", "MPa", word(1_000, 10)),
        Line("hydrogen_pressure_sensor", "1", byte(252, low=1), _SENSOR),
        _same("fc_dcdc", "1", choice(2)),
        Line("hydrogen_left_pct", "%", None, byte(100)),
        Line("fc_dcdc_degC", "degC", None, _DEGREES),
    ),
)

ENGINE: Final = Item(
    "engine",
    0x04,
    0x04,
    (
        Line("engine_state", "1", choice(2), None),
        _same("engine_rpm", "r/min", word(60_000)),
        Line("engine_consumption_l_100km", "l/100km", word(60_000, 100), None),
    ),
)

POSITION: Final = Item(
    "position",
    0x05,
    0x05,
    (
        _same("pos_flag", "1", flags(1, 0x07)),
        Line("coordinate_system", "1", None, choice(3)),
        _same("lon_deg", "deg", number(4, 180 * _MILLIONTHS, _MILLIONTHS)),
        _same("lat_deg", "deg", number(4, 90 * _MILLIONTHS, _MILLIONTHS)),
    ),
)

EXTREMES: Final = Item(
    "extremes",
    0x06,
    None,
    tuple(
        Line(column, unit, layout, None)
        for kind, unit, layout in (("cell_voltage", "V", word(15_000, 1_000)), ("temperature", "degC", _DEGREES))
        for end in ("max", "min")
        for column, unit, layout in (
            (f"{kind}_{end}_pack", "1", byte(250, low=1)),
            (f"{kind}_{end}_number", "1", byte(250, low=1)),
            (f"{kind}_{end}_{unit}", unit, layout),
        )
    ),
)

ALARMS: Final = Item(
    "alarms",
    0x07,
    0x06,
    (
        Line("max_alarm_level", "1", choice(3, 0), choice(4, 0)),
        Line("general_alarm_bits", "1", flags(4, (1 << 19) - 1), flags(4, (1 << 28) - 1)),
        _codes("battery"),
        _codes("motor"),
        _codes("engine"),
        _codes("other"),
        Repeat(
            Line("alarms", "1", None, count(1, 253)),
            (Line("alarm{m}_bit", "1", None, choice(27, 0)), Line("alarm{m}_level", "1", None, choice(4, 0))),
        ),
    ),
)

CELLS: Final = Item(
    "cell voltages",
    0x08,
    0x07,
    (
        Repeat(
            Line("packs", "1", count(1, 250, 1), count(1, 50)),
            (
                Line("pack{n}_number", "1", byte(250, low=1), byte(50, low=1)),
                Line("pack{n}_V", "V", word(10_000, 10), word(60_000, 10)),
                Line("pack{n}_A", "A", _CURRENT_2016, _CURRENT_2025),
                Line("cells{n}", "1", word(65_531, low=1), None),
                Line("first_cell{n}", "1", word(65_531, low=1), None),
                Repeat(
                    Line("cells_here{n}", "1", count(1, 200, 1), None),
                    (Line("pack{n}_cell{m}_V", "V", _CELL, None),),
                    first_number="first_cell{n}",
                ),
                Repeat(
                    Line("cells{n}", "1", None, count(2, 65_531, 1)),
                    (Line("pack{n}_cell{m}_V", "V", None, _CELL),),
                ),
            ),
        ),
    ),
)

TEMPERATURES: Final = Item(
    "battery temperatures",
    0x09,
    0x08,
    (
        Repeat(
            Line("temperature_packs", "1", count(1, 250, 1), count(1, 50)),
            (
                Line("temperature_pack{n}_number", "1", byte(250, low=1), byte(50, low=1)),
                Repeat(
                    _same("temp_probes{n}", "1", count(2, 65_531, 1)),
                    (_same("pack{n}_probe{m}_degC", "degC", _DEGREES),),
                ),
            ),
        ),
    ),
)

STACKS: Final = Item(
    "fuel cell stacks",
    None,
    0x30,
    (
        Repeat(
            Line("stacks", "1", None, count(1, 253, 1)),
            (
                Line("stack{n}_number", "1", None, _SENSOR),
                Line("stack{n}_V", "V", None, word(20_000, 10)),
                Line("stack{n}_A", "A", None, word(20_000, 10)),
                Line("stack{n}_hydrogen_kPa", "kPa", None, word(5_000, 10, 1_000)),
                Line("stack{n}_air_kPa", "kPa", None, word(5_000, 10, 1_000)),
                Line("stack{n}_air_degC", "degC", None, _DEGREES),
                Repeat(
                    Line("stack{n}_probes", "1", None, count(2, 65_531)),
                    (Line("stack{n}_probe{m}_degC", "degC", None, _DEGREES),),
                ),
            ),
        ),
    ),
)

CAPACITOR: Final = Item(
    "supercapacitor",
    None,
    0x31,
    (
        Line("capacitor_number", "1", None, _SENSOR),
        Line("capacitor_V", "V", None, word(10_000, 10)),
        Line("capacitor_A", "A", None, _CURRENT_2025),
        Repeat(
            Line("capacitor_cells", "1", None, count(2, 65_531, 1)),
            (Line("capacitor_cell{m}_V", "V", None, _CELL),),
        ),
        Repeat(
            Line("capacitor_probes", "1", None, count(2, 65_531, 1)),
            (Line("capacitor_probe{m}_degC", "degC", None, _DEGREES),),
        ),
    ),
)

CAPACITOR_EXTREMES: Final = Item(
    "supercapacitor extremes",
    None,
    0x32,
    tuple(
        Line(column, unit, None, layout)
        for kind, unit, layout in (("voltage", "V", _CELL), ("temperature", "degC", _DEGREES))
        for end in ("max", "min")
        for column, unit, layout in (
            (f"capacitor_{kind}_{end}_system", "1", _SENSOR),
            (f"capacitor_{kind}_{end}_number", "1", word(65_531, low=1)),
            (f"capacitor_{kind}_{end}_{unit}", unit, layout),
        )
    ),
)

ITEMS: Final = (
    VEHICLE,
    MOTORS,
    FUEL_CELL,
    ENGINE,
    POSITION,
    EXTREMES,
    ALARMS,
    CELLS,
    TEMPERATURES,
    STACKS,
    CAPACITOR,
    CAPACITOR_EXTREMES,
)

_BY_TYPE: Final = {
    edition: {kind: item for item in ITEMS if (kind := item.type(edition)) is not None} for edition in Edition
}


def item_of(edition: Edition, kind: int) -> Item | None:
    """The item with this type in an edition; None where its layout is not known."""
    return _BY_TYPE[edition].get(kind)


def reserved_name(edition: Edition, kind: int) -> str:
    """What a type without a known layout is called in tables 8 and B.3 (2016), 9 (2025)."""
    if kind <= 0x2F and kind:
        return "platform exchange"
    if 0x80 <= kind <= 0xFE:
        return "user-defined"
    return "reserved" if edition is Edition.E2025 or kind < SIGNATURE_TYPE else "undefined"
