"""The meet of policies: what data derived from several assets may be used for.

Invariant: the meet lets nothing through that one of the policies stops, and it is commutative and idempotent.
"""

from __future__ import annotations

from itertools import product

from capsule.errors import PolicyError
from capsule.policy.bounds import ANY_NAME, Names, intersection
from capsule.policy.scope import Box, Scope

__all__ = ["conflicts", "meet", "recipients_blur"]


def meet(one: Scope, other: Scope) -> Scope:
    """What both let through.

    Raises PolicyError naming the term on which they have nothing in common, or whose common part can't be told.
    """
    boxes: list[Box] = []
    reasons: list[PolicyError] = []
    for first, second in product(one.boxes, other.boxes):
        try:
            boxes.append(_meet(first, second))
        except PolicyError as reason:
            reasons.append(reason)
    if reasons and not boxes:
        raise min(reasons, key=str)
    if not boxes:
        raise PolicyError("permission", "one of the policies permits nothing")
    return Scope.of(boxes, profiled=one.profiled or other.profiled)


def conflicts(one: Box, other: Box) -> tuple[str, ...]:
    """The terms on which two boxes certainly have nothing in common."""
    blur = {"recipient"} if recipients_blur(one, other) else set()
    return tuple(
        term
        for term, first, second in one.beside(other)
        if term not in blur and intersection(term, first, second).empty
    )


def recipients_blur(one: Box, other: Box) -> bool:
    """Whether recipients may overlap in a way that their names don't tell: an account holds roles, or two."""
    first, second = (box.bound("recipient", ANY_NAME) for box in (one, other))
    if not (isinstance(first, Names) and isinstance(second, Names)) or first.allowed is None or second.allowed is None:
        return False
    rest = product(first.allowed - second.allowed, second.allowed - first.allowed)
    return any(name.startswith("role:") for pair in rest for name in pair)


def _meet(one: Box, other: Box) -> Box:
    if recipients_blur(one, other):
        raise PolicyError("recipient", "accounts of one policy may hold roles of the other; name the same in both")
    for term in conflicts(one, other):
        raise PolicyError(term, "the policies have nothing in common")
    return Box.of(
        {term: intersection(term, first, second) for term, first, second in one.beside(other)},
        one.extras | other.extras,
    )
