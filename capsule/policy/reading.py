"""Reading policies from RDF into the model.

Read are Set, Offer and Agreement of ODRL 2.2. Invariant: every statement of a policy is understood, is of a
vocabulary that only describes, or PolicyError names its term; nothing is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import pyoxigraph as ox

from capsule.errors import PolicyError
from capsule.policy.actions import PARENTS, REPLACED
from capsule.policy.model import (
    Action,
    Condition,
    Conflict,
    Constraint,
    Logical,
    Policy,
    Rule,
    RuleKind,
)
from capsule.policy.rdf import RDF, Graph, Node, Syntax, read_graph
from capsule.policy.vocabulary import DECLARABLE, OPERANDS, OPERATORS, PROFILE
from capsule.policy.walk import GraphWalk, iri_of, name_of, one, plain, text_of

__all__ = ["MAX_CONDITIONS", "MAX_DEPTH", "read_policy"]

MAX_CONDITIONS: Final = 8192
MAX_DEPTH: Final = 16

_TYPES: Final = ("Set", "Offer", "Agreement")
_RULES: Final = MappingProxyType(
    {"permission": RuleKind.PERMISSION, "prohibition": RuleKind.PROHIBITION, "obligation": RuleKind.OBLIGATION}
)
_AFTER: Final = MappingProxyType(
    {
        RuleKind.PERMISSION: "duty",
        RuleKind.PROHIBITION: "remedy",
        RuleKind.DUTY: "consequence",
        RuleKind.OBLIGATION: "consequence",
    }
)
_SHARED: Final = ("action", "target", "assigner", "assignee")
_LOGICAL: Final = ("and", "or", "xone")
_CONSTRAINT: Final = frozenset(("leftOperand", "operator", "rightOperand", "unit", "ds:label", *_LOGICAL))


def read_policy(data: bytes, syntax: Syntax) -> Policy:
    """Reads a Set, Offer or Agreement.

    Raises PolicyError naming the first term that is not understood, FormatError for what is not of this syntax.
    """
    return _PolicyReader(read_graph(data, syntax)).policy()


class _PolicyReader(GraphWalk):
    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._budget = MAX_CONDITIONS
        self._profiled = False

    def policy(self) -> Policy:
        subject, kind = self.root(_TYPES, "policy")
        statements = self.node(subject, (*_RULES, *_SHARED, "profile", "conflict"), "policy")
        self.typed(statements, (*_TYPES, "Policy"))
        profile = one(statements, "profile", iri_of)
        if profile not in {None, PROFILE}:
            raise PolicyError("profile", f"{profile!s:.80} is not known here, only {PROFILE}")
        self._profiled = profile is not None
        conflict = one(statements, "conflict", name_of) or Conflict.INVALID
        if conflict not in set(Conflict):
            raise PolicyError("conflict", f"{plain(conflict):.80} is not one of {', '.join(Conflict)}")
        shared = {name: statements[name] for name in _SHARED if name in statements}
        rules: dict[str, Rule] = {}
        for name, rule_kind in _RULES.items():
            for each in self.nodes(statements.get(name, ()), name):
                rule = self._rule(each, rule_kind, shared, 0)
                if rules.setdefault(rule.id, rule) != rule:
                    raise PolicyError(name, f"{rule.id:.80} is two rules")
        if not rules:
            raise PolicyError("permission", "is missing; a policy has at least one rule")
        self.finish()
        policy = Policy(
            self.id_of(subject, statements), kind, self._profiled, Conflict(conflict), tuple(rules.values())
        )
        _check_parties(policy)
        return policy

    def _rule(self, subject: str, kind: RuleKind, shared: Mapping[str, tuple[Node, ...]], depth: int) -> Rule:
        if depth > MAX_DEPTH:
            raise PolicyError(_AFTER[kind], f"is nested deeper than {MAX_DEPTH}")
        self._spend(_AFTER[kind])
        statements = self.node(subject, (*_SHARED, "constraint", "ds:label", _AFTER[kind]), kind)
        self.typed(statements, ("Duty" if _AFTER[kind] == "consequence" else kind.capitalize(), "Rule"))
        for name in shared:
            if name in statements and set(statements[name]) != set(shared[name]):
                raise PolicyError(name, f"differs between the policy and its {kind}")
        merged = {**shared, **statements}
        return Rule(
            id=self.id_of(subject, statements),
            kind=kind,
            actions=tuple(self._action(value) for value in merged.get("action", ())),
            targets=self.things(merged.get("target", ()), "target"),
            assigners=self.things(merged.get("assigner", ()), "assigner"),
            assignees=self.things(merged.get("assignee", ()), "assignee"),
            constraints=self._conditions(statements.get("constraint", ()), "constraint", 0),
            duties=tuple(
                self._rule(each, RuleKind.DUTY, {}, depth + 1)
                for each in self.nodes(statements.get(_AFTER[kind], ()), _AFTER[kind])
            ),
            declared=self._declared(statements, kind),
        )

    def _action(self, value: Node) -> Action:
        if isinstance(value, ox.BlankNode):
            statements = self.node(str(value), (RDF + "value", "refinement"), "action")
            self.typed(statements, ("Action",))
            name = one(statements, RDF + "value", name_of)
            refinements = self._conditions(statements.get("refinement", ()), "refinement", 0)
        else:
            name, refinements = name_of(value), ()
            if not isinstance(value, ox.Literal):
                self.typed(self.node(value.value, (), "action"), ("Action",))
        name = REPLACED.get(name or "", name or "")
        if name not in PARENTS:
            raise PolicyError("action", f"{plain(name) or 'without a name':.80} is unknown")
        if name.startswith("ds:"):
            self._needs_profile()
        return Action(name, refinements)

    def _conditions(self, values: Iterable[Node], term: str, depth: int) -> tuple[Condition, ...]:
        if depth > MAX_DEPTH:
            raise PolicyError(term, f"is nested deeper than {MAX_DEPTH}")
        return tuple(self._condition(subject, depth) for subject in self.nodes(values, term))

    def _condition(self, subject: str, depth: int) -> Condition:
        self._spend("constraint")
        statements = self.node(subject, _CONSTRAINT, "constraint")
        self.typed(statements, ("Constraint", "LogicalConstraint"))
        name = self.id_of(subject, statements)
        joined = [operator for operator in _LOGICAL if operator in statements]
        if joined:
            (operator, *more) = joined
            if more or _CONSTRAINT.difference(_LOGICAL) & statements.keys():
                raise PolicyError(operator, "stands together with other parts of a constraint")
            parts = self._conditions(statements[operator], operator, depth + 1)
            if not parts:
                raise PolicyError(operator, "joins no constraints")
            return Logical(name, operator, parts)
        left = one(statements, "leftOperand", name_of)
        if left is None:
            raise PolicyError("leftOperand", "is missing")
        declared = self._declared(statements, left)
        if left.startswith("ds:"):
            self._needs_profile()
        if left not in OPERANDS and left not in DECLARABLE and not (declared and left.startswith(("http:", "https:"))):
            raise PolicyError(plain(left), "is unknown")
        if declared and left in OPERANDS and left != "purpose":
            raise PolicyError(left, "is enforced, so it can't be labelled declared")
        operator = one(statements, "operator", name_of) or ""
        if operator not in OPERATORS:
            raise PolicyError(left, f"operator {plain(operator) or 'missing':.80} is unknown")
        right = self.values(statements.get("rightOperand", ()), left)
        return Constraint(name, left, operator, right, one(statements, "unit", text_of), declared)

    def _declared(self, statements: Mapping[str, tuple[Node, ...]], term: str) -> bool:
        label = one(statements, "ds:label", text_of)
        if label not in {None, "declared"}:
            raise PolicyError(term, 'ds:label can only be "declared"')
        return label is not None

    def _needs_profile(self) -> None:
        if not self._profiled:
            raise PolicyError("profile", f"is missing, and terms of {PROFILE} are used")

    def _spend(self, term: str) -> None:
        self._budget -= 1
        if self._budget < 0:
            raise PolicyError(term, f"a policy has at most {MAX_CONDITIONS} rules and constraints")


def _check_parties(policy: Policy) -> None:
    for rule in policy.rules:
        if rule.kind is RuleKind.OBLIGATION:
            continue
        if policy.type != "Set" and not rule.assigners:
            raise PolicyError("assigner", f"is missing in an {policy.type}")
        if policy.type == "Agreement" and not rule.assignees:
            raise PolicyError("assignee", "is missing in an Agreement")
