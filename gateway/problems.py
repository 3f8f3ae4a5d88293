"""Errors as RFC 9457 problem documents: the one table from error to status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from capsule.errors import CapsuleError, FormatError, InputError, VerificationError
from contracts.errors import (
    ChainDisagreementError,
    ChainIntegrityError,
    ChainUnreachableError,
    LedgerError,
    PinMismatchError,
    RevertedError,
)
from gateway.errors import (
    AnchorConflictError,
    BehindError,
    CallerError,
    EnrolmentPendingError,
    ForbiddenError,
    ForkError,
    GatewayError,
    IncompleteError,
    MarkError,
    NotAnchoredError,
    NotFoundError,
    PeerError,
    RoleError,
    StoppingError,
    StoreError,
    StoreFullError,
    UncheckedError,
    UnenrolledError,
)

__all__ = [
    "FAILED",
    "PROBLEM_TYPE",
    "RETRY_AFTER_SECONDS",
    "TABLE",
    "Problem",
    "describe",
    "problem_of",
    "retry_after",
]

PROBLEM_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """`kind` is the last part of the problem's type; with `retry` the same call may succeed later."""

    kind: str
    status: int
    retry: bool = False


FAILED: Final = Problem("failed", 500)
"""This gateway's own failure."""

TABLE: tuple[tuple[type[Exception], Problem], ...] = (
    (NotFoundError, Problem("not-found", 404)),
    (ForbiddenError, Problem("forbidden", 403)),
    (IncompleteError, Problem("incomplete", 409)),
    (CallerError, Problem("input", 400)),
    (EnrolmentPendingError, Problem("pending", 503, retry=True)),
    (NotAnchoredError, Problem("not-anchored", 409, retry=True)),
    (ForkError, Problem("fork", 409)),
    (UnenrolledError, Problem("unenrolled", 403)),
    (MarkError, Problem("mark", 422)),
    (PeerError, Problem("peer", 502, retry=True)),
    (RoleError, Problem("role", 503, retry=True)),
    (UncheckedError, Problem("unchecked", 503, retry=True)),
    (AnchorConflictError, Problem("anchor-conflict", 500)),
    (BehindError, Problem("behind", 429, retry=True)),
    (StoppingError, Problem("stopping", 503, retry=True)),
    (StoreFullError, Problem("disk-full", 507, retry=True)),
    (StoreError, Problem("store", 503, retry=True)),
    (GatewayError, FAILED),
    (VerificationError, Problem("verification", 403)),
    (FormatError, Problem("malformed", 400)),
    (InputError, Problem("input", 400)),
    (CapsuleError, Problem("input", 400)),
    (RevertedError, Problem("refused-by-chain", 403)),
    (ChainDisagreementError, Problem("chain-disagreement", 502)),
    (ChainIntegrityError, Problem("chain-integrity", 502)),
    (PinMismatchError, Problem("pin-mismatch", 502)),
    (ChainUnreachableError, Problem("chain-unreachable", 503, retry=True)),
    (LedgerError, Problem("chain", 502)),
)


def problem_of(error: Exception) -> Problem | None:
    """The problem that an error of `capsule`, `contracts` or this package is; None for any other."""
    return next((problem for kind, problem in TABLE if isinstance(error, kind)), None)


def retry_after(error: Exception) -> int | None:
    """Seconds after which the same call may succeed; None where no retry helps."""
    if isinstance(error, BehindError):
        return error.retry_after
    problem = problem_of(error)
    return RETRY_AFTER_SECONDS if problem is not None and problem.retry else None


def describe(problem: Problem, detail: str) -> Mapping[str, str | int]:
    """The members of a problem document (RFC 9457)."""
    return {
        "type": f"urn:dataspace:problem:{problem.kind}",
        "title": problem.kind.replace("-", " "),
        "status": problem.status,
        "detail": detail,
    }
