"""Who may read the pages: names, roles and marks of passwords in one file, which commands write and the service reads.

A change of the file counts from the next request on; sessions of a user whose role or password changed end.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from audit.errors import RequestError, StoreError
from capsule import canonical
from capsule.canonical import Json
from capsule.document import Fields
from capsule.errors import FormatError
from capsule.password import PasswordMark

__all__ = ["ROLES", "Role", "User", "Users", "UsersFile"]

_KIND: Final = "dataspace/audit-users"
_MAX_USERS: Final = 1_000
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


class Role(StrEnum):
    """`VIEWER` reads every page; `AUDITOR` also takes data away: exports and the JSON API."""

    VIEWER = "viewer"
    AUDITOR = "auditor"


ROLES: Final = tuple(Role)


@dataclass(frozen=True, slots=True)
class User:
    """One person."""

    name: str
    role: Role
    password: PasswordMark

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise RequestError("a user's name has 1 to 64 of a-z, 0-9, '.', '_', '@', '-', and begins with a-z or 0-9")

    @property
    def stamp(self) -> str:
        """Changes when role or password do."""
        return hashlib.sha256(canonical.encode(self.to_json())).hexdigest()[:32]

    def to_json(self) -> dict[str, Json]:
        return {"name": self.name, "role": self.role.value, "password": self.password.to_json()}

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        role = Role(fields.one_of("role", tuple(ROLES)))
        return cls(fields.text("name", 64), role, PasswordMark.from_json(fields.value("password")))


@dataclass(frozen=True, slots=True)
class Users:
    """All users by name."""

    by_name: Mapping[str, User]

    @classmethod
    def of(cls, users: Iterable[User]) -> Self:
        return cls(MappingProxyType({user.name: user for user in users}))

    def with_user(self, user: User) -> Users:
        """These and another one, who takes the place of one of the same name. Raises RequestError past the limit."""
        users = {**self.by_name, user.name: user}
        if len(users) > _MAX_USERS:
            raise RequestError(f"there are at most {_MAX_USERS} users; remove one first")
        return Users.of(users.values())

    def without(self, name: str) -> Users:
        """These but for one; RequestError where there is none of that name."""
        if name not in self.by_name:
            raise RequestError(f"there is no user {name}; 'dataspace audit user list' shows them")
        return Users.of(user for user in self.by_name.values() if user.name != name)

    def to_bytes(self) -> bytes:
        users: list[Json] = [user.to_json() for _, user in sorted(self.by_name.items())]
        return canonical.encode({"kind": _KIND, "version": 1, "users": users})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises FormatError."""
        fields = Fields.of(canonical.decode(data), _KIND)
        return cls.of(fields.objects("users", _MAX_USERS, User.from_fields))


class UsersFile:
    """The users in a file, read again when it changed. No file: no users."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._users = Users.of(())

    def read(self) -> Users:
        """The users now. A file that does not read lets nobody in: StoreError."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            # Once there were users, a file that is gone does not open the door.
            if self._seen is not None:
                raise StoreError(f"the users' file {self._path} is gone; bring it back or start anew") from None
            return self._users
        except OSError as exc:
            raise StoreError(f"the users' file {self._path} can't be read: {exc.strerror}") from exc
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        if seen != self._seen:
            try:
                self._users = Users.from_bytes(self._path.read_bytes())
            except (OSError, FormatError) as exc:
                raise StoreError(f"the users' file {self._path} does not read: {exc}") from exc
            self._seen = seen
        return self._users
