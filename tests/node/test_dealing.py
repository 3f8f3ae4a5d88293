"""A new deal and a rebound capsule as acts of real nodes: opened, confirmed, gathered, dealt, and audited."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from capsule import canonical
from capsule.decision import RELEASED, RefusalReason, ShareDecision, sign_decision
from capsule.errors import OpenError, VerificationError
from capsule.ids import Digest, OpeningId
from capsule.key import DataKey, combine
from capsule.layout import read_layout
from capsule.opening import CapsuleReader
from capsule.share import Release, SealedShare, ShareSecret, open_share, rebuild_key, seal_release
from capsule.shred import SignedShred, verify_shred
from capsule.suite import open_slot
from contracts.errors import RevertedError
from contracts.events import CapsulePublished, CustodyDealt, DealOpened
from contracts.roles import Role
from contracts.structs import Decision
from node.catalogue import CustodyPlan, Offering
from node.dealing import Opened
from node.errors import InputRefusedError, RefusedError, UnknownError
from node.organisation import Node
from node.store import Store
from scripts.demo.inspection import Inspector
from tests.node.space import CSV, TOKEN, Offered, Space, build_space, decided_on

NEW = ("custodian-2", "custodian-3", "custodian-4")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """A data space of its own with a fourth custodian, whose whole history is audited in the end."""
    with build_space(tmp_path_factory.mktemp("dealing")) as space:
        space.world.admit(space.world.join("custodian-4"), Role.CUSTODIAN)
        yield space


def plan_of(space: Space, *names: str, threshold: int = 2, waiting: int = 0) -> CustodyPlan:
    return CustodyPlan(tuple(space[name].account for name in names), threshold, waiting)


def offered_to_all(space: Space, **terms: Any) -> Offered:
    """An asset that the custodians hold, and others may come to hold."""
    everybody = [member.account for name, member in space.world.members.items() if name.startswith("custodian")]
    return space.offered(custodians=everybody, **terms)


def secrets_of(space: Space, offered: Offered) -> tuple[ShareSecret, ...]:
    """Every holder's part of a deal, as it came to it."""
    holders = {member.account: member for member in space.world.members.values()}
    return tuple(
        open_share(sealed, offered.deal, holders[holder.account].node.context.keystore.box)
        for sealed, holder in zip(offered.shares, offered.deal.holders, strict=True)
    )


def again(space: Space, offered: Offered, offering: Offering) -> Offered:
    """What the provider handed out for the newest deal of an offering."""
    provider = space["provider"].node
    row = provider.context.store.offering(offering.capsule_root)
    shares = canonical.decode(row.shares if row else b"")
    assert isinstance(shares, list)
    deal = provider.catalogue.deal(offering.deal_hash)
    policy = provider.catalogue.policy(offering.policy_hash)
    return Offered(offered.asset, offering, deal, policy, tuple(map(SealedShare.from_json, shares)))


def confirm(space: Space, opened: Opened, *names: str) -> None:
    assert opened.opening is not None
    for name in names:
        assert space[name].node.openings.answer(opened.opening, confirmed=True).state == "confirmed"


def events_of(space: Space, kind: type[Any], offered: Offered) -> list[Any]:
    events = space["regulator"].ledger.events(0, space.world.chain.head().number)
    return [event for event in events if isinstance(event, kind) and event.asset == offered.asset]


def result_of(space: Space, offered: Offered) -> Any:
    """A use, from the request to the opened result."""
    order = space.ordered(space.granted(offered)).order_hash
    space["compute"].node.work()
    space.release("provider", *(name for name in space.world.members if name.startswith("custodian")))
    progress = space["compute"].node.work().progress
    assert [(one.state, one.note) for one in progress if one.order_hash == order] == [("ended", "")]
    document = canonical.decode(space["buyer"].node.ordering.collect(order).result)
    assert isinstance(document, dict)
    return document["rows"]


def key_of(offered: Offered, parts: tuple[ShareSecret, ...], *, instead: ShareSecret | None = None) -> DataKey:
    """What all parts make, with another provider part where one is given: checked against the deal's commitments."""
    return rebuild_key(offered.deal, (instead or parts[0], *parts[1:]))


@dataclass(frozen=True, slots=True)
class Dealt:
    """A deal and the one that took its place, with the parts of both."""

    before: Offered
    opened: Opened
    old: tuple[ShareSecret, ...]
    after: Offered
    new: tuple[ShareSecret, ...]
    rows: Any


@pytest.fixture(scope="module")
def dealt(own: Space) -> Dealt:
    before = offered_to_all(own)
    rows, old = result_of(own, before), secrets_of(own, before)
    dealing = own["provider"].node.dealing
    opened = dealing.open(before.asset, "a custodian leaves")
    confirm(own, opened, "custodian-1", "custodian-3")
    own.release("custodian-1", "custodian-2", "custodian-3")
    offering = dealing.deal(before.asset, plan_of(own, *NEW, threshold=3, waiting=7))
    for name in ("custodian-1", *NEW):
        own[name].node.work()
    after = again(own, before, offering)
    return Dealt(before, opened, old, after, secrets_of(own, after), rows)


def test_a_new_deal_serves_uses_with_the_same_result(own: Space, dealt: Dealt) -> None:
    deal = dealt.after.deal
    assert (deal.number, deal.threshold, deal.waiting_seconds) == (2, 3, 7)
    assert [holder.account for holder in deal.holders[1:]] == [own[name].account for name in NEW]
    assert deal.capsule_root == dealt.before.deal.capsule_root
    assert result_of(own, dealt.after) == dealt.rows == [[780, 40]]


def test_parts_of_two_deals_open_nothing_together(own: Space, dealt: Dealt) -> None:
    key = key_of(dealt.before, dealt.old)
    assert key_of(dealt.after, dealt.new) == key
    for mixed in ((dealt.new[0], *dealt.old[1:]), (dealt.old[0], *dealt.new[1:])):
        of = dealt.before if mixed[1] is dealt.old[1] else dealt.after
        with pytest.raises(VerificationError):
            rebuild_key(of.deal, mixed)
        # also where nobody looks at commitments
        parts = {secret.index: secret.share for secret in mixed[1:]}
        made = combine(mixed[0].share, parts, of.deal.threshold)
        with dealt.after.offering.capsule.open("rb") as stream, pytest.raises(OpenError):
            CapsuleReader(stream, made)
    with dealt.after.offering.capsule.open("rb") as stream:
        assert CapsuleReader(stream, key).read_all() == CSV


def test_only_who_confirmed_released(own: Space, dealt: Dealt) -> None:
    opening = dealt.opened.opening
    assert opening is not None
    access = own["provider"].ledger.access
    decisions = [access.decision_of(Digest(opening), own[f"custodian-{index}"].account) for index in (1, 2, 3)]
    assert decisions == [Decision.RELEASED, Decision.NONE, Decision.RELEASED]
    states = {
        name: [one.state for one in own[name].node.openings.asked_for() if one.opening == opening]
        for name in ("custodian-1", "custodian-2", "custodian-4", "provider")
    }
    assert states == {"custodian-1": ["released"], "custodian-2": ["over"], "custodian-4": [], "provider": []}
    assert own["custodian-2"].node.work().decided == ()


@pytest.mark.parametrize("name", ["provider", "custodian-1", "custodian-2", "custodian-3"])
def test_old_parts_are_destroyed_with_a_signed_statement(own: Space, dealt: Dealt, name: str) -> None:
    member = own[name]
    store = member.node.context.store
    row = store.held_share(dealt.before.deal.hash)
    assert row is not None
    assert row.sealed == b""
    answer = own.world.client.get(f"http://{name}.demo/v1/documents/shred-statement/{dealt.before.deal.hash}")
    statement = verify_shred(
        SignedShred.from_json(canonical.decode(answer.content)), member.public_key, member.ledger.domain
    )
    assert (statement.deal, statement.holder, statement.index) == (dealt.before.deal.hash, member.account, row.position)
    with pytest.raises(RefusedError):
        member.node.custody.accept(dealt.before.package(row.position))


def test_nothing_of_an_ended_opening_is_left(own: Space, dealt: Dealt) -> None:
    store = own["provider"].node.context.store
    assert own["provider"].node.dealing.openings() == ()
    assert secret_names(store, "opening/") == []
    row = store.offering(dealt.after.deal.capsule_root)
    assert row is not None
    assert all(canonical.encode(share.to_json()) not in row.shares for share in dealt.before.shares)
    with pytest.raises(InputRefusedError, match="asset open-deal"):
        own["provider"].node.dealing.deal(dealt.before.asset, plan_of(own, *NEW))


def secret_names(store: Store, prefix: str) -> list[str]:
    with store._engine.connect() as connection:
        names = [str(name) for (name,) in connection.exec_driver_sql("SELECT name FROM node_secrets")]
    return [name for name in names if name.startswith(prefix)]


# Rebinding


@dataclass(frozen=True, slots=True)
class Rebound:
    before: Offered
    key: DataKey
    after: Offered
    new_key: DataKey
    rows: Any


@pytest.fixture(scope="module")
def rebound(own: Space) -> Rebound:
    before = offered_to_all(own, uses_per_grant=2)
    rows = result_of(own, before)
    key = key_of(before, secrets_of(own, before))
    dealing = own["provider"].node.dealing
    opened = dealing.open(before.asset, "a new policy")
    confirm(own, opened, "custodian-1", "custodian-2", "custodian-3")
    own.release("custodian-1", "custodian-2", "custodian-3")
    accounts = [own[name].account for name in NEW]
    policy = own.policy(before.asset, uses_per_grant=5, custodians=accounts)
    offering = dealing.rebind(before.asset, policy, plan_of(own, *NEW))
    after = again(own, before, offering)
    return Rebound(before, key, after, key_of(after, secrets_of(own, after)), rows)


def test_a_rebound_capsule_is_the_next_version_with_the_same_chunks(own: Space, rebound: Rebound) -> None:
    old, new = rebound.before.offering, rebound.after.offering
    assert (new.version, rebound.after.deal.number, new.stage) == (2, 1, "delivered")
    assert new.policy_hash != old.policy_hash
    with old.capsule.open("rb") as one, new.capsule.open("rb") as other:
        body_of_one, body_of_other = read_layout(one).body, read_layout(other).body
    assert old.capsule.read_bytes()[body_of_one:] == new.capsule.read_bytes()[body_of_other:]
    assert result_of(own, rebound.after) == rebound.rows


def test_old_and_new_key_header_and_slot_do_not_go_together(rebound: Rebound) -> None:
    old, new = rebound.before.offering.capsule, rebound.after.offering.capsule
    for path, key in ((old, rebound.new_key), (new, rebound.key)):
        with path.open("rb") as stream, pytest.raises(OpenError):
            CapsuleReader(stream, key)
    with old.open("rb") as one, new.open("rb") as other:
        before, after = read_layout(one), read_layout(other)
    capsule_id = after.header.capsule_id
    assert open_slot(rebound.new_key, after.slot, capsule_id, after.stored_header, after.header.key_commitment)
    for key in (rebound.key, rebound.new_key):
        for header in (before, after):
            if (key, header) == (rebound.new_key, after):
                continue
            with pytest.raises(OpenError):
                open_slot(key, after.slot, capsule_id, header.stored_header, header.header.key_commitment)


def test_the_older_version_stays_as_it_was(own: Space, rebound: Rebound) -> None:
    """Rebinding does not reach back: nobody destroyed a part of it, until its holders shred theirs."""
    deal = rebound.before.deal.hash
    for name in ("provider", "custodian-1", "custodian-2", "custodian-3"):
        own[name].node.work()
        row = own[name].node.context.store.held_share(deal)
        assert row is not None
        assert row.sealed
    assert own["provider"].node.dealing.openings() == ()


# Waiting and answers


def test_nothing_leaves_before_the_waiting_time(own: Space) -> None:
    before = offered_to_all(own)
    provider = own["provider"].node
    first = provider.dealing.open(before.asset, "to wait from now on")
    confirm(own, first, "custodian-1", "custodian-2")
    own.release("custodian-1", "custodian-2")
    waiting = provider.dealing.deal(before.asset, plan_of(own, "custodian-1", "custodian-2", waiting=3600))
    opened = provider.dealing.open(before.asset, "a custodian leaves")
    assert opened.opening is not None
    confirm(own, opened, "custodian-1", "custodian-2")
    custodian = own["custodian-1"]
    own.clock.now = opened.releasable_from - 1
    assert custodian.node.work().decided == ()
    with pytest.raises(RevertedError, match="AccessReleaseTooEarly"):
        custodian.ledger.access.release_share(Digest(opened.opening), Digest(bytes(32)), b"")
    with pytest.raises(RefusedError, match="0 of the 2 shares"):
        provider.dealing.deal(before.asset, plan_of(own, *NEW))
    own.clock.now = opened.releasable_from
    own.release("custodian-1", "custodian-2")
    offering = provider.dealing.deal(before.asset, plan_of(own, *NEW))
    assert provider.catalogue.deal(offering.deal_hash).number == 3
    assert waiting.deal_hash != offering.deal_hash


def test_a_declined_opening_is_refused_on_chain_and_may_be_asked_anew(own: Space) -> None:
    before = offered_to_all(own)
    dealing = own["provider"].node.dealing
    opened = dealing.open(before.asset, "why not")
    assert opened.opening is not None
    assert dealing.open(before.asset, "the same").opening == opened.opening
    for name in ("custodian-1", "custodian-2"):
        node = own[name].node
        asked = node.openings.answer(opened.opening, confirmed=False, note="call me first")
        assert (asked.state, asked.note, asked.reason) == ("declined", "call me first", "why not")
        decided = decided_on(node.work(), opened.opening)
        assert decided.reason is RefusalReason.NOT_CONFIRMED
        with pytest.raises(InputRefusedError, match="refused already"):
            node.openings.answer(opened.opening, confirmed=True)
    second = dealing.open(before.asset, "please")
    assert second.opening not in (None, opened.opening)
    keys = {key for event in events_of(own, DealOpened, before) for key in event.one_time_keys if any(key)}
    assert len(keys) == 6
    confirm(own, second, "custodian-1", "custodian-2")
    own.release("custodian-1", "custodian-2")
    assert dealing.deal(before.asset, plan_of(own, *NEW)).stage == "delivered"


def test_a_home_restored_without_one_time_keys_asks_anew(own: Space) -> None:
    """Backups leave them out: what was released to them opens no more."""
    before = offered_to_all(own)
    provider = own["provider"].node
    opened = provider.dealing.open(before.asset, "to try")
    confirm(own, opened, "custodian-1", "custodian-2")
    own.release("custodian-1", "custodian-2")
    provider.context.store.forget_secrets("opening/")
    with pytest.raises(RefusedError, match="0 of the 2 shares"):
        provider.dealing.deal(before.asset, plan_of(own, *NEW))
    second = provider.dealing.open(before.asset, "the keys are lost")
    assert second.opening not in (None, opened.opening)
    confirm(own, second, "custodian-1", "custodian-2")
    own.release("custodian-1", "custodian-2")
    assert provider.dealing.deal(before.asset, plan_of(own, *NEW)).stage == "delivered"


def test_a_use_of_a_replaced_deal_is_refused_and_fails(own: Space) -> None:
    before = offered_to_all(own)
    order = own.ordered(own.granted(before)).order_hash
    own["compute"].node.work()
    (use,) = own.uses(order)
    provider = own["provider"].node
    opened = provider.dealing.open(before.asset, "meanwhile")
    assert opened.opening is not None
    for name in ("custodian-1", "custodian-2"):
        own[name].node.openings.answer(opened.opening, confirmed=True)
        own[name].node.openings.decide()
    provider.dealing.deal(before.asset, plan_of(own, *NEW))
    for name in ("provider", "custodian-1", "custodian-2", "custodian-3"):
        node = own[name].node
        node.custody.destroy_replaced()
        assert decided_on(node.work(), use.use).reason is RefusalReason.DEAL_MISMATCH
    (note,) = [one.note for one in own["compute"].node.work().progress if one.order_hash == order]
    assert note == "too_few_releases"


def test_an_opening_that_asks_nothing_of_a_holder_has_no_answer(own: Space, dealt: Dealt) -> None:
    opening = dealt.opened.opening
    assert opening is not None
    for name in ("custodian-4", "provider"):
        with pytest.raises(UnknownError):
            own[name].node.openings.answer(opening, confirmed=True)
    with pytest.raises(UnknownError):
        own["custodian-1"].node.openings.answer(OpeningId(bytes(32)), confirmed=True)


def test_a_deal_that_does_not_fit_the_policy_leaves_the_opening_as_it_is(own: Space) -> None:
    before = offered_to_all(own)
    dealing = own["provider"].node.dealing
    opened = dealing.open(before.asset, "to try")
    confirm(own, opened, "custodian-1", "custodian-2")
    own.release("custodian-1", "custodian-2")
    for plan in (plan_of(own, *NEW, threshold=1), plan_of(own, "gateway", "custodian-1")):
        with pytest.raises(InputRefusedError):
            dealing.deal(before.asset, plan)
    (kept,) = dealing.openings()
    assert (kept.state, kept.released) == ("opened", tuple(own[f"custodian-{index}"].account for index in (1, 2)))
    # a custodian that the chain does not take leaves it too, so that another plan can be made
    own.world.operator.participants.suspend(own["custodian-4"].account, "papers missing")
    with pytest.raises(RevertedError, match="ParticipantNotActive"):
        dealing.deal(before.asset, plan_of(own, *NEW))
    own.world.operator.participants.reinstate(own["custodian-4"].account, "papers came")
    assert dealing.deal(before.asset, plan_of(own, "custodian-3", "custodian-4")).stage == "delivered"


def test_a_custodian_out_of_reach_gets_its_share_later(own: Space) -> None:
    before = offered_to_all(own)
    provider = own["provider"].node
    opened = provider.dealing.open(before.asset, "to try")
    confirm(own, opened, "custodian-1", "custodian-2")
    own.release("custodian-1", "custodian-2")
    with own.away("custodian-3", "custodian-4"), contextlib.suppress(Exception):
        provider.dealing.deal(before.asset, plan_of(own, *NEW))
    # replaced on chain, but not ready: the old parts are the only ones that make the key
    own["custodian-1"].node.work()
    row = own["custodian-1"].node.context.store.held_share(before.deal.hash)
    assert row is not None
    assert row.sealed
    (kept,) = provider.dealing.openings()
    assert kept.state == "made"
    with pytest.raises(InputRefusedError, match="something else was made"):
        provider.dealing.deal(before.asset, plan_of(own, "custodian-1", "custodian-2"))
    assert provider.dealing.deal(before.asset, plan_of(own, *NEW)).stage == "delivered"
    own["custodian-1"].node.work()
    row = own["custodian-1"].node.context.store.held_share(before.deal.hash)
    assert row is not None
    assert not row.sealed


# Interruptions


class UnpluggedError(Exception):
    """The process ends here."""


class Fuse:
    """Lets a number of acts of a node through, in both meanings: it blows after that one was done."""

    def __init__(self, node: Node, patch: pytest.MonkeyPatch) -> None:
        self.left = 0
        context = node.context
        for owner, name in (
            (context.store, "save"),
            (context.store, "set_stage"),
            (context.store, "forget_secrets"),
            (context.ledger.assets, "open_deal"),
            (context.ledger.assets, "publish"),
            (context.ledger.assets, "deal"),
            (context.ledger.assets, "accept_share"),
            (context.peers, "post"),
        ):
            patch.setattr(owner, name, self._guarded(getattr(owner, name)))

    def _guarded(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any, **named: Any) -> Any:
            result = act(*arguments, **named)
            self.left -= 1
            if self.left == 0:
                raise UnpluggedError
            return result

        return guarded


def interrupted(own: Space, act: Callable[[Node], Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, int]:
    """Runs an act of the provider, unplugged after each thing that it does and taken up by another process."""
    blown, before, left = 0, "", 1
    for _ in range(60):
        node = own.restart("provider")
        store = node.context.store
        reached = f"{store.dealings()} {store.offerings()} {len(secret_names(store, ''))}"
        # what is only repeated is no progress: the next try gets further
        left, before = (left + 1 if reached == before else 1), reached
        with monkeypatch.context() as patch:
            fuse = Fuse(node, patch)
            fuse.left = left
            try:
                return act(node), blown
            except UnpluggedError:
                blown += 1
    raise AssertionError("it never came to its end")


def test_an_interrupted_new_deal_loses_and_doubles_nothing(own: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    before = offered_to_all(own)
    opened, blown = interrupted(own, lambda node: node.dealing.open(before.asset, "to try"), monkeypatch)
    assert blown >= 2
    confirm(own, opened, "custodian-1", "custodian-2")
    own.release("custodian-1", "custodian-2")
    plan = plan_of(own, *NEW)
    offering, blown = interrupted(own, lambda node: deal_or_settled(node, before, plan), monkeypatch)
    assert blown >= 8
    assert offering.stage == "delivered"
    assert len(events_of(own, DealOpened, before)) == 1
    assert [event.deal for event in events_of(own, CustodyDealt, before)] == [1, 2]
    provider = own.restart("provider")
    provider.work()
    assert provider.dealing.openings() == ()
    assert secret_names(provider.context.store, "opening/") == []
    row = provider.context.store.held_share(before.deal.hash)
    assert row is not None
    assert not row.sealed
    assert result_of(own, again(own, before, offering)) == [[780, 40]]


def deal_or_settled(node: Node, before: Offered, plan: CustodyPlan) -> Offering:
    """Once its last record is made, there is nothing left to take up."""
    try:
        return node.dealing.deal(before.asset, plan)
    except InputRefusedError:
        return next(one for one in node.catalogue.offerings() if one.asset == before.asset)


def test_an_interrupted_rebinding_loses_and_doubles_nothing(own: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    before = offered_to_all(own)
    opened = own["provider"].node.dealing.open(before.asset, "to try")
    confirm(own, opened, "custodian-1", "custodian-2")
    own.release("custodian-1", "custodian-2")
    plan, policy = plan_of(own, *NEW), own.policy(before.asset, custodians=[own[name].account for name in NEW])

    def act(node: Node) -> Offering:
        try:
            return node.dealing.rebind(before.asset, policy, plan)
        except InputRefusedError:
            return max(
                (one for one in node.catalogue.offerings() if one.asset == before.asset), key=lambda one: one.version
            )

    offering, blown = interrupted(own, act, monkeypatch)
    assert blown >= 8
    assert (offering.version, offering.stage) == (2, "delivered")
    assert [event.version for event in events_of(own, CapsulePublished, before)] == [1, 2]
    assert [(event.version, event.deal) for event in events_of(own, CustodyDealt, before)] == [(1, 1), (2, 1)]
    assert result_of(own, again(own, before, offering)) == [[780, 40]]


# Shredding


def test_a_shredded_share_is_gone_and_its_uses_are_refused(own: Space) -> None:
    before = offered_to_all(own)
    grant = own.granted(before)
    custodian = own["custodian-1"]
    store = custodian.node.context.store
    row = store.held_share(before.deal.hash)
    assert row is not None
    signed = custodian.node.custody.shred(before.deal.hash)
    assert custodian.node.custody.shred(before.deal.hash) == signed
    verify_shred(signed, custodian.public_key, custodian.ledger.domain)
    database = custodian.node.context.home.database_file
    left = b"".join(path.read_bytes() for path in database.parent.glob(f"{database.name}*"))
    assert row.sealed not in left
    order = own.ordered(grant).order_hash
    own["compute"].node.work()
    (opened,) = own.uses(order)
    decided = decided_on(own.restart("custodian-1").work(), opened.use)
    assert (decided.released, decided.reason) == (False, RefusalReason.NO_SHARE)
    with pytest.raises(RefusedError, match="is not taken again"):
        own["custodian-1"].node.custody.accept(before.package(1))
    own.release("provider", "custodian-2", "custodian-3")
    assert [one.note for one in own["compute"].node.work().progress if one.order_hash == order] == [""]


def test_a_shredded_provider_part_ends_the_asset(own: Space) -> None:
    before = offered_to_all(own)
    provider = own["provider"].node
    client = own.world.client
    bearer = {"authorization": f"Bearer {TOKEN}"}
    path = "http://provider.demo/v1/custody/shred"
    assert client.post(path, json={"asset": str(before.asset)}).status_code == 403
    answer = client.post(path, json={"asset": str(before.asset)}, headers=bearer).json()
    (signed,) = answer["statements"]
    assert signed["statement"]["index"] == 0
    row = provider.context.store.offering(before.deal.capsule_root)
    assert row is not None
    assert canonical.decode(row.shares) == []
    again = client.post(path, json={"asset": str(before.asset)}, headers=bearer)
    assert (again.status_code, "was shredded" in again.json()["detail"]) == (400, True)
    assert client.post(path, json={}, headers=bearer).status_code == 400
    # no new deal comes of it either
    opened = provider.dealing.open(before.asset, "too late")
    confirm(own, opened, "custodian-1", "custodian-2")
    own.release("custodian-1", "custodian-2")
    with pytest.raises(RefusedError, match="lost its own part"):
        provider.dealing.deal(before.asset, plan_of(own, *NEW))


# A holder's checks


def test_an_opening_is_refused_for_its_reason(own: Space) -> None:
    """The clock is off; the own limit is reached; the share is gone."""
    before = offered_to_all(own)
    opened = own["provider"].node.dealing.open(before.asset, "to try")
    assert opened.opening is not None
    confirm(own, opened, "custodian-1", "custodian-2", "custodian-3")
    off = own.node("custodian-1", clock=lambda: own.clock() - 1000 + opened.releasable_from - own.clock())
    limited = own.node("custodian-2", settings={"releases_per_day": 0})
    own["custodian-3"].node.custody.shred(before.deal.hash)
    reasons = [decided_on(node.work(), opened.opening).reason for node in (off, limited, own["custodian-3"].node)]
    assert reasons == [RefusalReason.CLOCK_OFF, RefusalReason.OWN_LIMIT, RefusalReason.NO_SHARE]


def test_a_retired_asset_gives_no_more_shares(own: Space) -> None:
    before = offered_to_all(own)
    opened = own["provider"].node.dealing.open(before.asset, "to try")
    assert opened.opening is not None
    confirm(own, opened, "custodian-1")
    own["provider"].node.catalogue.retire(before.asset, "over")
    decided = decided_on(own["custodian-1"].node.work(), opened.opening)
    assert decided.reason is RefusalReason.USE_NOT_OPEN


# The commands' way in


def test_the_routes_are_the_operators_own(own: Space) -> None:
    before = offered_to_all(own)
    client, bearer = own.world.client, {"authorization": f"Bearer {TOKEN}"}
    base = f"http://provider.demo/v1/assets/{before.asset}"
    for verb in ("open-deal", "deal", "rebind"):
        assert client.post(f"{base}/{verb}", json={}).status_code == 403
    opened = client.post(f"{base}/open-deal", json={"reason": "to try"}, headers=bearer).json()
    listed = client.get("http://provider.demo/v1/openings", headers=bearer).json()["openings"]
    assert opened in listed
    for name in ("custodian-1", "custodian-2"):
        path = f"http://{name}.demo/v1/custody/openings"
        assert client.get(path).status_code == 403
        known = client.get(path, headers=bearer).json()["openings"]
        (asked,) = [one for one in known if one["opening"] == opened["opening"]]
        assert (asked["state"], asked["reason"]) == ("unanswered", "to try")
        assert (asked["asset"], asked["provider"]) == (str(before.asset), str(own["provider"].account))
        assert client.post(f"{path}/{asked['opening']}/confirm", json={}).status_code == 403
        answered = client.post(f"{path}/{asked['opening']}/confirm", json={}, headers=bearer).json()
        assert answered == {**asked, "state": "confirmed"}
        client.post(f"http://{name}.demo/v1/work", headers=bearer)
    custody = {"custodians": [str(own[name].account) for name in NEW], "threshold": 2, "waiting_seconds": 0}
    dealt = client.post(f"{base}/deal", json={"custody": custody}, headers=bearer).json()
    assert (dealt["stage"], dealt["version"]) == ("delivered", 1)
    again = client.post(f"{base}/rebind", json={"policy": before.policy, "custody": custody}, headers=bearer)
    assert (again.status_code, again.json()["exit_status"]) == (400, 2)


# The auditor


def test_the_audit_of_all_this_finds_nothing(own: Space, dealt: Dealt, rebound: Rebound) -> None:
    """Last of those that share this space: its whole history, with every document that is served."""
    own.tick(700)
    own.settle()
    own["compute"].node.work()
    assert [str(finding) for finding in Inspector(own.world).inspect().findings] == []


def test_a_wrong_share_is_left_out_and_proven(own: Space) -> None:
    """After the audit that finds nothing: one custodian releases something else than its share."""
    before = offered_to_all(own)
    provider = own["provider"].node
    opened = provider.dealing.open(before.asset, "to try")
    assert opened.opening is not None
    wrong_one(own, before, opened.opening)
    confirm(own, opened, "custodian-2")
    own.release("custodian-2")
    with pytest.raises(RefusedError, match="1 of the 2 shares that are needed came, 1 were wrong"):
        provider.dealing.deal(before.asset, plan_of(own, *NEW))
    (told,) = [one for one in provider.dealing.openings() if one.asset == before.asset]
    assert told.wrong == (own["custodian-1"].account,)
    confirm(own, opened, "custodian-3")
    own.release("custodian-3")
    assert provider.dealing.deal(before.asset, plan_of(own, *NEW)).stage == "delivered"
    findings = Inspector(own.world).inspect().findings
    assert [(finding.rule, finding.accused) for finding in findings] == [("share-wrong", own["custodian-1"].account)]


def wrong_one(own: Space, before: Offered, opening: OpeningId) -> None:
    """Custodian 1 signs a decision to release, and seals other bytes."""
    member = own["custodian-1"]
    (event,) = events_of(own, DealOpened, before)
    release = Release(
        chain_id=member.ledger.domain.chain_id,
        access=member.ledger.access.address,
        use=opening,
        deal=before.deal.hash,
        index=1,
        share=bytes(16),
        blinding=bytes(32),
    )
    decision = ShareDecision(
        use=opening,
        deal=before.deal.hash,
        holder=member.account,
        index=1,
        outcome=RELEASED,
        reason=RefusalReason.NONE,
        view=member.ledger.chain.verification,
        block=1,
        decided_at=own.clock(),
        salt=bytes(32),
        log_head=member.node.context.store.log_head(),
    )
    signed = sign_decision(decision, member.node.context.keystore.signer, member.ledger.domain)
    member.node.context.store.put_document("decision", decision.hash, signed.to_json())
    member.ledger.access.release_share(Digest(opening), decision.hash, seal_release(release, event.one_time_keys[1]))
