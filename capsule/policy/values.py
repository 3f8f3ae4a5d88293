"""Values of a policy, a request or the world: what they are compared by, and the operators of ODRL on them.

Invariant: a comparison that is not certain (types that don't compare, a time without zone, a duration in months, a
set that fits in part) is UNKNOWN; a permission takes that for no, a prohibition for yes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final

__all__ = [
    "Kind",
    "State",
    "Value",
    "belongs",
    "both",
    "compare",
    "exactly_one",
    "iri",
    "lexical",
    "literal",
    "moment",
    "one_of",
    "opposite",
    "within",
]

XSD: Final = "http://www.w3.org/2001/XMLSchema#"
_LANG_STRING: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#langString"
_MAX_EXPONENT: Final = 400
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,18})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_DURATION: Final = re.compile(
    r"P(?:([0-9]{1,9})D)?(?:T(?=[0-9])(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,12}(?:\.[0-9]{1,18})?)S)?)?"
)
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,64}(?:\.[0-9]{0,64})?|\.[0-9]{1,64})(?:[eE][+-]?[0-9]{1,3})?")
_TEXTS: Final = frozenset(("string", "anyURI"))
_NUMBERS: Final = """
    integer decimal double float nonNegativeInteger positiveInteger nonPositiveInteger negativeInteger long int short
    byte unsignedLong unsignedInt unsignedShort unsignedByte
"""


class State(StrEnum):
    """Whether a premise holds. UNKNOWN: its evidence is missing, or it can't be told."""

    SATISFIED = "Satisfied"
    UNSATISFIED = "Unsatisfied"
    UNKNOWN = "Unknown"


class Kind(Enum):
    """What a value is compared as. OTHER compares with nothing."""

    NAME = 1
    NUMBER = 2
    TIME = 3
    DURATION = 4
    BOOLEAN = 5
    OTHER = 6


@dataclass(frozen=True, slots=True)
class Value:
    """A value as written in `text`. `measure`: a number, unix seconds, seconds, or 0 and 1; None for names."""

    kind: Kind
    text: str
    measure: Decimal | None = None


def iri(text: str) -> Value:
    """A thing by its name. Plain strings are names too: policies write purposes either way."""
    return Value(Kind.NAME, text)


def moment(seconds: int) -> Value:
    """A time in unix seconds."""
    return Value(Kind.TIME, lexical(Kind.TIME, Decimal(seconds))[0], Decimal(seconds))


def literal(text: str, datatype: str) -> Value:
    """A literal by the full IRI of its datatype."""
    name = datatype.removeprefix(XSD) if datatype.startswith(XSD) else ""
    if datatype == _LANG_STRING or name in _TEXTS:
        return Value(Kind.NAME, text)
    if name not in _READERS:
        return Value(Kind.OTHER, text)
    kind, read = _READERS[name]
    measure = read(text)
    return Value(Kind.OTHER, text) if measure is None else Value(kind, text, measure)


def lexical(kind: Kind, measure: Decimal) -> tuple[str, str]:
    """How a number, time or duration is written, and the name of its xsd datatype."""
    whole = measure.to_integral_value(ROUND_FLOOR)
    fraction = f"{measure - whole:f}"[1:] if measure != whole else ""
    if kind is Kind.DURATION:
        days, rest = divmod(int(whole), 86_400)
        return (f"PT{int(whole)}{fraction}S" if rest or fraction or not days else f"P{days}D"), "duration"
    if kind is Kind.TIME:
        moment = datetime.fromtimestamp(int(whole), UTC).isoformat().removesuffix("+00:00")
        return f"{moment}{fraction}Z", "dateTime"
    return (f"{measure:f}", "decimal") if fraction else (f"{int(whole)}", "integer")


def compare(
    given: Sequence[Value],
    operator: str,
    right: Sequence[Value],
    parts: Mapping[str, frozenset[str]],
    kinds: Mapping[str, frozenset[str]],
) -> State:
    """Whether what was given stands in this relation to the right operand; nothing given is UNKNOWN.

    `parts` has the collections that a name is directly part of, `kinds` the types that it is an instance of.
    """
    if not given or not right:
        return State.UNKNOWN
    if operator in _ORDERS:
        return _ordered(given, operator, right)
    if operator in _RELATIONS:
        return _related(given, right, lambda one, other: _RELATIONS[operator](one, other, parts, kinds))
    if operator == "isAllOf":
        return both(_among(each, given) for each in right)
    among = _all(_among(each, right) for each in given)
    if operator in {"eq", "isAnyOf"}:
        return among
    return opposite(among) if operator in {"neq", "isNoneOf"} else State.UNKNOWN


def belongs(
    given: Sequence[Value], operator: str, right: Sequence[Value], parts: Mapping[str, frozenset[str]]
) -> State:
    """`compare` for parties: one that is part of a named collection, or holds a named role, counts as named."""
    if operator not in {"eq", "neq", "isAnyOf", "isNoneOf"} or not given:
        return compare(given, operator, right, parts, {})
    held = _all(
        State.SATISFIED if any(within(one.text, other.text, parts) for other in right) else State.UNSATISFIED
        for one in given
    )
    return held if operator in {"eq", "isAnyOf"} else opposite(held)


def within(member: str, collection: str, parts: Mapping[str, frozenset[str]]) -> bool:
    """Whether a name is the collection, or part of it at any depth."""
    seen = {member}
    waiting = [member]
    while waiting:
        at = waiting.pop()
        if at == collection:
            return True
        for wider in parts.get(at, frozenset()) - seen:
            seen.add(wider)
            waiting.append(wider)
    return False


def both(states: Iterable[State]) -> State:
    """All must hold."""
    found = set(states)
    if State.UNSATISFIED in found:
        return State.UNSATISFIED
    return State.UNKNOWN if State.UNKNOWN in found else State.SATISFIED


def one_of(states: Iterable[State]) -> State:
    """At least one must hold."""
    return opposite(both(opposite(state) for state in states))


def exactly_one(states: Iterable[State]) -> State:
    """One must hold, and no other."""
    found = list(states)
    if found.count(State.SATISFIED) > 1:
        return State.UNSATISFIED
    if State.UNKNOWN in found:
        return State.UNKNOWN
    return State.SATISFIED if State.SATISFIED in found else State.UNSATISFIED


def opposite(state: State) -> State:
    """Not; what is unknown stays so."""
    return _OPPOSITE[state]


_OPPOSITE: Final = MappingProxyType(
    {
        State.SATISFIED: State.UNSATISFIED,
        State.UNSATISFIED: State.SATISFIED,
        State.UNKNOWN: State.UNKNOWN,
    }
)
_Facts = Mapping[str, frozenset[str]]
_RELATIONS: Final = MappingProxyType[str, Callable[[str, str, _Facts, _Facts], bool]](
    {
        "isPartOf": lambda one, other, parts, _: within(one, other, parts),
        "hasPart": lambda one, other, parts, _: within(other, one, parts),
        "isA": lambda one, other, _, kinds: other in kinds.get(one, frozenset()),
    }
)
_ORDERS: Final = MappingProxyType[str, Callable[[Decimal, Decimal], bool]](
    {
        "lt": lambda one, other: one < other,
        "lteq": lambda one, other: one <= other,
        "gt": lambda one, other: one > other,
        "gteq": lambda one, other: one >= other,
    }
)


def _number(text: str) -> Decimal | None:
    if _NUMBER.fullmatch(text) is None:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if abs(number.adjusted()) <= _MAX_EXPONENT else None


def _seconds(text: str) -> Decimal | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    try:
        whole = datetime.fromisoformat(match[1] + match[3])
    except ValueError:
        return None
    return Decimal(int((whole - _EPOCH).total_seconds())) + Decimal(match[2] or 0)


_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _duration(text: str) -> Decimal | None:
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    days, hours, minutes, seconds = (Decimal(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _boolean(text: str) -> Decimal | None:
    return _BOOLEANS.get(text)


_BOOLEANS: Final = MappingProxyType({"true": Decimal(1), "1": Decimal(1), "false": Decimal(0), "0": Decimal(0)})
_READERS: Final = MappingProxyType[str, tuple[Kind, Callable[[str], Decimal | None]]](
    {
        **dict.fromkeys(_NUMBERS.split(), (Kind.NUMBER, _number)),
        "dateTime": (Kind.TIME, _seconds),
        "dateTimeStamp": (Kind.TIME, _seconds),
        "duration": (Kind.DURATION, _duration),
        "dayTimeDuration": (Kind.DURATION, _duration),
        "boolean": (Kind.BOOLEAN, _boolean),
    }
)


def _same(one: Value, other: Value) -> State:
    if Kind.OTHER in {one.kind, other.kind} or one.kind is not other.kind:
        return State.UNKNOWN
    same = one.text == other.text if one.measure is None else one.measure == other.measure
    return State.SATISFIED if same else State.UNSATISFIED


def _among(one: Value, others: Sequence[Value]) -> State:
    return one_of(_same(one, other) for other in others)


def _all(states: Iterable[State]) -> State:
    """Of several given values all must fit or none; where only some do, nobody can tell what was meant."""
    found = set(states)
    return found.pop() if len(found) == 1 else State.UNKNOWN


def _ordered(given: Sequence[Value], operator: str, right: Sequence[Value]) -> State:
    if len(right) != 1:
        return State.UNKNOWN
    (bound,) = right

    def fits(value: Value) -> State:
        if value.kind is not bound.kind or value.measure is None or bound.measure is None:
            return State.UNKNOWN
        return State.SATISFIED if _ORDERS[operator](value.measure, bound.measure) else State.UNSATISFIED

    return _all(fits(value) for value in given)


def _related(given: Sequence[Value], right: Sequence[Value], holds: Callable[[str, str], bool]) -> State:
    """No evidence of a relation is no evidence against it."""
    if any(value.kind is not Kind.NAME for value in (*given, *right)):
        return State.UNKNOWN
    fits = all(any(holds(one.text, other.text) for other in right) for one in given)
    return State.SATISFIED if fits else State.UNKNOWN
