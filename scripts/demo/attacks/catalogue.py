"""The attacks by name, and what it means to be caught: stopped at a step by somebody, or found by a rule of the
audit.
"""

from collections.abc import Callable
from dataclasses import dataclass

from audit.findings import Finding
from capsule.errors import CapsuleError
from contracts.errors import LedgerError, RevertedError
from gateway.errors import GatewayError
from node.errors import NodeError
from scripts.demo.trip import Trip

__all__ = ["Attack", "Caught", "Stopped", "UnseenError", "found", "stopped"]


@dataclass(frozen=True, slots=True)
class Stopped:
    """At which step of the trip, by whom, and for which reason."""

    step: int
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class Caught:
    """One of the two is there."""

    stopped_at: Stopped | None = None
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class Attack:
    """`run` takes a fresh trip, is dishonest once, and says how it was caught; it raises UnseenError otherwise."""

    name: str
    group: str
    english: str
    chinese: str
    run: Callable[[Trip], Caught]


class UnseenError(Exception):
    """An attack went through, or was stopped for a reason that is not its own."""


def stopped(step: int, who: str, reason: str, act: Callable[[], object]) -> Caught:
    """Runs `act`, which must be refused for `reason`: a custom error's name, or part of the refusal's sentence."""
    try:
        act()
    except RevertedError as error:
        if error.name != reason:
            raise UnseenError(f"refused with {error.name}, not {reason}") from error
        return Caught(Stopped(step, who, str(error)))
    except (CapsuleError, LedgerError, NodeError, GatewayError) as error:
        if reason not in f"{type(error).__name__}: {error}":
            raise UnseenError(f"refused for another reason than {reason}: {error}") from error
        return Caught(Stopped(step, who, str(error)))
    raise UnseenError(f"nobody refused; expected {reason}")


def found(trip: Trip, *rules: str) -> Caught:
    """Audits the trip, which must have findings of exactly these rules; the first rule's is told."""
    findings = trip.audit().findings
    broken = {finding.rule for finding in findings}
    if broken != set(rules):
        raise UnseenError(f"the audit found {', '.join(sorted(broken)) or 'nothing'}, not {', '.join(rules)}")
    return Caught(finding=next(finding for finding in findings if finding.rule == rules[0]))
