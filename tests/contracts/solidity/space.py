"""A data space on one EVM: the six contracts, admitted organisations, and short ways through a trip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, NamedTuple

import pytest
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

from capsule.ids import Uscc
from tests.contracts.solidity.evm import Chain, Contract, Event, Outcome, RevertedError

__all__ = ["DAY", "U32", "U64", "ZERO", "Order", "Organisation", "Pin", "Space", "Terms", "h"]

DAY: Final = 86_400
U32: Final = 2**32 - 1
U64: Final = 2**64 - 1
ZERO: Final = bytes(32)
NOBODY: Final = "0x" + "00" * 20

PROVIDER, BUYER, CUSTODIAN, COMPUTE, GATEWAY, REGULATOR = (1 << bit for bit in range(6))


def h(text: str) -> bytes:
    """Some hash."""
    return keccak(text=text)


class Terms(NamedTuple):
    """In the order of Types.sol; the defaults are an open offer."""

    compiler: int = 1
    not_before: int = 0
    not_after: int = U64
    purposes: tuple[str, ...] = ()
    algorithms: tuple[bytes, ...] = ()
    buyers: tuple[str, ...] = ()
    buyer_roles: int = BUYER
    compute_nodes: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    least_threshold: int = 0
    provider_share_required: bool = True
    seconds_per_grant: int = U64
    seconds_per_use: int = U64
    uses_per_grant: int = U32
    uses_per_buyer: int = U32
    uses_total: int = U32
    rows_per_buyer: int = U64
    automatic_grant: bool = False
    compute_by_buyer: bool = False
    compute_by_custodian: bool = False

    def but(self, **fields: Any) -> Terms:
        """These terms with other values of some fields."""
        return self._replace(**fields)


class Pin(NamedTuple):
    asset: bytes
    version: int
    capsule_root: bytes
    policy_hash: bytes
    terms_hash: bytes
    deal: int
    deal_hash: bytes


class Order(NamedTuple):
    grants: tuple[bytes, ...]
    number: int
    algorithm: bytes
    parameters: bytes
    compute_node: str
    result_key: bytes
    deadline: int


@dataclass(frozen=True, slots=True)
class Organisation:
    address: str
    key: PrivateKey


def account(name: str) -> Organisation:
    key = PrivateKey(h(name))
    return Organisation(key.public_key.to_address(), key)


@dataclass(frozen=True, slots=True)
class Offer:
    """A published asset whose deal is ready."""

    asset: bytes
    version: int
    terms: Terms
    deal: int


class Space:
    """Six contracts, four custodians, and one organisation or two of each other role."""

    def __init__(self) -> None:
        self.chain = Chain()
        self.operator = account("operator")
        self.provider, self.other_provider = account("provider"), account("other provider")
        self.buyer, self.other_buyer = account("buyer"), account("other buyer")
        self.compute, self.other_compute = account("compute"), account("other compute")
        self.gateway, self.regulator = account("gateway"), account("regulator")
        self.custodians = tuple(account(f"custodian {i}") for i in range(4))
        self.stranger = account("stranger")
        self.algorithm, self.measurement = h("algorithm"), h("measurement")
        self.refusals: set[str] = set()
        self._orders, self._codes = count(1), count(1)

        operator = self.operator.address
        deploy = self.chain.deploy
        self.directory = deploy("Directory", h("genesis"), 3, False, sender=operator)
        self.participants = deploy("Participants", DAY, operator, sender=operator)
        self.assets = deploy("Assets", self.participants.address, sender=operator)
        self.access = deploy("Access", self.participants.address, self.assets.address, sender=operator)
        self.devices = deploy("Devices", self.participants.address, sender=operator)
        self.operation_log = deploy("OperationLog", self.participants.address, sender=operator)
        for provider in (self.provider, self.other_provider):
            self.admit(provider, PROVIDER)
        for buyer in (self.buyer, self.other_buyer):
            self.admit(buyer, BUYER)
        for compute in (self.compute, self.other_compute):
            self.admit(compute, COMPUTE)
        for custodian in self.custodians:
            self.admit(custodian, CUSTODIAN)
        self.admit(self.gateway, GATEWAY)
        self.admit(self.regulator, REGULATOR)

    @property
    def contracts(self) -> tuple[Contract, ...]:
        return (self.access, self.assets, self.devices, self.directory, self.operation_log, self.participants)

    @property
    def now(self) -> int:
        return self.chain.time

    @contextmanager
    def refused(self, name: str, *arguments: Any) -> Iterator[None]:
        """The body must be refused with this error; with these arguments where any are given."""
        with pytest.raises(RevertedError) as met:
            yield
        assert met.value.name == name, f"{met.value} instead of {name}"
        assert not arguments or met.value.arguments == arguments
        self.refusals.add(name)

    # Participants

    def code(self) -> bytes:
        return Uscc.make(f"91330100MA{next(self._codes):07d}").encode()

    def admit(self, who: Organisation | str, roles: int, value: int = 0) -> Outcome:
        address = who if isinstance(who, str) else who.address
        operator = self.operator.address
        return self.participants.send(operator, "admit", address, self.code(), h("identity"), roles, value=value)

    def suspend(self, who: Organisation) -> None:
        self.participants.send(self.operator.address, "suspend", who.address, "unpaid")

    def reinstate(self, who: Organisation) -> None:
        self.participants.send(self.operator.address, "reinstate", who.address, "paid")

    def set_roles(self, who: Organisation, roles: int) -> None:
        self.participants.send(self.operator.address, "setRoles", who.address, roles)

    # Assets

    def register(self) -> bytes:
        return bytes(self.assets.send(self.provider.address, "register", h("metadata")).value)

    def publish(self, asset: bytes, terms: Terms) -> int:
        return int(
            self.assets.send(
                self.provider.address, "publish", asset, h("root"), 1000, h("policy"), h("metadata"), terms
            ).value
        )

    def deal(
        self,
        asset: bytes,
        version: int,
        terms: Terms,
        *,
        threshold: int = 2,
        custodians: int | Sequence[Organisation] = 3,
        waiting: int = DAY,
    ) -> int:
        chosen = self.custodians[:custodians] if isinstance(custodians, int) else custodians
        holders = (self.provider.address, *(custodian.address for custodian in chosen))
        return int(
            self.assets.send(
                self.provider.address, "deal", asset, version, h("deal"), threshold, waiting, holders, terms
            ).value
        )

    def accept(self, asset: bytes, version: int, deal: int, *holders: Organisation) -> None:
        for holder in holders:
            self.assets.send(holder.address, "acceptShare", asset, version, deal, h("deal"))

    def ready_deal(self, asset: bytes, version: int, terms: Terms, threshold: int = 2) -> int:
        """Two of three, unless said otherwise; accepted by exactly those needed."""
        deal = self.deal(asset, version, terms, threshold=threshold)
        self.accept(asset, version, deal, *self.custodians[:threshold])
        if terms.provider_share_required:
            self.accept(asset, version, deal, self.provider)
        return deal

    def offer(self, terms: Terms | None = None, threshold: int = 2) -> Offer:
        terms = terms or Terms()
        asset = self.register()
        version = self.publish(asset, terms)
        return Offer(asset, version, terms, self.ready_deal(asset, version, terms, threshold))

    # Access

    def pin(self, offer: Offer) -> Pin:
        published = self.assets.call("versionOf", offer.asset, offer.version)
        dealt = self.assets.call("dealOf", offer.asset, offer.version, offer.deal)
        return Pin(
            offer.asset,
            offer.version,
            published.capsuleRoot,
            published.policyHash,
            published.termsHash,
            offer.deal,
            dealt.dealHash,
        )

    def request(
        self,
        offer: Offer,
        *,
        buyer: Organisation | None = None,
        pin: Pin | None = None,
        purpose: str = "research",
        algorithm: bytes | None = None,
        compute: Organisation | None = None,
        terms: Terms | None = None,
    ) -> Outcome:
        return self.access.send(
            (buyer or self.buyer).address,
            "request",
            pin or self.pin(offer),
            purpose,
            algorithm or self.algorithm,
            (compute or self.compute).address,
            h("proposal"),
            terms or offer.terms,
        )

    def grant(
        self,
        offer: Offer,
        request: bytes,
        *,
        provider: Organisation | None = None,
        purpose: str = "research",
        terms: Terms | None = None,
        granted: Terms | None = None,
    ) -> bytes:
        terms = terms or offer.terms
        sender = (provider or self.provider).address
        outcome = self.access.send(sender, "grant", request, purpose, h("agreement"), terms, granted or terms)
        return bytes(outcome.value)

    def granted(self, offer: Offer, *, buyer: Organisation | None = None, granted: Terms | None = None) -> bytes:
        """A request and its grant."""
        outcome = self.request(offer, buyer=buyer)
        if offer.terms.automatic_grant:
            return bytes(outcome.event("AccessGranted")["grant"])
        return self.grant(offer, outcome.value, granted=granted)

    def order(self, *grants: bytes, seconds: int = DAY, **fields: Any) -> Order:
        order = Order(
            grants=grants,
            number=next(self._orders),
            algorithm=self.algorithm,
            parameters=h("parameters"),
            compute_node=self.compute.address,
            result_key=h("result key"),
            deadline=self.now + seconds,
        )
        return order._replace(**fields)

    def sign(self, order: Order, buyer: Organisation | None = None) -> bytes:
        digest = self.access.call("hashOrder", order)
        signature = (buyer or self.buyer).key.sign_msg_hash(digest).to_bytes()
        return signature[:64] + bytes([signature[64] + 27])

    def keys(self, holders: int = 4) -> tuple[bytes, ...]:
        return tuple(h(f"one-time key {i}") for i in range(holders))

    def open(
        self,
        order: Order,
        *,
        buyer: Organisation | None = None,
        signature: bytes | None = None,
        keys: Sequence[Sequence[bytes]] | None = None,
        compute: Organisation | None = None,
    ) -> Outcome:
        return self.access.send(
            (compute or self.compute).address,
            "openUse",
            order,
            self.sign(order, buyer) if signature is None else signature,
            self.measurement,
            [self.keys()] * len(order.grants) if keys is None else keys,
        )

    def used(self, *grants: bytes, seconds: int = DAY, buyer: Organisation | None = None) -> tuple[bytes, bytes]:
        """Opens one order; its hash and its first use."""
        order = self.order(*grants, seconds=seconds)
        outcome = self.open(order, buyer=buyer)
        return bytes(self.access.call("hashOrder", order)), bytes(outcome.value[0])

    def release(self, use: bytes, *holders: Organisation, share: bytes = b"sealed share") -> None:
        for holder in holders:
            self.access.send(holder.address, "releaseShare", use, h("decision"), share)

    def refuse(self, use: bytes, *holders: Organisation) -> None:
        for holder in holders:
            self.access.send(holder.address, "refuseShare", use, 7, h("decision"))

    def close(
        self,
        order_hash: bytes,
        *,
        completed: bool = True,
        rows: int = 10,
        receipt: bytes | None = None,
        compute: Organisation | None = None,
    ) -> Outcome:
        receipt = h("receipt") if receipt is None else receipt
        sender = (compute or self.compute).address
        return self.access.send(sender, "closeUse", order_hash, completed, 3, receipt, h("result"), rows)

    def counts(self, offer: Offer, buyer: Organisation | None = None) -> tuple[int, int, int]:
        uses, rows, total = self.access.call("countsOf", offer.asset, (buyer or self.buyer).address)
        return uses, rows, total

    def logs(self, *names: str) -> list[Event]:
        return [event for event in self.chain.logs if event.name in names]
