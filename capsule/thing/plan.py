"""A model's physics bound to the columns of a row: which of its rules can be checked there, and on which columns.

A rule is bound once for each unit of the plant that has its quantities; a row's columns hardly ever change, so this is
done once for each set of columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeAlias

from capsule.rows import Reading
from capsule.thing.model import ThingModel
from capsule.thing.physics import Conversion, Efficiency, Power, Rate, SocPower

__all__ = ["BoundPower", "Plan", "Relation", "Step", "bind", "bind_power"]

Relation: TypeAlias = "SocPower | Efficiency | Conversion"


@dataclass(frozen=True, slots=True)
class BoundPower:
    """A power as the product of columns."""

    columns: tuple[str, ...]
    scale: float

    def of(self, values: Mapping[str, Reading], failed: AbstractSet[str]) -> float | None:
        """In kW; None where a part failed a check. The row has these columns."""
        power = self.scale
        for column in self.columns:
            if column in failed:
                return None
            power *= values[column]
        return power


@dataclass(frozen=True, slots=True)
class Step:
    """A relation on one unit's columns. `key` tells it from all others; `accused` is the column that it marks."""

    key: tuple[int, str]
    rule: Relation
    accused: str
    soc: str | None = None
    power: BoundPower | None = None
    inner: BoundPower | None = None
    counters: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What the physics say of rows with one set of columns. `orders`: column of the least, and of the greatest.

    `is_dormant`: nothing but powers, which are held against what other rows of the device have.
    """

    rates: tuple[tuple[str, Rate], ...]
    orders: tuple[tuple[str, str], ...]
    steps: tuple[Step, ...]
    is_dormant: bool


def bind(model: ThingModel, columns: Iterable[str]) -> Plan | None:
    """The plan of rows with these columns; None where the physics say nothing of them."""
    units: dict[str, dict[str, str]] = {}
    rates: list[tuple[str, Rate]] = []
    rate_of = {rate.quantity: rate for rate in model.physics.rates}
    for column in columns:
        found = model.split(column)
        if found is None:
            continue
        name, unit = found
        units.setdefault(unit, {})[name] = column
        if name in rate_of:
            rates.append((column, rate_of[name]))
    orders = [
        (named[order.least], named[order.greatest])
        for named in units.values()
        for order in model.physics.orders
        if order.least in named and order.greatest in named
    ]
    relations: tuple[Relation, ...] = (*model.physics.soc_power, *model.physics.efficiency, *model.physics.conversion)
    steps = [
        step
        for unit, named in units.items()
        for place, rule in enumerate(relations)
        if (step := _step((place, unit), rule, named)) is not None
    ]
    if not (rates or orders or steps):
        return None
    is_dormant = not (rates or orders or any(step.soc is not None or step.inner is not None for step in steps))
    return Plan(tuple(rates), tuple(orders), tuple(steps), is_dormant)


def bind_power(powers: Sequence[Power], named: Mapping[str, str]) -> BoundPower | None:
    """The first of `powers` whose quantities are all there. `named`: columns by quantity."""
    for power in powers:
        if all(part in named for part in power.parts):
            return BoundPower(tuple(named[part] for part in power.parts), power.scale)
    return None


def _step(key: tuple[int, str], rule: Relation, named: Mapping[str, str]) -> Step | None:
    if isinstance(rule, Conversion):
        outer, inner = bind_power([rule.outer], named), bind_power([rule.inner], named)
        if outer is None or inner is None:
            return None
        return Step(key, rule, outer.columns[0], power=outer, inner=inner)
    power, soc = bind_power(rule.powers, named), named.get(rule.soc)
    if isinstance(rule, SocPower):
        accused = soc or (power.columns[0] if power else None)
        return None if accused is None else Step(key, rule, accused, soc, power)
    counters = None
    if rule.energy_in in named and rule.energy_out in named:
        counters = named[rule.energy_in], named[rule.energy_out]
    accused = counters[1] if counters else power.columns[0] if power else soc
    return None if accused is None else Step(key, rule, accused, soc, power, counters=counters)
