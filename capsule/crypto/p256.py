"""ECDSA on P-256 with SHA-256 (FIPS 186-5), for verifying what chips of old protocols signed. Nothing here signs."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from capsule.errors import InputError, VerificationError

__all__ = ["check_p256", "signature_der", "verify_p256"]

_POINT_BYTES: Final = 65


def check_p256(key: bytes) -> bytes:
    """The key: 04, x, y (65 bytes). Raises InputError for what is no point of the curve."""
    if len(key) != _POINT_BYTES or key[0] != 4:
        raise InputError("a P-256 public key is 04, x and y, 65 bytes")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
    except ValueError as exc:
        raise InputError(f"0x{key.hex()} is no point of P-256") from exc
    return key


def signature_der(r: int, s: int) -> bytes:
    """An elliptic curve signature in DER, from its numbers as old protocols carry them."""
    return encode_dss_signature(r, s)


def verify_p256(key: bytes, message: bytes, signature: bytes) -> None:
    """Raises VerificationError when `signature` (DER) is not this key's over `message`."""
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), check_p256(key))
    try:
        public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as exc:
        raise VerificationError("signature does not hold", f"key 0x{key.hex()}, signature 0x{signature.hex()}") from exc
