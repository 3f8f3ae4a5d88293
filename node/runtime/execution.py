"""One run in the confined process: open the capsules, run the statement, check the result, seal it for its buyer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import BinaryIO, Final

from capsule.box import seal_to
from capsule.errors import InputError, VerificationError
from capsule.ids import Digest
from capsule.receipt import SourceVerdict, output_digest
from node.errors import RuntimeRefusedError
from node.runtime.determinism import check_deterministic
from node.runtime.engine import Engine
from node.runtime.guard import Bounds, result_document, verify_output
from node.runtime.intake import Intake, take_in
from node.runtime.protocol import Completed, Job, Limits
from node.runtime.sql import Statement, check, table_names

__all__ = ["check_algorithm", "execute"]

# The engine's part of the memory limit; the rest holds ciphertext, plaintext, the table and the result.
_ENGINE_SHARE: Final = 0.5


def check_algorithm(job: Job) -> Statement:
    """What can be refused before any key is touched: the code's digest, the parameters, and the text of the statement.

    Raises RuntimeRefusedError of kind "algorithm". A compute node calls it too, before it asks for shares.
    """
    try:
        text = job.algorithm.verify_code(job.code).decode()
    except (VerificationError, UnicodeDecodeError):
        raise RuntimeRefusedError("algorithm", "code") from None
    try:
        job.algorithm.accept(job.parameters)
    except InputError:
        raise RuntimeRefusedError("algorithm", "parameter") from None
    names = [name for capsule in table_names(len(job.capsules)) for name in capsule]
    statement = check(text, names)
    if statement.parameters != set(job.parameters.values):
        raise RuntimeRefusedError("algorithm", "parameter")
    return check_deterministic(statement, job.algorithm)


def execute(
    job: Job, streams: Sequence[BinaryIO], limits: Limits, measurement: Digest, *, protected: bool
) -> Completed:
    """Runs a job over its sealed capsules, in the job's order. Raises RuntimeRefusedError."""
    statement = check_algorithm(job)
    taken = take_in(job, streams)
    bounds = Bounds(
        max_rows=_least(capsule.max_rows for capsule in job.capsules),
        rows_left=_least(capsule.rows_left for capsule in job.capsules),
        min_group=max(capsule.min_group for capsule in job.capsules),
    )
    tables = {name: one.table for names, one in zip(table_names(len(taken)), taken, strict=True) for name in names}
    # several threads add doubles in an order of their own
    threads = 1 if job.algorithm.deterministic else limits.threads
    engine = Engine(tables, memory_bytes=int(limits.memory_bytes * _ENGINE_SHARE), threads=threads)
    engine.check(statement, job.algorithm, bounds.min_group)
    # a row more than may leave shows that there were too many
    most_rows = limits.output_bytes if bounds.most_rows is None else bounds.most_rows + 1
    answer = engine.run(statement, job.algorithm, job.parameters, most_rows=most_rows, most_bytes=limits.output_bytes)
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


def _least(bounds: Iterable[int | None]) -> int | None:
    return min((bound for bound in bounds if bound is not None), default=None)


def _source(taken: Sequence[Intake]) -> SourceVerdict:
    """Verified only where every capsule is; then over the rows of all."""
    if any(one.source.level != "verified" for one in taken):
        return SourceVerdict("declared")
    return SourceVerdict("verified", sum(one.source.verified for one in taken), sum(one.source.of for one in taken))
