"""Rules over documents: what is hashed on chain is served by who must have it, and is what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from audit.documents import Reference
from audit.entries import Place
from audit.findings import Finding, Subject, found
from audit.papers import Absent, Odd, Papers
from audit.picture import State

__all__ = ["document_mismatch", "document_not_served"]


@dataclass(frozen=True, slots=True)
class _Duty:
    """A document that must be served since an event, and what was found of it."""

    reference: Reference
    place: Place
    subject: Subject
    paper: object


def document_not_served(state: State, papers: Papers) -> Iterator[Finding]:
    """Policies, deals, agreements with signatures, receipts, accusations, decisions, batches are served in time."""
    for duty in _duties(state, papers):
        due = duty.place.time + papers.patience.document
        if isinstance(duty.paper, Absent) and due <= state.tip.time:
            owner = duty.reference.owners[0] if duty.reference.owners else None
            yield found(
                "document-not-served",
                duty.subject,
                owner,
                owner=owner,
                kind=duty.reference.kind,
                digest=duty.reference.key,
                due=due,
            )


def document_mismatch(state: State, papers: Papers) -> Iterator[Finding]:
    """What is served under a digest has it. Receipts, batches and capsules have rules of their own for this."""
    for duty in _duties(state, papers):
        if isinstance(duty.paper, Odd) and duty.reference.kind not in ("receipt", "batch"):
            owner = duty.reference.owners[0] if duty.reference.owners else None
            yield found(
                "document-mismatch",
                duty.subject,
                owner,
                owner=owner,
                kind=duty.reference.kind,
                digest=duty.reference.key,
                reason=duty.paper.reason,
            )


def _duties(state: State, papers: Papers) -> Iterator[_Duty]:
    """Each document once, by the first event that names it."""
    seen: set[tuple[str, bytes]] = set()
    for duty in _all_duties(state, papers):
        name = (duty.reference.kind, bytes(duty.reference.key))
        if name not in seen:
            seen.add(name)
            yield duty


def _all_duties(state: State, papers: Papers) -> Iterator[_Duty]:
    for asset in state.assets.values():
        subject = Subject("asset", str(asset.id))
        for version in asset.versions:
            yield _Duty(papers.policy_reference(version), version.place, subject, papers.policy(version))
            for deal in version.deals:
                yield _Duty(papers.deal_reference(deal), deal.place, subject, papers.deal(deal))
    for grant in state.grants.values():
        subject = Subject("grant", str(grant.id))
        yield _Duty(papers.agreement_reference(grant), grant.place, subject, papers.agreement(grant))
        yield _Duty(papers.signatures_reference(grant), grant.place, subject, papers.signatures(grant))
    yield from _use_duties(state, papers)
    for anchors in state.anchors.values():
        for anchor in anchors:
            subject = Subject("gateway", str(anchor.gateway))
            yield _Duty(papers.batch_reference(anchor), anchor.place, subject, papers.batch(anchor))


def _use_duties(state: State, papers: Papers) -> Iterator[_Duty]:
    for use in state.uses.values():
        subject = Subject("use", str(use.id))
        for decision in use.decisions:
            yield _Duty(papers.decision_reference(decision), decision.place, subject, papers.decision(decision))
        closing = use.closing
        if closing is None or not any(closing.receipt_hash):
            continue
        if not closing.accuses:
            yield _Duty(papers.receipt_reference(use, closing), closing.place, subject, papers.receipt(use, closing))
            continue
        yield _Duty(papers.accusation_reference(use, closing), closing.place, subject, papers.accusation(use, closing))
    for opening in state.openings.values():
        subject = Subject("opening", str(opening.id))
        for decision in opening.decisions:
            yield _Duty(papers.decision_reference(decision), decision.place, subject, papers.decision(decision))
