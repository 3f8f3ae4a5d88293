"""Secrets at rest: a passphrase opens a vault key, the vault key opens everything else.

`seal_vault` writes one JSON document (kind and version first) whose key comes from the passphrase by Argon2id
(RFC 9106, second recommended option: 64 MiB, 3 passes; one lane, as libsodium has it). Rows that change often are
sealed under the `VaultKey` inside, so that the slow derivation runs once a start. A process that holds the opened
vault writes it anew with its `PassphraseKey`, and needs to keep no passphrase.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import nacl.exceptions
import nacl.secret
from nacl.pwhash import argon2id

from capsule import canonical
from capsule.canonical import Json
from capsule.errors import FormatError, InputError, OpenError

__all__ = ["PassphraseKey", "VaultKey", "open_vault", "seal_vault", "unlock_vault"]

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


@dataclass(frozen=True, slots=True)
class PassphraseKey:
    """What a passphrase became: the key of a vault document, with the derivation that the document names."""

    key: VaultKey
    salt: bytes
    passes: int
    memory_bytes: int

    @classmethod
    def derive(cls, passphrase: str, salt: bytes, passes: int = PASSES, memory_bytes: int = MEMORY_BYTES) -> Self:
        """Argon2id, a tenth of a second and up. `salt`: 16 bytes. Raises InputError for an empty passphrase."""
        if not passphrase:
            raise InputError("a passphrase can't be empty")
        secret = argon2id.kdf(KEY_BYTES, passphrase.encode(), salt, opslimit=passes, memlimit=memory_bytes)
        return cls(VaultKey(secret), salt, passes, memory_bytes)

    def seal_vault(self, plaintext: bytes, entropy: Callable[[int], bytes]) -> bytes:
        """The vault document that holds `plaintext`; the same passphrase opens it."""
        kdf: Json = {
            "name": "argon2id",
            "memory_bytes": self.memory_bytes,
            "passes": self.passes,
            "salt": self.salt.hex(),
        }
        sealed = base64.b64encode(self.key.seal(plaintext, entropy)).decode()
        return canonical.encode({"kind": KIND, "version": VERSION, "kdf": kdf, "sealed": sealed})


def seal_vault(passphrase: str, plaintext: bytes, entropy: Callable[[int], bytes]) -> bytes:
    """Returns the vault document that holds `plaintext` under `passphrase`."""
    return PassphraseKey.derive(passphrase, entropy(SALT_BYTES)).seal_vault(plaintext, entropy)


def open_vault(passphrase: str, document: bytes) -> bytes:
    """Returns what the vault holds; raises FormatError, or OpenError when the passphrase is wrong."""
    return unlock_vault(passphrase, document)[1]


def unlock_vault(passphrase: str, document: bytes) -> tuple[PassphraseKey, bytes]:
    """As `open_vault`, with the key to write the vault anew."""
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
    if not passphrase:
        raise OpenError()
    key = PassphraseKey.derive(passphrase, salt, passes, memory)
    return key, key.key.open(sealed)
