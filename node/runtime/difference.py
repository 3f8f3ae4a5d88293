"""The differencing rule: no result, with what its buyer was told before, may single out a few rows.

Groups that were told together are a partition: any of them can be added up. A set of rows T whose numbers are known,
and the sum of any groups of a partition, differ in the rows of one that are not in the other; where these are at least
one and fewer than the least group size, the numbers of those few follow by subtraction. So T is a group of any answer,
all groups of a partition together, or all rows of the capsule, and one of the two is of the new answer.

Not covered: sums over groups of three or more partitions, or over some groups of each of two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyroaring import BitMap

from node.errors import GuardError, RuntimeRefusedError
from node.runtime.engine import Answer, Counted
from node.runtime.members import Group, Partition

__all__ = ["Told", "check_difference", "partitions_of", "suppressed"]


@dataclass(frozen=True, slots=True)
class Told:
    """What is left of a result once small groups are left out, and the capsules' tables that some were left out of."""

    counted: Counted
    short: frozenset[str]


def suppressed(counted: Counted, least: int) -> Told:
    """Leaves out the rows of groups below `least`, and where those of a part make up fewer rows than that together,
    its next larger groups too, first come first: what is left out can't be had by subtraction from the part's total.

    It depends on this result alone, never on earlier answers, so that a re-execution leaves out the same.
    """
    left_out: set[int] = set()
    short: set[str] = set()
    for part, places in _parts(counted.groups).items():
        total = 0
        for place in sorted(places, key=lambda one: len(counted.groups[one].rows)):
            size = len(counted.groups[place].rows)
            if size < least or 0 < total < least:
                left_out.add(place)
                short.add(part[0])
                total += size
    kept = [place for place in range(len(counted.groups)) if place not in left_out]
    answer = Answer(counted.answer.columns, tuple(counted.answer.rows[place] for place in kept))
    return Told(Counted(answer, tuple(counted.groups[place] for place in kept)), frozenset(short))


def partitions_of(counted: Counted) -> Mapping[str, tuple[Partition, ...]]:
    """The partitions that a result tells, by the capsule's table."""
    found: dict[str, tuple[Partition, ...]] = {}
    for part, places in _parts(counted.groups).items():
        groups = tuple(counted.groups[place].rows for place in places)
        found[part[0]] = (*found.get(part[0], ()), Partition(groups))
    return found


def check_difference(told: Sequence[Partition], earlier: Sequence[Partition], rows: int, least: int) -> None:
    """Raises GuardError ("difference") where partitions of a new answer over a capsule of `rows` rows, among themselves
    or with earlier ones, single out fewer than `least` rows."""
    whole = BitMap(range(rows))
    whole.run_optimize()
    known = [Partition((whole,)), *earlier]
    for partition in told:
        for other in (*known, *told):
            _check(partition, other, least)
        for other in known:
            _check(other, partition, least)


def _check(one: Partition, other: Partition, least: int) -> None:
    """Holds each group of one partition, and all of them together, against the sums of another's."""
    same = one.key & other.key
    alone = (group for key, group in one.by_key.items() if key not in same)
    together = () if same == one.key else (one.union,)
    for rows in (*alone, *together):
        if 0 < _gap(rows, other, least) < least:
            raise GuardError("difference")


def _gap(rows: BitMap, partition: Partition, enough: int) -> int:
    """In how many rows `rows` and the closest sum of groups of a partition differ; counted no further than `enough`.

    Each group is in the sum or not, whichever costs fewer rows. Where nothing is left over, `rows` is such a sum, and
    the next closest differs from it by a whole group.
    """
    left = rows.intersection_cardinality(partition.union)
    gap = len(rows) - left
    for group in partition.groups:
        if gap >= enough or left == 0:
            break
        common = rows.intersection_cardinality(group)
        left -= common
        gap += min(common, len(group) - common)
    return gap


def _parts(groups: Sequence[Group]) -> Mapping[tuple[str, int, int], list[int]]:
    """The places of groups by the part that they are of; RuntimeRefusedError ("algorithm", "groups") where groups of
    one part have rows in common, since all else rests on that they don't."""
    parts: dict[tuple[str, int, int], list[int]] = {}
    for place, group in enumerate(groups):
        parts.setdefault((group.table, *group.part), []).append(place)
    for places in parts.values():
        rows = [groups[place].rows for place in places]
        # a grouping set that was asked for twice, which GROUPING() does not tell apart
        if len(BitMap.union(*rows)) != sum(map(len, rows)):
            raise RuntimeRefusedError("algorithm", "groups")
    return parts
