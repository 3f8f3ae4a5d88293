"""The ledger at one block as frozen values: what `ledger_state.fold` makes of the events and the rules read.

Nothing here judges. What an event said is kept as said, with its place, also where it contradicts another event; an
event that speaks of something no earlier event made is an `Orphan`. Times are block times in unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from audit.entries import Claim, Identity, Orphan, Place, Running, Tip
from capsule.ids import Address, AssetId, Bytes32, DeviceId, Digest, FleetId, GrantId, OpeningId, RequestId, Uscc, UseId
from capsule.order import Order
from capsule.receipt import CloseReason
from capsule.terms import Terms
from contracts.roles import Role
from contracts.structs import Batch, Pin

__all__ = [
    "Acceptance",
    "Anchor",
    "Asset",
    "Closing",
    "Deal",
    "Decision",
    "Device",
    "DeviceKey",
    "Expiry",
    "Fleet",
    "Grant",
    "Keys",
    "LogHead",
    "Opening",
    "Participant",
    "Pause",
    "Request",
    "Revocation",
    "Standing",
    "State",
    "Use",
    "Version",
]


# Participants


@dataclass(frozen=True, slots=True)
class Standing:
    """Status and roles of an organisation from a place on."""

    since: Place
    active: bool
    roles: Role


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys from a place on. `distrusted_from`, if not zero: signatures after this time count for nothing."""

    since: Place
    suite: int
    signing_key: bytes
    box_key: Bytes32
    box_key_signature: bytes
    distrusted_from: int = 0


@dataclass(frozen=True, slots=True)
class Participant:
    """An organisation and all it ever was."""

    account: Address
    uscc: Uscc
    identity_hash: Digest
    admitted: Place
    standings: tuple[Standing, ...]
    keys: tuple[Keys, ...] = ()
    endpoint: str = ""

    def is_active(self, place: Place, role: Role) -> bool:
        """Whether it was active with all of these roles just before the event at `place`."""
        standing = _last(self.standings, place)
        return standing is not None and standing.active and standing.roles & role == role

    def is_active_by(self, time: int) -> bool:
        """Whether it was active at a time, whatever its roles."""
        standing = next((standing for standing in reversed(self.standings) if standing.since.time <= time), None)
        return standing is not None and standing.active

    def roles_at(self, place: Place) -> Role:
        """Its roles just before the event at `place`, suspended or not."""
        standing = _last(self.standings, place)
        return Role(0) if standing is None else standing.roles

    def keys_at(self, place: Place) -> Keys | None:
        """The keys that served at `place`; None before the first."""
        return _last(self.keys, place)


class _Period(Protocol):
    @property
    def since(self) -> Place: ...


_P = TypeVar("_P", bound=_Period)


def _last(periods: tuple[_P, ...], place: Place) -> _P | None:
    return next((period for period in reversed(periods) if period.since < place), None)


# Assets


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A holder stated that it holds and checked its share."""

    holder: Address
    index: int
    place: Place


@dataclass(frozen=True, slots=True)
class Deal:
    """Who holds which share of a version's key. `holders[0]` is the provider."""

    asset: AssetId
    version: int
    number: int
    hash: Digest
    threshold: int
    provider_required: bool
    waiting_seconds: int
    holders: tuple[Address, ...]
    place: Place
    accepted: tuple[Acceptance, ...] = ()


@dataclass(frozen=True, slots=True)
class Version:
    """One published capsule of an asset."""

    asset: AssetId
    number: int
    capsule_root: Digest
    capsule_size: int
    policy_hash: Digest
    terms_hash: Digest
    metadata_hash: Digest
    terms: Terms
    place: Place
    deals: tuple[Deal, ...] = ()

    def deal_at(self, place: Place) -> Deal | None:
        """The deal in force just before the event at `place`."""
        return next((deal for deal in reversed(self.deals) if deal.place < place), None)


@dataclass(frozen=True, slots=True)
class Asset:
    """What is offered. `versions` in the order they were published."""

    id: AssetId
    provider: Address
    metadata_hash: Digest
    place: Place
    versions: tuple[Version, ...] = ()
    retired: Place | None = None

    def version(self, number: int) -> Version | None:
        return next((version for version in self.versions if version.number == number), None)


@dataclass(frozen=True, slots=True)
class Opening:
    """Holders are asked for the shares of a deal, so that a new one can be made."""

    id: OpeningId
    asset: AssetId
    version: int
    deal: int
    releasable_from: int
    one_time_keys: tuple[Bytes32, ...]
    place: Place
    decisions: tuple[Decision, ...] = ()

    @property
    def releases(self) -> tuple[Decision, ...]:
        return tuple(decision for decision in self.decisions if decision.released)


# Access


@dataclass(frozen=True, slots=True)
class Request:
    """A buyer asks. `denied` is the place of the provider's no, `denial` its reason."""

    id: RequestId
    asset: AssetId
    buyer: Address
    pin: Pin
    purpose: str
    algorithm: Digest
    compute_node: Address
    agreement_hash: Digest
    place: Place
    denied: Place | None = None
    denial: int = 0


@dataclass(frozen=True, slots=True)
class Revocation:
    """The provider took a grant back."""

    reason: int
    place: Place


@dataclass(frozen=True, slots=True)
class Grant:
    """A request was granted; `terms` are the narrower of the version's and the provider's."""

    id: GrantId
    request: RequestId
    asset: AssetId
    buyer: Address
    pin: Pin
    not_before: int
    not_after: int
    agreement_hash: Digest
    automatic: bool
    terms: Terms
    place: Place
    revoked: Revocation | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A holder released (`sealed_share`) or refused (`reason`)."""

    holder: Address
    index: int
    released: bool
    reason: int
    decision_hash: Digest
    sealed_share: bytes
    place: Place


@dataclass(frozen=True, slots=True)
class Closing:
    """The compute node ended a use."""

    completed: bool
    late: bool
    given_back: bool
    reason: int
    receipt_hash: Digest
    result_hash: Digest
    rows_out: int
    place: Place

    @property
    def accuses(self) -> bool:
        """Whether its hash stands for an accusation; any other close has a receipt."""
        return not self.completed and self.reason == CloseReason.SHARE_WRONG


@dataclass(frozen=True, slots=True)
class Expiry:
    """Somebody ended a use after its deadline."""

    given_back: bool
    place: Place


@dataclass(frozen=True, slots=True)
class Use:
    """One opening of a capsule under a grant. On an honest ledger it ends at most once."""

    id: UseId
    grant: GrantId
    asset: AssetId
    order_hash: Digest
    deadline: int
    measurement: Digest
    one_time_keys: tuple[Bytes32, ...]
    pin: Pin
    order: Order
    order_signature: bytes
    place: Place
    decisions: tuple[Decision, ...] = ()
    closings: tuple[Closing, ...] = ()
    expiries: tuple[Expiry, ...] = ()

    @property
    def releases(self) -> tuple[Decision, ...]:
        return tuple(decision for decision in self.decisions if decision.released)

    @property
    def closing(self) -> Closing | None:
        return self.closings[0] if self.closings else None

    @property
    def ends(self) -> tuple[Closing | Expiry, ...]:
        return (*self.closings, *self.expiries)

    @property
    def ended(self) -> Place | None:
        """Where the use ended first, None while it is open."""
        return min((end.place for end in self.ends), default=None)


# Devices


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """A device's key from a place on, and, once replaced, the time until which it still counts."""

    since: Place
    suite: int
    public_key: bytes
    counts_until: int | None = None
    distrusted_from: int = 0


@dataclass(frozen=True, slots=True)
class Device:
    """An enrolled device."""

    id: DeviceId
    owner: Address
    model_hash: Digest
    fleet: FleetId
    place: Place
    keys: tuple[DeviceKey, ...]
    retired: Place | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """Devices enrolled under one root."""

    id: FleetId
    owner: Address
    root: Digest
    size: int
    model_hash: Digest
    place: Place


@dataclass(frozen=True, slots=True)
class Anchor:
    """A batch of frames on chain. `number` as in the event's topic, `batch` as in its data."""

    gateway: Address
    number: int
    batch: Batch
    place: Place


@dataclass(frozen=True, slots=True)
class LogHead:
    """A head of a participant's operation log."""

    account: Address
    size: int
    root: Digest
    previous: Digest
    place: Place


@dataclass(frozen=True, slots=True)
class Pause:
    """Access was paused from a place on; until `ended`, where it was."""

    since: Place
    ended: Place | None = None


@dataclass(frozen=True, slots=True)
class State:
    """Everything that the events say, up to `tip`, and what others claim of it."""

    identity: Identity
    tip: Tip
    events: int
    running: Mapping[str, Running]
    claims: tuple[Claim, ...]
    participants: Mapping[Address, Participant]
    assets: Mapping[AssetId, Asset]
    openings: Mapping[OpeningId, Opening]
    requests: Mapping[RequestId, Request]
    grants: Mapping[GrantId, Grant]
    uses: Mapping[UseId, Use]
    devices: Mapping[DeviceId, Device]
    fleets: Mapping[FleetId, Fleet]
    anchors: Mapping[Address, tuple[Anchor, ...]]
    log_heads: Mapping[Address, tuple[LogHead, ...]]
    pauses: tuple[Pause, ...]
    orphans: tuple[Orphan, ...]

    def version(self, asset: AssetId, number: int) -> Version | None:
        known = self.assets.get(asset)
        return None if known is None else known.version(number)

    def deal(self, pin: Pin) -> Deal | None:
        """The deal that a pin names by version and number, None where the ledger has none."""
        version = self.version(pin.asset, pin.version)
        if version is None:
            return None
        return next((deal for deal in version.deals if deal.number == pin.deal), None)

    def opened_deal(self, opening: Opening) -> Deal | None:
        """The deal that an opening asks for, None where the ledger has none."""
        version = self.version(opening.asset, opening.version)
        return None if version is None else next((deal for deal in version.deals if deal.number == opening.deal), None)
