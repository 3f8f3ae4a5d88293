"""A period as a Parquet table says what its frames say, and is found out when it does not."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from capsule.errors import VerificationError
from capsule.rows import Row
from capsule.source import Anchor
from gateway.errors import CallerError
from gateway.gateway import Gateway
from gateway.table_export import METADATA, verify_table, write_table
from tests.capsule.frames import START, Device


def _exported(gateway: Gateway, device: Device, folder: Path) -> tuple[Path, tuple[Anchor, ...]]:
    gateway.anchor_all()
    container = folder / "day.parquet.frames"
    with container.open("wb") as sink:
        export = gateway.export(device.id, sink)
    return container, export.anchors


def test_a_table_holds_the_rows_of_its_frames_and_is_checked_against_them(
    gateway: Gateway, device: Device, tmp_path: Path
) -> None:
    gateway.ingest(device.frame([Row(START, {"P": 5, "SOC": 50.5}), Row(START + 0.25, {"P": -(2**63)})]))
    gateway.ingest(device.frame([Row(START + 1, {"SOC": 51, "有功": 2**53 + 1})]))
    container, anchors = _exported(gateway, device, tmp_path)
    table = tmp_path / "day.parquet"
    keys = {device.id: device.key}
    with table.open("wb") as sink:
        assert write_table(container, sink, keys) == 3
    read = pyarrow.parquet.read_table(table)
    start = datetime.fromtimestamp(START, UTC)
    assert read.to_pydict() == {
        "time": [start, start.replace(microsecond=250_000), start.replace(second=start.second + 1)],
        "P": [5, -(2**63), None],
        "SOC": [50.5, None, 51.0],
        "有功": [None, None, 2**53 + 1],
    }
    origin = json.loads(read.schema.metadata[METADATA])
    assert (origin["kind"], origin["rows"], origin["frames"], origin["marks"]) == ("dataspace/table", 3, 2, ["signed"])
    assert origin["devices"] == [{"device": str(device.id), "first": 1, "last": 2}]
    assert verify_table(table, container, keys, anchors) == device.id

    changed = read.set_column(1, "P", pyarrow.array([6, -(2**63), None], pyarrow.int64()))
    pyarrow.parquet.write_table(changed.replace_schema_metadata(read.schema.metadata), table)
    with pytest.raises(VerificationError, match="does not say what its frames say"):
        verify_table(table, container, keys, anchors)
    with pytest.raises(VerificationError, match="not signed by its device"):
        verify_table(table, container, {device.id: Device(9).key}, anchors)
    with pytest.raises(VerificationError, match="not anchored"):
        verify_table(table, container, keys, ())


def test_readings_named_time_make_no_table(gateway: Gateway, device: Device, tmp_path: Path) -> None:
    gateway.ingest(device.frame([Row(START, {"time": 1})]))
    container, _ = _exported(gateway, device, tmp_path)
    sink = io.BytesIO()
    with pytest.raises(CallerError, match="export the frames themselves"):
        write_table(container, sink, {device.id: device.key})
    assert sink.getvalue() == b""
