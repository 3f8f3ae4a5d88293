"""The port's implementation over `tongsuopy` (Tongsuo, OpenSSL's Chinese fork): native code, nonces from its own DRBG.

Its public calls hash with the customary user id and no other. Keys have ids of their own here, so digests go to
EVP_PKEY_sign and EVP_PKEY_verify through the package's own cffi binding: the package is pinned, and the self-test
guards the way there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from tongsuopy import __version__
from tongsuopy.backends.tongsuo import backend
from tongsuopy.crypto.asymciphers import ec

from capsule.crypto.sm2_library import SCALAR_BYTES
from capsule.errors import CipherUnavailableError, InputError, VerificationError

__all__ = ["TongsuoSm2"]

_MAX_SIGNATURE: Final = 128
_LIB, _FFI = backend._lib, backend._ffi


class TongsuoSm2:
    """SM2 of `tongsuopy`."""

    __slots__ = ()

    name: Final = "tongsuopy"
    version: Final = __version__

    def point(self, secret: int) -> bytes:
        numbers = ec.derive_private_key(secret, ec.SM2()).public_key().public_numbers()
        return b"".join(int(axis).to_bytes(SCALAR_BYTES, "big") for axis in (numbers.x, numbers.y))

    def sign(self, secret: int, digest: bytes, entropy: Callable[[int], bytes]) -> tuple[int, int]:
        context = _context(ec.derive_private_key(secret, ec.SM2()))
        room, size = _FFI.new("unsigned char[]", _MAX_SIGNATURE), _FFI.new("size_t *", _MAX_SIGNATURE)
        if _LIB.EVP_PKEY_sign_init(context) != 1 or _LIB.EVP_PKEY_sign(context, room, size, digest, len(digest)) != 1:
            backend._consume_errors()
            raise CipherUnavailableError("tongsuopy does not sign; remove it and gmssl serves")
        return decode_dss_signature(bytes(_FFI.buffer(room, size[0])))

    def verify(self, point: bytes, digest: bytes, r: int, s: int) -> None:
        try:
            context = _context(ec.EllipticCurvePublicKey.from_encoded_point(ec.SM2(), b"\x04" + point))
        except ValueError as exc:
            raise InputError(f"0x{point.hex()} is no point of the SM2 curve") from exc
        signature = encode_dss_signature(r, s)
        if (
            _LIB.EVP_PKEY_verify_init(context) != 1
            or _LIB.EVP_PKEY_verify(context, signature, len(signature), digest, len(digest)) != 1
        ):
            backend._consume_errors()  # they stay with the thread otherwise
            raise VerificationError("SM2 signature does not hold")


def _context(key: Any) -> Any:
    context = _LIB.EVP_PKEY_CTX_new(key._evp_pkey, _FFI.NULL)
    if context == _FFI.NULL:
        raise CipherUnavailableError("tongsuopy takes no SM2 key; remove it and gmssl serves")
    return _FFI.gc(context, _LIB.EVP_PKEY_CTX_free)
