"""Sealing to one reader: X25519 keys and PyNaCl's SealedBox (anonymous sender, 48 bytes longer than the plaintext).

SealedBox draws its ephemeral key itself. It does not say who sealed; what is inside must.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import nacl.exceptions
import nacl.public

from capsule.errors import InputError, OpenError

__all__ = ["BoxKey", "seal_to"]


@dataclass(frozen=True, slots=True)
class BoxKey:
    """An X25519 key from its 32-byte secret."""

    secret: bytes = field(repr=False)
    public: bytes = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.secret, bytes) or len(self.secret) != 32:
            raise InputError("an X25519 secret has 32 bytes")
        object.__setattr__(self, "public", bytes(nacl.public.PrivateKey(self.secret).public_key))

    @classmethod
    def generate(cls, entropy: Callable[[int], bytes]) -> BoxKey:
        """A new key from 32 bytes of `entropy`."""
        return cls(entropy(32))

    def open(self, sealed: bytes) -> bytes:
        """Plaintext of what was sealed to this key; OpenError for everything else."""
        try:
            return nacl.public.SealedBox(nacl.public.PrivateKey(self.secret)).decrypt(bytes(sealed))
        except (nacl.exceptions.CryptoError, ValueError, TypeError):
            raise OpenError from None


def seal_to(public: bytes, plaintext: bytes) -> bytes:
    """Seals `plaintext` so that only the owner of `public` (32 bytes) reads it.

    Raises InputError for a key of wrong length or small order, which anybody could read.
    """
    try:
        return nacl.public.SealedBox(nacl.public.PublicKey(bytes(public))).encrypt(plaintext)
    except (nacl.exceptions.CryptoError, ValueError, TypeError) as exc:
        raise InputError("not an X25519 public key") from exc
