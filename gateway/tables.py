"""The tables of a gateway's store, the same on SQLite and PostgreSQL.

Invariants, kept by unique indexes: a frame is stored once by its hash, and a device has one accepted frame for each
sequence number. Accepted frames are numbered from 1 without gaps in the order of arrival, and a batch is a range of
these numbers; so nothing of a frame is ever written again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from sqlalchemy import BigInteger, Index, Integer, MetaData
from sqlmodel import Field, SQLModel

__all__ = [
    "SCHEMA",
    "BatchRow",
    "DeviceRow",
    "ForkRow",
    "FrameRow",
    "IncidentRow",
    "MarkRow",
    "SchemaRow",
    "Stage",
    "Table",
]

SCHEMA: Final = 3
"""The version of these tables."""

_BIG: Any = BigInteger().with_variant(Integer(), "sqlite")


class Stage(StrEnum):
    """Where a batch is on its way: stored here, in a block, in a final block."""

    BUILT = "built"
    SENT = "sent"
    ANCHORED = "anchored"


class Table(SQLModel):
    """Tables of this store alone, not of whatever else in the process uses SQLModel."""

    metadata = MetaData()


class SchemaRow(Table, table=True):
    """One row: the version of the tables."""

    __tablename__ = "gateway_schema"
    version: int = Field(primary_key=True)


class DeviceRow(Table, table=True):
    """A device seen here; where it stands is told by its frames."""

    __tablename__ = "gateway_devices"
    device: bytes = Field(primary_key=True)
    first_seen: int = Field(sa_type=_BIG)


class FrameRow(Table, table=True):
    """An accepted frame as received. `number` is its place in the order of arrival.

    `receipt`: suite (1 byte), the gateway's account (20 bytes), signature; the rest of a receipt stands in this row.
    """

    __tablename__ = "gateway_frames"
    __table_args__ = (Index("gateway_frames_sequence", "device", "sequence", unique=True),)
    number: int = Field(primary_key=True, sa_type=_BIG, sa_column_kwargs={"autoincrement": False})
    hash: bytes = Field(unique=True)
    device: bytes
    sequence: int = Field(sa_type=_BIG)
    previous: bytes
    leaf: bytes
    mark: str
    rows: int
    first_time: float
    last_time: float
    received_at: int = Field(sa_type=_BIG)
    receipt: bytes
    data: bytes


class ForkRow(Table, table=True):
    """A frame that contradicts another: evidence, without receipt and batch.

    `known`, `known_sequence`: the frame that it contradicts, as its refusal names it.
    """

    __tablename__ = "gateway_forks"
    __table_args__ = (Index("gateway_forks_device", "device"),)
    number: int | None = Field(default=None, primary_key=True, sa_type=_BIG)
    hash: bytes = Field(unique=True)
    device: bytes
    sequence: int = Field(sa_type=_BIG)
    known: bytes
    known_sequence: int = Field(sa_type=_BIG)
    received_at: int = Field(sa_type=_BIG)
    data: bytes


class MarkRow(Table, table=True):
    """Readings of one column of an accepted frame that fail one check of the thing model.

    `rows`: their places in the frame as ranges, "0-2,7"; `readings`: how many; `time`: that of the first; `detail`: why
    the first one fails.
    """

    __tablename__ = "gateway_marks"
    __table_args__ = (Index("gateway_marks_device", "device", "sequence"),)
    number: int | None = Field(default=None, primary_key=True, sa_type=_BIG)
    device: bytes
    sequence: int = Field(sa_type=_BIG)
    frame: bytes
    column: str
    rule: str
    rows: str
    readings: int
    time: float
    detail: str


class IncidentRow(Table, table=True):
    """An incident; `batch` once it is in one."""

    __tablename__ = "gateway_incidents"
    number: int | None = Field(default=None, primary_key=True, sa_type=_BIG)
    kind: str
    device: bytes
    sequence: int = Field(sa_type=_BIG)
    last: int = Field(sa_type=_BIG)
    evidence: bytes
    rule: str = ""
    recorded_at: int = Field(sa_type=_BIG)
    batch: int | None = Field(default=None, index=True, sa_type=_BIG)


class BatchRow(Table, table=True):
    """A batch and its document (JSON): the frames numbered from `first`, `size` of them.

    `anchored_at` is its block's time.
    """

    __tablename__ = "gateway_batches"
    number: int = Field(primary_key=True, sa_type=_BIG, sa_column_kwargs={"autoincrement": False})
    first: int = Field(unique=True, sa_type=_BIG)
    size: int
    frames_root: bytes = Field(unique=True)
    document: bytes
    built_at: int = Field(sa_type=_BIG)
    stage: str = Field(default=Stage.BUILT, index=True)
    block: int | None = Field(default=None, sa_type=_BIG)
    transaction: bytes | None = None
    anchored_at: int | None = Field(default=None, sa_type=_BIG)
