"""What the pages read: the last look's report and state, frozen, and the register."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from audit.documents import Documents
from audit.errors import RequestError
from audit.index import Index
from audit.pages.filing import Filing, file_report
from audit.pages.series import Series, count
from audit.papers import Papers, Patience
from audit.picture import State
from audit.questions import Questions
from audit.register import Register
from audit.verify import Report

__all__ = ["Desk", "View"]


@dataclass(frozen=True, slots=True)
class View:
    """One look as the pages show it."""

    report: Report
    state: State
    filing: Filing
    series: Series


class Desk:
    """The register in a file that is begun anew, and the newest view. `take` is for one thread, reading for many."""

    def __init__(self, path: Path, patience: Patience | None = None) -> None:
        self._register = Register(path)
        self._patience = patience
        self._view: View | None = None
        self.questions = Questions(self._register.engine)

    @property
    def view(self) -> View:
        """The last look; RequestError before the first."""
        if self._view is None:
            raise RequestError("the ledger has not been looked at yet; ask again soon")
        return self._view

    @property
    def is_ready(self) -> bool:
        return self._view is not None

    def take(self, index: Index, state: State, report: Report, documents: Documents) -> None:
        """Takes over what an auditor found. Raises StoreError."""
        self._register.take(index.entries(after=self._register.block), state, Papers(state, documents, self._patience))
        self._view = View(report, state, file_report(report, state), count(self.questions))

    def close(self) -> None:
        self._register.close()
