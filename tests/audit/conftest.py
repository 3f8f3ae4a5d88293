"""One honest history of everything, made once; and quarrels in a data space of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from audit.documents import MemoryDocuments
from capsule.accusation import Accusation
from capsule.batch import BatchFrame
from capsule.box_statement import box_key_statement
from capsule.signature import Ed25519Signer
from contracts.roles import Role
from tests.sim.dataspace import DataSpace, Device, Opened
from tests.sim.histories import History, history_of


@pytest.fixture(scope="session")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataSpace]:
    """A data space in which everything that honest participants do has happened once."""
    founded = DataSpace(tmp_path_factory.mktemp("chain"))
    _devices(founded)
    _assets_and_uses(founded)
    yield founded
    founded.close()


@pytest.fixture(scope="session")
def honest(space: DataSpace) -> History:
    return history_of(space)


@pytest.fixture(scope="session")
def honest_documents(space: DataSpace, honest: History) -> MemoryDocuments:
    return MemoryDocuments(space.documents)


@pytest.fixture(scope="session")
def quarrels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataSpace]:
    """Another data space, for what is not honest."""
    founded = DataSpace(tmp_path_factory.mktemp("chain"), seed=2)
    yield founded
    founded.close()


@pytest.fixture(scope="session")
def true_accusation(quarrels: DataSpace) -> History:
    """A custodian releases a wrong share and is accused of it."""
    _accuse(quarrels, _quarrel(quarrels, forged=True))
    return history_of(quarrels)


@pytest.fixture(scope="session")
def false_accusation(quarrels: DataSpace, true_accusation: History) -> History:
    """A compute node accuses a good share, in the same ledger, later."""
    _accuse(quarrels, _quarrel(quarrels, forged=False))
    return history_of(quarrels)


@pytest.fixture(scope="session")
def failures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DataSpace, History]]:
    """Enough released, and the runs failed with a receipt: one order over one asset, one over two."""
    founded = DataSpace(tmp_path_factory.mktemp("chain"), seed=3)
    offered = founded.offer(founded.register())
    (use,) = founded.open(founded.grant(offered))
    founded.release(use, 0, 1, 2, 3)
    founded.fail_with_receipt(use, reason=5)
    both = founded.open(founded.grant(offered), founded.grant(founded.offer(founded.register())))
    founded.release(both[0], 0, 1, 2, 3)
    founded.refuse(both[1], 0, 1, 2, 3)
    founded.fail_with_receipt(*both, reason=1)
    yield founded, history_of(founded)
    founded.close()


def _devices(space: DataSpace) -> None:
    second = space.admit("second gateway", Role.GATEWAY)
    station, vehicle = space.enroll(), space.enroll()
    space.anchor([*_frames(space, station, 3), *_frames(space, vehicle, 1)])
    space.anchor(_frames(space, station, 2))
    moved = [space.frame(station, gateway=second) for _ in range(2)]
    space.anchor(moved, gateway=second)
    space.fleet()
    owner = space.provider.ledger.devices
    owner.rotate(station.id, 1, Ed25519Signer.generate(space.entropy).public_key, 60, 0)
    owner.retire(space.enroll().id)


def _frames(space: DataSpace, device: Device, count: int) -> list[BatchFrame]:
    return [space.frame(device) for _ in range(count)]


def _assets_and_uses(space: DataSpace) -> None:
    first = space.offer(space.register(), uses_per_grant=4)
    granted = space.grant(first)
    space.clock.advance(10)
    # Two completed uses, then one that all refuse, then one that expires.
    for rows in (10, 20):
        (use,) = space.open(granted)
        space.release(use, 0, 1, 2, 3)
        space.complete(use, rows=rows)
        space.clock.advance(10)
    (refused,) = space.open(granted)
    space.refuse(refused, 0, 1, 2, 3)
    space.fail(refused, 1)
    (expiring,) = space.open(granted)
    space.refuse(expiring, 0, 1, 2, 3)
    space.clock.advance(601)
    space.regulator.ledger.access.expire_use(expiring.id)
    # A request is denied; a grant is revoked while a use of it is open.
    asked, _, _ = space.request(first)
    space.deny(asked.request, 3)
    revoked = space.grant(first)
    (caught,) = space.open(revoked)
    space.release(caught, 3)
    space.revoke(revoked, 7)
    space.refuse(caught, 0, 1, 2)
    space.fail(caught, 1)
    # Keys and roles change; somebody is away for a while.
    _rotate_compute(space)
    space.operator.participants.set_roles(space.regulator.account, Role.REGULATOR | Role.CUSTODIAN)
    space.operator.participants.suspend(space.buyer.account, "papers missing")
    space.operator.participants.reinstate(space.buyer.account, "papers came")
    # One order over two assets, the second granted by its terms and without the provider's share.
    second = space.offer(space.register(), threshold=1, provider_share=False, automatic_grant=True)
    both = space.open(space.grant(first), space.grant(second))
    space.release(both[0], 0, 1, 2)
    space.release(both[1], 2)
    space.complete(*both)
    # Computing by the buyer itself, where the terms allow it; an asset nobody asked for; one only published.
    own = space.offer(space.register(), compute_by_buyer=True)
    space.grant(own, space.buyer)
    space.offer(space.register())
    space.publish(space.register())
    # A refused use under the old deal, then new shares for the same key.
    last = space.grant(first)
    (old,) = space.open(last)
    space.refuse(old, 0, 1, 2, 3)
    space.fail(old, 1)
    renewed = space.redeal(first)
    for index in range(4):
        space.shred(first, index)
    again = space.grant(renewed)
    (use,) = space.open(again)
    space.release(use, 0, 2, 3)
    space.complete(use)
    (ending,) = space.open(again)
    space.refuse(ending, 1, 2, 3, 0)
    space.fail(ending, 1)
    # Data derived from two assets, under a policy within both of theirs.
    parents = (first.pin.capsule_root, second.pin.capsule_root)
    space.offer(space.register(), parents=parents, uses_per_grant=1, rows_per_buyer=500, automatic_grant=False)
    retired = space.register()
    space.provider.ledger.assets.retire(retired, "wrong metadata")
    space.operator.access.pause()
    space.operator.access.unpause()


def _rotate_compute(space: DataSpace) -> None:
    signer = Ed25519Signer.generate(space.entropy)
    party = space.compute
    statement = box_key_statement(space.operator.domain, party.account, party.box.public)
    party.ledger.participants.rotate_keys(1, signer.public_key, party.box.public, signer.sign(statement), 0)
    space.compute = replace(party, signer=signer)


def _quarrel(space: DataSpace, *, forged: bool) -> Opened:
    (use,) = space.open(space.grant(space.offer(space.register())))
    space.release(use, 1, forged=forged)
    space.release(use, 0, 2)
    return use


def _accuse(space: DataSpace, opened: Opened) -> None:
    accusation = Accusation(
        use=opened.id,
        deal=opened.event.pin.deal_hash,
        index=1,
        holder=opened.granted.offered.holders[1].account,
        one_time_key=opened.keys[1].secret,
    )
    space.serve("accusation", accusation.hash, accusation.to_json())
    space.fail(opened, 2, accusation.hash)
