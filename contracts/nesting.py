"""RLP from strangers, read only where its lists nest no deeper than what it is read as.

`rlp` copies what is in a list once for each list around it: a hundred kilobytes of lists in lists would take gigabytes.
"""

from __future__ import annotations

from typing import Any, Final

import rlp
from rlp.exceptions import RLPException

__all__ = ["read_nested"]

_LISTS: Final = 0xC0
_LONG_LISTS: Final = 0xF7
_STRINGS: Final = 0x80
_LONG_STRINGS: Final = 0xB7


def read_nested(encoded: bytes, depth: int) -> Any:
    """What is encoded, with at most `depth` lists around anything. Raises RLPException for anything else."""
    ends: list[int] = []
    at = 0
    while at < len(encoded):
        while ends and at >= ends[-1]:
            ends.pop()
        first = encoded[at]
        if first < _LISTS:
            at += 1 if first < _STRINGS else _length(encoded, at, first, _STRINGS, _LONG_STRINGS)
            continue
        if len(ends) == depth:
            raise RLPException(f"lists are nested deeper than {depth}")
        ends.append(at + _length(encoded, at, first, _LISTS, _LONG_LISTS))
        at += 1 + max(0, first - _LONG_LISTS)
    return rlp.decode(encoded)


def _length(encoded: bytes, at: int, first: int, short: int, long: int) -> int:
    """Bytes of the item at a place, with its prefix; never zero, so that a walk over them ends."""
    if first <= long:
        return 1 + first - short
    size = first - long
    return 1 + size + int.from_bytes(encoded[at + 1 : at + 1 + size], "big")
