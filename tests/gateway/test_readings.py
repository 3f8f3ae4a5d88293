"""CSV files of readings: what they may hold, and how each fault is named."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.rows import Row
from capsule.senml import EARLIEST_TIME
from gateway.errors import ReadingsError
from gateway.readings import open_readings, parse_time

T = 1_704_067_200  # 2024-01-01 00:00:00 UTC


def rows_of(tmp_path: Path, text: str | bytes, origin: int = 0) -> list[Row]:
    file = tmp_path / "r.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(open_readings(file, origin=origin).rows())


def test_numbers_times_and_gaps(tmp_path: Path) -> None:
    text = "\ufefftime , P,Q \r\n2024-01-01 00:00:00,1,2.0\r\n\r\n2024-01-01T01:00:10+01:00,-7,\r\n1704067220,,1e3\r\n"
    assert rows_of(tmp_path, text) == [
        Row(T, {"P": 1, "Q": 2.0}),
        Row(T + 10, {"P": -7}),
        Row(T + 20, {"Q": 1000.0}),
    ]
    file = open_readings(tmp_path / "r.csv")
    assert (file.time_column, file.columns) == ("time", ("P", "Q"))


def test_whole_numbers_stay_whole_and_others_floats(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, "t,a,b,c,d,e\n2024-01-01,007,+5,9223372036854775807,.5,5.\n")
    assert repr(row.values) == "{'a': 7, 'b': 5, 'c': 9223372036854775807, 'd': 0.5, 'e': 5.0}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2024-01-01 00:00:00", T),
        ("2024-01-01T00:00:00Z", T),
        ("2024-01-01 08:00:00+08:00", T),
        ("2024-01-01", T),
        ("2024-01-01 00:00:00.25", T + 0.25),
        ("1704067200", T),
        ("1704067200.5", T + 0.5),
        (" 1704067200 ", T),
    ],
)
def test_times(text: str, seconds: float) -> None:
    found = parse_time(text)
    assert found == seconds
    assert isinstance(found, int) == (seconds == T)


@given(st.integers(EARLIEST_TIME, 4_000_000_000))
def test_every_second_is_exact(second: int) -> None:
    assert parse_time(datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")) == second


def test_seconds_from_an_origin(tmp_path: Path) -> None:
    assert [row.time for row in rows_of(tmp_path, "t,a\n0,1\n0.5,2\n", origin=T)] == [T, T + 0.5]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "line 1: names a time column"),
        ("\n", "line 1: names a time column"),
        ("time\n1\n", "line 1: names a time column"),
        ("time;P\n1;2\n", "line 1: names a time column"),
        ("time,,Q\n", "line 1: column 2 has no name"),
        ("time,P,P\n", "line 1, column P: is named twice"),
        ("time,P,p\n", "line 1, column P: is named twice"),
        ("2026-01-01 00:00:00,1,2.5\n", "line 1: is a row of readings"),
        ("time,a\tb\n", "line 1: a column name is printable"),
        ("t,P\n2024-01-01,1,2\n", "line 2: has 3 cells, the header names 2"),
        ("t,P\n2024-01-01\n", "line 2: has 1 cells"),
        ("t,P\nyesterday,1\n", "line 2, column t: 'yesterday' is no time"),
        ("t,P\n2024-02-30,1\n", "line 2, column t"),
        ("t,P\n,1\n", "line 2, column t: '' is no time"),
        ("t,P\n10,1\n", "line 2, column t: '10' is not between"),
        ("t,P\n1e300,1\n", "line 2, column t"),
        ("t,P\n2024-01-01,one\n", "line 2, column P: 'one' is no number"),
        ("t,P\n2024-01-01,1_000\n", "line 2, column P"),
        ("t,P\n2024-01-01,nan\n", "line 2, column P"),
        ("t,P\n2024-01-01,inf\n", "line 2, column P"),
        ("t,P\n2024-01-01,0x10\n", "line 2, column P"),
        ("t,P\n2024-01-01,١\n", "line 2, column P"),
        ("t,P\n2024-01-01,1e999\n", "line 2, column P: '1e999' is too large"),
        ("t,P\n2024-01-01,9223372036854775808\n", "line 2, column P: .* does not fit 64 bits"),
        ("t,P\n2024-01-01," + "9" * 5000 + "\n", "line 2, column P: .* does not fit 64 bits"),
        ('t,P\n2024-01-01,"1\n', "line 2: is no CSV"),
        (b"t,P\n2024-01-01,\xff\n", "is not UTF-8"),
        (b"\xff\xfet\x00", "line 1: is not UTF-8"),
    ],
)
def test_each_fault_is_named(tmp_path: Path, text: str | bytes, match: str) -> None:
    with pytest.raises(ReadingsError, match=match) as caught:
        rows_of(tmp_path, text)
    assert str(caught.value).startswith("r.csv, line ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReadingsError, match=r"^none\.csv: can't be read"):
        open_readings(tmp_path / "none.csv")
    with pytest.raises(ReadingsError, match="can't be read"):
        open_readings(tmp_path)


@given(st.binary(max_size=200))
def test_fuzz_random_files_are_rows_or_readings_errors(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    try:
        rows_of(tmp_path_factory.mktemp("fuzz"), b"t,P\n2024-01-01,1\n" + data)
    except ReadingsError:
        return
