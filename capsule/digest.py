"""Digests and what is signed: every kind of thing under its own prefix, every signature bound to one ledger.

Invariant: no two kinds share a hash input, since the prefix "dataspace/<kind>/1" ends with a zero byte that no kind
holds; no signature for one chain or Directory holds on another.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from capsule.canonical import Json, encode
from capsule.errors import InputError
from capsule.ids import Address, Digest

__all__ = ["Domain", "document_digest", "tagged"]

_KIND: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@lru_cache(maxsize=256)
def _prefix(kind: str) -> bytes:
    if _KIND.fullmatch(kind) is None:
        raise InputError(f"a kind is lower-case words joined by hyphens, not {kind!r:.80}")
    return f"dataspace/{kind}/1".encode() + b"\x00"


def tagged(kind: str, data: bytes) -> Digest:
    """SHA-256 over "dataspace/<kind>/1", a zero byte and `data`."""
    return Digest(hashlib.sha256(_prefix(kind) + data).digest())


def document_digest(kind: str, document: Json) -> Digest:
    """Digest of a JSON document: `tagged` over its RFC 8785 bytes."""
    return tagged(kind, encode(document))


@dataclass(frozen=True, slots=True)
class Domain:
    """The ledger that a signature is meant for: chain id and Directory."""

    chain_id: int
    directory: Address

    def __post_init__(self) -> None:
        if not 0 <= self.chain_id < 2**256:
            raise InputError(f"chain id {self.chain_id} is not a uint256")

    def statement(self, kind: str, digest: Digest) -> bytes:
        """The bytes to sign: prefix, chain id (32 bytes, big-endian), Directory (20), digest (32)."""
        return _prefix(kind) + self.chain_id.to_bytes(32, "big") + self.directory + digest
