"""What a policy lets through, as boxes: bounds of each term, and what does not reduce to bounds.

A box is one permission. It lets through what is within all its bounds and meets all its extras: constraints that are
no interval or set, duties, prohibitions, obligations. Invariant: extras only ever narrow a box, so what is proven from
bounds and common extras holds. Target and assigner are not part of it: a scope says what may be done, not with what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Final, TypeAlias

from capsule.errors import InputError, PolicyError
from capsule.ids import Digest
from capsule.policy.actions import PARENTS, includes, under
from capsule.policy.bounds import ANY_NAME, Bound, Names, Span, intersection, is_within
from capsule.policy.document import ACCOUNT_PREFIX, parse_account
from capsule.policy.model import Action, Condition, Conflict, Constraint, Logical, Policy, Rule, RuleKind
from capsule.policy.values import Kind
from capsule.policy.vocabulary import ANY_BUYER, OPERANDS, Operand, Shape
from capsule.policy.vocabulary import Value as Measure

__all__ = ["ALLOWING_FLAGS", "MAX_PERMISSIONS", "Box", "Extra", "Scope", "scope_of"]

Extra: TypeAlias = Condition | Rule

# Flags that open something; without them it is closed.
ALLOWING_FLAGS: Final = frozenset(
    (
        "ds:automaticGrant",
        "ds:computeByBuyer",
        "ds:computeByCustodian",
        "ds:declaredGroups",
        "ds:suppressSmallGroups",
    )
)

MAX_PERMISSIONS: Final = 16
_CLOSED: Final = Span(Kind.BOOLEAN, high=Decimal(0))
_KINDS: Final = MappingProxyType(
    {
        Measure.TIME: Kind.TIME,
        Measure.DURATION: Kind.DURATION,
        Measure.COUNT: Kind.NUMBER,
        Measure.EPSILON: Kind.NUMBER,
        Measure.BOOLEAN: Kind.BOOLEAN,
    }
)


@dataclass(frozen=True, slots=True)
class Box:
    """One permission: bounds by term, sorted, and what else must hold."""

    bounds: tuple[tuple[str, Bound], ...]
    extras: frozenset[Extra]

    @staticmethod
    def of(bounds: Mapping[str, Bound], extras: Iterable[Extra]) -> Box:
        """A box without the bounds that say nothing. PolicyError for a bound that leaves nothing."""
        for term, bound in bounds.items():
            if bound.empty:
                raise PolicyError(term, "leaves nothing")
        said = {term: bound for term, bound in bounds.items() if bound != _unsaid(term, bound)}
        return Box(tuple(sorted(said.items(), key=lambda item: item[0])), frozenset(extras))

    def bound(self, term: str, like: Bound) -> Bound:
        """The bound of a term; where the box does not say, what that means, as a bound `like` the given one."""
        return dict(self.bounds).get(term) or _unsaid(term, like)

    def beside(self, other: Box) -> tuple[tuple[str, Bound, Bound], ...]:
        """The bounds of both boxes on each term that either has a bound on."""
        mine, theirs = dict(self.bounds), dict(other.bounds)
        return tuple(
            (
                term,
                mine.get(term) or self.bound(term, theirs[term]),
                theirs.get(term) or other.bound(term, mine[term]),
            )
            for term in sorted(mine.keys() | theirs.keys())
        )

    def within(self, other: Box) -> bool:
        """Whether it is certain that the other box lets all of this one through."""
        return other.extras <= self.extras and all(is_within(one, two) for _, one, two in self.beside(other))


@dataclass(frozen=True, slots=True)
class Scope:
    """The union of its boxes; none of them lets through nothing. `profiled` when the policy names our profile."""

    boxes: frozenset[Box]
    profiled: bool

    @staticmethod
    def of(boxes: Iterable[Box], *, profiled: bool) -> Scope:
        """A scope without the boxes that lie within another."""
        kept: list[Box] = []
        for box in sorted(set(boxes), key=repr):
            if not any(box.within(other) for other in kept):
                kept = [other for other in kept if not other.within(box)] + [box]
        return Scope(frozenset(kept), profiled)


def scope_of(policy: Policy) -> Scope:
    """The scope of a policy; PolicyError names a term that leaves nothing."""
    permissions = policy.rules_of(RuleKind.PERMISSION)
    if len(permissions) > MAX_PERMISSIONS:
        raise PolicyError("permission", f"more than {MAX_PERMISSIONS} are not compared")
    targets = {rule.targets for rule in permissions}
    closed: set[str] = set()
    extras: set[Extra] = {_anonymous_rule(rule) for rule in policy.rules_of(RuleKind.OBLIGATION)}
    for rule in () if policy.conflict is Conflict.PERM else policy.rules_of(RuleKind.PROHIBITION):
        everywhere = not rule.targets or targets == {rule.targets}
        if rule.declared or rule.constraints or not everywhere or rule.assignees or not _plain_actions(rule):
            extras.add(_anonymous_rule(replace(rule, targets=()) if everywhere else rule))
        else:
            for name in [action.name for action in rule.actions] or list(PARENTS):
                closed |= {each for each in PARENTS if includes(name, each) or includes(each, name)}
    boxes = (_box(rule, policy.profiled, extras, closed, with_target=len(targets) > 1) for rule in permissions)
    return Scope.of((box for box in boxes if box is not None), profiled=policy.profiled)


def _box(rule: Rule, profiled: bool, extras: set[Extra], closed: set[str], *, with_target: bool) -> Box | None:
    own: set[Extra] = {*extras, *map(_anonymous_rule, rule.duties)}
    bounds: dict[str, Bound] = {}
    for constraint in rule.together():
        found = _bound(constraint)
        if found is None:
            own.add(_anonymous(constraint))
        else:
            term, bound = found
            bounds[term] = intersection(term, bounds.get(term, bound), bound)
    refined = [action for action in rule.actions if action.refinements]
    if refined:
        own.add(replace(_anonymous_rule(rule), constraints=(), targets=(), assignees=(), assigners=(), duties=()))
    open_actions = frozenset().union(*(under(action.name) for action in rule.actions)) or frozenset(PARENTS)
    if not open_actions - closed:
        return None
    if rule.actions or closed:
        bounds["action"] = Names(open_actions - closed)
    if with_target and rule.targets:
        bounds["target"] = Names(frozenset(rule.targets))
    assignees = frozenset(_account(name) for name in rule.assignees)
    if profiled:
        asked = bounds.get("recipient", Names(assignees or frozenset((ANY_BUYER,))))
        bounds["recipient"] = intersection("recipient", asked, Names(assignees)) if assignees else asked
    elif assignees:
        bounds["assignee"] = Names(assignees)
    return Box.of(bounds, own)


def _unsaid(term: str, like: Bound) -> Bound:
    if term in ALLOWING_FLAGS:
        return _CLOSED
    return Span(like.kind) if isinstance(like, Span) else ANY_NAME


def _bound(condition: Condition) -> tuple[str, Bound] | None:
    """A constraint as a bound of its term, None where it is none."""
    if isinstance(condition, Logical) or condition.unit is not None:
        return None
    operand = OPERANDS.get(condition.left)
    kind = Kind.NAME if operand is None else _KINDS.get(operand.value, Kind.NAME)
    if any(value.kind is not kind for value in condition.right) or (operand is None and not condition.declared):
        return None
    bound = _names(condition, operand) if kind is Kind.NAME else _span(condition, operand, kind)
    return None if bound is None else (condition.left, bound)


def _names(constraint: Constraint, operand: Operand | None) -> Names | None:
    read = _CANONICAL.get(operand.value, str) if operand else str
    names = frozenset(read(value.text) for value in constraint.right)
    if constraint.operator in {"eq", "isAnyOf"}:
        return Names(names)
    # An account that is not named may still hold a role that is.
    if constraint.operator in {"neq", "isNoneOf"} and constraint.left != "recipient":
        return Names(None, names)
    return None


def _span(constraint: Constraint, operand: Operand | None, kind: Kind) -> Span | None:
    measure = constraint.right[0].measure
    if len(constraint.right) != 1 or measure is None:
        return None
    if operand is not None and operand.shape is Shape.FLAG:
        return _flag(constraint, measure)
    counted = kind is Kind.NUMBER and (operand is None or operand.value is Measure.COUNT)
    whole = counted and measure == measure.to_integral_value()
    make = _SPANS.get(constraint.operator)
    return None if make is None else make(kind, measure, whole)


def _flag(constraint: Constraint, measure: Decimal) -> Span | None:
    """A flag demands what it is true of, or opens it: false demands nothing, and opens nothing."""
    if constraint.operator != "eq":
        return None
    if constraint.left in ALLOWING_FLAGS:
        return Span(Kind.BOOLEAN) if measure else _CLOSED
    return Span(Kind.BOOLEAN, low=Decimal(1)) if measure else Span(Kind.BOOLEAN)


def _below(kind: Kind, measure: Decimal, whole: bool) -> Span:
    """Counts are whole: below 4 is at most 3."""
    return Span(kind, high=measure - 1) if whole else Span(kind, high=measure, high_open=True)


def _above(kind: Kind, measure: Decimal, whole: bool) -> Span:
    return Span(kind, low=measure + 1) if whole else Span(kind, low=measure, low_open=True)


_SPANS: Final = MappingProxyType[str, Callable[[Kind, Decimal, bool], Span]](
    {
        "eq": lambda kind, measure, _: Span(kind, low=measure, high=measure),
        "lteq": lambda kind, measure, _: Span(kind, high=measure),
        "gteq": lambda kind, measure, _: Span(kind, low=measure),
        "lt": _below,
        "gt": _above,
    }
)


def _account(text: str) -> str:
    """One spelling for each account; what is none stays as it is."""
    try:
        return f"{ACCOUNT_PREFIX}{parse_account(text, 'recipient')}"
    except PolicyError:
        return text


def _digest(text: str) -> str:
    try:
        return str(Digest.parse(text))
    except InputError:
        return text


_CANONICAL: Final = MappingProxyType[Measure, Callable[[str], str]](
    {Measure.RECIPIENT: _account, Measure.ACCOUNT: _account, Measure.DIGEST: _digest}
)


def _plain_actions(rule: Rule) -> bool:
    return not any(action.refinements for action in rule.actions)


def _anonymous(condition: Condition) -> Condition:
    """Without ids, and in one order, so that what means the same is equal."""
    if isinstance(condition, Constraint):
        return replace(condition, id="", right=tuple(sorted(condition.right, key=repr)))
    return Logical("", condition.operator, tuple(sorted(map(_anonymous, condition.parts), key=repr)))


def _anonymous_rule(rule: Rule) -> Rule:
    return replace(
        rule,
        id="",
        actions=tuple(
            sorted(
                (
                    Action(each.name, tuple(sorted(map(_anonymous, each.refinements), key=repr)))
                    for each in rule.actions
                ),
                key=repr,
            )
        ),
        targets=tuple(sorted(rule.targets)),
        assigners=(),
        assignees=tuple(sorted(rule.assignees)),
        constraints=tuple(sorted(map(_anonymous, rule.constraints), key=repr)),
        duties=tuple(sorted(map(_anonymous_rule, rule.duties), key=repr)),
    )


def _anonymous_action(action: Action) -> Action:
    return replace(action, refinements=tuple(sorted(map(_anonymous, action.refinements), key=repr)))
