"""The few facts that a trail page opens with: what its subject is, whose, and how it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from audit.deeds_zh import ROLES_ZH
from audit.findings import Subject
from audit.pages.text import time
from audit.picture import State
from capsule.ids import Address, AssetId, DeviceId, GrantId, RequestId, UseId
from contracts.roles import role_names

__all__ = ["Fact", "facts_of", "status_of"]


@dataclass(frozen=True, slots=True)
class Fact:
    """`word`: its name in the catalogue; `text` as it is, or `state`, a word to fill; `about`: what it links to."""

    word: str
    text: str = ""
    state: str = ""
    about: Subject | None = None
    fill: tuple[str, ...] = ()


def facts_of(state: State, about: Subject, language: str) -> tuple[Fact, ...]:
    """Nothing where the state does not know the subject (its events speak of something that was never made)."""
    return tuple(_READERS[about.kind](state, about.id, language))


def status_of(state: State, kind: str, named: str) -> str:
    """How a subject stands now: a word of the catalogue, empty where the state does not know it."""
    status = _STATUS.get(kind)
    return "" if status is None else status(state, named)


def _account(state: State, word: str, account: Address) -> Fact:
    known = state.participants.get(account)
    return Fact(word, str(account) if known is None else str(known.uscc), about=Subject("participant", str(account)))


def _link(word: str, kind: str, named: object) -> Fact:
    return Fact(word, str(named), about=Subject(kind, str(named)))


def _participant(state: State, named: str, language: str) -> Iterator[Fact]:
    who = state.participants.get(Address.parse(named))
    if who is None:
        return
    standing = who.standings[-1]
    names = role_names(standing.roles)
    roles = "、".join(ROLES_ZH.get(name, name) for name in names) if language == "zh" else ", ".join(names)
    yield Fact("fact.uscc", str(who.uscc))
    yield Fact("fact.account", named)
    yield Fact("fact.roles", roles)
    yield Fact("fact.status", state=_participant_status(state, named))
    yield Fact("fact.admitted", time(who.admitted.time))
    yield Fact("fact.endpoint", who.endpoint)


def _participant_status(state: State, named: str) -> str:
    who = state.participants.get(Address.parse(named))
    return "" if who is None else "state.active" if who.standings[-1].active else "state.suspended"


def _asset(state: State, named: str, language: str) -> Iterator[Fact]:
    asset = state.assets.get(AssetId.parse(named))
    if asset is None:
        return
    yield _account(state, "fact.provider", asset.provider)
    yield Fact("fact.status", state=_asset_status(state, named))
    yield Fact("fact.registered", time(asset.place.time))
    yield Fact("fact.versions", str(len(asset.versions)))
    if asset.versions:
        newest = asset.versions[-1]
        yield Fact("fact.size", f"{newest.capsule_size:,}")
        yield Fact("fact.root", str(newest.capsule_root))
        if newest.deals:
            deal = newest.deals[-1]
            fill = (str(deal.threshold), str(len(deal.holders) - 1), str(len(deal.accepted)))
            yield Fact("fact.deal", state="deal.sum", fill=fill)


def _asset_status(state: State, named: str) -> str:
    asset = state.assets.get(AssetId.parse(named))
    if asset is None:
        return ""
    if asset.retired is not None:
        return "state.retired"
    return "state.offered" if asset.versions else "state.registered"


def _request(state: State, named: str, language: str) -> Iterator[Fact]:
    request = state.requests.get(RequestId.parse(named))
    if request is None:
        return
    yield _link("fact.asset", "asset", request.asset)
    yield _account(state, "fact.buyer", request.buyer)
    yield Fact("fact.purpose", request.purpose)
    yield _account(state, "fact.compute", request.compute_node)
    yield Fact("fact.algorithm", str(request.algorithm))
    yield Fact("fact.status", state=_request_status(state, named))
    yield Fact("fact.asked", time(request.place.time))


def _request_status(state: State, named: str) -> str:
    request = state.requests.get(RequestId.parse(named))
    return "" if request is None else "state.asked" if request.denied is None else "state.denied"


def _grant(state: State, named: str, language: str) -> Iterator[Fact]:
    grant = state.grants.get(GrantId.parse(named))
    if grant is None:
        return
    yield _link("fact.asset", "asset", grant.asset)
    yield _link("fact.request", "request", grant.request)
    yield _account(state, "fact.buyer", grant.buyer)
    yield Fact("fact.status", state=_grant_status(state, named))
    yield Fact("fact.valid", f"{time(grant.not_before)} – {time(grant.not_after)}")
    yield Fact("fact.how", state="grant.automatic" if grant.automatic else "grant.by-provider")
    yield Fact("fact.agreement", str(grant.agreement_hash))


def _grant_status(state: State, named: str) -> str:
    grant = state.grants.get(GrantId.parse(named))
    if grant is None:
        return ""
    if grant.revoked is not None:
        return "state.revoked"
    return "state.over" if grant.not_after < state.tip.time else "state.live"


def _use(state: State, named: str, language: str) -> Iterator[Fact]:
    use = state.uses.get(UseId.parse(named))
    if use is None:
        return
    yield _link("fact.asset", "asset", use.asset)
    yield _link("fact.grant", "grant", use.grant)
    grant = state.grants.get(use.grant)
    if grant is not None:
        yield _account(state, "fact.buyer", grant.buyer)
    yield _account(state, "fact.compute", use.order.compute_node)
    yield Fact("fact.status", state=_use_status(state, named))
    yield Fact("fact.opened", time(use.place.time))
    yield Fact("fact.deadline", time(use.deadline))
    yield Fact("fact.decisions", state="use.decisions", fill=_decided(len(use.releases), len(use.decisions)))
    if use.closing is not None:
        yield Fact("fact.rows", f"{use.closing.rows_out:,}")
        yield Fact("fact.receipt", str(use.closing.receipt_hash))


def _decided(released: int, decided: int) -> tuple[str, str]:
    return str(released), str(decided - released)


def _use_status(state: State, named: str) -> str:
    use = state.uses.get(UseId.parse(named))
    if use is None:
        return ""
    if use.closing is not None:
        return "state.completed" if use.closing.completed else "state.failed"
    return "state.open" if use.ended is None else "state.expired"


def _device(state: State, named: str, language: str) -> Iterator[Fact]:
    device = state.devices.get(DeviceId.parse(named))
    if device is None:
        return
    yield _account(state, "fact.owner", device.owner)
    yield Fact("fact.status", state=_device_status(state, named))
    yield Fact("fact.enrolled", time(device.place.time))
    yield Fact("fact.model", str(device.model_hash))
    yield Fact("fact.keys", str(len(device.keys)))


def _device_status(state: State, named: str) -> str:
    device = state.devices.get(DeviceId.parse(named))
    return "" if device is None else "state.active" if device.retired is None else "state.retired"


_READERS = {
    "participant": _participant,
    "asset": _asset,
    "request": _request,
    "grant": _grant,
    "use": _use,
    "device": _device,
}
_STATUS = {
    "participant": _participant_status,
    "asset": _asset_status,
    "request": _request_status,
    "grant": _grant_status,
    "use": _use_status,
    "device": _device_status,
}
