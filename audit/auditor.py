"""An auditor at work: follows a ledger into its index, and judges what is there anew, one look at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from audit.documents import Documents
from audit.errors import RequestError
from audit.findings import Subject
from audit.follow import Follower
from audit.index import Index
from audit.papers import Papers, Patience
from audit.picture import State
from audit.store import LogRow
from audit.trail import Trail, trail_of
from audit.trust import Trust
from audit.verify import Report, verify
from capsule.checkpoint import SignedCheckpoint
from contracts.ledger import Ledger

__all__ = ["Auditor", "Standing", "Watcher"]

Watcher = Callable[[Index, State, Report, Documents], None]
"""Is told of each look, before anybody else sees its report."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an auditor is. None: not known yet.

    `final`: the chain's last final block when it was asked, `seconds` ago; `indexed`: the last block whose events are
    in the index; `checked`: the last one that the rules saw.
    """

    final: int | None
    indexed: int | None
    checked: int | None
    seconds: float | None

    @property
    def behind(self) -> int | None:
        """Final blocks that are not in the index yet."""
        if self.final is None:
            return None
        return max(0, self.final - (-1 if self.indexed is None else self.indexed))


class Auditor:
    """Index and ports of one audit. Safe to share between threads: one follows while another judges; pages only read.

    An index in memory is for one thread. `documents` makes the source from the state, since owners' endpoints stand on
    chain; `checkpoint` gives the newest one; `watcher` takes over each look for the pages.
    """

    def __init__(
        self,
        ledger: Ledger,
        index: Index,
        documents: Callable[[State], Documents],
        *,
        trust: Trust | None = None,
        checkpoint: Callable[[], SignedCheckpoint | None] = lambda: None,
        patience: Patience | None = None,
        watcher: Watcher | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._index = index
        self._documents = documents
        self._trust = trust
        self._checkpoint = checkpoint
        self._patience = patience
        self._watcher = watcher
        self._monotonic = monotonic
        self._following = threading.Lock()
        self._judging = threading.Lock()
        self._follower = Follower(ledger, index, between=self._go_on)
        self._caught_up = False
        self._asked: float | None = None
        self._report: Report | None = None
        self._stopping = threading.Event()

    @property
    def report(self) -> Report | None:
        """What the last look found; None before the first."""
        return self._report

    @property
    def standing(self) -> Standing:
        """How far this auditor is behind the chain."""
        tip, asked, report = self._index.tip, self._asked, self._report
        return Standing(
            final=self._follower.final,
            indexed=None if tip is None else tip.number,
            checked=None if report is None else report.summary.tip.number,
            seconds=None if asked is None else self._monotonic() - asked,
        )

    def follow(self) -> None:
        """Brings the index up to the final block: the first time all of history, later what became final since.

        Raises as `Follower.catch_up` and `Follower.step`, and StoreError when the index's file is not there any more.
        """
        with self._following:
            self._go_on()
            self._index.check_in_place()
            if not self._caught_up:
                for _ in self._follower.catch_up():
                    continue
                self._caught_up = True
            self._follower.step()
            self._asked = self._monotonic()

    def judge(self) -> Report:
        """Applies every rule to what is indexed when it begins. Raises as `verify`."""
        with self._judging:
            # between two steps: events, heads and proofs are of one block then
            with self._following:
                index = self._index.frozen()
            state = index.state()
            documents = self._documents(state)
            report = verify(
                index,
                documents,
                checkpoint=self._checkpoint(),
                trust=self._trust,
                patience=self._patience,
            )
            if self._watcher is not None:
                self._watcher(index, state, report, documents)
            self._report = report
            return report

    def look(self) -> Report:
        """Follows up to the final block, and judges."""
        self.follow()
        return self.judge()

    def stop(self) -> None:
        """Ends a run after the range of blocks that it is at, and lets no later one begin."""
        self._stopping.set()

    def trail(self, about: Subject) -> Trail:
        """The trail of a subject as it is indexed now, batches of a device included. Raises RequestError."""
        index = self._index.frozen()
        state = index.state()
        papers = Papers(state, self._documents(state), self._patience)
        return trail_of(state, index.entries(), about, papers)

    def unchecked(self, most: int) -> tuple[LogRow, ...]:
        """The first events that are indexed and that no look has judged yet."""
        report = self._report
        return self._index.frozen().rows(-1 if report is None else report.summary.tip.number, most)

    def _go_on(self) -> None:
        if self._stopping.is_set():
            raise RequestError("the auditor is stopping; the index is whole up to where it came")
