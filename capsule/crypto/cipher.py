"""The port to a cipher library: the four primitives of suite SM4-GCM-SM3, and the known answers that prove one.

Keys are 16 bytes for SM4 and of any length for HMAC; nonces 12 bytes; tags the full 16, appended to the ciphertext.
A provider writes no cipher of its own. The calls with `_into` may run in several threads at once.
"""

from __future__ import annotations

from typing import Final, Protocol

from capsule.errors import CipherUnavailableError, InputError, OpenError

__all__ = ["KEY_SIZE", "NONCE_SIZE", "TAG_SIZE", "Cipher", "check_sizes", "self_test"]

KEY_SIZE: Final = 16
NONCE_SIZE: Final = 12
TAG_SIZE: Final = 16


class Cipher(Protocol):
    """A cipher library."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def sm4_gcm_seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes | memoryview) -> bytes:
        """Ciphertext and tag."""
        ...

    def sm4_gcm_open(self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes | memoryview) -> bytes:
        """Plaintext, after its tag was checked; OpenError otherwise."""
        ...

    def sm4_gcm_seal_into(
        self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes | memoryview, sealed: memoryview
    ) -> None:
        """Writes ciphertext and tag to `sealed`, which has 16 bytes more than the plaintext."""
        ...

    def sm4_gcm_open_into(
        self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes | memoryview, plaintext: memoryview
    ) -> None:
        """Writes the plaintext, 16 bytes fewer than `sealed`; where the tag is wrong, zeros, and raises OpenError."""
        ...

    def sm3(self, data: bytes) -> bytes:
        """32 bytes."""
        ...

    def hmac_sm3(self, key: bytes, data: bytes) -> bytes:
        """32 bytes."""
        ...

    def hkdf_sm3(self, key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
        """RFC 5869 with HMAC-SM3, extract and expand."""
        ...


def check_sizes(key: bytes, nonce: bytes, short: int, long: int) -> None:
    """InputError unless key and nonce have their sizes, and the sealed text of `long` bytes a tag more than `short`."""
    if len(key) != KEY_SIZE or len(nonce) != NONCE_SIZE:
        raise InputError(f"SM4-GCM takes a key of {KEY_SIZE} and a nonce of {NONCE_SIZE} bytes")
    if long - short != TAG_SIZE:
        raise InputError(f"a sealed text has {TAG_SIZE} bytes more than its plaintext, not {long - short}")


# RFC 8998, appendix A.1
_GCM_KEY: Final = bytes.fromhex("0123456789abcdeffedcba9876543210")
_GCM_NONCE: Final = bytes.fromhex("00001234567800000000abcd")
_GCM_AAD: Final = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
_GCM_PLAIN: Final = b"".join(bytes([value]) * 8 for value in (0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0xEE, 0xAA))
_GCM_SEALED: Final = bytes.fromhex(
    "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
    "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
    "83de3541e4c2b58177e065a9bf7b62ec"
)
# GB/T 32905-2016, A.1
_SM3_ABC: Final = bytes.fromhex("66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0")


def self_test(cipher: Cipher) -> Cipher:
    """Runs the known answers; returns the provider or raises CipherUnavailableError.

    HMAC is checked against its definition (RFC 2104) and HKDF against RFC 5869 over the provider's own SM3 and HMAC.
    """
    key = bytes(range(20))
    padded = key.ljust(64, b"\x00")
    inner = cipher.sm3(bytes(byte ^ 0x36 for byte in padded) + b"message")
    hmac = cipher.sm3(bytes(byte ^ 0x5C for byte in padded) + inner)
    extracted = cipher.hmac_sm3(b"salt", key)
    sealed, opened = memoryview(bytearray(len(_GCM_SEALED))), memoryview(bytearray(len(_GCM_PLAIN)))
    cipher.sm4_gcm_seal_into(_GCM_KEY, _GCM_NONCE, _GCM_AAD, _GCM_PLAIN, sealed)
    cipher.sm4_gcm_open_into(_GCM_KEY, _GCM_NONCE, _GCM_AAD, _GCM_SEALED, opened)
    answers = (
        (cipher.sm4_gcm_seal(_GCM_KEY, _GCM_NONCE, _GCM_AAD, _GCM_PLAIN), _GCM_SEALED, "SM4-GCM seal"),
        (cipher.sm4_gcm_open(_GCM_KEY, _GCM_NONCE, _GCM_AAD, _GCM_SEALED), _GCM_PLAIN, "SM4-GCM open"),
        (sealed, _GCM_SEALED, "SM4-GCM seal into a buffer"),
        (opened, _GCM_PLAIN, "SM4-GCM open into a buffer"),
        (cipher.sm3(b"abc"), _SM3_ABC, "SM3"),
        (cipher.hmac_sm3(key, b"message"), hmac, "HMAC-SM3"),
        (cipher.hkdf_sm3(key, b"salt", b"info", 16), cipher.hmac_sm3(extracted, b"info\x01")[:16], "HKDF-HMAC-SM3"),
    )
    for computed, known, primitive in answers:
        if computed != known:
            raise CipherUnavailableError(f"{cipher.name} {cipher.version} computes {primitive} wrongly")
    changed = _GCM_SEALED[:-1] + bytes([_GCM_SEALED[-1] ^ 1])
    for attempt in (
        lambda: cipher.sm4_gcm_open(_GCM_KEY, _GCM_NONCE, _GCM_AAD, changed),
        lambda: cipher.sm4_gcm_open_into(_GCM_KEY, _GCM_NONCE, _GCM_AAD, changed, opened),
    ):
        try:
            attempt()
        except OpenError:
            continue
        raise CipherUnavailableError(f"{cipher.name} {cipher.version} opens a changed SM4-GCM text")
    if any(opened):
        raise CipherUnavailableError(f"{cipher.name} {cipher.version} leaves plaintext of a changed SM4-GCM text")
    return cipher
