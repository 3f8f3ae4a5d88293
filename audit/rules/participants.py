"""Rules over organisations: who acted while it might not, keys that are not bound, logs that do not continue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from audit.entries import Place
from audit.findings import Finding, Subject, found
from audit.papers import Papers
from audit.picture import Request, State
from capsule.box_statement import box_key_statement
from capsule.errors import CapsuleError, VerificationError
from capsule.ids import Address, Digest, FleetId
from capsule.signature import PublicKey
from contracts.roles import Role, role_names

__all__ = [
    "acted_while_paused",
    "box_key_signature_invalid",
    "log_head_discontinuity",
    "participant_inactive_acted",
    "signing_key_at",
]

_ANY: Final = Role(0)
_NO_FLEET: Final = FleetId(bytes(32))
_NO_ROOT: Final = Digest(bytes(32))


@dataclass(frozen=True, slots=True)
class _Act:
    account: Address
    role: Role
    event: str
    place: Place


def signing_key_at(state: State, account: Address, place: Place) -> PublicKey:
    """The key under which a paper counts whose digest the chain fixed at `place`; never the current one (DESIGN 3).

    Raises VerificationError where the account had none, or where all under it is distrusted by the time of `place`;
    InputError for a key that is none.
    """
    who = state.participants.get(account)
    keys = None if who is None else who.keys_at(place)
    if keys is None:
        raise VerificationError("it had no signing key")
    if keys.distrusted_from and place.time >= keys.distrusted_from:
        raise VerificationError(f"its key is distrusted from {keys.distrusted_from} on")
    return PublicKey(keys.suite, keys.signing_key)


def participant_inactive_acted(state: State, papers: Papers) -> Iterator[Finding]:
    """Whoever a call checks was active, with the role that the call needs (DESIGN 3, which check when)."""
    for act in _acts(state):
        who = state.participants.get(act.account)
        if who is None or not who.is_active(act.place, act.role):
            yield found(
                "participant-inactive-acted",
                Subject("participant", str(act.account)),
                act.account,
                account=act.account,
                event=act.event,
                role=", ".join(role_names(act.role)) or "participant",
                block=act.place.block,
                transaction=act.place.transaction,
            )


def _acts(state: State) -> Iterator[_Act]:
    yield from _asset_acts(state)
    yield from _access_acts(state)
    for device in state.devices.values():
        if device.fleet == _NO_FLEET:
            yield _Act(device.owner, Role.PROVIDER, "DeviceEnrolled", device.place)
    for fleet in state.fleets.values():
        yield _Act(fleet.owner, Role.PROVIDER, "DevicesEnrolled", fleet.place)
    for anchors in state.anchors.values():
        for anchor in anchors:
            yield _Act(anchor.gateway, Role.GATEWAY, "BatchAnchored", anchor.place)
    for heads in state.log_heads.values():
        for head in heads:
            yield _Act(head.account, _ANY, "LogHeadAnchored", head.place)


def _asset_acts(state: State) -> Iterator[_Act]:
    for asset in state.assets.values():
        yield _Act(asset.provider, Role.PROVIDER, "AssetRegistered", asset.place)
        for version in asset.versions:
            yield _Act(asset.provider, Role.PROVIDER, "CapsulePublished", version.place)
            for deal in version.deals:
                yield _Act(asset.provider, Role.PROVIDER, "CustodyDealt", deal.place)
                for accepted in deal.accepted:
                    role = Role.PROVIDER if accepted.holder == asset.provider else Role.CUSTODIAN
                    yield _Act(accepted.holder, role, "CustodyAccepted", accepted.place)


def _access_acts(state: State) -> Iterator[_Act]:
    for request in state.requests.values():
        yield from _parties(state, request, "AccessRequested", request.place)
    for grant in state.grants.values():
        yield from _parties(state, state.requests.get(grant.request), "AccessGranted", grant.place)
    for use in state.uses.values():
        given = state.grants.get(use.grant)
        asked = None if given is None else state.requests.get(given.request)
        yield from _parties(state, asked, "UseOpened", use.place)
        for release in use.releases:
            yield _Act(release.holder, _ANY, "ShareReleased", release.place)


def _parties(state: State, request: Request | None, event: str, place: Place) -> Iterator[_Act]:
    """Buyer, provider and compute node, which request, grant and openUse all check."""
    if request is None:
        return
    yield _Act(request.buyer, Role.BUYER, event, place)
    yield _Act(request.compute_node, Role.COMPUTE, event, place)
    asset = state.assets.get(request.asset)
    if asset is not None:
        yield _Act(asset.provider, Role.PROVIDER, event, place)


def acted_while_paused(state: State, papers: Papers) -> Iterator[Finding]:
    """No request, grant, use or release while access is paused."""
    for act in _pausable(state):
        for pause in state.pauses:
            if pause.since < act.place and (pause.ended is None or act.place < pause.ended):
                yield found(
                    "acted-while-paused",
                    Subject("participant", str(act.account)),
                    act.account,
                    account=act.account,
                    event=act.event,
                    paused=pause.since.block,
                    block=act.place.block,
                    transaction=act.place.transaction,
                )


def _pausable(state: State) -> Iterator[_Act]:
    for request in state.requests.values():
        yield _Act(request.buyer, _ANY, "AccessRequested", request.place)
    for grant in state.grants.values():
        yield _Act(grant.buyer, _ANY, "AccessGranted", grant.place)
    for use in state.uses.values():
        yield _Act(use.order.compute_node, _ANY, "UseOpened", use.place)
    decisions = [decision for use in state.uses.values() for decision in use.decisions]
    decisions += [decision for opening in state.openings.values() for decision in opening.decisions]
    for decision in decisions:
        if decision.released:
            yield _Act(decision.holder, _ANY, "ShareReleased", decision.place)


def box_key_signature_invalid(state: State, papers: Papers) -> Iterator[Finding]:
    """The key that shares are sealed to is signed by the organisation's signing key."""
    for who in state.participants.values():
        for keys in who.keys:
            statement = box_key_statement(state.identity.domain, who.account, keys.box_key)
            try:
                PublicKey(keys.suite, keys.signing_key).verify(statement, keys.box_key_signature)
            except CapsuleError as exc:
                yield found(
                    "box-key-signature-invalid",
                    Subject("participant", str(who.account)),
                    who.account,
                    account=who.account,
                    reason=exc,
                    box_key=keys.box_key,
                    block=keys.since.block,
                )


def log_head_discontinuity(state: State, papers: Papers) -> Iterator[Finding]:
    """Heads of an operation log only grow, and each names the one before."""
    for account, heads in state.log_heads.items():
        size, root = 0, _NO_ROOT
        for head in heads:
            reasons = []
            if head.size <= size:
                reasons.append(f"size {head.size} after {size}")
            if head.previous != root:
                reasons.append(f"it names {head.previous} as the head before, which was {root}")
            if reasons:
                yield found(
                    "log-head-discontinuity",
                    Subject("participant", str(account)),
                    account,
                    account=account,
                    reason="; ".join(reasons),
                    block=head.place.block,
                )
            size, root = head.size, head.root
