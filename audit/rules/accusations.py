"""Rules over accusations: a published one-time key shows who is wrong, the holder or who accuses it.

A compute node's accusation stands on chain as the hash of its failed close. A provider's, of a share that it gathered
for a new deal, is served under the hash of the decision that released the share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from audit.findings import Finding, Subject, found
from audit.papers import Papers
from audit.picture import Deal, Decision, Opening, State, Use
from capsule.accusation import Accusation
from capsule.box import BoxKey
from capsule.deal import Deal as DealDocument
from capsule.errors import InputError, ShareError
from capsule.ids import Address
from capsule.share import ReleaseContext, open_release

__all__ = ["Judged", "false_accusation", "judge", "share_wrong"]


@dataclass(frozen=True, slots=True)
class Judged:
    """An accusation held against the release that it names: `wrong` says what is wrong with the share, if anything."""

    subject: Subject
    accuser: Address
    accusation: Accusation
    release: Decision | None
    wrong: str


def share_wrong(state: State, papers: Papers) -> Iterator[Finding]:
    """A published one-time key opens a release to something else than the share that was dealt."""
    for judged in _judged(state, papers):
        if judged.release is not None and judged.wrong:
            yield found(
                "share-wrong",
                judged.subject,
                judged.release.holder,
                holder=judged.release.holder,
                reason=judged.wrong,
                index=judged.release.index,
                accusation=judged.accusation.hash,
            )


def false_accusation(state: State, papers: Papers) -> Iterator[Finding]:
    """An accusation shows a wrong share; one that shows a good share, or none at all, falls back on its author."""
    for judged in _judged(state, papers):
        if not judged.wrong:
            yield found(
                "false-accusation",
                judged.subject,
                judged.accuser,
                accuser=judged.accuser,
                holder=judged.accusation.holder,
                reason="the share opens its commitment" if judged.release else "the key is of no release that it names",
                accusation=judged.accusation.hash,
            )


def judge(state: State, papers: Papers, closed: Use, accusation: Accusation) -> Judged | None:
    """The accusation that a use was closed with. None where the deal document is not there to judge with."""
    use = state.uses.get(accusation.use)
    release = None if use is None else _release(use, accusation.index)
    if use is None or release is None or use.order_hash != closed.order_hash:
        return Judged(_subject(closed), closed.order.compute_node, accusation, None, "")
    return _judge(state, papers, use, use.order.compute_node, state.deal(use.pin), accusation)


def _judged(state: State, papers: Papers) -> Iterator[Judged]:
    orders = set()
    for use in state.uses.values():
        closing = use.closing
        if closing is None or not closing.accuses or not any(closing.receipt_hash) or use.order_hash in orders:
            continue
        orders.add(use.order_hash)
        accusation = papers.accusation(use, closing)
        if isinstance(accusation, Accusation):
            judged = judge(state, papers, use, accusation)
            if judged is not None:
                yield judged
    for opening in state.openings.values():
        deal = state.opened_deal(opening)
        for release in opening.releases:
            accusation = papers.opening_accusation(opening, release)
            if deal is not None and isinstance(accusation, Accusation):
                judged = _judge(state, papers, opening, deal.holders[0], deal, accusation)
                if judged is not None:
                    yield judged


def _judge(
    state: State, papers: Papers, asked: Use | Opening, accuser: Address, deal: Deal | None, accusation: Accusation
) -> Judged | None:
    document = None if deal is None else papers.deal(deal)
    if not isinstance(document, DealDocument):
        return None
    subject, release = _subject(asked), _release(asked, accusation.index)
    expected = ReleaseContext(
        chain_id=state.identity.domain.chain_id,
        access=state.identity.contracts["Access"],
        use=asked.id,
        index=accusation.index,
    )
    try:
        key = BoxKey(accusation.one_time_key)
        if release is None or key.public != asked.one_time_keys[accusation.index]:
            return Judged(subject, accuser, accusation, None, "")
        open_release(release.sealed_share, key, expected, document)
    except ShareError as exc:
        return Judged(subject, accuser, accusation, release, str(exc))
    except (InputError, IndexError):
        return Judged(subject, accuser, accusation, None, "")
    return Judged(subject, accuser, accusation, release, "")


def _subject(asked: Use | Opening) -> Subject:
    return Subject("use" if isinstance(asked, Use) else "opening", str(asked.id))


def _release(asked: Use | Opening, index: int) -> Decision | None:
    return next((release for release in asked.releases if release.index == index), None)
