"""Reading policies, requests and states of the world from RDF into the model.

Read are Set, Offer and Agreement of ODRL 2.2. Invariant: every statement of a policy or request is understood, is one
of the descriptive vocabularies below, or PolicyError names its term; nothing is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import pyoxigraph as ox

from capsule.errors import PolicyError
from capsule.policy.actions import PARENTS, REPLACED
from capsule.policy.model import (
    Action,
    Condition,
    Conflict,
    Constraint,
    DutyState,
    Logical,
    Policy,
    Request,
    Rule,
    RuleKind,
    World,
)
from capsule.policy.rdf import RDF, UNMAPPED, Graph, Node, Syntax, read_graph, short
from capsule.policy.values import Value, iri, literal
from capsule.policy.vocabulary import DECLARABLE, OPERANDS, OPERATORS, PROFILE

__all__ = ["CLAIMS", "MAX_CONDITIONS", "MAX_DEPTH", "read_policy", "read_request", "read_world"]

MAX_CONDITIONS: Final = 8192
MAX_DEPTH: Final = 16

# What an asker may say of itself; counts, times and the like are for those who decide to know.
CLAIMS: Final = frozenset(("purpose", "recipient", "product", "spatial", "industry", "ds:columns", "ds:computeNode"))

_TYPE: Final = RDF + "type"
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
_DESCRIPTIVE: Final = (
    "http://purl.org/dc/terms/",
    "http://purl.org/dc/elements/1.1/",
    "http://www.w3.org/2000/01/rdf-schema#",
    "http://www.w3.org/2004/02/skos/core#",
)
_REPORT: Final = "https://w3id.org/force/compliance-report#"
_ISSUED: Final = "http://purl.org/dc/terms/issued"
_NOW: Final = "http://example.com/request/currentTime"
_INCLUDES: Final = "http://example.org/includes"
_T = TypeVar("_T")


def read_policy(data: bytes, syntax: Syntax) -> Policy:
    """Reads a Set, Offer or Agreement.

    Raises PolicyError naming the first term that is not understood, FormatError for what is not of this syntax.
    """
    return _PolicyReader(read_graph(data, syntax)).policy()


def read_request(data: bytes, syntax: Syntax) -> Request:
    """Reads an odrl:Request of one permission, whose constraints (eq, isAnyOf) are what the asker claims.

    Raises PolicyError naming the first term that is not understood, FormatError for what is not of this syntax.
    """
    return _RequestReader(read_graph(data, syntax)).request()


def read_world(data: bytes, syntax: Syntax) -> World:
    """Reads a state of the world, as the ODRL test suite writes it: the time, memberships, types, reports of duties.

    Any other fact is a node of ds:fact with odrl:leftOperand and odrl:rightOperand. Raises PolicyError for a term of
    ODRL or of our profile that says nothing here, FormatError for what is not of this syntax.
    """
    return _WorldReader(read_graph(data, syntax)).world()


class _Reader:
    """Walks a graph from its root; what it never came to is refused at the end."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._seen: set[str] = set()
        self._labels: dict[str, str] = {}
        self._budget = MAX_CONDITIONS

    def _root(self, types: Iterable[str], what: str) -> tuple[str, str]:
        found = [
            (subject, kind)
            for subject in self._graph.subjects
            for kind in map(_name, self._graph.of(subject).get(_TYPE, ()))
            if kind in types
        ]
        if len(found) != 1:
            raise PolicyError("@type", f"{len(found)} of {', '.join(types)} in the document, and one {what} is read")
        return found[0]

    def _finish(self) -> None:
        for subject in self._graph.subjects:
            if subject not in self._seen:
                name = next(iter(self._graph.of(subject)))
                raise PolicyError(_plain(name), f"stands at {subject:.80}, which nothing refers to")

    def _node(self, subject: str, known: Iterable[str], what: str) -> Mapping[str, tuple[Node, ...]]:
        """A node's statements without the descriptive ones; one that is not known is refused by name."""
        self._seen.add(subject)
        known = {*known, _TYPE, "uid"}
        statements = {
            name: values for name, values in self._graph.of(subject).items() if not name.startswith(_DESCRIPTIVE)
        }
        for name in statements:
            if name not in known:
                raise PolicyError(_plain(name), f"is not understood at a {what}")
        return statements

    def _typed(self, statements: Mapping[str, tuple[Node, ...]], allowed: Iterable[str]) -> None:
        for kind in map(_name, statements.get(_TYPE, ())):
            if kind not in allowed:
                raise PolicyError("@type", f"{_plain(kind):.80} is not one of {', '.join(allowed)}")

    def _id(self, subject: str, statements: Mapping[str, tuple[Node, ...]]) -> str:
        uid = _one(statements, "uid", _iri)
        if uid is not None:
            if not subject.startswith("_:") and uid != subject:
                raise PolicyError("uid", "is not the node's own IRI")
            return uid
        return subject if not subject.startswith("_:") else self._labels.setdefault(subject, f"_:{len(self._labels)}")

    def _nodes(self, values: Iterable[Node], term: str) -> Iterator[str]:
        """The nodes of values and of lists among them."""
        for value, passed in self._graph.listed(tuple(values)):
            self._seen.update(passed)
            if isinstance(value, ox.Literal):
                raise PolicyError(term, "is not a node")
            yield _name_or_label(value)

    def _things(self, values: Iterable[Node], term: str) -> tuple[str, ...]:
        """Parties or assets, which may be collections and may be typed."""
        found = []
        for subject in self._nodes(values, term):
            statements = self._node(subject, ("source",), term)
            self._typed(statements, ("Party", "PartyCollection", "Asset", "AssetCollection"))
            name = self._id(subject, statements)
            if name.startswith("_:"):
                raise PolicyError(term, "has no IRI")
            found.append(name)
        return tuple(found)

    def _values(self, values: Iterable[Node], term: str) -> tuple[Value, ...]:
        found = []
        for value, passed in self._graph.listed(tuple(values)):
            self._seen.update(passed)
            if isinstance(value, ox.BlankNode):
                raise PolicyError(term, "rightOperand is neither a value nor an IRI")
            if isinstance(value, ox.Literal):
                found.append(literal(value.value, value.datatype.value))
            elif value.value.startswith(UNMAPPED):
                raise PolicyError(term, f"rightOperand {_plain(value.value):.80} is no IRI")
            else:
                self._seen.add(value.value)
                found.append(iri(value.value))
        if not found:
            raise PolicyError(term, "has no rightOperand")
        return tuple(found)


class _PolicyReader(_Reader):
    def policy(self) -> Policy:
        subject, kind = self._root(_TYPES, "policy")
        statements = self._node(subject, (*_RULES, *_SHARED, "profile", "conflict"), "policy")
        self._typed(statements, (*_TYPES, "Policy"))
        profile = _one(statements, "profile", _iri)
        if profile not in {None, PROFILE}:
            raise PolicyError("profile", f"{profile!s:.80} is not known here, only {PROFILE}")
        self._profiled = profile is not None
        conflict = _one(statements, "conflict", _name) or Conflict.INVALID
        if conflict not in set(Conflict):
            raise PolicyError("conflict", f"{_plain(conflict):.80} is not one of {', '.join(Conflict)}")
        shared = {name: statements[name] for name in _SHARED if name in statements}
        rules: dict[str, Rule] = {}
        for name, rule_kind in _RULES.items():
            for each in self._nodes(statements.get(name, ()), name):
                rule = self._rule(each, rule_kind, shared, 0)
                if rules.setdefault(rule.id, rule) != rule:
                    raise PolicyError(name, f"{rule.id:.80} is two rules")
        if not rules:
            raise PolicyError("permission", "is missing; a policy has at least one rule")
        self._finish()
        policy = Policy(self._id(subject, statements), kind, self._profiled, Conflict(conflict), tuple(rules.values()))
        _check_parties(policy)
        return policy

    def _rule(self, subject: str, kind: RuleKind, shared: Mapping[str, tuple[Node, ...]], depth: int) -> Rule:
        if depth > MAX_DEPTH:
            raise PolicyError(_AFTER[kind], f"is nested deeper than {MAX_DEPTH}")
        self._spend(_AFTER[kind])
        statements = self._node(subject, (*_SHARED, "constraint", "ds:label", _AFTER[kind]), kind)
        self._typed(statements, ("Duty" if _AFTER[kind] == "consequence" else kind.capitalize(), "Rule"))
        for name in shared:
            if name in statements and set(statements[name]) != set(shared[name]):
                raise PolicyError(name, f"differs between the policy and its {kind}")
        merged = {**shared, **statements}
        return Rule(
            id=self._id(subject, statements),
            kind=kind,
            actions=tuple(self._action(value) for value in merged.get("action", ())),
            targets=self._things(merged.get("target", ()), "target"),
            assigners=self._things(merged.get("assigner", ()), "assigner"),
            assignees=self._things(merged.get("assignee", ()), "assignee"),
            constraints=self._conditions(statements.get("constraint", ()), "constraint", 0),
            duties=tuple(
                self._rule(each, RuleKind.DUTY, {}, depth + 1)
                for each in self._nodes(statements.get(_AFTER[kind], ()), _AFTER[kind])
            ),
            declared=self._declared(statements, kind),
        )

    def _action(self, value: Node) -> Action:
        if isinstance(value, ox.BlankNode):
            statements = self._node(str(value), (RDF + "value", "refinement"), "action")
            self._typed(statements, ("Action",))
            name = _one(statements, RDF + "value", _name)
            refinements = self._conditions(statements.get("refinement", ()), "refinement", 0)
        else:
            name, refinements = _name(value), ()
            if not isinstance(value, ox.Literal):
                self._typed(self._node(value.value, (), "action"), ("Action",))
        name = REPLACED.get(name or "", name or "")
        if name not in PARENTS:
            raise PolicyError("action", f"{_plain(name) or 'without a name':.80} is unknown")
        if name.startswith("ds:"):
            self._needs_profile()
        return Action(name, refinements)

    def _conditions(self, values: Iterable[Node], term: str, depth: int) -> tuple[Condition, ...]:
        if depth > MAX_DEPTH:
            raise PolicyError(term, f"is nested deeper than {MAX_DEPTH}")
        return tuple(self._condition(subject, depth) for subject in self._nodes(values, term))

    def _condition(self, subject: str, depth: int) -> Condition:
        self._spend("constraint")
        statements = self._node(
            subject, ("leftOperand", "operator", "rightOperand", "unit", "ds:label", *_LOGICAL), "constraint"
        )
        self._typed(statements, ("Constraint", "LogicalConstraint"))
        name = self._id(subject, statements)
        joined = [operator for operator in _LOGICAL if operator in statements]
        if joined:
            (operator, *more) = joined
            if more or {"leftOperand", "operator", "rightOperand", "unit", "ds:label"} & statements.keys():
                raise PolicyError(operator, "stands together with other parts of a constraint")
            parts = self._conditions(statements[operator], operator, depth + 1)
            if not parts:
                raise PolicyError(operator, "joins no constraints")
            return Logical(name, operator, parts)
        left = _one(statements, "leftOperand", _name)
        if left is None:
            raise PolicyError("leftOperand", "is missing")
        declared = self._declared(statements, left)
        if left.startswith("ds:"):
            self._needs_profile()
        if left not in OPERANDS and left not in DECLARABLE and not (declared and left.startswith(("http:", "https:"))):
            raise PolicyError(_plain(left), "is unknown")
        if declared and left in OPERANDS and left != "purpose":
            raise PolicyError(left, "is enforced, so it can't be labelled declared")
        operator = _one(statements, "operator", _name) or ""
        if operator not in OPERATORS:
            raise PolicyError(left, f"operator {_plain(operator) or 'missing':.80} is unknown")
        right = self._values(statements.get("rightOperand", ()), left)
        return Constraint(name, left, operator, right, _one(statements, "unit", _text), declared)

    def _declared(self, statements: Mapping[str, tuple[Node, ...]], term: str) -> bool:
        label = _one(statements, "ds:label", _text)
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


class _RequestReader(_Reader):
    def request(self) -> Request:
        subject, _ = self._root(("Request",), "request")
        statements = self._node(subject, ("permission",), "request")
        asked = tuple(self._nodes(statements.get("permission", ()), "permission"))
        if len(asked) != 1:
            raise PolicyError("permission", "a request asks for exactly one")
        members = self._node(asked[0], ("action", "target", "assignee", "constraint"), "request")
        self._typed(members, ("Permission",))
        named = _one(members, "action", _name)
        action = None if named is None else REPLACED.get(named, named)
        if action is not None and action not in PARENTS:
            raise PolicyError("action", f"{_plain(action):.80} is unknown")
        claims = dict(map(self._claim, self._nodes(members.get("constraint", ()), "constraint")))
        request = Request(
            uid=self._id(subject, statements),
            rule=self._id(asked[0], members),
            action=action,
            target=_single(self._things(members.get("target", ()), "target"), "target"),
            assignee=_single(self._things(members.get("assignee", ()), "assignee"), "assignee"),
            claims=MappingProxyType(claims),
        )
        if len(claims) != len(members.get("constraint", ())):
            raise PolicyError("constraint", "claims the same thing twice")
        self._finish()
        return request

    def _claim(self, subject: str) -> tuple[str, tuple[Value, ...]]:
        statements = self._node(subject, ("leftOperand", "operator", "rightOperand"), "claim")
        self._typed(statements, ("Constraint",))
        left = _one(statements, "leftOperand", _name)
        if left not in CLAIMS:
            raise PolicyError(_plain(left or "leftOperand"), "is not for the asker to say")
        if _one(statements, "operator", _name) not in {"eq", "isAnyOf"}:
            raise PolicyError(left, "operator of a claim is eq or isAnyOf")
        return left, self._values(statements.get("rightOperand", ()), left)


class _WorldReader(_Reader):
    def world(self) -> World:
        self._facts: dict[str, tuple[Value, ...]] = {}
        self._duties: dict[str, DutyState] = {}
        parts: dict[str, frozenset[str]] = {}
        kinds: dict[str, frozenset[str]] = {}
        for subject in self._graph.subjects:
            statements = self._graph.of(subject)
            for name, values in statements.items():
                if name == "partOf":
                    parts[subject] = frozenset(map(_iri, values))
                elif name == _TYPE:
                    kinds[subject] = frozenset(map(_name, values))
                elif name == "ds:fact":
                    for each in self._nodes(values, name):
                        self._fact(self._node(each, ("leftOperand", "rightOperand"), "fact"))
                elif name == _ISSUED and subject == _NOW:
                    self._take("dateTime", self._values(values, "dateTime"))
                elif name == _REPORT + "deonticState":
                    self._duty(statements)
                elif not name.startswith((*_DESCRIPTIVE, _REPORT, _INCLUDES, RDF)) and name not in _SAID_ELSEWHERE:
                    raise PolicyError(_plain(name), "is not understood in a state of the world")
        return World(
            MappingProxyType(self._facts),
            MappingProxyType(parts),
            MappingProxyType(kinds),
            MappingProxyType(self._duties),
        )

    def _fact(self, statements: Mapping[str, tuple[Node, ...]]) -> None:
        left = _one(statements, "leftOperand", _name)
        if left is None or (left not in OPERANDS and left not in DECLARABLE):
            raise PolicyError(_plain(left or "leftOperand"), "is unknown")
        self._take(left, self._values(statements.get("rightOperand", ()), left))

    def _take(self, left: str, values: tuple[Value, ...]) -> None:
        if self._facts.setdefault(left, values) != values:
            raise PolicyError(left, "is said twice, and differently")

    def _duty(self, statements: Mapping[str, tuple[Node, ...]]) -> None:
        rule = _one(statements, _REPORT + "rule", _iri)
        state = _one(statements, _REPORT + "deonticState", _iri)
        known = {_REPORT + each: each for each in DutyState}
        if rule is None or state not in known or rule in self._duties:
            raise PolicyError("deonticState", "does not say one known state of one duty, once")
        self._duties[rule] = known[state]


# Of facts and collections, which are read where they are referred to.
_SAID_ELSEWHERE: Final = frozenset(("leftOperand", "rightOperand", "source", "uid"))


def _check_parties(policy: Policy) -> None:
    for rule in policy.rules:
        if rule.kind is RuleKind.OBLIGATION:
            continue
        if policy.type != "Set" and not rule.assigners:
            raise PolicyError("assigner", f"is missing in an {policy.type}")
        if policy.type == "Agreement" and not rule.assignees:
            raise PolicyError("assignee", "is missing in an Agreement")


def _one(statements: Mapping[str, tuple[Node, ...]], name: str, read: Callable[[Node], _T]) -> _T | None:
    values = statements.get(name, ())
    if len(values) > 1:
        raise PolicyError(_plain(name), "is given twice")
    return read(values[0]) if values else None


def _single(values: tuple[str, ...], term: str) -> str | None:
    if len(values) > 1:
        raise PolicyError(term, "a request names one")
    return values[0] if values else None


def _iri(value: Node) -> str:
    if not isinstance(value, ox.NamedNode):
        raise PolicyError("IRI", f"{value!s:.80} stands where an IRI is needed")
    return value.value


def _name(value: Node) -> str:
    return short(_iri(value))


def _text(value: Node) -> str:
    return value.value if isinstance(value, ox.Literal) else _iri(value)


def _name_or_label(value: ox.NamedNode | ox.BlankNode) -> str:
    return value.value if isinstance(value, ox.NamedNode) else str(value)


def _plain(name: str) -> str:
    return name.removeprefix(UNMAPPED)
