"""The port's implementation over `cryptography`, whose wheels carry SM3 and SM4-GCM."""

from __future__ import annotations

from typing import Final

import cryptography
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher as PycaContext
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from capsule.crypto.cipher import KEY_SIZE, NONCE_SIZE, TAG_SIZE, check_sizes
from capsule.errors import CipherUnavailableError, InputError, OpenError

__all__ = ["PycaCipher"]

_SM3: Final = hashes.SM3()


class PycaCipher:
    """SM3 and SM4-GCM of `cryptography`."""

    __slots__ = ()

    name: Final = "cryptography"
    version: Final = cryptography.__version__

    def sm4_gcm_seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes | memoryview) -> bytes:
        encryptor = _context(key, nonce).encryptor()
        encryptor.authenticate_additional_data(aad)
        return encryptor.update(plaintext) + encryptor.finalize() + encryptor.tag

    def sm4_gcm_open(self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes | memoryview) -> bytes:
        if len(sealed) < TAG_SIZE:
            raise OpenError
        decryptor = _context(key, nonce).decryptor()
        decryptor.authenticate_additional_data(aad)
        view = memoryview(sealed)
        plaintext = decryptor.update(view[:-TAG_SIZE])
        try:
            return plaintext + decryptor.finalize_with_tag(bytes(view[-TAG_SIZE:]))
        except InvalidTag:
            raise OpenError from None

    def sm4_gcm_seal_into(
        self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes | memoryview, sealed: memoryview
    ) -> None:
        check_sizes(key, nonce, len(plaintext), len(sealed))
        encryptor = _context(key, nonce).encryptor()
        encryptor.authenticate_additional_data(aad)
        # through a copy: update_into wants room for a block more than it writes
        sealed[:-TAG_SIZE] = encryptor.update(plaintext)
        encryptor.finalize()
        sealed[-TAG_SIZE:] = encryptor.tag

    def sm4_gcm_open_into(
        self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes | memoryview, plaintext: memoryview
    ) -> None:
        check_sizes(key, nonce, len(plaintext), len(sealed))
        try:
            plaintext[:] = self.sm4_gcm_open(key, nonce, aad, sealed)
        except OpenError:
            plaintext[:] = bytes(len(plaintext))
            raise

    def sm3(self, data: bytes) -> bytes:
        digest = hashes.Hash(_SM3)
        digest.update(data)
        return digest.finalize()

    def hmac_sm3(self, key: bytes, data: bytes) -> bytes:
        mac = HMAC(key, _SM3)
        mac.update(data)
        return mac.finalize()

    def hkdf_sm3(self, key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
        return HKDF(_SM3, length, salt, info).derive(key)


def _context(key: bytes, nonce: bytes) -> PycaContext[modes.GCM]:
    if len(key) != KEY_SIZE or len(nonce) != NONCE_SIZE:
        raise InputError(f"SM4-GCM takes a key of {KEY_SIZE} and a nonce of {NONCE_SIZE} bytes")
    try:
        return PycaContext(algorithms.SM4(key), modes.GCM(nonce))
    except UnsupportedAlgorithm as exc:
        raise CipherUnavailableError("this build of `cryptography` has no SM4; install its wheel") from exc
