"""Passwords of people, kept as what Argon2id makes of them (RFC 9106, second recommended option, as `capsule.vault`).

What is stored opens nothing: it only shows that somebody knows the password again.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Final, Self

from nacl.pwhash import argon2id

from capsule.canonical import Json
from capsule.document import Fields
from capsule.errors import FormatError, InputError, OpenError

__all__ = ["MIN_PASSWORD", "SALT_SIZE", "PasswordMark"]

MIN_PASSWORD: Final = 12
"""Characters that a password has at least."""

SALT_SIZE: Final = argon2id.SALTBYTES

_MAX_PASSWORD: Final = 256
_SIZE: Final = 32
_PASSES: Final = 3
_MEMORY_BYTES: Final = 64 * 1024 * 1024
_MAX_PASSES: Final = 10
_MAX_MEMORY_BYTES: Final = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PasswordMark:
    """What a password became under `salt`, with the cost of that."""

    salt: bytes
    passes: int
    memory_bytes: int
    mark: bytes = field(repr=False)

    @classmethod
    def make(cls, password: str, salt: bytes) -> Self:
        """A tenth of a second and up. `salt`: SALT_SIZE fresh random bytes. Raises InputError for a short password."""
        if not MIN_PASSWORD <= len(password) <= _MAX_PASSWORD:
            raise InputError(f"a password has {MIN_PASSWORD} to {_MAX_PASSWORD} characters")
        return cls(salt, _PASSES, _MEMORY_BYTES, _derive(password, salt, _PASSES, _MEMORY_BYTES))

    def verify(self, password: str) -> Self:
        """Itself, where the password is the one; else OpenError, after the same time."""
        known = _derive(password[:_MAX_PASSWORD], self.salt, self.passes, self.memory_bytes)
        if not hmac.compare_digest(known, self.mark) or len(password) > _MAX_PASSWORD:
            raise OpenError()
        return self

    def to_json(self) -> dict[str, Json]:
        return {
            "name": "argon2id",
            "memory_bytes": self.memory_bytes,
            "passes": self.passes,
            "salt": self.salt.hex(),
            "mark": self.mark.hex(),
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Raises FormatError."""
        fields = Fields(value, "password")
        fields.one_of("name", ("argon2id",))
        try:
            salt, mark = (bytes.fromhex(fields.text(name, 64)) for name in ("salt", "mark"))
        except ValueError as error:
            raise FormatError("a password's salt and mark are hex") from error
        passes, memory = fields.integer("passes", 1), fields.integer("memory_bytes", 1)
        if passes > _MAX_PASSES or memory > _MAX_MEMORY_BYTES or (len(salt), len(mark)) != (SALT_SIZE, _SIZE):
            raise FormatError("a password's mark asks for an unreasonable derivation")
        return cls(salt, passes, memory, mark)


def _derive(password: str, salt: bytes, passes: int, memory_bytes: int) -> bytes:
    return argon2id.kdf(_SIZE, password.encode("utf-8", "surrogatepass"), salt, opslimit=passes, memlimit=memory_bytes)
