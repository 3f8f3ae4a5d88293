"""The device door on a real node over JSON-RPC, where blocks take time and are not final at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from capsule.frame import read_frame
from contracts.errors import TransactionPendingError
from contracts.events import BatchAnchored
from contracts.ledger import Ledger
from contracts.rpc import RpcChain
from contracts.transaction import Patience
from gateway.errors import NotAnchoredError, UnenrolledError
from tests.capsule.frames import some_rows
from tests.gateway.space import found
from tests.sim.anvil import anvil, anvil_faucet, ask_anvil


def test_nothing_counts_before_it_is_final(tmp_path: Path) -> None:
    with anvil(block_time=None) as url:
        space = found(RpcChain(url), anvil_faucet(), confirmations=2)
        device = space.enrol()
        with space.open_gateway(tmp_path / "gateway", finality_seconds=0) as gateway:
            frame = device.frame(some_rows(0, 1))
            ask_anvil(url, "anvil_mine", "0x1")
            gateway.ingest(frame)
            late = space.enrol()
            with pytest.raises(UnenrolledError):
                gateway.ingest(late.frame(some_rows(0, 1)))
            assert gateway.anchor_all() == ()
            assert gateway.anchor() == ()
            with pytest.raises(NotAnchoredError):
                gateway.prove(read_frame(frame).hash)
            ask_anvil(url, "anvil_mine", "0x2")
            (anchored,) = gateway.anchor()
            assert anchored.batch.size == 1
            gateway.prove(read_frame(frame).hash)
            assert anchored.anchored_at == space.chain.block(anchored.block).timestamp


def test_a_sender_that_restarts_before_its_transaction_is_in_a_block_anchors_once(tmp_path: Path) -> None:
    with anvil(block_time=None) as url:
        space = found(RpcChain(url), anvil_faucet())
        device = space.enrol()
        account = space.gateway_ledger().account
        directory = space.operator.pin.directory
        for attempt in range(3):
            patience = Patience(block=0.3)
            ledger = Ledger.connect(RpcChain(url), directory, account, patience=patience)
            with space.open_gateway(tmp_path / "gateway", ledger) as gateway:
                if attempt == 0:
                    gateway.ingest(device.frame(some_rows(0, 1)))
                    ask_anvil(url, "evm_setAutomine", False)
                if attempt == 0:
                    with pytest.raises(TransactionPendingError):
                        gateway.anchor_all()
                elif attempt == 1:
                    assert gateway.anchor_all() == ()  # the node says that one is on its way
                else:
                    ask_anvil(url, "anvil_mine", "0x1")
                    assert [batch.batch.number for batch in gateway.anchor_all()] == [1]
                    assert gateway.status().unanchored_batches == 0
        events = ledger.events(0, space.chain.head().number)
        assert [event.number for event in events if isinstance(event, BatchAnchored)] == [1]
