"""Rows of the index, and the database they stand in: SQLModel on SQLite or PostgreSQL.

Invariant: logs and the tip that covers them are written in one transaction, so that whatever moment a process dies at,
the index holds exactly the events up to its tip. Rows are never changed. An index that is built `beside` another takes
its place in one step, or not at all.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple, get_type_hints

from sqlalchemy import BigInteger, Connection, Engine, LargeBinary, event, func, insert, make_url, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlmodel import Column, Field, Session, SQLModel, col, create_engine, delete, select

from audit.complaints import AFRESH, complaint
from audit.errors import StoreError

__all__ = ["LogRow", "Store", "Where"]

Where = Path | str | None
"""A SQLite file, a PostgreSQL URL, or None: in memory."""

_CHUNK_ROWS: Final = 2_000
_GROUP_ROWS: Final = 100
_BESIDE: Final = "audit_new"
_POSTGRESQL_TYPES: Final = {int: "int8", str: "varchar", bytes: "bytea"}
_PAGE_BYTES: Final = 16_384
_CACHE_KB: Final = 64_000
"""Of SQLite's pages: ids come in no order, and their index is written all over."""
_CHECKPOINT_PAGES: Final = 4_000


class LogRow(NamedTuple):
    """One event: the raw log as the chain holds it, and what was read from it. Ids and hashes are 0x hex."""

    block_number: int
    log_index: int
    block_hash: str
    time: int
    transaction_hash: str
    contract: str
    event: str
    seq: int
    subject: str
    subject_seq: int
    topics: bytes
    data: bytes
    body: str


_COLUMN_TYPES: Final = tuple(_POSTGRESQL_TYPES[kind] for kind in get_type_hints(LogRow).values())


class LogTable(SQLModel, table=True):
    """The table of `LogRow`, with the same columns; rows go in and come out by thousands, so they are no models."""

    __tablename__ = "audit_logs"
    # In SQLite the rows stand in the order of their key, and nothing beside it.
    __table_args__ = {"sqlite_with_rowid": False}
    block_number: int = Field(primary_key=True, sa_type=BigInteger)
    log_index: int = Field(primary_key=True, sa_type=BigInteger)
    block_hash: str
    time: int = Field(sa_type=BigInteger)
    transaction_hash: str
    contract: str
    event: str
    seq: int = Field(sa_type=BigInteger)
    subject: str = Field(index=True)
    subject_seq: int = Field(sa_type=BigInteger)
    topics: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    body: str


class FactRow(SQLModel, table=True):
    """What the index is of and how far it goes: identity, tip, and the heads that the endpoint gave for the tip."""

    __tablename__ = "audit_facts"
    name: str = Field(primary_key=True)
    value: str


class Store:
    """The database of one index. Raises StoreError for whatever the database refuses."""

    def __init__(self, where: Where, *, beside: bool = False) -> None:
        """`beside`: an empty index beside the one at `where`, until `take_place`."""
        self._where = where
        self._beside = beside
        try:
            self._engine = _engine(where, beside)
            SQLModel.metadata.create_all(self._engine, tables=[_table(LogTable), _table(FactRow)])
        except SQLAlchemyError as exc:
            raise StoreError(f"the index {_named(where)} can't be opened: {complaint(exc, AFRESH)}") from exc
        self._file = (_new(where) if beside else where) if isinstance(where, Path) else None
        self._opened = _identity(self._file)

    def check_in_place(self) -> None:
        """Raises StoreError where the file at the index's path is not the open one: what is written would be lost."""
        if self._file is not None and _identity(self._file) != self._opened:
            raise StoreError(
                f"the index at {self._file} was deleted or replaced while it was in use; nothing more is written: stop "
                "this command and start it again"
            )

    def close(self) -> None:
        self._engine.dispose()

    def take_place(self) -> None:
        """Puts an index that was built beside another in its place, and closes it."""
        if not self._beside:
            raise StoreError("only an index that was built beside another can take its place")
        if isinstance(self._where, Path):
            self._engine.dispose()
            _remove(self._where)
            _new(self._where).rename(self._where)
        elif self._where is not None:
            try:
                with self._engine.begin() as connection:
                    for name in (LogTable.__tablename__, FactRow.__tablename__):
                        connection.execute(text(f"DROP TABLE IF EXISTS public.{name}"))
                        connection.execute(text(f"ALTER TABLE {_BESIDE}.{name} SET SCHEMA public"))
            except SQLAlchemyError as exc:
                raise StoreError(f"the new index can't take the old one's place: {complaint(exc, AFRESH)}") from exc
            self._engine.dispose()

    def facts(self) -> dict[str, str]:
        """All facts by name."""
        try:
            with Session(self._engine) as session:
                return {row.name: row.value for row in session.exec(select(FactRow))}
        except SQLAlchemyError as exc:
            raise StoreError(f"the index can't be read: {complaint(exc, AFRESH)}") from exc

    def append(self, rows: Sequence[LogRow], facts: Mapping[str, str]) -> None:
        """Adds logs and replaces facts, all or nothing."""
        try:
            with Session(self._engine) as session, session.begin():
                if rows:
                    self._insert(session, rows)
                session.exec(delete(FactRow).where(col(FactRow.name).in_(facts)))
                session.add_all(FactRow(name=name, value=value) for name, value in facts.items())
        except SQLAlchemyError as exc:
            raise StoreError(f"the index can't be written: {complaint(exc, AFRESH)}") from exc

    def _insert(self, session: Session, rows: Sequence[LogRow]) -> None:
        """In the driver's own way: SQLAlchemy's takes longer than the database."""
        connection = session.connection()
        if not isinstance(self._where, str):
            self._insert_groups(connection, rows)
            return
        schema = _BESIDE if self._beside else "public"
        copying = f"COPY {schema}.{LogTable.__tablename__} ({', '.join(LogRow._fields)}) FROM STDIN (FORMAT BINARY)"
        driver: Any = connection.connection.driver_connection
        try:
            with driver.cursor() as cursor, cursor.copy(copying) as copy:
                copy.set_types(_COLUMN_TYPES)
                for row in rows:
                    copy.write_row(row)
        except driver.Error as exc:
            raise StoreError(f"the index can't be written: {complaint(exc, AFRESH)}") from exc

    @staticmethod
    def _insert_groups(connection: Connection, rows: Sequence[LogRow]) -> None:
        """A hundred rows a statement: other threads get a turn between statements, and each turn has its price."""
        whole = len(rows) - len(rows) % _GROUP_ROWS
        for some, size in ((rows[:whole], _GROUP_ROWS), (rows[whole:], 1)):
            if some:
                values = [tuple(chain.from_iterable(some[at : at + size])) for at in range(0, len(some), size)]
                connection.exec_driver_sql(_insertion(size), values)

    def logs(
        self, last_block: int | None = None, *, after: int | None = None, most: int | None = None
    ) -> Generator[LogRow, None, None]:
        """Rows in chain order, up to a block, those of the blocks `after` one, and `most` so many."""
        table = _table(LogTable)
        query = table.select().order_by(table.c.block_number, table.c.log_index)
        if last_block is not None:
            query = query.where(table.c.block_number <= last_block)
        if after is not None:
            query = query.where(table.c.block_number > after)
        if most is not None:
            query = query.limit(most)
        try:
            with (
                Session(self._engine) as session,
                closing(session.connection().execute(query, execution_options={"yield_per": _CHUNK_ROWS})) as rows,
            ):
                for row in rows:
                    yield LogRow(*row)
        except SQLAlchemyError as exc:
            raise StoreError(f"the index can't be read: {complaint(exc, AFRESH)}") from exc

    def count(self, last_block: int | None = None) -> int:
        """Number of logs, up to a block."""
        query = select(func.count()).select_from(LogTable)
        if last_block is not None:
            query = query.where(col(LogTable.block_number) <= last_block)
        try:
            with Session(self._engine) as session:
                return session.exec(query).one()
        except SQLAlchemyError as exc:
            raise StoreError(f"the index can't be read: {complaint(exc, AFRESH)}") from exc


@cache
def _insertion(rows: int) -> str:
    """SQLite's statement for so many rows."""
    row = dict.fromkeys(LogRow._fields, "")
    return str(insert(_table(LogTable)).values([row] * rows).compile(dialect=sqlite.dialect()))


def _table(model: type[SQLModel]) -> Any:
    return model.__table__  # type: ignore[attr-defined]


def _named(where: Where) -> str:
    """A URL may hold a password: it is never shown."""
    return "in the given database" if isinstance(where, str) else f"at {where}"


def _engine(where: Where, beside: bool) -> Engine:
    if isinstance(where, str):
        return _postgresql(where, beside)
    if where is None:
        return create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    path = _new(where) if beside else where
    if beside:
        _remove(path)
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")

    return engine


def _postgresql(url: str, beside: bool) -> Engine:
    try:
        read = make_url(url)
    except (ArgumentError, ValueError) as exc:
        raise StoreError("the index's database is no URL; give postgresql://USER@HOST/DATABASE") from exc
    if read.get_backend_name() != "postgresql":
        raise StoreError("an index stands in a file or in PostgreSQL; give postgresql://USER@HOST/DATABASE")
    try:
        engine = create_engine(read.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    except ModuleNotFoundError as exc:
        raise StoreError("PostgreSQL needs its driver: install dataspace[postgres]") from exc
    if not beside:
        return engine
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {_BESIDE} CASCADE"))
        connection.execute(text(f"CREATE SCHEMA {_BESIDE}"))
    return engine.execution_options(schema_translate_map={None: _BESIDE})


def _identity(file: Path | None) -> tuple[int, int] | None:
    """Which file stands at a path now; None where there is none."""
    try:
        found = None if file is None else file.stat()
    except FileNotFoundError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)


def _new(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
