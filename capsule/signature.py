"""Signing keys and signatures, each with the number of its suite.

Suite 1 is Ed25519 (RFC 8032, strict: canonical encodings, no small-order or mixed-order keys, S below the group
order). Suite 2 is reserved for SM2. Keys are 32 bytes, signatures 64 in suite 1. Secret keys never show in `repr`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import nacl.bindings
import nacl.exceptions
import nacl.signing

from capsule.errors import InputError, VerificationError

__all__ = ["ED25519", "SM2", "Ed25519Signer", "PublicKey", "Signer"]

ED25519: Final = 1
SM2: Final = 2


class Signer(Protocol):
    """Something that signs: a key in a file, or one behind PKCS#11 or a key service."""

    @property
    def suite(self) -> int: ...

    @property
    def public_key(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Ed25519Signer:
    """An Ed25519 signing key from its 32-byte seed."""

    seed: bytes = field(repr=False)
    public_key: bytes = field(init=False)
    _key: nacl.signing.SigningKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.seed, bytes) or len(self.seed) != 32:
            raise InputError("an Ed25519 seed has 32 bytes")
        object.__setattr__(self, "_key", nacl.signing.SigningKey(self.seed))
        object.__setattr__(self, "public_key", bytes(self._key.verify_key))

    @classmethod
    def generate(cls, entropy: Callable[[int], bytes]) -> Ed25519Signer:
        """A new key from 32 bytes of `entropy`."""
        return cls(entropy(32))

    @property
    def suite(self) -> int:
        return ED25519

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message).signature


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key to check signatures with. Constructing one checks it, so that no weak key is ever registered.

    Raises InputError for an unsupported suite, a wrong length, and points outside Ed25519's prime-order group.
    """

    suite: int
    key: bytes

    def __post_init__(self) -> None:
        if self.suite != ED25519:
            raise InputError(f"unsupported suite {self.suite}: only Ed25519 ({ED25519}) is available")
        if not isinstance(self.key, bytes) or len(self.key) != 32:
            raise InputError("an Ed25519 public key has 32 bytes")
        if not nacl.bindings.crypto_core_ed25519_is_valid_point(self.key):
            raise InputError(f"0x{self.key.hex()} is no Ed25519 key: small order, mixed order or not a point")

    def verify_suite(self, suite: int) -> PublicKey:
        """Returns this key when a signature names its suite; VerificationError otherwise."""
        if suite != self.suite:
            raise VerificationError(f"signature names suite {suite}, the key is of suite {self.suite}")
        return self

    def verify(self, message: bytes, signature: bytes) -> None:
        """Raises VerificationError when `signature` is not this key's over `message`."""
        try:
            nacl.signing.VerifyKey(self.key).verify(message, signature)
        except (nacl.exceptions.BadSignatureError, ValueError) as exc:
            raise VerificationError(
                "signature does not hold", f"key 0x{self.key.hex()}, signature 0x{signature.hex()}"
            ) from exc
