"""Folds the events of a ledger into its `State`: pure, in one pass, in chain order.

Invariant: the same entries give the same state, and an event is taken as it speaks, never corrected. Running heads are
computed from the raw logs alone, so that they can be held against what a chain or a checkpoint says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, TypeVar

from audit.entries import Break, Claim, Entry, Identity, Mark, Orphan, Place, Running, Tip
from audit.picture import (
    Acceptance,
    Anchor,
    Asset,
    Closing,
    Deal,
    Decision,
    Device,
    DeviceKey,
    Expiry,
    Fleet,
    Grant,
    Keys,
    LogHead,
    Opening,
    Participant,
    Pause,
    Request,
    Revocation,
    Standing,
    State,
    Use,
    Version,
)
from capsule.digest import tagged
from capsule.ids import Address, AssetId, Bytes32, DeviceId, Digest, FleetId, GrantId, OpeningId, RequestId, UseId
from contracts import events as ev
from contracts.heads import event_hash, next_head

__all__ = ["fold"]

_K = TypeVar("_K", bound=Address | Bytes32)
_V = TypeVar("_V")
_NOTHING: Final = Digest(bytes(32))


def fold(entries: Iterable[Entry], identity: Identity, tip: Tip, claims: tuple[Claim, ...] = ()) -> State:
    """The state after all entries (in chain order), with running heads at the blocks that `claims` are about."""
    folding = _Folding(identity, tuple(sorted({claim.block for claim in claims})))
    for entry in entries:
        folding.take(entry)
    return folding.state(tip, claims)


class _Counter:
    """The mark of one contract, and the seq of each of its subjects."""

    __slots__ = ("_subjects", "at", "breaks", "now")

    def __init__(self) -> None:
        self.now = Mark(_NOTHING, 0, _NOTHING)
        self.breaks: list[Break] = []
        self.at: dict[int, Mark] = {}
        self._subjects: dict[bytes, int] = {}

    def take(self, entry: Entry) -> None:
        event = entry.event
        seq = self._step(self.now.seq, event.seq, None)
        head = next_head(self.now.head, event.seq, event_hash(event.log))
        self.now = Mark(head, seq, _next_places(self.now.places, entry))
        match event:
            case ev.AssetEvent(asset=subject, asset_seq=seq) | ev.DeviceEvent(device=subject, device_seq=seq):
                self._subjects[subject] = self._step(self._subjects.get(subject, 0), seq, Bytes32(subject))
            case _:
                pass

    def _step(self, last: int, seq: int, subject: Bytes32 | None) -> int:
        if seq > last + 1:
            self.breaks.append(Break(last + 1, seq - 1, "missing", subject))
        elif seq <= last:
            self.breaks.append(Break(seq, seq, "repeated", subject))
        return max(seq, last)


class _Folding:
    """The state while it grows. Values are frozen; each handler puts a new one in the place of the old."""

    def __init__(self, identity: Identity, marks: tuple[int, ...]) -> None:
        self._identity = identity
        self._marks = list(marks)
        self._counters = {name: _Counter() for name in identity.contracts}
        self._events = 0
        self._participants: dict[Address, Participant] = {}
        self._assets: dict[AssetId, Asset] = {}
        self._openings: dict[OpeningId, Opening] = {}
        self._requests: dict[RequestId, Request] = {}
        self._grants: dict[GrantId, Grant] = {}
        self._uses: dict[UseId, Use] = {}
        self._devices: dict[DeviceId, Device] = {}
        self._fleets: dict[FleetId, Fleet] = {}
        self._anchors: dict[Address, list[Anchor]] = {}
        self._log_heads: dict[Address, list[LogHead]] = {}
        self._pauses: list[Pause] = []
        self._orphans: list[Orphan] = []

    def take(self, entry: Entry) -> None:
        self._snapshot(before=entry.event.log.block_number)
        self._counters[entry.contract].take(entry)
        self._events += 1
        handler = _HANDLERS.get(type(entry.event))
        if handler is not None:
            handler(self, entry.event, entry.place)

    def state(self, tip: Tip, claims: tuple[Claim, ...]) -> State:
        self._snapshot(before=None)
        return State(
            identity=self._identity,
            tip=tip,
            events=self._events,
            running=MappingProxyType(
                {
                    name: Running(counter.now, MappingProxyType(counter.at), tuple(counter.breaks))
                    for name, counter in self._counters.items()
                }
            ),
            claims=claims,
            participants=MappingProxyType(self._participants),
            assets=MappingProxyType(self._assets),
            openings=MappingProxyType(self._openings),
            requests=MappingProxyType(self._requests),
            grants=MappingProxyType(self._grants),
            uses=MappingProxyType(self._uses),
            devices=MappingProxyType(self._devices),
            fleets=MappingProxyType(self._fleets),
            anchors=_frozen(self._anchors),
            log_heads=_frozen(self._log_heads),
            pauses=tuple(self._pauses),
            orphans=tuple(self._orphans),
        )

    def _snapshot(self, before: int | None) -> None:
        while self._marks and (before is None or self._marks[0] < before):
            block = self._marks.pop(0)
            for counter in self._counters.values():
                counter.at[block] = counter.now

    def _known(self, table: Mapping[_K, _V], key: _K, kind: str, event: ev.Event, place: Place) -> _V | None:
        value = table.get(key)
        if value is None:
            self._orphans.append(Orphan(type(event).__name__, place, kind, str(key)))
        return value

    # Participants

    def admitted(self, event: ev.ParticipantAdmitted, place: Place) -> None:
        standing = Standing(place, True, event.roles)
        self._participants[event.account] = Participant(
            event.account, event.uscc, event.identity_hash, place, (standing,)
        )

    def standing(
        self, event: ev.RolesChanged | ev.ParticipantSuspended | ev.ParticipantReinstated, place: Place
    ) -> None:
        who = self._participant(event.account, event, place)
        if who is None:
            return
        last = who.standings[-1]
        match event:
            case ev.RolesChanged(roles=roles):
                now = Standing(place, last.active, roles)
            case ev.ParticipantSuspended():
                now = Standing(place, False, last.roles)
            case ev.ParticipantReinstated():
                now = Standing(place, True, last.roles)
        self._participants[who.account] = replace(who, standings=(*who.standings, now))

    def keys(self, event: ev.KeysSet, place: Place) -> None:
        who = self._participant(event.account, event, place)
        if who is None:
            return
        earlier = who.keys
        if earlier and event.distrusted_from:
            earlier = (*earlier[:-1], replace(earlier[-1], distrusted_from=event.distrusted_from))
        now = Keys(place, event.suite, event.signing_key, event.box_key, event.box_key_signature)
        self._participants[who.account] = replace(who, keys=(*earlier, now))

    def endpoint(self, event: ev.EndpointSet, place: Place) -> None:
        who = self._participant(event.account, event, place)
        if who is not None:
            self._participants[who.account] = replace(who, endpoint=event.endpoint)

    def log_head(self, event: ev.LogHeadAnchored, place: Place) -> None:
        head = LogHead(event.account, event.size, event.root, event.previous, place)
        self._log_heads.setdefault(event.account, []).append(head)

    def _participant(self, account: Address, event: ev.Event, place: Place) -> Participant | None:
        return self._known(self._participants, account, "participant", event, place)

    # Assets

    def registered(self, event: ev.AssetRegistered, place: Place) -> None:
        self._assets[event.asset] = Asset(event.asset, event.provider, event.metadata_hash, place)

    def published(self, event: ev.CapsulePublished, place: Place) -> None:
        asset = self._asset(event, place)
        if asset is None:
            return
        version = Version(
            asset=event.asset,
            number=event.version,
            capsule_root=event.capsule_root,
            capsule_size=event.capsule_size,
            policy_hash=event.policy_hash,
            terms_hash=event.terms_hash,
            metadata_hash=event.metadata_hash,
            terms=event.terms,
            place=place,
        )
        self._assets[asset.id] = replace(asset, versions=(*asset.versions, version))

    def retired(self, event: ev.AssetRetired, place: Place) -> None:
        asset = self._asset(event, place)
        if asset is not None:
            self._assets[asset.id] = replace(asset, retired=place)

    def dealt(self, event: ev.CustodyDealt, place: Place) -> None:
        asset = self._asset(event, place)
        version = None if asset is None else asset.version(event.version)
        if asset is None or version is None:
            self._missing(f"version {event.version}", event.asset, event, place, seen=asset is None)
            return
        deal = Deal(
            asset=event.asset,
            version=event.version,
            number=event.deal,
            hash=event.deal_hash,
            threshold=event.threshold,
            provider_required=event.provider_required,
            waiting_seconds=event.waiting_seconds,
            holders=event.holders,
            place=place,
        )
        self._put_version(asset, replace(version, deals=(*version.deals, deal)))

    def accepted(self, event: ev.CustodyAccepted, place: Place) -> None:
        asset = self._asset(event, place)
        if asset is None:
            return
        accepted = Acceptance(event.holder, event.index, place)
        for version in reversed(asset.versions):
            for at, deal in enumerate(version.deals):
                if deal.hash == event.deal_hash:
                    deals = list(version.deals)
                    deals[at] = replace(deal, accepted=(*deal.accepted, accepted))
                    self._put_version(asset, replace(version, deals=tuple(deals)))
                    return
        self._missing("deal", event.deal_hash, event, place)

    def deal_opened(self, event: ev.DealOpened, place: Place) -> None:
        if self._asset(event, place) is None:
            return
        self._openings[event.opening] = Opening(
            id=event.opening,
            asset=event.asset,
            version=event.version,
            deal=event.deal,
            releasable_from=event.releasable_from,
            one_time_keys=event.one_time_keys,
            place=place,
        )

    def _asset(self, event: ev.AssetEvent, place: Place) -> Asset | None:
        return self._known(self._assets, event.asset, "asset", event, place)

    def _put_version(self, asset: Asset, changed: Version) -> None:
        versions = tuple(changed if version.number == changed.number else version for version in asset.versions)
        self._assets[asset.id] = replace(asset, versions=versions)

    def _missing(self, kind: str, key: Bytes32, event: ev.Event, place: Place, *, seen: bool = False) -> None:
        if not seen:
            self._orphans.append(Orphan(type(event).__name__, place, kind, str(key)))

    # Access

    def requested(self, event: ev.AccessRequested, place: Place) -> None:
        self._requests[event.request] = Request(
            id=event.request,
            asset=event.asset,
            buyer=event.buyer,
            pin=event.pin,
            purpose=event.purpose,
            algorithm=event.algorithm,
            compute_node=event.compute_node,
            agreement_hash=event.agreement_hash,
            place=place,
        )

    def granted(self, event: ev.AccessGranted, place: Place) -> None:
        self._grants[event.grant] = Grant(
            id=event.grant,
            request=event.request,
            asset=event.asset,
            buyer=event.buyer,
            pin=event.pin,
            not_before=event.not_before,
            not_after=event.not_after,
            agreement_hash=event.agreement_hash,
            automatic=event.automatic,
            terms=event.terms,
            place=place,
        )

    def denied(self, event: ev.AccessDenied, place: Place) -> None:
        request = self._known(self._requests, event.request, "request", event, place)
        if request is not None:
            self._requests[request.id] = replace(request, denied=place, denial=event.reason)

    def revoked(self, event: ev.AccessRevoked, place: Place) -> None:
        grant = self._known(self._grants, event.grant, "grant", event, place)
        if grant is not None and grant.revoked is None:
            self._grants[grant.id] = replace(grant, revoked=Revocation(event.reason, place))

    def opened(self, event: ev.UseOpened, place: Place) -> None:
        self._uses[event.use] = Use(
            id=event.use,
            grant=event.grant,
            asset=event.asset,
            order_hash=event.order_hash,
            deadline=event.deadline,
            measurement=event.measurement,
            one_time_keys=event.one_time_keys,
            pin=event.pin,
            order=event.order,
            order_signature=event.order_signature,
            place=place,
        )

    def decided(self, event: ev.ShareReleased | ev.ShareRefused, place: Place) -> None:
        match event:
            case ev.ShareReleased(sealed_share=sealed):
                decision = Decision(event.holder, event.index, True, 0, event.decision_hash, sealed, place)
            case ev.ShareRefused(reason=reason):
                decision = Decision(event.holder, event.index, False, reason, event.decision_hash, b"", place)
        opening = self._openings.get(OpeningId(event.use))
        if opening is not None:
            self._openings[opening.id] = replace(opening, decisions=(*opening.decisions, decision))
            return
        use = self._known(self._uses, UseId(event.use), "use", event, place)
        if use is not None:
            self._uses[use.id] = replace(use, decisions=(*use.decisions, decision))

    def closed(self, event: ev.UseClosed, place: Place) -> None:
        use = self._known(self._uses, event.use, "use", event, place)
        if use is None:
            return
        closing = Closing(
            completed=event.completed,
            late=event.late,
            given_back=event.given_back,
            reason=event.reason,
            receipt_hash=event.receipt_hash,
            result_hash=event.result_hash,
            rows_out=event.rows_out,
            place=place,
        )
        self._uses[use.id] = replace(use, closings=(*use.closings, closing))

    def expired(self, event: ev.UseExpired, place: Place) -> None:
        use = self._known(self._uses, event.use, "use", event, place)
        if use is not None:
            self._uses[use.id] = replace(use, expiries=(*use.expiries, Expiry(event.given_back, place)))

    def paused(self, event: ev.AccessPaused, place: Place) -> None:
        self._pauses.append(Pause(place))

    def unpaused(self, event: ev.AccessUnpaused, place: Place) -> None:
        if self._pauses and self._pauses[-1].ended is None:
            self._pauses[-1] = replace(self._pauses[-1], ended=place)

    # Devices

    def enrolled(self, event: ev.DeviceEnrolled, place: Place) -> None:
        key = DeviceKey(place, event.suite, event.public_key)
        self._devices[event.device] = Device(event.device, event.owner, event.model_hash, event.fleet, place, (key,))

    def fleet(self, event: ev.DevicesEnrolled, place: Place) -> None:
        self._fleets[event.fleet] = Fleet(event.fleet, event.owner, event.root, event.size, event.model_hash, place)

    def rotated(self, event: ev.DeviceRotated, place: Place) -> None:
        device = self._known(self._devices, event.device, "device", event, place)
        if device is None:
            return
        replaced = replace(device.keys[-1], counts_until=event.overlap_until, distrusted_from=event.distrusted_from)
        key = DeviceKey(place, event.suite, event.public_key)
        self._devices[device.id] = replace(device, keys=(*device.keys[:-1], replaced, key))

    def device_retired(self, event: ev.DeviceRetired, place: Place) -> None:
        device = self._known(self._devices, event.device, "device", event, place)
        if device is not None:
            self._devices[device.id] = replace(device, retired=place)

    def anchored(self, event: ev.BatchAnchored, place: Place) -> None:
        anchor = Anchor(event.gateway, event.number, event.batch, place)
        self._anchors.setdefault(event.gateway, []).append(anchor)


def _next_places(places: Digest, entry: Entry) -> Digest:
    log = entry.event.log
    numbers = (entry.event.seq, log.block_number, entry.time, log.log_index)
    place = b"".join(number.to_bytes(8, "big") for number in numbers) + log.block_hash + log.transaction_hash
    return tagged("places", places + place)


def _frozen(table: dict[_K, list[_V]]) -> Mapping[_K, tuple[_V, ...]]:
    return MappingProxyType({key: tuple(values) for key, values in table.items()})


# Events without a handler (Directory entries) change nothing that a rule reads.
_HANDLERS: Final[Mapping[type[ev.Event], Callable[[_Folding, Any, Place], None]]] = {
    ev.ParticipantAdmitted: _Folding.admitted,
    ev.RolesChanged: _Folding.standing,
    ev.ParticipantSuspended: _Folding.standing,
    ev.ParticipantReinstated: _Folding.standing,
    ev.KeysSet: _Folding.keys,
    ev.EndpointSet: _Folding.endpoint,
    ev.LogHeadAnchored: _Folding.log_head,
    ev.AssetRegistered: _Folding.registered,
    ev.CapsulePublished: _Folding.published,
    ev.AssetRetired: _Folding.retired,
    ev.CustodyDealt: _Folding.dealt,
    ev.CustodyAccepted: _Folding.accepted,
    ev.DealOpened: _Folding.deal_opened,
    ev.AccessRequested: _Folding.requested,
    ev.AccessGranted: _Folding.granted,
    ev.AccessDenied: _Folding.denied,
    ev.AccessRevoked: _Folding.revoked,
    ev.UseOpened: _Folding.opened,
    ev.ShareReleased: _Folding.decided,
    ev.ShareRefused: _Folding.decided,
    ev.UseClosed: _Folding.closed,
    ev.UseExpired: _Folding.expired,
    ev.AccessPaused: _Folding.paused,
    ev.AccessUnpaused: _Folding.unpaused,
    ev.DeviceEnrolled: _Folding.enrolled,
    ev.DevicesEnrolled: _Folding.fleet,
    ev.DeviceRotated: _Folding.rotated,
    ev.DeviceRetired: _Folding.device_retired,
    ev.BatchAnchored: _Folding.anchored,
}
