"""Who did what: the account behind each kind of event, and the event in a few words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from audit.picture import State
from capsule.ids import Address
from contracts import events as ev
from contracts.roles import role_names

__all__ = ["actor", "words"]


def actor(state: State, event: ev.Event) -> Address | None:
    """Who made the call, as far as the event and the state say; None where anybody may, or an operator did."""
    find = _ACTORS.get(type(event))
    return None if find is None else find(state, event)


def words(event: ev.Event) -> str:
    """The event in a few English words."""
    say = _WORDS.get(type(event))
    return type(event).__name__ if say is None else say(event)


def _provider(state: State, event: Any) -> Address | None:
    asset = state.assets.get(event.asset)
    return None if asset is None else asset.provider


def _closer(state: State, event: Any) -> Address | None:
    use = state.uses.get(event.use)
    return None if use is None else use.order.compute_node


def _owner(state: State, event: Any) -> Address | None:
    device = state.devices.get(event.device)
    return None if device is None else device.owner


_ACTORS: Final[Mapping[type[ev.Event], Callable[[State, Any], Address | None]]] = MappingProxyType(
    {
        ev.KeysSet: lambda state, event: event.account,
        ev.EndpointSet: lambda state, event: event.account,
        ev.LogHeadAnchored: lambda state, event: event.account,
        ev.AssetRegistered: lambda state, event: event.provider,
        ev.CapsulePublished: _provider,
        ev.CustodyDealt: _provider,
        ev.AssetRetired: _provider,
        ev.DealOpened: _provider,
        ev.CustodyAccepted: lambda state, event: event.holder,
        ev.AccessRequested: lambda state, event: event.buyer,
        ev.AccessGranted: lambda state, event: event.buyer if event.automatic else _provider(state, event),
        ev.AccessDenied: _provider,
        ev.AccessRevoked: _provider,
        ev.UseOpened: lambda state, event: event.order.compute_node,
        ev.ShareReleased: lambda state, event: event.holder,
        ev.ShareRefused: lambda state, event: event.holder,
        ev.UseClosed: _closer,
        ev.DeviceEnrolled: lambda state, event: event.owner,
        ev.DevicesEnrolled: lambda state, event: event.owner,
        ev.DeviceRotated: _owner,
        ev.DeviceRetired: _owner,
        ev.BatchAnchored: lambda state, event: event.gateway,
        ev.AccessPaused: lambda state, event: event.operator,
        ev.AccessUnpaused: lambda state, event: event.operator,
    }
)


def _closed(event: Any) -> str:
    late = " late" if event.late else ""
    if event.completed:
        return f"closed the use{late}: completed, {event.rows_out} rows"
    return f"closed the use{late}: failed, reason {event.reason}"


_WORDS: Final[Mapping[type[ev.Event], Callable[[Any], str]]] = MappingProxyType(
    {
        ev.EntrySet: lambda event: f"named the contract {event.name}",
        ev.ParticipantAdmitted: lambda event: f"admitted as {', '.join(role_names(event.roles)) or 'participant'}",
        ev.RolesChanged: lambda event: f"roles set to {', '.join(role_names(event.roles)) or 'none'}",
        ev.ParticipantSuspended: lambda event: f"suspended: {event.reason}",
        ev.ParticipantReinstated: lambda event: f"reinstated: {event.reason}",
        ev.KeysSet: lambda event: "set its keys",
        ev.EndpointSet: lambda event: f"set its endpoint {event.endpoint}",
        ev.LogHeadAnchored: lambda event: f"anchored its log at size {event.size}",
        ev.AssetRegistered: lambda event: "registered the asset",
        ev.CapsulePublished: lambda event: f"published version {event.version}, {event.capsule_size} bytes",
        ev.AssetRetired: lambda event: f"retired the asset: {event.reason}",
        ev.CustodyDealt: lambda event: (
            f"dealt the key of version {event.version}: {event.threshold} of {len(event.holders) - 1} custodians"
        ),
        ev.CustodyAccepted: lambda event: f"accepted share {event.index}",
        ev.DealOpened: lambda event: f"asked for the shares of deal {event.deal}: {event.reason}",
        ev.AccessRequested: lambda event: f"requested access for {event.purpose!r}",
        ev.AccessGranted: lambda event: "granted access" + (" by its terms" if event.automatic else ""),
        ev.AccessDenied: lambda event: f"denied access, reason {event.reason}",
        ev.AccessRevoked: lambda event: f"revoked the grant, reason {event.reason}",
        ev.UseOpened: lambda event: f"opened a use with order {event.order.number}",
        ev.ShareReleased: lambda event: f"released share {event.index}",
        ev.ShareRefused: lambda event: f"refused share {event.index}, reason {event.reason}",
        ev.UseClosed: _closed,
        ev.UseExpired: lambda event: "the use expired" + (", given back" if event.given_back else ", spent"),
        ev.AccessPaused: lambda event: "paused access",
        ev.AccessUnpaused: lambda event: "took up access again",
        ev.DeviceEnrolled: lambda event: "enrolled the device",
        ev.DevicesEnrolled: lambda event: f"enrolled a fleet of {event.size}",
        ev.DeviceRotated: lambda event: "rotated the device's key",
        ev.DeviceRetired: lambda event: "retired the device",
        ev.BatchAnchored: lambda event: f"anchored batch {event.number}, {event.batch.size} frames",
    }
)
