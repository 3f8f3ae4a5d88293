"""Walking a graph from its root: every statement on the way is understood or refused by its name.

Invariant: what the walk never came to is refused at its end, so that nothing in a document is without effect.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Final, TypeVar

import pyoxigraph as ox

from capsule.errors import PolicyError
from capsule.policy.rdf import RDF, UNMAPPED, Graph, Node, short
from capsule.policy.values import Value, iri, literal

__all__ = [
    "DESCRIPTIVE",
    "MAX_VALUES",
    "MAX_VISITS",
    "TYPE",
    "GraphWalk",
    "iri_of",
    "name_of",
    "one",
    "plain",
    "text_of",
]

TYPE: Final = RDF + "type"
# Vocabularies that only describe; what they say is for people.
DESCRIPTIVE: Final = (
    "http://purl.org/dc/terms/",
    "http://purl.org/dc/elements/1.1/",
    "http://www.w3.org/2000/01/rdf-schema#",
    "http://www.w3.org/2004/02/skos/core#",
)
# Of one constraint, and of all lists and values that are walked together: a shared list is walked again each time.
MAX_VALUES: Final = 1024
MAX_VISITS: Final = 65_536
_EVERYWHERE: Final = frozenset((TYPE, "uid"))
_T = TypeVar("_T")


class GraphWalk:
    """One walk through one graph. Raises PolicyError with the name of the term that stands in the way."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._seen: set[str] = set()
        self._labels: dict[str, str] = {}
        self._visits = MAX_VISITS

    def root(self, types: Iterable[str], what: str) -> tuple[str, str]:
        """The one subject of one of these types, and its type."""
        found = [
            (subject, kind)
            for subject in self.graph.subjects
            for kind in map(name_of, self.graph.of(subject).get(TYPE, ()))
            if kind in types
        ]
        if len(found) != 1:
            raise PolicyError("@type", f"{len(found)} of {', '.join(types)} in the document, and one {what} is read")
        return found[0]

    def finish(self) -> None:
        """Ends the walk; what it never came to is refused."""
        for subject in self.graph.subjects:
            if subject not in self._seen:
                name = next(iter(self.graph.of(subject)))
                raise PolicyError(plain(name), f"stands at {subject:.80}, which no rule refers to")

    def node(self, subject: str, known: Container[str], what: str) -> Mapping[str, tuple[Node, ...]]:
        """A node's statements; one that is neither known nor descriptive is refused by name."""
        self._seen.add(subject)
        statements = self.graph.of(subject)
        for name in statements:
            if name not in known and name not in _EVERYWHERE and not name.startswith(DESCRIPTIVE):
                raise PolicyError(plain(name), f"is not understood at a {what}")
        return statements

    def typed(self, statements: Mapping[str, tuple[Node, ...]], allowed: Iterable[str]) -> None:
        """Refuses a node of any other type; one without a type is what its place says."""
        for kind in map(name_of, statements.get(TYPE, ())):
            if kind not in allowed:
                raise PolicyError("@type", f"{plain(kind):.80} is not one of {', '.join(allowed)}")

    def id_of(self, subject: str, statements: Mapping[str, tuple[Node, ...]]) -> str:
        """Its IRI, or its odrl:uid; "_:" and a number, in the order of the walk, where it has neither."""
        uid = one(statements, "uid", iri_of)
        if uid is not None:
            if not subject.startswith("_:") and uid != subject:
                raise PolicyError("uid", "is not the node's own IRI")
            return uid
        return subject if not subject.startswith("_:") else self._labels.setdefault(subject, f"_:{len(self._labels)}")

    def nodes(self, values: Iterable[Node], term: str) -> Iterator[str]:
        """The nodes of values and of lists among them."""
        for value in self._walked(values, term):
            if isinstance(value, ox.Literal):
                raise PolicyError(term, "is not a node")
            yield _name_or_label(value)

    def things(self, values: Iterable[Node], term: str) -> tuple[str, ...]:
        """Parties or assets, which may be collections and may be typed."""
        found = []
        for subject in self.nodes(values, term):
            statements = self.node(subject, ("source",), term)
            self.typed(statements, ("Party", "PartyCollection", "Asset", "AssetCollection"))
            name = self.id_of(subject, statements)
            if name.startswith("_:"):
                raise PolicyError(term, "has no IRI")
            found.append(name)
        return tuple(found)

    def values(self, values: Iterable[Node], term: str, *, most: int = MAX_VALUES) -> tuple[Value, ...]:
        """Right operands: literals and IRIs, and those in lists."""
        found: list[Value] = []
        for value in self._walked(values, term):
            if len(found) == most:
                raise PolicyError(term, f"has more than {most} values")
            if isinstance(value, ox.BlankNode):
                raise PolicyError(term, "rightOperand is neither a value nor an IRI")
            if isinstance(value, ox.Literal):
                found.append(literal(value.value, value.datatype.value))
            elif value.value.startswith(UNMAPPED):
                raise PolicyError(term, f"rightOperand {plain(value.value):.80} is no IRI")
            else:
                if all(name == TYPE or name.startswith(DESCRIPTIVE) for name in self.graph.of(value.value)):
                    self._seen.add(value.value)
                found.append(iri(value.value))
        if not found:
            raise PolicyError(term, "has no rightOperand")
        return tuple(found)

    def _walked(self, values: Iterable[Node], term: str) -> Iterator[Node]:
        for value, passed in self.graph.listed(tuple(values)):
            self._seen.update(passed)
            self._visits -= 1
            if self._visits < 0:
                raise PolicyError(term, f"is one of more than {MAX_VISITS} values and nodes")
            yield value


def one(statements: Mapping[str, tuple[Node, ...]], name: str, read: Callable[[Node], _T]) -> _T | None:
    """The only value of a name, read; None where there is none."""
    values = statements.get(name, ())
    if len(values) > 1:
        raise PolicyError(plain(name), "is given twice")
    return read(values[0]) if values else None


def iri_of(value: Node) -> str:
    """An IRI, or PolicyError."""
    if not isinstance(value, ox.NamedNode):
        raise PolicyError("IRI", f"{value!s:.80} stands where an IRI is needed")
    return value.value


def name_of(value: Node) -> str:
    """An IRI by its short name, where it is ODRL's or our profile's."""
    return short(iri_of(value))


def text_of(value: Node) -> str:
    """A literal's text, or an IRI."""
    return value.value if isinstance(value, ox.Literal) else iri_of(value)


def plain(name: str) -> str:
    """A name as the document wrote it."""
    return name.removeprefix(UNMAPPED)


def _name_or_label(value: ox.NamedNode | ox.BlankNode) -> str:
    return value.value if isinstance(value, ox.NamedNode) else str(value)
