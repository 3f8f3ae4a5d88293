"""The port's implementation over `gmssl`: Python integers, everywhere installable, slow and not constant time.

Only its curve arithmetic over digests is used. Not its generator: `random.choice` is no source of nonces. Nor its
parsing: a key loses leading zeros and fours there, and r and s are not checked for their range.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from gmssl.sm2 import CryptSM2

from capsule.crypto.sm2_library import SCALAR_BYTES, G, N
from capsule.errors import InputError, VerificationError

__all__ = ["GmsslSm2"]

_ATTEMPTS: Final = 16  # each nonce is out of range by 1 in 2^32


class GmsslSm2:
    """SM2 of `gmssl`, with nonces from the caller."""

    __slots__ = ()

    name: Final = "gmssl"
    version: Final = version("gmssl")

    def point(self, secret: int) -> bytes:
        return bytes.fromhex(CryptSM2("", "")._kg(secret, G.hex()))

    def sign(self, secret: int, digest: bytes, entropy: Callable[[int], bytes]) -> tuple[int, int]:
        key = CryptSM2(_hex(secret), "")
        for _ in range(_ATTEMPTS):
            nonce = int.from_bytes(entropy(SCALAR_BYTES), "big")
            if not 1 <= nonce < N:
                continue
            signature = key.sign(digest, _hex(nonce))
            if signature is not None:  # None where r, s or r + nonce is zero modulo N
                return int(signature[: 2 * SCALAR_BYTES], 16), int(signature[2 * SCALAR_BYTES :], 16)
        raise InputError(f"entropy gave no SM2 nonce in {_ATTEMPTS} draws: it is not random")

    def verify(self, point: bytes, digest: bytes, r: int, s: int) -> None:
        key = CryptSM2("", "")
        key.public_key = point.hex()  # not by the constructor, which strips zeros and fours off its start
        try:
            holds = key.verify(_hex(r) + _hex(s), digest)
        except TypeError as exc:  # it has no point at infinity
            raise VerificationError("SM2 signature leads to the point at infinity") from exc
        if not holds:
            raise VerificationError("SM2 signature does not hold")


def _hex(scalar: int) -> str:
    return scalar.to_bytes(SCALAR_BYTES, "big").hex()
