"""ODRL 2.2 as values: policies with their rules, requests, and the state of the world that they are judged by.

Invariants: names of ODRL and of our profile are short ("read", "ds:columns"), all others are full IRIs. What a rule
does not name (action, target, assignee) is any. Constraints of a rule hold together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

from capsule.policy.values import Value

__all__ = [
    "Action",
    "Condition",
    "Conflict",
    "Constraint",
    "DutyState",
    "Logical",
    "Policy",
    "Request",
    "Rule",
    "RuleKind",
    "World",
]


class RuleKind(StrEnum):
    """What a rule does. A DUTY is another rule's; an OBLIGATION is the policy's own."""

    PERMISSION = "permission"
    PROHIBITION = "prohibition"
    DUTY = "duty"
    OBLIGATION = "obligation"


class Conflict(StrEnum):
    """What happens when a permission and a prohibition are both active; INVALID, ODRL's default, voids the policy."""

    PERM = "perm"
    PROHIBIT = "prohibit"
    INVALID = "invalid"


class DutyState(StrEnum):
    """What is known of a duty. NON_SET: neither fulfilled nor violated yet, or nobody reported."""

    FULFILLED = "Fulfilled"
    VIOLATED = "Violated"
    NON_SET = "NonSet"


@dataclass(frozen=True, slots=True)
class Constraint:
    """A left operand compared with values. `declared`: the provider's word, which nobody checks."""

    id: str
    left: str
    operator: str
    right: tuple[Value, ...]
    unit: str | None = None
    declared: bool = False


@dataclass(frozen=True, slots=True)
class Logical:
    """Constraints joined by "and", "or" or "xone"."""

    id: str
    operator: str
    parts: tuple[Condition, ...]


Condition: TypeAlias = Constraint | Logical


@dataclass(frozen=True, slots=True)
class Action:
    """An action by its name, narrowed by its refinements."""

    name: str
    refinements: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Several actions, targets or assignees: any of them.

    `duties` are a permission's duties, a prohibition's remedies, the consequences of a duty or obligation.
    """

    id: str
    kind: RuleKind
    actions: tuple[Action, ...] = ()
    targets: tuple[str, ...] = ()
    assigners: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    constraints: tuple[Condition, ...] = ()
    duties: tuple[Rule, ...] = ()
    declared: bool = False

    def together(self) -> tuple[Condition, ...]:
        """The constraints that hold together, with those that "and" joins taken apart."""
        return tuple(_apart(self.constraints))


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy. `profiled` when it names our profile; `rules` in the order of their ids, obligations among them."""

    uid: str
    type: str
    profiled: bool
    conflict: Conflict
    rules: tuple[Rule, ...]

    def rules_of(self, kind: RuleKind) -> tuple[Rule, ...]:
        """The policy's own rules of one kind."""
        return tuple(rule for rule in self.rules if rule.kind is kind)


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks to do; None where the request does not say. `claims` are the asker's word, by left operand."""

    uid: str
    rule: str
    action: str | None
    target: str | None
    assignee: str | None
    claims: Mapping[str, tuple[Value, ...]] = field(default_factory=lambda: MappingProxyType({}), hash=False)


@dataclass(frozen=True, slots=True)
class World:
    """What the one who decides knows: facts by left operand, memberships, types, and the state of duties by rule."""

    facts: Mapping[str, tuple[Value, ...]] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    parts: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    kinds: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    duties: Mapping[str, DutyState] = field(default_factory=lambda: MappingProxyType({}), hash=False)


def _apart(conditions: Iterable[Condition]) -> Iterator[Condition]:
    for condition in conditions:
        if isinstance(condition, Logical) and condition.operator == "and":
            yield from _apart(condition.parts)
        else:
            yield condition
