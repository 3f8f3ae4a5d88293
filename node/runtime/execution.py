"""One run in the confined process: open the capsules, run the algorithm, check the result, seal it for its buyer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import BinaryIO, Final

from capsule.algorithm import Algorithm, Parameters
from capsule.box import seal_to
from capsule.errors import InputError, VerificationError
from capsule.ids import Digest
from capsule.receipt import SourceVerdict, output_digest
from node.errors import RuntimeRefusedError
from node.runtime.determinism import check_deterministic
from node.runtime.engine import Answer, Engine
from node.runtime.guard import Bounds, result_document, verify_output
from node.runtime.intake import Intake, take_in
from node.runtime.module import check_module
from node.runtime.protocol import Completed, Job, Limits
from node.runtime.records import read_rows, write_input
from node.runtime.rules import under_policy
from node.runtime.sql import Statement, check, table_names
from node.runtime.wasm import run_module

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
    job: Job, streams: Sequence[BinaryIO], limits: Limits, measurement: Digest, *, protected: bool
) -> Completed:
    """Runs a job over its sealed capsules, in the job's order. Raises RuntimeRefusedError."""
    checked = check_algorithm(job.algorithm, job.code, job.parameters, len(job.capsules))
    ruled = tuple(under_policy(one, job.algorithm, measurement, job.level) for one in job.capsules)
    job = replace(job, capsules=ruled)
    bounds = Bounds(
        max_rows=_least(capsule.max_rows for capsule in job.capsules),
        rows_left=_least(capsule.rows_left for capsule in job.capsules),
        min_group=max(capsule.min_group for capsule in job.capsules),
    )
    if isinstance(checked, bytes):
        _check_declared(job)
    taken = take_in(job, streams)
    # a row more than may leave shows that there were too many
    most_rows = limits.output_bytes if bounds.most_rows is None else bounds.most_rows + 1
    if isinstance(checked, bytes):
        answer = _run_module(checked, job, taken, limits, most_rows)
    else:
        answer = _run_statement(checked, job, taken, limits, bounds.min_group, most_rows)
    document = result_document(verify_output(answer, job.algorithm, bounds), job.algorithm, job.result_salt)
    if len(document) > limits.output_bytes:
        raise RuntimeRefusedError("limits", "output")
    sealed = seal_to(job.result_key, document)
    return Completed(
        sealed_result=sealed,
        sealed_result_hash=Digest(hashlib.sha256(sealed).digest()),
        output_hash=output_digest(document, job.result_salt),
        rows_in=sum(one.table.num_rows for one in taken),
        rows_out=len(answer.rows),
        source=_source(taken),
        measurement=measurement,
        protected=protected,
    )


def _check_declared(job: Job) -> None:
    """What a module says of its groups nobody can check: each policy that asks for a size must take its word for it."""
    asking = [capsule for capsule in job.capsules if capsule.min_group > 1]
    if asking and (job.algorithm.group_column is None or not all(capsule.groups_declared for capsule in asking)):
        raise RuntimeRefusedError("algorithm", "groups")


def _run_statement(
    statement: Statement, job: Job, taken: Sequence[Intake], limits: Limits, min_group: int, most_rows: int
) -> Answer:
    tables = {name: one.table for names, one in zip(table_names(len(taken)), taken, strict=True) for name in names}
    # several threads add doubles in an order of their own
    threads = 1 if job.algorithm.deterministic else limits.threads
    engine = Engine(tables, memory_bytes=int(limits.memory_bytes * _ENGINE_SHARE), threads=threads)
    engine.check(statement, job.algorithm, min_group)
    return engine.run(statement, job.algorithm, job.parameters, most_rows=most_rows, most_bytes=limits.output_bytes)


def _run_module(module: bytes, job: Job, taken: Sequence[Intake], limits: Limits, most_rows: int) -> Answer:
    output = run_module(
        module,
        write_input([one.table for one in taken], job.algorithm, job.parameters),
        fuel=limits.fuel,
        memory_bytes=limits.memory_bytes,
        most_bytes=limits.output_bytes,
    )
    return read_rows(output, job.algorithm, most_rows)


def _least(bounds: Iterable[int | None]) -> int | None:
    return min((bound for bound in bounds if bound is not None), default=None)


def _source(taken: Sequence[Intake]) -> SourceVerdict:
    """Verified only where every capsule is; then over the rows of all."""
    if any(one.source.level != "verified" for one in taken):
        return SourceVerdict("declared")
    return SourceVerdict("verified", sum(one.source.verified for one in taken), sum(one.source.of for one in taken))
