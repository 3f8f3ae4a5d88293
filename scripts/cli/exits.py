"""Every error of every package, and the exit status that a command ends with."""

import audit.errors as audit
import gateway.errors as gateway
from capsule.errors import CapsuleError
from contracts.errors import LedgerError
from node.errors import NodeError
from node.problems import problem_of

__all__ = [
    "EXIT_FINDINGS",
    "EXIT_INPUT",
    "EXIT_REFUSED",
    "EXIT_UNREACHABLE",
    "KNOWN_ERRORS",
    "exit_status",
]

EXIT_FINDINGS = 1
EXIT_INPUT = 2
EXIT_REFUSED = 3
EXIT_UNREACHABLE = 4

KNOWN_ERRORS = (CapsuleError, LedgerError, NodeError, gateway.GatewayError, audit.AuditError)

_TABLE: tuple[tuple[type[Exception], int], ...] = (
    (gateway.PeerUnreachableError, EXIT_UNREACHABLE),
    (gateway.CallerError, EXIT_INPUT),
    (gateway.StoreError, EXIT_INPUT),
    (gateway.GatewayError, EXIT_REFUSED),
    (audit.FinalityError, EXIT_REFUSED),
    (audit.DocumentError, EXIT_UNREACHABLE),
    (audit.BundleError, EXIT_REFUSED),
    (audit.AuditError, EXIT_INPUT),
)


def exit_status(error: Exception) -> int:
    """2 wrong usage or input, 3 refused, 4 chain or peer unreachable."""
    problem = problem_of(error)
    if problem is not None:
        return problem.exit_status
    return next((status for kind, status in _TABLE if isinstance(error, kind)), EXIT_INPUT)
