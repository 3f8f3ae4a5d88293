"""RFC 9162 hash trees with SHA-256: leaves under 00, nodes under 01, an odd last node moves up unchanged.

A tree proves that a leaf stands at one position among a known number of leaves; a root is worth nothing without its
size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from capsule.errors import InputError, VerificationError
from capsule.ids import Digest

__all__ = [
    "EMPTY_ROOT",
    "Tree",
    "TreeHasher",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "root",
    "verify_consistency",
    "verify_inclusion",
]

EMPTY_ROOT: Final = Digest(hashlib.sha256(b"").digest())


def leaf_hash(data: bytes | memoryview) -> Digest:
    """Hash of a leaf's bytes, which are not copied."""
    hasher = hashlib.sha256(b"\x00")
    hasher.update(data)
    return Digest(hasher.digest())


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _checked(leaf: bytes) -> bytes:
    if len(leaf) != 32:
        raise InputError(f"a leaf hash has 32 bytes, not {len(leaf)}")
    return bytes(leaf)


class TreeHasher:
    """The root of leaves that arrive one by one; keeps one hash for each bit of the size."""

    __slots__ = ("_peaks", "_size")

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self._peaks: list[bytes] = []  # roots of the full subtrees, largest first
        self._size = 0
        for leaf in leaf_hashes:
            self.append(leaf)

    @classmethod
    def resumed(cls, size: int, peaks: Sequence[bytes]) -> TreeHasher:
        """Goes on where another hasher with this size and these peaks stopped; InputError where they do not fit."""
        if size < 0 or len(peaks) != size.bit_count():
            raise InputError(f"a tree of {size} leaves has not {len(peaks)} peaks")
        hasher = cls()
        hasher._peaks = [_checked(peak) for peak in peaks]
        hasher._size = size
        return hasher

    @property
    def size(self) -> int:
        return self._size

    @property
    def peaks(self) -> tuple[Digest, ...]:
        """Roots of the full subtrees, largest first: one for each bit of the size."""
        return tuple(Digest(peak) for peak in self._peaks)

    def append(self, leaf: bytes) -> None:
        """Adds one leaf hash (32 bytes, else InputError)."""
        node = _checked(leaf)
        filled = self._size
        while filled & 1:
            node = _node_hash(self._peaks.pop(), node)
            filled >>= 1
        self._peaks.append(node)
        self._size += 1

    def root(self) -> Digest:
        """Root over what was added so far."""
        if not self._peaks:
            return EMPTY_ROOT
        node = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            node = _node_hash(peak, node)
        return Digest(node)


class Tree:
    """All levels of a tree in memory, for many proofs: 64 bytes a leaf."""

    __slots__ = ("_levels",)

    def __init__(self, leaf_hashes: Iterable[bytes]) -> None:
        level = [_checked(leaf) for leaf in leaf_hashes]
        self._levels = [level]
        while len(level) > 1:
            above = [_node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
            if len(level) % 2:
                above.append(level[-1])
            self._levels.append(above)
            level = above

    @property
    def size(self) -> int:
        return len(self._levels[0])

    @property
    def root(self) -> Digest:
        return Digest(self._levels[-1][0]) if self._levels[0] else EMPTY_ROOT

    def proof(self, index: int) -> tuple[Digest, ...]:
        """Inclusion proof of the leaf at `index`, lowest sibling first."""
        if not 0 <= index < self.size:
            raise InputError(f"no leaf {index} in a tree of {self.size}")
        path: list[Digest] = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                path.append(Digest(level[sibling]))
            index >>= 1
        return tuple(path)

    def consistency(self, first: int) -> tuple[Digest, ...]:
        """Consistency proof between the tree's first `first` leaves and all of it (RFC 9162, 2.1.4.1)."""
        if not 0 < first <= self.size:
            raise InputError(f"a tree of {self.size} has no earlier one of {first}")
        low, at, last = 0, first - 1, self.size - 1
        # up to the largest full subtree that ends the first tree
        while at & 1:
            at, last, low = at >> 1, last >> 1, low + 1
        path = [Digest(self._levels[low][at])] if at else []
        while last:
            if at & 1:
                path.append(Digest(self._levels[low][at - 1]))
            elif at < last:
                path.append(Digest(self._levels[low][at + 1]))
            at, last, low = at >> 1, last >> 1, low + 1
        return tuple(path) if first < self.size else ()


def root(leaf_hashes: Iterable[bytes]) -> Digest:
    """Root over leaf hashes; EMPTY_ROOT over none."""
    return TreeHasher(leaf_hashes).root()


def inclusion_proof(leaf_hashes: Iterable[bytes], index: int) -> tuple[Digest, ...]:
    """Inclusion proof of one leaf. For many proofs of one tree, `Tree` is cheaper."""
    return Tree(leaf_hashes).proof(index)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> None:
    """Checks that `leaf` (a leaf hash) stands at `index` of the tree with `size` leaves and root `expected`.

    RFC 9162, section 2.1.3.2. Raises VerificationError when it does not.
    """
    if len(leaf) != 32 or len(expected) != 32 or any(len(step) != 32 for step in proof):
        raise VerificationError("inclusion proof holds a hash that has not 32 bytes")
    if not 0 <= index < size:
        raise VerificationError(f"inclusion proof is for leaf {index} of {size}")
    position, last, node = index, size - 1, bytes(leaf)
    for step in proof:
        if last == 0:
            raise VerificationError("inclusion proof is too long")
        if position & 1 or position == last:
            node = _node_hash(step, node)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            node = _node_hash(node, step)
        position >>= 1
        last >>= 1
    if last != 0:
        raise VerificationError("inclusion proof is too short")
    if node != expected:
        raise VerificationError(
            "inclusion proof leads to another root", f"computed 0x{node.hex()}, expected 0x{bytes(expected).hex()}"
        )


def consistency_proof(leaf_hashes: Iterable[bytes], first: int) -> tuple[Digest, ...]:
    """Consistency proof between the first `first` leaves and all of them."""
    return Tree(leaf_hashes).consistency(first)


def verify_consistency(first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]) -> None:
    """Checks that the tree of `first` leaves is the beginning of the tree of `second` leaves.

    RFC 9162, section 2.1.4.2; a tree of no leaves, which the RFC leaves out, begins every other without a proof.
    Raises VerificationError when it does not.
    """
    if len(first_root) != 32 or len(second_root) != 32 or any(len(step) != 32 for step in proof):
        raise VerificationError("consistency proof holds a hash that has not 32 bytes")
    if not 0 <= first <= second:
        raise VerificationError(f"consistency proof is between {first} and {second} leaves")
    if first in (0, second):
        known = EMPTY_ROOT if first == 0 else second_root
        if proof or first_root != known:
            raise VerificationError("consistency proof of one tree with itself, or with none, is empty, its root equal")
        return
    path = list(proof) if first & (first - 1) else [first_root, *proof]
    if not path:
        raise VerificationError("consistency proof is too short")
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = bytes(path[0])
    for step in path[1:]:
        if last == 0:
            raise VerificationError("consistency proof is too long")
        if at & 1 or at == last:
            old, new = _node_hash(step, old), _node_hash(step, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = _node_hash(new, step)
        at, last = at >> 1, last >> 1
    if last != 0:
        raise VerificationError("consistency proof is too short")
    if (old, new) != (first_root, second_root):
        raise VerificationError("consistency proof leads to other roots", f"computed 0x{old.hex()} and 0x{new.hex()}")
