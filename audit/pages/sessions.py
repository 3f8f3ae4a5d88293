"""Sessions of readers: signed tokens that a cookie carries, their form tokens, and logging out.

A token says who, under which stamp of the users' file, and until when; the service's own key signs it (HMAC-SHA256).
The key lives as long as the process: a restart logs everybody out.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from audit.errors import LoginError
from audit.pages.users import User, Users

__all__ = ["SESSION_SECONDS", "Session", "Sessions"]

SESSION_SECONDS: Final = 8 * 3600
_MAX_TOKEN: Final = 1024


@dataclass(frozen=True, slots=True)
class Session:
    """A user who logged in; `until` in unix seconds."""

    user: User
    id: str
    until: int


class Sessions:
    """Issues and reads tokens. `entropy` gives random bytes, `clock` unix seconds."""

    def __init__(
        self, entropy: Callable[[int], bytes], clock: Callable[[], float], seconds: int = SESSION_SECONDS
    ) -> None:
        self._key = entropy(32)
        self._entropy = entropy
        self._clock = clock
        self._seconds = seconds
        self._ended: dict[str, int] = {}
        self._turn = threading.Lock()

    def issue(self, user: User) -> str:
        """A token for somebody who just gave his password."""
        until = int(self._clock()) + self._seconds
        content = {"name": user.name, "stamp": user.stamp, "until": until, "id": self._entropy(16).hex()}
        payload = _text(json.dumps(content, separators=(",", ":")).encode())
        return f"{payload}.{self._sign('session', payload)}"

    def read(self, token: str, users: Users) -> Session:
        """Raises LoginError for a token that is no longer, or never was, one of ours."""
        payload, _, signature = token[:_MAX_TOKEN].partition(".")
        if not hmac.compare_digest(self._sign("session", payload).encode(), signature.encode()):
            raise LoginError("log in first")
        try:
            content = json.loads(_bytes(payload))
            name, stamp, until, named = content["name"], content["stamp"], int(content["until"]), content["id"]
        except (ValueError, KeyError, TypeError) as exc:
            raise LoginError("log in first") from exc
        user = users.by_name.get(name)
        with self._turn:
            ended = named in self._ended
        if user is None or user.stamp != stamp or ended or until <= self._clock():
            raise LoginError("the session has ended; log in again")
        return Session(user, named, until)

    def end(self, session: Session) -> None:
        """Logs a session out: its token counts no more."""
        now = self._clock()
        with self._turn:
            self._ended = {name: until for name, until in self._ended.items() if until > now}
            self._ended[session.id] = session.until

    def form_token(self, purpose: str, about: str) -> str:
        """What a form carries, so that no other site can send it: bound to a session's id or to a cookie's value."""
        return self._sign(f"form {purpose}", about)

    def check_form(self, purpose: str, about: str, token: str) -> None:
        """Raises LoginError for a form that was not made here for this reader."""
        if not about or not hmac.compare_digest(self.form_token(purpose, about).encode(), token.encode()):
            raise LoginError("the form is out of date; load the page again")

    def _sign(self, purpose: str, payload: str) -> str:
        message = f"dataspace/audit {purpose}\x00{payload}".encode("utf-8", "surrogatepass")
        return _text(hmac.digest(self._key, message, hashlib.sha256))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as exc:
        raise ValueError("no base64") from exc
