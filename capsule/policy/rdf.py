"""RDF in Turtle or JSON-LD as a graph, read by pyoxigraph; nothing is fetched and nothing is left out.

JSON-LD drops in silence what its context doesn't map, and a dropped constraint would widen a policy. So unmapped names
are read into a namespace of their own, where they are refused by name, and what was read is counted against the
document. Contexts are the vendored one of ODRL and plain prefixes; everything else in a context is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, TypeAlias

import pyoxigraph as ox

from capsule.canonical import Json, decode
from capsule.errors import FormatError
from capsule.policy.vocabulary import ODRL_CONTEXT, ODRL_NAMESPACE, PROFILE_NAMESPACE

__all__ = ["MAX_BYTES", "RDF", "UNMAPPED", "Graph", "Node", "Syntax", "read_graph", "short"]

MAX_BYTES: Final = 1024 * 1024
RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
UNMAPPED: Final = "unmapped:"
_RELATIVE: Final = "dataspace-relative:"
_KEYWORDS: Final = frozenset(("@id", "@type", "@value", "@language", "@list", "@set", "@graph"))
_SPECIAL: Final = frozenset("@_")
_TYPES: Final = frozenset(("@type", "type"))
_NESTING: Final = re.compile(rb"[\[(]")
_MAX_NESTING: Final = 65_536

Node: TypeAlias = ox.NamedNode | ox.BlankNode | ox.Literal


_NOTHING: Final = MappingProxyType[str, tuple[Node, ...]]({})


class Syntax(StrEnum):
    """How a graph is written."""

    TURTLE = "turtle"
    JSON_LD = "json-ld"


class Graph:
    """Triples by subject and predicate; subjects are IRIs, or "_:" and a label."""

    def __init__(self, triples: Iterator[tuple[str, str, Node]]) -> None:
        found: dict[str, dict[str, dict[Node, None]]] = {}
        for subject, predicate, given in triples:
            found.setdefault(subject, {}).setdefault(predicate, {})[given] = None
        self._by_subject: Mapping[str, Mapping[str, tuple[Node, ...]]] = {
            subject: {name: tuple(values) for name, values in said.items()} for subject, said in found.items()
        }

    @property
    def subjects(self) -> tuple[str, ...]:
        """All subjects, in the order of the document."""
        return tuple(self._by_subject)

    def of(self, subject: str) -> Mapping[str, tuple[Node, ...]]:
        """A subject's values by predicate, whose names are short where they are ODRL's or our profile's."""
        return self._by_subject.get(subject, _NOTHING)

    def listed(self, values: Sequence[Node]) -> Iterator[tuple[Node, tuple[str, ...]]]:
        """The values, with RDF lists among them unrolled; each with the list's own nodes passed on the way."""
        for value in values:
            at = str(value) if isinstance(value, ox.BlankNode) else ""
            if RDF + "first" not in self.of(at):
                if isinstance(value, ox.NamedNode) and value.value == RDF + "nil":
                    raise FormatError("an RDF list is empty; leave it out")
                yield value, ()
                continue
            seen: set[str] = set()
            while at:
                cell = self.of(at)
                first, rest = cell.get(RDF + "first", ()), cell.get(RDF + "rest", ())
                if at in seen or len(cell) != 2 or len(first) != 1 or len(rest) != 1:
                    raise FormatError("an RDF list is broken")
                seen.add(at)
                yield first[0], (at,)
                at = str(rest[0]) if isinstance(rest[0], ox.BlankNode) else ""
                if not at and not (isinstance(rest[0], ox.NamedNode) and rest[0].value == RDF + "nil"):
                    raise FormatError("an RDF list is broken")


def read_graph(data: bytes, syntax: Syntax) -> Graph:
    """The graph that a document holds.

    Raises FormatError for what is not of this syntax, past 1 MiB, names a context that is not vendored, has relative
    or unreadable IRIs, null, or more than one graph.
    """
    if len(data) > MAX_BYTES:
        raise FormatError(f"policy has more than {MAX_BYTES} bytes")
    try:
        if syntax is Syntax.TURTLE:
            if sum(1 for _ in _NESTING.finditer(data)) > _MAX_NESTING:
                raise FormatError("Turtle holds too many lists and blank nodes")
            quads = list(ox.parse(data, format=ox.RdfFormat.TURTLE))
        else:
            quads = _json_ld(data)
        return Graph(map(_triple, quads))
    except (SyntaxError, ValueError) as exc:
        raise FormatError(f"not {syntax}: {exc}") from exc


@lru_cache(maxsize=1024)
def short(name: str) -> str:
    """ODRL's names plain, our profile's with "ds:", all others as they are."""
    if name.startswith(ODRL_NAMESPACE):
        return name.removeprefix(ODRL_NAMESPACE)
    if name.startswith(PROFILE_NAMESPACE):
        return "ds:" + name.removeprefix(PROFILE_NAMESPACE)
    return name


def _triple(quad: ox.Quad) -> tuple[str, str, Node]:
    subject, predicate, given, graph = quad
    if not isinstance(graph, ox.DefaultGraph):
        raise FormatError("policy holds a named graph; write one graph")
    if isinstance(subject, ox.Triple) or isinstance(given, ox.Triple):
        raise FormatError("policy holds statements about statements")
    name = subject.value if isinstance(subject, ox.NamedNode) else str(subject)
    if isinstance(given, ox.NamedNode):
        _check_full(given.value)
    _check_full(name)
    return name, short(predicate.value), given


def _check_full(name: str) -> None:
    if name.startswith(_RELATIVE):
        raise FormatError(f"{name.removeprefix(_RELATIVE + '//document/'):.80} is not a full IRI")


def _json_ld(data: bytes) -> list[ox.Quad]:
    document = decode(data)
    context: Json = ()
    if isinstance(document, Mapping):
        context = document.get("@context", ())
        nodes = {name: value for name, value in document.items() if name != "@context"}
        document = nodes["@graph"] if set(nodes) == {"@graph"} else nodes
        data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    expected = _count(document, top=True)
    contexts = json.dumps([{"@vocab": UNMAPPED}, *_contexts(context)], ensure_ascii=False).encode("utf-8")
    framed = b'{"@context":%b,"@graph":%b}' % (contexts, data)
    quads = list(ox.parse(framed, format=ox.RdfFormat.JSON_LD, base_iri=f"{_RELATIVE}//document/"))
    if len(quads) != expected:
        raise FormatError(f"JSON-LD says {expected} things of which {len(quads)} can be read; look for broken IRIs")
    return quads


def _contexts(context: Json) -> Iterator[Json]:
    for entry in _as_list(context):
        if entry == ODRL_CONTEXT:
            yield _odrl_context()
        elif isinstance(entry, Mapping):
            for name, value in entry.items():
                if name.startswith("@") or name in _odrl_context() or not isinstance(value, str) or "@" in value:
                    raise FormatError(f"@context: {name:.80} is not a prefix of one's own")
            yield entry
        else:
            raise FormatError(f"@context {entry!s:.120} is not known here, and none is fetched; use {ODRL_CONTEXT}")


def _count(value: Json, *, top: bool = False) -> int:
    """How many triples a JSON-LD value stands for, if none of it is dropped; 1 for the value itself unless `top`."""
    if value is None:
        raise FormatError("JSON-LD holds null, which says nothing; leave the member out")
    if isinstance(value, dict):
        return _count_members(value, top=top)
    if isinstance(value, list):
        return sum([_count(each, top=top) for each in value])
    if top:
        raise FormatError("JSON-LD is not an object")
    return 1


def _count_members(members: dict[str, Json], *, top: bool) -> int:
    for name, value in members.items():
        if name[:1] in _SPECIAL and name not in _KEYWORDS:
            raise FormatError(f"JSON-LD: {name:.80} is not supported here")
        if value == [] and name != "constraint":
            raise FormatError(f"JSON-LD: {name:.80} is an empty list; leave it out")
    if "@set" in members:
        return _count(members["@set"], top=top)
    if "@graph" in members:
        if not top or len(members) != 1:
            raise FormatError("JSON-LD: @graph stands only at the top, beside @context")
        return _count(members["@graph"], top=True)
    count = 0 if top else 1
    if "@list" in members:
        items = _as_list(members["@list"])
        if any(isinstance(each, list) for each in items):
            raise FormatError("JSON-LD: a list in a list says nothing here")
        return count + sum([1 + _count(each) for each in items])
    if "@value" not in members:
        for name, value in members.items():
            if name in _TYPES:
                count += len(_as_list(value))
            elif name != "@id":
                count += _count(value)
    return count


def _as_list(value: Json) -> list[Json]:
    return list(value) if isinstance(value, list | tuple) else [value]


@cache
def _odrl_context() -> Mapping[str, Json]:
    source = files("capsule.policy") / "contexts" / "odrl.jsonld"
    context: Mapping[str, Json] = json.loads(source.read_text("utf-8"))["@context"]
    return context
