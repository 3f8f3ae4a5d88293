"""The rule over shredding: who stated that its part of a deal is destroyed has nothing left to release.

Either the statement or the release is a lie, or a copy was kept that the statement is silent about. Two things state
it: the holder's operation log, whose order needs no clock, and its signed statement, held against the time that the
decision itself names. A release that was on its way when its holder shredded is given the time that a log is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from audit.findings import Finding, Subject, found
from audit.logbook import Logs
from audit.papers import Papers
from audit.picture import Deal, Decision, State
from capsule.decision import RELEASED, SignedDecision
from capsule.ids import Bytes32
from capsule.oplog import Act
from capsule.shred import SignedShred

__all__ = ["released_after_shred"]


@dataclass(frozen=True, slots=True)
class _Stated:
    """When a holder says that it destroyed its part, and what says so."""

    at: int
    source: str


def released_after_shred(state: State, papers: Papers) -> Iterator[Finding]:
    """No share leaves its holder after the holder's own word that it is destroyed."""
    logs = Logs(state, papers)
    for asked, subject, deal, release in _releases(state):
        stated = _logged(logs, asked, deal, release) or _signed(papers, deal, release)
        if stated is not None:
            yield found(
                "released-after-shred",
                subject,
                release.holder,
                holder=release.holder,
                deal=deal.hash,
                shredded=stated.at,
                source=stated.source,
                released=release.place.time,
                block=release.place.block,
            )


def _releases(state: State) -> Iterator[tuple[Bytes32, Subject, Deal, Decision]]:
    """Releases by true holders, each with the use or opening that asked and the deal whose share it is."""
    for use in state.uses.values():
        yield from _true(use.id, Subject("use", str(use.id)), state.deal(use.pin), use.releases)
    for opening in state.openings.values():
        subject, deal = Subject("opening", str(opening.id)), state.opened_deal(opening)
        yield from _true(opening.id, subject, deal, opening.releases)


def _true(
    asked: Bytes32, subject: Subject, deal: Deal | None, releases: tuple[Decision, ...]
) -> Iterator[tuple[Bytes32, Subject, Deal, Decision]]:
    for release in releases:
        if deal is not None and release.index < len(deal.holders) and deal.holders[release.index] == release.holder:
            yield asked, subject, deal, release


def _logged(logs: Logs, asked: Bytes32, deal: Deal, release: Decision) -> _Stated | None:
    """The log has the shredding before the decision to release."""
    shredded = logs.first(release.holder, Act.SHRED, deal.hash)
    key = (Act.DECISION, bytes(asked), bytes(release.decision_hash), RELEASED)
    decided = logs.keyed(release.holder, key)
    if shredded is None or decided is None or decided.position < shredded.position:
        return None
    return _Stated(shredded.entry.at, "operation log")


def _signed(papers: Papers, deal: Deal, release: Decision) -> _Stated | None:
    """The statement is older than the decision, by the decision's own time, or far older than the release."""
    signed = papers.shred(deal, release.holder)
    if not isinstance(signed, SignedShred):
        return None
    paper, at = papers.decision(release), signed.statement.time
    decided = isinstance(paper, SignedDecision) and paper.decision.decided_at > at
    return _Stated(at, "statement") if decided or release.place.time > at + papers.patience.log else None
