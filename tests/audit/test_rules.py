"""Every rule finds its own planted violation, and nothing else does."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from audit.documents import MemoryDocuments
from audit.findings import RULES
from audit.papers import Papers, Patience
from audit.rulebook import CHECKS, apply
from capsule import canonical
from capsule.accusation import Accusation
from capsule.agreement import Signatures
from capsule.attestation import Level
from capsule.excerpt import Excerpt
from capsule.ids import Digest, UseId
from capsule.privacy import Epsilon
from capsule.receipt import CloseReason, Receipt, SignedReceipt, SourceVerdict, sign_receipt
from capsule.shred import SignedShred, sign_shred
from capsule.signature import Signer
from contracts import events as ev
from tests.audit.plants import PLANTS
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History, history_of

OTHER = Digest(b"\xee" * 32)
# Their violations are not edits but quarrels that happened on the chain.
ACTED_OUT = {"share-wrong", "false-accusation", "result-not-reproduced", "attestation-not-met", "epsilon-exceeded"}


def test_every_rule_has_a_check_and_a_plant() -> None:
    assert set(CHECKS) == set(RULES)
    assert set(PLANTS) | ACTED_OUT == set(RULES)


@pytest.mark.parametrize("rule", PLANTS)
def test_planted_violation_is_exactly_what_is_found(rule: str, honest: History, space: DataSpace) -> None:
    planted = PLANTS[rule](honest, space)

    findings = planted.history.findings(*planted.claims, patience=planted.patience)

    assert {finding.rule for finding in findings} == {rule}
    for finding in findings:
        assert finding.severity == RULES[rule].severity
        assert finding.evidence
        assert "{" not in finding.message_en + finding.message_zh


def test_wrong_share_accuses_its_holder(true_accusation: History, quarrels: DataSpace) -> None:
    (finding,) = true_accusation.findings()

    assert (finding.rule, finding.accused) == ("share-wrong", quarrels.custodians[0].account)


def test_false_accusation_falls_back_on_the_compute_node(false_accusation: History, quarrels: DataSpace) -> None:
    findings = {finding.rule: finding for finding in false_accusation.findings()}

    assert set(findings) == {"share-wrong", "false-accusation", "use-unclosed"}
    assert findings["use-unclosed"].subject == findings["false-accusation"].subject
    assert findings["false-accusation"].accused == quarrels.compute.account


def test_false_accusation_of_a_gathered_share_falls_back_on_the_provider(honest: History, space: DataSpace) -> None:
    opening = honest.first(ev.DealOpened)
    release = honest.first(ev.ShareReleased, lambda event: event.use == opening.opening and event.index == 1)
    accusation = Accusation(
        use=UseId(opening.opening), deal=OTHER, index=1, holder=release.holder, one_time_key=b"\x11" * 32
    )
    history = honest.serve("opening-accusation", release.decision_hash, canonical.encode(accusation.to_json()))

    (finding,) = history.findings()

    assert (finding.rule, finding.accused) == ("false-accusation", space.provider.account)


# Agreements


def test_agreement_that_one_side_did_not_sign_accuses_who_gave_the_grant(honest: History, space: DataSpace) -> None:
    granted = honest.first(ev.AccessGranted, lambda event: not event.automatic)
    by_terms = honest.first(ev.AccessGranted, lambda event: event.automatic)
    provider, buyer = space.provider.account, space.buyer.account
    for grant, change, accused in (
        (granted, {"buyer": bytes(65)}, provider),
        (granted, {"provider": bytes(65)}, provider),
        # the provider signed its offer, which is for all, and granted by hand
        (granted, {"provider": signatures_of(honest, by_terms).provider, "on_offer": True}, provider),
        (by_terms, {"buyer": signatures_of(honest, granted).buyer}, buyer),
        (by_terms, {"provider": b""}, buyer),
    ):
        signatures = replace(signatures_of(honest, grant), **change)  # type: ignore[arg-type]
        content = canonical.encode(signatures.to_json())
        findings = honest.serve("agreement-signatures", grant.agreement_hash, content).findings()
        assert {(one.rule, one.subject.id, one.accused) for one in findings} == {
            ("agreement-unsigned", str(grant.grant), accused)
        }


def test_signatures_that_nobody_shows_or_of_another_agreement_are_no_signatures(honest: History) -> None:
    granted = honest.first(ev.AccessGranted, lambda event: not event.automatic)
    other = canonical.encode(replace(signatures_of(honest, granted), agreement=OTHER).to_json())
    for content, rule in ((None, "document-not-served"), (other, "document-mismatch")):
        history = honest.serve("agreement-signatures", granted.agreement_hash, content)
        assert history.rules() == {rule}


def signatures_of(history: History, granted: ev.AccessGranted) -> Signatures:
    return Signatures.from_json(
        canonical.decode(history.documents["agreement-signatures", bytes(granted.agreement_hash)])
    )


# Shredded shares


def test_statement_that_does_not_count_accuses_nobody(honest: History, space: DataSpace) -> None:
    """Under a stranger's key, of another deal, or on the day after: somebody may have made it up."""
    planted = PLANTS["released-after-shred"](honest, space)
    ((name, content),) = (
        (name, content)
        for name, content in planted.history.documents.items()
        if name[0] == "shred-statement" and honest.documents.get(name) != content
    )
    statement = SignedShred.from_json(canonical.decode(content)).statement
    holder, stranger = space.custodians[2].signer, space.buyer.signer
    for made, signer in (
        (statement, stranger),
        (replace(statement, deal=OTHER), holder),
        (replace(statement, index=2, holder=space.custodians[1].account), holder),
        (replace(statement, time=statement.time + 86_400), holder),
    ):
        signed = sign_shred(made, signer, space.operator.domain)
        history = honest.serve(*name, canonical.encode(signed.to_json()))
        assert history.findings() == ()


# Derived data


def test_policy_of_derived_data_within_its_parents_is_no_finding(honest: History, space: DataSpace) -> None:
    """The honest history has one, made from two; its header stands in the documents that the rules relied on."""
    state = honest.state()
    papers = Papers(state, MemoryDocuments(honest.documents))
    assert apply(state, papers) == ((), ())
    headers = [
        Excerpt.from_json(canonical.decode(content)).header
        for (kind, _), content in papers.served.items()
        if kind == "capsule-header"
    ]
    assert sorted(len(header.lineage) for header in headers)[-1] == 2


def test_parent_that_is_not_on_the_ledger_accuses_nobody(honest: History, space: DataSpace) -> None:
    planted = PLANTS["derived-policy-wider"](honest, space).history
    (finding,) = planted.findings()
    evidence = {exhibit.name: exhibit.value for exhibit in finding.evidence}
    assert evidence["terms"] == "count"
    parent = next(
        version
        for asset in planted.state().assets.values()
        for version in asset.versions
        if str(version.capsule_root) == evidence["parent_root"]
    )
    assert {one.rule for one in planted.serve("policy", parent.policy_hash, None).findings()} == {"document-not-served"}


def test_a_run_below_the_policys_level_accuses_the_compute_node(tmp_path: Path) -> None:
    """Holders that look away release; the receipt says at which level it ran."""
    space = DataSpace(tmp_path, seed=4)
    try:
        offered = space.offer(space.register(), attestation=(Level.HARDWARE,))
        (use,) = space.open(space.grant(offered))
        space.release(use, 0, 1, 2, 3)
        space.complete(use)
        (finding,) = history_of(space).findings()
        assert (finding.rule, finding.accused) == ("attestation-not-met", space.compute.account)
        assert finding.subject.id == str(use.id)
    finally:
        space.close()


def test_spending_past_a_privacy_budget_accuses_the_compute_node(tmp_path: Path) -> None:
    """Two answers within it are none of the audit's business; a third passes it, one without noise tells too much."""
    space = DataSpace(tmp_path, seed=4)
    half = Epsilon.parse("0.5")
    try:
        terms = {"epsilon_per_use": half, "epsilon_per_buyer": Epsilon.parse("1"), "uses_per_grant": 9}
        grant = space.grant(space.offer(space.register(), **terms))

        def answered(epsilon: Epsilon | None) -> UseId:
            (use,) = space.open(grant)
            space.release(use, 0, 1, 2, 3)
            receipt = replace(space.receipt(use, rows=1), epsilon=epsilon)
            space.sign(receipt)
            space.compute.ledger.access.close_use(receipt.order_hash, True, 0, receipt.hash, space.digest(), 1)
            return use.id

        def told() -> set[tuple[str, str, str]]:
            findings = history_of(space).findings()
            assert {(one.rule, one.accused) for one in findings} <= {("epsilon-exceeded", space.compute.account)}
            evidence = [{exhibit.name: exhibit.value for exhibit in one.evidence} for one in findings]
            return {
                (one.subject.id, each["spent"], each["limit"]) for one, each in zip(findings, evidence, strict=True)
            }

        answered(half)
        answered(half)
        assert told() == set()
        third = str(answered(half))
        assert told() == {(third, "1.5", "1")}
        loud = str(answered(Epsilon.parse("0.6")))
        assert told() == {(loud, "0.6", "0.5"), (loud, "2.1", "1")}
        plain = str(answered(None))
        assert told() == {(loud, "0.6", "0.5"), (plain, "0", "above 0"), (plain, "2.1", "1")}
    finally:
        space.close()


# Openings of deals


def test_share_of_an_opening_out_of_its_time_is_found(honest: History) -> None:
    """Before the waiting time is over, and after another deal has taken the place of the one that was opened."""
    opened = honest.first(ev.DealOpened)
    early = honest.change(opened, releasable_from=opened.releasable_from + 5)
    assert {finding.rule for finding in early.findings()} == {"opening-mismatch", "release-out-of-time"}
    released = honest.first(ev.ShareReleased, lambda event: event.use == opened.opening and event.index == 3)
    late = honest.move(released, after=honest.first(ev.CustodyDealt, lambda event: event.deal == 2))
    (finding,) = late.findings()
    assert (finding.rule, finding.accused) == ("release-out-of-time", released.holder)


# Failed closes after enough releases


def closed(history: History) -> ev.UseClosed:
    return history.first(ev.UseClosed)


def rules(history: History, patience: Patience | None = None) -> set[str]:
    return {finding.rule for finding in history.findings(patience=patience)}


def stated(history: History) -> Receipt:
    content = history.documents["receipt", bytes(closed(history).receipt_hash)]
    return SignedReceipt.from_json(canonical.decode(content)).receipt


def told(history: History, receipt: Receipt, signer: Signer, space: DataSpace) -> History:
    """The first close names another receipt, which is served."""
    signed = sign_receipt(receipt, signer, space.operator.domain)
    history = history.change(closed(history), receipt_hash=receipt.hash)
    return history.serve("receipt", receipt.hash, canonical.encode(signed.to_json()))


def test_failure_with_a_receipt_is_no_finding(failures: tuple[DataSpace, History]) -> None:
    assert failures[1].findings() == ()


def test_failure_without_a_receipt_is_unclosed(failures: tuple[DataSpace, History]) -> None:
    _, history = failures
    (finding,) = history.change(closed(history), receipt_hash=Digest(bytes(32))).findings()
    assert finding.rule == "use-unclosed"
    assert "closed as failed" not in finding.message_zh


@pytest.mark.parametrize("reason", [0, 2, 5, 99])
def test_hash_that_nobody_serves_is_no_receipt(failures: tuple[DataSpace, History], reason: int) -> None:
    _, history = failures
    history = history.change(closed(history), receipt_hash=OTHER, reason=reason)
    assert rules(history) == {"use-unclosed", "document-not-served"}
    assert rules(history, Patience(document=10**6)) == set()


def test_receipt_of_another_kind_of_close_is_none(failures: tuple[DataSpace, History]) -> None:
    """A receipt where an accusation must stand, and one of another failure."""
    _, history = failures
    as_accusation = history.change(closed(history), reason=int(CloseReason.SHARE_WRONG))
    assert rules(as_accusation) == {"use-unclosed", "document-not-served"}
    otherwise = history.change(closed(history), reason=int(CloseReason.ALGORITHM_FAILED))
    assert rules(otherwise) == {"use-unclosed", "receipt-content-mismatch"}


@pytest.mark.parametrize(
    "edit",
    [
        lambda receipt: replace(receipt, order_hash=OTHER),
        lambda receipt: replace(receipt, failure=""),
        lambda receipt: replace(receipt, failure="", guard="passed"),
        lambda receipt: replace(receipt, rows_in=5),
        lambda receipt: replace(receipt, source=SourceVerdict("declared", 0, 5)),
    ],
)
def test_receipt_of_something_else_is_none(
    failures: tuple[DataSpace, History], edit: Callable[[Receipt], Receipt]
) -> None:
    space, history = failures
    history = told(history, edit(stated(history)), space.compute.signer, space)
    assert rules(history) == {"use-unclosed", "receipt-content-mismatch"}


def test_failure_receipt_of_another_order_is_none(failures: tuple[DataSpace, History]) -> None:
    _, history = failures
    other = history.all(ev.UseClosed)[-1]
    history = history.change(closed(history), receipt_hash=other.receipt_hash, reason=other.reason)
    assert rules(history) == {"use-unclosed", "receipt-content-mismatch"}


def test_failure_receipt_under_another_key_is_none(failures: tuple[DataSpace, History]) -> None:
    space, history = failures
    history = told(history, stated(history), space.buyer.signer, space)
    assert rules(history) == {"use-unclosed", "receipt-signature-invalid"}
