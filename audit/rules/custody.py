"""Rules over holders and deals: who released what, when, and whether it was the share that was dealt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from audit.entries import Place
from audit.findings import Finding, Subject, found
from audit.papers import Absent, Papers
from audit.picture import Closing, Deal, Decision, State, Use, Version
from audit.rules.accusations import judge
from audit.rules.participants import signing_key_at
from audit.rules.quorum import quorum
from audit.rules.results import failure_stated
from capsule.accusation import Accusation
from capsule.deal import Deal as DealDocument
from capsule.decision import REFUSED, RELEASED, SignedDecision, verify_decision
from capsule.errors import CapsuleError
from capsule.receipt import SignedReceipt

__all__ = [
    "capsule_borrowed",
    "completed_without_releases",
    "deal_borrowed",
    "deal_mismatch",
    "decision_mismatch",
    "decision_repeated",
    "release_after_revocation",
    "release_by_non_holder",
    "release_out_of_time",
    "silent_holder",
    "use_unclosed",
]


def release_by_non_holder(state: State, papers: Papers) -> Iterator[Finding]:
    """Only holders of the pinned deal decide, each at its own position; a provider only where its share is required."""
    for subject, deal, decisions in _decided(state):
        for decision in decisions:
            holder = deal.holders[decision.index] if decision.index < len(deal.holders) else None
            if holder != decision.holder or (decision.index == 0 and not deal.provider_required):
                yield found(
                    "release-by-non-holder",
                    subject,
                    decision.holder,
                    holder=decision.holder,
                    index=decision.index,
                    deal=deal.hash,
                    block=decision.place.block,
                )


def decision_repeated(state: State, papers: Papers) -> Iterator[Finding]:
    """One decision per holder and use."""
    for subject, _, decisions in _decided(state):
        for holder, count in Counter(decision.holder for decision in decisions).items():
            if count > 1:
                yield found("decision-repeated", subject, holder, holder=holder, count=count)


def release_out_of_time(state: State, papers: Papers) -> Iterator[Finding]:
    """A share is released while its use is open and its deal in force, an opening's only after the waiting time."""
    for use in state.uses.values():
        deal = state.deal(use.pin)
        for release in use.releases:
            reason = ""
            if release.place.time >= use.deadline:
                reason = f"past its deadline {use.deadline}"
            elif use.ended is not None and use.ended < release.place:
                reason = "ended"
            elif deal is not None and _replaced_before(state, deal, release.place):
                reason = "of a replaced deal"
            if reason:
                yield _out_of_time(Subject("use", str(use.id)), release, reason)
    for opening in state.openings.values():
        deal = state.opened_deal(opening)
        for release in opening.releases:
            reason = ""
            if release.place.time < opening.releasable_from:
                reason = f"not open before {opening.releasable_from}"
            elif deal is not None and _replaced_before(state, deal, release.place):
                reason = "of a replaced deal"
            if reason:
                yield _out_of_time(Subject("opening", str(opening.id)), release, reason)


def _out_of_time(subject: Subject, release: Decision, reason: str) -> Finding:
    return found(
        "release-out-of-time",
        subject,
        release.holder,
        holder=release.holder,
        reason=reason,
        released=release.place.time,
    )


def release_after_revocation(state: State, papers: Papers) -> Iterator[Finding]:
    """No share is released for a revoked grant."""
    for use in state.uses.values():
        grant = state.grants.get(use.grant)
        if grant is None or grant.revoked is None:
            continue
        for release in use.releases:
            if grant.revoked.place < release.place:
                yield found(
                    "release-after-revocation",
                    Subject("use", str(use.id)),
                    release.holder,
                    holder=release.holder,
                    released=release.place.block,
                    revoked=grant.revoked.place.block,
                )


def completed_without_releases(state: State, papers: Papers) -> Iterator[Finding]:
    """A completed use had the releases that its key needs."""
    for use in state.uses.values():
        for closing in use.closings:
            known = quorum(state, use, closing.place)
            if closing.completed and known is not None and not known.reached:
                yield found(
                    "completed-without-releases",
                    Subject("use", str(use.id)),
                    use.order.compute_node,
                    releases=known.custodians,
                    threshold=known.threshold,
                    provider="released" if known.provider else "required" if known.required else "not required",
                )


def silent_holder(state: State, papers: Papers) -> Iterator[Finding]:
    """Every holder decides before the deadline, unless use, grant or deal are over before it."""
    for use in state.uses.values():
        deal, grant = state.deal(use.pin), state.grants.get(use.grant)
        if deal is None or state.tip.time <= use.deadline or _over_before_deadline(state, use, deal):
            continue
        if grant is not None and grant.revoked is not None and grant.revoked.place.time < use.deadline:
            continue
        decided = {decision.holder for decision in use.decisions if decision.place.time <= use.deadline}
        for index, holder in enumerate(deal.holders):
            if index == 0 and not deal.provider_required:
                continue
            who = state.participants.get(holder)
            if holder not in decided and who is not None and who.is_active_by(use.deadline):
                yield found(
                    "silent-holder",
                    Subject("use", str(use.id)),
                    holder,
                    holder=holder,
                    deadline=use.deadline,
                    index=index,
                )


def _over_before_deadline(state: State, use: Use, deal: Deal) -> bool:
    if use.ended is not None and use.ended.time < use.deadline:
        return True
    version = state.version(deal.asset, deal.version)
    later = () if version is None else tuple(other for other in version.deals if other.number > deal.number)
    return any(other.place.time < use.deadline for other in later)


def use_unclosed(state: State, papers: Papers) -> Iterator[Finding]:
    """Once enough shares were released, a use ends with a receipt, or with a proven accusation (DESIGN 3, counting).

    The receipt of a failed run says so under the compute node's signature; a hash alone says nothing.
    """
    for use in state.uses.values():
        ended = use.ended
        end = ended or Place(state.tip.number + 1, 0, state.tip.time, use.place.transaction)
        known = quorum(state, use, end)
        if known is None or not known.reached:
            continue
        closing = use.closing
        if closing is not None and closing.place == ended:
            if closing.completed or _accounted_for(state, papers, use, closing):
                continue
            how = f"was closed as failed (reason {closing.reason})"
        elif ended is not None:
            how = "expired"
        elif state.tip.time > use.deadline:
            how = f"is open past its deadline {use.deadline}"
        else:
            continue
        yield found(
            "use-unclosed",
            Subject("use", str(use.id)),
            use.order.compute_node,
            releases=known.custodians + known.provider,
            state=how,
            compute_node=use.order.compute_node,
            deadline=use.deadline,
            ended="-" if ended is None else ended.block,
            reason="-" if closing is None else closing.reason,
        )


def _accounted_for(state: State, papers: Papers, use: Use, closing: Closing) -> bool:
    """Whether a failed close names what its reason asks for: the receipt of a failure, or a wrong share's accusation.

    True too while that may still be served, or where the deal that an accusation is judged with is not.
    """
    if not any(closing.receipt_hash):
        return False
    if closing.accuses:
        accusation = papers.accusation(use, closing)
        if isinstance(accusation, Accusation):
            judged = judge(state, papers, use, accusation)
            return judged is None or bool(judged.wrong)
        absent = isinstance(accusation, Absent)
    else:
        receipt = papers.receipt(use, closing)
        if isinstance(receipt, SignedReceipt):
            return failure_stated(state, use, closing, receipt)
        absent = isinstance(receipt, Absent)
    return absent and closing.place.time + papers.patience.document > state.tip.time


def deal_mismatch(state: State, papers: Papers) -> Iterator[Finding]:
    """The deal document says of the deal what the ledger says."""
    for asset in state.assets.values():
        for version in asset.versions:
            for deal in version.deals:
                paper = papers.deal(deal)
                if not isinstance(paper, DealDocument):
                    continue
                stated = {
                    "chain_id": (paper.chain_id, state.identity.domain.chain_id),
                    "access": (paper.access, state.identity.contracts["Access"]),
                    "asset": (paper.asset, asset.id),
                    "version": (paper.version, version.number),
                    "provider": (paper.provider, asset.provider),
                    "capsule_root": (paper.capsule_root, version.capsule_root),
                    "policy_hash": (paper.policy_hash, version.policy_hash),
                    "terms_hash": (paper.terms_hash, version.terms_hash),
                    "number": (paper.number, deal.number),
                    "threshold": (paper.threshold, deal.threshold),
                    "provider_required": (paper.provider_required, deal.provider_required),
                    "waiting_seconds": (paper.waiting_seconds, deal.waiting_seconds),
                    "holders": (tuple(holder.account for holder in paper.holders), deal.holders),
                }
                fields = [name for name, (said, known) in stated.items() if said != known]
                if fields:
                    yield found(
                        "deal-mismatch",
                        Subject("asset", str(asset.id)),
                        asset.provider,
                        deal=deal.number,
                        fields=", ".join(fields),
                        version=version.number,
                        deal_hash=deal.hash,
                    )


def deal_borrowed(state: State, papers: Papers) -> Iterator[Finding]:
    """A deal is dealt once: for one asset, version and number.

    Where its document is served, that names the true asset, and `deal-mismatch` the false one.
    """
    first: dict[bytes, Deal] = {}
    for deal in sorted(_deals(state), key=lambda deal: deal.place):
        earlier = first.setdefault(deal.hash, deal)
        if earlier is not deal and not isinstance(papers.deal(deal), DealDocument):
            yield found(
                "deal-borrowed",
                Subject("asset", str(deal.asset)),
                deal_hash=deal.hash,
                other=earlier.asset,
                version=deal.version,
                deal=deal.number,
            )


def capsule_borrowed(state: State, papers: Papers) -> Iterator[Finding]:
    """A capsule is published as one asset.

    Where its file is served, its header names the true asset, and `capsule-root-mismatch` the false one.
    """
    first: dict[bytes, Version] = {}
    versions = [version for asset in state.assets.values() for version in asset.versions]
    for version in sorted(versions, key=lambda version: version.place):
        earlier = first.setdefault(version.capsule_root, version)
        served = papers.capsule(state.assets[version.asset], version)
        if earlier.asset != version.asset and isinstance(served, Absent):
            yield found(
                "capsule-borrowed",
                Subject("asset", str(version.asset)),
                capsule_root=version.capsule_root,
                other=earlier.asset,
                version=version.number,
                block=version.place.block,
            )


def decision_mismatch(state: State, papers: Papers) -> Iterator[Finding]:
    """A holder's signed decision says what the holder did on chain, under the key that it had then."""
    for subject, deal, decisions in _decided(state):
        for decision in decisions:
            paper = papers.decision(decision)
            if isinstance(paper, SignedDecision):
                reason = _decision_reason(state, subject, deal, decision, paper)
                if reason:
                    yield found(
                        "decision-mismatch",
                        subject,
                        decision.holder,
                        holder=decision.holder,
                        reason=reason,
                        decision=decision.decision_hash,
                    )


def _decision_reason(state: State, subject: Subject, deal: Deal, done: Decision, paper: SignedDecision) -> str:
    said = paper.decision
    stated = {
        "use": (str(said.use), subject.id),
        "deal": (said.deal, deal.hash),
        "holder": (said.holder, done.holder),
        "index": (said.index, done.index),
        "outcome": (said.outcome, RELEASED if done.released else REFUSED),
        "reason": (int(said.reason), done.reason),
    }
    fields = [name for name, (written, known) in stated.items() if written != known]
    if fields:
        return f"it says otherwise in {', '.join(fields)}"
    try:
        verify_decision(paper, signing_key_at(state, done.holder, done.place), state.identity.domain)
    except CapsuleError as exc:
        return str(exc)
    return ""


def _decided(state: State) -> Iterator[tuple[Subject, Deal, tuple[Decision, ...]]]:
    """Uses and openings with their deal and decisions."""
    for use in state.uses.values():
        deal = state.deal(use.pin)
        if deal is not None:
            yield Subject("use", str(use.id)), deal, use.decisions
    for opening in state.openings.values():
        deal = state.opened_deal(opening)
        if deal is not None:
            yield Subject("opening", str(opening.id)), deal, opening.decisions


def _deals(state: State) -> Iterator[Deal]:
    for asset in state.assets.values():
        for version in asset.versions:
            yield from version.deals


def _replaced_before(state: State, deal: Deal, place: Place) -> bool:
    version = state.version(deal.asset, deal.version)
    current = None if version is None else version.deal_at(place)
    return current is not None and current.number > deal.number
