"""What a policy says about a request in a state of the world: a report for each rule, and the decision.

Invariants: a permission is active only if all its premises are certain and its duties done; a prohibition is active
unless one of its premises is certainly not met. So what is missing or unclear never opens anything. Nothing but an
active permission permits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, StrEnum

from capsule.policy.actions import includes
from capsule.policy.model import Condition, Conflict, Constraint, DutyState, Policy, Request, Rule, RuleKind, World
from capsule.policy.values import State, Value, belongs, both, compare, exactly_one, iri, one_of, within
from capsule.policy.vocabulary import ANY_BUYER

__all__ = [
    "Activation",
    "ConditionReport",
    "Decision",
    "DutyMode",
    "DutyReport",
    "PolicyReport",
    "RuleReport",
    "evaluate",
]


class DutyMode(Enum):
    """What a permission needs of its duties. NOT_VIOLATED is the published test suite's; enforce with FULFILLED."""

    FULFILLED = 1
    NOT_VIOLATED = 2


class Activation(StrEnum):
    """Whether a rule is in force for the request."""

    ACTIVE = "Active"
    INACTIVE = "Inactive"


class Decision(StrEnum):
    """What follows. Only PERMITTED lets anything through; CONFLICT: the policy is void (ODRL 2.2, section 2.10)."""

    PERMITTED = "permitted"
    PROHIBITED = "prohibited"
    NOT_PERMITTED = "not permitted"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class ConditionReport:
    """Whether a constraint holds. `given`: what its left operand was found to be; `parts` of a logical one."""

    condition: Condition
    state: State
    given: tuple[Value, ...] = ()
    parts: tuple[ConditionReport, ...] = ()


@dataclass(frozen=True, slots=True)
class DutyReport:
    """What is known of a duty."""

    rule: Rule
    state: DutyState


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule of the policy that the request attempted; None where the rule does not say."""

    rule: Rule
    request_rule: str
    target: State | None
    party: State | None
    action: State | None
    conditions: tuple[ConditionReport, ...]
    refinements: tuple[ConditionReport, ...]
    duties: tuple[DutyReport, ...]
    activation: Activation


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """The reports of permissions and prohibitions, the policy's obligations, and what follows."""

    policy: Policy
    request: Request
    rules: tuple[RuleReport, ...]
    obligations: tuple[DutyReport, ...]
    decision: Decision


def evaluate(policy: Policy, request: Request, world: World, *, duties: DutyMode = DutyMode.FULFILLED) -> PolicyReport:
    """Judges a request. What the world knows goes before what the request claims; who asks is who receives.

    A permission of our profile that names no recipient is for buyers.
    """
    rules = tuple(
        _rule(_profiled(rule, policy), request, world, duties)
        for rule in policy.rules
        if rule.kind is not RuleKind.OBLIGATION
    )
    obligations = tuple(_duty(rule, world) for rule in policy.rules_of(RuleKind.OBLIGATION))
    return PolicyReport(policy, request, rules, obligations, _decide(policy.conflict, rules))


def _decide(conflict: Conflict, rules: Iterable[RuleReport]) -> Decision:
    active = {report.rule.kind for report in rules if report.activation is Activation.ACTIVE}
    if RuleKind.PERMISSION not in active:
        return Decision.PROHIBITED if RuleKind.PROHIBITION in active else Decision.NOT_PERMITTED
    if RuleKind.PROHIBITION not in active or conflict is Conflict.PERM:
        return Decision.PERMITTED
    return Decision.PROHIBITED if conflict is Conflict.PROHIBIT else Decision.CONFLICT


def _profiled(rule: Rule, policy: Policy) -> Rule:
    named = any(
        isinstance(each, Constraint) and each.left == "recipient" and each.operator in {"eq", "isAnyOf"}
        for each in rule.together()
    )
    if named or rule.assignees or not policy.profiled or rule.kind is not RuleKind.PERMISSION:
        return rule
    buyers = Constraint("", "recipient", "isAnyOf", (iri(ANY_BUYER),))
    return replace(rule, constraints=(*rule.constraints, buyers))


def _rule(rule: Rule, request: Request, world: World, mode: DutyMode) -> RuleReport:
    target = _member(rule.targets, request.target, world)
    party = _member(rule.assignees, request.assignee, world)
    action, refinements = _action(rule, request, world)
    conditions = tuple(_condition(each, request, world) for each in rule.constraints)
    duties = tuple(_duty(each, world) for each in rule.duties)
    premises = both(
        (
            *(state for state in (target, party, action) if state is not None),
            *(report.state for report in conditions),
        )
    )
    if rule.kind is RuleKind.PROHIBITION:
        active = premises is not State.UNSATISFIED
    else:
        active = premises is State.SATISFIED and all(_done(report, mode) for report in duties)
    activation = Activation.ACTIVE if active else Activation.INACTIVE
    return RuleReport(rule, request.rule, target, party, action, conditions, refinements, duties, activation)


def _member(named: tuple[str, ...], asked: str | None, world: World) -> State | None:
    """Collections are closed: who is not known to be a member is none."""
    if not named:
        return None
    if asked is None:
        return State.UNKNOWN
    return State.SATISFIED if any(within(asked, each, world.parts) for each in named) else State.UNSATISFIED


def _action(rule: Rule, request: Request, world: World) -> tuple[State | None, tuple[ConditionReport, ...]]:
    if not rule.actions:
        return None, ()
    states = []
    reports: list[ConditionReport] = []
    for action in rule.actions:
        refinements = tuple(_condition(each, request, world) for each in action.refinements)
        reports.extend(refinements)
        states.append(both((_asked(rule, action.name, request.action), *(report.state for report in refinements))))
    return one_of(states), tuple(reports)


def _asked(rule: Rule, named: str, asked: str | None) -> State:
    """Who asks for more than the rule is about may or may not mean it; a declared rule binds only what is asked for."""
    if asked is not None and includes(named, asked):
        return State.SATISFIED
    broader = asked is None or includes(asked, named)
    return State.UNKNOWN if broader and not rule.declared else State.UNSATISFIED


def _condition(condition: Condition, request: Request, world: World) -> ConditionReport:
    if isinstance(condition, Constraint):
        given = world.facts.get(condition.left) or request.claims.get(condition.left) or ()
        if condition.unit is not None:
            return ConditionReport(condition, State.UNKNOWN, given)
        if condition.left == "recipient":
            given = given or (() if request.assignee is None else (iri(request.assignee),))
            return ConditionReport(condition, belongs(given, condition.operator, condition.right, world.parts), given)
        state = compare(given, condition.operator, condition.right, world.parts, world.kinds)
        return ConditionReport(condition, state, given)
    parts = tuple(_condition(each, request, world) for each in condition.parts)
    join = {"and": both, "or": one_of, "xone": exactly_one}[condition.operator]
    return ConditionReport(condition, join(part.state for part in parts), (), parts)


def _duty(rule: Rule, world: World) -> DutyReport:
    return DutyReport(rule, world.duties.get(rule.id, DutyState.NON_SET))


def _done(report: DutyReport, mode: DutyMode) -> bool:
    if mode is DutyMode.NOT_VIOLATED:
        return report.state is not DutyState.VIOLATED
    return report.state is DutyState.FULFILLED
