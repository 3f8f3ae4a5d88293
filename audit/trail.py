"""Trails: all events of one subject in order, with who did what, when, in which transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Final

from audit.deeds import actor, words
from audit.entries import Entry, Place
from audit.errors import RequestError
from audit.findings import Subject
from audit.index import Index
from audit.notation import place_json
from audit.papers import Papers
from audit.picture import State
from audit.record import record
from capsule.batch import BatchDocument
from capsule.canonical import Json
from capsule.errors import InputError
from capsule.ids import Address, Bytes32, DeviceId
from contracts import events as ev
from contracts.structs import Pin

__all__ = ["Trail", "TrailRow", "accounts", "subject", "trail", "trail_of"]

_KINDS: Final = ("asset", "request", "grant", "use", "device", "participant")


@dataclass(frozen=True, slots=True)
class TrailRow:
    """One event: `who` acted (None where anybody may), `uscc` its organisation, `what` it was in a few words."""

    place: Place
    contract: str
    event: str
    who: Address | None
    uscc: str
    what: str
    body: dict[str, Json]

    def cells(self) -> tuple[str, str, str, str, str]:
        """Time (UTC), block, who, what, transaction, for a table."""
        time = datetime.fromtimestamp(self.place.time, UTC).strftime("%Y-%m-%d %H:%M:%S")
        who = self.uscc or ("" if self.who is None else str(self.who))
        return time, str(self.place.block), who, self.what, str(self.place.transaction)

    def to_json(self) -> dict[str, Json]:
        return {
            "place": place_json(self.place),
            "contract": self.contract,
            "event": self.event,
            "who": None if self.who is None else str(self.who),
            "uscc": self.uscc,
            "what": self.what,
            "body": self.body,
        }


@dataclass(frozen=True, slots=True)
class Trail:
    """The events of `subject`, in chain order."""

    subject: Subject
    rows: tuple[TrailRow, ...]

    def to_json(self) -> dict[str, Json]:
        return {
            "subject": {"kind": self.subject.kind, "id": self.subject.id},
            "rows": [row.to_json() for row in self.rows],
        }


def subject(kind: str, written: str) -> Subject:
    """A subject from its kind (asset, request, grant, use, device, participant) and its written id.

    An organisation is named by its account or its 统一社会信用代码. Raises RequestError.
    """
    if kind not in _KINDS:
        raise RequestError(f"a trail is of one of {', '.join(_KINDS)}, not of a {kind}")
    try:
        if kind == "participant":
            return Subject(kind, str(Address.parse(written)) if written.startswith("0x") else written)
        return Subject(kind, str(Bytes32.parse(written)))
    except InputError as exc:
        raise RequestError(str(exc)) from exc


def trail(index: Index, about: Subject, papers: Papers | None = None) -> Trail:
    """The trail of a subject in an index. With `papers`, a device's trail names the batches that hold its frames.

    Raises RequestError for a subject that the index does not know.
    """
    return trail_of(index.state(), index.entries(), about, papers)


def trail_of(state: State, entries: Iterable[Entry], about: Subject, papers: Papers | None = None) -> Trail:
    """As `trail`, of a state and its events."""
    about = _resolved(state, about)
    concerns = _concerns(state, about, papers)
    rows = tuple(_row(state, entry) for entry in entries if concerns(entry.event))
    if not rows:
        raise RequestError(f"the ledger knows no {about}")
    return Trail(about, rows)


def _resolved(state: State, about: Subject) -> Subject:
    if about.kind != "participant" or about.id.startswith("0x"):
        return about
    for who in state.participants.values():
        if who.uscc == about.id:
            return Subject("participant", str(who.account))
    raise RequestError(f"the ledger knows no organisation {about.id}")


def _row(state: State, entry: Entry) -> TrailRow:
    event = entry.event
    who = actor(state, event)
    known = None if who is None else state.participants.get(who)
    return TrailRow(
        place=entry.place,
        contract=entry.contract,
        event=type(event).__name__,
        who=who,
        uscc="" if known is None else known.uscc,
        what=words(event),
        body=record(event),
    )


_Concerns = Callable[[ev.Event], bool]
_Key = tuple[object, ...]


def _concerns(state: State, about: Subject, papers: Papers | None) -> _Concerns:
    match about.kind:
        case "asset":
            asset = Bytes32.parse(about.id)
            return lambda event: isinstance(event, ev.AssetEvent) and event.asset == asset
        case "device":
            return _device(DeviceId.parse(about.id), papers, state)
        case "participant":
            account = Address.parse(about.id)
            return lambda event: account in accounts(event) or actor(state, event) == account
        case _:
            keys = frozenset(_keys(state, about))
            return lambda event: _key(event) in keys


def _keys(state: State, about: Subject) -> Iterator[_Key]:
    """What the events of a request's, grant's or use's trail are about: from its asset down to its uses."""
    for use in state.uses.values():
        grant = state.grants.get(use.grant)
        request = use.grant if grant is None else grant.request
        if about.id == str({"use": use.id, "grant": use.grant, "request": request}.get(about.kind)):
            yield ("use", use.id)
            yield from _way(use.pin, request, use.grant)
    for grant in state.grants.values():
        if about.id == str({"grant": grant.id, "request": grant.request}.get(about.kind)):
            yield from _way(grant.pin, grant.request, grant.id)
    for asked in state.requests.values():
        if (about.kind, about.id) == ("request", str(asked.id)):
            yield from _way(asked.pin, asked.id, None)


def _way(pin: Pin, request: Bytes32, grant: Bytes32 | None) -> tuple[_Key, ...]:
    return (
        ("asset", pin.asset),
        ("version", pin.asset, pin.version),
        ("deal", pin.asset, pin.deal_hash),
        ("request", request),
        ("grant", grant),
    )


def _key(event: ev.Event) -> _Key:
    match event:
        case ev.UseOpened() | ev.ShareReleased() | ev.ShareRefused() | ev.UseClosed() | ev.UseExpired():
            key: _Key = ("use", event.use)
        case ev.AccessGranted() | ev.AccessRevoked():
            key = ("grant", event.grant)
        case ev.AccessRequested() | ev.AccessDenied():
            key = ("request", event.request)
        case ev.CapsulePublished():
            key = ("version", event.asset, event.version)
        case ev.CustodyDealt() | ev.CustodyAccepted():
            key = ("deal", event.asset, event.deal_hash)
        case ev.AssetRegistered():
            key = ("asset", event.asset)
        case _:
            key = ()
    return key


def _device(device: DeviceId, papers: Papers | None, state: State) -> _Concerns:
    anchored = {
        (anchor.gateway, anchor.number)
        for anchors in (() if papers is None else state.anchors.values())
        for anchor in anchors
        if papers is not None and _holds(papers.batch(anchor), device)
    }

    def concerns(event: ev.Event) -> bool:
        if isinstance(event, ev.BatchAnchored):
            return (event.gateway, event.number) in anchored
        return isinstance(event, ev.DeviceEvent) and event.device == device

    return concerns


def _holds(paper: object, device: DeviceId) -> bool:
    return isinstance(paper, BatchDocument) and any(entry.device == device for entry in paper.entries)


def accounts(event: ev.Event) -> set[Address]:
    """Accounts that an event names itself."""
    found: set[Address] = set()
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, Address):
            found.add(value)
        elif field.name == "holders":
            found.update(value)
    return found
