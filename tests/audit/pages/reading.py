"""A regulator's site over a history with planted breaches, and readers of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from fastapi import FastAPI

from audit.auditor import Auditor
from audit.documents import MemoryDocuments
from audit.index import Index
from audit.pages.desk import Desk
from audit.pages.readers import Readers
from audit.pages.site import Site
from audit.pages.users import Role, User, Users, UsersFile
from audit.papers import Patience
from audit.service import build_app
from capsule.password import SALT_SIZE, PasswordMark
from contracts import events as ev
from contracts.ledger import Ledger
from scripts.inprocess import InProcess
from tests.audit.auditing import read_only
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History, rows_of

__all__ = ["BASE", "HOSTILE", "PASSWORD", "Clock", "Reading", "crooked", "form_of", "log_in", "mark_of", "reading"]

BASE = "http://127.0.0.1"
PASSWORD = "correct horse battery"
HOSTILE = "https://a.example/<script>alert(1)</script>\u202egpj\u0007\n=cmd|'/c calc'!A1"


class Clock:
    """Unix seconds that move when told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True)
class Reading:
    """A site, its application, what it shows, and the file of its users."""

    app: FastAPI
    desk: Desk
    readers: Readers
    users: Path
    clock: Clock
    history: History

    @contextmanager
    def client(self, **headers: str) -> Iterator[httpx.Client]:
        with httpx.Client(base_url=BASE, transport=InProcess(self.app), headers=headers) as client:
            yield client

    def add_user(self, name: str, role: Role) -> None:
        known = UsersFile(self.users).read()
        user = User(name, role, mark_of(PASSWORD))
        self.users.write_bytes(known.with_user(user).to_bytes())

    def remove_users(self, *names: str) -> None:
        known = UsersFile(self.users).read()
        self.users.write_bytes(Users.of(user for name, user in known.by_name.items() if name not in names).to_bytes())


def mark_of(password: str) -> PasswordMark:
    return PasswordMark.make(password, bytes(range(SALT_SIZE)))


def crooked(honest: History) -> History:
    """The honest history with breaches of several severities, and an endpoint that is an attack on readers."""
    history = honest.drop(honest.first(ev.ParticipantReinstated))
    history = history.change(history.first(ev.KeysSet), box_key_signature=bytes(64))
    history = history.change(history.first(ev.EndpointSet), endpoint=HOSTILE)
    receipt = next(name for name in history.documents if name[0] == "receipt")
    return history.serve(*receipt, None)


def reading(
    folder: Path, space: DataSpace, history: History, *, behind_proxy: bool = False, names: tuple[str, ...] = ()
) -> Reading:
    """A site that has looked at a history once."""
    index = Index.open(None)
    index.begin(history.identity)
    index.append(rows_of(history.identity, history.entries), history.tip, history.state().claims[0])
    documents = MemoryDocuments(history.documents)
    patience = Patience(anchor=0)
    desk = Desk(folder / "pages.db", patience)
    ledger: Ledger = read_only(space)
    auditor = Auditor(ledger, index, lambda state: documents, patience=patience, watcher=desk.take)
    auditor.look()
    clock, entropy = Clock(), _entropy()
    users = folder / "users.json"
    readers = Readers(UsersFile(users), behind_proxy=behind_proxy, entropy=entropy, clock=clock)
    site = Site(desk, readers, names=names, entropy=entropy)
    app = build_app(auditor, seconds=None, site=site)
    return Reading(app, desk, readers, users, clock, history)


def _entropy() -> Callable[[int], bytes]:
    drawn = iter(range(1, 1_000_000))
    return lambda size: next(drawn).to_bytes(size, "big")


def form_of(page: str) -> str:
    """The form token of a page."""
    found = re.search(r'name="form" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def log_in(client: httpx.Client, name: str, password: str = PASSWORD, **fields: str) -> httpx.Response:
    """Fills in the login form as a person does."""
    page = client.get("/login")
    content = {"form": form_of(page.text), "name": name, "password": password, **fields}
    return client.post("/login", data=content, follow_redirects=False)
