"""The operation log's tables: entries that are only ever added, those that still wait for their chain event, anchors.

An entry is written in the transaction of the act that it records. Each row carries the peaks of the tree that ends with
it, so that any head is one row. The database itself refuses to change or delete a row.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, text
from sqlmodel import Field, Session, SQLModel, col, func, select

from capsule.ids import Digest
from capsule.oplog import EMPTY_HEAD, Act, LogEntry, LogHead
from capsule.tree import TreeHasher

__all__ = ["AWAITED", "LogAnchorRow", "LogPendingRow", "LogRow", "append", "head_at", "protect", "tree_at"]

HASH_BYTES = 32
AWAITED = {Act.DECISION: "decision", Act.RECEIPT: "receipt", Act.ACCUSATION: "accusation"}
"""Acts that a chain event must follow, and the digest by which it names them."""


class LogRow(SQLModel, table=True):
    """One entry: its RFC 8785 bytes, its leaf hash, and the peaks of the tree up to it. Positions count from 0."""

    __tablename__ = "node_log"
    position: int = Field(primary_key=True)
    entry: bytes
    at: int
    leaf: bytes
    peaks: bytes


class LogPendingRow(SQLModel, table=True):
    """An entry whose chain event is not final yet."""

    __tablename__ = "node_log_pending"
    position: int = Field(primary_key=True)
    digest: str


class LogAnchorRow(SQLModel, table=True):
    """A head that was sent to the chain: what it follows, its signed note, and whether the chain took it."""

    __tablename__ = "node_log_anchors"
    root: str = Field(primary_key=True)
    first: int
    size: int
    note: str
    taken: bool


def protect(connection: Connection) -> None:
    """Makes the table of entries one that is only added to."""
    for verb in ("UPDATE", "DELETE"):
        statement = (
            f"CREATE TRIGGER IF NOT EXISTS node_log_no_{verb.lower()} BEFORE {verb} ON node_log "
            "BEGIN SELECT RAISE(ABORT, 'the operation log is only added to'); END"
        )
        connection.execute(text(statement))


def append(session: Session, entries: Sequence[LogEntry]) -> None:
    """Adds entries, in a transaction that already holds the database's write lock."""
    hasher = tree_at(session, size_of(session))
    for entry in entries:
        position = hasher.size
        hasher.append(entry.leaf)
        peaks = b"".join(hasher.peaks)
        session.add(LogRow(position=position, entry=entry.to_bytes(), at=entry.at, leaf=entry.leaf, peaks=peaks))
        if entry.act in AWAITED:
            digest = str(entry.digests[AWAITED[entry.act]])
            session.add(LogPendingRow(position=position, digest=digest))


def size_of(session: Session) -> int:
    """How many entries there are."""
    last = session.exec(select(func.max(LogRow.position))).one()
    return 0 if last is None else last + 1


def tree_at(session: Session, size: int) -> TreeHasher:
    """The tree over the first `size` entries; InputError where there are fewer."""
    row = session.exec(select(LogRow).where(col(LogRow.position) == size - 1)).first()
    peaks = row.peaks if row else b""
    return TreeHasher.resumed(size, [peaks[at : at + HASH_BYTES] for at in range(0, len(peaks), HASH_BYTES)])


def head_at(session: Session, size: int) -> LogHead:
    """The head of the first `size` entries; InputError where there are fewer."""
    return LogHead(size, Digest(tree_at(session, size).root())) if size else EMPTY_HEAD
