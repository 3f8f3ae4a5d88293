"""Proofs of the chain itself: heads under a sealed header, events in receipts, sets of validators that change.

The headers are sealed by test validators in Besu's format, over a true chain's own roots (`tests.sim.sealed_chain`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import rlp
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.bundle import bundle, read_bundle
from audit.checkpoints import build_checkpoint
from audit.documents import MemoryDocuments
from audit.errors import BundleError, StoreError
from audit.findings import Subject
from audit.follow import Follower
from audit.index import Index
from audit.seals import Validators, find_steps
from audit.steps import TITLES, Verdict
from audit.trail import subject
from audit.trust import Trust, trust_from_ledger
from audit.verdict import check
from audit.verify import verify
from capsule import canonical
from contracts import events as ev
from contracts.errors import ChainIntegrityError, ChainRefusedError
from contracts.ledger import Ledger
from contracts.rpc import RpcChain
from scripts.demo.lying_chain import Lies
from tests.audit.auditing import caught_up, read_only
from tests.audit.signing import sign, trust_of
from tests.audit.test_bundle import alter, failing, leaves, retold
from tests.sim.anvil import anvil, anvil_faucet
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History
from tests.sim.sealed_chain import SealedChain, Validator, validators
from tests.sim.trip import found_space

CHANGE_EVERY = 60


def serving(number: int) -> Sequence[Validator]:
    """Seven validators, one of whom is replaced every so many blocks."""
    return validators(7, first=1 + number // CHANGE_EVERY)


def pinned(at: int) -> Validators:
    return Validators(at, frozenset(one.address for one in serving(at)))


def trusting(ledger: Ledger, at: int) -> Trust:
    return Trust(ledger.domain, {}, frozenset(), pinned(at))


@pytest.fixture(scope="module")
def ledger(space: DataSpace) -> Ledger:
    return read_only(space, SealedChain(space.chain, serving))


@pytest.fixture(scope="module")
def index(ledger: Ledger) -> Index:
    return followed(ledger)


def followed(ledger: Ledger) -> Index:
    index = Index.open(None)
    for _ in Follower(ledger, index).catch_up():
        continue
    return index


@pytest.fixture(scope="module")
def use(honest: History) -> Subject:
    return subject("use", str(honest.first(ev.UseOpened).use))


@pytest.fixture(scope="module")
def evidence(ledger: Ledger, index: Index, use: Subject, honest_documents: MemoryDocuments) -> bytes:
    return bundle(index, use, honest_documents, ledger=ledger, validators=pinned(1)).content


@pytest.fixture(scope="module")
def trust(ledger: Ledger) -> Trust:
    return trusting(ledger, 1)


def test_report_is_proven_under_the_validators_of_trust(
    ledger: Ledger, index: Index, honest_documents: MemoryDocuments
) -> None:
    tip = ledger.chain.head().number
    report = verify(index, honest_documents, trust=trusting(ledger, tip))

    assert (report.completeness, report.complete_to) == ("proven", tip)
    assert "sealed by 7 of 7" in report.reason
    other = replace(trusting(ledger, tip), domain=replace(ledger.domain, chain_id=7))
    assert "another ledger" in verify(index, honest_documents, trust=other).reason
    # Sets that changed since are followed in bundles only.
    older = verify(index, honest_documents, trust=trusting(ledger, 1))
    assert (older.completeness, older.complete_to) == ("unproven", None)
    assert "not proven: block" in older.reason


def test_bundle_is_proven_though_all_validators_changed_since(
    evidence: bytes, use: Subject, trust: Trust, ledger: Ledger
) -> None:
    tip = ledger.chain.head().number
    contents = read_bundle(evidence)
    verdict = check(evidence, trust)

    assert tip // CHANGE_EVERY >= 3, "the history is long enough for sets to change"
    assert contents.proof is not None
    assert contents.proof.steps
    assert (verdict.subject, verdict.anchor, verdict.holds, verdict.findings) == (use, "proven", True, ())
    assert [step.title for step in verdict.steps] == list(TITLES)
    told = "\n".join(verdict.lines())
    assert "sealed as T demands" in told
    assert "验证者的三分之二" in told
    assert told.endswith("holds, proven")
    assert canonical.encode(verdict.to_json())
    maker = next(words.en for words in verdict.relied_on if "maker" in words.en)
    assert "transactions and positions" in maker


def test_checkpoint_and_proofs_together_rely_on_no_maker(
    space: DataSpace, ledger: Ledger, index: Index, use: Subject, honest_documents: MemoryDocuments
) -> None:
    signed = sign(space, build_checkpoint(index))
    data = bundle(index, use, honest_documents, checkpoint=signed, ledger=ledger, validators=pinned(1)).content

    both = check(data, replace(trust_of(space), validators=pinned(1)))
    keys = check(data, trust_of(space))

    assert (both.anchor, both.holds, keys.anchor, keys.holds) == ("proven", True, "checkpoint", True)
    assert not any("maker" in words.en for words in (*both.relied_on, *keys.relied_on))


def test_without_validators_of_trust_nothing_is_proven(evidence: bytes, trust: Trust) -> None:
    strangers = Validators(1, frozenset(one.address for one in validators(7, first=100)))

    alone = check(evidence)
    wrong = check(evidence, replace(trust, validators=strangers))
    elsewhere = check(evidence, replace(trust, domain=replace(trust.domain, chain_id=7)))

    assert (alone.anchor, alone.holds) == ("unanchored", True)
    assert (wrong.anchor, failing(wrong)) == ("unanchored", {"the header"})
    assert (elsewhere.anchor, failing(elsewhere)) == ("unanchored", {"the header"})


def test_too_few_seals_prove_nothing(
    space: DataSpace, use: Subject, honest_documents: MemoryDocuments, honest: History
) -> None:
    lazy = SealedChain(space.chain, lambda number: validators(7), sealing=lambda number: validators(4))
    ledger = read_only(space, lazy)
    index, seven = followed(ledger), Validators(1, frozenset(one.address for one in validators(7)))
    trust = Trust(ledger.domain, {}, frozenset(), seven)

    verdict = check(bundle(index, use, honest_documents, ledger=ledger, validators=seven).content, trust)

    assert (verdict.anchor, failing(verdict)) == ("unanchored", {"the header", "the receipts"})
    assert verify(index, honest_documents, trust=trust).completeness == "unproven"


def test_events_before_the_pinned_set_are_told_as_not_sealed(
    ledger: Ledger, index: Index, use: Subject, honest_documents: MemoryDocuments
) -> None:
    tip = ledger.chain.head().number
    verdict = check(bundle(index, use, honest_documents, ledger=ledger).content, trusting(ledger, tip))

    assert (verdict.anchor, verdict.holds) == ("proven", True)
    assert any("for blocks, times and transactions of the events" in words.en for words in verdict.relied_on)


def test_event_hidden_by_the_endpoint_is_found_by_the_proven_heads(
    space: DataSpace, honest: History, honest_documents: MemoryDocuments, use: Subject
) -> None:
    last = next(entry.event.log for entry in reversed(honest.entries) if entry.contract == "Access")
    chain = SealedChain(space.chain, serving)
    chain.lies = Lies(omit=lambda log: (log.transaction_hash, log.log_index) == (last.transaction_hash, last.log_index))
    ledger = read_only(space, chain)
    index = followed(ledger)
    trust = trusting(ledger, chain.head().number)

    report = verify(index, honest_documents, trust=trust)
    verdict = check(bundle(index, use, honest_documents).content, trust)

    assert {finding.rule for finding in report.findings} == {"seq-gap"}
    assert report.completeness == "unproven"
    assert failing(verdict) == {"the events"}


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_found(evidence: bytes, trust: Trust, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(evidence) - 1))
    changed = bytearray(evidence)
    changed[position] ^= data.draw(st.integers(1, 255))

    with pytest.raises(BundleError):
        check(bytes(changed), trust)


def test_any_retold_value_of_the_proof_is_found(evidence: bytes, trust: Trust) -> None:
    """A forger who recomputes the file's own digest."""
    document = canonical.decode(evidence)
    assert isinstance(document, dict)
    every = [path for path in leaves(document) if path[0] == "proof"]
    picks = random.Random(7)
    for path in picks.sample(every, 15):
        verdict = retold_verdict(evidence, trust, path, picks)
        assert verdict is None or not verdict.holds, path


def retold_verdict(evidence: bytes, trust: Trust, path: tuple[Any, ...], picks: random.Random) -> Verdict | None:
    """None: the file did not even read."""

    def change(document: dict[str, Any]) -> None:
        inside: Any = document
        for key in path[:-1]:
            inside = inside[key]
        value = inside[path[-1]]
        if isinstance(value, str) and len(value) > 4 and value.startswith("0x"):
            at = picks.randrange(2, len(value))
            inside[path[-1]] = f"{value[:at]}{'1' if value[at] != '1' else '2'}{value[at + 1 :]}"
        else:
            alter(document, path)

    try:
        return check(retold(evidence, change), trust)
    except BundleError:
        return None


def _drop_receipt(document: dict[str, Any]) -> None:
    document["proof"]["blocks"][0]["receipts"].pop()


def _drop_block(document: dict[str, Any]) -> None:
    document["proof"]["blocks"].pop()


def _more_nodes(document: dict[str, Any]) -> None:
    document["proof"]["contracts"]["Access"]["head_proof"].append("0x01")


def _unordered_blocks(document: dict[str, Any]) -> None:
    document["proof"]["blocks"].reverse()


def _nested_node(document: dict[str, Any]) -> None:
    node: list[Any] = []
    for _ in range(500):
        node = [node]
    document["proof"]["contracts"]["Access"]["head_proof"][0] = "0x" + rlp.encode(node).hex()


def _repeated_block(document: dict[str, Any]) -> None:
    document["proof"]["blocks"].append(document["proof"]["blocks"][0])


def _no_step(document: dict[str, Any]) -> None:
    document["proof"]["steps"].pop()


@pytest.mark.parametrize(
    ("edit", "step"),
    [
        (_drop_receipt, "the receipts"),
        (_drop_block, "the receipts"),
        (_unordered_blocks, "the receipts"),
        (_more_nodes, "the heads"),
        (_nested_node, "the heads"),
        (_repeated_block, "the receipts"),
        (_no_step, "the header"),
    ],
)
def test_forged_proof_fails_at_its_step(evidence: bytes, trust: Trust, edit: Any, step: str) -> None:
    assert step in failing(check(retold(evidence, edit), trust))


def test_time_of_the_subjects_event_is_fixed_by_its_block(evidence: bytes, trust: Trust, honest: History) -> None:
    number = honest.first(ev.UseOpened).log.block_number

    def later(document: dict[str, Any]) -> None:
        next(log for log in document["logs"]["Access"] if log["block"] == number)["time"] += 1

    assert failing(check(retold(evidence, later), trust)) == {"the receipts"}


def test_sets_that_change_at_once_lead_nowhere(space: DataSpace) -> None:
    turned = SealedChain(space.chain, lambda number: validators(4, first=1 if number < 20 else 50))

    steps = find_steps(turned, 60, Validators(1, frozenset(one.address for one in validators(4))))

    assert steps == ()


def test_chain_without_proofs_is_followed_all_the_same(
    space: DataSpace, honest: History, honest_documents: MemoryDocuments, use: Subject
) -> None:
    class Proofless(SealedChain):
        def storage_proof(self, *_: object) -> Any:
            raise ChainRefusedError("the method eth_getProof does not exist")

    ledger = read_only(space, Proofless(space.chain, serving))
    index = followed(ledger)
    trust = trusting(ledger, ledger.chain.head().number)

    report = verify(index, honest_documents, trust=trust)
    verdict = check(bundle(index, use, honest_documents).content, trust)

    assert (index.proof, report.completeness) == (None, "unproven")
    assert "gives no proofs" in report.reason
    assert (verdict.anchor, verdict.holds) == ("unanchored", True)
    with pytest.raises(ChainRefusedError):
        bundle(index, use, honest_documents, ledger=ledger)


def test_endpoint_with_false_headers_or_receipts_gives_no_bundle(
    space: DataSpace, index: Index, use: Subject, honest_documents: MemoryDocuments
) -> None:
    class Forging(SealedChain):
        def block_receipts(self, number: int) -> Any:
            return tuple(replace(one, logs=()) for one in super().block_receipts(number))

    for chain in (Forging(space.chain, serving), SealedChain(space.chain, lambda number: validators(3))):
        with pytest.raises(ChainIntegrityError):
            bundle(index, use, honest_documents, ledger=read_only(space, chain))


def test_damaged_proof_in_the_index_is_refused(space: DataSpace, honest: History, tmp_path: Any) -> None:
    index = caught_up(space, index=Index.open(tmp_path / "audit.db"))
    index._store.append((), {"proof": '{"header":"0x01"}'})  # as somebody else would change it
    index.close()

    with pytest.raises(StoreError, match="rebuild"):
        Index.open(tmp_path / "audit.db")


def test_drafted_trust_has_the_validators_that_the_last_block_names(ledger: Ledger, index: Index) -> None:
    assert index.proof is not None
    drafted = trust_from_ledger(index.state(), index.proof.header)

    assert drafted.validators == pinned(ledger.chain.head().number)
    assert drafted.keys
    assert trust_from_ledger(index.state(), ledger.chain.header(0)).validators is None


def test_trust_file_keeps_validators(trust: Trust) -> None:
    assert Trust.from_bytes(trust.to_bytes()) == trust
    for damaged in (b'"accounts":[]', b'"accounts":["0x00"]'):
        text = trust.to_bytes()
        start = text.index(b'"accounts"')
        with pytest.raises(BundleError):
            Trust.from_bytes(text[:start] + damaged + text[text.index(b"]", start) + 1 :])


def test_anvils_own_proofs_are_proven_under_sealed_headers() -> None:
    """eth_getProof, eth_getBlockReceipts and the roots are anvil's; the sealed header is built over them."""
    with anvil(block_time=None) as url:
        true = RpcChain(url)
        space = found_space(true, anvil_faucet())
        pin = space.publish()
        chain = SealedChain(true, lambda number: validators(4))
        ledger = Ledger.connect(chain, space.operator.pin.directory, None, space.operator.pin)
        index = followed(ledger)
        trusted = Validators(1, frozenset(one.address for one in validators(4)))
        trust = Trust(ledger.domain, {}, frozenset(), trusted)
        nothing = MemoryDocuments({})
        data = bundle(index, Subject("asset", str(pin.asset)), nothing, ledger=ledger, validators=trusted).content
        # anvil's own headers, which nobody sealed.
        bare = Ledger.connect(true, space.operator.pin.directory, None, space.operator.pin)
        unsealed = bundle(followed(bare), Subject("asset", str(pin.asset)), nothing, ledger=bare).content

    report, verdict = verify(index, nothing, trust=trust), check(data, trust)
    assert report.completeness == "proven"
    assert (verdict.anchor, verdict.holds) == ("proven", True)
    assert (check(unsealed).anchor, check(unsealed).holds) == ("unanchored", True)
    assert failing(check(unsealed, trust)) == {"the header", "the receipts"}
