"""Evidence bundles: checked offline, under T, and no byte of them can change unseen."""

from __future__ import annotations

import copy
import random
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from audit.bundle import bundle, read_bundle
from audit.checkpoints import build_checkpoint
from audit.documents import MemoryDocuments
from audit.errors import BundleError, RequestError
from audit.findings import Subject
from audit.index import Index
from audit.steps import Verdict
from audit.trail import subject
from audit.trust import Trust
from audit.verdict import check
from capsule import canonical
from capsule.agreement import Signatures
from capsule.checkpoint import SignedCheckpoint
from capsule.digest import tagged
from contracts import events as ev
from scripts.demo.lying_chain import Lies
from tests.audit.auditing import caught_up, read_only
from tests.audit.signing import sign, trust_of
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History

Document = dict[str, Any]


@pytest.fixture(scope="module")
def index(space: DataSpace) -> Index:
    return caught_up(space)


@pytest.fixture(scope="module")
def checkpoint(space: DataSpace, index: Index) -> SignedCheckpoint:
    return sign(space, build_checkpoint(index))


@pytest.fixture(scope="module")
def trust(space: DataSpace) -> Trust:
    return trust_of(space)


@pytest.fixture(scope="module")
def use(honest: History) -> Subject:
    return subject("use", str(honest.first(ev.UseOpened).use))


@pytest.fixture(scope="module")
def evidence(index: Index, use: Subject, honest_documents: MemoryDocuments, checkpoint: SignedCheckpoint) -> bytes:
    return bundle(index, use, honest_documents, checkpoint=checkpoint).content


def retold(evidence: bytes, edit: Callable[[Document], None]) -> bytes:
    """The bundle after an edit, made consistent with its own digest again."""
    document = canonical.decode(evidence)
    assert isinstance(document, dict)
    changed = copy.deepcopy(document)
    edit(changed)
    del changed["digest"]
    return canonical.encode({**changed, "digest": str(tagged("bundle", canonical.encode(changed)))})


def failing(verdict: Verdict) -> set[str]:
    return {step.title for step in verdict.steps if not step.holds}


def test_bundle_holds_under_trust_and_tells_its_steps(evidence: bytes, use: Subject, trust: Trust) -> None:
    verdict = check(evidence, trust)

    assert (verdict.subject, verdict.anchor, verdict.holds, verdict.findings) == (use, "checkpoint", True, ())
    assert [step.number for step in verdict.steps] == list(range(1, len(verdict.steps) + 1))
    assert len(verdict.relied_on) == 1
    assert str(next(iter(trust.regulators))) in verdict.relied_on[0].en
    assert verdict.trail is not None
    assert verdict.trail.rows[-1].event == "UseClosed"
    assert verdict.lines()[-1].endswith("holds, checkpoint")
    assert canonical.encode(verdict.to_json())


def test_same_ledger_gives_the_same_bundle(
    evidence: bytes, space: DataSpace, use: Subject, honest_documents: MemoryDocuments, checkpoint: SignedCheckpoint
) -> None:
    assert bundle(caught_up(space), use, honest_documents, checkpoint=checkpoint).content == evidence


def test_without_trust_the_verdict_is_unanchored(evidence: bytes) -> None:
    verdict = check(evidence)

    assert (verdict.anchor, verdict.holds) == ("unanchored", True)
    assert any("maker of the bundle" in word.en for word in verdict.relied_on)
    assert verdict.lines()[-1].endswith("unanchored")


def test_bundle_without_checkpoint_is_unanchored_even_under_trust(
    index: Index, use: Subject, honest_documents: MemoryDocuments, trust: Trust
) -> None:
    verdict = check(bundle(index, use, honest_documents).content, trust)

    assert (verdict.anchor, verdict.holds) == ("unanchored", True)


def test_bundle_at_an_older_checkpoint_ends_there(
    space: DataSpace, index: Index, use: Subject, honest_documents: MemoryDocuments, trust: Trust
) -> None:
    early = sign(space, build_checkpoint(caught_up(space, Lies(hidden=20))))

    data = bundle(index, use, honest_documents, checkpoint=early).content

    assert check(data, trust).holds
    assert read_bundle(data).tip.number == space.chain.head().number - 20


@pytest.mark.parametrize("kind", ["asset", "request", "grant", "device", "participant"])
def test_every_kind_of_subject_has_a_bundle(
    kind: str,
    index: Index,
    honest: History,
    honest_documents: MemoryDocuments,
    checkpoint: SignedCheckpoint,
    trust: Trust,
) -> None:
    granted = honest.first(ev.AccessGranted)
    named = {
        "asset": granted.asset,
        "request": granted.request,
        "grant": granted.grant,
        "device": honest.first(ev.DeviceEnrolled).device,
        "participant": granted.buyer,
    }

    verdict = check(
        bundle(index, subject(kind, str(named[kind])), honest_documents, checkpoint=checkpoint).content, trust
    )

    assert (verdict.holds, verdict.anchor, verdict.findings) == (True, "checkpoint", ())


def test_findings_about_the_subject_are_shown_and_are_no_fault_of_the_bundle(
    index: Index, use: Subject, honest: History, checkpoint: SignedCheckpoint, trust: Trust
) -> None:
    receipt = honest.first(ev.UseClosed).receipt_hash
    documents = {name: data for name, data in honest.documents.items() if name != ("receipt", bytes(receipt))}

    verdict = check(bundle(index, use, MemoryDocuments(documents), checkpoint=checkpoint).content, trust)

    assert verdict.holds
    assert [finding.rule for finding in verdict.findings] == ["document-not-served"]


def test_fake_document_is_not_bundled(
    index: Index, use: Subject, honest: History, checkpoint: SignedCheckpoint, trust: Trust
) -> None:
    receipts = [key for kind, key in honest.documents if kind == "receipt"]
    first = bytes(honest.first(ev.UseClosed).receipt_hash)
    other = next(key for key in receipts if key != first)
    documents = {**honest.documents, ("receipt", first): honest.documents["receipt", other]}

    verdict = check(bundle(index, use, MemoryDocuments(documents), checkpoint=checkpoint).content, trust)

    assert verdict.holds
    assert [finding.rule for finding in verdict.findings] == ["document-not-served"]


def test_bundle_tells_how_many_documents_are_missing_and_who_must_have_them(
    space: DataSpace, index: Index, use: Subject, honest: History, trust: Trust
) -> None:
    closed = honest.first(ev.UseClosed)
    receipts = [key for kind, key in honest.documents if kind == "receipt"]
    other = next(key for key in receipts if key != bytes(closed.receipt_hash))
    kept = {name: data for name, data in honest.documents.items() if name[0] != "agreement"}
    # a document that is not what it says is missing as well
    kept["receipt", bytes(closed.receipt_hash)] = honest.documents["receipt", other]
    agreements = len(
        {entry.event.agreement_hash for entry in honest.entries if isinstance(entry.event, ev.AccessGranted)}
    )
    compute_node = honest.first(ev.UseOpened).order.compute_node
    endpoint = index.state().participants[compute_node].endpoint

    made = bundle(index, use, MemoryDocuments(kept))
    whole = bundle(index, use, MemoryDocuments(honest.documents))

    assert (made.missing.documents, made.missing.logs) == (agreements + 1, 0)
    by_account = {one.account: one.documents for one in made.missing.owed}
    assert by_account[compute_node] == 1
    assert sum(by_account.values()) == agreements + 1
    assert f"{agreements + 1} documents" in made.missing.sentence_en()
    assert f"1 document of {compute_node} ({endpoint})" in made.missing.sentence_en()
    assert f"{compute_node}({endpoint})文书1份" in made.missing.sentence_zh()
    documents = next(step for step in check(made.content, trust).steps if step.title == "the documents")
    assert f"{agreements + 1} named ones are not in the bundle" in documents.words.en
    assert whole.missing.owed == ()
    assert whole.missing.to_json() == {"documents": 0, "logs": 0, "from": []}
    bundled_logs = [key for kind, key in read_bundle(whole.content).documents if kind == "log-segment"]
    assert bundled_logs
    assert bundle(index, use, MemoryDocuments({})).missing.logs == len(bundled_logs)


def test_bundle_of_a_grant_shows_offline_who_did_not_sign(
    index: Index, honest: History, checkpoint: SignedCheckpoint, trust: Trust
) -> None:
    granted = honest.first(ev.AccessGranted, lambda event: not event.automatic)
    name = ("agreement-signatures", bytes(granted.agreement_hash))
    signed = Signatures.from_json(canonical.decode(honest.documents[name]))
    unsigned = canonical.encode(replace(signed, provider=b"").to_json())
    about = subject("grant", str(granted.grant))
    for content, rules in ((honest.documents[name], []), (unsigned, ["agreement-unsigned"])):
        documents = MemoryDocuments({**honest.documents, name: content})
        data = bundle(index, about, documents, checkpoint=checkpoint).content
        assert read_bundle(data).documents[name] == content
        verdict = check(data, trust)
        assert verdict.holds
        assert [finding.rule for finding in verdict.findings] == rules


def test_any_changed_byte_is_found(evidence: bytes, trust: Trust) -> None:
    picks = random.Random(5)
    positions = [0, 1, len(evidence) - 1, *(picks.randrange(len(evidence)) for _ in range(150))]
    for position in positions:
        changed = bytearray(evidence)
        changed[position] ^= 1 << picks.randrange(8)
        with pytest.raises(BundleError):
            check(bytes(changed), trust)


def test_cut_or_padded_bundle_is_found(evidence: bytes, trust: Trust) -> None:
    for data in (b"", b"{}", evidence[:-1], evidence + b" ", evidence[:100], b"[]"):
        with pytest.raises(BundleError):
            check(data, trust)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from leaves(item, (*path, key))
    if not isinstance(value, dict | list):
        yield path


def alter(document: Document, path: tuple[Any, ...]) -> None:
    """Another value of the same shape at one place."""
    inside: Any = document
    for key in path[:-1]:
        inside = inside[key]
    value = inside[path[-1]]
    match value:
        case bool():
            inside[path[-1]] = not value
        case int():
            inside[path[-1]] = value + 1
        case str() if value.startswith("0x"):
            inside[path[-1]] = f"{value[:-1]}{'1' if value[-1] != '1' else '2'}"
        case str():
            inside[path[-1]] = f"{value[:-1]}{'B' if value[-1:] != 'B' else 'C'}"
        case _:
            inside[path[-1]] = "0x00"


def test_any_retold_value_is_found_under_trust(evidence: bytes, trust: Trust) -> None:
    """A forger who recomputes the file's own digest: the checkpoint, or a digest on chain, gives every change away."""
    document = canonical.decode(evidence)
    assert isinstance(document, dict)
    every = [path for path in leaves(document) if path != ("digest",)]
    logs = [path for path in every if path[0] == "logs"]
    documents = [path for path in every if path[0] == "documents"]
    picks = random.Random(6)
    chosen = [path for path in every if path[0] not in ("logs", "documents", "proof")]
    chosen += picks.sample(logs, 16) + picks.sample(documents, 6)
    for path in chosen:
        changed = retold(evidence, lambda document, path=path: alter(document, path))
        try:
            verdict = check(changed, trust)
        except BundleError:
            continue
        assert not verdict.holds, path


def _drop_log(document: Document) -> None:
    document["logs"]["Access"].pop()


def _move_in_time(document: Document) -> None:
    document["logs"]["Access"][0]["time"] += 60


def _another_transaction(document: Document) -> None:
    document["logs"]["Assets"][0]["transaction"] = "0x" + "11" * 32


def _later_tip(document: Document) -> None:
    document["tip"]["time"] += 1


def _other_contract(document: Document) -> None:
    document["ledger"]["contracts"]["Access"] = "0x" + "11" * 20


def _strange_document(document: Document) -> None:
    strange = {**document["documents"][0], "key": "0x" + "11" * 32}
    document["documents"] = sorted((*document["documents"], strange), key=lambda one: (one["kind"], one["key"]))


def _no_signature(document: Document) -> None:
    document["checkpoint"]["signatures"].pop()


def _other_use(document: Document) -> None:
    document["subject"]["id"] = "0x" + "11" * 32


@pytest.mark.parametrize(
    ("edit", "step"),
    [
        (_drop_log, "the events"),
        (_move_in_time, "the places"),
        (_another_transaction, "the places"),
        (_later_tip, "the places"),
        (_other_contract, "the contracts"),
        (_strange_document, "the documents"),
        (_no_signature, "the anchor"),
        (_other_use, "the trail"),
    ],
)
def test_forgery_fails_at_its_step(evidence: bytes, trust: Trust, edit: Callable[[Document], None], step: str) -> None:
    assert step in failing(check(retold(evidence, edit), trust))


@pytest.mark.parametrize("with_proof", [False, True])
@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("use", ("Directory", "Participants", "Assets", "Access", "Devices", "OperationLog")),
        ("device", ("Directory", "Participants", "Devices")),
    ],
)
def test_bundle_that_a_whole_contract_was_cut_out_of_is_refused(
    space: DataSpace,
    index: Index,
    use: Subject,
    honest: History,
    honest_documents: MemoryDocuments,
    checkpoint: SignedCheckpoint,
    trust: Trust,
    kind: str,
    names: tuple[str, ...],
    with_proof: bool,
) -> None:
    """Neither gaps nor heads of the others show it: they, and the checkpoint, stay as they were."""
    about = use if kind == "use" else subject("device", str(honest.first(ev.DeviceEnrolled).device))
    ledger = read_only(space) if with_proof else None
    whole = bundle(index, about, honest_documents, checkpoint=checkpoint, ledger=ledger).content
    assert check(whole, trust).holds
    assert tuple(sorted(names)) == tuple(sorted(read_bundle(whole).identity.contracts))
    for name in names:

        def cut(document: Document, name: str = name) -> None:
            del document["logs"][name], document["ledger"]["contracts"][name]
            if document["proof"] is not None:
                del document["proof"]["contracts"][name]

        for more in ({}, {"documents": []}):

            def forge(document: Document, more: Document = more, cut: Callable[[Document], None] = cut) -> None:
                cut(document)
                document.update(more)

            for under in (trust, None):
                with pytest.raises(BundleError, match=f"was cut: .* {name} too"):
                    check(retold(whole, forge), under)


def test_checkpoint_under_other_keys_fails_the_anchor(evidence: bytes, trust: Trust) -> None:
    strangers = Trust(trust.domain, {}, trust.regulators)

    verdict = check(evidence, strangers)

    assert failing(verdict) == {"the anchor"}
    assert verdict.anchor == "unanchored"


def test_check_needs_no_network(evidence: bytes, trust: Trust, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a bundle is checked without network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    assert check(evidence, trust).holds


def test_bundles_are_of_known_subjects_and_within_the_index(
    space: DataSpace, index: Index, use: Subject, honest_documents: MemoryDocuments, checkpoint: SignedCheckpoint
) -> None:
    with pytest.raises(RequestError):
        bundle(index, subject("use", "0x" + "11" * 32), honest_documents)
    with pytest.raises(RequestError):
        bundle(index, Subject("gateway", use.id), honest_documents)
    with pytest.raises(RequestError, match="rebuild"):
        bundle(caught_up(space, Lies(hidden=2)), use, honest_documents, checkpoint=checkpoint)
