"""Each term that the runtime enforces, alone: chain and holders let a use pass and released their shares, and the
compute node's process tells its runtime that everything may leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from capsule.algorithm import Column, ColumnType
from capsule.attestation import Level
from capsule.ids import Digest
from capsule.policy.offer import offer
from capsule.policy.vocabulary import OPERANDS, Label
from capsule.privacy import Epsilon, Privacy
from node.runtime.launch import run
from node.runtime.measurement import measure
from node.runtime.protocol import Job, Limits, Refused
from tests.node.runtime.world import Buyer, SealedFile, algorithm, job, seal_file

# Ten rows in groups of six, three and one.
TABLE = b"kind,value\n" + b"".join(b"%s,%d\n" % (kind, at) for at, kind in enumerate([b"a"] * 6 + [b"b"] * 3 + [b"c"]))
LARGE = "SELECT kind, count(*) AS n FROM readings WHERE kind = 'a' GROUP BY kind"
SMALL = "SELECT kind, count(*) AS n FROM readings GROUP BY kind ORDER BY kind"
OUTPUT = (Column("kind", ColumnType.TEXT), Column("n", ColumnType.INTEGER))
# A module that says of its one group that it has 99 members.
MODULE = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "dswasm1\\n\\01\\01\\00\\00\\00a\\01\\63\\00\\00\\00\\00\\00\\00\\00")
  (data (i32.const 0) "\\10\\00\\00\\00\\17\\00\\00\\00")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""
COUNT = "SELECT count(*) AS n FROM readings"
N = Column("n", ColumnType.INTEGER)
EPSILON = Epsilon.parse("0.5")
OTHER = Digest(bytes(range(32)))


@dataclass(frozen=True)
class Bench:
    """Where capsules are sealed, and where jobs over them run."""

    folder: Path
    limits: Limits
    buyer: Buyer

    def outcome(self, sql: str | bytes, said: dict[str, Any] | None = None, **terms: Any) -> object:
        """What the runtime makes of code over a fresh capsule under `terms`; `said`: what the compute node adds."""
        sealed = self.sealed(**terms)
        return run(self.job(sql, sealed, said or {}), [sealed.path], self.limits)

    def sealed(self, **terms: Any) -> SealedFile:
        count = len(list(self.folder.iterdir()))
        return seal_file(self.folder / f"{count}.dsc", TABLE, "text/csv", {}, **terms)

    def job(self, code: str | bytes, sealed: SealedFile, said: dict[str, Any]) -> Job:
        wide = sealed.input(max_rows=None, groups_declared=True)
        return job(self.buyer, [replace(wide, **said)], code, OUTPUT, group_column="n")

    def passes(self, code: str | bytes, **terms: Any) -> None:
        assert self.buyer.read(self.outcome(code, **terms))["rows"]

    def private(self, spends: Epsilon | None, said: dict[str, Any] | None = None, **terms: Any) -> object:
        """What it makes of a count with as much noise as `spends` asks for; None: without noise."""
        sealed = self.sealed(**terms)
        asked = job(self.buyer, [replace(sealed.input(), **(said or {}))], COUNT, (N,), group_column="n")
        privacy = None if spends is None else Privacy(epsilon=spends, count="n")
        return run(replace(asked, algorithm=replace(asked.algorithm, privacy=privacy)), [sealed.path], self.limits)

    def answers(self, spends: Epsilon, **terms: Any) -> None:
        assert self.buyer.read(self.private(spends, **terms))["rows"]

    def holds_back(self, kind: str, reason: str, spends: Epsilon | None, **terms: Any) -> None:
        outcome = self.private(spends, **terms)
        assert isinstance(outcome, Refused), outcome
        assert (outcome.kind, outcome.reason) == (kind, reason)

    def refuses(self, kind: str, reason: str, code: str | bytes, **terms: Any) -> None:
        outcome = self.outcome(code, **terms)
        assert isinstance(outcome, Refused), outcome
        assert (outcome.kind, outcome.reason) == (kind, reason)


@pytest.fixture
def bench(tmp_path: Path, limits: Limits, buyer: Buyer) -> Bench:
    return Bench(tmp_path, limits, buyer)


Trial = Callable[[Bench], None]
TRIALS: dict[str, Trial] = {}
# The word of a module is compared; that it is true is the module's word.
COMPARED = {"ds:declaredGroups"}


def tries(term: str) -> Callable[[Trial], Trial]:
    def keep(trial: Trial) -> Trial:
        TRIALS[term] = trial
        return trial

    return keep


def test_every_term_that_the_runtime_enforces_is_tried() -> None:
    assert set(TRIALS) == {term for term, one in OPERANDS.items() if Label.RUNTIME in one.label} | COMPARED


@pytest.mark.parametrize("term", TRIALS)
def test_the_runtime_alone_allows_and_forbids(bench: Bench, term: str) -> None:
    TRIALS[term](bench)


@tries("product")
def _(bench: Bench) -> None:
    listed = algorithm(LARGE, OUTPUT, group_column="n").hash
    bench.passes(LARGE, algorithms=[listed, OTHER])
    bench.refuses("algorithm", "product", SMALL, algorithms=[listed, OTHER])


@tries("ds:outputRows")
def _(bench: Bench) -> None:
    bench.passes(LARGE, output_rows=1)
    bench.refuses("guard", "rows", SMALL, output_rows=2)


@tries("ds:rowsPerBuyer")
def _(bench: Bench) -> None:
    """What was spent the compute node says; the whole budget the runtime knows."""
    bench.passes(LARGE, rows_per_buyer=1)
    bench.refuses("guard", "budget", SMALL, rows_per_buyer=2)
    bench.refuses("guard", "budget", SMALL, rows_per_buyer=9, said={"rows_left": 2})


@tries("ds:outputBytes")
def _(bench: Bench) -> None:
    bench.passes(SMALL, output_bytes=1_000)
    bench.refuses("guard", "bytes", SMALL, output_bytes=100)


@tries("ds:groupSize")
def _(bench: Bench) -> None:
    bench.passes(LARGE, group_size=4)
    bench.refuses("guard", "group", SMALL, group_size=2)
    bench.refuses("guard", "difference", LARGE, group_size=5)  # all rows less these are four
    bench.refuses("algorithm", "groups", "SELECT kind, value AS n FROM readings", group_size=2)


@tries("ds:suppressSmallGroups")
def _(bench: Bench) -> None:
    """The compute node may hold a whole result back where the policy leaves small groups out, never the other way."""
    said = {"suppress_groups": True}
    bench.passes(SMALL, group_size=2, suppress_small_groups=True, said=said)
    bench.refuses("guard", "group", SMALL, group_size=2, suppress_small_groups=True)
    bench.refuses("guard", "group", SMALL, group_size=2, said=said)


@tries("ds:groupsPerBuyer")
def _(bench: Bench) -> None:
    """As for rows: what was asked before the compute node says."""
    bench.passes(LARGE, groups_per_buyer=1)
    bench.refuses("guard", "group-budget", SMALL, groups_per_buyer=2)
    bench.refuses("guard", "group-budget", SMALL, groups_per_buyer=9, said={"groups_left": 2})


@tries("ds:epsilonPerUse")
def _(bench: Bench) -> None:
    bench.answers(EPSILON, epsilon_per_use=EPSILON)
    bench.holds_back("guard", "epsilon", EPSILON + Epsilon(1), epsilon_per_use=EPSILON)
    bench.holds_back("algorithm", "noiseless", None, epsilon_per_use=EPSILON)


@tries("ds:epsilonPerBuyer")
def _(bench: Bench) -> None:
    """What was spent before the compute node says."""
    bench.answers(EPSILON, epsilon_per_buyer=EPSILON)
    bench.holds_back("guard", "epsilon", EPSILON + Epsilon(1), epsilon_per_buyer=EPSILON)
    bench.holds_back("algorithm", "noiseless", None, epsilon_per_buyer=EPSILON)
    bench.holds_back(
        "guard", "epsilon", EPSILON, epsilon_per_buyer=EPSILON, said={"epsilon_left": Epsilon(EPSILON.millionths - 1)}
    )


@tries("ds:columns")
def _(bench: Bench) -> None:
    every = "SELECT kind, sum(value)::BIGINT AS n FROM readings GROUP BY kind"
    bench.passes(SMALL, columns=["kind", "other"])
    bench.passes(every, columns=["kind", "value"])
    for hidden in (every, "SELECT kind, max(r.value) AS n FROM readings r GROUP BY kind"):
        bench.refuses("algorithm", "failed", hidden, columns=["kind", "other"])
    bench.refuses("guard", "schema", "SELECT * FROM readings", columns=["kind"])
    bench.refuses("capsule", "columns", SMALL, columns=["other"])


@tries("ds:declaredGroups")
def _(bench: Bench) -> None:
    module = bytes(wasmtime.wat2wasm(MODULE))
    listed = algorithm(module, OUTPUT, group_column="n").hash
    bench.passes(module, group_size=99, declared_groups=True, algorithms=[listed])
    bench.refuses("guard", "group", module, group_size=100, declared_groups=True, algorithms=[listed])
    bench.refuses("algorithm", "groups", module, group_size=99, declared_groups=False, algorithms=[listed])
    bench.refuses("algorithm", "groups", module, group_size=99, algorithms=[listed])
    bench.refuses("algorithm", "groups", module, group_size=99, declared_groups=True)


@tries("ds:measurement")
def _(bench: Bench) -> None:
    bench.passes(LARGE, measurements=[measure(allow_unprotected=False).digest, OTHER])
    bench.refuses("runtime", "measurement", LARGE, measurements=[OTHER])


@tries("ds:attestation")
def _(bench: Bench) -> None:
    bench.passes(LARGE, attestation=[Level.SOFTWARE])
    bench.refuses("runtime", "attestation", LARGE, attestation=[Level.HARDWARE])


def test_a_wider_policy_than_the_pinned_one_opens_nothing(bench: Bench) -> None:
    """The compute node hands its runtime a policy of its own; the one that the capsule's header names is another."""
    sealed = bench.sealed(output_rows=2)
    wider = offer(asset=sealed.deal.asset, provider=sealed.deal.provider)
    for said in ({"policy": wider}, {"policy": {"@type": "Offer"}}, {"policy": None}):
        outcome = run(bench.job(SMALL, sealed, said), [sealed.path], bench.limits)
        assert isinstance(outcome, Refused), outcome
        assert (outcome.kind, outcome.reason) == ("capsule", "policy")


def test_a_compute_node_may_be_stricter_than_the_policy(bench: Bench) -> None:
    bench.refuses("guard", "rows", SMALL, said={"max_rows": 2}, output_rows=3)
    bench.refuses("guard", "group", SMALL, said={"min_group": 2}, group_size=1)
