"""Checking readings as frames come in: what the rows of a device were before, in memory, for the checks that need it.

Invariant: what is remembered of a device is used only for the frame that names, as the one before it, the last frame
remembered; for every other frame it is made again from the store. So a frame that was judged and then not stored, a
fork, a hole filled late or a second thread can't bend the judgement of the frames after it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from capsule.batch import Incident, IncidentKind
from capsule.frame import UnverifiedFrame, VerifiedFrame, read_frame
from capsule.ids import DeviceId, Digest
from capsule.thing import ThingModel
from capsule.thing.checks import Checker, Memory, ReadingMark
from gateway.store import Store

__all__ = ["Checks", "implausible", "mark_rows", "read_ranges", "write_ranges"]

_REPLAYED: Final = 2
"""So many frames before it are read again for a frame whose device is not in memory."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is remembered after the frame `head`."""

    head: Digest
    memory: Memory


class Checks:
    """The checks of all devices; of at most `most` of them what came before is kept in memory. Safe in threads.

    Readings later than `clock` by more than `ahead_seconds` are checked and not remembered.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float], ahead_seconds: int, most: int) -> None:
        self._store = store
        self._clock = clock
        self._ahead_seconds = ahead_seconds
        self._most = most
        self._checkers: dict[str, Checker] = {}
        self._known: OrderedDict[DeviceId, _Known] = OrderedDict()
        self._turn = threading.Lock()

    def judge(self, verified: VerifiedFrame, model: ThingModel | None) -> tuple[ReadingMark, ...]:
        """What fails in a verified frame; nothing where the device's model is not known here. Raises StoreError."""
        if model is None:
            return ()
        frame, latest = verified.frame, self._clock() + self._ahead_seconds
        with self._turn:
            checker = self._checkers.get(model.name)
            if checker is None or checker.model is not model:
                checker = self._checkers[model.name] = Checker(model)
            known = self._known.pop(frame.device, None)
            if known is not None and known.head == frame.previous:
                memory = known.memory
            else:
                memory = self._replayed(checker, frame.device, frame.sequence, latest)
            marks = checker.judge(frame.rows, memory, latest=latest, units=frame.units)
            self._known[frame.device] = _Known(verified.hash, memory)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return marks

    def _replayed(self, checker: Checker, device: DeviceId, sequence: int, latest: float) -> Memory:
        """What the frames before one leave behind."""
        memory = Memory()
        if sequence > 1:
            with self._store.reading() as records:
                for row in records.frames_before(device, sequence, _REPLAYED):
                    frame = read_frame(row.data).content_unverified()  # verified when it came in
                    checker.judge(frame.rows, memory, latest=latest, units=frame.units)
        return memory


def implausible(frame: UnverifiedFrame, marks: Iterable[ReadingMark]) -> Iterator[Incident]:
    """One incident for each rule that a frame's readings fail."""
    for rule in sorted({str(mark.rule) for mark in marks}):
        yield Incident(IncidentKind.IMPLAUSIBLE, frame.device, frame.sequence, frame.hash, frame.sequence, rule=rule)


def mark_rows(verified: VerifiedFrame, marks: Iterable[ReadingMark]) -> tuple[dict[str, object], ...]:
    """Marks of a frame as rows of the store."""
    frame = verified.frame
    return tuple(
        {
            "device": bytes(frame.device),
            "sequence": frame.sequence,
            "frame": bytes(verified.hash),
            "column": mark.column,
            "rule": str(mark.rule),
            "rows": write_ranges(mark.rows),
            "readings": len(mark.rows),
            "time": float(frame.rows[mark.rows[0]].time),
            "detail": mark.detail,
        }
        for mark in marks
    )


def write_ranges(rows: Iterable[int]) -> str:
    """Growing numbers as "0-2,7"."""
    ranges: list[tuple[int, int]] = []
    for row in rows:
        if ranges and ranges[-1][1] + 1 == row:
            ranges[-1] = (ranges[-1][0], row)
        else:
            ranges.append((row, row))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def read_ranges(text: str) -> Iterator[int]:
    """The numbers that `write_ranges` wrote."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
