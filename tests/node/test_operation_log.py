"""Each node's operation log: written with the act, kept through a crash, anchored in time, served with its proofs."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from audit.follow import rebuild
from audit.index import Index
from audit.papers import Patience
from audit.verify import verify
from capsule import canonical
from capsule.decision import SignedDecision
from capsule.ids import Address, Digest
from capsule.oplog import Act, LogEntry, LogHead, verify_head
from capsule.receipt import SignedReceipt
from capsule.tree import verify_consistency, verify_inclusion
from contracts.errors import RevertedError
from contracts.events import LogHeadAnchored
from node.errors import LogForkedError
from node.organisation import Node
from node.store import Store
from scripts.demo.inspection import NodeDocuments
from tests.node.space import Space, build_space

INTERVAL = 600


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """A data space whose logs nobody else writes to."""
    with build_space(tmp_path_factory.mktemp("logs")) as space:
        yield space


def entries_of(node: Node) -> list[LogEntry]:
    store = node.context.store
    return [LogEntry.from_json(canonical.decode(row.entry)) for row in store.log_rows(0, store.log_head().size)]


def about(node: Node, *subjects: bytes) -> list[tuple[Act, str]]:
    wanted = {bytes(subject) for subject in subjects}
    return [(entry.act, entry.reason) for entry in entries_of(node) if bytes(entry.subject) in wanted]


def heads_of(space: Space, account: Address) -> list[LogHeadAnchored]:
    ledger = space["regulator"].ledger
    events = ledger.events(0, ledger.chain.head().number)
    return [event for event in events if isinstance(event, LogHeadAnchored) and event.account == account]


def get(space: Space, name: str, path: str, **params: Any) -> Any:
    return space.world.client.get(f"http://{name}.demo{path}", params=params)


def test_a_whole_trip_is_logged_anchored_and_joined_by_the_auditor(own: Space, tmp_path: Path) -> None:
    offered = own.offered()
    placed, opened = own.opened(offered)
    own.release()
    compute = own["compute"].node
    compute.work()
    own["buyer"].node.ordering.collect(placed.order_hash)

    # 1. each act stands in the log of whoever did it
    provider = own["provider"].node
    assert about(provider, offered.deal.capsule_root, offered.deal.hash) == [(Act.SEAL, ""), (Act.DEAL, "")]
    assert about(own["custodian-1"].node, opened.use) == [(Act.DECISION, "released")]
    run = [(Act.ORDER, ""), (Act.USE, ""), (Act.VERDICT, "passed"), (Act.RECEIPT, "")]
    assert about(compute, placed.order_hash) == run
    # 2. receipt and decisions name a head of the log before their own entry
    view = own["regulator"].node.context.view
    view.refresh()
    closed, released = view.ended[opened.use], view.releases[opened.use][1]
    receipt = document(compute, "receipt", closed.receipt_hash)  # type: ignore[union-attr]
    named = SignedReceipt.from_json(receipt).receipt.log_head
    assert compute.context.store.log_head(named.size) == named
    assert entries_of(compute)[named.size - 1].act is Act.VERDICT
    assert entries_of(compute)[named.size].act is Act.RECEIPT
    decision = document(own["custodian-1"].node, "decision", released.decision_hash)
    named = SignedDecision.from_json(decision).decision.log_head
    assert entries_of(own["custodian-1"].node)[named.size].act is Act.DECISION
    # 3. nothing is anchored before its time, all of it after
    assert heads_of(own, compute.context.account) == []
    own.tick(INTERVAL)
    for member in own.world.members.values():
        assert member.node.work().log == ""
        assert member.node.work().log == ""
    (head,) = heads_of(own, compute.context.account)
    assert (head.size, head.root) == (len(entries_of(compute)), compute.context.store.log_head().root)
    assert compute.context.store.log_pending() == []
    # 4. the auditor joins every log with the ledger, with every interval over
    own.tick(INTERVAL)
    rebuild(own["regulator"].ledger, tmp_path / "audit.db")
    with closing(Index.open(tmp_path / "audit.db")) as index:
        documents = NodeDocuments(own["regulator"].ledger, own.world.client)
        report = verify(index, documents, patience=Patience(log=INTERVAL))
        assert [str(finding) for finding in report.findings] == []
        late = verify(index, documents, patience=Patience(log=INTERVAL - 1))
        assert {finding.rule for finding in late.findings} == {"log-anchored-late"}


def document(node: Node, kind: str, digest: Digest) -> canonical.Json:
    return canonical.decode(node.context.store.document(kind, digest) or b"")


def test_refusals_and_their_reasons_are_logged(own: Space) -> None:
    _, opened = own.opened(own.offered())
    own["custodian-1"].node.context.store.put_document("policy", opened.pin.policy_hash, {})
    own["custodian-1"].node.work()
    assert about(own["custodian-1"].node, opened.use) == [(Act.DECISION, "policy_missing")]
    own.settle()


def test_an_order_that_the_chain_refuses_is_logged_as_not_opened(own: Space) -> None:
    grant = own.granted(own.offered())
    placed = own.ordered(grant)
    own["provider"].node.access.revoke(grant, 7)
    compute = own["compute"].node
    compute.work()
    assert about(compute, placed.order_hash) == [(Act.ORDER, ""), (Act.VERDICT, "not opened")]
    assert compute.context.ledger.access.uses_of(placed.order_hash) == ()


class KilledError(Exception):
    """The process ends here."""


def test_a_decision_is_logged_once_however_often_its_node_dies(own: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    _, opened = own.opened(own.offered())
    holder = own["custodian-2"].node

    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(holder.context.ledger.access, "release_share", killed)
        for _ in range(2):
            with pytest.raises(KilledError):
                holder.custody.decide_open_uses()
    again = own.restart("custodian-2")
    assert [pending.act for _, pending in again.context.store.log_pending()] == [Act.DECISION]
    again.work()
    assert about(again, opened.use) == [(Act.DECISION, "released")]
    assert again.context.store.log_pending() == []
    own.settle()


def test_a_decision_that_the_chain_never_took_is_said_to_be_dropped(
    own: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, opened = own.opened(own.offered())
    holder = own["custodian-3"].node

    def refused(*_: object) -> None:
        raise RevertedError("AccessUseNotOpen", ())

    with monkeypatch.context() as patch:
        patch.setattr(holder.context.ledger.access, "release_share", refused)
        holder.work()
    ((row, entry),) = holder.context.store.log_pending()
    assert row.digest == str(entry.digests["decision"])
    own.settle()  # the use ends without that release
    holder.work()
    assert holder.context.store.log_pending() == []
    assert about(holder, opened.use, entry.digests["decision"]) == [
        (Act.DECISION, "released"),
        (Act.DROPPED, "not taken"),
    ]


def test_nothing_in_the_log_can_be_changed(own: Space) -> None:
    compute = own["compute"].node
    before = entries_of(compute)
    with closing(sqlite3.connect(compute.context.home.database_file)) as connection:
        for statement in ("UPDATE node_log SET entry = x'00'", "DELETE FROM node_log WHERE position = 0"):
            with pytest.raises(sqlite3.IntegrityError, match="only added to"):
                connection.execute(statement)
            connection.rollback()
    assert entries_of(compute) == before


def test_act_and_entry_are_written_together_or_not_at_all(own: Space) -> None:
    store = own["buyer"].node.context.store
    head = store.log_head()
    entry = LogEntry(Act.DROPPED, 1, Digest(bytes(32)))
    with pytest.raises(Exception, match="can't be read or written"):
        store.save(store.document_row("metadata", Digest(bytes(32)), {}), object(), log=[entry])  # type: ignore[arg-type]
    assert store.log_head() == head
    assert store.document("metadata", Digest(bytes(32))) is None


# Anchoring


def test_an_anchor_whose_answer_was_lost_is_not_sent_again(own: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    own.offered()
    provider = own["provider"].node
    contract = provider.context.ledger.operation_log
    anchored = contract.anchor_head

    def lost(*arguments: Any) -> None:
        anchored(*arguments)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(contract, "anchor_head", lost)
        with pytest.raises(KilledError):
            provider.log.anchor()
    count = len(heads_of(own, provider.context.account))
    again = own.restart("provider")
    head = again.log.anchor()
    assert len(heads_of(own, provider.context.account)) == count
    assert again.context.store.log_anchored() == head.size == again.context.store.log_head().size
    assert get(own, "provider", f"/v1/documents/log-segment/{head.root}").status_code == 200


def test_a_home_that_lost_anchored_entries_anchors_nothing_and_says_so(own: Space, tmp_path: Path) -> None:
    own.offered()
    provider = own["provider"].node
    provider.log.anchor()
    heads = heads_of(own, provider.context.account)
    with closing(Store(tmp_path / "old.db", provider.context.keystore.vault, secrets.token_bytes)) as older:
        node = own.node("provider", store=older)
        older.save(log=[LogEntry(Act.DROPPED, 1, Digest(bytes(32)))])
        with pytest.raises(LogForkedError):
            node.log.anchor()
        assert "restored" in node.work().log
    assert heads_of(own, provider.context.account) == heads


def test_a_suspended_organisation_waits_with_its_anchor(own: Space) -> None:
    provider = own["provider"].node
    own.offered()
    own.tick(INTERVAL)
    participants = own.world.operator.participants
    participants.suspend(provider.context.account, "papers missing")
    assert "NotActive" in provider.work().log
    participants.reinstate(provider.context.account, "papers came")
    assert provider.work().log == ""
    assert provider.context.store.log_anchored() == provider.context.store.log_head().size


# Serving


def test_head_entries_and_proofs_are_served_and_hold(own: Space) -> None:
    compute = own["compute"].node
    own.opened(own.offered())
    context = compute.context
    note = get(own, "compute", "/v1/log/head").text
    head = verify_head(note, context.account, own["compute"].public_key, context.ledger.domain)
    assert head == context.store.log_head()
    told = get(own, "compute", "/v1/log/entries", **{"from": 1, "to": head.size}).json()
    entries = [LogEntry.from_json(entry) for entry in told["entries"]]
    assert entries == entries_of(compute)[1:]
    proof = get(own, "compute", "/v1/log/proof/inclusion", index=1, size=head.size).json()["proof"]
    verify_inclusion(entries[0].leaf, 1, head.size, [Digest.parse(step) for step in proof], head.root)
    earlier = context.store.log_head(2)
    proof = get(own, "compute", "/v1/log/proof/consistency", first=2, second=head.size).json()["proof"]
    verify_consistency(2, earlier.root, head.size, head.root, [Digest.parse(step) for step in proof])
    own.settle()


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/v1/log/entries", {"from": -1, "to": 2}, 400),
        ("/v1/log/proof/inclusion", {"index": 5, "size": 3}, 400),
        ("/v1/log/proof/inclusion", {"index": 0, "size": 10**9}, 400),
        ("/v1/log/proof/consistency", {"first": 0, "second": 2}, 400),
        (f"/v1/documents/log-segment/0x{'11' * 32}", {}, 404),
        ("/v1/documents/log-segment/nothing", {}, 400),
    ],
)
def test_what_the_log_has_not_is_answered_as_a_problem(
    own: Space, path: str, params: dict[str, int], status: int
) -> None:
    answer = get(own, "compute", path, **params)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_log_holds_no_data_and_no_parameters(own: Space) -> None:
    """Every member of every entry is a digest, an id, a number or one of a few words."""
    for member in own.world.members.values():
        for entry in entries_of(member.node):
            document = entry.to_json()
            assert set(document) == {"kind", "version", "act", "at", "subject", "digests", "reason"}
            assert all(len(value) == 32 for value in (entry.subject, *entry.digests.values()))


def test_head_after_a_rotation_is_signed_by_the_new_key(own: Space) -> None:
    node = own["custodian-3"].node
    before = get(own, "custodian-3", "/v1/log/head").text
    old = own["custodian-3"].public_key
    node.rotate_keys()
    after = get(own, "custodian-3", "/v1/log/head").text
    domain, account = node.context.ledger.domain, node.context.account
    head = verify_head(before, account, old, domain)
    assert isinstance(head, LogHead)
    new = own["custodian-3"].public_key
    assert new != old
    assert verify_head(after, account, new, domain) == head
