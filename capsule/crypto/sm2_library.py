"""The port to an SM2 library, the curve of GB/T 32918.5, and the known answers that prove a library.

A library signs digests. What is hashed, how a key names its user and how a signature is encoded: `capsule.crypto.sm2`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from capsule.errors import CipherUnavailableError, VerificationError

__all__ = ["SCALAR_BYTES", "A", "B", "G", "N", "P", "Sm2Library", "self_test"]

SCALAR_BYTES: Final = 32

# GB/T 32918.5, clause 4.2: prime, coefficients, order and base point (x || y) of the recommended curve
P: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A: Final = P - 3
B: Final = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
G: Final = bytes.fromhex(
    "32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7"
    "bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0"
)


class Sm2Library(Protocol):
    """An SM2 library. Secrets are integers in [1, N - 2], points 64 bytes x || y that are on the curve."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def point(self, secret: int) -> bytes:
        """The public point of a secret, x || y."""
        ...

    def sign(self, secret: int, digest: bytes, entropy: Callable[[int], bytes]) -> tuple[int, int]:
        """r and s over a digest of 32 bytes, with a nonce from `entropy` or from the library's own secure generator."""
        ...

    def verify(self, point: bytes, digest: bytes, r: int, s: int) -> None:
        """Raises VerificationError unless r and s, both in [1, N - 1], are a signature over the digest."""
        ...


# GB/T 32918.5, annex A: message "message digest", user id 1234567812345678
_SECRET: Final = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
_POINT: Final = bytes.fromhex(
    "09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
_DIGEST: Final = bytes.fromhex("f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640")
_NONCE: Final = bytes.fromhex("59276e27d506861a16680f3ad9c02dccef3cc1fa3cdbe4ce6d54b80deac1bc21")
_R: Final = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
_S: Final = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA


def self_test(library: Sm2Library) -> Sm2Library:
    """Runs the known answers; returns the library or raises CipherUnavailableError.

    A signature is checked by verifying it: a library with its own generator does not take the annex's nonce.
    """
    named = f"{library.name} {library.version}"
    if library.point(_SECRET) != _POINT:
        raise CipherUnavailableError(f"{named} computes SM2 public keys wrongly")
    try:
        library.verify(_POINT, _DIGEST, _R, _S)
        library.verify(_POINT, _DIGEST, *library.sign(_SECRET, _DIGEST, lambda _: _NONCE))
    except VerificationError as exc:
        raise CipherUnavailableError(f"{named} refuses an SM2 signature that holds") from exc
    for digest, r, s in ((_DIGEST[::-1], _R, _S), (_DIGEST, _S, _R)):
        try:
            library.verify(_POINT, digest, r, s)
        except VerificationError:
            continue
        raise CipherUnavailableError(f"{named} accepts an SM2 signature that does not hold")
    return library
