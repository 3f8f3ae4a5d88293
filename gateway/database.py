"""The database behind a gateway's store: a SQLite file, or a PostgreSQL schema. One process each, one writer in it.

Invariants: what `writing` committed survives `kill -9` and power loss (SQLite: WAL, synchronous FULL; PostgreSQL:
synchronous_commit on); the connection that writes is the one that holds the lock, so whoever lost the lock can't
write. `generation` counts the connections that wrote: while it stays, nobody else changed the database.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlmodel import Session, select

from gateway.errors import SettingsError, StoreError, StoreFullError, StoreLockedError
from gateway.lock import take_lock
from gateway.tables import SCHEMA, SchemaRow, Table

__all__ = ["Database"]

_BUSY_SECONDS: Final = 10
_LOCK_CLASS: Final = 0x64736777
_READERS: Final = 5
_MORE_READERS: Final = 40
_POSTGRES: Final = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "application_name": "dataspace-gateway",
    "options": "-c statement_timeout=60000 -c lock_timeout=10000",
}
_WANTED: Final = "the gateway's database is sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
_SQLITE_FULL: Final = 13
_POSTGRES_FULL: Final = "53100"
_LOCK_NOT_AVAILABLE: Final = "55P03"


class Database:
    """The database at a URL, `sqlite:///FILE` or `postgresql+psycopg://...`, opened by this process alone."""

    def __init__(self, url: str) -> None:
        """Raises StoreLockedError when another process has it, StoreError when it can't be opened, SettingsError."""
        self._url = _checked(url)
        self._turn = threading.Lock()
        self._writer: Connection | None = None
        self.generation = 0
        self._lock_file = -1
        if self._url.get_backend_name() == "sqlite":
            self._lock_file = take_lock(Path(str(self._url.database)))
        try:
            self._engine = _engine(self._url)
        except BaseException:
            self._unlock()
            raise
        try:
            with self.writing() as session:
                _make_tables(session.connection())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Lets the database go; the next process may have it."""
        with self._turn:
            self._drop_writer()
            self._engine.dispose()
            self._unlock()

    @property
    def name(self) -> str:
        """The URL without its password."""
        return self._url.render_as_string(hide_password=True)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction: committed and on disk when the block ends, undone when it raises. Raises StoreError."""
        with self._turn, self._translated():
            writer = self._open_writer()
            try:
                with Session(writer, expire_on_commit=False) as session, session.begin():
                    yield session
            except SQLAlchemyError:
                self._drop_writer()  # whatever it was, the next one starts from what is committed
                raise

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A look at what is committed. Raises StoreError."""
        with self._translated(), Session(self._engine, expire_on_commit=False) as session:
            yield session

    def _open_writer(self) -> Connection:
        if self._writer is None:
            writer = self._engine.connect()
            if self._lock_file < 0:
                try:
                    _lock(writer)
                except DBAPIError as exc:
                    writer.close()
                    if getattr(exc.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
                        raise StoreLockedError(self.name) from exc
                    raise
            self._writer = writer
            self.generation += 1
        return self._writer

    def _drop_writer(self) -> None:
        """Closes the connection itself, and with it the lock, rather than giving it back to the pool."""
        if self._writer is not None:
            with suppress(SQLAlchemyError):
                self._writer.invalidate()
                self._writer.close()
            self._writer = None

    def _unlock(self) -> None:
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as exc:
            cause = exc.orig if isinstance(exc, DBAPIError) else exc
            if _is_full(cause):
                raise StoreFullError(f"the gateway's disk is full: {cause}") from exc
            raise StoreError(f"the gateway's database failed: {cause}") from exc


def _lock(writer: Connection) -> None:
    """Waits a moment, since a server may not have noticed yet that the last holder is gone."""
    with writer.begin():
        writer.execute(text("SET LOCAL lock_timeout TO '2s'"))
        writer.execute(text("SELECT pg_advisory_lock(:class, hashtext(current_schema()))"), {"class": _LOCK_CLASS})
        writer.execute(text("SET synchronous_commit TO on"))


def _is_full(cause: BaseException | None) -> bool:
    code = getattr(cause, "sqlite_errorcode", None)
    return (isinstance(code, int) and code & 0xFF == _SQLITE_FULL) or getattr(cause, "sqlstate", None) == _POSTGRES_FULL


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise SettingsError(
            "the gateway's database is no SQLAlchemy URL: sqlite:///FILE or postgresql+psycopg://..."
        ) from exc
    if parsed.drivername not in ("sqlite", "postgresql+psycopg") or not parsed.database:
        raise SettingsError(_WANTED)
    return parsed


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        try:
            return create_engine(
                url,
                connect_args=_POSTGRES,
                pool_size=_READERS,
                max_overflow=_MORE_READERS,
                pool_pre_ping=True,
            )
        except (ImportError, NoSuchModuleError) as exc:
            raise SettingsError("PostgreSQL needs psycopg: install dataspace with the extra 'postgres'") from exc
    engine = create_engine(
        url,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        pool_size=_READERS,
        max_overflow=_MORE_READERS,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine


def _make_tables(connection: Connection) -> None:
    present = inspect(connection).get_table_names()
    found = None
    if SchemaRow.__tablename__ in present:
        found = connection.execute(select(SchemaRow.version)).scalar()
    elif "gateway_frames" in present:
        found = 1
    if found is not None and found != SCHEMA:
        raise StoreError(
            f"this store has tables of version {found}, this program needs version {SCHEMA}: export its frames with "
            "the program that made it, or choose another home"
        )
    Table.metadata.create_all(connection)
    for table in Table.metadata.tables.values():
        for index in table.indexes:  # one that came after the table
            index.create(connection, checkfirst=True)
    if found is None:
        connection.execute(SchemaRow.__table__.insert().values(version=SCHEMA))  # type: ignore[attr-defined]
