"""Hourly indicators of a device: energy, efficiency, availability, cycles and safety, derived from its readings.

Rows stream through; of the past only the open hour and the row before are kept. A marked reading takes part in
nothing but the counts. What lies between two rows is divided at the full hour; docs/formats.md has the formulas.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from math import floor, inf
from typing import Final

from capsule.ids import DeviceId
from capsule.rows import Reading, Row
from capsule.thing import ThingModel
from capsule.thing.plan import BoundPower, bind_power

__all__ = ["COLUMNS", "UNITS", "Hour", "Indicators", "Summary"]

_HOUR: Final = 3600
_MAX_SETS: Final = 256
_SWING: Final = 10
"""percent: an efficiency needs so much difference between the least and the greatest state of charge"""
_RETURNED: Final = 0.1
"""of the swing: so far from where it was may the state of charge be for an efficiency"""


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of one device; `time` is its start in unix seconds. None: the readings don't say."""

    time: int
    device: DeviceId
    energy_in_kwh: float | None
    energy_out_kwh: float | None
    round_trip_efficiency: float | None
    equivalent_cycles: float | None
    availability: float
    soc_begin: float | None
    soc_end: float | None
    soc_min: float | None
    soc_max: float | None
    cell_voltage_spread: float | None
    temperature_spread: float | None
    alarm_seconds: float
    coverage: float
    rows: int
    readings: int
    marked_readings: int


UNITS: Final[Mapping[str, str]] = {
    "energy_in_kwh": "kWh",
    "energy_out_kwh": "kWh",
    "round_trip_efficiency": "1",
    "equivalent_cycles": "1",
    "availability": "1",
    "soc_begin": "%",
    "soc_end": "%",
    "soc_min": "%",
    "soc_max": "%",
    "cell_voltage_spread": "V",
    "temperature_spread": "K",
    "alarm_seconds": "s",
    "coverage": "1",
    "rows": "1",
    "readings": "1",
    "marked_readings": "1",
}
"""Units of an hour's columns but the first two."""


COLUMNS: Final = tuple(one.name for one in fields(Hour))
"""An hour's columns in order."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The whole period. `unordered`: rows not later than the one before them, which count nowhere else."""

    hours: int
    rows: int
    readings: int
    marked_readings: int
    unordered: int
    energy_in_kwh: float | None
    energy_out_kwh: float | None
    round_trip_efficiency: float | None


class _Sums:
    """Energy and state of charge of an hour or of the whole period."""

    __slots__ = ("begin", "end", "energy_in", "energy_out", "greatest", "least", "marked", "readings", "rows", "told")

    def __init__(self) -> None:
        self.energy_in = self.energy_out = 0.0
        self.told = False
        """there was an interval with power or counters"""
        self.begin: float | None = None
        self.end: float | None = None
        self.least, self.greatest = inf, -inf
        self.rows = self.readings = self.marked = 0

    def count(self, readings: int, marked: int) -> None:
        self.rows += 1
        self.readings += readings
        self.marked += marked

    def charge(self, soc: float) -> None:
        self.begin = soc if self.begin is None else self.begin
        self.end = soc
        self.least, self.greatest = min(self.least, soc), max(self.greatest, soc)

    def energy(self, taken: float, given: float) -> None:
        self.told = True
        self.energy_in += taken
        self.energy_out += given

    @property
    def efficiency(self) -> float | None:
        """Out over in, where the state of charge came back."""
        if self.begin is None or self.end is None or self.energy_in <= 0 or self.energy_out <= 0:
            return None
        swing = self.greatest - self.least
        if swing < _SWING or abs(self.end - self.begin) > _RETURNED * swing:
            return None
        return self.energy_out / self.energy_in


@dataclass(slots=True)
class _Open:
    """The hour that rows are being added to."""

    start: int
    sums: _Sums = field(default_factory=_Sums)
    covered: float = 0.0
    available: float = 0.0
    alarmed: float = 0.0
    voltage: float | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class _Bound:
    """Columns of the roles in rows with one set of columns; None where there is none."""

    power: BoundPower | None
    counters: tuple[str, str] | None
    soc: str | None
    voltage: tuple[str, str] | None
    temperature: tuple[str, str] | None
    stopped: tuple[str, ...]
    alarms: str | None


@dataclass(frozen=True, slots=True)
class _State:
    """What a row says that lasts until the next. `running`: the share of units that are not stopped."""

    time: Reading
    power: float | None
    counters: tuple[float, float] | None
    running: float
    alarmed: bool


class Indicators:
    """The hours of one device. `capacity`: nominal energy in kWh; the model's where None."""

    def __init__(self, device: DeviceId, model: ThingModel, capacity: float | None = None) -> None:
        self._device = device
        self._model = model
        self._capacity = capacity or model.capacity
        self._sets: dict[tuple[str, ...], _Bound] = {}
        self._open: _Open | None = None
        self._last: _State | None = None
        self._total = _Sums()
        self._hours = self._unordered = 0

    def add(self, row: Row, marked: Collection[str] = ()) -> Iterator[Hour]:
        """Takes the next row; `marked` are its columns that failed a check. Yields the hours that it ends."""
        last = self._last
        if last is not None and row.time <= last.time:
            self._unordered += 1
            return
        good = {column: value for column, value in row.values.items() if column not in marked}
        bound = self._bound(tuple(good))
        state = _state(row.time, good, bound)
        if last is not None:
            yield from self._between(last, state)
        yield from self._reach(floor(row.time / _HOUR) * _HOUR)
        hour = self._opened(row.time)
        for sums in (hour.sums, self._total):
            sums.count(len(row.values), len(row.values) - len(good))
            if bound.soc is not None:
                sums.charge(good[bound.soc])
        hour.voltage = _wider(hour.voltage, good, bound.voltage)
        hour.temperature = _wider(hour.temperature, good, bound.temperature)
        self._last = state

    def finish(self) -> Iterator[Hour]:
        """The hour that is still open."""
        if self._open is not None:
            yield self._closed(self._open)
            self._open = None

    @property
    def summary(self) -> Summary:
        total = self._total
        return Summary(
            self._hours,
            total.rows,
            total.readings,
            total.marked,
            self._unordered,
            total.energy_in if total.told else None,
            total.energy_out if total.told else None,
            total.efficiency,
        )

    def _between(self, last: _State, state: _State) -> Iterator[Hour]:
        """Gives the time between two rows to the hours that it lies in."""
        length = state.time - last.time
        is_gap = length > self._model.physics.gap_seconds
        by_counters = last.counters is not None and state.counters is not None
        if is_gap and not by_counters:
            return
        begin: float = last.time
        while begin < state.time:
            yield from self._reach(floor(begin / _HOUR) * _HOUR)
            hour = self._opened(begin)
            end = min(state.time, hour.start + _HOUR)
            share = (end - begin) / length
            if not is_gap:
                hour.covered += end - begin
                hour.available += (end - begin) * last.running
                hour.alarmed += (end - begin) * last.alarmed
            moved = _energy(last, state, (begin - last.time) / length, share)
            if moved is not None:
                hour.sums.energy(*moved)
                self._total.energy(*moved)
            begin = end

    def _reach(self, start: int) -> Iterator[Hour]:
        """Closes the open hour when a later one begins."""
        if self._open is not None and self._open.start < start:
            yield self._closed(self._open)
            self._open = None

    def _opened(self, time: float) -> _Open:
        if self._open is None:
            self._open = _Open(floor(time / _HOUR) * _HOUR)
        return self._open

    def _closed(self, hour: _Open) -> Hour:
        sums = hour.sums
        self._hours += 1
        cycles = None
        if self._capacity and sums.told:
            cycles = (sums.energy_in + sums.energy_out) / 2 / self._capacity
        has_soc = sums.begin is not None
        return Hour(
            time=hour.start,
            device=self._device,
            energy_in_kwh=sums.energy_in if sums.told else None,
            energy_out_kwh=sums.energy_out if sums.told else None,
            round_trip_efficiency=sums.efficiency,
            equivalent_cycles=cycles,
            availability=hour.available / _HOUR,
            soc_begin=sums.begin,
            soc_end=sums.end,
            soc_min=sums.least if has_soc else None,
            soc_max=sums.greatest if has_soc else None,
            cell_voltage_spread=hour.voltage,
            temperature_spread=hour.temperature,
            alarm_seconds=hour.alarmed,
            coverage=hour.covered / _HOUR,
            rows=sums.rows,
            readings=sums.readings,
            marked_readings=sums.marked,
        )

    def _bound(self, columns: tuple[str, ...]) -> _Bound:
        bound = self._sets.get(columns)
        if bound is None:
            if len(self._sets) >= _MAX_SETS:
                self._sets.clear()
            bound = self._sets[columns] = _bind(self._model, columns)
        return bound


def _bind(model: ThingModel, columns: Collection[str]) -> _Bound:
    """The station's own columns; flags that say stopped also of its units, where it has none itself."""
    roles = model.roles
    own: dict[str, str] = {}
    stopped: list[str] = []
    for column in columns:
        name, unit = model.split(column) or ("", "")
        if name and not unit:
            own[name] = column
        if name in roles.stopped:
            stopped.append(column)

    def pair(names: tuple[str, str]) -> tuple[str, str] | None:
        return (own[names[0]], own[names[1]]) if names[0] in own and names[1] in own else None

    return _Bound(
        power=bind_power(roles.powers, own),
        counters=pair((roles.energy_in, roles.energy_out)),
        soc=own.get(roles.soc),
        voltage=pair(roles.voltage),
        temperature=pair(roles.temperature),
        stopped=tuple(own[name] for name in roles.stopped if name in own) or tuple(stopped),
        alarms=own.get(roles.alarms),
    )


def _state(time: Reading, values: Mapping[str, Reading], bound: _Bound) -> _State:
    flags = [values[column] > 0 for column in bound.stopped]
    return _State(
        time,
        None if bound.power is None else bound.power.of(values, frozenset()),
        None if bound.counters is None else (values[bound.counters[0]], values[bound.counters[1]]),
        1 - sum(flags) / len(flags) if flags else 1.0,
        bound.alarms is not None and values[bound.alarms] > 0,
    )


def _energy(last: _State, state: _State, begin: float, share: float) -> tuple[float, float] | None:
    """Energy taken and given in a part of the time between two rows: from `begin` on, `share` of it (0 to 1)."""
    if last.counters is not None and state.counters is not None:
        taken, given = (after - before for before, after in zip(last.counters, state.counters, strict=True))
        return max(taken, 0) * share, max(given, 0) * share
    if last.power is None or state.power is None:
        return None
    rise = state.power - last.power
    first, second = last.power + rise * begin, last.power + rise * (begin + share)
    hours = (state.time - last.time) * share / 2 / _HOUR
    return (max(-first, 0) + max(-second, 0)) * hours, (max(first, 0) + max(second, 0)) * hours


def _wider(known: float | None, values: Mapping[str, Reading], pair: tuple[str, str] | None) -> float | None:
    if pair is None:
        return known
    spread = values[pair[0]] - values[pair[1]]
    return spread if known is None else max(known, spread)
