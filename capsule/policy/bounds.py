"""What a term lets through, as an interval or as a set of names, with containment and intersection."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, TypeAlias

from capsule.errors import PolicyError
from capsule.policy.values import Kind

__all__ = ["ANY_NAME", "Bound", "Names", "Span", "intersection", "is_within"]


@dataclass(frozen=True, slots=True)
class Span:
    """Numbers, times or durations from `low` to `high`, None for no end; an open end is not part of it."""

    kind: Kind = Kind.NUMBER
    low: Decimal | None = None
    high: Decimal | None = None
    low_open: bool = False
    high_open: bool = False

    @property
    def empty(self) -> bool:
        """Nothing is in it."""
        if self.low is None or self.high is None:
            return False
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    def meet(self, other: Span) -> Span:
        """What is in both."""
        low, low_open = max(_low(self), _low(other))
        high, closed = min(_high(self), _high(other))
        return Span(
            self.kind,
            None if low == -_INFINITY else low,
            None if high == _INFINITY else high,
            bool(low_open),
            not closed,
        )

    def within(self, other: Span) -> bool:
        """Whether all of it is in the other."""
        return _low(self) >= _low(other) and _high(self) <= _high(other)


@dataclass(frozen=True, slots=True)
class Names:
    """The names in `allowed`, or with None all but those in `refused`."""

    allowed: frozenset[str] | None = None
    refused: frozenset[str] = frozenset()

    @property
    def empty(self) -> bool:
        """No name is let through."""
        return self.allowed is not None and not self.allowed

    def meet(self, other: Names) -> Names:
        """What both let through."""
        refused = self.refused | other.refused
        if self.allowed is None and other.allowed is None:
            return Names(None, refused)
        if self.allowed is None or other.allowed is None:
            return Names((self.allowed or other.allowed or frozenset()) - refused)
        return Names((self.allowed & other.allowed) - refused)

    def within(self, other: Names) -> bool:
        """Whether the other lets all of it through."""
        if self.allowed is None:
            return other.allowed is None and other.refused <= self.refused
        return (other.allowed is None or self.allowed <= other.allowed) and not self.allowed & other.refused


Bound: TypeAlias = Span | Names

ANY_NAME: Final = Names()
_INFINITY: Final = Decimal("Infinity")


def intersection(term: str, one: Bound, other: Bound) -> Bound:
    """What both bounds of a term let through, which may be nothing."""
    if isinstance(one, Span) and isinstance(other, Span):
        return replace(one.meet(other), kind=one.kind)
    if isinstance(one, Names) and isinstance(other, Names):
        return one.meet(other)
    raise PolicyError(term, "is a number in one place and a name in another")


def is_within(one: Bound, other: Bound) -> bool:
    """Whether it is certain that the other bound lets all of the first through."""
    if isinstance(one, Span) and isinstance(other, Span):
        return one.within(other)
    return isinstance(one, Names) and isinstance(other, Names) and one.within(other)


def _low(span: Span) -> tuple[Decimal, bool]:
    return (-_INFINITY if span.low is None else span.low, span.low_open)


def _high(span: Span) -> tuple[Decimal, bool]:
    """An open end comes before a closed one."""
    return (_INFINITY if span.high is None else span.high, not span.high_open)
