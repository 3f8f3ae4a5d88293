"""The port's implementation over libgcrypt, the C library that common Linux systems carry; called by its ABI.

Invariants: every return code is read; only a wrong tag is an OpenError. A key is handed over as it is, expanded in
libgcrypt's own locked memory, and wiped there when the call ends. Calls release the interpreter's lock, and each has a
handle of its own, so threads run side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import cffi  # type: ignore[import-untyped]

from capsule.crypto.cipher import KEY_SIZE, TAG_SIZE, check_sizes
from capsule.errors import CipherUnavailableError, InputError, OpenError

__all__ = ["GcryptCipher"]

_LIBRARY: Final = "libgcrypt.so.20"
_OLDEST: Final = b"1.9.0"  # the first with SM4 and SM3

_DECLARATIONS: Final = """
typedef unsigned int gcry_error_t;
typedef struct gcry_cipher_handle *gcry_cipher_hd_t;
typedef struct gcry_md_handle *gcry_md_hd_t;
typedef struct gcry_mac_handle *gcry_mac_hd_t;
const char *gcry_check_version(const char *wanted);
gcry_error_t gcry_control(int command, ...);
const char *gcry_strerror(gcry_error_t code);
gcry_error_t gcry_cipher_open(gcry_cipher_hd_t *handle, int algorithm, int mode, unsigned int flags);
void gcry_cipher_close(gcry_cipher_hd_t handle);
gcry_error_t gcry_cipher_setkey(gcry_cipher_hd_t handle, const void *key, size_t length);
gcry_error_t gcry_cipher_setiv(gcry_cipher_hd_t handle, const void *nonce, size_t length);
gcry_error_t gcry_cipher_authenticate(gcry_cipher_hd_t handle, const void *data, size_t length);
gcry_error_t gcry_cipher_encrypt(gcry_cipher_hd_t handle, void *out, size_t room, const void *in, size_t length);
gcry_error_t gcry_cipher_decrypt(gcry_cipher_hd_t handle, void *out, size_t room, const void *in, size_t length);
gcry_error_t gcry_cipher_gettag(gcry_cipher_hd_t handle, void *tag, size_t length);
gcry_error_t gcry_cipher_checktag(gcry_cipher_hd_t handle, const void *tag, size_t length);
gcry_error_t gcry_md_open(gcry_md_hd_t *handle, int algorithm, unsigned int flags);
void gcry_md_close(gcry_md_hd_t handle);
void gcry_md_write(gcry_md_hd_t handle, const void *data, size_t length);
unsigned char *gcry_md_read(gcry_md_hd_t handle, int algorithm);
gcry_error_t gcry_mac_open(gcry_mac_hd_t *handle, int algorithm, unsigned int flags, void *context);
void gcry_mac_close(gcry_mac_hd_t handle);
gcry_error_t gcry_mac_setkey(gcry_mac_hd_t handle, const void *key, size_t length);
gcry_error_t gcry_mac_write(gcry_mac_hd_t handle, const void *data, size_t length);
gcry_error_t gcry_mac_read(gcry_mac_hd_t handle, void *out, size_t *length);
"""
_SM4: Final = 318
_GCM: Final = 9
_SM3: Final = 326
_HMAC_SM3: Final = 128
_CIPHER_SECURE: Final = 1
_MAC_SECURE: Final = 1
_INIT_SECMEM: Final = 24
_DISABLE_SECMEM_WARN: Final = 27
_INITIALIZATION_FINISHED: Final = 38
_INITIALIZATION_FINISHED_P: Final = 39
_CHECKSUM: Final = 10  # the error code of a wrong tag
_CODE_MASK: Final = 0xFFFF  # the rest of an error names its source
_SECURE_BYTES: Final = 256 * 1024
_DIGEST_SIZE: Final = 32


class GcryptCipher:
    """SM3 and SM4-GCM of libgcrypt. CipherUnavailableError where the library is absent, too old, or can't start."""

    __slots__ = ("_ffi", "_lib", "version")

    name: Final = "libgcrypt"

    def __init__(self) -> None:
        self._ffi: Any = cffi.FFI()
        self._ffi.cdef(_DECLARATIONS)
        try:
            self._lib: Any = self._ffi.dlopen(_LIBRARY)
        except OSError as exc:
            raise CipherUnavailableError(f"{_LIBRARY} is not on this system") from exc
        version = self._lib.gcry_check_version(_OLDEST)
        if version == self._ffi.NULL:
            raise CipherUnavailableError(f"{_LIBRARY} is older than {_OLDEST.decode()}")
        self.version: str = self._ffi.string(version).decode()
        # another library of this process may have finished the initialisation before
        if not self._lib.gcry_control(_INITIALIZATION_FINISHED_P):
            self._lib.gcry_control(_DISABLE_SECMEM_WARN)
            self._done(self._lib.gcry_control(_INIT_SECMEM, self._ffi.cast("int", _SECURE_BYTES)))
            self._done(self._lib.gcry_control(_INITIALIZATION_FINISHED, self._ffi.cast("int", 0)))

    def sm4_gcm_seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes | memoryview) -> bytes:
        sealed = bytearray(len(plaintext) + TAG_SIZE)
        self.sm4_gcm_seal_into(key, nonce, aad, plaintext, memoryview(sealed))
        return bytes(sealed)

    def sm4_gcm_open(self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes | memoryview) -> bytes:
        if len(sealed) < TAG_SIZE:
            raise OpenError
        plaintext = bytearray(len(sealed) - TAG_SIZE)
        self.sm4_gcm_open_into(key, nonce, aad, sealed, memoryview(plaintext))
        return bytes(plaintext)

    def sm4_gcm_seal_into(
        self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes | memoryview, sealed: memoryview
    ) -> None:
        size = len(plaintext)
        check_sizes(key, nonce, size, len(sealed))
        with self._cipher(key, nonce, aad) as handle, self._buffers(plaintext, sealed) as (source, target):
            if size:
                self._done(self._lib.gcry_cipher_encrypt(handle, target, size, source, size))
            self._done(self._lib.gcry_cipher_gettag(handle, target + size, TAG_SIZE))

    def sm4_gcm_open_into(
        self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes | memoryview, plaintext: memoryview
    ) -> None:
        size = len(plaintext)
        check_sizes(key, nonce, size, len(sealed))
        with self._cipher(key, nonce, aad) as handle, self._buffers(sealed, plaintext) as (source, target):
            if size:
                self._done(self._lib.gcry_cipher_decrypt(handle, target, size, source, size))
            code = self._lib.gcry_cipher_checktag(handle, source + size, TAG_SIZE)
        if code:
            plaintext[:] = bytes(size)
            if code & _CODE_MASK == _CHECKSUM:
                raise OpenError
            self._done(code)

    def sm3(self, data: bytes) -> bytes:
        slot = self._ffi.new("gcry_md_hd_t *")
        self._done(self._lib.gcry_md_open(slot, _SM3, 0))
        try:
            self._lib.gcry_md_write(slot[0], data, len(data))
            return bytes(self._ffi.buffer(self._lib.gcry_md_read(slot[0], _SM3), _DIGEST_SIZE))
        finally:
            self._lib.gcry_md_close(slot[0])

    def hmac_sm3(self, key: bytes, data: bytes) -> bytes:
        return bytes(self._ffi.buffer(self._mac(key, len(key), data)))

    def hkdf_sm3(self, key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
        if not 0 < length <= 255 * _DIGEST_SIZE:
            raise InputError(f"HKDF gives 1 to {255 * _DIGEST_SIZE} bytes, not {length}")
        extracted = self._mac(salt, len(salt), key)
        try:
            derived, block = bytearray(), b""
            for counter in range(1, -(-length // _DIGEST_SIZE) + 1):
                block = bytes(self._ffi.buffer(self._mac(extracted, _DIGEST_SIZE, block + info + bytes([counter]))))
                derived += block
        finally:
            self._ffi.memmove(extracted, bytes(_DIGEST_SIZE), _DIGEST_SIZE)
        return bytes(derived[:length])

    @contextmanager
    def _cipher(self, key: bytes, nonce: bytes, aad: bytes) -> Iterator[Any]:
        """A handle for one text, wiped and freed at the end."""
        slot = self._ffi.new("gcry_cipher_hd_t *")
        self._done(self._lib.gcry_cipher_open(slot, _SM4, _GCM, _CIPHER_SECURE))
        handle = slot[0]
        try:
            self._done(self._lib.gcry_cipher_setkey(handle, key, KEY_SIZE))
            self._done(self._lib.gcry_cipher_setiv(handle, nonce, len(nonce)))
            if aad:
                self._done(self._lib.gcry_cipher_authenticate(handle, aad, len(aad)))
            yield handle
        finally:
            self._lib.gcry_cipher_close(handle)

    @contextmanager
    def _buffers(self, source: bytes | memoryview, target: memoryview) -> Iterator[tuple[Any, Any]]:
        """Pointers to both. Given back at once, not when collected: CPython before 3.11.9 and 3.12.3 crashes (gh-77894)
        where its collector meets a memoryview that something still points into, as in a traceback."""
        with (
            self._ffi.from_buffer(source) as read_from,
            self._ffi.from_buffer(target, require_writable=True) as written_to,
        ):
            yield read_from, written_to

    def _mac(self, key: Any, length: int, data: bytes) -> Any:
        """HMAC-SM3 in a buffer of 32 bytes."""
        slot = self._ffi.new("gcry_mac_hd_t *")
        self._done(self._lib.gcry_mac_open(slot, _HMAC_SM3, _MAC_SECURE, self._ffi.NULL))
        try:
            result, size = self._ffi.new("unsigned char[]", _DIGEST_SIZE), self._ffi.new("size_t *", _DIGEST_SIZE)
            self._done(self._lib.gcry_mac_setkey(slot[0], key, length))
            self._done(self._lib.gcry_mac_write(slot[0], data, len(data)))
            self._done(self._lib.gcry_mac_read(slot[0], result, size))
            if size[0] != _DIGEST_SIZE:
                raise CipherUnavailableError(f"libgcrypt gives an HMAC-SM3 of {size[0]} bytes")
            return result
        finally:
            self._lib.gcry_mac_close(slot[0])

    def _done(self, code: int) -> None:
        """CipherUnavailableError unless a call succeeded."""
        if code:
            said = self._ffi.string(self._lib.gcry_strerror(code)).decode(errors="replace")
            raise CipherUnavailableError(f"libgcrypt {self.version} refuses: {said}")
