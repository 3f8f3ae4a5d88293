"""How two policies relate, term by term and as a whole; what can't be told is said to be undecided, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from capsule.policy.bounds import Bound, intersection, is_within
from capsule.policy.meet import conflicts, recipients_blur
from capsule.policy.model import Condition, Constraint, Logical, Rule
from capsule.policy.scope import Box, Extra, Scope

__all__ = ["Comparison", "Relation", "TermRelation", "compare_scopes"]


class Relation(StrEnum):
    """What the first lets through, against the second.

    NARROWER: nothing but what the second does. CONFLICT: nothing that the second does. OVERLAPPING: some of it.
    """

    EQUAL = "equal"
    NARROWER = "narrower"
    WIDER = "wider"
    OVERLAPPING = "overlapping"
    CONFLICT = "conflict"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class TermRelation:
    """One term's relation; None where a policy does not restrict it."""

    term: str
    relation: Relation
    first: Bound | Extra | None
    second: Bound | Extra | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The relation as a whole, and of each term where both policies have one permission."""

    relation: Relation
    terms: tuple[TermRelation, ...]


def compare_scopes(one: Scope, other: Scope) -> Comparison:
    """Compares what two policies let through, whatever they let it through for: targets and assigners don't count."""
    terms: tuple[TermRelation, ...] = ()
    if len(one.boxes) == len(other.boxes) == 1:
        (first,), (second,) = one.boxes, other.boxes
        terms = (*_bounds(first, second), *_extras(first, second))
    return Comparison(_whole(one, other), terms)


def _whole(one: Scope, other: Scope) -> Relation:
    forth, back = (
        all(any(box.within(wide) for wide in wider.boxes) for box in narrower.boxes)
        for narrower, wider in ((one, other), (other, one))
    )
    if forth or back:
        return _either(forth, back)
    if all(conflicts(first, second) for first, second in product(one.boxes, other.boxes)):
        return Relation.CONFLICT
    if len(one.boxes) == len(other.boxes) == 1:
        (first,), (second,) = one.boxes, other.boxes
        if _reaches_outside(first, second) and _reaches_outside(second, first):
            return Relation.OVERLAPPING
    return Relation.UNDECIDED


def _reaches_outside(one: Box, other: Box) -> bool:
    """Whether it is certain that the first lets something through that the second stops.

    Only where both have the same extras, and these don't speak of the term in question.
    """
    if one.extras != other.extras:
        return False
    spoken = {name for extra in one.extras for name in _operands(extra)}
    blur = {"recipient"} if recipients_blur(one, other) else set()
    return any(not is_within(first, second) and term not in spoken | blur for term, first, second in one.beside(other))


def _operands(extra: Extra) -> Iterable[str]:
    if isinstance(extra, Constraint):
        yield extra.left
    else:
        conditions: tuple[Condition, ...]
        if isinstance(extra, Logical):
            conditions = extra.parts
        else:
            yield from ("action", "assignee", "recipient", "target")
            conditions = (*extra.constraints, *(each for action in extra.actions for each in action.refinements))
        for each in conditions:
            yield from _operands(each)


def _bounds(one: Box, other: Box) -> Iterable[TermRelation]:
    mine, theirs = dict(one.bounds), dict(other.bounds)
    for term, first, second in one.beside(other):
        forth, back = is_within(first, second), is_within(second, first)
        if forth or back:
            relation = _either(forth, back)
        elif term == "recipient" and recipients_blur(one, other):
            relation = Relation.UNDECIDED
        elif intersection(term, first, second).empty:
            relation = Relation.CONFLICT
        else:
            relation = Relation.OVERLAPPING
        yield TermRelation(term, relation, mine.get(term), theirs.get(term))


def _extras(one: Box, other: Box) -> Iterable[TermRelation]:
    """A condition that only one policy has narrows that one, as far as the other's conditions don't imply it."""
    named: Callable[[Extra], str] = lambda extra: _term(extra) + repr(extra)  # noqa: E731
    for extra in sorted(one.extras | other.extras, key=named):
        mine, theirs = extra in one.extras, extra in other.extras
        relation = Relation.EQUAL if mine and theirs else Relation.NARROWER if mine else Relation.WIDER
        yield TermRelation(_term(extra), relation, extra if mine else None, extra if theirs else None)


def _term(extra: Extra) -> str:
    if isinstance(extra, Constraint):
        return extra.left
    if isinstance(extra, Rule):
        return " ".join((extra.kind, *(action.name for action in extra.actions)))
    return extra.operator


def _either(forth: bool, back: bool) -> Relation:
    if forth and back:
        return Relation.EQUAL
    return Relation.NARROWER if forth else Relation.WIDER
