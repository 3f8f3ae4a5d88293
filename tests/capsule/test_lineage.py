"""A lineage is walked once through, nearest first, and says of each ancestor whether it is there."""

import pytest

from capsule.errors import VerificationError
from capsule.ids import Digest
from capsule.lineage import MAX_ANCESTORS, MAX_DEPTH, Broken, Found, State, walk
from capsule.opening import Level
from tests.capsule.samples import digest


def found(root: int, *parents: int) -> Found:
    return Found(digest(root), Level.HEADER_ONLY, tuple(map(digest, parents)))


def test_ancestors_come_nearest_first_and_each_once() -> None:
    shelf = {digest(root): found(root, *parents) for root, parents in {2: (4, 5), 3: (4,), 4: (6,), 6: ()}.items()}
    shelf_or_broken: dict[Digest, Found | Broken] = {**shelf, digest(5): Broken("cut off")}
    ancestors = walk(digest(1), [digest(2), digest(3)], shelf_or_broken.get)
    assert [(int.from_bytes(each.root, "big"), each.depth, each.state) for each in ancestors] == [
        (2, 1, State.FOUND), (3, 1, State.FOUND), (4, 2, State.FOUND), (5, 2, State.BROKEN), (6, 3, State.FOUND)
    ]  # fmt: skip
    assert ancestors[3].reason == "cut off"
    assert walk(digest(1), [digest(9)], shelf.get)[0].state is State.MISSING
    assert walk(digest(1), [], shelf.get) == ()


def test_cycles_end() -> None:
    shelf = {digest(2): found(2, 3), digest(3): found(3, 2, 1)}
    assert [each.state for each in walk(digest(1), [digest(2)], shelf.get)] == [State.FOUND, State.FOUND]


def test_what_is_found_under_another_root_is_broken() -> None:
    (ancestor,) = walk(digest(1), [digest(2)], lambda _: found(7))
    assert ancestor.state is State.BROKEN
    assert str(digest(7)) in ancestor.reason


def test_endless_and_huge_lineages_are_refused() -> None:
    def next_one(root: Digest) -> Found:
        return Found(root, Level.HEADER_ONLY, (digest(int.from_bytes(root, "big") + 1),))

    with pytest.raises(VerificationError, match=f"{MAX_DEPTH} generations"):
        walk(digest(1), [digest(2)], next_one)
    asked: list[Digest] = []

    def none_of_many(root: Digest) -> None:
        asked.append(root)

    with pytest.raises(VerificationError):
        walk(digest(1), map(digest, range(2, MAX_ANCESTORS + 3)), none_of_many)
    assert asked == []
    assert len(walk(digest(1), map(digest, range(2, MAX_ANCESTORS + 2)), none_of_many)) == MAX_ANCESTORS
