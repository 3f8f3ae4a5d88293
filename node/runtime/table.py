"""A capsule's plaintext as a table in memory.

Invariant: every column is one that SQL has a plain type for: BIGINT, DOUBLE, VARCHAR, BOOLEAN, TIMESTAMP (without zone:
UTC, or as written), DATE, TIME, DECIMAL. Integers and floats are never mixed up: a column is DOUBLE when one of its
readings was written with a fraction. The time column, named by the capsule's schema, is always a TIMESTAMP.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute  # casts load it when first used, which is too late in a confined process
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from capsule.canonical import Json
from capsule.source import MEDIA_TYPE, SourceTable
from node.errors import RuntimeRefusedError

__all__ = ["CSV", "FRAMES", "PARQUET", "from_csv", "from_parquet", "from_source", "time_column"]

CSV: Final = "text/csv"
PARQUET: Final = "application/vnd.apache.parquet"
FRAMES: Final = MEDIA_TYPE

_TIMESTAMP: Final = pa.timestamp("us")
_MICROSECONDS: Final = 1_000_000
# Arrow's largest block; types are inferred from one block, so that a column's last row counts as much as its first
_MAX_CSV_BYTES: Final = 2**31 - 1


def time_column(schema: Json) -> str | None:
    """The time column that a capsule's schema names; None where it names none."""
    named = schema.get("time_column") if isinstance(schema, Mapping) else None
    return named if isinstance(named, str) and named else None


def from_csv(data: bytes, time: str | None) -> pa.Table:
    """UTF-8 CSV with a header line, commas, empty for missing. Raises RuntimeRefusedError ("capsule", "table")."""
    if len(data) > _MAX_CSV_BYTES:
        raise RuntimeRefusedError("capsule", "table")
    reading = pa_csv.ReadOptions(use_threads=False, block_size=max(len(data), 1))
    converting = pa_csv.ConvertOptions(null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False)
    with _translated():
        return _plain(pa_csv.read_csv(pa.BufferReader(data), read_options=reading, convert_options=converting), time)


def from_parquet(data: bytes, time: str | None) -> pa.Table:
    """A Parquet file of flat columns. Raises RuntimeRefusedError ("capsule", "table")."""
    with _translated():
        return _plain(pa_parquet.read_table(pa.BufferReader(data), use_threads=False), time)


def from_source(source: SourceTable, time: str) -> pa.Table:
    """The table of verified frames: column `time`, a column per reading, and where no reading has that name, `device`
    and `mark` (signed, witnessed, imported) of each row's frame."""
    with _translated():
        columns = {time: pa.array([round(moment * _MICROSECONDS) for moment in source.time], type=_TIMESTAMP)}
        for name, cells in source.columns.items():
            whole = all(cell is None or isinstance(cell, int) for cell in cells)
            columns.setdefault(name, pa.array(cells, type=pa.int64() if whole else pa.float64()))
        if _lowered(columns) != len(columns) or time in source.columns:
            raise RuntimeRefusedError("capsule", "table")
        taken = {name.lower() for name in columns}
        for name, texts in (("device", map(str, source.devices)), ("mark", source.marks)):
            if name not in taken:
                columns[name] = pa.array(texts, type=pa.string())
        return pa.table(columns)


@contextmanager
def _translated() -> Iterator[None]:
    """Arrow's errors as reason codes; their text may quote cells and stays here."""
    try:
        yield
    except MemoryError:  # Arrow's own is one of both kinds
        raise RuntimeRefusedError("limits", "memory") from None
    except (pa.ArrowException, OSError, OverflowError):
        raise RuntimeRefusedError("capsule", "table") from None


def _plain(table: pa.Table, time: str | None) -> pa.Table:
    if _lowered(table.column_names) != table.num_columns or (time is not None and time not in table.column_names):
        raise RuntimeRefusedError("capsule", "table")
    columns = {
        name: _timestamps(table.column(name)) if name == time else _plain_column(table.column(name))
        for name in table.column_names
    }
    return pa.table(columns)


def _lowered(names: Collection[str]) -> int:
    """How many names are left for an engine that does not tell capitals from small letters."""
    return len({name.lower() for name in names})


def _plain_column(column: Any) -> Any:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if pa.types.is_floating(kind) or pa.types.is_null(kind):
        return column.cast(pa.float64())
    if pa.types.is_timestamp(kind):
        return _timestamps(column)
    flat = (pa.types.is_string, pa.types.is_large_string, pa.types.is_boolean, pa.types.is_date32, pa.types.is_time)
    if any(is_kind(kind) for is_kind in flat) or pa.types.is_decimal(kind):
        return column
    raise RuntimeRefusedError("capsule", "table")


def _timestamps(column: Any) -> Any:
    """Times as TIMESTAMP: with a zone they become UTC, without one they stay as written, numbers are unix seconds."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        if kind.tz is not None:
            column = column.cast(pa.timestamp("us", tz="UTC"))
        return column.cast(_TIMESTAMP)
    if pa.types.is_date32(kind):
        return column.cast(_TIMESTAMP)
    if pa.types.is_integer(kind):
        return column.cast(pa.int64()).cast(pa.timestamp("s")).cast(_TIMESTAMP)
    if pa.types.is_floating(kind):
        cells = [None if cell is None else round(cell * _MICROSECONDS) for cell in column.to_pylist()]
        return pa.chunked_array([pa.array(cells, type=_TIMESTAMP)])
    raise RuntimeRefusedError("capsule", "table")
