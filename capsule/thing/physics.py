"""The physics of a thing model: what its readings can't do together, as rules with their tolerances.

Power is in kW and positive when the battery gives energy; energy is in kWh. Rules name quantities; a station's unit
columns (`P_AC_batt10`) are judged among those of the same unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from capsule.canonical import Json
from capsule.document import Fields
from capsule.errors import FormatError

__all__ = [
    "NO_PHYSICS",
    "NO_ROLES",
    "Conversion",
    "Efficiency",
    "Order",
    "Physics",
    "Power",
    "Rate",
    "Roles",
    "Rule",
    "SocPower",
]

_MAX_RULES: Final = 64
_MAX_POWERS: Final = 8
_MAX_PARTS: Final = 4


class Rule(StrEnum):
    """What a marked reading failed."""

    UNIT = "unit"
    """the frame names another unit than the model"""
    TYPE = "type"
    """a fraction where only whole numbers can be"""
    RANGE = "range"
    """outside of the least and greatest possible value, or not one of the possible ones"""
    RATE = "rate"
    """a faster change than the thing is capable of"""
    COUNTER = "counter"
    """a counter that ran backwards"""
    ORDER = "order"
    """a least value above the greatest"""
    SOC_POWER = "soc-power"
    """state of charge against integrated power"""
    EFFICIENCY = "efficiency"
    """more energy out than in, and as much charge as before"""
    CONVERSION = "conversion"
    """more energy on one side of a converter than came in on the other"""


@dataclass(frozen=True, slots=True)
class Power:
    """The product of quantities, times `scale`, in kW: one power, or a voltage and a current."""

    parts: tuple[str, ...]
    scale: float = 1

    def to_json(self) -> Json:
        return {"parts": list(self.parts), "scale": self.scale}

    @classmethod
    def from_fields(cls, fields: Fields) -> Power:
        """Raises FormatError."""
        return cls(fields.texts("parts", _MAX_PARTS), fields.number("scale"))


@dataclass(frozen=True, slots=True)
class Rate:
    """Two readings `t` seconds apart differ by at most `allowance` + `per_second` * t. A `counter` never falls."""

    quantity: str
    per_second: float
    allowance: float
    counter: bool = False

    def to_json(self) -> Json:
        return {
            "quantity": self.quantity,
            "per_second": self.per_second,
            "allowance": self.allowance,
            "counter": self.counter,
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> Rate:
        """Raises FormatError."""
        return cls(
            fields.text("quantity"),
            fields.number("per_second", 0),
            fields.number("allowance", 0),
            fields.flag("counter"),
        )


@dataclass(frozen=True, slots=True)
class Order:
    """In one row, `least` is not above `greatest`."""

    least: str
    greatest: str

    def to_json(self) -> Json:
        return {"least": self.least, "greatest": self.greatest}

    @classmethod
    def from_fields(cls, fields: Fields) -> Order:
        """Raises FormatError."""
        return cls(fields.text("least"), fields.text("greatest"))


@dataclass(frozen=True, slots=True)
class SocPower:
    """Within `seconds`, `soc` (percent) moves as the first of `powers` that is there says.

    With the model's capacity C: by -100 E / C, within `points` + 100 `share` T / C, where E is the net energy given and
    T what went either way. Without it: not by more than `points` up while E > 0, nor down while E < 0.
    """

    soc: str
    powers: tuple[Power, ...]
    seconds: float
    points: float
    share: float

    def to_json(self) -> Json:
        return {
            "soc": self.soc,
            "powers": [power.to_json() for power in self.powers],
            "seconds": self.seconds,
            "points": self.points,
            "share": self.share,
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> SocPower:
        """Raises FormatError."""
        return cls(
            fields.text("soc"),
            fields.objects("powers", _MAX_POWERS, Power.from_fields),
            fields.number("seconds", 0),
            fields.number("points", 0),
            fields.number("share", 0),
        )


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Between two rows within `seconds` in which `soc` has passed the same multiple of 5 percent and differs by at most
    `points`, with a swing S of at least `swing` points between them, less came out than went in:
    out * (1 - points / S) <= in. Energy is of the counters where both are there, else of the first power that is.
    """

    soc: str
    powers: tuple[Power, ...]
    energy_in: str
    energy_out: str
    seconds: float
    points: float
    swing: float

    def to_json(self) -> Json:
        return {
            "soc": self.soc,
            "powers": [power.to_json() for power in self.powers],
            "energy_in": self.energy_in,
            "energy_out": self.energy_out,
            "seconds": self.seconds,
            "points": self.points,
            "swing": self.swing,
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> Efficiency:
        """Raises FormatError."""
        return cls(
            fields.text("soc"),
            fields.objects("powers", _MAX_POWERS, Power.from_fields),
            fields.text("energy_in"),
            fields.text("energy_out"),
            fields.number("seconds", 0),
            fields.number("points", 0),
            fields.number("swing", 0),
        )


@dataclass(frozen=True, slots=True)
class Conversion:
    """Over `seconds`, a converter adds nothing: the net energy of `outer` (grid) is at most that of `inner` (battery)
    plus `share` of what went either way plus `allowance` kWh.
    """

    outer: Power
    inner: Power
    seconds: float
    share: float
    allowance: float

    def to_json(self) -> Json:
        return {
            "outer": self.outer.to_json(),
            "inner": self.inner.to_json(),
            "seconds": self.seconds,
            "share": self.share,
            "allowance": self.allowance,
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> Conversion:
        """Raises FormatError."""
        return cls(
            Power.from_fields(fields.object("outer")),
            Power.from_fields(fields.object("inner")),
            fields.number("seconds", 0),
            fields.number("share", 0),
            fields.number("allowance", 0),
        )


@dataclass(frozen=True, slots=True)
class Physics:
    """All rules of a model. Over steps of more than `gap_seconds` power says nothing, and sums start again."""

    gap_seconds: float
    rates: tuple[Rate, ...] = ()
    orders: tuple[Order, ...] = ()
    soc_power: tuple[SocPower, ...] = ()
    efficiency: tuple[Efficiency, ...] = ()
    conversion: tuple[Conversion, ...] = ()

    def to_json(self) -> Json:
        return {
            "gap_seconds": self.gap_seconds,
            "rates": [rule.to_json() for rule in self.rates],
            "orders": [rule.to_json() for rule in self.orders],
            "soc_power": [rule.to_json() for rule in self.soc_power],
            "efficiency": [rule.to_json() for rule in self.efficiency],
            "conversion": [rule.to_json() for rule in self.conversion],
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> Physics:
        """Raises FormatError."""
        return cls(
            fields.number("gap_seconds", 0),
            fields.objects("rates", _MAX_RULES, Rate.from_fields),
            fields.objects("orders", _MAX_RULES, Order.from_fields),
            fields.objects("soc_power", _MAX_RULES, SocPower.from_fields),
            fields.objects("efficiency", _MAX_RULES, Efficiency.from_fields),
            fields.objects("conversion", _MAX_RULES, Conversion.from_fields),
        )


NO_PHYSICS: Final = Physics(gap_seconds=120)


@dataclass(frozen=True, slots=True)
class Roles:
    """Which quantities the indicators are made of; "" where the model has none.

    `voltage` and `temperature` name the greatest and the least of a cell; `stopped` are flags: not available while one
    is above 0.
    """

    powers: tuple[Power, ...] = ()
    energy_in: str = ""
    energy_out: str = ""
    soc: str = ""
    voltage: tuple[str, str] = ("", "")
    temperature: tuple[str, str] = ("", "")
    stopped: tuple[str, ...] = ()
    alarms: str = ""

    def to_json(self) -> Json:
        return {
            "powers": [power.to_json() for power in self.powers],
            "energy_in": self.energy_in,
            "energy_out": self.energy_out,
            "soc": self.soc,
            "voltage": list(self.voltage),
            "temperature": list(self.temperature),
            "stopped": list(self.stopped),
            "alarms": self.alarms,
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> Roles:
        """Raises FormatError."""
        return cls(
            fields.objects("powers", _MAX_POWERS, Power.from_fields),
            fields.text("energy_in"),
            fields.text("energy_out"),
            fields.text("soc"),
            _pair(fields, "voltage"),
            _pair(fields, "temperature"),
            fields.texts("stopped", _MAX_PARTS),
            fields.text("alarms"),
        )


NO_ROLES: Final = Roles()


def _pair(fields: Fields, name: str) -> tuple[str, str]:
    texts = fields.texts(name, 2)
    if len(texts) != 2:
        raise FormatError(f"thing model: {name} names two quantities")
    return texts[0], texts[1]
