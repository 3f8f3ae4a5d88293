"""A device's period as a Parquet table, made from its source container, which goes along as its proof.

Invariant: a table holds what its container holds, row for row; whoever has both, the devices' keys and the anchors from
the chain can check that (`verify_table`). A table alone proves nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import IO, Final

import pyarrow
import pyarrow.parquet

from capsule.errors import VerificationError
from capsule.ids import DeviceId
from capsule.rows import Reading
from capsule.source import Anchor, DeviceKeys, SourceTable, read_source_header, verify_source
from gateway.errors import CallerError

__all__ = ["METADATA", "verify_table", "write_table"]

METADATA: Final = b"dataspace"
"""The file's metadata of this name says, as JSON, where the table comes from."""

_KIND: Final = "dataspace/table"
_TIME: Final = "time"
_MICROSECONDS: Final = 1_000_000


def write_table(container: Path, sink: IO[bytes], keys: DeviceKeys, anchors: Iterable[Anchor] | None = None) -> int:
    """Verifies the container and writes its table; returns the number of rows.

    Columns: `time` (UTC, microseconds), then one for each name, int64 or float64, null where a reading is missing, with
    the unit in the field's metadata where frames say one. `anchors`: what the chain says; without them the container's
    own word is taken. Raises VerificationError, FormatError; CallerError for readings that no table holds.
    """
    made = _table(container, keys, anchors)
    pyarrow.parquet.write_table(made, sink, compression="zstd")
    return int(made.num_rows)


def verify_table(table: Path, container: Path, keys: DeviceKeys, anchors: Iterable[Anchor]) -> DeviceId:
    """The first device, once `container` holds against the chain and `table` says it too. Raises VerificationError."""
    wanted = _table(container, keys, anchors)
    found = pyarrow.parquet.read_table(table)
    if not found.equals(wanted, check_metadata=True):
        raise VerificationError(f"table {table.name} does not say what its frames say", f"frames in {container.name}")
    return _first_device(container)


def _table(container: Path, keys: DeviceKeys, anchors: Iterable[Anchor] | None) -> pyarrow.Table:
    with container.open("rb") as stream:
        header = read_source_header(stream)
        stream.seek(0)
        source = verify_source(stream, keys, header.anchors if anchors is None else anchors)
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if _TIME in source.columns:
        raise CallerError(f"a column of readings is named {_TIME!r}; export the frames themselves")
    origin = {
        "kind": _KIND,
        "version": 1,
        "devices": [{"device": str(span.device), "first": span.first, "last": span.last} for span in header.spans],
        "batches": [
            {"gateway": str(one.gateway), "number": one.number, "frames_root": str(one.frames_root)}
            for one in header.batches
        ],
        "frames": source.frames,
        "rows": source.total,
        "marks": sorted(set(source.marks)),
        "container": f"sha256:{digest}",
    }
    return _columns(source).replace_schema_metadata({METADATA: json.dumps(origin, sort_keys=True).encode()})


def _columns(source: SourceTable) -> pyarrow.Table:
    fields = [pyarrow.field(_TIME, pyarrow.timestamp("us", tz="UTC"), nullable=False)]
    arrays = [pyarrow.array([_microseconds(time) for time in source.time], pyarrow.int64()).cast(fields[0].type)]
    for name, column in source.columns.items():
        kind = pyarrow.float64() if any(isinstance(value, float) for value in column) else pyarrow.int64()
        unit = source.units.get(name)
        fields.append(pyarrow.field(name, kind, metadata=None if unit is None else {b"unit": unit.encode()}))
        arrays.append(pyarrow.array(column, kind))
    return pyarrow.table(arrays, schema=pyarrow.schema(fields))


def _microseconds(time: Reading) -> int:
    return round(Fraction(time) * _MICROSECONDS)


def _first_device(container: Path) -> DeviceId:
    with container.open("rb") as stream:
        return read_source_header(stream).devices[0]
