"""A re-execution against the receipt that it repeats: pure, from two receipts and the algorithm's manifest.

Invariant: nobody is accused unless both runs claim the same deterministic algorithm, parameters, capsules and runtime,
so that only one of the two can be true. Which one is, rests on the word of the regulator that repeated: the finding
is `attested`, and names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from audit.findings import Finding, Subject, found
from capsule.algorithm import Algorithm
from capsule.errors import VerificationError
from capsule.ids import UseId
from capsule.receipt import Receipt

__all__ = ["RULE", "Comparison", "Outcome", "compare", "not_reproduced"]

RULE: Final = "result-not-reproduced"


class Outcome(StrEnum):
    """What a re-execution says of a receipt."""

    CONFIRMED = "confirmed"
    NOT_REPRODUCED = "not-reproduced"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Comparison:
    """`fields` are those in which the receipts differ. UNDECIDED: they do, under runtimes that differ too."""

    original: Receipt
    repeated: Receipt
    outcome: Outcome
    fields: tuple[str, ...]


def compare(original: Receipt, repeated: Receipt, algorithm: Algorithm) -> Comparison:
    """Holds a re-execution's receipt against the one that it repeats; both signatures were verified.

    Raises VerificationError where it is no re-execution of that run, or the algorithm is not one to be repeated.
    """
    same = {
        "receipt": (repeated.reexecutes, original.hash),
        "algorithm": (repeated.algorithm, original.algorithm),
        "manifest": (algorithm.hash, original.algorithm),
        "parameters": (repeated.parameters, original.parameters),
        "capsule roots": (repeated.capsule_roots, original.capsule_roots),
        "failure": (repeated.failure, ""),
        "failure of the original": (original.failure, ""),
    }
    other = [name for name, (stated, known) in same.items() if stated != known]
    if other:
        raise VerificationError("it is no re-execution of this receipt", f"other {', '.join(other)}")
    if not algorithm.deterministic:
        raise VerificationError("the algorithm does not claim to be deterministic", f"algorithm {algorithm.hash}")
    outputs = {
        "output": (original.output, repeated.output),
        "rows_in": (original.rows_in, repeated.rows_in),
        "rows_out": (original.rows_out, repeated.rows_out),
        "source": (original.source, repeated.source),
    }
    fields = tuple(name for name, (stated, known) in outputs.items() if stated != known)
    outcome = Outcome.CONFIRMED
    if fields:
        same_runtime = original.measurement == repeated.measurement
        outcome = Outcome.NOT_REPRODUCED if same_runtime else Outcome.UNDECIDED
    return Comparison(original, repeated, outcome, fields)


def not_reproduced(comparison: Comparison, use: UseId) -> Finding:
    """The finding of a comparison that is NOT_REPRODUCED, against the compute node of the use."""
    original, repeated = comparison.original, comparison.repeated
    return found(
        RULE,
        Subject("use", str(use)),
        original.compute_node,
        compute_node=original.compute_node,
        regulator=repeated.compute_node,
        fields=", ".join(comparison.fields),
        receipt=original.hash,
        reexecution=repeated.hash,
        stated=original.output,
        reproduced=repeated.output,
    )
