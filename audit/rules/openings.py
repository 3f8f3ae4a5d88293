"""Rules over openings and what comes of them: shares of a deal are gathered on chain before a key is dealt anew."""

from __future__ import annotations

from collections.abc import Iterator

from audit.entries import Place
from audit.findings import Finding, Subject, found
from audit.papers import Papers
from audit.picture import Asset, Deal, Opening, State, Version
from capsule.deal import Deal as DealDocument

__all__ = ["deal_without_opening", "opening_mismatch", "rebind_without_opening"]


def opening_mismatch(state: State, papers: Papers) -> Iterator[Finding]:
    """An opening asks for the deal in force, names a key for each custodian, and waits as long as the deal says."""
    for opening in state.openings.values():
        reason = _opening_reason(state, opening)
        if reason:
            asset = state.assets.get(opening.asset)
            yield found(
                "opening-mismatch",
                Subject("opening", str(opening.id)),
                None if asset is None else asset.provider,
                version=opening.version,
                deal=opening.deal,
                reason=reason,
                block=opening.place.block,
            )


def _opening_reason(state: State, opening: Opening) -> str:
    deal = state.opened_deal(opening)
    if deal is None:
        return "there is no such deal"
    version = state.version(opening.asset, opening.version)
    current = None if version is None else version.deal_at(opening.place)
    if current is None or current.number != opening.deal:
        return "another deal was in force"
    if len(opening.one_time_keys) != len(deal.holders) or not all(map(any, opening.one_time_keys[1:])):
        return f"{len(opening.one_time_keys)} one-time keys for {len(deal.holders)} holders, or keys of zero"
    due = opening.place.time + deal.waiting_seconds
    if opening.releasable_from != due:
        return f"shares may leave from {opening.releasable_from}, by its waiting time from {due}"
    return ""


def deal_without_opening(state: State, papers: Papers) -> Iterator[Finding]:
    """A deal that replaces another is made of shares that were released for that on chain (DESIGN section 5)."""
    for asset in state.assets.values():
        for version in asset.versions:
            for deal in version.deals:
                before = next((other for other in version.deals if other.number == deal.number - 1), None)
                if before is None:
                    continue
                releases = _gathered(state, before, deal.place)
                if releases < before.threshold:
                    yield found(
                        "deal-without-opening",
                        Subject("asset", str(asset.id)),
                        asset.provider,
                        version=version.number,
                        deal=deal.number,
                        releases=releases,
                        threshold=before.threshold,
                        block=deal.place.block,
                    )


def rebind_without_opening(state: State, papers: Papers) -> Iterator[Finding]:
    """A capsule that is published again, under another key or policy, was put together of released shares.

    Rebinding keeps a capsule's id, which deal documents name.
    """
    for asset in state.assets.values():
        ids = {version.number: _capsule_id(papers, version) for version in asset.versions}
        for version in asset.versions:
            earlier = _same_capsule(asset, version, ids)
            if not earlier or any(_was_gathered(state, other, version.place) for other in earlier):
                continue
            yield found(
                "rebind-without-opening",
                Subject("asset", str(asset.id)),
                asset.provider,
                version=version.number,
                earlier=earlier[-1].number,
                block=version.place.block,
            )


def _same_capsule(asset: Asset, version: Version, ids: dict[int, bytes | None]) -> list[Version]:
    own = ids[version.number]
    return [other for other in asset.versions if other.place < version.place and own and ids[other.number] == own]


def _capsule_id(papers: Papers, version: Version) -> bytes | None:
    documents = (papers.deal(deal) for deal in version.deals)
    return next((paper.capsule_id for paper in documents if isinstance(paper, DealDocument)), None)


def _was_gathered(state: State, version: Version, before: Place) -> bool:
    deal = version.deal_at(before)
    return deal is not None and _gathered(state, deal, before) >= deal.threshold


def _gathered(state: State, deal: Deal, before: Place) -> int:
    """How many of a deal's custodians released for openings of it before a place."""
    positions = {
        release.index
        for opening in state.openings.values()
        if (opening.asset, opening.version, opening.deal) == (deal.asset, deal.version, deal.number)
        for release in opening.releases
        if release.place < before and release.holder in deal.holders[release.index : release.index + 1]
    }
    return len(positions - {0})
