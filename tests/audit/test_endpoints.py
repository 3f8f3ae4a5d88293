"""History over real JSON-RPC: endpoints that lie, part, refuse, stall, fail; nodes in lockstep; reorganisations."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from audit.errors import FinalityError
from audit.follow import Follower, rebuild
from audit.index import Index, Summary
from audit.reconcile import FinalEvent, ReorgEvent
from audit.rulebook import RECORD_RULES
from contracts.agreeing import AgreeingChain
from contracts.chain import Chain
from contracts.errors import (
    ChainDisagreementError,
    ChainIntegrityError,
    ChainSlowError,
    ChainTooMuchError,
    ChainUnreachableError,
    PinMismatchError,
)
from contracts.ledger import Ledger
from contracts.rpc import RpcChain
from node.settings import Settings
from scripts.bench.many_events import ManyEvents
from scripts.composition import open_ledger
from tests.audit.auditing import rules_of
from tests.sim.anvil import anvil, ask_anvil, replay
from tests.sim.lying_endpoint import LyingEndpoint, RefusedError, lying_endpoint

EVENTS = 1_200
START = "1795000000"
SETTINGS = ("--timestamp", START, "--gas-limit", "400000000")


class Node:
    """A true node with a history, and the digest that its index has."""

    def __init__(self, url: str, many: ManyEvents, folder: Path) -> None:
        self.url = url
        self.many = many
        self.directory = many.directory
        self.whole: Summary = rebuild(self.ledger(RpcChain(url)), folder / "whole.db")

    def ledger(self, *chains: Chain) -> Ledger:
        chain = chains[0] if len(chains) == 1 else AgreeingChain(chains)
        return Ledger.connect(chain, self.directory)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with anvil(block_time=None, extra=SETTINGS) as url:
        many = ManyEvents(url)
        many.fill(EVENTS)
        yield Node(url, many, tmp_path_factory.mktemp("node"))


@pytest.fixture
def liar(node: Node) -> Iterator[LyingEndpoint]:
    with lying_endpoint(node.url) as endpoint:
        yield endpoint


def quiet(seconds: float) -> None:
    """No test waits."""


def caught_up(ledger: Ledger, index: Index, **settings: Any) -> Summary:
    for _ in Follower(ledger, index, sleep=quiet, **settings).catch_up():
        continue
    return index.summary()


def long(params: list[Any], result: Any) -> bool:
    return isinstance(result, list) and len(result) > 100


def omits(method: str, params: list[Any], result: Any) -> Any:
    return result[:50] + result[51:] if method == "eth_getLogs" and long(params, result) else result


def answers_partially(method: str, params: list[Any], result: Any) -> Any:
    return result[:-40] if method == "eth_getLogs" and long(params, result) else result


def changes_data(method: str, params: list[Any], result: Any) -> Any:
    if method == "eth_getLogs" and long(params, result):
        log = result[50]
        result[50] = {**log, "data": log["data"][:-2] + f"{int(log['data'][-2:], 16) ^ 1:02x}"}
    return result


def names_another_block(method: str, params: list[Any], result: Any) -> Any:
    if method == "eth_getLogs":
        return [{**log, "blockHash": "0x" + "09" * 32} for log in result]
    return result


def gives_another_header(method: str, params: list[Any], result: Any) -> Any:
    if method == "eth_getBlockByNumber" and int(result["number"], 16) > 20:
        return {**result, "hash": "0x" + "09" * 32}
    return result


LIES = [omits, answers_partially, changes_data, names_another_block, gives_another_header]


@pytest.mark.parametrize("lie", LIES)
def test_endpoint_that_lies_beside_a_true_one_is_told_with_both_answers(
    node: Node, liar: LyingEndpoint, lie: Callable[[str, list[Any], Any], Any]
) -> None:
    ledger = node.ledger(RpcChain(node.url), RpcChain(liar.url))
    index = Index.open(None)
    liar.lie = lie

    with pytest.raises(ChainDisagreementError) as parted:
        caught_up(ledger, index)

    (first, ours), (second, theirs) = parted.value.evidence
    assert {first, second} == {f"RpcChain({node.url})", f"RpcChain({liar.url})"}
    assert ours != theirs
    assert index.tip is None or index.tip.number < node.whole.tip.number


@pytest.mark.parametrize("lie", LIES)
def test_endpoint_that_lies_alone_is_stopped_or_found(
    node: Node, liar: LyingEndpoint, lie: Callable[[str, list[Any], Any], Any]
) -> None:
    ledger = node.ledger(RpcChain(liar.url))
    index = Index.open(None)
    liar.lie = lie
    try:
        caught_up(ledger, index)
    except (ChainIntegrityError, FinalityError):
        return
    assert rules_of(index).intersection(RECORD_RULES)


def test_endpoint_that_hides_the_newest_blocks_is_told(node: Node, liar: LyingEndpoint) -> None:
    ledger = node.ledger(RpcChain(node.url), RpcChain(liar.url))
    true = node.whole.tip.number
    old = ask_anvil(node.url, "eth_getBlockByNumber", hex(true - 9), False)
    liar.lie = lambda method, params, result: (
        old if method == "eth_getBlockByNumber" and params[0] == "latest" else result
    )
    with pytest.raises(ChainDisagreementError, match="the newest block"):
        caught_up(ledger, Index.open(None))


def test_two_true_endpoints_give_the_same_index_as_one(node: Node, liar: LyingEndpoint) -> None:
    assert caught_up(node.ledger(RpcChain(node.url), RpcChain(liar.url)), Index.open(None)) == node.whole
    assert "eth_getLogs" in liar.asked


@pytest.mark.parametrize("words", ["query returned more than 150 results", "Block range is too wide", "limit exceeded"])
def test_node_that_refuses_long_answers_is_asked_for_less(node: Node, liar: LyingEndpoint, words: str) -> None:
    def refuse(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs" and len(result) > 150:
            raise RefusedError(words)
        return result

    liar.lie = refuse
    assert caught_up(node.ledger(RpcChain(liar.url)), Index.open(None)) == node.whole


def test_answer_past_the_limit_is_asked_for_in_parts(node: Node) -> None:
    assert caught_up(node.ledger(RpcChain(node.url, most_bytes=150_000)), Index.open(None)) == node.whole


def test_single_block_that_is_too_much_is_told(node: Node) -> None:
    index = Index.open(None)
    with pytest.raises(ChainTooMuchError, match="more than 20000 bytes"):
        caught_up(node.ledger(RpcChain(node.url, most_bytes=20_000)), index)
    assert index.tip is None or index.tip.number < node.whole.tip.number


@pytest.mark.parametrize("fault", ["stall", "status", "cut"])
def test_one_of_two_endpoints_that_fails_is_asked_again_and_then_told(
    node: Node, liar: LyingEndpoint, fault: str
) -> None:
    ledger = node.ledger(RpcChain(node.url), RpcChain(liar.url, timeout=0.5 if fault == "stall" else 10))
    index = Index.open(None)
    _break(liar, fault)
    with pytest.raises(ChainUnreachableError, match="fewer than 2 endpoints answer") as told:
        caught_up(ledger, index)
    assert isinstance(told.value, ChainSlowError) == (fault == "stall")
    assert index.tip is None

    _mend(liar)
    assert caught_up(ledger, index) == node.whole


def test_endpoint_that_comes_back_in_time_is_not_missed(node: Node, liar: LyingEndpoint) -> None:
    ledger = node.ledger(RpcChain(node.url), RpcChain(liar.url))
    index = Index.open(None)
    waits: list[float] = []

    def lie(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs" and len(waits) < 2:
            liar.status = 503
        return result

    def wait(seconds: float) -> None:
        waits.append(seconds)
        liar.status = 200

    liar.lie = lie
    for _ in Follower(ledger, index, sleep=wait).catch_up():
        continue
    assert index.summary() == node.whole
    assert waits


def test_third_endpoint_that_is_down_is_passed_over_and_told(
    node: Node, liar: LyingEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    down = RpcChain("http://127.0.0.1:9", timeout=0.3)
    with caplog.at_level(logging.WARNING, "dataspace.chain"):
        found = caught_up(node.ledger(RpcChain(node.url), down, RpcChain(liar.url)), Index.open(None))
    assert found == node.whole
    assert [bool(re.search(r"127.0.0.1:9\).*passed over", record.getMessage())) for record in caplog.records] == [True]


def test_endpoint_of_another_chain_beside_a_dead_one_are_both_named(node: Node) -> None:
    pin = node.ledger(RpcChain(node.url)).pin
    settings = Settings(chain_id=pin.chain_id, genesis_hash=pin.genesis_hash, directory=pin.directory)
    dead = RpcChain("http://127.0.0.1:9", timeout=0.3)
    with anvil(block_time=None, extra=("--timestamp", "1795000001", "--chain-id", "4242")) as elsewhere:
        with pytest.raises(PinMismatchError) as told:
            open_ledger(settings, AgreeingChain([RpcChain(elsewhere), dead]), None)

        assert f"RpcChain({elsewhere}) is of another chain" in str(told.value)
        assert "chain 4242" in str(told.value)
        assert "127.0.0.1:9) does not answer" in str(told.value)
        with pytest.raises(PinMismatchError, match=re.escape(elsewhere)) as alone:
            open_ledger(settings, AgreeingChain([RpcChain(node.url), RpcChain(elsewhere)]), None)
        assert node.url not in str(alone.value)
    with pytest.raises(ChainUnreachableError, match="fewer than 2 endpoints answer"):
        open_ledger(settings, AgreeingChain([RpcChain(node.url), dead]), None)


def test_proof_that_a_new_block_overtook_is_asked_for_again(node: Node, liar: LyingEndpoint) -> None:
    index = Index.open(None)
    follower = Follower(node.ledger(RpcChain(liar.url)), index, sleep=quiet)
    follower.step()
    assert index.proof is not None
    overtakes = True

    def lie(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getProof":
            return result
        if overtakes:
            ask_anvil(node.url, "evm_mine")
        return {**result, "accountProof": result["accountProof"][1:]}

    liar.lie = lie
    ask_anvil(node.url, "evm_mine")
    follower.step()
    assert index.tip is not None
    assert index.proof is None
    overtakes = False
    with pytest.raises(ChainIntegrityError, match="proof"):
        follower.step()
    liar.lie = lambda method, params, result: result
    follower.step()

    assert index.proof.header.number == index.tip.number
    assert index.claimed
    assert follower.step() == ()


def _break(liar: LyingEndpoint, fault: str) -> None:
    liar.stall = 1.5 if fault == "stall" else 0.0
    liar.status = 503 if fault == "status" else 200
    liar.cut = fault == "cut"


def _mend(liar: LyingEndpoint) -> None:
    liar.stall, liar.status, liar.cut = 0.0, 200, False


@pytest.fixture
def lockstep() -> Iterator[tuple[str, str, ManyEvents]]:
    """Two nodes with the same blocks."""
    with ExitStack() as stack:
        first = stack.enter_context(anvil(block_time=None, extra=SETTINGS))
        second = stack.enter_context(anvil(block_time=None, extra=(*SETTINGS, "--no-mining")))
        many = ManyEvents(first)
        many.fill(400)
        replay(first, second)
        yield first, second, many


def test_two_nodes_in_lockstep_agree_on_history_until_one_changes_it(lockstep: tuple[str, str, ManyEvents]) -> None:
    first, second, many = lockstep
    ledger = Ledger.connect(AgreeingChain([RpcChain(first), RpcChain(second)]), many.directory)
    alone = caught_up(Ledger.connect(RpcChain(first), many.directory), Index.open(None))
    index = Index.open(None)
    assert caught_up(ledger, index) == alone

    many.fill(100)
    ask_anvil(second, "evm_mine")  # the second node leaves the transaction out
    with pytest.raises(ChainDisagreementError) as parted:
        caught_up(ledger, index)
    assert {name for name, _ in parted.value.evidence} == {f"RpcChain({first})", f"RpcChain({second})"}
    assert index.summary() == alone


def test_tip_is_followed_under_load_with_nothing_lost(tmp_path: Path) -> None:
    """Some hundred events a second; how soon they stand in the index is measured by the benchmark, not here."""
    with anvil(block_time=1, extra=SETTINGS[2:]) as url:
        many = ManyEvents(url, confirmations=1)
        transactions = many.transactions(16)
        ledger = Ledger.connect(RpcChain(url), many.directory)
        index = Index.open(tmp_path / "audit.db")
        follower = Follower(ledger, index)
        follower.step()
        before = index.summary().events
        settled = 0
        for transaction in transactions:
            many.ask("eth_sendTransaction", transaction)
            settled += len([event for event in follower.step() if isinstance(event, FinalEvent)])
            time.sleep(0.2)
        deadline = time.monotonic() + 30
        while index.summary().events < before + 1_600 and time.monotonic() < deadline:
            settled += len(follower.step())
            time.sleep(0.1)

        assert settled
        assert index.summary().events >= before + 1_600  # the last admission was not final before
        last = index.summary().tip.number
        assert rebuild(ledger, tmp_path / "fresh.db", last_block=last) == index.summary()
        index.close()


def test_real_reorganisation_to_the_configured_depth_is_undone(tmp_path: Path) -> None:
    with anvil(block_time=None, extra=SETTINGS) as url:
        many = ManyEvents(url, confirmations=3)
        ledger = Ledger.connect(RpcChain(url), many.directory)
        index = Index.open(tmp_path / "audit.db")
        follower = Follower(ledger, index, sleep=quiet)
        for _ in range(3):
            many.fill(100)
            follower.step()
        ask_anvil(url, "anvil_reorg", 2, [])
        events = follower.step()
        many.fill(600)
        follower.step()

        assert any(isinstance(event, ReorgEvent) for event in events)
        assert caught_up(ledger, Index.open(None)) == index.summary()
        before = index.summary()
        ask_anvil(url, "anvil_reorg", 5, [])
        with pytest.raises(FinalityError):
            follower.step()
        assert index.summary() == before
        index.close()
