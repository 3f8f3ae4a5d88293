"""Plaintext to table, answer to document: values keep their type and every bit."""

from __future__ import annotations

import math
from datetime import datetime
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule.algorithm import Algorithm, Column, ColumnType, Parameters, code_digest
from capsule.canonical import Json, decode
from capsule.ids import DeviceId
from capsule.source import SourceTable
from node.errors import GuardError, RuntimeRefusedError
from node.runtime.engine import Answer, Engine
from node.runtime.guard import Bounds, result_document, verify_output
from node.runtime.sql import check
from node.runtime.table import from_csv, from_parquet, from_source, time_column

FREE = Bounds(max_rows=None, rows_left=None, min_group=1)


def manifest(*output: Column, group_column: str | None = None) -> Algorithm:
    return Algorithm(kind="sql", code_hash=code_digest(b""), parameters=(), output=output, group_column=group_column)


def value(table: pa.Table, sql: str, kind: ColumnType) -> Json:
    statement = check(f"SELECT {sql} AS v FROM readings", ["readings"])  # noqa: S608
    algorithm = manifest(Column("v", kind))
    engine = Engine({"readings": table}, memory_bytes=256 << 20, threads=1)
    engine.check(statement, algorithm, 1)
    answer = verify_output(
        engine.run(statement, algorithm, Parameters({}, bytes(32)), most_rows=10, most_bytes=10_000), algorithm, FREE
    )
    document = decode(result_document(answer, algorithm, bytes(32)))
    assert isinstance(document, dict)
    [[found]] = document["rows"]  # type: ignore[misc]
    return found  # type: ignore[has-type, no-any-return]


class TestCsv:
    @pytest.mark.parametrize(
        ("cells", "sql", "kind", "expected"),
        [
            ("1\n2", "sum(a)", ColumnType.INTEGER, 3),
            ("1\n2.5", "sum(a)", ColumnType.NUMBER, 3.5),
            ("\n7", "count(a)", ColumnType.INTEGER, 1),
            ("9007199254740993", "sum(a)", ColumnType.INTEGER, "9007199254740993"),
            ("9007199254740991", "sum(a)", ColumnType.INTEGER, 9007199254740991),
            ("0.1\n0.2", "sum(a)", ColumnType.NUMBER, 0.1 + 0.2),
            ("1e308\n1e308", "sum(a)", ColumnType.NUMBER, "inf"),
            ("nan", "max(a)", ColumnType.NUMBER, "nan"),
            ("2024-01-02", "max(a)", ColumnType.TIME, "2024-01-02"),
            ("2024-01-02 03:04:05", "max(a)", ColumnType.TIME, "2024-01-02T03:04:05"),
            ("2024-01-02T03:04:05.5Z", "max(a)", ColumnType.TIME, "2024-01-02T03:04:05.500000"),
            ("true\nfalse", "bool_or(a)", ColumnType.BOOLEAN, True),
            ("x\ny", "max(a || 'é')", ColumnType.TEXT, "yé"),
            ("007\nx", "min(a)", ColumnType.TEXT, "007"),
            ("1", "max(a * 1.5)", ColumnType.NUMBER, 1.5),
            ("1", "max(NULL::DOUBLE)", ColumnType.NUMBER, None),
        ],
    )
    def test_values(self, cells: str, sql: str, kind: ColumnType, expected: Json) -> None:
        lines = [f"{cell},0" for cell in cells.split("\n")]
        table = from_csv("\n".join(["a,b", *lines, ""]).encode(), None)
        assert value(table, sql, kind) == expected

    def test_a_column_is_what_its_last_row_makes_it(self) -> None:
        rows = ["a", *["1"] * 200_000, "0.5"]
        assert value(from_csv("\n".join(rows).encode(), None), "max(a)", ColumnType.NUMBER) == 1.0

    def test_a_mark_of_byte_order_is_no_part_of_a_name(self) -> None:
        assert from_csv("\ufefftime,x\n2024-01-01 00:00:00,1\n".encode(), "time").column_names == ["time", "x"]

    def test_unix_seconds_become_times(self) -> None:
        table = from_csv(b"t,u\n0.5,86400\n", "t")
        assert value(table, "max(t)", ColumnType.TIME) == "1970-01-01T00:00:00.500000"
        assert value(from_csv(b"t,u\n0.5,86400\n", "u"), "max(u)", ColumnType.TIME) == "1970-01-02T00:00:00"

    @pytest.mark.parametrize(
        ("data", "time"),
        [
            (b"", None),
            (b"a,b\n1\n", None),
            (b"a,A\n1,2\n", None),
            (b"a,b\n1,2\n", "time"),
            (b"time,b\nnoon,2\n", "time"),
            (b"\xff\xfe\x00", None),
        ],
    )
    def test_what_is_no_table(self, data: bytes, time: str | None) -> None:
        with pytest.raises(RuntimeRefusedError) as refused:
            from_csv(data, time)
        assert (refused.value.kind, refused.value.reason) == ("capsule", "table")


class TestParquet:
    def test_flat_columns_become_plain(self) -> None:
        table = pa.table(
            {
                "t": pa.array([1_000_000_000], type=pa.timestamp("ns", tz="Asia/Shanghai")),
                "i": pa.array([7], type=pa.int8()),
                "f": pa.array([0.5], type=pa.float32()),
                "d": pa.array(["x"]).dictionary_encode(),
            }
        )
        sink = BytesIO()
        pa_parquet.write_table(table, sink)
        plain = from_parquet(sink.getvalue(), "t")
        assert [str(kind) for kind in plain.schema.types] == ["timestamp[us]", "int64", "double", "string"]
        assert plain.column("t").to_pylist() == [datetime(1970, 1, 1, 0, 0, 1)]  # noqa: DTZ001

    def test_nested_columns_and_other_bytes_are_no_table(self) -> None:
        sink = BytesIO()
        pa_parquet.write_table(pa.table({"l": [[1, 2]]}), sink)
        for data in (sink.getvalue(), b"PAR1 not really PAR1"):
            with pytest.raises(RuntimeRefusedError):
                from_parquet(data, None)


class TestFrames:
    def source(self, **columns: list[int | float | None]) -> SourceTable:
        rows = len(next(iter(columns.values())))
        return SourceTable(
            time=[row + 0.25 for row in range(rows)],
            columns=columns,
            devices=[DeviceId(b"\x07" * 32)] * rows,
            marks=["signed"] * rows,
            units={},
            frames=1,
            verified=rows,
            total=rows,
        )

    def test_integers_floats_and_gaps(self) -> None:
        table = from_source(self.source(x=[1, None], y=[0.5, 2.0]), "when")
        assert table.column_names == ["when", "x", "y", "device", "mark"]
        assert [str(kind) for kind in table.schema.types] == ["timestamp[us]", "int64", "double", "string", "string"]
        assert table.column("x").to_pylist() == [1, None]
        assert table.column("when").to_pylist()[1] == datetime(1970, 1, 1, 0, 0, 1, 250_000)  # noqa: DTZ001

    def test_a_reading_keeps_its_name(self) -> None:
        assert from_source(self.source(Device=[1], mark=[2]), "time").column_names == ["time", "Device", "mark"]

    def test_two_columns_of_one_name_are_no_table(self) -> None:
        for names in (("x", "X"), ("time", "y"), ("Time", "y")):
            with pytest.raises(RuntimeRefusedError):
                from_source(self.source(**{name: [1] for name in names}), "time")


class TestSchema:
    @pytest.mark.parametrize(
        ("schema", "column"), [({"time_column": "t"}, "t"), ({}, None), ({"time_column": 5}, None), ([], None)]
    )
    def test_time_column(self, schema: Json, column: str | None) -> None:
        assert time_column(schema) == column


class TestGuard:
    N = Column("n", ColumnType.INTEGER)
    T = Column("t", ColumnType.TEXT)

    def answer(self, *rows: tuple[object, ...]) -> Answer:
        return Answer((("t", ColumnType.TEXT), ("n", ColumnType.INTEGER)), rows)  # type: ignore[arg-type]

    def refusal(self, answer: Answer, bounds: Bounds, *output: Column) -> str:
        with pytest.raises(GuardError) as refused:
            verify_output(answer, manifest(*(output or (self.T, self.N)), group_column="n"), bounds)
        return refused.value.reason

    def test_passes_what_fits(self) -> None:
        answer = self.answer(("a", 2), ("b", 3))
        bounds = Bounds(max_rows=2, rows_left=2, min_group=2)
        assert verify_output(answer, manifest(self.T, self.N, group_column="n"), bounds) is answer

    def test_schema(self) -> None:
        assert self.refusal(self.answer(), FREE, self.N, self.T) == "schema"
        assert self.refusal(self.answer(), FREE, self.N) == "schema"
        assert self.refusal(Answer((("n", None),), ()), FREE, self.N) == "schema"

    def test_rows_and_budget(self) -> None:
        two = self.answer(("a", 1), ("b", 1))
        assert self.refusal(two, Bounds(max_rows=1, rows_left=None, min_group=1)) == "rows"
        assert self.refusal(two, Bounds(max_rows=None, rows_left=0, min_group=1)) == "budget"

    @pytest.mark.parametrize("size", [1, 0, -5, None, "9"])
    def test_group(self, size: object) -> None:
        assert self.refusal(self.answer(("a", 2), ("b", size)), Bounds(None, None, 2)) == "group"

    @settings(deadline=None)
    @given(st.lists(st.floats(), max_size=5))
    def test_numbers_come_back_bit_by_bit(self, numbers: list[float]) -> None:
        algorithm = manifest(Column("v", ColumnType.NUMBER))
        answer = Answer((("v", ColumnType.NUMBER),), tuple((number,) for number in numbers))
        document = decode(result_document(answer, algorithm, bytes(32)))
        assert isinstance(document, dict)
        for number, [cell] in zip(numbers, document["rows"], strict=True):  # type: ignore[arg-type, misc]
            assert float(cell) == number or (math.isnan(number) and math.isnan(float(cell)))  # type: ignore[has-type]

    @settings(deadline=None)
    @given(st.integers(min_value=-(2**127), max_value=2**127))
    def test_integers_come_back_exactly(self, number: int) -> None:
        algorithm = manifest(self.N)
        answer = Answer((("n", ColumnType.INTEGER),), ((number,),))
        document = decode(result_document(answer, algorithm, bytes(32)))
        assert isinstance(document, dict)
        [[cell]] = document["rows"]  # type: ignore[misc]
        assert int(cell) == number  # type: ignore[has-type]
        assert isinstance(cell, int) == (abs(number) < 2**53)  # type: ignore[has-type]
