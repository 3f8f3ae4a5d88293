"""What the auditor says of operation logs that were tampered with, and what it leaves unsaid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from audit.findings import Finding
from audit.papers import Patience
from capsule import canonical
from capsule.decision import SignedDecision
from capsule.oplog import Act, LogEntry, LogHead, sign_head
from capsule.receipt import Receipt, SignedReceipt, sign_receipt
from capsule.tree import root
from contracts import events as ev
from tests.audit.plants import LOG_PATIENCE, OTHER, _segments, relogged, rewritten
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History

Edit = Callable[[list[LogEntry]], list[LogEntry]]


def found(history: History, patience: Patience = LOG_PATIENCE) -> list[tuple[str, object]]:
    return sorted((finding.rule, finding.accused) for finding in history.findings(patience=patience))


def one(history: History) -> Finding:
    (finding,) = history.findings(patience=LOG_PATIENCE)
    return finding


def test_nothing_is_missing_while_there_is_time_to_anchor(honest: History, space: DataSpace) -> None:
    crooked = relogged(honest, space, space.custodians[0], lambda entries: entries[:-1])
    assert found(crooked, Patience(anchor=0)) == []
    assert found(crooked) == [("log-entry-missing", space.custodians[0].account)]


def test_log_that_tells_another_reason_lacks_the_decision(honest: History, space: DataSpace) -> None:
    holder = space.custodians[0]

    def edit(entries: list[LogEntry]) -> list[LogEntry]:
        return [*entries[:-1], replace(entries[-1], reason="clock_off")]

    # past the use's deadline, until when the ledger could still have taken it
    crooked = relogged(honest, space, holder, edit).until(honest.tip.time + 1_000)
    # neither is what it says: the ledger's decision is not logged, the logged one not on the ledger
    assert found(crooked) == [("log-entry-missing", holder.account), ("log-event-missing", holder.account)]


def test_decision_that_the_log_itself_drops_is_no_finding(honest: History, space: DataSpace) -> None:
    holder = space.custodians[0]

    def edit(entries: list[LogEntry]) -> list[LogEntry]:
        made = LogEntry(Act.DECISION, entries[-1].at, OTHER, {"deal": OTHER, "decision": OTHER}, "released")
        return [*entries, made, LogEntry(Act.DROPPED, entries[-1].at, OTHER, {}, "not taken")]

    assert found(relogged(honest, space, holder, edit)) == []


def test_seal_and_run_must_be_logged(honest: History, space: DataSpace) -> None:
    for party, acts, event in (
        (space.provider, (Act.SEAL,), "CapsulePublished"),
        (space.provider, (Act.DEAL,), "CustodyDealt"),
        (space.compute, (Act.ORDER, Act.USE), "UseOpened"),
    ):
        last = _segments(honest, party.account)[-1].entries
        gone = [entry for entry in last if entry.act in acts][-len(acts) :]
        assert len(gone) == len(acts)

        def edit(entries: list[LogEntry], gone: list[LogEntry] = gone) -> list[LogEntry]:
            return [entry for entry in entries if entry not in gone]

        findings = relogged(honest, space, party, edit).findings(patience=LOG_PATIENCE)
        missing = [finding for finding in findings if finding.rule == "log-entry-missing"]
        assert {(finding.accused, dict_of(finding)["event"]) for finding in missing} == {(party.account, event)}


def dict_of(finding: Finding) -> dict[str, str]:
    return {exhibit.name: exhibit.value for exhibit in finding.evidence}


def test_missing_segment_is_told_once_and_accuses_of_nothing_else(honest: History, space: DataSpace) -> None:
    head = honest.all(ev.LogHeadAnchored, lambda event: event.account == space.compute.account)[1]
    finding = one(honest.serve("log-segment", head.root, None))
    assert (finding.rule, finding.accused) == ("log-not-served", space.compute.account)
    assert dict_of(finding)["root"] == str(head.root)
    assert found(honest.serve("log-segment", head.root, None), Patience(anchor=0, log=0, document=10**9)) == []


def test_head_under_another_key_is_inconsistent(honest: History, space: DataSpace) -> None:
    party = space.custodians[0]
    head = honest.first(ev.LogHeadAnchored, lambda event: event.account == party.account)
    segment = _segments(honest, party.account)[0]
    domain = space.operator.domain
    stated = LogHead(head.size, head.root)
    for note in (
        sign_head(stated, party.account, space.buyer.signer, domain),
        sign_head(LogHead(head.size, OTHER), party.account, party.signer, domain),
        "nothing",
    ):
        content = canonical.encode(replace(segment, note=note).to_json())
        finding = one(honest.serve("log-segment", head.root, content))
        assert (finding.rule, finding.accused) == ("log-inconsistent", party.account)


def test_heads_that_do_not_continue_each_other_are_inconsistent(honest: History, space: DataSpace) -> None:
    """The second anchored head is of a log that begins otherwise, told as honestly as can be."""
    account = space.compute.account
    first, second = honest.all(ev.LogHeadAnchored, lambda event: event.account == account)[:2]
    crooked = honest.change(first, root=OTHER)
    content = honest.documents["log-segment", bytes(first.root)]
    crooked = crooked.serve("log-segment", OTHER, content)
    crooked = crooked.change(crooked.same(second), previous=OTHER)
    findings = crooked.findings(patience=LOG_PATIENCE)
    assert {(finding.rule, finding.accused) for finding in findings} == {("log-inconsistent", account)}
    assert {dict_of(finding)["root"] for finding in findings} == {str(OTHER), str(second.root)}


@pytest.mark.parametrize("wrong", ["other root", "too late", "too early"])
def test_receipt_that_names_another_head_is_inconsistent(honest: History, space: DataSpace, wrong: str) -> None:
    """The log says what the receipt's own entry must say; only the head inside the receipt is another."""
    closed = honest.all(ev.UseClosed, lambda event: event.completed)[-1]
    signed = SignedReceipt.from_json(canonical.decode(honest.documents["receipt", bytes(closed.receipt_hash)]))
    entries = [entry for part in _segments(honest, space.compute.account) for entry in part.entries]
    at = next(number for number, entry in enumerate(entries) if entry.digests.get("receipt") == closed.receipt_hash)
    heads = {
        "other root": replace(signed.receipt.log_head, root=OTHER),
        "too late": LogHead(at + 1, OTHER),
        "too early": head_of(entries[: at - 2]),
    }
    receipt = replace(signed.receipt, log_head=heads[wrong])
    crooked = renamed(honest, space, closed, receipt)
    findings = crooked.findings(patience=LOG_PATIENCE)
    assert {(finding.rule, finding.accused) for finding in findings} == {("log-inconsistent", space.compute.account)}


def head_of(entries: list[LogEntry]) -> LogHead:
    return LogHead(len(entries), root(entry.leaf for entry in entries))


def renamed(history: History, space: DataSpace, closed: ev.UseClosed, receipt: Receipt) -> History:
    """Another receipt in the place of one: served, on chain, and logged."""
    old = closed.receipt_hash
    signed = sign_receipt(receipt, space.compute.signer, space.operator.domain)
    order = receipt.order_hash
    uses = {event.use for event in history.all(ev.UseOpened, lambda event: event.order_hash == order)}
    for use in uses:
        history = history.change(
            history.first(ev.UseClosed, lambda e, use=use: e.use == use), receipt_hash=receipt.hash
        )

    def edit(entries: list[LogEntry]) -> list[LogEntry]:
        return [
            replace(entry, digests={"receipt": receipt.hash}) if entry.digests.get("receipt") == old else entry
            for entry in entries
        ]

    history = history.serve("receipt", receipt.hash, canonical.encode(signed.to_json()))
    return relogged(history, space, space.compute, edit)


def test_organisation_that_anchors_nothing_is_late_once(honest: History, space: DataSpace) -> None:
    account = space.custodians[2].account
    heads = honest.all(ev.LogHeadAnchored, lambda event: event.account == account)
    finding = one(honest.drop(*heads))
    assert (finding.rule, finding.accused) == ("log-anchored-late", account)
    decisions = [key for (kind, key) in honest.documents if kind == "decision"]
    own = [
        key
        for key in decisions
        if SignedDecision.from_json(canonical.decode(honest.documents["decision", key])).decision.holder == account
    ]
    assert dict_of(finding)["count"] == str(len(own))


def test_suspended_organisation_is_waited_for(honest: History, space: DataSpace) -> None:
    """It may not anchor; who was reinstated long before has no such excuse."""
    account, patience = space.custodians[2].account, Patience(anchor=0, log=1_000)
    silent = honest.drop(*honest.all(ev.LogHeadAnchored, lambda event: event.account == account))
    silent = silent.until(honest.tip.time + 5_000)
    assert found(silent, patience) == [("log-anchored-late", account)]
    suspended = silent.repeat(silent.first(ev.ParticipantSuspended), account=account)
    later = suspended.all(ev.ParticipantSuspended)[-1]
    assert found(suspended.move(later, after=silent.entries[-1].event), patience) == []
    buyer = space.buyer.account
    assert silent.first(ev.ParticipantSuspended).account == silent.first(ev.ParticipantReinstated).account == buyer


def test_ledger_without_the_contract_in_view_says_nothing_of_logs(honest: History) -> None:
    """As in a bundle whose subject needs no logs."""
    contracts = {name: address for name, address in honest.identity.contracts.items() if name != "OperationLog"}
    entries = tuple(entry for entry in honest.entries if entry.contract != "OperationLog")
    history = replace(honest, identity=replace(honest.identity, contracts=contracts), entries=entries)
    assert found(history) == []


@pytest.mark.parametrize(
    ("act", "event", "reason"),
    [
        (Act.GRANT, "AccessGranted", None),
        (Act.DENIAL, "AccessDenied", None),
        (Act.DENIAL, "AccessDenied", "99"),
        (Act.REVOCATION, "AccessRevoked", None),
        (Act.REVOCATION, "AccessRevoked", "99"),
    ],
)
def test_answers_to_buyers_must_be_logged(
    honest: History, space: DataSpace, act: Act, event: str, reason: str | None
) -> None:
    """A grant, a denial or a revocation that the provider's log leaves out, or gives another reason for."""

    def edit(number: int, entries: list[LogEntry]) -> list[LogEntry]:
        if reason is None:
            return [entry for entry in entries if entry.act is not act]
        return [replace(entry, reason=reason) if entry.act is act else entry for entry in entries]

    findings = rewritten(honest, space, space.provider, edit).findings(patience=LOG_PATIENCE)
    missing = [finding for finding in findings if finding.rule == "log-entry-missing"]
    assert {(one.accused, dict_of(one)["event"]) for one in missing} == {(space.provider.account, event)}
    # its decisions name heads of the log as it was, which gives the later writing away as well
    assert {finding.rule for finding in findings} <= {"log-entry-missing", "log-inconsistent"}


def test_release_that_the_log_has_after_shredding_is_found(honest: History, space: DataSpace) -> None:
    """No statement is served, and no clock is needed: the log's own order tells."""
    holder = space.custodians[2]
    release = honest.first(ev.ShareReleased, lambda event: event.holder == holder.account)
    opened = honest.first(ev.UseOpened, lambda event: event.use == release.use)
    shred = {"statement": OTHER}

    def edit(number: int, entries: list[LogEntry]) -> list[LogEntry]:
        first = [LogEntry(Act.SHRED, entries[0].at, opened.pin.deal_hash, shred)] if number == 0 else []
        return [*first, *entries]

    findings = rewritten(honest, space, holder, edit).findings(patience=LOG_PATIENCE)
    told = {(one.accused, dict_of(one)["source"]) for one in findings if one.rule == "released-after-shred"}
    assert told == {(holder.account, "operation log")}
    assert {finding.rule for finding in findings} == {"released-after-shred", "log-inconsistent"}


def test_shredding_after_the_last_release_is_no_finding(honest: History, space: DataSpace) -> None:
    assert sum(kind == "shred-statement" for kind, _ in honest.documents) == 4
    assert found(honest) == []
