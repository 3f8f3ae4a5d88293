# Generated from the contracts' ABI by scripts/build_contracts.py; do not edit.
"""Events of the contracts as frozen values with their readers, found by contract and topic 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from capsule.ids import Address, AssetId, Bytes32, DeviceId, Digest, FleetId, GrantId, OpeningId, RequestId, Uscc, UseId
from capsule.order import Order
from capsule.terms import Terms
from contracts.chain import RawLog
from contracts.roles import Role
from contracts.structs import Batch, Pin, read_batch, read_order, read_pin, read_terms
from contracts.words import (
    address,
    blob,
    boolean,
    bytes32,
    digest,
    directory_name,
    listing,
    tail,
    text,
    topics,
    uint,
    uscc,
    word,
)

__all__ = [
    "DECODERS",
    "AccessDenied",
    "AccessGranted",
    "AccessPaused",
    "AccessRequested",
    "AccessRevoked",
    "AccessUnpaused",
    "AssetEvent",
    "AssetRegistered",
    "AssetRetired",
    "BatchAnchored",
    "CapsulePublished",
    "CustodyAccepted",
    "CustodyDealt",
    "DealOpened",
    "DefaultAdminDelayChangeCanceled",
    "DefaultAdminDelayChangeScheduled",
    "DefaultAdminTransferCanceled",
    "DefaultAdminTransferScheduled",
    "DeviceEnrolled",
    "DeviceEvent",
    "DeviceRetired",
    "DeviceRotated",
    "DevicesEnrolled",
    "EIP712DomainChanged",
    "EndpointSet",
    "EntrySet",
    "Event",
    "KeysSet",
    "LogHeadAnchored",
    "OwnershipTransferStarted",
    "OwnershipTransferred",
    "ParticipantAdmitted",
    "ParticipantReinstated",
    "ParticipantSuspended",
    "RoleAdminChanged",
    "RoleGranted",
    "RoleRevoked",
    "RolesChanged",
    "SequencedEvent",
    "ShareRefused",
    "ShareReleased",
    "UseClosed",
    "UseExpired",
    "UseOpened",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Any event of the contract set; `log` is what the chain holds of it, `TOPIC` topic 0 of its kind."""

    TOPIC: ClassVar[bytes]

    log: RawLog


@dataclass(frozen=True, slots=True, kw_only=True)
class SequencedEvent(Event):
    """An event of our interfaces: `seq` counts its contract's events from 1 without gaps (ISequenced)."""

    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetEvent(SequencedEvent):
    """An event about an asset: `asset_seq` counts that asset's events within this contract."""

    asset: AssetId
    asset_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvent(SequencedEvent):
    """An event about a device: `device_seq` counts that device's events within this contract."""

    device: DeviceId
    device_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntrySet(SequencedEvent):
    """Solidity: EntrySet(bytes32 indexed name, uint64 seq, address entry)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("9d0ca317e9410a9c79151f5b56d136cd912d331bb7f45b4c54a435d08b55c3fd")

    name: str
    entry: Address

    @classmethod
    def from_log(cls, log: RawLog) -> EntrySet:
        """Reads a log of this event."""
        _, topic1 = topics(log.topics, 2)
        data = log.data
        return cls(
            log=log,
            name=directory_name(topic1, 0),
            seq=uint(data, 0, 64),
            entry=address(data, 32),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnershipTransferStarted(Event):
    """Solidity: OwnershipTransferStarted(address indexed previousOwner, address indexed newOwner)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("38d16b8cac22d99fc7c124b9cd0de2d3fa1faef420bfe791d8c362d765e22700")

    previous_owner: Address
    new_owner: Address

    @classmethod
    def from_log(cls, log: RawLog) -> OwnershipTransferStarted:
        """Reads a log of this event."""
        _, topic1, topic2 = topics(log.topics, 3)
        return cls(
            log=log,
            previous_owner=address(topic1, 0),
            new_owner=address(topic2, 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnershipTransferred(Event):
    """Solidity: OwnershipTransferred(address indexed previousOwner, address indexed newOwner)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("8be0079c531659141344cd1fd0a4f28419497f9722a3daafe3b4186f6b6457e0")

    previous_owner: Address
    new_owner: Address

    @classmethod
    def from_log(cls, log: RawLog) -> OwnershipTransferred:
        """Reads a log of this event."""
        _, topic1, topic2 = topics(log.topics, 3)
        return cls(
            log=log,
            previous_owner=address(topic1, 0),
            new_owner=address(topic2, 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultAdminDelayChangeCanceled(Event):
    """Solidity: DefaultAdminDelayChangeCanceled()."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("2b1fa2edafe6f7b9e97c1a9e0c3660e645beb2dcaa2d45bdbf9beaf5472e1ec5")

    @classmethod
    def from_log(cls, log: RawLog) -> DefaultAdminDelayChangeCanceled:
        """Reads a log of this event."""
        topics(log.topics, 1)
        return cls(
            log=log,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultAdminDelayChangeScheduled(Event):
    """Solidity: DefaultAdminDelayChangeScheduled(uint48 newDelay, uint48 effectSchedule)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("f1038c18cf84a56e432fdbfaf746924b7ea511dfe03a6506a0ceba4888788d9b")

    new_delay: int
    effect_schedule: int

    @classmethod
    def from_log(cls, log: RawLog) -> DefaultAdminDelayChangeScheduled:
        """Reads a log of this event."""
        topics(log.topics, 1)
        data = log.data
        return cls(
            log=log,
            new_delay=uint(data, 0, 48),
            effect_schedule=uint(data, 32, 48),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultAdminTransferCanceled(Event):
    """Solidity: DefaultAdminTransferCanceled()."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("8886ebfc4259abdbc16601dd8fb5678e54878f47b3c34836cfc51154a9605109")

    @classmethod
    def from_log(cls, log: RawLog) -> DefaultAdminTransferCanceled:
        """Reads a log of this event."""
        topics(log.topics, 1)
        return cls(
            log=log,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultAdminTransferScheduled(Event):
    """Solidity: DefaultAdminTransferScheduled(address indexed newAdmin, uint48 acceptSchedule)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("3377dc44241e779dd06afab5b788a35ca5f3b778836e2990bdb26a2a4b2e5ed6")

    new_admin: Address
    accept_schedule: int

    @classmethod
    def from_log(cls, log: RawLog) -> DefaultAdminTransferScheduled:
        """Reads a log of this event."""
        _, topic1 = topics(log.topics, 2)
        data = log.data
        return cls(
            log=log,
            new_admin=address(topic1, 0),
            accept_schedule=uint(data, 0, 48),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSet(SequencedEvent):
    """Solidity: EndpointSet(address indexed account, uint64 seq, string endpoint)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("a0920c01fcb63821aa1941650534e68cb5fa8db3cde4962be7d0e6c48807d9c1")

    account: Address
    endpoint: str

    @classmethod
    def from_log(cls, log: RawLog) -> EndpointSet:
        """Reads a log of this event."""
        _, topic1 = topics(log.topics, 2)
        data = log.data
        return cls(
            log=log,
            account=address(topic1, 0),
            seq=uint(data, 0, 64),
            endpoint=text(data, tail(data, 0, 32)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysSet(SequencedEvent):
    """Solidity: KeysSet(address indexed account, uint64 seq, uint8 suite, bytes signingKey, bytes32 boxKey, bytes
    boxKeySignature, uint64 distrustedFrom).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("8dcf355da3ad2b9d9e9b53d6bfd0e3db27a6c0c55a80570f72acf70c9a405bda")

    account: Address
    suite: int
    signing_key: bytes
    box_key: Bytes32
    box_key_signature: bytes
    distrusted_from: int

    @classmethod
    def from_log(cls, log: RawLog) -> KeysSet:
        """Reads a log of this event."""
        _, topic1 = topics(log.topics, 2)
        data = log.data
        return cls(
            log=log,
            account=address(topic1, 0),
            seq=uint(data, 0, 64),
            suite=uint(data, 32, 8),
            signing_key=blob(data, tail(data, 0, 64)),
            box_key=bytes32(data, 96),
            box_key_signature=blob(data, tail(data, 0, 128)),
            distrusted_from=uint(data, 160, 64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantAdmitted(SequencedEvent):
    """Solidity: ParticipantAdmitted(address indexed account, bytes18 indexed uscc, uint64 seq, bytes32 identityHash,
    uint32 roles, uint256 funded).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("e80bbfea009d9513bd97d5ed5f3580aa47226359d7a573ab398f7df3844a355c")

    account: Address
    uscc: Uscc
    identity_hash: Digest
    roles: Role
    funded: int

    @classmethod
    def from_log(cls, log: RawLog) -> ParticipantAdmitted:
        """Reads a log of this event."""
        _, topic1, topic2 = topics(log.topics, 3)
        data = log.data
        return cls(
            log=log,
            account=address(topic1, 0),
            uscc=uscc(topic2, 0),
            seq=uint(data, 0, 64),
            identity_hash=digest(data, 32),
            roles=Role(uint(data, 64, 32)),
            funded=uint(data, 96, 256),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantReinstated(SequencedEvent):
    """Solidity: ParticipantReinstated(address indexed account, uint64 seq, string reason)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("2444d6389c503f52386f8994048eaeb18b98437e0ebea4fc6648062ba40790f7")

    account: Address
    reason: str

    @classmethod
    def from_log(cls, log: RawLog) -> ParticipantReinstated:
        """Reads a log of this event."""
        _, topic1 = topics(log.topics, 2)
        data = log.data
        return cls(
            log=log,
            account=address(topic1, 0),
            seq=uint(data, 0, 64),
            reason=text(data, tail(data, 0, 32)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantSuspended(SequencedEvent):
    """Solidity: ParticipantSuspended(address indexed account, uint64 seq, string reason)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("a08bdc05acb444d4e4d1c6da86e4e8f3f6ec7c0f6d68b9646a3f8ecdb7c16a35")

    account: Address
    reason: str

    @classmethod
    def from_log(cls, log: RawLog) -> ParticipantSuspended:
        """Reads a log of this event."""
        _, topic1 = topics(log.topics, 2)
        data = log.data
        return cls(
            log=log,
            account=address(topic1, 0),
            seq=uint(data, 0, 64),
            reason=text(data, tail(data, 0, 32)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleAdminChanged(Event):
    """Solidity: RoleAdminChanged(bytes32 indexed role, bytes32 indexed previousAdminRole, bytes32 indexed
    newAdminRole).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("bd79b86ffe0ab8e8776151514217cd7cacd52c909f66475c3af44e129f0b00ff")

    role: Digest
    previous_admin_role: Digest
    new_admin_role: Digest

    @classmethod
    def from_log(cls, log: RawLog) -> RoleAdminChanged:
        """Reads a log of this event."""
        _, topic1, topic2, topic3 = topics(log.topics, 4)
        return cls(
            log=log,
            role=digest(topic1, 0),
            previous_admin_role=digest(topic2, 0),
            new_admin_role=digest(topic3, 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleGranted(Event):
    """Solidity: RoleGranted(bytes32 indexed role, address indexed account, address indexed sender)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("2f8788117e7eff1d82e926ec794901d17c78024a50270940304540a733656f0d")

    role: Digest
    account: Address
    sender: Address

    @classmethod
    def from_log(cls, log: RawLog) -> RoleGranted:
        """Reads a log of this event."""
        _, topic1, topic2, topic3 = topics(log.topics, 4)
        return cls(
            log=log,
            role=digest(topic1, 0),
            account=address(topic2, 0),
            sender=address(topic3, 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRevoked(Event):
    """Solidity: RoleRevoked(bytes32 indexed role, address indexed account, address indexed sender)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("f6391f5c32d9c69d2a47ea670b442974b53935d1edc7fd64eb21e047a839171b")

    role: Digest
    account: Address
    sender: Address

    @classmethod
    def from_log(cls, log: RawLog) -> RoleRevoked:
        """Reads a log of this event."""
        _, topic1, topic2, topic3 = topics(log.topics, 4)
        return cls(
            log=log,
            role=digest(topic1, 0),
            account=address(topic2, 0),
            sender=address(topic3, 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RolesChanged(SequencedEvent):
    """Solidity: RolesChanged(address indexed account, uint64 seq, uint32 roles)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("8b8a3c0e1a8e122a1c16c07fe8cadc318da2120007959bdb4d3fcf26abea8f37")

    account: Address
    roles: Role

    @classmethod
    def from_log(cls, log: RawLog) -> RolesChanged:
        """Reads a log of this event."""
        _, topic1 = topics(log.topics, 2)
        data = log.data
        return cls(
            log=log,
            account=address(topic1, 0),
            seq=uint(data, 0, 64),
            roles=Role(uint(data, 32, 32)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetRegistered(AssetEvent):
    """Solidity: AssetRegistered(AssetId indexed asset, address indexed provider, uint64 seq, uint64 assetSeq, bytes32
    metadataHash).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("fec0414e2781b43d5077c5ab83f4184b336f425059f67cb142744e103403f946")

    provider: Address
    metadata_hash: Digest

    @classmethod
    def from_log(cls, log: RawLog) -> AssetRegistered:
        """Reads a log of this event."""
        _, topic1, topic2 = topics(log.topics, 3)
        data = log.data
        return cls(
            log=log,
            asset=AssetId(word(topic1, 0)),
            provider=address(topic2, 0),
            seq=uint(data, 0, 64),
            asset_seq=uint(data, 32, 64),
            metadata_hash=digest(data, 64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetRetired(AssetEvent):
    """Solidity: AssetRetired(AssetId indexed asset, uint64 seq, uint64 assetSeq, string reason)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("ad8592eff5dd929c4bd0fb8cacf11c0a17aa19c61414a8ba493b0dd1371c0144")

    reason: str

    @classmethod
    def from_log(cls, log: RawLog) -> AssetRetired:
        """Reads a log of this event."""
        _, topic1 = topics(log.topics, 2)
        data = log.data
        return cls(
            log=log,
            asset=AssetId(word(topic1, 0)),
            seq=uint(data, 0, 64),
            asset_seq=uint(data, 32, 64),
            reason=text(data, tail(data, 0, 64)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CapsulePublished(AssetEvent):
    """Solidity: CapsulePublished(AssetId indexed asset, bytes32 indexed capsuleRoot, uint64 seq, uint64 assetSeq,
    uint32 version, uint64 capsuleSize, bytes32 policyHash, bytes32 termsHash, bytes32 metadataHash, Terms terms).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("b637849ac780395855fc814c73a4a0ef223687b90c6ebf8bc37b632ef7a1f1d2")

    capsule_root: Digest
    version: int
    capsule_size: int
    policy_hash: Digest
    terms_hash: Digest
    metadata_hash: Digest
    terms: Terms

    @classmethod
    def from_log(cls, log: RawLog) -> CapsulePublished:
        """Reads a log of this event."""
        _, topic1, topic2 = topics(log.topics, 3)
        data = log.data
        return cls(
            log=log,
            asset=AssetId(word(topic1, 0)),
            capsule_root=digest(topic2, 0),
            seq=uint(data, 0, 64),
            asset_seq=uint(data, 32, 64),
            version=uint(data, 64, 32),
            capsule_size=uint(data, 96, 64),
            policy_hash=digest(data, 128),
            terms_hash=digest(data, 160),
            metadata_hash=digest(data, 192),
            terms=read_terms(data, tail(data, 0, 224)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodyAccepted(AssetEvent):
    """Solidity: CustodyAccepted(AssetId indexed asset, bytes32 indexed dealHash, address indexed holder, uint64 seq,
    uint64 assetSeq, uint8 index).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("f91e5b651c696a3e455aa0c943062376182fd6b9eb17b81a860d36d573291f93")

    deal_hash: Digest
    holder: Address
    index: int

    @classmethod
    def from_log(cls, log: RawLog) -> CustodyAccepted:
        """Reads a log of this event."""
        _, topic1, topic2, topic3 = topics(log.topics, 4)
        data = log.data
        return cls(
            log=log,
            asset=AssetId(word(topic1, 0)),
            deal_hash=digest(topic2, 0),
            holder=address(topic3, 0),
            seq=uint(data, 0, 64),
            asset_seq=uint(data, 32, 64),
            index=uint(data, 64, 8),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodyDealt(AssetEvent):
    """Solidity: CustodyDealt(AssetId indexed asset, bytes32 indexed dealHash, uint64 seq, uint64 assetSeq, uint32
    version, uint32 deal, uint8 threshold, bool providerRequired, uint32 waitingSeconds, address[] holders).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("503bb02161161430e3cacd8c669fd7577c078e610353d572ca85b9f2302ac277")

    deal_hash: Digest
    version: int
    deal: int
    threshold: int
    provider_required: bool
    waiting_seconds: int
    holders: tuple[Address, ...]

    @classmethod
    def from_log(cls, log: RawLog) -> CustodyDealt:
        """Reads a log of this event."""
        _, topic1, topic2 = topics(log.topics, 3)
        data = log.data
        return cls(
            log=log,
            asset=AssetId(word(topic1, 0)),
            deal_hash=digest(topic2, 0),
            seq=uint(data, 0, 64),
            asset_seq=uint(data, 32, 64),
            version=uint(data, 64, 32),
            deal=uint(data, 96, 32),
            threshold=uint(data, 128, 8),
            provider_required=boolean(data, 160),
            waiting_seconds=uint(data, 192, 32),
            holders=listing(data, tail(data, 0, 224), 32, address),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DealOpened(AssetEvent):
    """Solidity: DealOpened(AssetId indexed asset, OpeningId indexed opening, uint64 seq, uint64 assetSeq, uint32
    version, uint32 deal, uint64 releasableFrom, bytes32[] oneTimeKeys, string reason).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("0d73011a2cb6eefd66314ede72e3dbb2e52808830284407b2311832b1a5773d5")

    opening: OpeningId
    version: int
    deal: int
    releasable_from: int
    one_time_keys: tuple[Bytes32, ...]
    reason: str

    @classmethod
    def from_log(cls, log: RawLog) -> DealOpened:
        """Reads a log of this event."""
        _, topic1, topic2 = topics(log.topics, 3)
        data = log.data
        return cls(
            log=log,
            asset=AssetId(word(topic1, 0)),
            opening=OpeningId(word(topic2, 0)),
            seq=uint(data, 0, 64),
            asset_seq=uint(data, 32, 64),
            version=uint(data, 64, 32),
            deal=uint(data, 96, 32),
            releasable_from=uint(data, 128, 64),
            one_time_keys=listing(data, tail(data, 0, 160), 32, bytes32),
            reason=text(data, tail(data, 0, 192)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessDenied(AssetEvent):
    """Solidity: AccessDenied(RequestId indexed request, AssetId indexed asset, uint64 seq, uint64 assetSeq, uint16
    reason).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("e7e317a44e0d9e0d6b7072fd6fa1f2088ecf88a23d34c6de961b9ef647535eff")

    request: RequestId
    reason: int

    @classmethod
    def from_log(cls, log: RawLog) -> AccessDenied:
        """Reads a log of this event."""
        _, topic1, topic2 = topics(log.topics, 3)
        data = log.data
        return cls(
            log=log,
            request=RequestId(word(topic1, 0)),
            asset=AssetId(word(topic2, 0)),
            seq=uint(data, 0, 64),
            asset_seq=uint(data, 32, 64),
            reason=uint(data, 64, 16),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessGranted(AssetEvent):
    """Solidity: AccessGranted(GrantId indexed grant, AssetId indexed asset, address indexed buyer, uint64 seq, uint64
    assetSeq, RequestId request, IAccess.Pin pin, uint64 notBefore, uint64 notAfter, bytes32 agreementHash, bool
    automatic, Terms terms).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("f940d22ee9d8d1c90282f766a20110201dff9a2c104f8914a728997df079a19d")

    grant: GrantId
    buyer: Address
    request: RequestId
    pin: Pin
    not_before: int
    not_after: int
    agreement_hash: Digest
    automatic: bool
    terms: Terms

    @classmethod
    def from_log(cls, log: RawLog) -> AccessGranted:
        """Reads a log of this event."""
        _, topic1, topic2, topic3 = topics(log.topics, 4)
        data = log.data
        return cls(
            log=log,
            grant=GrantId(word(topic1, 0)),
            asset=AssetId(word(topic2, 0)),
            buyer=address(topic3, 0),
            seq=uint(data, 0, 64),
            asset_seq=uint(data, 32, 64),
            request=RequestId(word(data, 64)),
            pin=read_pin(data, 96),
            not_before=uint(data, 320, 64),
            not_after=uint(data, 352, 64),
            agreement_hash=digest(data, 384),
            automatic=boolean(data, 416),
            terms=read_terms(data, tail(data, 0, 448)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPaused(SequencedEvent):
    """Solidity: AccessPaused(address indexed operator, uint64 seq)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("aad461fbe274f0f7a67c4bd846dd1db29461c1c3803831e610051e606fc45891")

    operator: Address

    @classmethod
    def from_log(cls, log: RawLog) -> AccessPaused:
        """Reads a log of this event."""
        _, topic1 = topics(log.topics, 2)
        data = log.data
        return cls(
            log=log,
            operator=address(topic1, 0),
            seq=uint(data, 0, 64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequested(AssetEvent):
    """Solidity: AccessRequested(RequestId indexed request, AssetId indexed asset, address indexed buyer, uint64 seq,
    uint64 assetSeq, IAccess.Pin pin, string purpose, bytes32 algorithm, address computeNode, bytes32 agreementHash).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("4fd4d83a4ebd8b0459c38bbbf56c35918783a56e4b9e8f16c6d19b330efb343d")

    request: RequestId
    buyer: Address
    pin: Pin
    purpose: str
    algorithm: Digest
    compute_node: Address
    agreement_hash: Digest

    @classmethod
    def from_log(cls, log: RawLog) -> AccessRequested:
        """Reads a log of this event."""
        _, topic1, topic2, topic3 = topics(log.topics, 4)
        data = log.data
        return cls(
            log=log,
            request=RequestId(word(topic1, 0)),
            asset=AssetId(word(topic2, 0)),
            buyer=address(topic3, 0),
            seq=uint(data, 0, 64),
            asset_seq=uint(data, 32, 64),
            pin=read_pin(data, 64),
            purpose=text(data, tail(data, 0, 288)),
            algorithm=digest(data, 320),
            compute_node=address(data, 352),
            agreement_hash=digest(data, 384),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRevoked(AssetEvent):
    """Solidity: AccessRevoked(GrantId indexed grant, AssetId indexed asset, uint64 seq, uint64 assetSeq, uint16
    reason).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("3e271ad960c3fdac1ba05b19758d2a3e90e3f0916e23eaa44478aa45d35614a7")

    grant: GrantId
    reason: int

    @classmethod
    def from_log(cls, log: RawLog) -> AccessRevoked:
        """Reads a log of this event."""
        _, topic1, topic2 = topics(log.topics, 3)
        data = log.data
        return cls(
            log=log,
            grant=GrantId(word(topic1, 0)),
            asset=AssetId(word(topic2, 0)),
            seq=uint(data, 0, 64),
            asset_seq=uint(data, 32, 64),
            reason=uint(data, 64, 16),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessUnpaused(SequencedEvent):
    """Solidity: AccessUnpaused(address indexed operator, uint64 seq)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("a75c19e678df207fd22e32c8cc5d987ddd064dbac3c9a4acf45779f1e266497c")

    operator: Address

    @classmethod
    def from_log(cls, log: RawLog) -> AccessUnpaused:
        """Reads a log of this event."""
        _, topic1 = topics(log.topics, 2)
        data = log.data
        return cls(
            log=log,
            operator=address(topic1, 0),
            seq=uint(data, 0, 64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EIP712DomainChanged(Event):
    """Solidity: EIP712DomainChanged()."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("0a6387c9ea3628b88a633bb4f3b151770f70085117a15f9bf3787cda53f13d31")

    @classmethod
    def from_log(cls, log: RawLog) -> EIP712DomainChanged:
        """Reads a log of this event."""
        topics(log.topics, 1)
        return cls(
            log=log,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRefused(AssetEvent):
    """Solidity: ShareRefused(bytes32 indexed use, AssetId indexed asset, address indexed holder, uint64 seq, uint64
    assetSeq, uint8 index, uint16 reason, bytes32 decisionHash).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("307e0de1f7fd1a222f43b67a521848a6d679a53ecebe0ee83adb4ff79a64520e")

    use: Bytes32
    holder: Address
    index: int
    reason: int
    decision_hash: Digest

    @classmethod
    def from_log(cls, log: RawLog) -> ShareRefused:
        """Reads a log of this event."""
        _, topic1, topic2, topic3 = topics(log.topics, 4)
        data = log.data
        return cls(
            log=log,
            use=bytes32(topic1, 0),
            asset=AssetId(word(topic2, 0)),
            holder=address(topic3, 0),
            seq=uint(data, 0, 64),
            asset_seq=uint(data, 32, 64),
            index=uint(data, 64, 8),
            reason=uint(data, 96, 16),
            decision_hash=digest(data, 128),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareReleased(AssetEvent):
    """Solidity: ShareReleased(bytes32 indexed use, AssetId indexed asset, address indexed holder, uint64 seq, uint64
    assetSeq, uint8 index, bytes32 decisionHash, bytes sealedShare).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("f8711e0b6c8e997c45517c84afab9c962b1becdd451f3bf5c5325c8ee983b144")

    use: Bytes32
    holder: Address
    index: int
    decision_hash: Digest
    sealed_share: bytes

    @classmethod
    def from_log(cls, log: RawLog) -> ShareReleased:
        """Reads a log of this event."""
        _, topic1, topic2, topic3 = topics(log.topics, 4)
        data = log.data
        return cls(
            log=log,
            use=bytes32(topic1, 0),
            asset=AssetId(word(topic2, 0)),
            holder=address(topic3, 0),
            seq=uint(data, 0, 64),
            asset_seq=uint(data, 32, 64),
            index=uint(data, 64, 8),
            decision_hash=digest(data, 96),
            sealed_share=blob(data, tail(data, 0, 128)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UseClosed(AssetEvent):
    """Solidity: UseClosed(UseId indexed use, GrantId indexed grant, AssetId indexed asset, uint64 seq, uint64
    assetSeq, bool completed, bool late, bool givenBack, uint16 reason, bytes32 receiptHash, bytes32 resultHash,
    uint64 rowsOut).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("c7a9901824f14e61c02778784254163737dc2ce4ea1255987c23081f54a0f93e")

    use: UseId
    grant: GrantId
    completed: bool
    late: bool
    given_back: bool
    reason: int
    receipt_hash: Digest
    result_hash: Digest
    rows_out: int

    @classmethod
    def from_log(cls, log: RawLog) -> UseClosed:
        """Reads a log of this event."""
        _, topic1, topic2, topic3 = topics(log.topics, 4)
        data = log.data
        return cls(
            log=log,
            use=UseId(word(topic1, 0)),
            grant=GrantId(word(topic2, 0)),
            asset=AssetId(word(topic3, 0)),
            seq=uint(data, 0, 64),
            asset_seq=uint(data, 32, 64),
            completed=boolean(data, 64),
            late=boolean(data, 96),
            given_back=boolean(data, 128),
            reason=uint(data, 160, 16),
            receipt_hash=digest(data, 192),
            result_hash=digest(data, 224),
            rows_out=uint(data, 256, 64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UseExpired(AssetEvent):
    """Solidity: UseExpired(UseId indexed use, GrantId indexed grant, AssetId indexed asset, uint64 seq, uint64
    assetSeq, bool givenBack).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("0808442be9e2b9efff8a906bf6f160abb383e36c5eeb47189e7200688443b377")

    use: UseId
    grant: GrantId
    given_back: bool

    @classmethod
    def from_log(cls, log: RawLog) -> UseExpired:
        """Reads a log of this event."""
        _, topic1, topic2, topic3 = topics(log.topics, 4)
        data = log.data
        return cls(
            log=log,
            use=UseId(word(topic1, 0)),
            grant=GrantId(word(topic2, 0)),
            asset=AssetId(word(topic3, 0)),
            seq=uint(data, 0, 64),
            asset_seq=uint(data, 32, 64),
            given_back=boolean(data, 64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UseOpened(AssetEvent):
    """Solidity: UseOpened(UseId indexed use, GrantId indexed grant, AssetId indexed asset, uint64 seq, uint64
    assetSeq, bytes32 orderHash, uint64 deadline, bytes32 measurement, bytes32[] oneTimeKeys, IAccess.Pin pin,
    IAccess.Order order, bytes orderSignature).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("3c3c81a698061b46804e80c6e4c4f6fec652d86525eba5807c080ce7e6d9790b")

    use: UseId
    grant: GrantId
    order_hash: Digest
    deadline: int
    measurement: Digest
    one_time_keys: tuple[Bytes32, ...]
    pin: Pin
    order: Order
    order_signature: bytes

    @classmethod
    def from_log(cls, log: RawLog) -> UseOpened:
        """Reads a log of this event."""
        _, topic1, topic2, topic3 = topics(log.topics, 4)
        data = log.data
        return cls(
            log=log,
            use=UseId(word(topic1, 0)),
            grant=GrantId(word(topic2, 0)),
            asset=AssetId(word(topic3, 0)),
            seq=uint(data, 0, 64),
            asset_seq=uint(data, 32, 64),
            order_hash=digest(data, 64),
            deadline=uint(data, 96, 64),
            measurement=digest(data, 128),
            one_time_keys=listing(data, tail(data, 0, 160), 32, bytes32),
            pin=read_pin(data, 192),
            order=read_order(data, tail(data, 0, 416)),
            order_signature=blob(data, tail(data, 0, 448)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAnchored(SequencedEvent):
    """Solidity: BatchAnchored(address indexed gateway, uint64 indexed number, uint64 seq, IDevices.Batch batch)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("32e2723553f1278bd1633654af416b1830bbd942d4a103558d1337f872883d1f")

    gateway: Address
    number: int
    batch: Batch

    @classmethod
    def from_log(cls, log: RawLog) -> BatchAnchored:
        """Reads a log of this event."""
        _, topic1, topic2 = topics(log.topics, 3)
        data = log.data
        return cls(
            log=log,
            gateway=address(topic1, 0),
            number=uint(topic2, 0, 64),
            seq=uint(data, 0, 64),
            batch=read_batch(data, 32),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEnrolled(DeviceEvent):
    """Solidity: DeviceEnrolled(DeviceId indexed device, address indexed owner, uint64 seq, uint64 deviceSeq, uint8
    suite, bytes publicKey, bytes32 modelHash, FleetId fleet).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("0b72011c5997eda47f61ab510c59244ea890617981ffc5453cb5df7cfe4ccf9a")

    owner: Address
    suite: int
    public_key: bytes
    model_hash: Digest
    fleet: FleetId

    @classmethod
    def from_log(cls, log: RawLog) -> DeviceEnrolled:
        """Reads a log of this event."""
        _, topic1, topic2 = topics(log.topics, 3)
        data = log.data
        return cls(
            log=log,
            device=DeviceId(word(topic1, 0)),
            owner=address(topic2, 0),
            seq=uint(data, 0, 64),
            device_seq=uint(data, 32, 64),
            suite=uint(data, 64, 8),
            public_key=blob(data, tail(data, 0, 96)),
            model_hash=digest(data, 128),
            fleet=FleetId(word(data, 160)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRetired(DeviceEvent):
    """Solidity: DeviceRetired(DeviceId indexed device, uint64 seq, uint64 deviceSeq)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("ad25e8af12d09f6b40055cc8760227c83a3445e7e70e05da03ebc0385b221e78")

    @classmethod
    def from_log(cls, log: RawLog) -> DeviceRetired:
        """Reads a log of this event."""
        _, topic1 = topics(log.topics, 2)
        data = log.data
        return cls(
            log=log,
            device=DeviceId(word(topic1, 0)),
            seq=uint(data, 0, 64),
            device_seq=uint(data, 32, 64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRotated(DeviceEvent):
    """Solidity: DeviceRotated(DeviceId indexed device, uint64 seq, uint64 deviceSeq, uint8 suite, bytes publicKey,
    uint64 overlapUntil, uint64 distrustedFrom).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("1639781675164b867fc019cad2854d6830e7762a136e9ac5bffc578bb3c9d125")

    suite: int
    public_key: bytes
    overlap_until: int
    distrusted_from: int

    @classmethod
    def from_log(cls, log: RawLog) -> DeviceRotated:
        """Reads a log of this event."""
        _, topic1 = topics(log.topics, 2)
        data = log.data
        return cls(
            log=log,
            device=DeviceId(word(topic1, 0)),
            seq=uint(data, 0, 64),
            device_seq=uint(data, 32, 64),
            suite=uint(data, 64, 8),
            public_key=blob(data, tail(data, 0, 96)),
            overlap_until=uint(data, 128, 64),
            distrusted_from=uint(data, 160, 64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicesEnrolled(SequencedEvent):
    """Solidity: DevicesEnrolled(FleetId indexed fleet, address indexed owner, uint64 seq, bytes32 root, uint64 size,
    bytes32 modelHash).
    """

    TOPIC: ClassVar[bytes] = bytes.fromhex("53eb2c21c60191275d93b2b47492ccc9dfc1eaee4d665203e389092a0f519dcf")

    fleet: FleetId
    owner: Address
    root: Digest
    size: int
    model_hash: Digest

    @classmethod
    def from_log(cls, log: RawLog) -> DevicesEnrolled:
        """Reads a log of this event."""
        _, topic1, topic2 = topics(log.topics, 3)
        data = log.data
        return cls(
            log=log,
            fleet=FleetId(word(topic1, 0)),
            owner=address(topic2, 0),
            seq=uint(data, 0, 64),
            root=digest(data, 32),
            size=uint(data, 64, 64),
            model_hash=digest(data, 96),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHeadAnchored(SequencedEvent):
    """Solidity: LogHeadAnchored(address indexed account, uint64 seq, uint64 size, bytes32 root, bytes32 previous)."""

    TOPIC: ClassVar[bytes] = bytes.fromhex("b73a75a4afd4c4c4386fee3789740c0ade03e5a3f596aa5f9e202a76d7b3faa5")

    account: Address
    size: int
    root: Digest
    previous: Digest

    @classmethod
    def from_log(cls, log: RawLog) -> LogHeadAnchored:
        """Reads a log of this event."""
        _, topic1 = topics(log.topics, 2)
        data = log.data
        return cls(
            log=log,
            account=address(topic1, 0),
            seq=uint(data, 0, 64),
            size=uint(data, 32, 64),
            root=digest(data, 64),
            previous=digest(data, 96),
        )


DECODERS: Final[Mapping[str, Mapping[bytes, Callable[[RawLog], Event]]]] = {
    "Directory": {
        EntrySet.TOPIC: EntrySet.from_log,
        OwnershipTransferStarted.TOPIC: OwnershipTransferStarted.from_log,
        OwnershipTransferred.TOPIC: OwnershipTransferred.from_log,
    },
    "Participants": {
        DefaultAdminDelayChangeCanceled.TOPIC: DefaultAdminDelayChangeCanceled.from_log,
        DefaultAdminDelayChangeScheduled.TOPIC: DefaultAdminDelayChangeScheduled.from_log,
        DefaultAdminTransferCanceled.TOPIC: DefaultAdminTransferCanceled.from_log,
        DefaultAdminTransferScheduled.TOPIC: DefaultAdminTransferScheduled.from_log,
        EndpointSet.TOPIC: EndpointSet.from_log,
        KeysSet.TOPIC: KeysSet.from_log,
        ParticipantAdmitted.TOPIC: ParticipantAdmitted.from_log,
        ParticipantReinstated.TOPIC: ParticipantReinstated.from_log,
        ParticipantSuspended.TOPIC: ParticipantSuspended.from_log,
        RoleAdminChanged.TOPIC: RoleAdminChanged.from_log,
        RoleGranted.TOPIC: RoleGranted.from_log,
        RoleRevoked.TOPIC: RoleRevoked.from_log,
        RolesChanged.TOPIC: RolesChanged.from_log,
    },
    "Assets": {
        AssetRegistered.TOPIC: AssetRegistered.from_log,
        AssetRetired.TOPIC: AssetRetired.from_log,
        CapsulePublished.TOPIC: CapsulePublished.from_log,
        CustodyAccepted.TOPIC: CustodyAccepted.from_log,
        CustodyDealt.TOPIC: CustodyDealt.from_log,
        DealOpened.TOPIC: DealOpened.from_log,
    },
    "Access": {
        AccessDenied.TOPIC: AccessDenied.from_log,
        AccessGranted.TOPIC: AccessGranted.from_log,
        AccessPaused.TOPIC: AccessPaused.from_log,
        AccessRequested.TOPIC: AccessRequested.from_log,
        AccessRevoked.TOPIC: AccessRevoked.from_log,
        AccessUnpaused.TOPIC: AccessUnpaused.from_log,
        EIP712DomainChanged.TOPIC: EIP712DomainChanged.from_log,
        ShareRefused.TOPIC: ShareRefused.from_log,
        ShareReleased.TOPIC: ShareReleased.from_log,
        UseClosed.TOPIC: UseClosed.from_log,
        UseExpired.TOPIC: UseExpired.from_log,
        UseOpened.TOPIC: UseOpened.from_log,
    },
    "Devices": {
        BatchAnchored.TOPIC: BatchAnchored.from_log,
        DeviceEnrolled.TOPIC: DeviceEnrolled.from_log,
        DeviceRetired.TOPIC: DeviceRetired.from_log,
        DeviceRotated.TOPIC: DeviceRotated.from_log,
        DevicesEnrolled.TOPIC: DevicesEnrolled.from_log,
    },
    "OperationLog": {
        LogHeadAnchored.TOPIC: LogHeadAnchored.from_log,
    },
}
