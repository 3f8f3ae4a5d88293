"""Anchoring: in order, exactly once, and never against what the chain says."""

from __future__ import annotations

import io
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from capsule.batch import BatchDocument
from capsule.frame import read_frame
from capsule.ids import Digest
from contracts.chain import Chain
from contracts.errors import ChainUnreachableError, RevertedError
from contracts.events import BatchAnchored
from contracts.ledger import Ledger
from contracts.roles import Role
from contracts.transaction import Patience
from gateway.errors import AnchorConflictError, IncompleteError, NotAnchoredError, NotFoundError
from gateway.gateway import Gateway
from gateway.readings import parse_time
from tests.capsule.frames import Device, some_rows
from tests.gateway.space import GATEWAY_SIGNER, Space, account_of


def on_chain(space: Space, gateway: Gateway) -> list[int]:
    events = space.operator.events(0, space.chain.head().number)
    return [one.number for one in events if isinstance(one, BatchAnchored) and one.gateway == gateway.account]


def test_batches_go_up_in_order_and_once(space: Space, gateway: Gateway, device: Device) -> None:
    for _ in range(3):
        gateway.ingest(device.frame(some_rows(device.sequence, 1)))
        gateway.build_batch()
    assert [batch.batch.number for batch in gateway.anchor()] == [1, 2, 3]
    assert gateway.anchor() == ()
    assert gateway.anchor_all() == ()
    assert on_chain(space, gateway) == [1, 2, 3]
    assert gateway.status().unanchored_batches == 0


def test_a_batch_is_due_by_number_or_by_time(space: Space, device: Device, tmp_path: Path) -> None:
    clock = space.clock
    with space.open_gateway(tmp_path / "gateway", batch_frames=3, batch_seconds=60) as gateway:
        assert gateway.anchor_due() == ()
        for frame in device.frames(2):
            gateway.ingest(frame)
        assert gateway.anchor_due() == ()
        clock.now += 60
        try:
            assert [batch.batch.size for batch in gateway.anchor_due()] == [2]
        finally:
            clock.now -= 60
        for _ in range(7):
            gateway.ingest(device.frame(some_rows(device.sequence, 1)))
        assert [batch.batch.size for batch in gateway.anchor_due()] == [3]
        assert [batch.batch.size for batch in gateway.anchor_all()] == [3, 1]


def test_what_is_not_anchored_is_neither_proven_nor_exported(gateway: Gateway, device: Device, tmp_path: Path) -> None:
    frame = device.frame(some_rows(0, 1))
    gateway.ingest(frame)
    target = tmp_path / "out"
    for prepare in (lambda: None, gateway.build_batch):
        prepare()
        with pytest.raises(NotAnchoredError, match="1 frame is not anchored"):
            gateway.prove(read_frame(frame).hash)
        with target.open("wb") as sink, pytest.raises(NotAnchoredError):
            gateway.export(device.id, sink)
    assert target.stat().st_size == 0
    gateway.anchor()
    gateway.prove(read_frame(frame).hash)


def test_what_is_anchored_of_a_live_device_is_exported_with_the_end_that_the_refusal_names(
    gateway: Gateway, device: Device
) -> None:
    gateway.ingest(device.frame(some_rows(0, 60)))
    gateway.anchor_all()
    gateway.ingest(device.frame(some_rows(60, 60)))
    gateway.ingest(device.frame(some_rows(120, 60)))
    with pytest.raises(NotAnchoredError, match="2 frames are not anchored") as refused:
        gateway.export(device.id, io.BytesIO())
    named = re.search(r"give --to (\S+) to export what is anchored", str(refused.value))
    assert named is not None
    assert gateway.export(device.id, io.BytesIO(), end=float(parse_time(named[1]))).rows == 60


def test_what_never_came_is_not_found(space: Space, gateway: Gateway, device: Device, tmp_path: Path) -> None:
    for ask in (
        lambda: gateway.prove(Digest(bytes(32))),
        lambda: gateway.evidence(Digest(bytes(32))),
        lambda: gateway.document(Digest(bytes(32))),
        lambda: gateway.batch_document(1),
    ):
        with pytest.raises(NotFoundError):
            ask()
    with (tmp_path / "out").open("wb") as sink, pytest.raises(NotFoundError, match="in that period"):
        gateway.export(device.id, sink)


def test_a_period_with_a_gap_is_not_exported(gateway: Gateway, device: Device, tmp_path: Path) -> None:
    frames = device.frames(6)
    for frame in frames[:2] + frames[4:]:
        gateway.ingest(frame)
    gateway.anchor_all()
    named = f"frames 3 to 4 of device {device.id}"
    with (tmp_path / "out").open("wb") as sink, pytest.raises(IncompleteError, match=named):
        gateway.export(device.id, sink)
    assert (tmp_path / "out").stat().st_size == 0


def test_an_organisation_without_the_role_can_not_anchor(space: Space, device: Device, tmp_path: Path) -> None:
    with space.open_gateway(tmp_path / "gateway", space.admit(Role.BUYER)) as gateway:
        gateway.ingest(device.frame(some_rows(0, 1)))
        with pytest.raises(RevertedError, match="DevicesParticipantNotActive"):
            gateway.anchor_all()
        assert gateway.status().unanchored_batches == 1


def test_two_gateways_on_one_account_are_found_out(space: Space, tmp_path: Path) -> None:
    ledger = space.gateway_ledger()
    one, two = space.enrol(), space.enrol()
    with space.open_gateway(tmp_path / "one", ledger) as first, space.open_gateway(tmp_path / "two", ledger) as second:
        first.ingest(one.frame(some_rows(0, 1)))
        second.ingest(two.frame(some_rows(0, 1)))
        first.anchor_all()
        with pytest.raises(AnchorConflictError, match="batch 1 on chain"):
            second.anchor_all()
        with pytest.raises(AnchorConflictError):
            second.check_chain()
        assert on_chain(space, first) == [1]


def test_an_old_copy_of_the_store_is_found_out(space: Space, device: Device, tmp_path: Path) -> None:
    ledger = space.gateway_ledger()
    with space.open_gateway(tmp_path / "now", ledger) as gateway:
        gateway.ingest(device.frame(some_rows(0, 1)))
        gateway.anchor_all()
    shutil.copytree(tmp_path / "now", tmp_path / "old")
    with space.open_gateway(tmp_path / "now", ledger) as gateway:
        gateway.ingest(device.frame(some_rows(1, 1)))
        gateway.anchor_all()
        gateway.check_chain()
    with space.open_gateway(tmp_path / "old", ledger) as gateway, pytest.raises(AnchorConflictError, match="batch 2"):
        gateway.check_chain()


class _Unreachable:
    """A chain that can be switched off; it goes off by itself once it took a transaction, where `deaf`."""

    def __init__(self, inner: Chain) -> None:
        self._inner = inner
        self.off = self.deaf = False

    def send(self, raw: bytes) -> Digest:
        if self.off:
            raise ChainUnreachableError("switched off")
        sent = self._inner.send(raw)
        if self.deaf:
            self.off = True
            raise ChainUnreachableError("no answer")
        return sent

    def __getattr__(self, name: str) -> object:
        if self.off:
            raise ChainUnreachableError("switched off")
        return getattr(self._inner, name)


def test_frames_and_batches_wait_while_the_chain_is_away(space: Space, device: Device, tmp_path: Path) -> None:
    chain = _Unreachable(space.chain)
    own = space.gateway_ledger()
    ledger = Ledger.connect(chain, own.pin.directory, own.account)  # type: ignore[arg-type]
    with space.open_gateway(tmp_path / "gateway", ledger, refresh_seconds=3600) as gateway:
        gateway.ingest(device.frame(some_rows(0, 1)))
        chain.off = True
        gateway.ingest(device.frame(some_rows(1, 1)))  # the device is known
        with pytest.raises(ChainUnreachableError):
            gateway.anchor_all()
        assert gateway.status().unanchored_batches == 1
        chain.off = False
        (anchored,) = gateway.anchor_all()
        assert anchored.batch.size == 2
    assert on_chain(space, gateway) == [1]
    assert account_of(ledger) == gateway.account


def test_a_chain_that_goes_away_between_taking_and_answering_has_each_batch_once(
    space: Space, device: Device, tmp_path: Path
) -> None:
    chain = _Unreachable(space.chain)
    own = space.gateway_ledger()
    patience = Patience(block=0.2, poll=0.02)
    ledger = Ledger.connect(chain, own.pin.directory, own.account, patience=patience)  # type: ignore[arg-type]
    with space.open_gateway(tmp_path / "gateway", ledger, refresh_seconds=3600, batch_frames=2) as gateway:
        for round_ in range(1, 4):
            for _ in range(3):
                gateway.ingest(device.frame(some_rows(device.sequence, 1)))
            chain.deaf = True
            for _ in range(2):  # it took the batch the first time, and is away the second
                with pytest.raises(ChainUnreachableError):
                    gateway.anchor_all()
            gateway.ingest(device.frame(some_rows(device.sequence, 1)))
            chain.off = chain.deaf = False
            gateway.anchor_all()
            assert gateway.status().unanchored_batches == 0
            assert gateway.status().frames == 4 * round_
        batches = gateway.status().batches
        assert on_chain(space, gateway) == list(range(1, batches + 1))
        sizes = [
            BatchDocument.from_bytes(gateway.batch_document(number)).batch.size for number in range(1, batches + 1)
        ]
        assert sum(sizes) == 12
        assert gateway.status().incidents == 0


def test_a_gateway_needs_an_account(space: Space, tmp_path: Path) -> None:
    reader = Ledger.connect(space.chain, space.operator.pin.directory)
    with pytest.raises(Exception, match="connect the ledger with one"):
        Gateway.open(tmp_path / "gateway", reader, GATEWAY_SIGNER, clock=space.clock)
    with space.open_gateway(tmp_path / "gateway"):  # the store was let go
        pass
    assert replace(space.clock).now == space.clock.now
