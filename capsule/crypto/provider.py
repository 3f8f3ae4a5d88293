"""Which cipher library this process uses: chosen once, by known answers, or by who starts the process.

Invariant: a provider that fails its self-test is never used, also not by order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from capsule.crypto.cipher import Cipher, self_test
from capsule.crypto.gcrypt import GcryptCipher
from capsule.crypto.pyca import PycaCipher
from capsule.errors import CipherUnavailableError, InputError, OpenError

__all__ = ["PROVIDERS", "choose", "load", "provider"]

PROVIDERS: Final[Mapping[str, Callable[[], Cipher]]] = MappingProxyType(
    {"libgcrypt": GcryptCipher, "cryptography": PycaCipher}
)
"""By name, the fastest first."""

_chosen: list[Cipher] = []


@cache
def load(name: str) -> Cipher:
    """A provider by its name, tested. InputError for an unknown name, CipherUnavailableError where it doesn't work."""
    if name not in PROVIDERS:
        raise InputError(f"no cipher provider {name!r:.40}; there are {', '.join(PROVIDERS)}")
    try:
        return self_test(PROVIDERS[name]())
    except (OpenError, InputError) as exc:
        raise CipherUnavailableError(f"{name} refuses a text that it should open") from exc


def choose(name: str = "") -> Cipher:
    """Settles the provider for the rest of the process: the one named, else the first that passes its self-test.

    Raises InputError for an unknown name, and CipherUnavailableError where none passes or the one named doesn't.
    """
    _chosen[:] = [load(name) if name else _first()]
    return _chosen[0]


def provider() -> Cipher:
    """The cipher provider of this process; CipherUnavailableError where none passes its self-test."""
    return _chosen[0] if _chosen else choose()


def _first() -> Cipher:
    reasons = []
    for name in PROVIDERS:
        try:
            return load(name)
        except CipherUnavailableError as exc:
            reasons.append(str(exc))
    raise CipherUnavailableError(f"no cipher provider works: {'; '.join(reasons)}")
