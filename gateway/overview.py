"""What an operator sees of a gateway at a glance: fleet, rates, incidents, anchors, and what keeps it from its work.

No readings and no secrets: everything here may stand on a public page.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

from gateway.admission import Admission
from gateway.anchoring import Anchoring
from gateway.errors import StoreError
from gateway.intake_queue import IntakeQueue
from gateway.register import Register
from gateway.settings import GatewaySettings
from gateway.store import BatchRow, DeviceRow, Fleet, IncidentGroup, IncidentRow, Store
from gateway.tally import Tally

__all__ = ["PARTS", "Overview", "Watch"]

PARTS: Final = ("database", "chain", "role", "unchecked", "anchoring", "intake", "process")

_LOG: Final = logging.getLogger("dataspace.gateway")
_KEPT_SECONDS: Final = 1.0
"""so long an answer stands, however often it is asked for"""
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Overview:
    """One moment of a gateway. Times are unix seconds; `unanchored_since` is when the oldest frame came that has no
    final anchor; `rates` are new frames a second over the last minute and the last hour."""

    now: float
    devices: int
    frames: int
    waiting: int
    queued: int
    queued_bytes: int
    incidents: Mapping[str, int]
    batches: Mapping[str, int]
    unanchored_since: int | None
    rates: tuple[float, float]
    fleet: tuple[Fleet, ...]
    recent_incidents: tuple[IncidentGroup, ...]
    recent_batches: tuple[BatchRow, ...]

    @property
    def lag_seconds(self) -> float:
        """How long the oldest frame without a final anchor waits."""
        return 0.0 if self.unanchored_since is None else max(self.now - self.unanchored_since, 0.0)


class Watch:
    """Asks the store, the chain's view and the queue how they are; at most once a second."""

    def __init__(
        self,
        store: Store,
        register: Register,
        queue: IntakeQueue,
        tally: Tally,
        anchoring: Anchoring,
        admission: Admission,
        *,
        clock: Callable[[], float],
        settings: GatewaySettings,
    ) -> None:
        self._store = store
        self._register = register
        self._queue = queue
        self._tally = tally
        self._anchoring = anchoring
        self._admission = admission
        self._clock = clock
        self._settings = settings
        self._turn = threading.Lock()
        self._seen: tuple[float, Overview] | None = None
        self._probed: tuple[float, dict[str, str]] | None = None
        self._logged: frozenset[str] = frozenset()
        self._others: dict[str, Callable[[], str]] = {}

    @property
    def parts(self) -> tuple[str, ...]:
        """Everything that can keep this gateway from its work."""
        return (*PARTS, *self._others)

    @contextmanager
    def beside(self, part: str, trouble: Callable[[], str]) -> Iterator[None]:
        """While the block runs, `part` is watched too; `trouble` says what is wrong with it, or nothing."""
        self._others = {**self._others, part: trouble}
        try:
            yield
        finally:
            self._others = {name: one for name, one in self._others.items() if name != part}

    def overview(self) -> Overview:
        """Raises StoreError."""
        with self._turn:
            if self._seen is None or monotonic() - self._seen[0] > _KEPT_SECONDS:
                self._seen = (monotonic(), self._look())
            return self._seen[1]

    def troubles(self) -> dict[str, str]:
        """What keeps the gateway from its work, by the part that has it; empty when it is ready."""
        with self._turn:
            if self._probed is None or monotonic() - self._probed[0] > _KEPT_SECONDS:
                self._probed = (monotonic(), self._probe())
                self._log_changes(self._probed[1])
            return self._probed[1]

    def _log_changes(self, troubles: Mapping[str, str]) -> None:
        """The log is the one place that says why: pages and metrics, which strangers may see, name the part alone."""
        for part in troubles.keys() - self._logged:
            _LOG.error("not ready: %s", part, extra={"part": part, "error": troubles[part]})
        for part in self._logged - troubles.keys():
            _LOG.info("well again: %s", part, extra={"part": part})
        self._logged = frozenset(troubles)

    def _look(self) -> Overview:
        now = self._clock()
        with self._store.reading() as records:
            return Overview(
                now=now,
                devices=records.count(DeviceRow),
                frames=records.last_number(),
                waiting=records.frames_waiting()[0],
                queued=self._queue.frames,
                queued_bytes=self._queue.size,
                incidents=records.counts(IncidentRow, "kind"),
                batches=records.counts(BatchRow, "stage"),
                unanchored_since=records.unanchored_since(),
                rates=(self._tally.rate(now, 60), self._tally.rate(now, 3600)),
                fleet=records.recent_fleet(_SHOWN),
                recent_incidents=records.recent_incidents(_SHOWN),
                recent_batches=tuple(records.recent_batches(_SHOWN)),
            )

    def _probe(self) -> dict[str, str]:
        troubles: dict[str, str] = {}
        try:
            self._store.probe()
            with self._store.reading() as records:
                since = records.unanchored_since()
        except StoreError as exc:
            troubles["database"] = str(exc)
        else:
            if since is not None and (lag := self._clock() - since) > self._settings.lag_seconds:
                troubles["anchoring"] = f"the oldest frame without a final anchor came {lag:.0f} s ago"
        if self._anchoring.refusal:
            troubles["anchoring"] = f"the chain refuses a batch: {self._anchoring.refusal}"
        if self._register.has_role is False:
            troubles["role"] = "the account has not the role gateway on chain, or is suspended"
        if not self._admission.passed:
            troubles["unchecked"] = "the chain did not confirm this gateway and its store since the start"
        if not self._register.is_reachable:
            troubles["chain"] = f"the chain can't be reached; its view is {self._register.age_seconds:.0f} s old"
        if self._queue.is_full:
            troubles["intake"] = "the intake queue is full"
        if self._queue.is_closing:
            troubles["process"] = "the gateway is stopping"
        return troubles | {part: what for part, told in self._others.items() if (what := told())}
