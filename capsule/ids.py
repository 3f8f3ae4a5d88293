"""Identifiers and digests as types: parsed once, then trusted.

All are immutable byte strings (an organisation's code is text) that compare and hash by value. `str()` gives the
written form, `parse` reads it and refuses everything else with InputError.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import ClassVar, Final, Self

from Crypto.Hash import keccak

from capsule.errors import InputError

__all__ = [
    "Address",
    "AssetId",
    "Bytes32",
    "DeviceId",
    "Digest",
    "FleetId",
    "GrantId",
    "OpeningId",
    "RequestId",
    "Uscc",
    "UseId",
]

_HEX32: Final = re.compile(r"0x[0-9a-fA-F]{64}")
_HEX20: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_USCC_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_VALUES: Final = {letter: value for value, letter in enumerate(_USCC_ALPHABET)}


class Bytes32(bytes):
    """Exactly 32 bytes; written as 0x and 64 lower-case hex digits."""

    __slots__ = ()

    def __new__(cls, value: bytes) -> Self:
        if not isinstance(value, bytes) or len(value) != 32:
            raise InputError(f"{cls.__name__} takes 32 bytes")
        return super().__new__(cls, value)

    @classmethod
    def parse(cls, text: str) -> Self:
        if not isinstance(text, str) or _HEX32.fullmatch(text) is None:
            raise InputError(f"{cls.__name__} is written as 0x and 64 hex digits, not {text!r:.80}")
        return cls(bytes.fromhex(text[2:]))

    def __str__(self) -> str:
        return "0x" + self.hex()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"


class Digest(Bytes32):
    """A hash value. What was hashed, and how, is said where the digest is named."""

    __slots__ = ()


class AssetId(Bytes32):
    """An asset on chain."""

    __slots__ = ()


class OpeningId(Bytes32):
    """An opening of a deal, so that its shares can be gathered for a new one."""

    __slots__ = ()


class RequestId(Bytes32):
    """A request for access."""

    __slots__ = ()


class GrantId(Bytes32):
    """A grant of access."""

    __slots__ = ()


class UseId(Bytes32):
    """One use of a grant."""

    __slots__ = ()


class DeviceId(Bytes32):
    """A device: random, chosen by its owner, never a serial number or VIN."""

    __slots__ = ()


class FleetId(Bytes32):
    """Devices that were enrolled together under one root."""

    __slots__ = ()


class Address(bytes):
    """An account on chain: 20 bytes, written as in EIP-55."""

    __slots__ = ()
    ZERO: ClassVar[Address]

    def __new__(cls, value: bytes) -> Self:
        if not isinstance(value, bytes) or len(value) != 20:
            raise InputError(f"{cls.__name__} takes 20 bytes")
        return super().__new__(cls, value)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads 0x and 40 hex digits. Mixed case must carry the right EIP-55 checksum; one case carries none."""
        if not isinstance(text, str) or _HEX20.fullmatch(text) is None:
            raise InputError(f"an account is written as 0x and 40 hex digits, not {text!r:.80}")
        address = cls(bytes.fromhex(text[2:]))
        digits = text[2:]
        if digits not in (digits.lower(), digits.upper()) and text != str(address):
            raise InputError(f"account {text} has a wrong EIP-55 checksum")
        return address

    def __str__(self) -> str:
        return _eip55(bytes(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"


Address.ZERO = Address(bytes(20))


@lru_cache(maxsize=4096)
def _eip55(value: bytes) -> str:
    """Digits are upper case where the digest of the lower-case digits has a nibble of 8 or more: EIP-55 itself, since
    eth-utils takes a fifth of a runtime's start to import."""
    digits = value.hex()
    digest = keccak.new(data=digits.encode(), digest_bits=256).hexdigest()
    return "0x" + "".join(
        digit.upper() if int(nibble, 16) >= 8 else digit for digit, nibble in zip(digits, digest, strict=False)
    )


class Uscc(str):
    """统一社会信用代码, GB 32100: 17 characters and a check character. Equal codes name one organisation."""

    __slots__ = ()

    def __new__(cls, code: str) -> Self:
        if not isinstance(code, str) or len(code) != 18 or any(letter not in _USCC_VALUES for letter in code):
            raise InputError(f"not a 统一社会信用代码 (18 of {_USCC_ALPHABET}): {code!r:.80}")
        if code[17] != _uscc_check(code[:17]):
            raise InputError(f"统一社会信用代码 {code} has a wrong check character")
        return super().__new__(cls, code)

    @classmethod
    def parse(cls, text: str) -> Self:
        return cls(text)

    @classmethod
    def make(cls, body: str) -> Self:
        """Appends the check character to 17 characters."""
        if len(body) != 17 or any(letter not in _USCC_VALUES for letter in body):
            raise InputError(f"a 统一社会信用代码 starts with 17 of {_USCC_ALPHABET}, not {body!r:.80}")
        return cls(body + _uscc_check(body))


def _uscc_check(body: str) -> str:
    total = sum(_USCC_VALUES[letter] * pow(3, place, 31) for place, letter in enumerate(body))
    return _USCC_ALPHABET[(31 - total % 31) % 31]
