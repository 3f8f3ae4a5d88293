"""Rules over what was promised: policy, terms, pins, requests and grants agree with each other and with the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from audit.entries import Place
from audit.findings import Finding, Subject, found
from audit.papers import Papers, Policy
from audit.picture import Deal, Grant, Request, State, Version
from capsule.agreement import Agreement, Signatures, verify_signatures
from capsule.errors import PolicyError, VerificationError
from capsule.ids import Address, RequestId
from capsule.policy.compiler import compile_policy
from capsule.terms import UNLIMITED_U64, Terms
from contracts.structs import Pin

__all__ = [
    "agreement_mismatch",
    "agreement_unsigned",
    "compute_node_involved",
    "deal_outside_terms",
    "grant_wider",
    "grant_without_request",
    "measurement_not_allowed",
    "pin_mismatch",
    "policy_terms_mismatch",
    "terms_hash_mismatch",
    "terms_violated",
]

_PIN_FIELDS: Final = ("asset", "version", "capsule_root", "policy_hash", "terms_hash", "deal", "deal_hash")


def terms_hash_mismatch(state: State, papers: Papers) -> Iterator[Finding]:
    """The terms that a version states hash to the terms hash that everything else pins."""
    for version in _versions(state):
        computed = version.terms.hash
        if computed != version.terms_hash:
            yield found(
                "terms-hash-mismatch",
                Subject("asset", str(version.asset)),
                _provider(state, version.asset),
                version=version.number,
                computed=computed,
                stated=version.terms_hash,
            )


def policy_terms_mismatch(state: State, papers: Papers) -> Iterator[Finding]:
    """`compile(policy)` gives the version's terms, and the policy is for this asset."""
    for version in _versions(state):
        paper = papers.policy(version)
        if isinstance(paper, Policy):
            reason = _policy_reason(version, paper)
            if reason:
                yield found(
                    "policy-terms-mismatch",
                    Subject("asset", str(version.asset)),
                    _provider(state, version.asset),
                    version=version.number,
                    reason=reason,
                    policy_hash=version.policy_hash,
                )


def _policy_reason(version: Version, policy: Policy) -> str:
    try:
        compiled = compile_policy(policy.document)
    except PolicyError as exc:
        return str(exc)
    if compiled.holder.asset not in (None, version.asset):
        return f"it is for asset {compiled.holder.asset}"
    if compiled.terms.hash != version.terms_hash:
        fields = [name for name in Terms.__slots__ if getattr(compiled.terms, name) != getattr(version.terms, name)]
        return f"it gives other {', '.join(fields) or 'terms'}"
    return ""


def measurement_not_allowed(state: State, papers: Papers) -> Iterator[Finding]:
    """A runtime that a use names is among those of the policy, where the policy lists any."""
    for use in state.uses.values():
        version = state.version(use.pin.asset, use.pin.version)
        paper = None if version is None else papers.policy(version)
        if not isinstance(paper, Policy):
            continue
        try:
            allowed = compile_policy(paper.document).holder.measurements
        except PolicyError:
            continue
        if allowed and use.measurement not in allowed:
            yield found(
                "measurement-not-allowed",
                Subject("use", str(use.id)),
                use.order.compute_node,
                measurement=use.measurement,
                allowed=", ".join(map(str, allowed)),
            )


def deal_outside_terms(state: State, papers: Papers) -> Iterator[Finding]:
    """A deal keeps to its version's terms: holders, least threshold, the provider's share."""
    for version in _versions(state):
        for deal in version.deals:
            reason = _deal_reason(deal, version.terms, _provider(state, version.asset))
            if reason:
                yield found(
                    "deal-outside-terms",
                    Subject("asset", str(version.asset)),
                    _provider(state, version.asset),
                    version=version.number,
                    deal=deal.number,
                    reason=reason,
                )


def _deal_reason(deal: Deal, terms: Terms, provider: Address | None) -> str:
    if not deal.holders or deal.holders[0] != provider:
        return "position 0 is not the provider"
    strangers = [str(holder) for holder in deal.holders[1:] if terms.holders and holder not in terms.holders]
    if strangers:
        return f"holders that the terms do not allow: {', '.join(strangers)}"
    if not max(1, terms.least_threshold) <= deal.threshold <= len(deal.holders) - 1:
        return f"threshold {deal.threshold} of {len(deal.holders) - 1}, at least {terms.least_threshold}"
    if terms.provider_share_required and not deal.provider_required:
        return "the provider's share is not required"
    return ""


def pin_mismatch(state: State, papers: Papers) -> Iterator[Finding]:
    """A request pins what the ledger held, a grant what its request pinned, a use what its grant pinned."""
    for request in state.requests.values():
        fields = _pin_against_ledger(state, request.pin, request.place)
        if request.asset != request.pin.asset:
            fields.append("asset of the event")
        if fields:
            yield _pin_finding("AccessRequested", Subject("request", str(request.id)), fields, request.place)
    for grant in state.grants.values():
        asked = state.requests.get(grant.request)
        if asked is not None and (fields := _differing(grant.pin, asked.pin)):
            yield _pin_finding("AccessGranted", Subject("grant", str(grant.id)), fields, grant.place)
    for use in state.uses.values():
        given = state.grants.get(use.grant)
        if given is not None and (fields := _differing(use.pin, given.pin)):
            yield _pin_finding("UseOpened", Subject("use", str(use.id)), fields, use.place)


def _pin_finding(event: str, subject: Subject, fields: list[str], place: Place) -> Finding:
    return found("pin-mismatch", subject, event=event, fields=", ".join(fields), block=place.block)


def _differing(one: Pin, other: Pin) -> list[str]:
    return [name for name in _PIN_FIELDS if getattr(one, name) != getattr(other, name)]


def _pin_against_ledger(state: State, pin: Pin, place: Place) -> list[str]:
    version = state.version(pin.asset, pin.version)
    if version is None or version.place > place:
        return ["version"]
    fields = [
        name for name in ("capsule_root", "policy_hash", "terms_hash") if getattr(pin, name) != getattr(version, name)
    ]
    deal = version.deal_at(place)
    if deal is None or deal.number != pin.deal:
        return [*fields, "deal"]
    if deal.hash != pin.deal_hash:
        fields.append("deal_hash")
    accepted = {taken.index for taken in deal.accepted if taken.place < place}
    if len(accepted - {0}) < deal.threshold or (deal.provider_required and 0 not in accepted):
        fields.append("deal not accepted yet")
    return fields


def grant_without_request(state: State, papers: Papers) -> Iterator[Finding]:
    """A grant answers one pending request of its buyer, once, and before any denial."""
    answered: dict[RequestId, Grant] = {}
    for grant in sorted(state.grants.values(), key=lambda grant: grant.place):
        request = state.requests.get(grant.request)
        reason = ""
        if request is None or request.place > grant.place:
            reason = f"request {grant.request} was not made"
        elif request.buyer != grant.buyer or request.asset != grant.asset:
            reason = f"request {grant.request} is of another buyer or asset"
        elif request.denied is not None and request.denied < grant.place:
            reason = f"request {grant.request} was denied"
        elif grant.request in answered:
            reason = f"request {grant.request} was granted before, as {answered[grant.request].id}"
        answered.setdefault(grant.request, grant)
        if reason:
            yield found(
                "grant-without-request",
                Subject("grant", str(grant.id)),
                _provider(state, grant.asset),
                reason=reason,
                block=grant.place.block,
            )


def grant_wider(state: State, papers: Papers) -> Iterator[Finding]:
    """A grant only narrows the terms of its version, and its window is the one that its terms give."""
    for grant in state.grants.values():
        version = state.version(grant.pin.asset, grant.pin.version)
        if version is None:
            continue
        fields = list(grant.terms.wider_than(version.terms))
        if grant.not_before != grant.terms.not_before:
            fields.append("start of the grant")
        if grant.not_after != _earlier(grant.terms.not_after, grant.place.time, grant.terms.seconds_per_grant):
            fields.append("end of the grant")
        if fields:
            yield found(
                "grant-wider",
                Subject("grant", str(grant.id)),
                _provider(state, grant.asset),
                fields=", ".join(fields),
                terms_hash=version.terms_hash,
            )


def _earlier(time: int, now: int, seconds: int) -> int:
    """As Access: the earlier of a time and so many seconds from now."""
    return time if seconds > UNLIMITED_U64 - now else min(time, now + seconds)


def terms_violated(state: State, papers: Papers) -> Iterator[Finding]:
    """What was granted fits the terms: time, purpose, algorithm, buyer, compute node, and whether by itself."""
    for grant in state.grants.values():
        request = state.requests.get(grant.request)
        version = state.version(grant.pin.asset, grant.pin.version)
        if request is None or version is None:
            continue
        reasons = _violations(state, grant, request, grant.terms)
        if not version.terms.not_before <= grant.place.time < version.terms.not_after:
            reasons.append(f"granted at {grant.place.time}, outside the terms' time")
        retired = state.assets[grant.asset].retired if grant.asset in state.assets else None
        if retired is not None and retired < grant.place:
            reasons.append(f"the asset was retired in block {retired.block}")
        if grant.automatic and not version.terms.automatic_grant:
            reasons.append("granted automatically")
        if reasons:
            yield found(
                "terms-violated",
                Subject("grant", str(grant.id)),
                _provider(state, grant.asset),
                reason="; ".join(reasons),
                block=grant.place.block,
            )


def _violations(state: State, grant: Grant, request: Request, terms: Terms) -> list[str]:
    reasons = []
    if terms.purposes and request.purpose not in terms.purposes:
        reasons.append(f"purpose {request.purpose!r} is not allowed")
    if terms.algorithms and request.algorithm not in terms.algorithms:
        reasons.append(f"algorithm {request.algorithm} is not allowed")
    if terms.compute_nodes and request.compute_node not in terms.compute_nodes:
        reasons.append(f"compute node {request.compute_node} is not allowed")
    if grant.buyer not in terms.buyers and not _has_one_of(state, grant.buyer, terms.buyer_roles, grant.place):
        reasons.append(f"buyer {grant.buyer} is not allowed")
    return reasons


def _has_one_of(state: State, account: Address, roles: int, place: Place) -> bool:
    who = state.participants.get(account)
    return who is not None and bool(who.roles_at(place) & roles)


def compute_node_involved(state: State, papers: Papers) -> Iterator[Finding]:
    """The compute node is neither the buyer nor a custodian of the deal, unless the terms name that exception."""
    for grant in state.grants.values():
        request = state.requests.get(grant.request)
        if request is None:
            continue
        deal = state.deal(grant.pin)
        roles = []
        if request.compute_node == grant.buyer and not grant.terms.compute_by_buyer:
            roles.append("the buyer")
        if deal is not None and request.compute_node in deal.holders[1:] and not grant.terms.compute_by_custodian:
            roles.append("a custodian of the deal")
        if roles:
            yield found(
                "compute-node-involved",
                Subject("grant", str(grant.id)),
                request.compute_node,
                compute_node=request.compute_node,
                role=" and ".join(roles),
            )


def agreement_mismatch(state: State, papers: Papers) -> Iterator[Finding]:
    """The agreement behind a grant says what the request and the grant say."""
    for grant in state.grants.values():
        request = state.requests.get(grant.request)
        agreement = papers.agreement(grant)
        provider = _provider(state, grant.asset)
        if request is None or not isinstance(agreement, Agreement):
            continue
        stated = {
            "asset": (agreement.asset, grant.pin.asset),
            "version": (agreement.version, grant.pin.version),
            "policy_hash": (agreement.policy_hash, grant.pin.policy_hash),
            "terms_hash": (agreement.terms_hash in (grant.pin.terms_hash, grant.terms.hash), True),
            "purpose": (agreement.purpose, request.purpose),
            "algorithm": (agreement.algorithm, request.algorithm),
            "buyer": (agreement.buyer, grant.buyer),
            "provider": (agreement.provider, provider),
            "compute_node": (agreement.compute_node, request.compute_node),
        }
        fields = [name for name, (said, known) in stated.items() if said != known]
        if fields:
            yield found(
                "agreement-mismatch",
                Subject("grant", str(grant.id)),
                provider,
                fields=", ".join(fields),
                agreement=grant.agreement_hash,
            )


def agreement_unsigned(state: State, papers: Papers) -> Iterator[Finding]:
    """Buyer and provider signed the agreement behind a grant; where the terms granted, the provider its offer."""
    chain_id = state.identity.domain.chain_id
    for grant in state.grants.values():
        agreement, signatures = papers.agreement(grant), papers.signatures(grant)
        if not isinstance(agreement, Agreement) or not isinstance(signatures, Signatures):
            continue
        access = state.identity.contracts["Access"]
        try:
            verify_signatures(agreement, signatures, chain_id, access, automatic=grant.automatic)
        except VerificationError as exc:
            owners = papers.signatures_reference(grant).owners
            yield found(
                "agreement-unsigned",
                Subject("grant", str(grant.id)),
                owners[0],
                reason=str(exc),
                agreement=grant.agreement_hash,
            )


def _versions(state: State) -> Iterator[Version]:
    for asset in state.assets.values():
        yield from asset.versions


def _provider(state: State, asset: bytes) -> Address | None:
    known = state.assets.get(asset)  # type: ignore[call-overload]
    return None if known is None else known.provider
