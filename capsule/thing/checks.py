"""Checking a device's rows against its thing model: which readings can't be, and which rule says so.

Pure: the same rows after the same memory give the same marks, whoever computes them. Unit, type and range look at one
reading; order at one row; all else at what `Memory` keeps of the rows before. A reading that fails is left out of what
is remembered and summed, so that one false value accuses no true one after it; when three in a row fail against the
same reading, the last of them counts from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from math import inf
from typing import Final, TypeAlias

from capsule.rows import Reading, RegularRows, Row
from capsule.senml import MAX_COLUMNS
from capsule.thing.model import ThingModel
from capsule.thing.physics import Efficiency, Rule, SocPower
from capsule.thing.plan import Plan, Step, bind
from capsule.thing.windows import ConversionWindow, EfficiencyWindow, SocWindow, Window

__all__ = ["Checker", "Memory", "ReadingMark"]

_PERSISTENT: Final = 3
"""So many failures in a row against one reading, and the last is the new level."""
_MAX_WINDOWS: Final = 256
_MAX_BOUNDS: Final = 8_192
_MAX_PLANS: Final = 256

_NONE: Final[AbstractSet[str]] = frozenset()
_Bound: TypeAlias = "tuple[float, float, frozenset[int] | bool, str]"


@dataclass(frozen=True, slots=True)
class ReadingMark:
    """Readings of one column of a frame that fail one rule: their rows' numbers (from 0), and why the first does."""

    column: str
    rule: Rule
    rows: tuple[int, ...]
    detail: str


@dataclass(slots=True)
class Memory:
    """What checks keep of a device: its last row's time, readings of columns that have a rate, sums of relations.

    Bounded: at most MAX_COLUMNS readings and 256 sums; what comes after them is not remembered.
    """

    time: float = -inf
    readings: dict[str, _Past] = field(default_factory=dict)
    windows: dict[tuple[int, str], Window] = field(default_factory=dict)


class _Past:
    """A column's last good reading, and how many failed since."""

    __slots__ = ("failures", "time", "value")

    def __init__(self, time: float, value: float) -> None:
        self.time = time
        self.value = value
        self.failures = 0


class _Bounds(dict[str, _Bound]):
    """By column: least, greatest, what else holds (False: nothing, True: whole numbers, or only these), its unit."""

    def __init__(self, model: ThingModel) -> None:
        super().__init__()
        self._model = model

    def __missing__(self, column: str) -> _Bound:
        if len(self) >= _MAX_BOUNDS:
            self.clear()
        quantity = self._model.quantity(column)
        found: _Bound = (-inf, inf, False, "")
        if quantity is not None:
            found = (quantity.low, quantity.high, frozenset(quantity.values) or quantity.whole, quantity.unit)
        self[column] = found
        return found


class _Marks:
    """Marks of one frame as they are found, by column and rule."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[tuple[str, Rule], tuple[list[int], str]] = {}

    def add(self, column: str, rule: Rule, row: int, detail: str) -> None:
        self._found.setdefault((column, rule), ([], detail))[0].append(row)

    def all(self) -> tuple[ReadingMark, ...]:
        return tuple(
            ReadingMark(column, rule, tuple(rows), detail) for (column, rule), (rows, detail) in self._found.items()
        )


class Checker:
    """The checks of one model, compiled as columns show up. Not for several threads at once."""

    def __init__(self, model: ThingModel) -> None:
        self.model = model
        self._bounds = _Bounds(model)
        self._plans: dict[tuple[str, ...], Plan | None] = {}

    def judge(
        self, rows: Sequence[Row], memory: Memory, *, latest: float = inf, units: Mapping[str, str] | None = None
    ) -> tuple[ReadingMark, ...]:
        """What fails in `rows`, which follow those that `memory` has seen; the memory then has seen them too.

        `units`: those that the frame names itself. Rows older than the memory, or later than `latest` (unix seconds),
        are checked without it and are not remembered.
        """
        foreign = self._foreign(units) if units else frozenset()
        if not foreign and isinstance(rows, RegularRows) and self._pass_at_once(rows, memory, latest):
            return ()
        marks = _Marks()
        bounds = self._bounds
        for place, row in enumerate(rows):
            values = row.values
            suspects: list[str] | None = None
            for column, value in values.items():
                low, high, also, _ = bounds[column]
                if also is not False or not low <= value <= high:
                    if also is True and low <= value <= high and type(value) is int:
                        continue
                    suspects = suspects or []
                    suspects.append(column)
            failed: AbstractSet[str] = _NONE
            if foreign or suspects is not None:
                failed = {
                    column
                    for column in (*(suspects or ()), *(foreign & values.keys()))
                    if self._fails(marks, column, values[column], place, foreign)
                }
            plan = self._planned(tuple(values))
            if plan is None:
                continue
            if not plan.is_dormant or memory.windows:
                self._judge_row(plan, place, row, memory, latest, failed, marks)
            elif memory.time <= row.time <= latest:
                memory.time = row.time
        return marks.all()

    def _pass_at_once(self, rows: RegularRows, memory: Memory, latest: float) -> bool:
        """Whether nothing can fail in rows whose readings are in their bounds, since the physics ask for no more.

        The memory then has seen them; else it stays as it was.
        """
        plan = self._planned(tuple(rows.columns))
        if plan is not None and (not plan.is_dormant or memory.windows or max(rows.times) > latest):
            return False
        for column, values in rows.columns.items():
            low, high, also, _ = self._bounds[column]
            if also is not False or not low <= min(values) or not max(values) <= high:
                return False
        if plan is not None:
            memory.time = max(memory.time, *rows.times)
        return True

    def _foreign(self, units: Mapping[str, str]) -> frozenset[str]:
        return frozenset(column for column, unit in units.items() if self._bounds[column][3] not in {"", unit})

    def _planned(self, columns: tuple[str, ...]) -> Plan | None:
        if columns in self._plans:
            return self._plans[columns]
        if len(self._plans) >= _MAX_PLANS:
            self._plans.clear()
        plan = self._plans[columns] = bind(self.model, columns)
        return plan

    def _fails(self, marks: _Marks, column: str, value: Reading, place: int, foreign: frozenset[str]) -> bool:
        low, high, also, unit = self._bounds[column]
        if column in foreign:
            marks.add(column, Rule.UNIT, place, f"is not in {unit}")
        elif also is not False and not float(value).is_integer():
            marks.add(column, Rule.TYPE, place, f"{value} is no whole number")
        elif not low <= value <= high:
            detail = f"{value} is not within {low:g} to {high:g} {unit}"
            marks.add(column, Rule.RANGE, place, detail)
        elif isinstance(also, frozenset) and value not in also:
            marks.add(column, Rule.RANGE, place, f"{value} is none of the values that can be")
        else:
            return False
        return True

    def _judge_row(
        self,
        plan: Plan,
        place: int,
        row: Row,
        memory: Memory,
        latest: float,
        failed: AbstractSet[str],
        marks: _Marks,
    ) -> None:
        values, time = row.values, row.time
        for least, greatest in plan.orders:
            if values[least] > values[greatest] and least not in failed and greatest not in failed:
                detail = f"{least} {values[least]} is above {greatest} {values[greatest]}"
                marks.add(least, Rule.ORDER, place, detail)
                marks.add(greatest, Rule.ORDER, place, detail)
                failed = failed | {least, greatest}
        if not memory.time <= time <= latest:
            return
        memory.time = time
        readings = memory.readings
        for column, rate in plan.rates:
            if column in failed:
                continue
            value = values[column]
            past = readings.get(column)
            if past is None:
                if len(readings) < MAX_COLUMNS:
                    readings[column] = _Past(time, value)
                continue
            change = value - past.value
            most = rate.allowance + rate.per_second * (time - past.time)
            if (0 if rate.counter else -most) <= change <= most:
                past.time, past.value, past.failures = time, value, 0
                continue
            rule = Rule.COUNTER if rate.counter and change < 0 else Rule.RATE
            marks.add(column, rule, place, f"{value} is {change:+.6g} after {time - past.time:.6g} s")
            failed = failed | {column}
            past.failures += 1
            if past.failures >= _PERSISTENT:
                past.time, past.value, past.failures = time, value, 0
        for step in plan.steps:
            soc, power, inner, counters = step.soc, step.power, step.inner, step.counters
            window = memory.windows.get(step.key)
            if window is None and (soc is not None or inner is not None):
                window = self._opened(step, memory)
            if window is None:  # nothing yet that power could be held against
                continue
            why = window.step(
                time,
                None if soc is None or soc in failed else values[soc],
                None if power is None else power.of(values, failed),
                None if inner is None else inner.of(values, failed),
                (values[counters[0]], values[counters[1]]) if counters and failed.isdisjoint(counters) else None,
            )
            if why is not None:
                marks.add(step.accused, window.rule, place, why)
                failed = failed | {step.accused}

    def _opened(self, step: Step, memory: Memory) -> Window | None:
        if len(memory.windows) >= _MAX_WINDOWS:
            return None
        rule, gap = step.rule, self.model.physics.gap_seconds
        window: Window
        if isinstance(rule, SocPower):
            window = SocWindow(rule, gap, self.model.capacity)
        elif isinstance(rule, Efficiency):
            window = EfficiencyWindow(rule, gap)
        else:
            window = ConversionWindow(rule, gap)
        memory.windows[step.key] = window
        return window
