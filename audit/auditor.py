"""An auditor at work: follows a ledger into its index and judges it anew, one look at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable

from audit.documents import Documents
from audit.errors import RequestError
from audit.findings import Subject
from audit.follow import Follower
from audit.index import Index
from audit.papers import Papers, Patience
from audit.picture import State
from audit.trail import Trail, trail_of
from audit.trust import Trust
from audit.verify import Report, verify
from capsule.checkpoint import SignedCheckpoint
from contracts.ledger import Ledger

__all__ = ["Auditor", "Watcher"]

Watcher = Callable[[Index, State, Report, Documents], None]
"""Is told of each look, before anybody else sees its report."""


class Auditor:
    """Index and ports of one audit. Safe to share between threads: they take turns.

    `documents` makes the source from the state, since owners' endpoints stand on chain; `checkpoint` gives the newest
    one; `watcher` takes over each look for the pages.
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
    ) -> None:
        self._index = index
        self._documents = documents
        self._trust = trust
        self._checkpoint = checkpoint
        self._patience = patience
        self._watcher = watcher
        self._turn = threading.Lock()
        self._follower = Follower(ledger, index)
        self._report: Report | None = None
        self._stopping = threading.Event()

    @property
    def report(self) -> Report | None:
        """What the last look found; None before the first."""
        return self._report

    def look(self) -> Report:
        """Follows up to the final block and applies every rule. Raises as `Follower.catch_up` and `verify`."""
        with self._turn:
            for _ in self._follower.catch_up():
                if self._stopping.is_set():
                    raise RequestError("the auditor is stopping; the index is whole up to where it came")
            state = self._index.state()
            documents = self._documents(state)
            report = verify(
                self._index,
                documents,
                checkpoint=self._checkpoint(),
                trust=self._trust,
                patience=self._patience,
            )
            if self._watcher is not None:
                self._watcher(self._index, state, report, documents)
            self._report = report
            return report

    def stop(self) -> None:
        """Ends a look after the range of blocks that it is at, and lets no later one begin anew."""
        self._stopping.set()

    def trail(self, about: Subject) -> Trail:
        """The trail of a subject, batches of a device included. Raises RequestError."""
        with self._turn:
            state = self._index.state()
            papers = Papers(state, self._documents(state), self._patience)
            return trail_of(state, self._index.entries(), about, papers)
