"""Rules over orders and uses: under a living grant, in its time, within its counts, and as the buyer ordered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from audit.entries import Place
from audit.findings import Finding, Subject, found
from audit.papers import Papers
from audit.picture import Closing, Expiry, Grant, State, Use
from audit.rules.quorum import Quorum, quorum
from capsule.errors import CapsuleError
from capsule.ids import Address, AssetId
from capsule.order import order_hash, recover
from capsule.terms import UNLIMITED_U64

__all__ = [
    "deadline_wrong",
    "give_back_wrong",
    "grant_while_live",
    "order_mismatch",
    "order_reused",
    "order_signature_invalid",
    "rows_exceeded",
    "use_after_expiry",
    "use_after_revocation",
    "use_before_start",
    "use_of_replaced_deal",
    "use_without_grant",
    "uses_exceeded",
]


def use_without_grant(state: State, papers: Papers) -> Iterator[Finding]:
    """A use stands under a grant that was there before it, on the same asset."""
    for use in state.uses.values():
        grant = state.grants.get(use.grant)
        if grant is None:
            reason = "no such grant was made"
        elif grant.place > use.place:
            reason = f"it was made later, in block {grant.place.block}"
        elif grant.asset != use.asset:
            reason = f"it is for asset {grant.asset}, the use for {use.asset}"
        else:
            continue
        yield found("use-without-grant", _subject(use), use.order.compute_node, grant=use.grant, reason=reason)


def use_before_start(state: State, papers: Papers) -> Iterator[Finding]:
    """A use opens no earlier than its grant starts."""
    for use, grant in _granted(state):
        if use.place.time < grant.not_before:
            yield found(
                "use-before-start",
                _subject(use),
                use.order.compute_node,
                opened=use.place.time,
                not_before=grant.not_before,
            )


def use_after_expiry(state: State, papers: Papers) -> Iterator[Finding]:
    """A use opens before its grant and its order end, and before its asset is retired."""
    for use, grant in _granted(state):
        retired = state.assets[grant.asset].retired if grant.asset in state.assets else None
        ends = (
            ("the grant", grant.not_after, use.place.time >= grant.not_after),
            ("the order", use.order.deadline, use.place.time >= use.order.deadline),
            ("the asset", 0 if retired is None else retired.time, retired is not None and retired < use.place),
        )
        for what, ended, over in ends:
            if over:
                yield found(
                    "use-after-expiry",
                    _subject(use),
                    use.order.compute_node,
                    opened=use.place.time,
                    what=what,
                    ended=ended,
                )
                break


def use_after_revocation(state: State, papers: Papers) -> Iterator[Finding]:
    """No use opens under a revoked grant."""
    for use, grant in _granted(state):
        if grant.revoked is not None and grant.revoked.place < use.place:
            yield found(
                "use-after-revocation",
                _subject(use),
                use.order.compute_node,
                opened=use.place.block,
                revoked=grant.revoked.place.block,
                grant=grant.id,
            )


def use_of_replaced_deal(state: State, papers: Papers) -> Iterator[Finding]:
    """A use opens under the deal that is in force."""
    for use in state.uses.values():
        version = state.version(use.pin.asset, use.pin.version)
        current = None if version is None else version.deal_at(use.place)
        if current is not None and use.pin.deal < current.number:
            yield found(
                "use-of-replaced-deal",
                _subject(use),
                use.order.compute_node,
                deal=use.pin.deal,
                current=current.number,
            )


@dataclass(frozen=True, slots=True)
class _Step:
    """A use opens or ends; steps in chain order are what Access counts."""

    place: Place
    use: Use
    grant: Grant
    end: Closing | Expiry | None


def _steps(state: State) -> list[_Step]:
    steps = []
    for use, grant in _granted(state):
        steps.append(_Step(use.place, use, grant, None))
        steps += [_Step(end.place, use, grant, end) for end in use.ends]
    return sorted(steps, key=lambda step: step.place)


def uses_exceeded(state: State, papers: Papers) -> Iterator[Finding]:
    """Uses per grant, per buyer and asset, and in all: spent at opening, given back by what truly was released."""
    grants: Counter[bytes] = Counter()
    buyers: Counter[tuple[AssetId, Address]] = Counter()
    totals: Counter[AssetId] = Counter()
    for step in _steps(state):
        grant, buyer = step.grant, (step.grant.asset, step.grant.buyer)
        if step.end is not None:
            if step.place == step.use.ended and not _is_spent(state, step.use, step.place):
                grants[grant.id] -= 1
                buyers[buyer] -= 1
                totals[grant.asset] -= 1
            continue
        grants[grant.id] += 1
        buyers[buyer] += 1
        totals[grant.asset] += 1
        scopes = (
            ("the grant", grants[grant.id], grant.terms.uses_per_grant),
            ("the buyer", buyers[buyer], grant.terms.uses_per_buyer),
            ("the asset", totals[grant.asset], grant.terms.uses_total),
        )
        for scope, number, limit in scopes:
            if number > limit:
                yield found(
                    "uses-exceeded",
                    _subject(step.use),
                    step.use.order.compute_node,
                    number=number,
                    scope=scope,
                    limit=limit,
                    grant=grant.id,
                    buyer=grant.buyer,
                )
                break


def grant_while_live(state: State, papers: Papers) -> Iterator[Finding]:
    """No automatic grant while its buyer has a live one on the asset: asking again does not reset the counts."""
    for grant in state.grants.values():
        if not grant.automatic:
            continue
        for other in state.grants.values():
            mine = (other.asset, other.buyer) == (grant.asset, grant.buyer) and other.place < grant.place
            if mine and _is_live(state, other, grant.place):
                yield found(
                    "grant-while-live",
                    Subject("grant", str(grant.id)),
                    grant.buyer,
                    buyer=grant.buyer,
                    live=other.id,
                    block=grant.place.block,
                )
                break


def _is_live(state: State, grant: Grant, place: Place) -> bool:
    """Not revoked, not over, and with uses left, just before a place."""
    if (grant.revoked is not None and grant.revoked.place < place) or place.time >= grant.not_after:
        return False
    spent = 0
    for use in state.uses.values():
        if use.grant == grant.id and use.place < place:
            ended = use.ended
            spent += ended is None or place < ended or _is_spent(state, use, ended)
    return spent < grant.terms.uses_per_grant


def rows_exceeded(state: State, papers: Papers) -> Iterator[Finding]:
    """Rows that a buyer took of an asset, over all its grants."""
    rows: Counter[tuple[AssetId, Address]] = Counter()
    for step in _steps(state):
        if not isinstance(step.end, Closing) or not step.end.completed:
            continue
        buyer = (step.grant.asset, step.grant.buyer)
        rows[buyer] += step.end.rows_out
        if rows[buyer] > step.grant.terms.rows_per_buyer:
            yield found(
                "rows-exceeded",
                _subject(step.use),
                step.use.order.compute_node,
                buyer=step.grant.buyer,
                rows=rows[buyer],
                limit=step.grant.terms.rows_per_buyer,
            )


def deadline_wrong(state: State, papers: Papers) -> Iterator[Finding]:
    """A use's deadline is the earlier of its order's and opening plus seconds per use."""
    for use, grant in _granted(state):
        seconds = grant.terms.seconds_per_use
        unbounded = seconds > UNLIMITED_U64 - use.place.time
        computed = use.order.deadline if unbounded else min(use.order.deadline, use.place.time + seconds)
        if use.deadline != computed:
            yield found("deadline-wrong", _subject(use), use.order.compute_node, stated=use.deadline, computed=computed)


def give_back_wrong(state: State, papers: Papers) -> Iterator[Finding]:
    """A use comes back exactly when no share was released."""
    for use in state.uses.values():
        for end in use.ends:
            known = quorum(state, use, end.place)
            if known is not None and end.given_back != known.none:
                yield found(
                    "give-back-wrong",
                    _subject(use),
                    use.order.compute_node,
                    releases=known.custodians,
                    threshold=known.threshold,
                    given_back=end.given_back,
                )


def order_signature_invalid(state: State, papers: Papers) -> Iterator[Finding]:
    """The order of a use is signed by the buyer of its grant (EIP-712)."""
    chain_id = state.identity.domain.chain_id
    for use, grant in _granted(state):
        access = state.identity.contracts["Access"]
        try:
            signer = recover(use.order, use.order_signature, chain_id, access)
            reason = "" if signer == grant.buyer else f"it is signed by {signer}"
        except CapsuleError as exc:
            reason = str(exc)
        if reason:
            yield found(
                "order-signature-invalid",
                _subject(use),
                use.order.compute_node,
                buyer=grant.buyer,
                reason=reason,
                order=use.order_hash,
            )


def order_mismatch(state: State, papers: Papers) -> Iterator[Finding]:
    """The order hashes to what the use names, and is for its grant, algorithm and compute node."""
    chain_id = state.identity.domain.chain_id
    for use, grant in _granted(state):
        access = state.identity.contracts["Access"]
        request = state.requests.get(grant.request)
        reasons = []
        if order_hash(use.order, chain_id, access) != use.order_hash:
            reasons.append("it has another hash")
        if use.grant not in use.order.grants:
            reasons.append("it does not name the grant")
        if request is not None and use.order.algorithm != request.algorithm:
            reasons.append("it is for another algorithm")
        if request is not None and use.order.compute_node != request.compute_node:
            reasons.append("it is for another compute node")
        if reasons:
            yield found(
                "order-mismatch",
                _subject(use),
                use.order.compute_node,
                order=use.order_hash,
                reason="; ".join(reasons),
            )


def order_reused(state: State, papers: Papers) -> Iterator[Finding]:
    """A buyer's order number is used once: one transaction, one use for each grant of the order."""
    first: dict[tuple[Address, int], Use] = {}
    seen: set[tuple[Address, int, bytes]] = set()
    for use, grant in sorted(_granted(state), key=lambda pair: pair[0].place):
        number = (grant.buyer, use.order.number)
        earlier = first.setdefault(number, use)
        again = (*number, bytes(use.grant)) in seen or earlier.place.transaction != use.place.transaction
        seen.add((*number, bytes(use.grant)))
        if again:
            yield found(
                "order-reused",
                _subject(use),
                use.order.compute_node,
                number=use.order.number,
                buyer=grant.buyer,
                earlier=earlier.id,
            )


def _granted(state: State) -> Iterator[tuple[Use, Grant]]:
    for use in state.uses.values():
        grant = state.grants.get(use.grant)
        if grant is not None:
            yield use, grant


def _is_spent(state: State, use: Use, place: Place) -> bool:
    """Whether a use that ended at a place stays counted."""
    known: Quorum | None = quorum(state, use, place)
    return known is not None and not known.none


def _subject(use: Use) -> Subject:
    return Subject("use", str(use.id))
