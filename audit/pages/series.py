"""Usage and fleet over time: what the charts and their tables show, counted once a look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from audit.questions import Bucket, Questions

__all__ = ["FLEET", "USES", "Point", "Series", "count"]

USES: Final = ("requests", "grants", "opened", "completed", "failed", "expired", "refusals", "rows")
FLEET: Final = ("devices", "batches", "frames")

_HOUR: Final = 3600
_STEPS: Final = (60, 600, _HOUR, 24 * _HOUR, 7 * 24 * _HOUR, 28 * 24 * _HOUR, 364 * 24 * _HOUR)
_MOST_POINTS: Final = 120
_EVENTS: Final[Mapping[str, str]] = {
    "AccessRequested": "requests",
    "AccessGranted": "grants",
    "UseOpened": "opened",
    "UseExpired": "expired",
    "ShareRefused": "refusals",
    "DeviceEnrolled": "devices",
    "BatchAnchored": "batches",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One stretch of time: unix seconds of its beginning, and a number for each name."""

    start: int
    values: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Series:
    """Stretches of `step` seconds without a hole, from the first event to the last."""

    step: int
    points: tuple[Point, ...]

    def totals(self) -> Mapping[str, int]:
        return {name: sum(point.values[name] for point in self.points) for name in (*USES, *FLEET)}


def count(questions: Questions) -> Series:
    """All events of a register, in at most some 120 stretches."""
    first, last = questions.span()
    step = next((step for step in _STEPS if (last - first) // step < _MOST_POINTS), _STEPS[-1])
    if not last:
        return Series(step, ())
    values: dict[int, dict[str, int]] = {}
    for start in range(first - first % step, last + 1, step):
        values[start] = dict.fromkeys((*USES, *FLEET), 0)
    _add(values, questions.buckets(step))
    for bucket in questions.failed_uses(step):
        values[bucket.start]["failed"] += bucket.count
        values[bucket.start]["completed"] -= bucket.count
    return Series(step, tuple(Point(start, counted) for start, counted in values.items()))


def _add(values: Mapping[int, dict[str, int]], buckets: Iterable[Bucket]) -> None:
    for bucket in buckets:
        counted = values[bucket.start]
        name = _EVENTS.get(bucket.event)
        if name is not None:
            counted[name] += bucket.count
        if bucket.event == "UseClosed":
            counted["completed"] += bucket.count
            counted["rows"] += bucket.amount
        elif bucket.event == "BatchAnchored":
            counted["frames"] += bucket.amount
        elif bucket.event == "DevicesEnrolled":
            counted["devices"] += bucket.amount
