"""What the relations of a model's physics sum up over time: one small state for each relation and unit of a plant.

Each `step` takes one row's values, in order of time, and says in a sentence what can't be, or None. A step longer than
the model's gap starts all sums again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

from capsule.thing.physics import Conversion, Efficiency, Rule, SocPower

__all__ = ["ConversionWindow", "EfficiencyWindow", "Meter", "SocWindow", "Window"]


_LEVEL: Final = 5
"""percent"""


class Window(Protocol):
    """A relation's state. What a row does not have, or what failed another check, is None."""

    rule: ClassVar[Rule]

    def step(
        self,
        time: float,
        soc: float | None,
        power: float | None,
        inner: float | None,
        counters: tuple[float, float] | None,
    ) -> str | None:
        """`power` in kW, on the grid's side where there are two, `inner` on the battery's; `counters`: energy taken in
        and given out so far.
        """
        ...


class Meter:
    """Integrates power (kW) by trapezoids into energy given and taken (kWh)."""

    __slots__ = ("power", "time")

    def __init__(self) -> None:
        self.time: float | None = None
        self.power = 0.0

    def advance(self, time: float, power: float, gap: float) -> tuple[float, float] | None:
        """Energy given and taken since the reading before; None for the first one and after a gap."""
        before, last = self.time, self.power
        self.time, self.power = time, power
        if before is None or not 0 <= time - before <= gap:
            return None
        hours = (time - before) / 7200
        return (max(last, 0) + max(power, 0)) * hours, (max(-last, 0) + max(-power, 0)) * hours

    def covers(self, time: float, gap: float) -> bool:
        """The last power is not older than the gap."""
        return self.time is not None and 0 <= time - self.time <= gap


class SocWindow:
    """State of charge against integrated power since the window's start."""

    __slots__ = ("_capacity", "_energy", "_gap", "_meter", "_soc", "_start", "_terms", "_through")
    rule: ClassVar[Rule] = Rule.SOC_POWER

    def __init__(self, terms: SocPower, gap: float, capacity: float | None) -> None:
        self._terms = terms
        self._gap = gap
        self._capacity = capacity
        self._meter = Meter()
        self._soc: float | None = None
        self._start = self._energy = self._through = 0.0

    def step(
        self,
        time: float,
        soc: float | None,
        power: float | None,
        inner: float | None,
        counters: tuple[float, float] | None,
    ) -> str | None:
        if power is not None:
            moved = self._meter.advance(time, power, self._gap)
            if moved is None:
                self._soc = None
            else:
                self._energy += moved[0] - moved[1]
                self._through += moved[0] + moved[1]
        if soc is None:
            return None
        if not self._meter.covers(time, self._gap):
            self._soc = None
            return None
        wrong = None if self._soc is None else self._judge(soc - self._soc)
        if self._soc is None or time - self._start >= self._terms.seconds:
            self._start, self._soc, self._energy, self._through = time, soc, 0.0, 0.0
        return wrong

    def _judge(self, change: float) -> str | None:
        capacity, points = self._capacity, self._terms.points
        if capacity:
            expected = -100 * self._energy / capacity
            allowed = points + 100 * self._terms.share * self._through / capacity
            if abs(change - expected) <= allowed:
                return None
            return f"moved {change:+.4g} points where power says {expected:+.4g}, within {allowed:.4g}"
        if (self._energy > 0 and change > points) or (self._energy < 0 and change < -points):
            return f"moved {change:+.4g} points while {self._energy:+.4g} kWh were given"
        return None


@dataclass(frozen=True, slots=True)
class _Visit:
    """A passage of a level: its place in the order of all passages, the row's time and state of charge, and the energy
    given and taken until then.
    """

    order: int
    time: float
    soc: float
    given: float
    taken: float


class EfficiencyWindow:
    """Energy in and out between two passages of the same level of charge, a multiple of 5 percent."""

    __slots__ = ("_counters", "_gap", "_given", "_meter", "_order", "_soc", "_taken", "_terms", "_visits")
    rule: ClassVar[Rule] = Rule.EFFICIENCY

    def __init__(self, terms: Efficiency, gap: float) -> None:
        self._terms = terms
        self._gap = gap
        self._meter = Meter()
        self._counters: tuple[float, float] | None = None
        self._soc: float | None = None
        self._given = self._taken = 0.0
        self._visits: dict[int, _Visit] = {}
        self._order = 0

    def step(
        self,
        time: float,
        soc: float | None,
        power: float | None,
        inner: float | None,
        counters: tuple[float, float] | None,
    ) -> str | None:
        self._count(time, power, counters)
        if soc is None:
            return None
        before, self._soc = self._soc, soc
        if before is None or before // _LEVEL == soc // _LEVEL:
            return None
        passed = range(int(min(before, soc) // _LEVEL) + 1, int(max(before, soc) // _LEVEL) + 1)
        wrong = None
        for level in passed if soc > before else reversed(passed):
            wrong = self._pass(level, time, soc) or wrong
        return wrong

    def _pass(self, level: int, time: float, soc: float) -> str | None:
        last = self._visits.get(level)
        self._order += 1
        self._visits[level] = _Visit(self._order, time, soc, self._given, self._taken)
        if last is None or time - last.time > self._terms.seconds or abs(soc - last.soc) > self._terms.points:
            return None
        since = [abs(other - level) for other, visit in self._visits.items() if visit.order > last.order]
        swing = max(since) * _LEVEL
        given, taken = self._given - last.given, self._taken - last.taken
        if swing < self._terms.swing or given * (1 - self._terms.points / swing) <= taken:
            return None
        return f"{given:.6g} kWh out of {taken:.6g} kWh since it last passed {level * _LEVEL} %"

    def _count(self, time: float, power: float | None, counters: tuple[float, float] | None) -> None:
        if counters is not None:
            before, self._counters = self._counters, counters
            if before is None or counters[0] < before[0] or counters[1] < before[1]:
                self._visits.clear()
            else:
                self._taken += counters[0] - before[0]
                self._given += counters[1] - before[1]
        elif self._counters is None and power is not None:
            moved = self._meter.advance(time, power, self._gap)
            if moved is None:
                self._visits.clear()
            else:
                self._given += moved[0]
                self._taken += moved[1]


class ConversionWindow:
    """Net energy of both sides of a converter since the window's start."""

    __slots__ = ("_gap", "_inner", "_net", "_outer", "_start", "_terms", "_through")
    rule: ClassVar[Rule] = Rule.CONVERSION

    def __init__(self, terms: Conversion, gap: float) -> None:
        self._terms = terms
        self._gap = gap
        self._outer, self._inner = Meter(), Meter()
        self._start: float | None = None
        self._net = self._through = 0.0

    def step(
        self,
        time: float,
        soc: float | None,
        power: float | None,
        inner: float | None,
        counters: tuple[float, float] | None,
    ) -> str | None:
        if power is None or inner is None:
            return None
        outside = self._outer.advance(time, power, self._gap)
        inside = self._inner.advance(time, inner, self._gap)
        if outside is None or inside is None or self._start is None:
            self._begin(time)
            return None
        self._net += outside[0] - outside[1] - inside[0] + inside[1]
        self._through += outside[0] + outside[1]
        if time - self._start < self._terms.seconds:
            return None
        net, allowed = self._net, self._terms.share * self._through + self._terms.allowance
        self._begin(time)
        return None if net <= allowed else f"{net:.6g} kWh more than the battery gave, within {allowed:.4g}"

    def _begin(self, time: float) -> None:
        self._start, self._net, self._through = time, 0.0, 0.0
