"""Which cipher library this process uses: chosen once, at its first use, after its self-test."""

from __future__ import annotations

from functools import cache

from capsule.crypto.cipher import Cipher, self_test
from capsule.crypto.pyca import PycaCipher

__all__ = ["provider"]


@cache
def provider() -> Cipher:
    """The cipher provider; CipherUnavailableError where none passes its self-test."""
    return self_test(PycaCipher())
