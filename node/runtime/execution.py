"""One run in the confined process: open the capsules, run the algorithm, check the result, seal it for its buyer."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import BinaryIO, Final

from capsule.algorithm import Algorithm, Parameters
from capsule.box import seal_to
from capsule.errors import InputError, VerificationError
from capsule.ids import AssetId, Digest
from capsule.privacy import Privacy
from capsule.receipt import SourceVerdict, output_digest
from node.errors import GuardError, RuntimeRefusedError
from node.runtime.determinism import check_deterministic
from node.runtime.difference import check_difference, partitions_of, suppressed
from node.runtime.engine import Answer, Counted, Engine
from node.runtime.guard import Bounds, least, result_document, verify_bytes, verify_output, verify_spending
from node.runtime.intake import Intake, take_in
from node.runtime.members import Partition, free_name, read_members, with_numbers, write_members
from node.runtime.module import check_module
from node.runtime.noise import Noise, add_noise
from node.runtime.protocol import MAX_MEMBER_BYTES, Answered, Completed, Job, Limits
from node.runtime.records import read_rows, write_input
from node.runtime.rules import under_policy
from node.runtime.sql import Statement, check, table_names

__all__ = ["check_algorithm", "execute"]

# The engine's part of the memory limit; the rest holds ciphertext, plaintext, the table and the result.
_ENGINE_SHARE: Final = 0.5


def check_algorithm(algorithm: Algorithm, code: bytes, parameters: Parameters, capsules: int) -> Statement | bytes:
    """What can be refused before any key is touched: the code's digest, the parameters, and what the code asks for.

    Returns what runs: a SQL statement, or a module. Raises RuntimeRefusedError, most often of kind "algorithm". A
    compute node calls it too, before it asks for shares.
    """
    try:
        algorithm.verify_code(code)
    except VerificationError:
        raise RuntimeRefusedError("algorithm", "code") from None
    try:
        algorithm.accept(parameters)
    except InputError:
        raise RuntimeRefusedError("algorithm", "parameter") from None
    if algorithm.kind == "wasm":
        return check_module(code)
    try:
        text = code.decode()
    except UnicodeDecodeError:
        raise RuntimeRefusedError("algorithm", "code") from None
    statement = check(text, [name for names in table_names(capsules) for name in names])
    if statement.parameters != set(parameters.values):
        raise RuntimeRefusedError("algorithm", "parameter")
    return check_deterministic(statement, algorithm)


def execute(
    job: Job,
    streams: Sequence[BinaryIO],
    limits: Limits,
    measurement: Digest,
    *,
    protected: bool,
    noise: Noise | None = None,
) -> Completed:
    """Runs a job over its sealed capsules, in the job's order; a private algorithm needs `noise`.

    Raises RuntimeRefusedError.
    """
    checked = check_algorithm(job.algorithm, job.code, job.parameters, len(job.capsules))
    ruled = tuple(under_policy(one, job.algorithm, measurement, job.level) for one in job.capsules)
    job = replace(job, capsules=ruled)
    bounds = Bounds(
        max_rows=least(capsule.max_rows for capsule in job.capsules),
        rows_left=least(capsule.rows_left for capsule in job.capsules),
        min_group=max(capsule.min_group for capsule in job.capsules),
        max_bytes=least(capsule.max_bytes for capsule in job.capsules),
        # left out only where every policy that would hold the whole result back says so
        suppress_groups=all(one.suppress_groups for one in job.capsules if one.min_group > 1),
        most_epsilon=least(most for one in job.capsules for most in (one.epsilon_per_use, one.epsilon_left)),
    )
    verify_spending(job.algorithm, bounds)
    if isinstance(checked, bytes):
        _check_declared(job)
    taken = take_in(job, streams)
    # a row more than may leave shows that there were too many
    most_rows = limits.output_bytes if bounds.most_rows is None else bounds.most_rows + 1
    if isinstance(checked, bytes):
        answer = verify_output(_run_module(checked, job, taken, limits, most_rows), job.algorithm, bounds)
        answered = tuple(Answered(groups=max(1, len(answer.rows))) for _ in job.capsules)
    elif job.algorithm.privacy is not None:
        answer = _private(checked, job, taken, limits, job.algorithm.privacy, noise, bounds)
        spent = job.algorithm.epsilon
        answered = tuple(Answered(groups=max(1, len(answer.rows)), epsilon=spent) for _ in job.capsules)
    elif bounds.min_group > 1:
        answer, answered = _counted(checked, job, taken, limits, bounds)
    else:
        engine = _engine(job, taken, limits, row=None)
        engine.check(checked, job.algorithm, bounds.min_group)
        answer = engine.run(checked, job.algorithm, job.parameters, most_rows=most_rows, most_bytes=limits.output_bytes)
        verify_output(answer, job.algorithm, bounds)
        answered = tuple(Answered(groups=max(1, len(answer.rows))) for _ in job.capsules)
    _check_budgets(job, answered)
    document = verify_bytes(result_document(answer, job.algorithm, job.result_salt), bounds)
    if len(document) > limits.output_bytes:
        raise RuntimeRefusedError("limits", "output")
    sealed = seal_to(job.result_key, document)
    return Completed(
        sealed_result=sealed,
        sealed_result_hash=Digest(hashlib.sha256(sealed).digest()),
        output_hash=output_digest(document, job.result_salt),
        rows_in=sum(one.table.num_rows for one in taken),
        rows_out=len(answer.rows),
        answered=answered,
        source=_source(taken),
        measurement=measurement,
        protected=protected,
    )


def _check_declared(job: Job) -> None:
    """What a module says of its groups nobody can check: each policy that asks for a size must take its word for it."""
    asking = [capsule for capsule in job.capsules if capsule.min_group > 1]
    if asking and (job.algorithm.group_column is None or not all(capsule.groups_declared for capsule in asking)):
        raise RuntimeRefusedError("algorithm", "groups")


def _engine(job: Job, taken: Sequence[Intake], limits: Limits, *, row: str | None) -> Engine:
    tables = {name: one.table for names, one in zip(table_names(len(taken)), taken, strict=True) for name in names}
    if row is not None:
        tables = {name: with_numbers(table, row) for name, table in tables.items()}
    # several threads add doubles in an order of their own
    threads = 1 if job.algorithm.deterministic else limits.threads
    private = job.algorithm.privacy is not None
    memory = int(limits.memory_bytes * _ENGINE_SHARE)
    return Engine(tables, memory_bytes=memory, threads=threads, row=row, private=private)


def _private(
    statement: Statement,
    job: Job,
    taken: Sequence[Intake],
    limits: Limits,
    privacy: Privacy,
    noise: Noise | None,
    bounds: Bounds,
) -> Answer:
    """Runs what stands for a private statement, and gives its answer noise."""
    if noise is None:
        raise InputError("a private algorithm runs with noise")
    if bounds.min_group > 1 and job.algorithm.group_column is None:
        raise RuntimeRefusedError("algorithm", "groups")
    engine = _engine(job, taken, limits, row=None)
    # no bound of what leaves is a bound of the exact groups: to run into one would tell of them
    most = limits.memory_bytes
    exact = engine.run(
        engine.exact(statement, job.algorithm), job.algorithm, job.parameters, most_rows=most, most_bytes=most
    )
    answer = add_noise(exact, job.algorithm, privacy, noise, bounds.min_group)
    return verify_output(answer, job.algorithm, bounds)


def _counted(
    statement: Statement, job: Job, taken: Sequence[Intake], limits: Limits, bounds: Bounds
) -> tuple[Answer, tuple[Answered, ...]]:
    """Runs a statement whose groups are counted, and checks them against what the buyer was told before."""
    row = free_name(statement.text, [one.table for one in taken])
    engine = _engine(job, taken, limits, row=row)
    engine.check(statement, job.algorithm, bounds.min_group)
    whole = bounds.most_rows is None or bounds.suppress_groups
    counted = engine.count(
        statement,
        job.algorithm,
        job.parameters,
        most_rows=limits.output_bytes if whole else (bounds.most_rows or 0) + 1,
        most_bytes=limits.output_bytes,
    )
    short: frozenset[str] = frozenset()
    if bounds.suppress_groups:
        told = suppressed(counted, bounds.min_group)
        counted, short = told.counted, told.short
    verify_output(counted.answer, job.algorithm, bounds)
    return counted.answer, _verified_differences(job, taken, counted, short, bounds.min_group)


def _verified_differences(
    job: Job, taken: Sequence[Intake], counted: Counted, short: Collection[str], least: int
) -> tuple[Answered, ...]:
    """What each capsule's part of a result stood for; GuardError ("difference") where it singles out a few rows.

    Capsules of one id have the same rows, in whatever place of the job and under whatever root they stand.
    """
    by_table = partitions_of(counted)
    names = table_names(len(taken))
    told = [tuple(each for name in tables for each in by_table.get(name, ())) for tables in names]
    earlier: dict[bytes, list[Partition]] = {}
    for capsule in job.capsules:
        kept = earlier.setdefault(capsule.deal.capsule_id, [])
        kept += [each for members in capsule.earlier for each in read_members(members)]
    answered = []
    for place, capsule in enumerate(job.capsules):
        same = [at for at, one in enumerate(job.capsules) if one.deal.capsule_id == capsule.deal.capsule_id]
        known = earlier[capsule.deal.capsule_id]
        if place == same[0]:
            check_difference([each for at in same for each in told[at]], known, taken[place].table.num_rows, least)
        keys = {each.key for each in known}
        members = write_members([each for each in told[place] if each.key not in keys])
        if len(members) > MAX_MEMBER_BYTES // len(job.capsules):
            raise RuntimeRefusedError("limits", "history")
        groups = sum(len(each.groups) for each in told[place]) + any(name in short for name in names[place])
        answered.append(Answered(groups=max(1, groups), members=members))
    return tuple(answered)


def _check_budgets(job: Job, answered: Sequence[Answered]) -> None:
    """GuardError ("group-budget") where a buyer would have asked for more groups of an asset than it may."""
    asked: dict[AssetId, int] = {}
    for capsule, one in zip(job.capsules, answered, strict=True):
        asset = capsule.deal.asset
        asked[asset] = asked.get(asset, 0) + one.groups
        if capsule.groups_left is not None and asked[asset] > capsule.groups_left:
            raise GuardError("group-budget")


def _run_module(module: bytes, job: Job, taken: Sequence[Intake], limits: Limits, most_rows: int) -> Answer:
    # its engine costs the start of every run, and few need it: loaded before the process is shut in
    from node.runtime.wasm import run_module  # noqa: PLC0415

    output = run_module(
        module,
        write_input([one.table for one in taken], job.algorithm, job.parameters),
        fuel=limits.fuel,
        memory_bytes=limits.memory_bytes,
        most_bytes=limits.output_bytes,
    )
    return read_rows(output, job.algorithm, most_rows)


def _source(taken: Sequence[Intake]) -> SourceVerdict:
    """Verified only where every capsule is; then over the rows of all."""
    if any(one.source.level != "verified" for one in taken):
        return SourceVerdict("declared")
    return SourceVerdict("verified", sum(one.source.verified for one in taken), sum(one.source.of for one in taken))
