"""The embedded chain: what a node answers, and what survives."""

from __future__ import annotations

import multiprocessing
import os
import random
import secrets
import signal
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from eth_keys.datatypes import PrivateKey

from capsule.errors import InputError
from capsule.ids import Address, Bytes32, Digest
from contracts.account import Account
from contracts.chain import TxReceipt
from contracts.decode import EventDecoder
from contracts.embedded import EmbeddedChain
from contracts.errors import (
    ChainIntegrityError,
    ChainRefusedError,
    ChainUnreachableError,
    HomeLockedError,
    NonceConflictError,
    RevertedError,
)
from contracts.events import AssetRegistered
from contracts.heads import HEAD_SLOT, SEQ_SLOT, subject_slots
from contracts.proofs import encode_receipt, log_content, receipt_proof, verify_receipt, verify_storage
from contracts.transaction import Sender
from tests.contracts.writer import hold, write_until_killed
from tests.sim.trip import Space, random_digest

_KILLS = int(os.environ.get("DATASPACE_KILLS", "12"))


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def _someone() -> Address:
    return Address(secrets.token_bytes(20))


def _pay(chain: EmbeddedChain, to: Address, value: int = 1) -> TxReceipt:
    return Sender(chain, chain.faucet, EventDecoder({})).transact(to, b"", value)


def _raw(chain: EmbeddedChain, *, nonce: int, value: int = 0, gas: int = 21_000, chain_id: int | None = None) -> bytes:
    return chain.faucet.sign_transaction(
        chain_id=chain_id or chain.chain_id(), nonce=nonce, to=_someone(), data=b"", value=value, gas=gas, gas_price=0
    )


# What a node answers


def test_a_payment(embedded: EmbeddedChain) -> None:
    someone = _someone()
    receipt = _pay(embedded, someone, 42)
    assert embedded.balance(someone) == 42
    assert embedded.nonce(embedded.faucet.address) == 1
    assert receipt == embedded.receipt(receipt.transaction_hash)
    assert embedded.block_receipts(1) == (receipt,)
    head = embedded.head()
    assert (head.number, head.hash, head.parent_hash) == (1, receipt.block_hash, embedded.block(0).hash)
    assert embedded.finalized() == head
    assert embedded.receipt(random_digest()) is None
    assert (embedded.gas_price(), embedded.verification) == (0, "own node")
    for number in (2, -1):
        with pytest.raises(ChainRefusedError):
            embedded.block(number)


def test_logs_are_those_of_the_receipts(embedded_space: Space) -> None:
    chain, last = embedded_space.operator.chain, embedded_space.operator.chain.head().number
    assets = embedded_space.operator.assets.address
    embedded_space.provider.assets.register(random_digest())
    last = chain.head().number
    logs = chain.logs([assets], 0, last)
    from_receipts = [log for number in range(last + 1) for one in chain.block_receipts(number) for log in one.logs]
    assert list(logs) == [log for log in from_receipts if log.address == assets]
    assert logs
    assert chain.logs([assets], 0, last + 50) == logs
    assert chain.logs([_someone()], 0, last) == ()
    assert chain.logs([assets], last, last) == logs[-1:]


def test_receipts_prove_themselves(embedded_space: Space) -> None:
    chain = embedded_space.operator.chain
    made = embedded_space.provider.assets.register(random_digest())
    block, receipts = chain.block(made.block_number), chain.block_receipts(made.block_number)
    nodes = receipt_proof(receipts, 0, block.receipts_root)
    proven = verify_receipt(nodes, 0, encode_receipt(receipts[0]), block.receipts_root)
    assert proven == tuple(log_content(log) for log in receipts[0].logs)
    with pytest.raises(ChainIntegrityError):
        verify_receipt(nodes, 0, encode_receipt(replace(receipts[0], succeeded=False)), block.receipts_root)
    with pytest.raises(ChainIntegrityError):
        verify_receipt(nodes, 0, encode_receipt(receipts[0]), random_digest())
    with pytest.raises(ChainIntegrityError):
        receipt_proof([replace(receipts[0], logs=())], 0, block.receipts_root)


def test_heads_are_proven_under_the_state_root(embedded_space: Space) -> None:
    chain, assets = embedded_space.operator.chain, embedded_space.operator.assets
    made = embedded_space.provider.assets.register(random_digest())
    subject = made.event(AssetRegistered).asset
    head = chain.head()
    slots = (HEAD_SLOT, SEQ_SLOT, *subject_slots(subject), 12345)
    proof = chain.storage_proof(assets.address, slots, head.number)
    own, seq, of_subject, subject_seq, empty = verify_storage(proof, head.state_root)
    assert (Digest(own), int.from_bytes(seq, "big")) == assets.head()
    assert (Digest(of_subject), int.from_bytes(subject_seq, "big")) == assets.head_of(Bytes32(subject))
    assert empty == bytes(32)
    for bent in (
        replace(proof, values=(bytes(32), *proof.values[1:])),
        replace(proof, values=(*proof.values[:-1], b"\x01" * 32)),
        replace(proof, storage_hash=random_digest()),
        replace(proof, proofs=(proof.proofs[1], *proof.proofs[1:])),
        replace(proof, proofs=((), *proof.proofs[1:])),
        replace(proof, account_proof=(b"\x00", *proof.account_proof)),
        replace(proof, address=embedded_space.operator.access.address),
    ):
        with pytest.raises(ChainIntegrityError):
            verify_storage(bent, head.state_root)
    with pytest.raises(ChainIntegrityError):
        verify_storage(proof, chain.block(head.number - 1).state_root)
    with pytest.raises(ChainRefusedError):
        chain.storage_proof(_someone(), (0,), head.number)


def test_calls_see_the_past(embedded_space: Space) -> None:
    assets, chain = embedded_space.provider.assets, embedded_space.operator.chain
    before = chain.head().number
    _, seq = assets.head()
    assets.register(random_digest())
    assert assets.head()[1] == seq + 1
    assert assets.head(at=before)[1] == seq


# Sending


def test_the_same_bytes_twice_are_one_transaction(embedded: EmbeddedChain) -> None:
    raw = _raw(embedded, nonce=0)
    assert embedded.send(raw) == embedded.send(raw)
    assert embedded.head().number == 1


def test_a_spent_nonce_is_a_conflict(embedded: EmbeddedChain) -> None:
    embedded.send(_raw(embedded, nonce=0))
    with pytest.raises(NonceConflictError):
        embedded.send(_raw(embedded, nonce=0, value=1))


@pytest.mark.parametrize(
    "make",
    [
        lambda chain: b"",
        lambda chain: b"\x02garbage",
        lambda chain: b"\x7f" + _raw(chain, nonce=0)[1:],
        lambda chain: _raw(chain, nonce=0)[:-1],
        lambda chain: _raw(chain, nonce=1),
        lambda chain: _raw(chain, nonce=0, chain_id=1),
        lambda chain: _raw(chain, nonce=0, gas=20_999),
        lambda chain: _raw(chain, nonce=0, gas=30_000_001),
        lambda chain: _raw(chain, nonce=0, value=10**28),
    ],
)
def test_bad_transactions_change_nothing(embedded: EmbeddedChain, make: Callable[[EmbeddedChain], bytes]) -> None:
    with pytest.raises(ChainRefusedError):
        embedded.send(make(embedded))
    assert embedded.head().number == 0
    embedded.send(_raw(embedded, nonce=0))
    assert embedded.head().number == 1


def test_too_little_money_is_refused_before_sending(embedded: EmbeddedChain) -> None:
    poor = Account.generate(secrets.token_bytes)
    with pytest.raises(ChainRefusedError):
        Sender(embedded, poor, EventDecoder({})).transact(_someone(), b"", 1)
    assert embedded.head().number == 0


def test_code_that_halts_is_a_revert(embedded: EmbeddedChain) -> None:
    with pytest.raises(RevertedError, match="Halted"):
        embedded.estimate_gas(embedded.faucet.address, None, b"\xfe", 0)


def test_time_is_the_clocks_and_never_runs_back(tmp_path: Path) -> None:
    clock = Clock(1_000_000)
    with EmbeddedChain.open(tmp_path, clock=clock) as chain:
        times = []
        for now in (1_000_000, 1_000_000, 1_000_007, 1_000_003, 1_000_007, 1_000_008):
            clock.now = now
            _pay(chain, _someone())
            times.append(chain.head().timestamp)
        assert times == [1_000_000, 1_000_000, 1_000_007, 1_000_007, 1_000_007, 1_000_008]
    clock.now = 5
    with EmbeddedChain.open(tmp_path, clock=clock) as chain:
        _pay(chain, _someone())
        assert chain.head().timestamp == 1_000_008


def test_threads_share_one_chain_and_one_account(embedded: EmbeddedChain) -> None:
    sender = Sender(embedded, embedded.faucet, EventDecoder({}))
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                sender.transact(_someone(), b"", 1)
                embedded.logs([], 0, embedded.head().number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert embedded.head().number == embedded.nonce(embedded.faucet.address) == 30


# The folder


def test_a_restart_finds_everything(tmp_path: Path) -> None:
    with EmbeddedChain.open(tmp_path, clock=time.time) as chain:
        faucet, genesis = chain.faucet.address, chain.block(0)
        receipts = [_pay(chain, _someone()) for _ in range(5)]
        head = chain.head()
    with EmbeddedChain.open(tmp_path, clock=time.time) as chain:
        assert (chain.faucet.address, chain.block(0), chain.head()) == (faucet, genesis, head)
        assert [chain.receipt(receipt.transaction_hash) for receipt in receipts] == receipts
        assert _pay(chain, _someone()).block_number == 6


def test_each_chain_is_its_own(tmp_path: Path) -> None:
    with (
        EmbeddedChain.open(tmp_path / "a", clock=time.time) as one,
        EmbeddedChain.open(tmp_path / "b", clock=time.time) as other,
    ):
        assert one.faucet.address != other.faucet.address
        assert one.block(0).hash != other.block(0).hash


def test_published_keys_own_nothing(embedded: EmbeddedChain) -> None:
    for number in range(1, 11):
        key = PrivateKey(number.to_bytes(32, "big"))
        assert embedded.balance(Address(key.public_key.to_canonical_address())) == 0


def test_the_faucets_key_is_private(tmp_path: Path) -> None:
    with EmbeddedChain.open(tmp_path, clock=time.time) as chain:
        assert chain.faucet.private_key.hex() not in repr(chain.faucet) + repr(chain)
    assert stat.S_IMODE((tmp_path / "faucet.key").stat().st_mode) == 0o600


def test_a_wrong_or_missing_faucet_key_is_told(tmp_path: Path) -> None:
    EmbeddedChain.open(tmp_path, clock=time.time).close()
    key = tmp_path / "faucet.key"
    for content in (secrets.token_hex(32), "not a key"):
        key.write_text(content)
        with pytest.raises(ChainIntegrityError, match=r"faucet\.key"):
            EmbeddedChain.open(tmp_path, clock=time.time)
    key.unlink()
    with pytest.raises(ChainIntegrityError, match="missing"):
        EmbeddedChain.open(tmp_path, clock=time.time)


def test_closed_is_closed(tmp_path: Path) -> None:
    chain = EmbeddedChain.open(tmp_path, clock=time.time)
    chain.close()
    chain.close()
    with pytest.raises(InputError, match="closed"):
        chain.head()


def test_a_broken_file_is_our_error(tmp_path: Path) -> None:
    chain = EmbeddedChain.open(tmp_path, clock=time.time)
    chain._store.close()  # the disk goes away under it
    for ask in (lambda: chain.block(5), lambda: chain.receipt(random_digest()), lambda: _pay(chain, _someone())):
        with pytest.raises(ChainUnreachableError, match="file can't be"):
            ask()
    chain.close()
    (tmp_path / "chain.db").write_bytes(b"not a database" * 100)
    with pytest.raises(ChainUnreachableError, match="can't be opened"):
        EmbeddedChain.open(tmp_path, clock=time.time)


def test_a_block_that_does_not_reach_the_disk_did_not_happen(
    embedded: EmbeddedChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise ChainUnreachableError("disk full")

    raw = _raw(embedded, nonce=0)
    monkeypatch.setattr(embedded._store, "commit", full)
    with pytest.raises(ChainUnreachableError, match="disk full"):
        embedded.send(raw)
    assert (embedded.head().number, embedded.nonce(embedded.faucet.address)) == (0, 0)
    monkeypatch.undo()
    embedded.send(raw)
    assert embedded.head().number == 1


def test_one_opening_at_a_time(tmp_path: Path) -> None:
    with EmbeddedChain.open(tmp_path, clock=time.time), pytest.raises(HomeLockedError):
        EmbeddedChain.open(tmp_path, clock=time.time)
    EmbeddedChain.open(tmp_path, clock=time.time).close()


def _start(target: Callable[[Path, Path], None], *paths: Path) -> BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.contracts.writer"])
    process = context.Process(target=target, args=paths, daemon=True)
    process.start()
    return process


def _wait_for(path: Path, size: int = 0) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() or path.stat().st_size < size:
        assert time.monotonic() < deadline, f"{path.name} did not grow to {size} bytes within 30 s"
        time.sleep(0.005)


def _kill(process: BaseProcess) -> None:
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    process.close()


def test_a_second_process_is_told_apart(tmp_path: Path) -> None:
    holder = _start(hold, tmp_path / "chain", tmp_path / "ready")
    _wait_for(tmp_path / "ready")
    with pytest.raises(HomeLockedError, match="another process"):
        EmbeddedChain.open(tmp_path / "chain", clock=time.time)
    _kill(holder)
    EmbeddedChain.open(tmp_path / "chain", clock=time.time).close()


def test_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """`DATASPACE_KILLS` kills at random moments; every acknowledged transaction is there afterwards."""
    rng = random.Random(7)
    notes = tmp_path / "notes"
    for _ in range(_KILLS):
        size = notes.stat().st_size if notes.exists() else 0
        writer = _start(write_until_killed, tmp_path / "chain", notes)
        _wait_for(notes, size + 1)
        time.sleep(rng.uniform(0, 0.4))
        _kill(writer)
        acknowledged = [Digest.parse(line) for line in notes.read_text().splitlines() if len(line) == 66]
        with EmbeddedChain.open(tmp_path / "chain", clock=time.time) as chain:
            receipts = [chain.receipt(digest) for digest in acknowledged]
            assert None not in receipts
            head = chain.head().number
            assert len(acknowledged) <= head <= len(acknowledged) + _KILLS
            numbers = [chain.block(number).parent_hash for number in range(1, head + 1)]
            assert numbers == [chain.block(number).hash for number in range(head)]
    assert len(acknowledged) > _KILLS
