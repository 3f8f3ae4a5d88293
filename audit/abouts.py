"""What each event is about: the subjects whose trails it belongs to, the one that it made, and what it counts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from audit.picture import State
from audit.trail import accounts
from capsule.ids import Address, Bytes32, GrantId, RequestId, UseId
from contracts import events as ev
from contracts.structs import Pin

__all__ = ["MAKERS", "Made", "about", "abouts", "amount", "made", "narrowest", "trail_abouts"]

# A field of an event and the kind that it names, the narrowest first.
_NARROWEST: Final = {
    "use": "use",
    "grant": "grant",
    "request": "request",
    "device": "device",
    "asset": "asset",
    "account": "participant",
    "gateway": "participant",
    "owner": "participant",
    "operator": "participant",
}
# Kind, then the fields with id, parent and label.
_MADE: Final[dict[type[ev.Event], tuple[str, str, str, str]]] = {
    ev.ParticipantAdmitted: ("participant", "account", "", "uscc"),
    ev.AssetRegistered: ("asset", "asset", "provider", ""),
    ev.AccessRequested: ("request", "request", "asset", ""),
    ev.AccessGranted: ("grant", "grant", "request", ""),
    ev.UseOpened: ("use", "use", "grant", ""),
    ev.DeviceEnrolled: ("device", "device", "owner", ""),
}

MAKERS: Final = frozenset(kind.__name__ for kind in _MADE)
"""Names of the events that make a subject."""


def about(kind: str, *parts: object) -> bytes:
    """16 bytes that stand for one thing: BLAKE2b over its kind and ids."""
    return hashlib.blake2b(" ".join((kind, *map(str, parts))).encode(), digest_size=16).digest()


def amount(happened: ev.Event) -> int:
    """Frames of a batch, rows of a closed use, devices of a fleet; 0 for all else."""
    match happened:
        case ev.BatchAnchored():
            return happened.batch.size
        case ev.UseClosed():
            return happened.rows_out
        case ev.DevicesEnrolled():
            return happened.size
        case _:
            return 0


def narrowest(happened: ev.Event) -> tuple[str, str]:
    """The subject that an event is most about; empty where it has none with a trail."""
    for name, kind in _NARROWEST.items():
        value = getattr(happened, name, None)
        if value is not None:
            return kind, str(value)
    return "", ""


@dataclass(frozen=True, slots=True)
class Made:
    """A subject that an event made; `parent` is the id that it hangs on, `label` an organisation's code."""

    kind: str
    id: str
    parent: str
    label: str = ""


def made(happened: ev.Event) -> Made | None:
    """The subject that an event made, None where it made none with a trail of its own."""
    found = _MADE.get(type(happened))
    if found is None:
        return None
    kind, *names = found
    named, parent, label = (str(getattr(happened, name)) if name else "" for name in names)
    return Made(kind, named, parent, label)


def trail_abouts(state: State, kind: str, named: str) -> tuple[bytes, ...]:
    """What the events of a subject's trail are about: of a use, the whole way to it, from its asset on."""
    match kind:
        case "use" if (use := state.uses.get(UseId.parse(named))) is not None:
            grant = state.grants.get(use.grant)
            request = use.grant if grant is None else grant.request
            return (*_way(use.pin, request), about("granted", use.grant), about("use", named))
        case "grant" if (grant := state.grants.get(GrantId.parse(named))) is not None:
            return (*_way(grant.pin, grant.request), about("under grant", named))
        case "request" if (asked := state.requests.get(RequestId.parse(named))) is not None:
            return (*_way(asked.pin, asked.id), about("under request", named))
        case _:
            return (about(kind, named),)


def _way(pin: Pin, request: Bytes32) -> tuple[bytes, ...]:
    return (
        about("origin", pin.asset),
        about("version", pin.asset, pin.version),
        about("deal", pin.asset, pin.deal_hash),
        about("request", request),
    )


def abouts(state: State, happened: ev.Event, who: Address | None) -> set[bytes]:
    """All that an event is about; together these give the same trails as `audit.trail`."""
    named = accounts(happened) if who is None else {who, *accounts(happened)}
    found = {about("participant", account) for account in named}
    if isinstance(happened, ev.AssetEvent):
        found.add(about("asset", happened.asset))
    match happened:
        case ev.AssetRegistered():
            found.add(about("origin", happened.asset))
        case ev.CapsulePublished():
            found.add(about("version", happened.asset, happened.version))
        case ev.CustodyDealt() | ev.CustodyAccepted():
            found.add(about("deal", happened.asset, happened.deal_hash))
        case ev.AccessRequested() | ev.AccessDenied():
            found.add(about("request", happened.request))
        case ev.AccessGranted() | ev.AccessRevoked():
            found |= _under_grant(state, happened.grant)
            found.add(about("granted", happened.grant))
        case ev.UseOpened() | ev.ShareReleased() | ev.ShareRefused() | ev.UseClosed() | ev.UseExpired():
            found.add(about("use", happened.use))
            use = state.uses.get(happened.use)  # type: ignore[call-overload]
            if use is not None:
                found |= _under_grant(state, use.grant)
        case ev.DeviceEvent():
            found.add(about("device", happened.device))
        case _:
            pass
    return found


def _under_grant(state: State, grant: Bytes32) -> set[bytes]:
    """A grant's events and those of its uses belong to the trails of the grant and of its request."""
    known = state.grants.get(grant)  # type: ignore[call-overload]
    request = grant if known is None else known.request
    return {about("under grant", grant), about("under request", request)}
