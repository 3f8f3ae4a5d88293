"""What a compute node remembers of its answers: across grants, exactly once, sealed, and told in its log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from capsule import canonical
from capsule.digest import tagged
from capsule.ids import AssetId, Bytes32, Digest, GrantId
from capsule.oplog import Act, LogEntry
from capsule.privacy import NO_EPSILON, Epsilon
from node import compute
from node.answers import NO_ANSWERS, History, added, earlier, history_of
from node.closing import CloseReason
from node.runtime.members import read_members
from node.runtime.protocol import MAX_MEMBER_BYTES, Answered
from scripts.algorithm import sql_algorithm
from tests.node.space import Offered, Space
from tests.node.test_compute import UnpluggedError, audited, failed, rows, step, unplugged
from tests.node.test_dealing import again, confirm, plan_of

SQL = "SELECT sum(power) AS total, count(*) AS n FROM readings WHERE power < $below"
BELOW = sql_algorithm(SQL, ["total:integer", "n:integer"], ["below:integer"], "n")


def granted(space: Space, offered: Offered) -> GrantId:
    return space.granted(offered, BELOW, SQL)


def asked(space: Space, grant: GrantId, below: int) -> Digest:
    """An order for the sum below a threshold, opened, and released by all who must."""
    order = space["buyer"].node.ordering.place((grant,), {"below": below}, 600).order_hash
    space["compute"].node.work()
    space.release()
    return order


def history(space: Space, asset: AssetId) -> History:
    return history_of(space["compute"].node.context.store, space["buyer"].account, asset)


def verdicts(space: Space, order: Digest) -> list[tuple[str, Bytes32]]:
    """What the operation log says of an order: the guard's verdict, and the history after it."""
    store = space["compute"].node.context.store
    entries = [LogEntry.from_json(canonical.decode(row.entry)) for row in store.log_rows(0, store.log_head().size)]
    return [
        (entry.reason, entry.digests["answers"])
        for entry in entries
        if entry.act is Act.VERDICT and entry.subject == order
    ]


def test_two_queries_that_differ_by_one_row_are_told_apart_across_grants(space: Space, tmp_path: Path) -> None:
    offered = space.offered(group_size=5)
    first = asked(space, granted(space, offered), 20)
    assert step(space, first).note == ""
    assert rows(space, first) == [[190, 20]]
    before = history(space, offered.asset)
    assert (before.size, before.groups, before.epsilon) == (1, 1, NO_EPSILON)
    ((capsule, members),) = before.members
    assert capsule == offered.deal.capsule_id
    assert [list(group) for one in read_members(members) for group in one.groups] == [list(range(20))]
    ((verdict, answers),) = verdicts(space, first)
    assert (verdict, answers) == ("passed", tagged("answers", bytes(before.head)))

    second = asked(space, granted(space, offered), 21)
    assert step(space, second).note == "output_refused"
    failed(space, second, CloseReason.OUTPUT_REFUSED)
    assert verdicts(space, second) == [("guard/difference", NO_ANSWERS)]
    assert history(space, offered.asset) == before
    assert audited(space, second, tmp_path) == set()

    third = asked(space, granted(space, offered), 25)
    assert step(space, third).note == ""
    assert history(space, offered.asset).groups == 2
    assert verdicts(space, third)[0][1] == tagged("answers", bytes(history(space, offered.asset).head))
    assert audited(space, third, tmp_path) == set()


def test_another_capsule_and_another_asset_have_histories_of_their_own(space: Space) -> None:
    one, other = space.offered(group_size=5), space.offered(group_size=5)
    for offered, below in ((one, 20), (other, 21)):
        order = asked(space, granted(space, offered), below)
        assert step(space, order).note == ""
        assert rows(space, order)[0][1] == below
    assert earlier(history(space, one.asset), other.deal.capsule_id) == ()


def test_a_rebound_capsule_does_not_forget(space: Space) -> None:
    """The same rows under a new policy have a new root, and the old id."""
    custodians = ("custodian-1", "custodian-2", "custodian-3")
    before = space.offered(group_size=5)
    assert step(space, asked(space, granted(space, before), 20)).note == ""
    dealing = space["provider"].node.dealing
    confirm(space, dealing.open(before.asset, "a new policy"), *custodians)
    space.release(*custodians)
    policy = space.policy(before.asset, group_size=4)
    after = again(space, before, dealing.rebind(before.asset, policy, plan_of(space, *custodians)))
    assert after.deal.capsule_root != before.deal.capsule_root
    for name in custodians:
        space[name].node.work()
    order = asked(space, granted(space, after), 21)
    assert space.uses(order)[0].pin.capsule_root == after.deal.capsule_root
    assert step(space, order).note == "output_refused"
    assert verdicts(space, order) == [("guard/difference", NO_ANSWERS)]


def test_groups_are_a_budget_over_all_grants(space: Space) -> None:
    offered = space.offered(group_size=5, groups_per_buyer=2)
    for below in (10, 20):
        assert step(space, asked(space, granted(space, offered), below)).note == ""
    order = asked(space, granted(space, offered), 30)
    assert step(space, order).note == "output_refused"
    failed(space, order, CloseReason.OUTPUT_REFUSED)
    assert verdicts(space, order) == [("guard/group-budget", NO_ANSWERS)]
    assert history(space, offered.asset).groups == 2


def test_bytes_are_a_bound_of_one_result(space: Space) -> None:
    offered = space.offered(output_bytes=100)
    order = asked(space, granted(space, offered), 30)
    assert step(space, order).note == "output_refused"
    assert verdicts(space, order) == [("guard/bytes", NO_ANSWERS)]


def test_an_answer_counts_once_wherever_the_process_dies(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = space.offered(group_size=5)
    order = asked(space, granted(space, offered), 20)

    # before the outcome is recorded: nothing left this node, and nothing is remembered
    with monkeypatch.context() as patch:
        patch.setattr(compute.Compute, "_record", unplugged)
        with pytest.raises(UnpluggedError):
            space["compute"].node.work()
    space.restart("compute")
    assert history(space, offered.asset).size == 0

    # after it, and before the close
    with monkeypatch.context() as patch:
        patch.setattr(space["compute"].ledger.access, "close_use", unplugged)
        with pytest.raises(UnpluggedError):
            space["compute"].node.work()
    space.restart("compute")
    kept = history(space, offered.asset)
    assert (kept.size, kept.groups) == (1, 1)

    # closed on chain, and not recorded yet
    with monkeypatch.context() as patch:
        patch.setattr(compute.Compute, "_end", unplugged)
        with pytest.raises(UnpluggedError):
            space["compute"].node.work()
    space.restart("compute")
    assert step(space, order).note == ""
    assert rows(space, order) == [[190, 20]]
    assert history(space, offered.asset) == kept
    # the run that was lost said so too, of the same history
    assert len(set(verdicts(space, order))) == 1
    second = asked(space, granted(space, offered), 21)
    assert step(space, second).note == "output_refused"


def test_what_is_remembered_rests_sealed(space: Space) -> None:
    offered = space.offered(group_size=5)
    assert step(space, asked(space, granted(space, offered), 20)).note == ""
    (kept,) = space["compute"].node.context.store.answered(space["buyer"].account, offered.asset)
    ((_, members),) = history(space, offered.asset).members
    entry = space["compute"].node.context.store.opened(kept.sealed)
    assert entry.endswith(members)
    assert kept.head == str(tagged("answered", bytes(32) + entry))
    assert members not in kept.sealed
    assert offered.deal.capsule_id not in kept.sealed


def test_more_than_a_runtime_is_told_ends_a_use_with_its_reason(space: Space) -> None:
    offered = space.offered(group_size=5)
    store = space["compute"].node.context.store
    order = asked(space, granted(space, offered), 20)
    capsule: Any = type("Capsule", (), {"deal": offered.deal})()
    for number in (1, 2):
        full = Answered(groups=1, epsilon=Epsilon.parse("0.5"), members=bytes(MAX_MEMBER_BYTES // 2 + 1))
        kept, _ = added(store, Digest(bytes([number]) * 32), space["buyer"].account, [capsule], [full])
        store.save(*kept)
    told = history(space, offered.asset)
    assert (told.size, told.groups, told.epsilon) == (2, 2, Epsilon.parse("1"))
    assert step(space, order).note == "limit_reached"
    failed(space, order, CloseReason.LIMIT_REACHED)
    assert verdicts(space, order) == [("limits/history", NO_ANSWERS)]
    assert history(space, offered.asset) == told
