"""How many frames came to what end since this process started, and how many were new of late."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["Tally"]

_SLICE_SECONDS: Final = 10
_SLICES: Final = 360


class Tally:
    """Counts by outcome: `new`, `known`, or the kind of the refusal."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._outcomes: Counter[str] = Counter()
        self._recent: dict[int, int] = {}
        self.groups = 0
        self.seconds = 0.0

    def add(self, outcomes: Sequence[str], now: float, seconds: float) -> None:
        """The outcomes of one group, which took so many seconds."""
        with self._turn:
            self._outcomes.update(outcomes)
            self.groups += 1
            self.seconds += seconds
            slice_ = int(now) // _SLICE_SECONDS
            self._recent[slice_] = self._recent.get(slice_, 0) + outcomes.count("new")
            while len(self._recent) > _SLICES:
                del self._recent[min(self._recent)]

    def refuse(self, kind: str) -> None:
        """A message that was refused before it came to be a frame."""
        with self._turn:
            self._outcomes[kind] += 1

    @property
    def outcomes(self) -> Mapping[str, int]:
        with self._turn:
            return dict(self._outcomes)

    def rate(self, now: float, seconds: int) -> float:
        """New frames a second over the last so many seconds, at most an hour."""
        last = int(now) // _SLICE_SECONDS
        with self._turn:
            new = sum(count for at, count in self._recent.items() if last - seconds // _SLICE_SECONDS < at <= last)
        return new / seconds
