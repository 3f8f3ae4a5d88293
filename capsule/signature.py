"""Signing keys and signatures, each with the number of its suite.

Suite 1 is Ed25519 (RFC 8032, strict: canonical encodings, no small-order or mixed-order keys, S below the group
order): keys of 32 bytes, signatures of 64. Suite 2 is SM2 (`capsule.crypto.sm2`): keys 04 || x || y || user id,
signatures in DER, at most 72 bytes. Secret keys never show in `repr`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import nacl.bindings
import nacl.exceptions
import nacl.signing

from capsule.crypto import sm2
from capsule.errors import InputError, VerificationError

__all__ = [
    "ED25519",
    "MAX_KEY_BYTES",
    "MAX_SIGNATURE_BYTES",
    "SM2",
    "Ed25519Signer",
    "PublicKey",
    "Signer",
    "Sm2Signer",
    "new_secret",
    "signer_from_secret",
]

ED25519: Final = 1
SM2: Final = 2
_SUITES: Final = {ED25519: "Ed25519", SM2: "SM2"}

MAX_KEY_BYTES: Final = sm2.POINT_BYTES + sm2.MAX_USER_ID_BYTES
MAX_SIGNATURE_BYTES: Final = sm2.MAX_SIGNATURE_BYTES
"""Of any suite: what a reader has to take."""

_SECRET_BYTES: Final = 32
_ED25519_KEY_BYTES: Final = 32


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
class Sm2Signer:
    """An SM2 signing key from its 32-byte secret and the user id that its signatures are bound to.

    `entropy` gives the nonces, where the SM2 library does not draw them itself.
    """

    secret: bytes = field(repr=False)
    user_id: bytes
    entropy: Callable[[int], bytes] = field(repr=False, compare=False)
    public_key: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "public_key", sm2.public_key_of(self.secret, self.user_id))

    @classmethod
    def generate(cls, entropy: Callable[[int], bytes], user_id: bytes = sm2.USER_ID) -> Sm2Signer:
        """A new key. Raises InputError for a user id that is none, and for entropy that repeats itself."""
        return cls(sm2.new_secret(entropy), user_id, entropy)

    @property
    def suite(self) -> int:
        return SM2

    def sign(self, message: bytes) -> bytes:
        return sm2.sign(self.secret, self.public_key, message, self.entropy)


def new_secret(suite: int, entropy: Callable[[int], bytes]) -> bytes:
    """A new key's secret, as `signer_from_secret` takes it. Raises InputError for an unknown suite."""
    _check_suite(suite)
    return entropy(_SECRET_BYTES) if suite == ED25519 else sm2.new_secret(entropy) + sm2.USER_ID


def signer_from_secret(suite: int, secret: bytes, entropy: Callable[[int], bytes]) -> Signer:
    """The signer of a stored secret: an Ed25519 seed, or an SM2 secret followed by its user id.

    Raises InputError for an unknown suite, and for what is no secret of it.
    """
    _check_suite(suite)
    if suite == ED25519:
        return Ed25519Signer(secret)
    return Sm2Signer(secret[:_SECRET_BYTES], secret[_SECRET_BYTES:], entropy)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key to check signatures with. Constructing one checks it, so that no weak key is ever registered.

    Raises InputError for an unknown suite, a wrong length, and points outside Ed25519's prime-order group or off SM2's
    curve.
    """

    suite: int
    key: bytes

    def __post_init__(self) -> None:
        _check_suite(self.suite)
        if self.suite == SM2:
            sm2.check_public_key(self.key)
            return
        if not isinstance(self.key, bytes) or len(self.key) != _ED25519_KEY_BYTES:
            raise InputError("an Ed25519 public key has 32 bytes")
        if not nacl.bindings.crypto_core_ed25519_is_valid_point(self.key):
            raise InputError(f"0x{self.key.hex()} is no Ed25519 key: small order, mixed order or not a point")

    @classmethod
    def of(cls, key: bytes) -> PublicKey:
        """A key by its form alone: 32 bytes are Ed25519, more are SM2. Raises InputError."""
        return cls(ED25519 if len(key) <= _ED25519_KEY_BYTES else SM2, key)

    def verify_suite(self, suite: int) -> PublicKey:
        """Returns this key when a signature names its suite; VerificationError otherwise."""
        if suite != self.suite:
            raise VerificationError(f"signature names suite {suite}, the key is of suite {self.suite}")
        return self

    def verify(self, message: bytes, signature: bytes) -> None:
        """Raises VerificationError when `signature` is not this key's over `message`."""
        try:
            if self.suite == SM2:
                sm2.verify(self.key, message, signature)
            else:
                nacl.signing.VerifyKey(self.key).verify(message, signature)
        except (nacl.exceptions.BadSignatureError, ValueError, VerificationError) as exc:
            raise VerificationError(
                "signature does not hold", f"key 0x{self.key.hex()}, signature 0x{signature.hex()}"
            ) from exc


def _check_suite(suite: int) -> None:
    if suite not in _SUITES:
        known = ", ".join(f"{number} ({name})" for number, name in _SUITES.items())
        raise InputError(f"there is no signature suite {suite}; there are {known}")
