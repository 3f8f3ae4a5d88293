"""Who reads: from a request's cookie, or from name and password, to a reader with a role and a language."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from audit.errors import ForbiddenError, LoginError
from audit.pages.attempts import Attempts
from audit.pages.language import choose
from audit.pages.sessions import Session, Sessions
from audit.pages.users import Role, UsersFile
from capsule.errors import OpenError
from capsule.password import SALT_SIZE, PasswordMark

__all__ = ["LANGUAGE_COOKIE", "Reader", "Readers", "language_of"]

LANGUAGE_COOKIE: Final = "dataspace_language"
_SESSION_COOKIE: Final = "dataspace_session"
# Each derivation takes 64 MiB.
_AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who may read. `session`: None where there are no users, and everybody who reaches the service reads."""

    role: Role
    session: Session | None = None

    @property
    def name(self) -> str:
        return "" if self.session is None else self.session.user.name

    @property
    def may_export(self) -> bool:
        return self.role is Role.AUDITOR


class Readers:
    """Users, sessions and failed attempts of one service. `behind_proxy`: another server ends TLS in front of it."""

    def __init__(
        self,
        users: UsersFile,
        *,
        behind_proxy: bool,
        entropy: Callable[[int], bytes],
        clock: Callable[[], float],
    ) -> None:
        self._users = users
        self._attempts = Attempts(clock)
        self._deriving = threading.BoundedSemaphore(_AT_ONCE)
        # Somebody who is not there takes as long as somebody who is.
        self._nobody = PasswordMark.make(entropy(16).hex(), entropy(SALT_SIZE))
        self.sessions = Sessions(entropy, clock)
        self.behind_proxy = behind_proxy

    @property
    def cookie(self) -> str:
        return f"__Host-{_SESSION_COOKIE}" if self.behind_proxy else _SESSION_COOKIE

    @property
    def are_there(self) -> bool:
        """Whether there are users; without any, everybody who reaches the service reads."""
        return bool(self._users.read().by_name)

    def reader(self, request: Request) -> Reader:
        """Raises LoginError where there are users and the request's session is none of theirs."""
        users = self._users.read()
        if not users.by_name:
            return Reader(Role.AUDITOR)
        session = self.sessions.read(request.cookies.get(self.cookie, ""), users)
        return Reader(session.user.role, session)

    def auditor(self, request: Request) -> Reader:
        """A reader who may take data away. Raises LoginError, ForbiddenError."""
        return _auditor(self.reader(request))

    def caller(self, request: Request) -> Reader:
        """Who calls the JSON API: by session, or by name and password in an Authorization header (RFC 7617)."""
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic" or not self._users.read().by_name:
            return self.auditor(request)
        try:
            name, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as exc:
            raise LoginError("the Authorization header does not read") from exc
        token = self.log_in(name, password, self.address(request))
        session = self.sessions.read(token, self._users.read())
        return _auditor(Reader(session.user.role, session))

    def log_in(self, name: str, password: str, address: str) -> str:
        """A session's token. Raises LoginError, the same for a wrong name and a wrong password; ThrottledError."""
        self._attempts.check(name, address)
        user = self._users.read().by_name.get(name)
        with self._deriving:
            self._attempts.check(name, address)
            try:
                (self._nobody if user is None else user.password).verify(password)
            except OpenError as exc:
                self._attempts.failed(name, address)
                raise LoginError("name or password is wrong") from exc
        if user is None:
            self._attempts.failed(name, address)
            raise LoginError("name or password is wrong")
        self._attempts.passed(name, address)
        return self.sessions.issue(user)

    def address(self, request: Request) -> str:
        """Whose failures count together: the peer, or whom the proxy in front names as its own peer."""
        if self.behind_proxy:
            named = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
            if named:
                return named[:64]
        return "" if request.client is None else request.client.host


def language_of(request: Request) -> str:
    """The language of a request: by its `lang` parameter, its cookie, its Accept-Language header."""
    accepted = request.headers.get("accept-language", "")
    return choose(request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE), accepted)


def _auditor(reader: Reader) -> Reader:
    if not reader.may_export:
        raise ForbiddenError("taking data away needs the role auditor")
    return reader
