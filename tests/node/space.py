"""A data space of real parts for the node's tests: the demo's world with a clock that tests move."""

from __future__ import annotations

import contextlib
import io
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from capsule import canonical
from capsule.algorithm import Algorithm
from capsule.canonical import Json
from capsule.deal import Deal
from capsule.ids import Address, AssetId, Digest, GrantId
from capsule.policy.offer import offer
from capsule.share import SealedShare
from contracts.errors import RevertedError
from contracts.events import UseOpened
from node.access import Narrowing
from node.catalogue import CustodyPlan, Offering, Plaintext
from node.custody import Decided, SharePackage
from node.ordering import Placed
from node.organisation import Node, Work
from node.service import build_app
from node.store import Store
from node.view import LedgerView
from scripts.algorithm import sql_algorithm
from scripts.demo.world import ROLES, Member, World, build_world

PURPOSE = "research"
ROWS = 40
CSV = b"time,power\n" + b"".join(b"2026-01-01 00:00:%02d,%d\n" % (second, second) for second in range(ROWS))
SQL = "SELECT sum(power) AS total, count(*) AS n FROM readings"
ALGORITHM = sql_algorithm(SQL, ["total:integer", "n:integer"], (), "n")
SQL_TWO = "SELECT (SELECT sum(power) FROM readings_1) AS a, (SELECT max(power) FROM readings_2) AS b"
ALGORITHM_TWO = sql_algorithm(SQL_TWO, ["a:integer", "b:integer"])
TOKEN = "operator-token"


class Clock:
    """Unix seconds that move when told to; chain and nodes share it."""

    def __init__(self) -> None:
        self.now = int(time.time())

    def __call__(self) -> int:
        return self.now


@dataclass(frozen=True, slots=True)
class Offered:
    """An asset on offer, with what its provider handed to each holder."""

    asset: AssetId
    offering: Offering
    deal: Deal
    policy: Json
    shares: tuple[SealedShare, ...]

    def package(self, index: int) -> SharePackage:
        return SharePackage(self.deal.to_json(), self.policy, self.shares[index].to_json())


class Space:
    """The world, and short ways to each stage of a trip. Every asset is its own; tests share nothing else."""

    def __init__(self, world: World, clock: Clock) -> None:
        self.world = world
        self.clock = clock
        self._grants: dict[AssetId, GrantId] = {}
        for name, role in ROLES.items():
            world.admit(world[name], role)
            world.serve(f"{name}.demo", build_app(world[name].node, TOKEN))

    def __getitem__(self, name: str) -> Member:
        return self.world[name]

    @property
    def custodians(self) -> tuple[Address, ...]:
        return tuple(member.account for member in self.world.custodians)

    def tick(self, seconds: int) -> None:
        """Time passes, and a block shows it to the chain."""
        self.clock.now += seconds
        regulator = self["regulator"].ledger.participants
        regulator.set_endpoint(f"http://regulator.demo/{secrets.token_hex(4)}")

    def node(self, name: str, **changes: Any) -> Node:
        """A fresh node on the home of a member, with other settings, clock or peers; the member keeps its own."""
        context = self[name].node.context
        if "settings" in changes:
            changes["settings"] = replace(context.settings, **changes["settings"])
        return Node(replace(context, view=LedgerView(context.ledger), **changes))

    def restart(self, name: str) -> Node:
        """The member's process is gone; another one opens the same home."""
        member = self[name]
        context = member.node.context
        context.store.close()
        store = Store(context.home.database_file, context.keystore.vault, secrets.token_bytes)
        self.world.on_close(store.close)
        node = Node(replace(context, store=store, view=LedgerView(context.ledger)))
        self.world.members[name] = replace(member, node=node)
        self.world.serve(f"{name}.demo", build_app(node, TOKEN))
        return node

    @contextmanager
    def away(self, *names: str) -> Iterator[None]:
        """Nobody answers at these members' hosts."""
        hosts = {f"{name}.demo": self.world._transports.pop(f"{name}.demo") for name in names}
        try:
            yield
        finally:
            self.world._transports.update(hosts)

    def policy(self, asset: AssetId, provider: str = "provider", **terms: Any) -> Json:
        terms = {
            "purposes": [PURPOSE],
            "custodians": self.custodians,
            "least_threshold": 2,
            "provider_share": True,
            "seconds_per_use": 600,
            "uses_per_grant": 2,
            **terms,
        }
        return offer(asset=asset, provider=self[provider].account, **terms)

    def register(self, provider: str = "provider") -> AssetId:
        return self[provider].node.catalogue.register({"title": "test"})

    def seal(self, asset: AssetId, policy: Json = None, content: bytes = CSV, provider: str = "provider") -> Offering:
        plaintext = Plaintext(io.BytesIO(content), len(content), "text/csv", {"time_column": "time"})
        plan = CustodyPlan(self.custodians, threshold=2, waiting_seconds=0)
        policy = policy or self.policy(asset, provider)
        return self[provider].node.catalogue.seal(asset, plaintext, policy, plan)

    def offered(self, provider: str = "provider", finish: bool = True, **terms: Any) -> Offered:
        """A fresh asset; not `finish`: dealt on chain, and no custodian has its share yet."""
        asset = self.register(provider)
        policy = self.policy(asset, provider, **terms)
        sealed = self.seal(asset, policy, provider=provider)
        catalogue = self[provider].node.catalogue
        if finish:
            offering = catalogue.finish(sealed.capsule_root)
        else:
            with self.away(*(member.name for member in self.world.custodians)), pytest.raises(Exception, match="no an"):
                catalogue.finish(sealed.capsule_root)
            offering = next(one for one in catalogue.offerings() if one.capsule_root == sealed.capsule_root)
        store = self[provider].node.context.store
        deal = Deal.from_json(canonical.decode(store.document("deal", sealed.deal_hash) or b""))
        row = store.offering(sealed.capsule_root)
        shares = canonical.decode(row.shares if row else b"")
        assert isinstance(shares, list)
        return Offered(asset, offering, deal, policy, tuple(map(SealedShare.from_json, shares)))

    def granted(self, offered: Offered, algorithm: Algorithm = ALGORITHM, sql: str = SQL) -> GrantId:
        compute = self["compute"].account
        requested = self["buyer"].node.access.request(offered.asset, PURPOSE, algorithm, sql.encode(), compute)
        provider = next(member for member in self.world.members.values() if member.account == offered.deal.provider)
        return requested.grant or provider.node.access.grant(requested.request, Narrowing()).grant

    def ordered(self, *grants: GrantId, seconds: int = 600) -> Placed:
        return self["buyer"].node.ordering.place(grants, {}, seconds)

    def opened(self, offered: Offered) -> tuple[Placed, UseOpened]:
        """A fresh use of an asset, open on chain and not decided by anybody; under one grant as long as it lives."""
        grant = self._grants.get(offered.asset)
        if grant is None or self["provider"].ledger.access.grant_of(grant).revoked:
            grant = self._grants[offered.asset] = self.granted(offered)
        placed = self.ordered(grant)
        self["compute"].node.work()
        return placed, self.uses(placed.order_hash)[0]

    def uses(self, order: Digest) -> tuple[UseOpened, ...]:
        view = self["compute"].node.context.view
        view.refresh()
        return view.uses_of(order)

    def settle(self) -> None:
        """Ends what a test left open, so that the next one works on its own uses only."""
        compute = self["compute"].node
        for row in compute.context.store.unfinished_runs():
            with contextlib.suppress(RevertedError):
                nothing = Digest(bytes(32))
                self["compute"].ledger.access.close_use(Digest.parse(row.order_hash), False, 1, nothing, nothing, 0)
            row.state = "ended"
            compute.context.store.save(row)

    def release(self, *names: str) -> tuple[Decided, ...]:
        names = names or ("provider", "custodian-1", "custodian-2")
        return tuple(one for name in names for one in self[name].node.work().decided)


def decided_on(work: Work, use: bytes) -> Decided:
    """The one decision on a use in a round of work."""
    (decided,) = [one for one in work.decided if one.use == use]
    return decided


@contextmanager
def build_space(path: Path) -> Iterator[Space]:
    clock = Clock()
    with build_world(path / "world", clock) as world:
        yield Space(world, clock)
