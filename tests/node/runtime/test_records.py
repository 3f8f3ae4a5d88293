"""The bytes that a module reads and writes."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from datetime import date, datetime, time
from decimal import Decimal
from io import BytesIO

import pyarrow as pa
import pytest

from capsule.algorithm import Algorithm, Column, ColumnType, Parameters, code_digest
from capsule.canonical import Json
from node.errors import GuardError, RuntimeRefusedError
from node.runtime.records import BLOCK_ROWS, MAGIC, read_rows, write_input
from tests.node.runtime.world import entropy

N = (Column("n", ColumnType.INTEGER),)
FORMS = {1: "q", 2: "d", 4: "B", 5: "q"}


def manifest(parameters: Iterable[Column] = (), output: Iterable[Column] = N) -> Algorithm:
    return Algorithm(kind="wasm", code_hash=code_digest(b""), parameters=tuple(parameters), output=tuple(output))


class Reader:
    """A module's side, written from docs/formats.md."""

    def __init__(self, data: bytes) -> None:
        self.stream = BytesIO(data)
        assert self.stream.read(8) == b"dswasm1\n"

    def unpack(self, form: str) -> tuple[object, ...]:
        return struct.unpack("<" + form, self.stream.read(struct.calcsize("<" + form)))

    def number(self) -> int:
        (value,) = self.unpack("I")
        assert isinstance(value, int)
        return value

    def text(self) -> str:
        return self.stream.read(self.number()).decode()

    def heading(self) -> tuple[str, int]:
        name, (kind,) = self.text(), self.unpack("B")
        assert isinstance(kind, int)
        return name, kind

    def parameters(self) -> dict[str, object]:
        found: dict[str, object] = {}
        for _ in range(self.number()):
            name, kind = self.heading()
            found[name] = self.text() if kind == 3 else self.unpack(FORMS[kind])[0]
        return found

    def table(self) -> tuple[list[tuple[str, int]], list[list[object]], list[int]]:
        """Columns, cells by column, and the rows of each block."""
        columns = [self.heading() for _ in range(self.number())]
        cells: list[list[object]] = [[] for _ in columns]
        blocks = []
        while rows := self.number():
            blocks.append(rows)
            for place, (_, kind) in enumerate(columns):
                present = self.unpack(f"{rows}B")
                if kind == 3:
                    values: tuple[object, ...] = tuple(
                        self.stream.read(size).decode() for size in self.unpack(f"{rows}I") if isinstance(size, int)
                    )
                else:
                    values = self.unpack(f"{rows}{FORMS[kind]}")
                cells[place] += [value if there else None for value, there in zip(values, present, strict=True)]
        return columns, cells, blocks


def written(*tables: pa.Table, algorithm: Algorithm | None = None, values: dict[str, Json] | None = None) -> Reader:
    parameters = Parameters(values or {}, entropy(32))
    return Reader(b"".join(write_input(tables, algorithm or manifest(), parameters)))


def test_every_kind_of_column_reads_back() -> None:
    moment = datetime(2024, 5, 1, 12, 30, 0, 250_000)  # noqa: DTZ001
    table = pa.table(
        {
            "i": pa.array([1, None, -(2**63)], type=pa.int64()),
            "f": pa.array([0.5, None, -1e300]),
            "s": pa.array(["", None, "密态"]),
            "b": pa.array([True, None, False]),
            "t": pa.array([moment, None, datetime(1969, 12, 31)], type=pa.timestamp("us")),  # noqa: DTZ001
            "d": pa.array([date(1970, 1, 2), None, date(1969, 12, 31)]),
            "c": pa.array([time(0, 0, 1), None, time(0, 0)]),
            "m": pa.array([Decimal("1.25"), None, Decimal("-0.50")]),
        }
    )
    columns, cells, blocks = skipped(written(table)).table()
    assert columns == [("i", 1), ("f", 2), ("s", 3), ("b", 4), ("t", 5), ("d", 5), ("c", 1), ("m", 2)]
    assert blocks == [3]
    day = 86_400_000_000
    assert cells == [
        [1, None, -(2**63)],
        [0.5, None, -1e300],
        ["", None, "密态"],
        [1, None, 0],
        [1_714_566_600_250_000, None, -day],
        [day, None, -day],
        [1_000_000, None, 0],
        [1.25, None, -0.5],
    ]


def test_parameters_and_tables_stand_in_order() -> None:
    parameters = [Column(kind.value, kind) for kind in ColumnType]
    values: dict[str, Json] = {"integer": -3, "number": 2, "text": "a", "boolean": True, "time": 1.5}
    reader = written(pa.table({"a": [1]}), pa.table({"b": [2, 3]}), algorithm=manifest(parameters), values=values)
    expected = {"integer": -3, "number": 2.0, "text": "a", "boolean": 1, "time": 1_500_000}
    assert reader.parameters() == expected
    assert reader.number() == 2
    assert reader.table() == ([("a", 1)], [[1]], [1])
    assert reader.table() == ([("b", 1)], [[2, 3]], [2])
    assert reader.stream.read() == b""


def test_a_long_table_comes_in_blocks_and_an_empty_one_in_none() -> None:
    rows = BLOCK_ROWS + 7
    texts = [None if row % 5 == 0 else f"row {row}" for row in range(rows)]
    columns, cells, blocks = skipped(written(pa.table({"x": list(range(rows)), "s": texts}))).table()
    assert blocks == [BLOCK_ROWS, 7]
    assert cells == [list(range(rows)), texts]
    empty = pa.table({"x": pa.array([], type=pa.int64())})
    assert skipped(written(empty)).table() == ([("x", 1)], [[]], [])
    assert columns == [("x", 1), ("s", 3)]


def skipped(reader: Reader) -> Reader:
    """Past parameters and the number of tables."""
    assert reader.parameters() == {}
    reader.number()
    return reader


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_a_parameter_past_64_bits_is_refused(value: int) -> None:
    with pytest.raises(RuntimeRefusedError, match="parameter"):
        written(pa.table({"a": [1]}), algorithm=manifest(N), values={"n": value})


def test_a_date_past_64_bits_is_refused_without_its_text() -> None:
    with pytest.raises(RuntimeRefusedError, match="table") as refusal:
        written(pa.table({"d": pa.array([2**31 - 1], type=pa.int32()).cast(pa.date32())}))
    assert refusal.value.__cause__ is None
    assert (refusal.value.kind, refusal.value.reason) == ("capsule", "table")


def test_rows_of_every_kind_read_back_under_the_manifests_names() -> None:
    output = [Column(f"c_{kind.value}", kind) for kind in ColumnType]
    cells = {
        ColumnType.INTEGER: struct.pack("<q", -7),
        ColumnType.NUMBER: struct.pack("<d", 0.25),
        ColumnType.TEXT: b"\x03\0\0\0abc",
        ColumnType.BOOLEAN: b"\x01",
        ColumnType.TIME: struct.pack("<q", 1_000_000),
    }
    row = b"".join(b"\x01" + cells[column.type] for column in output)
    answer = read_rows(MAGIC + row + bytes(len(output)), manifest(output=output), 10)
    assert answer.columns == tuple((column.name, column.type) for column in output)
    first = dict(zip((column.type for column in output), answer.rows[0], strict=True))
    assert first == {
        ColumnType.INTEGER: -7,
        ColumnType.NUMBER: 0.25,
        ColumnType.TEXT: "abc",
        ColumnType.BOOLEAN: True,
        ColumnType.TIME: datetime(1970, 1, 1, 0, 0, 1),  # noqa: DTZ001
    }
    assert answer.rows[1:] == ((None,) * len(output),)
    assert read_rows(MAGIC, manifest(output=output), 10).rows == ()


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        (ColumnType.BOOLEAN, b"\x01\x02"),
        (ColumnType.BOOLEAN, b"\x01"),
        (ColumnType.TEXT, b"\x01\x02\0\0\0\xff\xfe"),
        (ColumnType.TEXT, b"\x01\xff\xff\xff\xff"),
        (ColumnType.TEXT, b"\x01\x02\0\0\0a"),
        (ColumnType.TIME, b"\x01" + struct.pack("<q", 2**63 - 1)),
        (ColumnType.INTEGER, b"\x07" + bytes(8)),
    ],
)
def test_a_cell_that_is_not_of_its_type_holds_the_result_back(kind: ColumnType, cell: bytes) -> None:
    with pytest.raises(GuardError, match="schema"):
        read_rows(MAGIC + cell, manifest(output=[Column("c", kind)]), 10)


def test_no_more_rows_are_read_than_asked_for() -> None:
    output = MAGIC + (b"\x01" + bytes(8)) * 5
    assert len(read_rows(output, manifest(), 3).rows) == 3
