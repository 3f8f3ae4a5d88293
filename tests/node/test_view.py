"""What a node knows of the ledger: once, in order, and whole even when the chain fails in between."""

import secrets
from dataclasses import replace
from typing import Any

import pytest

from capsule.ids import DeviceId, Digest
from capsule.signature import ED25519, SM2, Ed25519Signer, PublicKey, Sm2Signer
from contracts.chain import Block
from contracts.errors import ChainUnreachableError
from contracts.events import BatchAnchored, UseOpened
from contracts.structs import Batch
from node import view as view_module
from node.errors import KeystoreError, UnknownError
from node.keystore import create_keystore
from node.organisation import Node
from node.view import LedgerView
from tests.node.space import Space


def test_refresh_returns_each_event_once(space: Space) -> None:
    view = LedgerView(space["regulator"].ledger)
    first = view.refresh()
    assert first
    assert view.refresh() == ()
    space.register()
    assert len(view.refresh()) == 1
    assert view.refresh() == ()
    assert len(LedgerView(space["regulator"].ledger).refresh()) == len(first) + 1


def test_many_small_reads_make_the_same_view(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    space.opened(space.offered())
    whole = LedgerView(space["regulator"].ledger)
    events = whole.refresh()
    monkeypatch.setattr(view_module, "BLOCKS_PER_READ", 3)
    parts = LedgerView(space["regulator"].ledger)
    assert parts.refresh() == events
    assert parts.uses == whole.uses
    assert parts.orders == whole.orders


def rotated(space: Space, view: LedgerView, overlap: int, distrusted: int = 0) -> tuple[DeviceId, list[int | None]]:
    devices = space["provider"].ledger.devices
    device = DeviceId(secrets.token_bytes(32))
    devices.enroll(device, 1, Ed25519Signer.generate(secrets.token_bytes).public_key, Digest(bytes(32)))
    devices.rotate(device, 1, Ed25519Signer.generate(secrets.token_bytes).public_key, overlap, distrusted)
    view.refresh()
    return device, [key.anchored_before for key in view.device_keys[device]]


def test_a_replaced_device_key_counts_until_its_overlap_ends(space: Space) -> None:
    view = LedgerView(space["regulator"].ledger)
    now = space.clock()
    device, ends = rotated(space, view, overlap=100)
    assert ends == [now + 100, None]
    third = Ed25519Signer.generate(secrets.token_bytes).public_key
    space.tick(10)
    space["provider"].ledger.devices.rotate(device, 1, third, 500, 0)
    view.refresh()
    assert [key.anchored_before for key in view.device_keys[device]] == [now + 100, now + 510, None]
    assert view.device_keys[device][-1].key == PublicKey(1, third)


def test_bytes_on_chain_that_are_no_key_stop_no_node(space: Space) -> None:
    """An owner may enrol any 32 bytes, and any 04 || x || y || user id: the contracts do no curve arithmetic."""
    view = LedgerView(space["regulator"].ledger)
    devices = space["provider"].ledger.devices
    good = Sm2Signer.generate(secrets.token_bytes).public_key
    for suite, bad in ((ED25519, bytes(32)), (SM2, b"\x04" + bytes(65)), (SM2, good[:1] + good[33:65] * 2 + b"1")):
        device = DeviceId(secrets.token_bytes(32))
        devices.enroll(device, suite, bad, Digest(bytes(32)))
        view.refresh()
        assert view.device_keys[device] == ()
        devices.rotate(device, SM2, good, 10, 0)
        devices.rotate(device, suite, bad, 10, 0)
        view.refresh()
        assert [key.key for key in view.device_keys[device]] == [PublicKey(SM2, good)]
        assert view.device_keys[device][0].anchored_before is not None


def test_a_distrusted_device_key_counts_only_until_it_was_lost(space: Space) -> None:
    view = LedgerView(space["regulator"].ledger)
    lost = space.clock() - 1000
    assert rotated(space, view, overlap=100, distrusted=lost)[1] == [lost, None]


class Failing:
    """A ledger whose chain fails at the blocks that a test names."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger
        self.chain = self
        self.down = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def block(self, number: int) -> Block:
        if self.down:
            raise ChainUnreachableError("no answer")
        block: Block = self._ledger.chain.block(number)
        return block


@pytest.fixture
def anchored(space: Space) -> None:
    """A block with an anchor, after a use was opened."""
    space.opened(space.offered())
    batch = Batch(
        number=1,
        predecessor=Digest(bytes(32)),
        size=1,
        frames_root=Digest(secrets.token_bytes(32)),
        index_root=Digest(secrets.token_bytes(32)),
        incidents_root=Digest(bytes(32)),
    )
    space["gateway"].ledger.devices.anchor(batch)


@pytest.mark.usefixtures("anchored")
def test_a_chain_that_fails_in_between_leaves_nothing_twice(space: Space) -> None:
    ledger = Failing(space["regulator"].ledger)
    view = LedgerView(ledger)  # type: ignore[arg-type]
    with pytest.raises(ChainUnreachableError):
        view.refresh()
    assert view.uses == {}
    ledger.down = False
    events = view.refresh()
    opened = [event for event in events if isinstance(event, UseOpened)]
    assert opened
    assert sum(len(uses) for uses in view.orders.values()) == len(opened)
    assert len([event for event in events if isinstance(event, BatchAnchored)]) == len(view.anchors)
    (anchor,) = [one for one in view.anchors.values() if one.gateway == space["gateway"].account]
    assert abs(anchor.anchored_at - space.clock()) < 5


def test_what_is_not_known_is_said(space: Space) -> None:
    view = space["buyer"].node.context.view
    nothing = bytes(32)
    for ask in (view.grant, view.request, view.latest_version):
        with pytest.raises(UnknownError, match="wait for finality"):
            ask(nothing)  # type: ignore[operator]
    with pytest.raises(UnknownError, match="deal"):
        view.latest_deal(nothing, 1)  # type: ignore[arg-type]
    assert view.uses_of(Digest(nothing)) == ()


def test_keys_are_announced_once_and_never_over_others(space: Space, tmp_path: Any) -> None:
    member = space["regulator"]
    head = space.world.chain.head().number
    endpoint = member.ledger.participants.organisation(member.account).endpoint
    member.node.announce(endpoint)
    member.node.announce("")
    assert space.world.chain.head().number == head
    other = create_keystore(tmp_path / "keystore.json", "of another", secrets.token_bytes)
    other.account = member.keystore.account
    with pytest.raises(KeystoreError, match="not this home's"):
        Node(replace(member.node.context, keystore=other)).announce("")
    assert space.world.chain.head().number == head
