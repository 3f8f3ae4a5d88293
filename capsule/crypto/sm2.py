"""SM2 signatures (GB/T 32918.2 over the curve of GB/T 32918.5, SM3 as hash), in the DER of GM/T 0009.

A public key is 04 || x || y || user id, the id 1 to 64 bytes: it enters every digest, so it stands wherever its key
stands. Which library computes is settled once per process, by known answers.

Invariant: a signature has one encoding that verifies, and a key one encoding that is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from capsule.crypto.provider import provider
from capsule.crypto.sm2_library import SCALAR_BYTES, A, B, G, N, P, Sm2Library, self_test
from capsule.errors import CipherUnavailableError, InputError, VerificationError

__all__ = [
    "LIBRARIES",
    "MAX_SIGNATURE_BYTES",
    "MAX_USER_ID_BYTES",
    "POINT_BYTES",
    "USER_ID",
    "check_public_key",
    "check_secret",
    "choose",
    "library",
    "load",
    "message_digest",
    "new_secret",
    "public_key_of",
    "sign",
    "user_digest",
    "verify",
]

USER_ID: Final = b"1234567812345678"
"""The customary user id, for keys whose owner has no reason for another (GM/T 0009, clause 10)."""

MAX_USER_ID_BYTES: Final = 64
MAX_SIGNATURE_BYTES: Final = 72
POINT_BYTES: Final = 65
_UNCOMPRESSED: Final = 0x04
_DRAWS: Final = 16  # each is out of range by 1 in 2^32


def _tongsuopy() -> Sm2Library:
    try:
        from capsule.crypto.sm2_tongsuo import TongsuoSm2  # noqa: PLC0415
    except ImportError as exc:
        raise CipherUnavailableError("tongsuopy is not installed; it comes with 'dataspace[sm2]'") from exc
    except AttributeError as exc:
        raise CipherUnavailableError("this tongsuopy has another inside than the one that is pinned") from exc
    return TongsuoSm2()


def _gmssl() -> Sm2Library:
    from capsule.crypto.sm2_gmssl import GmsslSm2  # noqa: PLC0415

    return GmsslSm2()


LIBRARIES: Final[Mapping[str, Callable[[], Sm2Library]]] = MappingProxyType({"tongsuopy": _tongsuopy, "gmssl": _gmssl})
"""By name, the fastest first; imported only where SM2 is used."""

_chosen: list[Sm2Library] = []


@cache
def load(name: str) -> Sm2Library:
    """A library by its name, tested. InputError for an unknown name, CipherUnavailableError where it doesn't work."""
    if name not in LIBRARIES:
        raise InputError(f"no SM2 library {name!r:.40}; there are {', '.join(LIBRARIES)}")
    return self_test(LIBRARIES[name]())


def choose(name: str = "") -> Sm2Library:
    """Settles the library for the rest of the process: the one named, else the first that passes its self-test.

    Raises InputError for an unknown name, and CipherUnavailableError where none passes or the one named doesn't.
    """
    _chosen[:] = [load(name) if name else _first()]
    return _chosen[0]


def library() -> Sm2Library:
    """The SM2 library of this process; CipherUnavailableError where none passes its self-test."""
    return _chosen[0] if _chosen else choose()


def check_public_key(key: bytes) -> bytes:
    """Returns the key, or raises InputError: wrong length or form, no point of the curve. The cofactor is 1."""
    if not isinstance(key, bytes) or not POINT_BYTES < len(key) <= POINT_BYTES + MAX_USER_ID_BYTES:
        raise InputError(f"an SM2 public key has {POINT_BYTES} bytes and a user id of 1 to {MAX_USER_ID_BYTES}")
    x, y = int.from_bytes(key[1:33], "big"), int.from_bytes(key[33:65], "big")
    if key[0] != _UNCOMPRESSED or x >= P or y >= P or (y * y - x * x * x - A * x - B) % P != 0:
        raise InputError(f"0x{key.hex()} is no SM2 key: not 04 || x || y of a point on the curve")
    return key


def check_secret(secret: bytes) -> int:
    """The secret as an integer; InputError unless it is 32 bytes, big-endian, in [1, N - 2]."""
    if not isinstance(secret, bytes) or len(secret) != SCALAR_BYTES:
        raise InputError(f"an SM2 secret has {SCALAR_BYTES} bytes")
    scalar = int.from_bytes(secret, "big")
    if not 1 <= scalar <= N - 2:
        raise InputError("an SM2 secret is within 1 to n - 2")
    return scalar


def new_secret(entropy: Callable[[int], bytes]) -> bytes:
    """A secret, uniform in [1, N - 2]. Raises InputError where `entropy` repeats itself."""
    for _ in range(_DRAWS):
        drawn = entropy(SCALAR_BYTES)
        if 1 <= int.from_bytes(drawn, "big") <= N - 2:
            return drawn
    raise InputError(f"entropy gave no SM2 secret in {_DRAWS} draws: it is not random")


def public_key_of(secret: bytes, user_id: bytes) -> bytes:
    """04 || x || y || user id. Raises InputError for a secret or a user id that is none."""
    return check_public_key(bytes([_UNCOMPRESSED]) + library().point(check_secret(secret)) + user_id)


def user_digest(key: bytes) -> bytes:
    """Z_A (GB/T 32918.2, clause 5.5): SM3 over the user id with its length in bits, the curve, and the point."""
    user_id = key[POINT_BYTES:]
    curve = b"".join(value.to_bytes(SCALAR_BYTES, "big") for value in (A, B)) + G
    return provider().sm3((8 * len(user_id)).to_bytes(2, "big") + user_id + curve + key[1:POINT_BYTES])


def message_digest(key: bytes, message: bytes) -> bytes:
    """e: SM3 over Z_A and the message; what is signed."""
    return provider().sm3(user_digest(key) + message)


def sign(secret: bytes, key: bytes, message: bytes, entropy: Callable[[int], bytes]) -> bytes:
    """DER SEQUENCE of r and s. `key` is the secret's own. Raises InputError where `entropy` repeats itself."""
    return encode_dss_signature(*library().sign(check_secret(secret), message_digest(key, message), entropy))


def verify(key: bytes, message: bytes, signature: bytes) -> None:
    """Raises VerificationError unless the signature, in its one encoding, is this key's over the message."""
    if len(signature) > MAX_SIGNATURE_BYTES:
        raise VerificationError(f"an SM2 signature has at most {MAX_SIGNATURE_BYTES} bytes")
    try:
        r, s = decode_dss_signature(signature)
    except ValueError as exc:
        raise VerificationError("SM2 signature is no DER sequence of two integers") from exc
    if not (1 <= r < N and 1 <= s < N) or encode_dss_signature(r, s) != signature:
        raise VerificationError("SM2 signature is out of range or not in its one encoding")
    library().verify(key[1:POINT_BYTES], message_digest(key, message), r, s)


def _first() -> Sm2Library:
    reasons = []
    for name in LIBRARIES:
        try:
            return load(name)
        except CipherUnavailableError as exc:
            reasons.append(str(exc))
    raise CipherUnavailableError(f"no SM2 library works: {'; '.join(reasons)}")
