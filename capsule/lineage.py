"""Lineage: the capsules that a capsule was made from, and theirs, as far as they can be found.

A header names its parents by their roots, so who vouches for a capsule vouches for which bytes its parents are, not for
who made them: each ancestor has its own level. Nothing is trusted to be free of cycles or small: every root is visited
once, and a walk that passes its limits is refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from capsule.errors import VerificationError
from capsule.ids import Digest
from capsule.opening import Level

__all__ = ["MAX_ANCESTORS", "MAX_DEPTH", "Ancestor", "Broken", "Found", "State", "walk"]

MAX_ANCESTORS: Final = 8192
MAX_DEPTH: Final = 64


class State(StrEnum):
    """What became of looking for an ancestor."""

    FOUND = "found"
    MISSING = "missing"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Found:
    """A capsule that was read through: its root, what vouches for that, and the roots of its own parents."""

    root: Digest
    level: Level
    parents: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """A capsule that claims to be the one looked for and is not whole, or not signed by its provider."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """One capsule of the lineage. `depth` is 1 for parents; `level` and `parents` are known of what was found."""

    root: Digest
    depth: int
    state: State
    level: Level | None = None
    parents: tuple[Digest, ...] = ()
    reason: str = ""


def walk(
    root: Digest, parents: Iterable[Digest], find: Callable[[Digest], Found | Broken | None]
) -> tuple[Ancestor, ...]:
    """All ancestors of the capsule with this root and these parents, nearest first, each once.

    `find` gives what is known of the capsule with a root, None when there is none. Raises VerificationError for a
    lineage of more than 8,192 ancestors or 64 generations.
    """
    seen = {root}
    waiting: deque[tuple[Digest, int]] = deque()
    ancestors: list[Ancestor] = []

    def wait_for(roots: Iterable[Digest], depth: int) -> None:
        for each in roots:
            if each in seen:
                continue
            if depth > MAX_DEPTH or len(seen) > MAX_ANCESTORS:
                raise VerificationError(
                    f"lineage has more than {MAX_ANCESTORS} capsules or {MAX_DEPTH} generations", f"stopped at {each}"
                )
            seen.add(each)
            waiting.append((each, depth))

    wait_for(parents, 1)
    while waiting:
        wanted, depth = waiting.popleft()
        ancestor = _ancestor(wanted, depth, find(wanted))
        ancestors.append(ancestor)
        wait_for(ancestor.parents, depth + 1)
    return tuple(ancestors)


def _ancestor(root: Digest, depth: int, found: Found | Broken | None) -> Ancestor:
    if found is None:
        return Ancestor(root=root, depth=depth, state=State.MISSING)
    if isinstance(found, Found) and found.root != root:
        found = Broken(f"its root is {found.root}")
    if isinstance(found, Broken):
        return Ancestor(root=root, depth=depth, state=State.BROKEN, reason=found.reason)
    return Ancestor(root=root, depth=depth, state=State.FOUND, level=found.level, parents=found.parents)
