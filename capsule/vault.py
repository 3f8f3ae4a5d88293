"""Secrets at rest: a passphrase opens a vault key, the vault key opens everything else.

`seal_vault` writes one JSON document (kind and version first) whose key comes from the passphrase by Argon2id
(RFC 9106, second recommended option: 64 MiB, 3 passes; one lane, as libsodium has it). Rows that change often are
sealed under the `VaultKey` inside, so that the slow derivation runs once a start.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field

import nacl.exceptions
import nacl.secret
from nacl.pwhash import argon2id

from capsule import canonical
from capsule.errors import FormatError, InputError, OpenError

__all__ = ["VaultKey", "open_vault", "seal_vault"]

KIND = "dataspace/vault"
VERSION = 1
PASSES = 3
MEMORY_BYTES = 64 * 1024 * 1024
MAX_PASSES = 10
MAX_MEMORY_BYTES = 1024 * 1024 * 1024
SALT_BYTES = argon2id.SALTBYTES
KEY_BYTES = nacl.secret.SecretBox.KEY_SIZE
NONCE_BYTES = nacl.secret.SecretBox.NONCE_SIZE


@dataclass(frozen=True, slots=True)
class VaultKey:
    """32 bytes that seal rows of a store (XSalsa20-Poly1305, libsodium's secretbox)."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise InputError(f"a vault key has {KEY_BYTES} bytes, not {len(self.secret)}")

    def seal(self, plaintext: bytes, entropy: Callable[[int], bytes]) -> bytes:
        """Seals `plaintext` under a fresh 24-byte nonce, which comes first in the result."""
        return bytes(nacl.secret.SecretBox(self.secret).encrypt(plaintext, entropy(NONCE_BYTES)))

    def open(self, sealed: bytes) -> bytes:
        """Opens what `seal` made; raises OpenError."""
        try:
            return nacl.secret.SecretBox(self.secret).decrypt(sealed)
        except (nacl.exceptions.CryptoError, ValueError) as error:
            raise OpenError() from error


def seal_vault(passphrase: str, plaintext: bytes, entropy: Callable[[int], bytes]) -> bytes:
    """Returns the vault document that holds `plaintext` under `passphrase`."""
    if not passphrase:
        raise InputError("a passphrase can't be empty")
    salt = entropy(SALT_BYTES)
    key = VaultKey(argon2id.kdf(KEY_BYTES, passphrase.encode(), salt, opslimit=PASSES, memlimit=MEMORY_BYTES))
    return canonical.encode(
        {
            "kind": KIND,
            "version": VERSION,
            "kdf": {"name": "argon2id", "memory_bytes": MEMORY_BYTES, "passes": PASSES, "salt": salt.hex()},
            "sealed": base64.b64encode(key.seal(plaintext, entropy)).decode(),
        }
    )


def open_vault(passphrase: str, document: bytes) -> bytes:
    """Returns what the vault holds; raises FormatError, or OpenError when the passphrase is wrong."""
    try:
        content = canonical.decode(document)
        if not isinstance(content, dict) or content["kind"] != KIND or content["version"] != VERSION:
            raise FormatError("this is no vault of version 1")
        kdf = content["kdf"]
        salt, passes, memory = bytes.fromhex(kdf["salt"]), int(kdf["passes"]), int(kdf["memory_bytes"])
        sealed = base64.b64decode(content["sealed"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise FormatError("the vault document is damaged") from error
    if not (0 < passes <= MAX_PASSES and 0 < memory <= MAX_MEMORY_BYTES and len(salt) == SALT_BYTES):
        raise FormatError("the vault document asks for an unreasonable key derivation")
    return VaultKey(argon2id.kdf(KEY_BYTES, passphrase.encode(), salt, opslimit=passes, memlimit=memory)).open(sealed)
