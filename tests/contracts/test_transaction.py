"""Sending over a bad line: never twice, never a new signature for an old intent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_utils.crypto import keccak

from capsule.ids import Address
from contracts.decode import EventDecoder
from contracts.embedded import EmbeddedChain
from contracts.errors import (
    ChainIntegrityError,
    ChainRefusedError,
    NonceConflictError,
    RevertedError,
    TransactionPendingError,
)
from contracts.events import AssetRegistered, ParticipantAdmitted
from contracts.transaction import Patience, Sender
from tests.sim.flaky_chain import FlakyChain
from tests.sim.trip import Space, key_of, random_digest

_TO = Address(b"\x77" * 20)


class Watch:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def patience() -> Patience:
    watch = Watch()
    return Patience(block=30, send_again=5, sleep=watch.sleep, monotonic=watch.monotonic)


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[FlakyChain]:
    with EmbeddedChain.open(tmp_path, clock=lambda: 1_000) as embedded:
        chain = FlakyChain(embedded)
        chain.faucet = embedded.faucet  # type: ignore[attr-defined]
        yield chain


@pytest.fixture
def sender(chain: FlakyChain, patience: Patience) -> Sender:
    return Sender(chain, chain.faucet, EventDecoder({}), patience)  # type: ignore[attr-defined]


@pytest.mark.parametrize("point", ["lose_before", "lose_after"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_timeout_sends_the_same_bytes_again(chain: FlakyChain, sender: Sender, point: str, times: int) -> None:
    setattr(chain, point, times)
    sender.transact(_TO, b"", 5)
    assert (chain.balance(_TO), chain.head().number) == (5, 1)
    assert len(set(chain.sent)) == 1
    assert len(chain.sent) == times + 1


@pytest.mark.parametrize("point", ["lose_before", "lose_after"])
def test_the_same_call_takes_up_what_is_unsettled(chain: FlakyChain, sender: Sender, point: str) -> None:
    setattr(chain, point, 3)
    with pytest.raises(TransactionPendingError) as pending:
        sender.transact(_TO, b"", 5)
    assert pending.value.transaction == keccak(chain.sent[0])
    receipt = sender.transact(_TO, b"", 5)
    assert receipt.transaction_hash == pending.value.transaction
    assert (chain.balance(_TO), chain.head().number) == (5, 1)
    sender.transact(_TO, b"", 5)
    assert (chain.balance(_TO), chain.head().number) == (10, 2)


def test_another_call_delivers_what_is_unsettled_first(chain: FlakyChain, sender: Sender) -> None:
    chain.lose_before = 3
    with pytest.raises(TransactionPendingError):
        sender.transact(_TO, b"", 5)
    sender.transact(_TO, b"", 7)
    assert (chain.balance(_TO), chain.head().number) == (12, 2)
    sender.transact(_TO, b"", 1)
    assert (chain.balance(_TO), chain.head().number) == (13, 3)


def test_a_refusal_is_final_and_frees_the_nonce(chain: FlakyChain, sender: Sender) -> None:
    chain.refuse_next = True
    with pytest.raises(ChainRefusedError, match="not now"):
        sender.transact(_TO, b"", 5)
    sender.transact(_TO, b"", 7)
    assert (chain.balance(_TO), chain.nonce(sender.account.address)) == (7, 1)


def test_a_refusal_after_a_timeout_is_no_answer(chain: FlakyChain, sender: Sender) -> None:
    """The first send arrived and is mined; only its acknowledgement was lost."""
    chain.lose_after = 1
    chain.late_receipts = 3
    sender.transact(_TO, b"", 5)
    assert (chain.balance(_TO), chain.head().number) == (5, 1)


def test_a_taken_nonce_is_told_and_the_next_try_works(
    chain: FlakyChain, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    Sender(chain, sender.account, EventDecoder({})).transact(_TO, b"", 1)
    monkeypatch.setattr(chain, "nonce", lambda account: 0)
    with pytest.raises(NonceConflictError):
        sender.transact(_TO, b"", 5)
    monkeypatch.undo()
    sender.transact(_TO, b"", 5)
    assert chain.balance(_TO) == 6


def test_a_lost_transaction_is_sent_again_and_then_reported(chain: FlakyChain, sender: Sender) -> None:
    chain.keep_away = True
    with pytest.raises(TransactionPendingError):
        sender.transact(_TO, b"", 5)
    assert len(chain.sent) > 3
    assert len(set(chain.sent)) == 1
    chain.keep_away = False
    sender.transact(_TO, b"", 5)
    assert (chain.balance(_TO), len(set(chain.sent))) == (5, 1)


def test_two_senders_of_one_account_do_not_collide(chain: FlakyChain, sender: Sender) -> None:
    other = Sender(chain, sender.account, EventDecoder({}))
    threads = [
        threading.Thread(target=lambda one=one: [one.transact(_TO, b"", 1) for _ in range(8)])
        for one in (sender, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert chain.balance(_TO) == 16


def test_a_revert_costs_nothing(embedded_space: Space) -> None:
    chain = embedded_space.operator.chain
    before = chain.head()
    with pytest.raises(RevertedError) as refused:
        embedded_space.buyer.assets.register(random_digest())
    assert refused.value.name == "AssetsParticipantNotActive"
    assert refused.value.arguments == (key_of(embedded_space.buyer).address, 1)
    assert str(refused.value) == f"AssetsParticipantNotActive({key_of(embedded_space.buyer).address}, 1)"
    assert chain.head() == before


def test_a_revert_in_the_block_names_its_reason(embedded_space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the estimate allowed, the block may refuse."""
    ledger = embedded_space.buyer
    monkeypatch.setattr(ledger.chain, "estimate_gas", lambda *_: 1_000_000)
    with pytest.raises(RevertedError, match="AssetsParticipantNotActive"):
        ledger.assets.register(random_digest())


def test_events_of_a_transaction(embedded_space: Space) -> None:
    made = embedded_space.provider.assets.register(random_digest())
    assert made.event(AssetRegistered).provider == key_of(embedded_space.provider).address
    assert made.block_number == embedded_space.operator.chain.head().number
    with pytest.raises(ChainIntegrityError, match="0 ParticipantAdmitted"):
        made.event(ParticipantAdmitted)
