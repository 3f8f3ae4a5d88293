"""The leaf hashes of a capsule, kept beside it, so that a part of it can be checked against its root without reading
the rest.

The side file is: magic, the root signature's suite (1 byte) and length (2, big-endian), that signature, then 32 bytes
a leaf. It is worth what its root is worth: compare that with the one on chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, overload

from capsule.errors import FormatError, InputError
from capsule.ids import Digest
from capsule.tree import TreeHasher

__all__ = ["MAGIC", "LeafHashes", "SideFile"]

MAGIC: Final = b"dsl1\r\n\x1a\n"
_HASH: Final = 32
_MAX_SIGNATURE_SIZE: Final = 512


class LeafHashes(Sequence[Digest]):
    """Leaf hashes in order, 32 bytes each in memory."""

    __slots__ = ("packed",)

    def __init__(self, leaves: Iterable[bytes] = (), *, packed: bytes | None = None) -> None:
        self.packed = b"".join(leaves) if packed is None else packed
        if len(self.packed) % _HASH:
            raise InputError("leaf hashes have 32 bytes each")

    def __len__(self) -> int:
        return len(self.packed) // _HASH

    @overload
    def __getitem__(self, index: int) -> Digest: ...
    @overload
    def __getitem__(self, index: slice) -> LeafHashes: ...
    def __getitem__(self, index: int | slice) -> Digest | LeafHashes:
        if isinstance(index, slice):
            return LeafHashes(self[at] for at in range(*index.indices(len(self))))
        at = range(len(self))[index] * _HASH
        return Digest(self.packed[at : at + _HASH])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LeafHashes) and self.packed == other.packed

    def __hash__(self) -> int:
        return hash(self.packed)

    def __repr__(self) -> str:
        return f"LeafHashes({len(self)})"

    @property
    def root(self) -> Digest:
        return TreeHasher(self).root()


@dataclass(frozen=True, slots=True)
class SideFile:
    """Leaf hashes and the provider's signature over their root."""

    leaves: LeafHashes
    suite: int
    root_signature: bytes

    def to_bytes(self) -> bytes:
        length = len(self.root_signature).to_bytes(2, "big")
        return MAGIC + bytes([self.suite]) + length + self.root_signature + self.leaves.packed

    @classmethod
    def from_bytes(cls, data: bytes) -> SideFile:
        """FormatError when it is no side file."""
        begin = len(MAGIC) + 3
        if not data.startswith(MAGIC) or len(data) < begin:
            raise FormatError("not a side file of a capsule")
        end = begin + int.from_bytes(data[begin - 2 : begin], "big")
        if not begin < end <= min(len(data), begin + _MAX_SIGNATURE_SIZE) or (len(data) - end) % _HASH:
            raise FormatError("side file of a capsule is cut off")
        return cls(LeafHashes(packed=data[end:]), data[begin - 3], data[begin:end])
