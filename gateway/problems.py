"""Errors as RFC 9457 problem documents: the one table from error to status."""

from __future__ import annotations

from dataclasses import dataclass

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
    CallerError,
    ForbiddenError,
    ForkError,
    GatewayError,
    IncompleteError,
    MarkError,
    NotAnchoredError,
    NotFoundError,
    PeerError,
    StoreError,
    UnenrolledError,
)

__all__ = ["RETRY_AFTER_SECONDS", "TABLE", "Problem", "problem_of"]

RETRY_AFTER_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """`kind` is the last part of the problem's type; with `retry` the same call may succeed later."""

    kind: str
    status: int
    retry: bool = False


TABLE: tuple[tuple[type[Exception], Problem], ...] = (
    (NotFoundError, Problem("not-found", 404)),
    (ForbiddenError, Problem("forbidden", 403)),
    (IncompleteError, Problem("incomplete", 409)),
    (CallerError, Problem("input", 400)),
    (NotAnchoredError, Problem("not-anchored", 409, retry=True)),
    (ForkError, Problem("fork", 409)),
    (UnenrolledError, Problem("unenrolled", 403)),
    (MarkError, Problem("mark", 422)),
    (PeerError, Problem("peer", 502, retry=True)),
    (AnchorConflictError, Problem("anchor-conflict", 500)),
    (StoreError, Problem("store", 503, retry=True)),
    (GatewayError, Problem("failed", 500)),
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
