"""A small data space on any chain: contracts, organisations with all roles, and the calls of the main job.

The bytes it puts on chain mean nothing (no real capsule stands behind them); their order and rules are the real ones.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from capsule.ids import Address, AssetId, Digest, GrantId, RequestId, Uscc, UseId
from capsule.order import Order, order_hash
from capsule.terms import UNLIMITED_U32, UNLIMITED_U64, Terms
from contracts.account import Account
from contracts.chain import Chain
from contracts.deploy import deploy
from contracts.events import (
    AccessGranted,
    AccessRequested,
    AssetRegistered,
    CapsulePublished,
    CustodyDealt,
    UseClosed,
    UseOpened,
)
from contracts.ledger import Ledger
from contracts.roles import Role
from contracts.structs import Pin
from contracts.transaction import Transaction

__all__ = ["PURPOSE", "Space", "found_space", "random_digest"]

PURPOSE: Final = "grid planning"
_FUNDS: Final = 10**18


def random_digest() -> Digest:
    return Digest(secrets.token_bytes(32))


@dataclass(frozen=True, slots=True)
class Space:
    """Ledgers of the operator and of one organisation for each role; two custodians."""

    operator: Ledger
    provider: Ledger
    buyer: Ledger
    custodians: tuple[Ledger, Ledger]
    compute: Ledger

    @property
    def holders(self) -> tuple[Address, ...]:
        return tuple(account_of(ledger) for ledger in (self.provider, *self.custodians))

    def terms(self, *, automatic: bool = False) -> Terms:
        return Terms(
            compiler=1,
            not_before=0,
            not_after=UNLIMITED_U64,
            purposes=(PURPOSE,),
            algorithms=(),
            buyers=(),
            buyer_roles=Role.BUYER,
            compute_nodes=(),
            holders=(),
            least_threshold=1,
            provider_share_required=True,
            seconds_per_grant=UNLIMITED_U64,
            seconds_per_use=3600,
            uses_per_grant=2,
            uses_per_buyer=UNLIMITED_U32,
            uses_total=UNLIMITED_U32,
            rows_per_buyer=1000,
            automatic_grant=automatic,
            compute_by_buyer=False,
            compute_by_custodian=False,
        )

    def publish(self, *, automatic: bool = False) -> Pin:
        """A registered, published, dealt and accepted asset, as a request pins it."""
        terms = self.terms(automatic=automatic)
        asset = self.provider.assets.register(random_digest()).event(AssetRegistered).asset
        published = self.provider.assets.publish(
            asset, random_digest(), 4096, random_digest(), random_digest(), terms
        ).event(CapsulePublished)
        dealt = self.provider.assets.deal(asset, published.version, random_digest(), 2, 0, self.holders, terms).event(
            CustodyDealt
        )
        together(
            *(
                lambda ledger=ledger: ledger.assets.accept_share(asset, dealt.version, dealt.deal, dealt.deal_hash)
                for ledger in (self.provider, *self.custodians)
            )
        )
        return Pin(
            asset=asset,
            version=published.version,
            capsule_root=published.capsule_root,
            policy_hash=published.policy_hash,
            terms_hash=published.terms_hash,
            deal=dealt.deal,
            deal_hash=dealt.deal_hash,
        )

    def request(self, pin: Pin, algorithm: Digest) -> Transaction:
        return self.buyer.access.request(
            pin, PURPOSE, algorithm, account_of(self.compute), random_digest(), self.terms()
        )

    def grant(self, pin: Pin, algorithm: Digest) -> GrantId:
        """A granted request."""
        request: RequestId = self.request(pin, algorithm).event(AccessRequested).request
        transaction = self.provider.access.grant(request, PURPOSE, random_digest(), self.terms(), self.terms())
        return transaction.event(AccessGranted).grant

    def open_use(self, grant: GrantId, algorithm: Digest, *, deadline: int, number: int = 1) -> UseOpened:
        order = Order(
            grants=(grant,),
            number=number,
            algorithm=algorithm,
            parameters=random_digest(),
            compute_node=account_of(self.compute),
            result_key=random_digest(),
            deadline=deadline,
        )
        access, chain_id = self.buyer.access.address, self.buyer.chain.chain_id()
        signature = key_of(self.buyer).sign_order(order, chain_id, access)
        keys = [[random_digest() for _ in self.holders]]
        opened = self.compute.access.open_use(order, signature, random_digest(), keys).event(UseOpened)
        assert opened.order_hash == order_hash(order, chain_id, access)
        return opened

    def release(self, use: UseId) -> None:
        together(
            *(
                lambda ledger=ledger: ledger.access.release_share(use, random_digest(), secrets.token_bytes(200))
                for ledger in (self.provider, *self.custodians)
            )
        )

    def close(self, opened: UseOpened, *, rows: int = 10) -> UseClosed:
        closed = self.compute.access.close_use(opened.order_hash, True, 0, random_digest(), random_digest(), rows)
        return closed.event(UseClosed)

    def whole_trip(self, *, deadline: int) -> AssetId:
        """From registering an asset to the closed use."""
        algorithm = random_digest()
        pin = self.publish()
        opened = self.open_use(self.grant(pin, algorithm), algorithm, deadline=deadline)
        self.release(opened.use)
        self.close(opened)
        return pin.asset


def found_space(chain: Chain, faucet: Account, *, confirmations: int = 0) -> Space:
    """Deploys the contracts with `faucet` as operator and admits the organisations."""
    directory = deploy(chain, faucet, confirmations=confirmations, finalized_tag=False)
    operator = Ledger.connect(chain, directory, faucet)
    ledgers = [operator.as_account(Account.generate(secrets.token_bytes)) for _ in range(5)]
    roles = (Role.PROVIDER, Role.BUYER, Role.CUSTODIAN, Role.CUSTODIAN, Role.COMPUTE)
    together(
        *(
            lambda ledger=ledger, role=role, number=number: operator.participants.admit(
                account_of(ledger), Uscc.make(f"9135010000000{number:04d}"), random_digest(), role, value=_FUNDS
            )
            for number, (ledger, role) in enumerate(zip(ledgers, roles, strict=True))
        )
    )
    provider, buyer, first, second, compute = ledgers
    return Space(operator, provider, buyer, (first, second), compute)


def together(*calls: Callable[[], Transaction]) -> list[Transaction]:
    """Sends from as many threads, so that a slow chain takes them into one block."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def key_of(ledger: Ledger) -> Account:
    assert ledger.account is not None
    return ledger.account


def account_of(ledger: Ledger) -> Address:
    return key_of(ledger).address
