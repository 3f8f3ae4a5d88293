"""Two endpoints, one of which lies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from capsule.errors import InputError
from capsule.ids import Address
from contracts.agreeing import AgreeingChain
from contracts.chain import RawLog
from contracts.embedded import EmbeddedChain
from contracts.errors import ChainDisagreementError, ChainRefusedError, ChainUnreachableError, RevertedError
from contracts.ledger import Ledger
from contracts.structs import UseStatus
from scripts.demo.lying_chain import Lies, LyingChain
from tests.sim.trip import Space, found_space, random_digest


class Pair:
    """A true data space, and the same ledger through a true and a lying endpoint."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.true = space.operator.chain
        self.liar = LyingChain(self.true)
        self.both = AgreeingChain([self.true, self.liar], lag=3)
        self.ledger = Ledger.connect(self.both, space.operator.pin.directory, space.provider.account)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with EmbeddedChain.open(tmp_path_factory.mktemp("pair"), clock=lambda: 3_000_000) as chain:
        yield Pair(found_space(chain, chain.faucet))


@pytest.fixture
def pair(made: Pair) -> Pair:
    made.liar.lies = Lies()
    return made


def test_honest_endpoints_serve_the_whole_trip(pair: Pair) -> None:
    assert pair.both.verification == "agreeing"
    pin = pair.space.publish()
    asset = pair.ledger.assets.register(random_digest())
    last = pair.both.head().number
    assert pair.ledger.events(0, last) == pair.space.operator.events(0, last)
    assert pair.ledger.final_block() == pair.true.head()
    assert pair.ledger.wait_final(asset) == asset
    assert pair.both.receipt(asset.hash) == pair.true.receipt(asset.hash)
    assert pair.both.block_receipts(last) == pair.true.block_receipts(last)
    assert pair.both.header(last) == pair.true.header(last)
    assert pair.ledger.assets.version_of(pin.asset, 1).capsule_root == pin.capsule_root
    address = pair.ledger.assets.address
    assert pair.both.storage_proof(address, (0,), last) == pair.true.storage_proof(address, (0,), last)
    assert pair.both.balance(address) == 0
    with pytest.raises(RevertedError, match="AssetsUnknown"):
        pair.ledger.assets.retire(type(pin.asset)(bytes(32)), "none")


def test_an_omitted_log_shows(pair: Pair) -> None:
    made = pair.space.provider.assets.register(random_digest())

    def omit(log: RawLog) -> bool:
        return log.transaction_hash == made.hash

    pair.liar.lies = Lies(omit=omit)
    with pytest.raises(ChainDisagreementError, match="the logs of blocks") as shown:
        pair.ledger.events(made.block_number, made.block_number)
    (one, true), (other, lie) = shown.value.evidence
    assert (one, other) == ("EmbeddedChain", "LyingChain")
    assert str(made.hash) in true
    assert str(made.hash) not in lie


def test_hidden_blocks_show_beyond_the_lag(pair: Pair) -> None:
    for _ in range(5):
        pair.space.provider.assets.register(random_digest())
    head = pair.true.head().number
    pair.liar.lies = Lies(hidden=3)
    assert pair.both.head() == pair.true.block(head - 3)
    assert pair.both.finalized().number == head - 3
    assert pair.ledger.assets.head() == pair.space.operator.assets.head(at=head - 3)
    with pytest.raises(ChainRefusedError, match="not all endpoints have block"):
        pair.both.logs([], 0, head)
    with pytest.raises(ChainRefusedError):
        pair.both.block(head)
    pair.liar.lies = Lies(hidden=4)
    with pytest.raises(ChainDisagreementError, match="the newest block"):
        pair.both.head()


def test_a_fake_use_state_shows(pair: Pair) -> None:
    space, algorithm = pair.space, random_digest()
    pin = space.publish()
    opened = space.open_use(space.grant(pin, algorithm), algorithm, deadline=3_001_000)
    open_state = space.operator.access.use_of(opened.use)
    assert open_state.status is UseStatus.OPEN

    def fake(to: Address, data: bytes, answer: bytes) -> bytes:
        if to != space.operator.access.address or len(answer) != 10 * 32:
            return answer
        return answer[:127] + bytes([UseStatus.EXPIRED]) + answer[128:]

    pair.liar.lies = Lies(call=fake)
    alone = Ledger.connect(pair.liar, space.operator.pin.directory)
    assert alone.access.use_of(opened.use).status is UseStatus.EXPIRED
    with pytest.raises(ChainDisagreementError, match="the call"):
        pair.ledger.access.use_of(opened.use)


def test_another_history_shows(pair: Pair) -> None:
    pair.liar.lies = Lies(block=lambda block: replace(block, hash=random_digest()))
    with pytest.raises(ChainDisagreementError):
        pair.both.head()
    with pytest.raises(ChainDisagreementError, match="block 0"):
        Ledger.connect(pair.both, pair.space.operator.pin.directory)


def test_a_denied_receipt_shows(pair: Pair) -> None:
    made = pair.space.provider.assets.register(random_digest())
    pair.liar.lies = Lies(lost_receipts=True)
    with pytest.raises(ChainDisagreementError, match="the receipt"):
        pair.both.receipt(made.hash)
    pair.liar.lies = Lies(hidden=1)
    assert pair.both.receipt(made.hash) is None
    assert pair.both.receipt(random_digest()) is None


def test_a_reverting_and_an_answering_endpoint_disagree(pair: Pair) -> None:
    def reverting(to: Address, data: bytes, answer: bytes) -> bytes:
        raise RevertedError("Invented")

    pair.liar.lies = Lies(call=reverting)
    with pytest.raises(ChainDisagreementError):
        pair.ledger.assets.head()


def test_one_answer_is_no_agreement(pair: Pair) -> None:
    pair.liar.lies = Lies(silent=True)
    with pytest.raises(ChainUnreachableError, match="fewer than 2"):
        pair.both.head()
    third = AgreeingChain([pair.true, LyingChain(pair.true), pair.liar])
    assert third.head() == pair.true.head()


def test_sending_needs_one_that_takes_it(pair: Pair) -> None:
    before = pair.true.head().number
    pair.ledger.assets.register(random_digest())
    assert pair.true.head().number == before + 1


@pytest.mark.parametrize("count", [0, 1, 2])
def test_what_is_no_pair(pair: Pair, count: int) -> None:
    with pytest.raises(InputError):
        AgreeingChain([pair.true] * count)
