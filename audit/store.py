"""Rows of the index, and the database they stand in: SQLModel on SQLite.

Invariant: logs and the tip that covers them are written in one transaction, so that whatever moment a process dies at,
the index holds exactly the events up to its tip. Rows are never changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, LargeBinary, event, func, insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlmodel import Column, Field, Session, SQLModel, col, create_engine, delete, select

from audit.errors import StoreError

__all__ = ["LogRow", "Store"]

_CHUNK_ROWS: Final = 2_000


class LogRow(SQLModel, table=True):
    """One event: the raw log as the chain holds it, and what was read from it. Ids and hashes are 0x hex."""

    __tablename__ = "audit_logs"
    block_number: int = Field(primary_key=True)
    log_index: int = Field(primary_key=True)
    block_hash: str
    time: int
    transaction_hash: str
    contract: str = Field(index=True)
    event: str
    seq: int
    subject: str = Field(index=True)
    subject_seq: int
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

    def __init__(self, path: Path | None) -> None:
        """`path` None: in memory."""
        self._engine = _engine(path)
        try:
            SQLModel.metadata.create_all(self._engine, tables=[_table(LogRow), _table(FactRow)])
        except SQLAlchemyError as exc:
            raise StoreError(f"the index at {path} can't be opened: {exc}") from exc

    def close(self) -> None:
        self._engine.dispose()

    def facts(self) -> dict[str, str]:
        """All facts by name."""
        try:
            with Session(self._engine) as session:
                return {row.name: row.value for row in session.exec(select(FactRow))}
        except SQLAlchemyError as exc:
            raise StoreError(f"the index can't be read: {exc}") from exc

    def append(self, rows: Sequence[LogRow], facts: Mapping[str, str]) -> None:
        """Adds logs and replaces facts, all or nothing."""
        try:
            with Session(self._engine) as session, session.begin():
                if rows:
                    session.execute(insert(LogRow), [row.model_dump() for row in rows])
                session.exec(delete(FactRow).where(col(FactRow.name).in_(facts)))
                session.add_all(FactRow(name=name, value=value) for name, value in facts.items())
        except SQLAlchemyError as exc:
            raise StoreError(f"the index can't be written: {exc}") from exc

    def logs(self, last_block: int | None = None) -> Iterator[LogRow]:
        """Rows in chain order, up to a block."""
        query = select(LogRow).order_by(col(LogRow.block_number), col(LogRow.log_index))
        if last_block is not None:
            query = query.where(LogRow.block_number <= last_block)
        try:
            with Session(self._engine) as session:
                yield from session.exec(query.execution_options(yield_per=_CHUNK_ROWS))
        except SQLAlchemyError as exc:
            raise StoreError(f"the index can't be read: {exc}") from exc

    def count(self) -> int:
        """Number of logs."""
        try:
            with Session(self._engine) as session:
                return session.exec(select(func.count()).select_from(LogRow)).one()
        except SQLAlchemyError as exc:
            raise StoreError(f"the index can't be read: {exc}") from exc


def _table(model: type[SQLModel]) -> Any:
    return model.__table__  # type: ignore[attr-defined]


def _engine(path: Path | None) -> Engine:
    if path is None:
        return create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine
