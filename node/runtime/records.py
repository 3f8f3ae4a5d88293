"""What a WebAssembly module reads on standard input and writes on standard output; docs/formats.md has every byte.

Little-endian without padding, so that a few lines of C read it. Input: parameters, then each capsule's table, column by
column in blocks of at most BLOCK_ROWS rows, so that a module needs memory for one block only. Output: rows, cell by
cell. Names of output columns are the manifest's; a module can't choose any.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from capsule.algorithm import Algorithm, ColumnType, Parameters
from capsule.canonical import Json
from node.errors import GuardError, RuntimeRefusedError
from node.runtime.engine import Answer, Cell

__all__ = ["BLOCK_ROWS", "MAGIC", "read_rows", "write_input"]

MAGIC: Final = b"dswasm1\n"
BLOCK_ROWS: Final = 65_536

_CODES: Final = {
    ColumnType.INTEGER: 1,
    ColumnType.NUMBER: 2,
    ColumnType.TEXT: 3,
    ColumnType.BOOLEAN: 4,
    ColumnType.TIME: 5,
}
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # a time has no zone, as in the engine
_MICROSECONDS: Final = 1_000_000


def write_input(tables: Sequence[pa.Table], algorithm: Algorithm, parameters: Parameters) -> Iterator[bytes]:
    """The input's parts, in order. `parameters` are those that the manifest declares.

    Raises RuntimeRefusedError for what 64 bits don't hold: ("algorithm", "parameter") for a parameter, ("capsule",
    "table") for a date or number of a table.
    """
    yield MAGIC + len(algorithm.parameters).to_bytes(4, "little")
    for column in algorithm.parameters:
        yield _heading(column.name, column.type) + _value(parameters.values[column.name], column.type)
    yield len(tables).to_bytes(4, "little")
    for table in tables:
        columns = [(name, *_typed(table.schema.field(name).type)) for name in table.column_names]
        yield len(columns).to_bytes(4, "little") + b"".join(_heading(name, kind) for name, kind, _ in columns)
        for batch in table.to_batches(max_chunksize=BLOCK_ROWS):
            if batch.num_rows:
                yield batch.num_rows.to_bytes(4, "little")
                for cells, (_, kind, stored) in zip(batch.columns, columns, strict=True):
                    yield from _block(cells, kind, stored)
        yield bytes(4)


def read_rows(output: bytes, algorithm: Algorithm, most_rows: int) -> Answer:
    """The rows that a module wrote, no more than `most_rows`. GuardError ("schema") unless they are all well formed."""
    if not output.startswith(MAGIC):
        raise GuardError("schema")
    kinds = [column.type for column in algorithm.output]
    rows: list[tuple[Cell, ...]] = []
    at = len(MAGIC)
    while at < len(output) and len(rows) < most_rows:
        row: list[Cell] = []
        for kind in kinds:
            cell, at = _cell(output, at, kind)
            row.append(cell)
        rows.append(tuple(row))
    return Answer(tuple((column.name, column.type) for column in algorithm.output), tuple(rows))


def _heading(name: str, kind: ColumnType) -> bytes:
    return _text(name) + bytes((_CODES[kind],))


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(4, "little") + data


def _value(value: Json, kind: ColumnType) -> bytes:
    try:
        if kind is ColumnType.INTEGER and isinstance(value, int):
            return struct.pack("<q", value)
        if kind is ColumnType.NUMBER and isinstance(value, int | float):
            return struct.pack("<d", value)
        if kind is ColumnType.TIME and isinstance(value, int | float):
            return struct.pack("<q", round(value * _MICROSECONDS))
    except (struct.error, OverflowError):
        raise RuntimeRefusedError("algorithm", "parameter") from None
    if kind is ColumnType.BOOLEAN:
        return bytes((value is True,))
    return _text(str(value))


def _typed(kind: Any) -> tuple[ColumnType, Any]:
    """How a table's column is told to a module, and the Arrow type that has its bytes."""
    if pa.types.is_integer(kind):
        return ColumnType.INTEGER, pa.int64()
    if pa.types.is_boolean(kind):
        return ColumnType.BOOLEAN, pa.uint8()
    if pa.types.is_timestamp(kind) or pa.types.is_date32(kind):
        return ColumnType.TIME, pa.timestamp("us")
    if pa.types.is_time(kind):  # of a day: microseconds since midnight
        return ColumnType.INTEGER, pa.time64("us")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return ColumnType.TEXT, pa.large_string()
    return ColumnType.NUMBER, pa.float64()


def _block(cells: Any, kind: ColumnType, stored: Any) -> Iterator[bytes]:
    """A column's part of a block: a byte for each row that says whether there is a value, then the values."""
    yield _fixed(cells.is_valid().cast(pa.uint8()), 1)
    try:
        values = cells.cast(stored)
    except pa.ArrowInvalid:  # its text quotes the cell
        raise RuntimeRefusedError("capsule", "table") from None
    if kind is ColumnType.TEXT:
        values = values.fill_null("")
        yield _fixed(pc.binary_length(values).cast(pa.uint32()), 4)
        data = values.buffers()[2]
        first, last = (struct.unpack_from("<q", values.buffers()[1], 8 * at)[0] for at in _ends(values))
        yield b"" if data is None else data.slice(first, last - first).to_pybytes()
    else:
        yield _fixed(values.fill_null(0), 1 if kind is ColumnType.BOOLEAN else 8)


def _fixed(values: Any, width: int) -> bytes:
    data: bytes = values.buffers()[1].slice(values.offset * width, len(values) * width).to_pybytes()
    return data


def _ends(values: Any) -> tuple[int, int]:
    return values.offset, values.offset + len(values)


def _cell(output: bytes, at: int, kind: ColumnType) -> tuple[Cell, int]:
    try:
        present, at = output[at], at + 1
        if present not in (0, 1):
            raise GuardError("schema")
        if not present:
            return None, at
        match kind:
            case ColumnType.INTEGER:
                return struct.unpack_from("<q", output, at)[0], at + 8
            case ColumnType.NUMBER:
                return struct.unpack_from("<d", output, at)[0], at + 8
            case ColumnType.BOOLEAN:
                if output[at] > 1:
                    raise GuardError("schema")
                return output[at] == 1, at + 1
            case ColumnType.TIME:
                return _EPOCH + timedelta(microseconds=struct.unpack_from("<q", output, at)[0]), at + 8
            case ColumnType.TEXT:
                end = at + 4 + struct.unpack_from("<I", output, at)[0]
                if end > len(output):
                    raise GuardError("schema")
                return output[at + 4 : end].decode(), end
    except (struct.error, IndexError, UnicodeDecodeError, OverflowError):
        raise GuardError("schema") from None
