"""Re-execution: a regulator repeats a use with the parts that every use has, and compares receipts."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.findings import Finding
from audit.follow import rebuild
from audit.index import Index
from audit.papers import Papers
from audit.reexecution import Outcome, compare
from audit.rulebook import apply
from capsule import canonical
from capsule.algorithm import Algorithm, Parameters
from capsule.box import BoxKey, seal_to
from capsule.disclosure import PURPOSE as REPEAT
from capsule.disclosure import Disclosure, result_salt
from capsule.ids import Digest, UseId
from capsule.receipt import output_digest
from contracts.errors import RevertedError
from contracts.events import UseOpened
from contracts.roles import Role
from node.access import Narrowing
from node.compute import Compute
from node.errors import InputRefusedError, PeerAnswerError, RefusedError, UnknownError
from node.gathering import Gathered
from node.ordering import Placed
from node.reexecution import Attempt, Repeated
from node.runtime.protocol import Completed, Limits, Refused
from scripts.algorithm import sql_algorithm
from scripts.demo.inspection import NodeDocuments
from tests.node.space import CSV, PURPOSE, Offered, Space, build_space

SQL = "SELECT sum(power) * $factor AS total, avg(power) AS mean, count(*) AS n FROM readings"
COLUMNS = ["total:number", "mean:number", "n:integer"]
ALGORITHM = sql_algorithm(SQL, COLUMNS, ["factor:number"], "n", deterministic=True)
PARAMETERS = {"factor": 0.5}


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """A data space whose regulator may buy and compute."""
    with build_space(tmp_path_factory.mktemp("reexecution")) as space:
        regulator = space["regulator"]
        roles = Role.REGULATOR | Role.BUYER | Role.COMPUTE
        space.world.operator.participants.set_roles(regulator.account, roles)
        yield space


def offered(space: Space, *, let_in: bool = True, **terms: Any) -> Offered:
    """An asset whose policy lets the regulator repeat uses, or not."""
    if let_in:
        terms = {
            "purposes": [PURPOSE, REPEAT],
            "compute_nodes": [space["compute"].account, space["regulator"].account],
            "compute_by_buyer": True,
            **terms,
        }
    return space.offered(**terms)


def used(space: Space, asset: Offered, algorithm: Algorithm = ALGORITHM, sql: str = SQL) -> Placed:
    """A completed use of an asset, under a fresh grant."""
    grant = space.granted(asset, algorithm, sql)
    parameters = PARAMETERS if algorithm.parameters else {}
    placed = space["buyer"].node.ordering.place((grant,), parameters, 600)
    space["compute"].node.work()
    space.release()
    space["compute"].node.work()
    return placed


def first_use(space: Space, placed: Placed) -> UseOpened:
    return space.uses(placed.order_hash)[0]


def disclosed(space: Space, placed: Placed) -> bytes:
    return space["buyer"].node.ordering.disclose(placed.order_hash, space["regulator"].account)


def step(space: Space, placed: Placed, sealed: bytes | None = None, *, afresh: bool = False) -> Attempt:
    sealed = disclosed(space, placed) if sealed is None else sealed
    use = first_use(space, placed).use
    return space["regulator"].node.reexecution.step(use, sealed, REPEAT, 600, afresh=afresh)


def ordered(space: Space, placed: Placed) -> Digest:
    """Asks, is granted, orders, opens: up to where the holders decide."""
    asked = step(space, placed)
    assert asked.state == "requested"
    for request in asked.requests:
        space["provider"].node.access.grant(request, Narrowing())
    order = step(space, placed).order
    assert order is not None
    space["regulator"].node.work()
    return order


def repeated(space: Space, placed: Placed) -> Repeated:
    ordered(space, placed)
    space.release()
    space["regulator"].node.work()
    done = step(space, placed).repeated
    assert done is not None
    return done


def outcome(done: Repeated) -> Outcome:
    return compare(done.original.receipt, done.receipt.receipt, done.algorithm).outcome


def audited(space: Space, folder: Path) -> tuple[Finding, ...]:
    """What any auditor finds, after all have anchored their operation logs."""
    for member in space.world.members.values():
        member.node.log.anchor()
    path = folder / "audit.db"
    rebuild(space["regulator"].ledger, path, afresh=True)
    with contextlib.closing(Index.open(path)) as index:
        state = index.state()
        firm, tentative = apply(state, Papers(state, NodeDocuments(space.world.operator, space.world.client)))
    assert not tentative
    return firm


def requests(space: Space) -> int:
    view = space["regulator"].node.context.view
    view.refresh()
    return len(view.requests)


def files_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


class Liar(Compute):
    """Runs the algorithm for itself first, and gives the buyer another result under a receipt that fits it."""

    def _outcome(self, gathered: Gathered, limits: Limits) -> Completed | Refused:
        own = BoxKey.generate(self._context.entropy)
        job = replace(gathered.job, result_key=own.public)
        outcome = super()._outcome(replace(gathered, job=job), limits)
        assert isinstance(outcome, Completed)
        result = canonical.decode(own.open(outcome.sealed_result))
        assert isinstance(result, dict)
        result["rows"][0][0] += 1  # type: ignore[index,operator,call-overload]
        lie = canonical.encode(result)
        sealed = seal_to(gathered.job.result_key, lie)
        return replace(
            outcome,
            sealed_result=sealed,
            sealed_result_hash=Digest(hashlib.sha256(sealed).digest()),
            output_hash=output_digest(lie, gathered.job.result_salt),
        )


def test_honest_use_is_confirmed_and_the_chain_shows_it_as_a_use_of_its_own(space: Space, tmp_path: Path) -> None:
    asset = offered(space)
    placed = used(space, asset)
    done = repeated(space, placed)
    assert outcome(done) is Outcome.CONFIRMED
    again = done.receipt.receipt
    assert again.reexecutes == done.original.receipt.hash
    assert again.compute_node == space["regulator"].account
    # counted and decided as any other, for the regulator and not for the buyer
    access = space["regulator"].ledger.access
    assert access.counts_of(asset.asset, space["buyer"].account) == (1, 1, 2)
    assert access.counts_of(asset.asset, space["regulator"].account) == (1, 1, 2)
    view = space["regulator"].node.context.view
    assert sorted(view.releases[again.uses[0]]) == [0, 1, 2]
    # asked again, it says the same and opens nothing
    assert step(space, placed, afresh=True).repeated == done
    assert access.counts_of(asset.asset, space["regulator"].account) == (1, 1, 2)
    assert audited(space, tmp_path) == ()


def test_re_execution_leaves_neither_plaintext_nor_keys_nor_salts_with_the_regulator(space: Space) -> None:
    placed = used(space, offered(space))
    order = ordered(space, placed)
    regulator = space["regulator"].node.context
    salt = result_salt(space["buyer"].node.ordering.collect(placed.order_hash).result)
    keys = [regulator.store.secret(f"one-time/{order}/0/{holder}") for holder in range(4)]
    space.release()
    space["regulator"].node.work()
    assert step(space, placed).repeated
    assert [regulator.store.secret(f"one-time/{order}/0/{holder}") for holder in range(4)] == [None] * 4
    assert regulator.store.secret(f"repeat/{order}") is None
    # its answer goes to nobody, so it is none that anything is to be compared with
    (opened,) = regulator.view.uses_of(order)
    assert regulator.store.answered(space["regulator"].account, opened.pin.asset) == []
    assert list(regulator.home.folder("results").iterdir()) == []
    left = files_of(space["regulator"].home)
    assert all(key is not None and key not in left for key in keys)
    assert salt not in left
    assert CSV.splitlines()[-1] not in left


def test_close_that_is_not_final_yet_is_waited_for(space: Space) -> None:
    placed = used(space, offered(space))
    order = ordered(space, placed)
    space.release()
    space["regulator"].node.work()
    view = space["regulator"].node.context.view
    view.refresh()
    use = view.uses_of(order)[0].use
    closed = view.ended.pop(use)
    assert step(space, placed).state == "ran"
    view.ended[use] = closed
    assert step(space, placed).repeated


def test_compute_node_that_lied_is_found_by_re_execution_and_by_nothing_else(space: Space, tmp_path: Path) -> None:
    liar = space["compute"]
    honest, liar.node.compute = liar.node.compute, Liar(liar.node.context)
    try:
        placed = used(space, offered(space))
    finally:
        liar.node.compute = honest
    result = canonical.decode(space["buyer"].node.ordering.collect(placed.order_hash).result)
    assert isinstance(result, dict)
    assert result["rows"][0][0] == sum(range(40)) * 0.5 + 1  # type: ignore[index,call-overload]
    assert audited(space, tmp_path) == ()

    done = repeated(space, placed)
    comparison = compare(done.original.receipt, done.receipt.receipt, done.algorithm)
    assert (comparison.outcome, comparison.fields) == (Outcome.NOT_REPRODUCED, ("output",))
    (finding,) = audited(space, tmp_path)
    assert (finding.rule, finding.label, finding.accused) == ("result-not-reproduced", "attested", liar.account)
    assert finding.subject.id == str(first_use(space, placed).use)
    assert str(space["regulator"].account) in finding.message_en


def test_custodians_that_refuse_are_named_and_the_chain_shows_it(space: Space) -> None:
    placed = used(space, offered(space))
    order = ordered(space, placed)
    for name in ("custodian-1", "custodian-2"):
        assert not space.node(name, settings={"releases_per_day": 0}).work().decided[0].released
    space["regulator"].node.work()
    with pytest.raises(RefusedError) as refused:
        step(space, placed)
    view = space["regulator"].node.context.view
    use = view.uses_of(order)[0].use
    for member in space.world.custodians[:2]:
        assert f"custodian {member.account} refused (own_limit)" in str(refused.value)
        assert member.account in {one.holder for one in view.refusals[use].values()}
    assert "failed" not in str(refused.value)
    # later, where they let it through, it goes on with the same grant
    assert step(space, placed, afresh=True).state == "ordered"
    space["regulator"].node.work()
    space.release()
    space["regulator"].node.work()
    done = step(space, placed).repeated
    assert done is not None
    assert outcome(done) is Outcome.CONFIRMED


def test_provider_that_denies_is_named_until_asked_afresh(space: Space) -> None:
    placed = used(space, offered(space))
    (request,) = step(space, placed).requests
    space["provider"].node.access.deny(request, 7)
    for _ in range(2):
        with pytest.raises(RefusedError, match=f"{space['provider'].account} denied request {request} with reason 7"):
            step(space, placed)
    again = step(space, placed, afresh=True)
    assert again.state == "requested"
    assert again.requests != (request,)
    assert step(space, placed).requests == again.requests


def test_policy_that_does_not_let_the_regulator_in_stops_it_at_the_request(space: Space) -> None:
    placed = used(space, offered(space, let_in=False))
    before = requests(space)
    with pytest.raises(RevertedError, match="AccessPurposeNotAllowed"):
        step(space, placed)
    placed = used(space, offered(space, compute_by_buyer=False))
    with pytest.raises(RevertedError, match="AccessComputeNodeInvolved"):
        step(space, placed)
    assert requests(space) == before + 1  # the buyer's own


def test_algorithm_that_claims_nothing_is_not_repeated_and_nobody_is_asked(space: Space) -> None:
    plain = replace(ALGORITHM, deterministic=False)
    placed = used(space, offered(space), plain)
    before = requests(space)
    with pytest.raises(RefusedError, match="does not claim to be deterministic"):
        step(space, placed)
    assert requests(space) == before


def test_order_of_an_algorithm_that_can_not_keep_its_claim_is_not_taken(space: Space) -> None:
    sql = "SELECT power AS total, count(*) AS n FROM readings GROUP BY power"
    claimed = sql_algorithm(sql, ["total:integer", "n:integer"], (), "n", deterministic=True)
    grant = space.granted(offered(space), claimed, sql)
    with pytest.raises(PeerAnswerError, match="deterministic"):
        space["buyer"].node.ordering.place((grant,), {}, 600)
    assert space["compute"].ledger.access.grant_of(grant).used == 0


def test_newer_version_changes_nothing_the_use_is_repeated_on_its_own(space: Space) -> None:
    asset = offered(space)
    placed = used(space, asset)
    newer = space.seal(asset.asset, space.policy(asset.asset), CSV.replace(b",39", b",40"))
    space["provider"].node.catalogue.finish(newer.capsule_root)
    assert space["regulator"].node.context.ledger.assets.asset_of(asset.asset).versions == 2
    done = repeated(space, placed)
    assert outcome(done) is Outcome.CONFIRMED
    assert done.receipt.receipt.capsule_roots == (asset.offering.capsule_root,)


def test_asset_that_was_retired_can_not_be_repeated(space: Space) -> None:
    asset = offered(space)
    placed = used(space, asset)
    space["provider"].node.catalogue.retire(asset.asset, "no longer offered")
    with pytest.raises(RevertedError, match="AccessAssetRetired"):
        step(space, placed)


def test_spent_budget_is_told_as_the_chain_tells_it(space: Space) -> None:
    asset = offered(space, uses_per_buyer=1)
    placed = used(space, asset)
    step(space, placed)
    (request,) = step(space, placed).requests
    space["provider"].node.access.grant(request, Narrowing(rows=0))
    step(space, placed)
    space["regulator"].node.work()
    with pytest.raises(RefusedError, match="AccessRowsSpent"):
        step(space, placed)


def test_disclosure_that_does_not_hold_is_the_buyers_and_accuses_nobody(space: Space) -> None:
    placed = used(space, offered(space))
    true = Disclosure.from_bytes(space["regulator"].keystore.box.open(disclosed(space, placed)))
    before = requests(space)
    lies = {
        "another order": replace(true, order_hash=Digest(bytes(32))),
        "parameters are not": replace(true, parameters=Parameters({"factor": 2}, true.parameters.salt)),
        "result is not": replace(true, result=true.result.replace(b"[[", b"[[1", 1)),
        "result is none": replace(true, result=b"{}"),
    }
    for reason, lie in lies.items():
        sealed = seal_to(space["regulator"].keystore.box.public, lie.to_bytes())
        with pytest.raises(InputRefusedError, match=reason):
            step(space, placed, sealed)
    for_another = space["buyer"].node.ordering.disclose(placed.order_hash, space["custodian-1"].account)
    for unreadable in (for_another, b"", seal_to(space["regulator"].keystore.box.public, b"[]")):
        with pytest.raises(InputRefusedError, match="can't be read"):
            step(space, placed, unreadable)
    assert requests(space) == before


def test_only_a_regulator_re_executes_and_only_completed_uses(space: Space) -> None:
    placed = used(space, offered(space))
    sealed = space["buyer"].node.ordering.disclose(placed.order_hash, space["compute"].account)
    use = first_use(space, placed).use
    with pytest.raises(RefusedError, match="only an active regulator's"):
        space["compute"].node.reexecution.step(use, sealed, REPEAT, 600, afresh=False)
    with pytest.raises(UnknownError):
        space["regulator"].node.reexecution.step(UseId(bytes(32)), sealed, REPEAT, 600, afresh=False)
    opened = space.opened(space.offered())[1]
    with pytest.raises(RefusedError, match="was not closed as completed"):
        space["regulator"].node.reexecution.step(opened.use, sealed, REPEAT, 600, afresh=False)


def test_two_capsules_are_repeated_under_two_grants(space: Space) -> None:
    sql = "SELECT sum(a.power) AS total FROM readings_1 a JOIN readings_2 b ON a.power = b.power"
    both = sql_algorithm(sql, ["total:integer"], deterministic=True)
    assets = [offered(space), offered(space)]
    grants = [space.granted(asset, both, sql) for asset in assets]
    placed = space["buyer"].node.ordering.place(tuple(grants), {}, 600)
    space["compute"].node.work()
    space.release()
    space["compute"].node.work()
    done = repeated(space, placed)
    assert outcome(done) is Outcome.CONFIRMED
    assert len(done.uses) == len(done.receipt.receipt.uses) == 2
