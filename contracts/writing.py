"""What `records.py` writes values with: text of words, and the check that a log is regular.

Whatever is irregular raises ChainIntegrityError here without a reason; the strict readers give it, or read it after
all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import orjson

from contracts.errors import ChainIntegrityError
from contracts.words import address, bytes32, directory_name, listing, uscc

__all__ = ["account", "code", "entry_name", "listed", "number", "quoted", "regular"]

_CACHED: Final = 1 << 16
_WORD: Final = 32
_SAFE_INTEGER: Final = 2**53 - 1


def regular(found: tuple[bytes, ...], count: int, data: bytes, size: int, whole: bool, mask: int) -> tuple[bytes, ...]:
    """The topics of a log with `count` of them, whose `size` bytes of fixed words have none of the mask's bits set.

    `whole`: there is nothing behind these words.
    """
    fixed = data if whole else data[:size]
    if len(fixed) != size or int.from_bytes(fixed, "big") & mask or len(found) != count:
        raise ChainIntegrityError("irregular")
    for topic in found:
        if len(topic) != _WORD:
            raise ChainIntegrityError("irregular")
    return found


def number(word: bytes) -> int:
    """A number that RFC 8785 writes as one."""
    value = int.from_bytes(word, "big")
    if value > _SAFE_INTEGER:
        raise ChainIntegrityError("irregular")
    return value


@lru_cache(maxsize=_CACHED)
def account(word: bytes) -> str:
    """An account as in EIP-55."""
    return str(address(word, 0))


@lru_cache(maxsize=_CACHED)
def code(word: bytes) -> str:
    """An organisation's code."""
    return str(uscc(word, 0))


@lru_cache(maxsize=_CACHED)
def entry_name(word: bytes) -> str:
    """A Directory name; one that JSON would escape is not regular."""
    name = directory_name(word, 0)
    if quoted(name) != f'"{name}"':
        raise ChainIntegrityError("irregular")
    return name


def quoted(value: str) -> str:
    """Text as RFC 8785 writes it."""
    return orjson.dumps(value).decode()


def listed(data: bytes, at: int) -> str:
    """The members of a list of 32-byte words."""
    return ",".join(f'"{word}"' for word in listing(data, at, 32, bytes32))
