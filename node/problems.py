"""Errors as RFC 9457 problems: one table from error to status, and the exit status that a command ends with."""

from dataclasses import dataclass

from capsule.errors import CapsuleError, FormatError, InputError, OpenError, PolicyError, VerificationError
from contracts.errors import (
    ChainDisagreementError,
    ChainIntegrityError,
    ChainRefusedError,
    ChainUnreachableError,
    DeployError,
    HomeLockedError,
    LedgerError,
    PinMismatchError,
    RevertedError,
    TransactionPendingError,
)
from node.errors import (
    CallerError,
    HomeError,
    KeystoreError,
    NodeError,
    PassphraseError,
    PeerAnswerError,
    PeerUnreachableError,
    RefusedError,
    RuntimeRefusedError,
    UnknownError,
)

__all__ = ["Problem", "problem_of"]

Known = CapsuleError | LedgerError | NodeError


@dataclass(frozen=True, slots=True)
class Problem:
    """`status` is HTTP's, `exit_status` the command line's (2 wrong usage or input, 3 refused, 4 unreachable)."""

    title: str
    status: int
    exit_status: int


TABLE: tuple[tuple[type[Exception], Problem], ...] = (
    (UnknownError, Problem("unknown", 404, 2)),
    (PassphraseError, Problem("refused", 403, 3)),
    (HomeError, Problem("failed", 500, 2)),
    (KeystoreError, Problem("failed", 500, 2)),
    (CallerError, Problem("input", 400, 2)),
    (RefusedError, Problem("refused", 403, 3)),
    (RuntimeRefusedError, Problem("refused", 403, 3)),
    (PeerUnreachableError, Problem("unreachable", 502, 4)),
    (PeerAnswerError, Problem("refused", 409, 3)),
    (NodeError, Problem("failed", 500, 2)),
    (RevertedError, Problem("refused", 403, 3)),
    (ChainUnreachableError, Problem("unreachable", 503, 4)),
    (TransactionPendingError, Problem("unreachable", 503, 4)),
    (ChainDisagreementError, Problem("refused", 409, 3)),
    (ChainIntegrityError, Problem("refused", 409, 3)),
    (PinMismatchError, Problem("refused", 409, 3)),
    (HomeLockedError, Problem("input", 400, 2)),
    (ChainRefusedError, Problem("refused", 403, 3)),
    (DeployError, Problem("refused", 403, 3)),
    (LedgerError, Problem("unreachable", 503, 4)),
    (PolicyError, Problem("refused", 403, 3)),
    (OpenError, Problem("refused", 403, 3)),
    (VerificationError, Problem("refused", 403, 3)),
    (FormatError, Problem("input", 400, 2)),
    (InputError, Problem("input", 400, 2)),
    (CapsuleError, Problem("input", 400, 2)),
)


def problem_of(error: Exception) -> Problem | None:
    """The problem that an error of `capsule`, `contracts` or `node` is; None for any other."""
    return next((problem for kind, problem in TABLE if isinstance(error, kind)), None)
