"""Runs: resumed at every state, counted once, ended with a reason, and never in each other's way."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from audit.follow import rebuild
from audit.index import Index
from audit.papers import Papers
from audit.rulebook import apply
from capsule import canonical
from capsule.accusation import Accusation
from capsule.ids import Digest, GrantId
from capsule.receipt import Receipt, SignedReceipt, verify_receipt
from capsule.share import Release, open_share, seal_release
from capsule.signature import PublicKey
from contracts.errors import ChainUnreachableError, RevertedError
from contracts.events import UseClosed
from contracts.structs import UseStatus
from node import compute
from node.closing import CloseReason, Closing
from node.compute import Progress
from node.errors import PeerUnreachableError, RuntimeFailedError, UnknownError
from node.runtime.protocol import Job, Refused
from scripts.demo.inspection import NodeDocuments
from tests.node.space import ALGORITHM_TWO, CSV, SQL_TWO, Offered, Space

NOTHING = Digest(bytes(32))


class UnpluggedError(Exception):
    """The process ends here."""


def unplugged(*_: object, **__: object) -> Any:
    raise UnpluggedError


@pytest.fixture(scope="module")
def offered(space: Space) -> Offered:
    return space.offered(uses_per_grant=100, uses_per_buyer=100, seconds_per_use=600)


@pytest.fixture(scope="module")
def grant(space: Space, offered: Offered) -> GrantId:
    return space.granted(offered)


def step(space: Space, order: Digest) -> Progress:
    """What one round of the compute node did for an order."""
    (progress,) = [one for one in space["compute"].node.work().progress if one.order_hash == order]
    return progress


def one_time_keys(space: Space, order: Digest) -> list[bytes | None]:
    store = space["compute"].node.context.store
    return [store.secret(f"one-time/{order}/0/{holder}") for holder in range(4)]


def closing(space: Space, order: Digest) -> UseClosed:
    view = space["compute"].node.context.view
    view.refresh()
    end = view.ended[view.uses_of(order)[0].use]
    assert isinstance(end, UseClosed)
    return end


def failure(space: Space, order: Digest) -> Receipt:
    """The receipt that the close names, as the compute node serves and signed it."""
    digest = closing(space, order).receipt_hash
    answer = space.world.client.get(f"http://compute.demo/v1/documents/receipt/{digest}")
    signed = SignedReceipt.from_json(canonical.decode(answer.content))
    signer = space["compute"].keystore.signer
    receipt = verify_receipt(signed, PublicKey(signer.suite, signer.public_key), space["compute"].ledger.domain)
    assert (receipt.hash, receipt.order_hash) == (digest, order)
    return receipt


def audited(space: Space, order: Digest, folder: Path) -> set[str]:
    """The rules that the regulator's audit finds broken by the uses of an order."""
    path = folder / "audit.db"
    rebuild(space["regulator"].ledger, path)
    with contextlib.closing(Index.open(path)) as index:
        state = index.state()
        firm, tentative = apply(state, Papers(state, NodeDocuments(space.world.operator, space.world.client)))
    assert not tentative
    uses = {str(opened.use) for opened in space.uses(order)}
    return {finding.rule for finding in firm if finding.subject.id in uses}


def used(space: Space, grant: GrantId) -> int:
    return space["compute"].ledger.access.grant_of(grant).used


def failed(space: Space, order: Digest, reason: CloseReason) -> None:
    """The run ended without a result, and nothing of it is left but a receipt of the failure, or an accusation."""
    end = closing(space, order)
    assert not end.completed
    assert end.reason == reason
    if reason is not CloseReason.SHARE_WRONG:
        receipt = failure(space, order)
        assert receipt.failure == reason.name.lower()
        assert (receipt.guard, receipt.rows_in, receipt.rows_out, receipt.output) == ("refused", 0, 0, NOTHING)
        assert receipt.measurement == space.uses(order)[0].measurement
    assert one_time_keys(space, order) == [None] * 4
    with pytest.raises(UnknownError):
        space["compute"].node.compute.result(order)


def rows(space: Space, order: Digest) -> Any:
    document = canonical.decode(space["buyer"].node.ordering.collect(order).result)
    assert isinstance(document, dict)
    return document["rows"]


def test_a_run_goes_on_after_a_restart_in_every_state(
    space: Space, grant: GrantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = used(space, grant)
    order = space.ordered(grant).order_hash
    access = space["compute"].ledger.access

    # ordered: one-time keys are kept, the process dies before they are named on chain
    with monkeypatch.context() as patch:
        patch.setattr(access, "open_use", unplugged)
        with pytest.raises(UnpluggedError):
            space["compute"].node.work()
    keys = one_time_keys(space, order)
    space.restart("compute")
    assert used(space, grant) == before

    # opened on chain, and the process dies before that is recorded
    with monkeypatch.context() as patch:
        patch.setattr(compute.Compute, "_record", unplugged)
        with pytest.raises(UnpluggedError):
            space["compute"].node.work()
    assert one_time_keys(space, order) == keys
    assert used(space, grant) == before + 1
    space.restart("compute")
    assert step(space, order).state == "opened"

    # opened: released, and the process dies after the run and before its outcome is recorded
    space.release()
    with monkeypatch.context() as patch:
        patch.setattr(compute.Compute, "_record", unplugged)
        with pytest.raises(UnpluggedError):
            space["compute"].node.work()
    with pytest.raises(UnknownError, match="result"):
        space["compute"].node.compute.result(order)
    space.restart("compute")

    # ran: the outcome is recorded, and the process dies before the close
    with monkeypatch.context() as patch:
        patch.setattr(access, "close_use", unplugged)
        with pytest.raises(UnpluggedError):
            space["compute"].node.work()
    state = space["compute"].node.context.store.run(order)
    assert state is not None
    assert state.state == "ran"
    answer = space.world.client.get(f"http://compute.demo/v1/results/{order}")
    assert answer.status_code == 404
    space.restart("compute")

    # closed on chain, and the process dies before that is recorded
    with monkeypatch.context() as patch:
        patch.setattr(compute.Compute, "_end", unplugged)
        with pytest.raises(UnpluggedError):
            space["compute"].node.work()
    space.restart("compute")
    assert step(space, order) == Progress(order, "ended", "")

    assert rows(space, order) == [[780, 40]]
    assert used(space, grant) == before + 1
    buyer, asset = space["buyer"].account, space.uses(order)[0].asset
    assert access.counts_of(asset, buyer)[1] == 1
    assert one_time_keys(space, order) == [None] * 4
    assert space["compute"].node.work().progress == ()


def test_too_many_refusals_close_failed_and_give_the_use_back(space: Space, grant: GrantId) -> None:
    before = used(space, grant)
    order = space.ordered(grant).order_hash
    space["compute"].node.work()
    assert used(space, grant) == before + 1
    use = space.uses(order)[0].use
    for name in ("custodian-1", "custodian-2"):
        assert step(space, order).state == "opened"
        space[name].ledger.access.refuse_share(use, 14, NOTHING)
    assert step(space, order).note == "too_few_releases"
    failed(space, order, CloseReason.TOO_FEW_RELEASES)
    assert used(space, grant) == before


def test_a_refusing_provider_closes_failed(space: Space, grant: GrantId) -> None:
    order = space.ordered(grant).order_hash
    space["compute"].node.work()
    space["provider"].ledger.access.refuse_share(space.uses(order)[0].use, 14, NOTHING)
    assert step(space, order).note == "too_few_releases"
    failed(space, order, CloseReason.TOO_FEW_RELEASES)


def test_a_deadline_that_passed_closes_failed(space: Space, grant: GrantId) -> None:
    """Though the chain makes no block by itself."""
    before = used(space, grant)
    order = space.ordered(grant, seconds=60).order_hash
    space["compute"].node.work()
    space.release("provider", "custodian-1")
    assert step(space, order).state == "opened"
    space.clock.now += 61
    assert step(space, order).note == "too_few_releases"
    failed(space, order, CloseReason.TOO_FEW_RELEASES)
    assert used(space, grant) == before + 1  # shares were released


def test_an_order_past_its_deadline_is_not_opened(space: Space, grant: GrantId) -> None:
    before = used(space, grant)
    order = space.ordered(grant, seconds=10).order_hash
    space.clock.now += 11
    progress = step(space, order)
    assert progress.state == "ended"
    assert "AccessOrderExpired" in progress.note
    assert one_time_keys(space, order) == [None] * 4
    assert used(space, grant) == before


def test_a_use_that_somebody_expired_ends_its_run(space: Space, grant: GrantId) -> None:
    order = space.ordered(grant, seconds=10).order_hash
    space["compute"].node.work()
    space.tick(20)
    space["regulator"].ledger.access.expire_use(space.uses(order)[0].use)
    assert step(space, order) == Progress(order, "ended", "its use has ended on chain")
    assert one_time_keys(space, order) == [None] * 4


@pytest.mark.parametrize("name", ["EnforcedPause", "AccessTooEarly"])
def test_an_opening_that_time_may_let_through_is_tried_again(
    space: Space, grant: GrantId, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    order = space.ordered(grant).order_hash

    def refusing(*_: object) -> None:
        raise RevertedError(name, ())

    with monkeypatch.context() as patch:
        patch.setattr(space["compute"].ledger.access, "open_use", refusing)
        progress = step(space, order)
        assert progress.state == "ordered"
        assert name in progress.note
    assert step(space, order).state == "opened"


def test_a_lost_answer_to_the_opening_is_no_refusal(
    space: Space, grant: GrantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction of an earlier process gets into a block just before this one's."""
    order = space.ordered(grant).order_hash
    access = space["compute"].ledger.access
    opening = access.open_use

    def twice(*arguments: Any) -> Any:
        opening(*arguments)
        return opening(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(access, "open_use", twice)
        assert step(space, order).state == "opened"
    assert len(space.uses(order)) == 1


# What fails without an outcome


def failing_for(space: Space, order: Digest, error: Exception) -> Any:
    """A runtime that fails with an error for one order, and ends the runs of all others by its time limit."""
    key = bytes(space.uses(order)[0].order.result_key)

    def run(job: Job, *_: object, **__: object) -> Refused:
        if job.result_key == key:
            raise error
        return Refused(kind="limits", reason="time", measurement=NOTHING, protected=True)

    return run


@pytest.mark.parametrize(
    "error",
    [
        RuntimeFailedError("the runtime broke down"),
        PeerUnreachableError("http://x"),
        ChainUnreachableError("no answer"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_one_run_that_fails_does_not_stop_the_others(
    space: Space, grant: GrantId, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = space.ordered(grant).order_hash, space.ordered(grant).order_hash
    space["compute"].node.work()
    space.release()
    monkeypatch.setattr(compute, "run", failing_for(space, bad, error))
    progress = {one.order_hash: one for one in space["compute"].node.work().progress}
    assert progress[bad] == Progress(bad, "opened", str(error))
    assert progress[good] == Progress(good, "ended", "limit_reached")
    monkeypatch.setattr(compute, "run", failing_for(space, good, error))
    assert step(space, bad).note == "limit_reached"
    failed(space, bad, CloseReason.LIMIT_REACHED)


def test_a_run_that_fails_until_its_deadline_ends_with_its_reason(
    space: Space, grant: GrantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = space.ordered(grant, seconds=100).order_hash
    space["compute"].node.work()
    space.release()
    monkeypatch.setattr(compute, "run", failing_for(space, order, RuntimeFailedError("the runtime broke down")))
    assert step(space, order).state == "opened"
    space.clock.now += 101
    assert step(space, order) == Progress(order, "ended", "not_run: the runtime broke down")
    failed(space, order, CloseReason.NOT_RUN)


def test_another_runtime_than_the_opened_one_does_not_get_the_keys(
    space: Space, grant: GrantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = space.ordered(grant).order_hash
    space["compute"].node.work()
    space.release()
    monkeypatch.setattr(compute.Compute, "_measurement", lambda _: NOTHING)
    progress = step(space, order)
    assert progress.state == "opened"
    assert "not the one that its use was opened with" in progress.note


def test_a_provider_out_of_reach_leaves_the_run_waiting(space: Space) -> None:
    offered = space.offered()
    placed, _ = space.opened(offered)
    space.release()
    with space.away("provider"):
        progress = step(space, placed.order_hash)
        assert progress.state == "opened"
        assert "no answer from" in progress.note
    assert step(space, placed.order_hash) == Progress(placed.order_hash, "ended", "")
    assert rows(space, placed.order_hash) == [[780, 40]]


def test_documents_that_are_not_the_ones_on_chain_leave_the_run_waiting(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = space.offered()
    placed, _ = space.opened(offered)
    space.release()
    store = space["provider"].node.context.store
    for content in (b"[" * 100_000, b"{}", b"\xff"):
        with monkeypatch.context() as patch:
            patch.setattr(store, "document", lambda *_, content=content: content)
            progress = step(space, placed.order_hash)
        assert progress.state == "opened"
        assert "answered" in progress.note


# Capsules


def kept_capsule(space: Space, offered: Offered) -> Path:
    return space["compute"].node.context.home.folder("capsules") / f"{offered.offering.capsule_root}.dsc"


def test_a_wrong_capsule_in_the_folder_is_fetched_again(space: Space) -> None:
    offered = space.offered()
    placed, _ = space.opened(offered)
    space.release()
    kept_capsule(space, offered).write_bytes(b"no capsule at all")
    progress = step(space, placed.order_hash)
    assert progress.state == "opened"
    assert "fetched again" in progress.note
    assert not kept_capsule(space, offered).exists()
    assert step(space, placed.order_hash).note == ""
    assert kept_capsule(space, offered).read_bytes() == offered.offering.capsule.read_bytes()


@pytest.mark.parametrize("content", [b"", b"no capsule at all", CSV * 50])
def test_a_wrong_capsule_from_the_provider_closes_failed_and_is_not_kept(space: Space, content: bytes) -> None:
    offered = space.offered()
    placed, _ = space.opened(offered)
    space.release()
    true = offered.offering.capsule.read_bytes()
    offered.offering.capsule.write_bytes(content[: len(true)])
    assert step(space, placed.order_hash).note == "capsule_wrong"
    failed(space, placed.order_hash, CloseReason.CAPSULE_WRONG)
    assert not kept_capsule(space, offered).exists()


def test_a_capsule_longer_than_published_is_not_taken(space: Space) -> None:
    offered = space.offered()
    placed, _ = space.opened(offered)
    space.release()
    with offered.offering.capsule.open("ab") as stream:
        stream.write(b"more")
    progress = step(space, placed.order_hash)
    assert progress.state == "opened"
    assert "more than the" in progress.note
    assert not kept_capsule(space, offered).exists()


def test_a_capsule_over_this_nodes_limit_is_not_fetched(space: Space) -> None:
    offered = space.offered()
    placed, _ = space.opened(offered)
    space.release()
    node = space.node("compute", settings={"max_capsule_bytes": 10})
    (progress,) = [one for one in node.work().progress if one.order_hash == placed.order_hash]
    assert progress.state == "opened"
    assert "max_capsule_bytes" in progress.note


# Shares


def forge(space: Space, offered: Offered, order: Digest, position: int = 0) -> None:
    """Custodian 1 releases another share than the one dealt to it."""
    custodian = space["custodian-1"]
    opened = space.uses(order)[position]
    secret = open_share(offered.shares[1], offered.deal, custodian.keystore.box)
    release = Release(
        chain_id=custodian.ledger.domain.chain_id,
        access=custodian.ledger.access.address,
        use=Digest(opened.use),
        deal=offered.deal.hash,
        index=1,
        share=bytes(16),
        blinding=secret.blinding,
    )
    custodian.ledger.access.release_share(opened.use, NOTHING, seal_release(release, opened.one_time_keys[1]))


def accusation(space: Space, order: Digest) -> Accusation:
    digest = closing(space, order).receipt_hash
    answer = space.world.client.get(f"http://compute.demo/v1/documents/accusation/{digest}")
    paper = Accusation.from_json(canonical.decode(answer.content))
    assert paper.hash == digest
    return paper


def test_a_wrong_share_is_accused_with_its_key(space: Space) -> None:
    offered = space.offered()
    placed, opened = space.opened(offered)
    forge(space, offered, placed.order_hash)
    space.release("provider", "custodian-2")
    assert step(space, placed.order_hash).note == "share_wrong"
    paper = accusation(space, placed.order_hash)
    assert (paper.use, paper.index, paper.holder) == (opened.use, 1, space["custodian-1"].account)
    assert paper.box_key.public == opened.one_time_keys[1]
    failed(space, placed.order_hash, CloseReason.SHARE_WRONG)


def test_shares_that_do_not_make_the_key_accuse_no_good_share(
    space: Space, grant: GrantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = space.ordered(grant).order_hash
    space["compute"].node.work()
    space.release()
    provider = space["provider"].account
    outcome = Refused(
        kind="share", reason="key", holder=provider, index=0, capsule=0, measurement=NOTHING, protected=True
    )
    monkeypatch.setattr(compute, "run", lambda *_, **__: outcome)
    assert step(space, order).note == "key_wrong"
    failed(space, order, CloseReason.KEY_WRONG)


@pytest.mark.parametrize(("kind", "reason"), [("share", "missing"), ("share", "wrong")])
def test_a_share_that_nobody_proved_wrong_accuses_nobody(
    space: Space, grant: GrantId, monkeypatch: pytest.MonkeyPatch, kind: str, reason: str
) -> None:
    order = space.ordered(grant).order_hash
    space["compute"].node.work()
    space.release()
    outcome = Refused(kind=kind, reason=reason, measurement=NOTHING, protected=True)
    monkeypatch.setattr(compute, "run", lambda *_, **__: outcome)
    assert step(space, order).note == "not_run"
    failed(space, order, CloseReason.NOT_RUN)


# Several grants


@pytest.fixture(scope="module")
def pair(space: Space) -> tuple[Offered, Offered]:
    """Two assets of two providers with the same custodians."""
    second = space.world.join("provider-2")
    space.world.admit(second, space.world.role("provider"))
    terms = {"uses_per_grant": 100, "uses_per_buyer": 100}
    return space.offered(**terms), space.offered("provider-2", **terms)


def ordered_pair(space: Space, pair: tuple[Offered, Offered]) -> tuple[Digest, tuple[GrantId, ...]]:
    grants = tuple(space.granted(offered, ALGORITHM_TWO, SQL_TWO) for offered in pair)
    order = space.ordered(*grants).order_hash
    space["compute"].node.work()
    return order, grants


def test_two_assets_of_two_providers_in_one_order(space: Space, pair: tuple[Offered, Offered]) -> None:
    order, grants = ordered_pair(space, pair)
    space.release("provider", "custodian-1", "custodian-2")
    assert step(space, order).state == "opened"
    space.release("provider-2")
    assert step(space, order) == Progress(order, "ended", "")
    collected = space["buyer"].node.ordering.collect(order)
    document = canonical.decode(collected.result)
    assert isinstance(document, dict)
    assert document["rows"] == [[780, 39]]
    assert collected.receipt.grants == grants
    assert collected.receipt.capsule_roots == tuple(offered.offering.capsule_root for offered in pair)
    assert {space["buyer"].ledger.access.use_of(opened.use).status for opened in space.uses(order)} == {
        UseStatus.COMPLETED
    }


def test_a_wrong_share_of_the_second_capsule_is_accused_there(space: Space, pair: tuple[Offered, Offered]) -> None:
    """The same custodian released a good share for the first capsule: that one is not accused."""
    order, _ = ordered_pair(space, pair)
    forge(space, pair[1], order, position=1)
    space.release("provider", "provider-2", "custodian-1", "custodian-2")
    assert step(space, order).note == "share_wrong"
    paper = accusation(space, order)
    second = space.uses(order)[1]
    assert paper.use == second.use
    assert paper.deal == pair[1].deal.hash
    assert paper.box_key.public == second.one_time_keys[1]


def test_one_use_of_an_order_that_expired_ends_its_run(space: Space, pair: tuple[Offered, Offered]) -> None:
    short = space.offered("provider-2", seconds_per_use=50)
    order, _ = ordered_pair(space, (pair[0], short))
    space.tick(60)
    space["regulator"].ledger.access.expire_use(space.uses(order)[1].use)
    assert step(space, order).note == "its use has ended on chain"


def test_one_capsule_released_and_the_other_refused_leaves_a_receipt(
    space: Space, pair: tuple[Offered, Offered], tmp_path: Path
) -> None:
    """The first key could have been rebuilt, so its use is to be accounted for."""
    order, _ = ordered_pair(space, pair)
    first, second = space.uses(order)
    space.release("provider", "custodian-1", "custodian-2")
    space["provider-2"].ledger.access.refuse_share(second.use, 14, NOTHING)
    assert step(space, order).note == "too_few_releases"
    failed(space, order, CloseReason.TOO_FEW_RELEASES)
    assert failure(space, order).uses == (first.use, second.use)
    assert "use-unclosed" not in audited(space, order, tmp_path)


# Closing


def test_a_refused_output_leaves_a_receipt_and_the_audit_finds_nothing(space: Space, tmp_path: Path) -> None:
    """A group of 40 rows where the policy asks for 1,000."""
    offered = space.offered(group_size=1000)
    placed, _ = space.opened(offered)
    space.release()
    assert step(space, placed.order_hash).note == "output_refused"
    failed(space, placed.order_hash, CloseReason.OUTPUT_REFUSED)
    assert audited(space, placed.order_hash, tmp_path) == set()


def test_a_result_that_the_chain_does_not_let_out_closes_failed_and_is_not_served(space: Space) -> None:
    """Two runs, rows left for one: the second result was computed before the first was counted."""
    offered = space.offered(rows_per_buyer=1, uses_per_grant=2)
    grant = space.granted(offered)
    orders = [space.ordered(grant).order_hash for _ in range(2)]
    space["compute"].node.work()
    space.release()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(space["compute"].ledger.access, "close_use", broken)
        for progress in space["compute"].node.work().progress:
            assert progress.state == "ran"
    notes = sorted(one.note for one in space["compute"].node.work().progress if one.order_hash in orders)
    assert notes[0] == ""
    assert "AccessRowsSpent" in notes[1]
    refused = next(order for order in orders if not closing(space, order).completed)
    failed(space, refused, CloseReason.OUTPUT_REFUSED)
    answer = space.world.client.get(f"http://compute.demo/v1/results/{refused}")
    assert answer.status_code == 404


def broken(*_: object) -> None:
    raise ChainUnreachableError("no answer")


def test_what_a_run_will_say_reads_back() -> None:
    for reason in CloseReason:
        closing = Closing(reason, Digest(bytes(range(32))), NOTHING, 7)
        assert Closing.decode(closing.encode()) == closing
