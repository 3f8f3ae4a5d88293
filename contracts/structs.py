# Generated from the contracts' ABI by scripts/build_contracts.py; do not edit.
"""Structs and enums of the contracts as frozen values, with their readers and writers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from capsule.ids import Address, AssetId, Bytes32, Digest, GrantId, RequestId, Uscc
from capsule.order import Order
from capsule.terms import Terms
from contracts.roles import Role
from contracts.words import (
    address,
    blob,
    boolean,
    bytes32,
    digest,
    listing,
    listing_of_tails,
    tail,
    text,
    uint,
    uscc_or_none,
    word,
)

__all__ = [
    "BATCH_TYPE",
    "ORDER_TYPE",
    "PIN_TYPE",
    "TERMS_TYPE",
    "Asset",
    "Batch",
    "Deal",
    "Decision",
    "Device",
    "DeviceStatus",
    "Fleet",
    "Grant",
    "Keys",
    "Opening",
    "Organisation",
    "ParticipantStatus",
    "Pin",
    "Request",
    "RequestStatus",
    "Use",
    "UseStatus",
    "Version",
    "batch_values",
    "order_values",
    "pin_values",
    "read_asset",
    "read_batch",
    "read_deal",
    "read_device",
    "read_fleet",
    "read_grant",
    "read_keys",
    "read_opening",
    "read_order",
    "read_organisation",
    "read_pin",
    "read_request",
    "read_terms",
    "read_use",
    "read_version",
    "terms_values",
]


class Decision(IntEnum):
    """Solidity: IAccess.Decision."""

    NONE = 0
    RELEASED = 1
    REFUSED = 2


class RequestStatus(IntEnum):
    """Solidity: IAccess.RequestStatus."""

    NONE = 0
    PENDING = 1
    GRANTED = 2
    DENIED = 3


class UseStatus(IntEnum):
    """Solidity: IAccess.UseStatus."""

    NONE = 0
    OPEN = 1
    COMPLETED = 2
    FAILED = 3
    EXPIRED = 4


class DeviceStatus(IntEnum):
    """Solidity: IDevices.DeviceStatus."""

    NONE = 0
    ENROLLED = 1
    RETIRED = 2


class ParticipantStatus(IntEnum):
    """Solidity: IParticipants.Status."""

    NONE = 0
    ACTIVE = 1
    SUSPENDED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Solidity: struct Keys."""

    suite: int
    signing_key: bytes
    box_key: Bytes32
    box_key_signature: bytes
    since: int
    distrusted_from: int


def read_keys(data: bytes, at: int) -> Keys:
    """The struct at `at`."""
    return Keys(
        suite=uint(data, at, 8),
        signing_key=blob(data, tail(data, at, at + 32)),
        box_key=bytes32(data, at + 64),
        box_key_signature=blob(data, tail(data, at, at + 96)),
        since=uint(data, at + 128, 64),
        distrusted_from=uint(data, at + 160, 64),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """Solidity: struct Organisation."""

    uscc: Uscc | None
    status: ParticipantStatus
    roles: Role
    identity_hash: Digest
    endpoint: str


def read_organisation(data: bytes, at: int) -> Organisation:
    """The struct at `at`."""
    return Organisation(
        uscc=uscc_or_none(data, at),
        status=ParticipantStatus(uint(data, at + 32, 8)),
        roles=Role(uint(data, at + 64, 32)),
        identity_hash=digest(data, at + 96),
        endpoint=text(data, tail(data, at, at + 128)),
    )


def read_terms(data: bytes, at: int) -> Terms:
    """The struct at `at`."""
    return Terms(
        compiler=uint(data, at, 16),
        not_before=uint(data, at + 32, 64),
        not_after=uint(data, at + 64, 64),
        purposes=listing_of_tails(data, tail(data, at, at + 96), text),
        algorithms=listing(data, tail(data, at, at + 128), 32, digest),
        buyers=listing(data, tail(data, at, at + 160), 32, address),
        buyer_roles=Role(uint(data, at + 192, 32)),
        compute_nodes=listing(data, tail(data, at, at + 224), 32, address),
        holders=listing(data, tail(data, at, at + 256), 32, address),
        least_threshold=uint(data, at + 288, 8),
        provider_share_required=boolean(data, at + 320),
        seconds_per_grant=uint(data, at + 352, 64),
        seconds_per_use=uint(data, at + 384, 64),
        uses_per_grant=uint(data, at + 416, 32),
        uses_per_buyer=uint(data, at + 448, 32),
        uses_total=uint(data, at + 480, 32),
        rows_per_buyer=uint(data, at + 512, 64),
        automatic_grant=boolean(data, at + 544),
        compute_by_buyer=boolean(data, at + 576),
        compute_by_custodian=boolean(data, at + 608),
    )


TERMS_TYPE: Final = (
    "(uint16,uint64,uint64,string[],bytes32[],address[],uint32,address[],address[],uint8,bool,uint64,uint64,uint32,"
    "uint32,uint32,uint64,bool,bool,bool)"
)


def terms_values(value: Terms) -> tuple[object, ...]:
    """As eth_abi takes it."""
    return (
        value.compiler,
        value.not_before,
        value.not_after,
        value.purposes,
        value.algorithms,
        value.buyers,
        value.buyer_roles,
        value.compute_nodes,
        value.holders,
        value.least_threshold,
        value.provider_share_required,
        value.seconds_per_grant,
        value.seconds_per_use,
        value.uses_per_grant,
        value.uses_per_buyer,
        value.uses_total,
        value.rows_per_buyer,
        value.automatic_grant,
        value.compute_by_buyer,
        value.compute_by_custodian,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """Solidity: struct Asset."""

    provider: Address
    retired: bool
    versions: int
    metadata_hash: Digest


def read_asset(data: bytes, at: int) -> Asset:
    """The struct at `at`."""
    return Asset(
        provider=address(data, at),
        retired=boolean(data, at + 32),
        versions=uint(data, at + 64, 32),
        metadata_hash=digest(data, at + 96),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """Solidity: struct Deal."""

    deal_hash: Digest
    threshold: int
    provider_required: bool
    provider_accepted: bool
    accepted: int
    waiting_seconds: int
    holders: tuple[Address, ...]


def read_deal(data: bytes, at: int) -> Deal:
    """The struct at `at`."""
    return Deal(
        deal_hash=digest(data, at),
        threshold=uint(data, at + 32, 8),
        provider_required=boolean(data, at + 64),
        provider_accepted=boolean(data, at + 96),
        accepted=uint(data, at + 128, 8),
        waiting_seconds=uint(data, at + 160, 32),
        holders=listing(data, tail(data, at, at + 192), 32, address),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Solidity: struct Opening."""

    asset: AssetId
    version: int
    deal: int
    releasable_from: int


def read_opening(data: bytes, at: int) -> Opening:
    """The struct at `at`."""
    return Opening(
        asset=AssetId(word(data, at)),
        version=uint(data, at + 32, 32),
        deal=uint(data, at + 64, 32),
        releasable_from=uint(data, at + 96, 64),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Solidity: struct Version."""

    capsule_root: Digest
    capsule_size: int
    policy_hash: Digest
    terms_hash: Digest
    metadata_hash: Digest
    deals: int


def read_version(data: bytes, at: int) -> Version:
    """The struct at `at`."""
    return Version(
        capsule_root=digest(data, at),
        capsule_size=uint(data, at + 32, 64),
        policy_hash=digest(data, at + 64),
        terms_hash=digest(data, at + 96),
        metadata_hash=digest(data, at + 128),
        deals=uint(data, at + 160, 32),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """Solidity: struct Pin."""

    asset: AssetId
    version: int
    capsule_root: Digest
    policy_hash: Digest
    terms_hash: Digest
    deal: int
    deal_hash: Digest


def read_pin(data: bytes, at: int) -> Pin:
    """The struct at `at`."""
    return Pin(
        asset=AssetId(word(data, at)),
        version=uint(data, at + 32, 32),
        capsule_root=digest(data, at + 64),
        policy_hash=digest(data, at + 96),
        terms_hash=digest(data, at + 128),
        deal=uint(data, at + 160, 32),
        deal_hash=digest(data, at + 192),
    )


PIN_TYPE: Final = "(bytes32,uint32,bytes32,bytes32,bytes32,uint32,bytes32)"


def pin_values(value: Pin) -> tuple[object, ...]:
    """As eth_abi takes it."""
    return (
        value.asset,
        value.version,
        value.capsule_root,
        value.policy_hash,
        value.terms_hash,
        value.deal,
        value.deal_hash,
    )


def read_order(data: bytes, at: int) -> Order:
    """The struct at `at`."""
    return Order(
        grants=listing(data, tail(data, at, at), 32, lambda d, i: GrantId(word(d, i))),
        number=uint(data, at + 32, 256),
        algorithm=digest(data, at + 64),
        parameters=digest(data, at + 96),
        compute_node=address(data, at + 128),
        result_key=bytes32(data, at + 160),
        deadline=uint(data, at + 192, 64),
    )


ORDER_TYPE: Final = "(bytes32[],uint256,bytes32,bytes32,address,bytes32,uint64)"


def order_values(value: Order) -> tuple[object, ...]:
    """As eth_abi takes it."""
    return (
        value.grants,
        value.number,
        value.algorithm,
        value.parameters,
        value.compute_node,
        value.result_key,
        value.deadline,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Solidity: struct Grant."""

    pin: Pin
    request: RequestId
    buyer: Address
    provider: Address
    compute_node: Address
    algorithm: Digest
    terms_hash: Digest
    agreement_hash: Digest
    not_before: int
    not_after: int
    seconds_per_use: int
    uses_per_grant: int
    uses_per_buyer: int
    uses_total: int
    rows_per_buyer: int
    used: int
    revoked: bool


def read_grant(data: bytes, at: int) -> Grant:
    """The struct at `at`."""
    return Grant(
        pin=read_pin(data, at),
        request=RequestId(word(data, at + 224)),
        buyer=address(data, at + 256),
        provider=address(data, at + 288),
        compute_node=address(data, at + 320),
        algorithm=digest(data, at + 352),
        terms_hash=digest(data, at + 384),
        agreement_hash=digest(data, at + 416),
        not_before=uint(data, at + 448, 64),
        not_after=uint(data, at + 480, 64),
        seconds_per_use=uint(data, at + 512, 64),
        uses_per_grant=uint(data, at + 544, 32),
        uses_per_buyer=uint(data, at + 576, 32),
        uses_total=uint(data, at + 608, 32),
        rows_per_buyer=uint(data, at + 640, 64),
        used=uint(data, at + 672, 32),
        revoked=boolean(data, at + 704),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Solidity: struct Request."""

    pin: Pin
    buyer: Address
    status: RequestStatus
    compute_node: Address
    algorithm: Digest
    purpose_hash: Digest
    agreement_hash: Digest


def read_request(data: bytes, at: int) -> Request:
    """The struct at `at`."""
    return Request(
        pin=read_pin(data, at),
        buyer=address(data, at + 224),
        status=RequestStatus(uint(data, at + 256, 8)),
        compute_node=address(data, at + 288),
        algorithm=digest(data, at + 320),
        purpose_hash=digest(data, at + 352),
        agreement_hash=digest(data, at + 384),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Solidity: struct Use."""

    grant: GrantId
    order_hash: Digest
    compute_node: Address
    status: UseStatus
    opened_at: int
    deadline: int
    released: int
    provider_released: bool
    receipt_hash: Digest
    result_hash: Digest


def read_use(data: bytes, at: int) -> Use:
    """The struct at `at`."""
    return Use(
        grant=GrantId(word(data, at)),
        order_hash=digest(data, at + 32),
        compute_node=address(data, at + 64),
        status=UseStatus(uint(data, at + 96, 8)),
        opened_at=uint(data, at + 128, 64),
        deadline=uint(data, at + 160, 64),
        released=uint(data, at + 192, 8),
        provider_released=boolean(data, at + 224),
        receipt_hash=digest(data, at + 256),
        result_hash=digest(data, at + 288),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Solidity: struct Batch."""

    number: int
    predecessor: Digest
    size: int
    frames_root: Digest
    index_root: Digest
    incidents_root: Digest


def read_batch(data: bytes, at: int) -> Batch:
    """The struct at `at`."""
    return Batch(
        number=uint(data, at, 64),
        predecessor=digest(data, at + 32),
        size=uint(data, at + 64, 64),
        frames_root=digest(data, at + 96),
        index_root=digest(data, at + 128),
        incidents_root=digest(data, at + 160),
    )


BATCH_TYPE: Final = "(uint64,bytes32,uint64,bytes32,bytes32,bytes32)"


def batch_values(value: Batch) -> tuple[object, ...]:
    """As eth_abi takes it."""
    return (
        value.number,
        value.predecessor,
        value.size,
        value.frames_root,
        value.index_root,
        value.incidents_root,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Solidity: struct Device."""

    owner: Address
    status: DeviceStatus
    suite: int
    public_key: bytes
    model_hash: Digest
    overlap_until: int


def read_device(data: bytes, at: int) -> Device:
    """The struct at `at`."""
    return Device(
        owner=address(data, at),
        status=DeviceStatus(uint(data, at + 32, 8)),
        suite=uint(data, at + 64, 8),
        public_key=blob(data, tail(data, at, at + 96)),
        model_hash=digest(data, at + 128),
        overlap_until=uint(data, at + 160, 64),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Solidity: struct Fleet."""

    owner: Address
    root: Digest
    size: int
    model_hash: Digest


def read_fleet(data: bytes, at: int) -> Fleet:
    """The struct at `at`."""
    return Fleet(
        owner=address(data, at),
        root=digest(data, at + 32),
        size=uint(data, at + 64, 64),
        model_hash=digest(data, at + 96),
    )
