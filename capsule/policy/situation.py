"""Reading what a policy is judged by: the request that somebody makes, and the state of the world.

Invariant: an asker says only what is its own to say; counts, times and the like come from those who decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from capsule.errors import PolicyError
from capsule.policy.actions import PARENTS, REPLACED
from capsule.policy.model import DutyState, Request, World
from capsule.policy.rdf import RDF, Node, Syntax, read_graph
from capsule.policy.values import Value
from capsule.policy.vocabulary import DECLARABLE, OPERANDS
from capsule.policy.walk import DESCRIPTIVE, TYPE, GraphWalk, iri_of, name_of, one, plain

__all__ = ["CLAIMS", "MAX_CLAIMED", "read_request", "read_world"]

# What an asker may say of itself.
CLAIMS: Final = frozenset(("purpose", "recipient", "product", "spatial", "industry", "ds:columns", "ds:computeNode"))

MAX_CLAIMED: Final = 64
_REPORT: Final = "https://w3id.org/force/compliance-report#"
_ISSUED: Final = "http://purl.org/dc/terms/issued"
_NOW: Final = "http://example.com/request/currentTime"
_INCLUDES: Final = "http://example.org/includes"


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


class _RequestReader(GraphWalk):
    def request(self) -> Request:
        subject, _ = self.root(("Request",), "request")
        statements = self.node(subject, ("permission",), "request")
        asked = tuple(self.nodes(statements.get("permission", ()), "permission"))
        if len(asked) != 1:
            raise PolicyError("permission", "a request asks for exactly one")
        members = self.node(asked[0], ("action", "target", "assignee", "constraint"), "request")
        self.typed(members, ("Permission",))
        named = one(members, "action", name_of)
        action = None if named is None else REPLACED.get(named, named)
        if action is not None and action not in PARENTS:
            raise PolicyError("action", f"{plain(action):.80} is unknown")
        claims = dict(map(self._claim, self.nodes(members.get("constraint", ()), "constraint")))
        request = Request(
            uid=self.id_of(subject, statements),
            rule=self.id_of(asked[0], members),
            action=action,
            target=_single(self.things(members.get("target", ()), "target"), "target"),
            assignee=_single(self.things(members.get("assignee", ()), "assignee"), "assignee"),
            claims=MappingProxyType(claims),
        )
        if len(claims) != len(members.get("constraint", ())):
            raise PolicyError("constraint", "claims the same thing twice")
        self.finish()
        return request

    def _claim(self, subject: str) -> tuple[str, tuple[Value, ...]]:
        statements = self.node(subject, ("leftOperand", "operator", "rightOperand"), "claim")
        self.typed(statements, ("Constraint",))
        left = one(statements, "leftOperand", name_of)
        if left not in CLAIMS:
            raise PolicyError(plain(left or "leftOperand"), "is not for the asker to say")
        if one(statements, "operator", name_of) not in {"eq", "isAnyOf"}:
            raise PolicyError(left, "operator of a claim is eq or isAnyOf")
        return left, self.values(statements.get("rightOperand", ()), left, most=MAX_CLAIMED)


class _WorldReader(GraphWalk):
    def world(self) -> World:
        self._facts: dict[str, tuple[Value, ...]] = {}
        self._duties: dict[str, DutyState] = {}
        parts: dict[str, frozenset[str]] = {}
        kinds: dict[str, frozenset[str]] = {}
        for subject in self.graph.subjects:
            statements = self.graph.of(subject)
            for name, values in statements.items():
                if name == "partOf":
                    parts[subject] = frozenset(map(iri_of, values))
                elif name == TYPE:
                    kinds[subject] = frozenset(map(name_of, values))
                elif name == "ds:fact":
                    for each in self.nodes(values, name):
                        self._fact(self.node(each, ("leftOperand", "rightOperand"), "fact"))
                elif name == _ISSUED and subject == _NOW:
                    self._take("dateTime", self.values(values, "dateTime"))
                elif name == _REPORT + "deonticState":
                    self._duty(statements)
                elif not name.startswith((*DESCRIPTIVE, _REPORT, _INCLUDES, RDF)) and name not in _SAID_ELSEWHERE:
                    raise PolicyError(plain(name), "is not understood in a state of the world")
        return World(
            MappingProxyType(self._facts),
            MappingProxyType(parts),
            MappingProxyType(kinds),
            MappingProxyType(self._duties),
        )

    def _fact(self, statements: Mapping[str, tuple[Node, ...]]) -> None:
        left = one(statements, "leftOperand", name_of)
        if left is None or (left not in OPERANDS and left not in DECLARABLE):
            raise PolicyError(plain(left or "leftOperand"), "is unknown")
        self._take(left, self.values(statements.get("rightOperand", ()), left))

    def _take(self, left: str, values: tuple[Value, ...]) -> None:
        if self._facts.setdefault(left, values) != values:
            raise PolicyError(left, "is said twice, and differently")

    def _duty(self, statements: Mapping[str, tuple[Node, ...]]) -> None:
        rule = one(statements, _REPORT + "rule", iri_of)
        state = one(statements, _REPORT + "deonticState", iri_of)
        known = {_REPORT + each: each for each in DutyState}
        if rule is None or state not in known or rule in self._duties:
            raise PolicyError("deonticState", "does not say one known state of one duty, once")
        self._duties[rule] = known[state]


# Of facts and collections, which are read where they are referred to.
_SAID_ELSEWHERE: Final = frozenset(("leftOperand", "rightOperand", "source", "uid"))


def _single(values: tuple[str, ...], term: str) -> str | None:
    if len(values) > 1:
        raise PolicyError(term, "a request names one")
    return values[0] if values else None
