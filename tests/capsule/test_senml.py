"""SenML packs: the examples of RFC 8428 resolve as published; rows come back as they went in."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.errors import FormatError, InputError
from capsule.ids import DeviceId
from capsule.rows import Reading, Row
from capsule.senml import EARLIEST_TIME, LATEST_TIME, MAX_RECORDS, pack_rows, resolve, unpack_rows

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "senml"
LABELS = {
    "bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6,
    "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8,
}  # fmt: skip
DEVICE = DeviceId(b"\x2a" * 32)
BASE = DEVICE.hex() + "/"

needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason="the published vectors are not here")


def to_cbor(records: list[dict[str, Any]]) -> bytes:
    return cbor2.dumps([{LABELS.get(label, label): value for label, value in record.items()} for record in records])


def published(name: str) -> Any:
    records = json.loads((VECTORS / name).read_text())
    for record in records:
        if "vd" in record:  # bytes are text in JSON
            record["vd"] = base64.urlsafe_b64decode(record["vd"] + "==")
    return records


@needs_vectors
@pytest.mark.parametrize("number", [3, 4, 5, 6, 8, 10, 11, 12])
def test_published_examples_resolve(number: int) -> None:
    expected = published(f"ex{number}.gen.resolved.json")
    found = resolve(to_cbor(published(f"ex{number}.gen.json")))
    assert [record.name for record in found] == [record["n"] for record in expected]
    assert [record.unit for record in found] == [record.get("u") for record in expected]
    values = [next(record[kind] for kind in ("v", "vs", "vb", "vd") if kind in record) for record in expected]
    assert [record.value for record in found] == values
    assert [record.time for record in found] == [record.get("t", 0) for record in expected]


@needs_vectors
def test_published_values_of_every_kind_resolve() -> None:
    # The published resolution leaves the record with data out, and puts "now" for the times.
    found = resolve(to_cbor(published("ex7.gen.json")))
    assert [record.value for record in found] == [23.1, "Machine Room", False, b"hi \n"]
    assert [record.name for record in found][:3] == [record["n"] for record in published("ex7.gen.resolved.json")]


@needs_vectors
@pytest.mark.parametrize("number", [3, 5])
def test_published_cbor_resolves_as_its_json(number: int) -> None:
    as_cbor = resolve((VECTORS / f"ex{number}.gen.cbor").read_bytes())
    as_json = resolve(to_cbor(published(f"ex{number}.gen.json")))
    assert [(record.name, record.unit, record.time, record.value) for record in as_cbor] == [
        (record.name, record.unit, record.time, record.value) for record in as_json
    ]


@needs_vectors
@pytest.mark.parametrize("number", [1, 2, 9])
def test_times_relative_to_now_make_no_rows(number: int) -> None:
    records = published(f"ex{number}.gen.json")
    assert all(record.time < EARLIEST_TIME for record in resolve(to_cbor(records)))
    about_device = [{"bn": BASE}, *({"n": "x", **record, "bn": BASE} for record in records if "v" in record)]
    with pytest.raises(FormatError, match="absolute"):
        unpack_rows(to_cbor(about_device), DEVICE)


_NAMES = st.text(min_size=1, max_size=20).filter(lambda name: name == name.strip() and name.isprintable())
_READINGS: st.SearchStrategy[Reading] = st.integers(-(2**63), 2**63 - 1) | st.floats(
    allow_nan=False, allow_infinity=False
)
_TIMES: st.SearchStrategy[Reading] = st.integers(EARLIEST_TIME, LATEST_TIME - 1) | st.floats(
    EARLIEST_TIME, LATEST_TIME, exclude_max=True
)
_ROWS = st.lists(st.builds(Row, _TIMES, st.dictionaries(_NAMES, _READINGS, max_size=5)), min_size=1, max_size=8)


@given(_ROWS)
def test_rows_come_back_bit_for_bit(rows: list[Row]) -> None:
    again, units = unpack_rows(pack_rows(DEVICE, rows, {}), DEVICE)
    assert again == tuple(rows)
    assert repr([row.values for row in again]) == repr([dict(row.values) for row in rows])
    assert [type(row.time) for row in again] == [type(row.time) for row in rows]
    assert units == {}


@given(_ROWS)
def test_another_reader_sees_the_same_records(rows: list[Row]) -> None:
    time: object = None
    base, found = "", []
    for record in cbor2.loads(pack_rows(DEVICE, rows, {})):
        base, time = record.get(-2, base), record.get(-3, time)
        if 2 in record:
            found.append((base + record[0], time, record[2]))
    assert len(found) == sum(len(row.values) for row in rows)
    assert all(name.startswith(BASE) and name.isascii() for name, _, _ in found)
    assert [value for _, _, value in found] == [value for row in rows for value in row.values.values()]
    assert [moment for _, moment, _ in found] == [row.time for row in rows for _ in row.values]


def test_units_travel_where_they_are_given() -> None:
    rows = [Row(EARLIEST_TIME, {"P": 1, "Q": 2}), Row(EARLIEST_TIME + 1, {"P": 3})]
    assert unpack_rows(pack_rows(DEVICE, rows, {"P": "kW"}), DEVICE) == (tuple(rows), {"P": "kW"})


@pytest.mark.parametrize("column", ["P_AC [kW]", "温度 °C", "a:b", "%", "SoC (max)", "/", "-", "."])
def test_columns_with_letters_that_senml_lacks(column: str) -> None:
    rows = (Row(EARLIEST_TIME, {column: 1}),)
    packed = pack_rows(DEVICE, rows, {})
    assert unpack_rows(packed, DEVICE)[0] == rows
    assert all(record.name is not None and record.name.isascii() for record in resolve(packed))


def row(values: dict[Any, Any], time: Any = EARLIEST_TIME) -> Row:
    return Row(time, values)


@pytest.mark.parametrize(
    "bad",
    [
        row({"a": math.nan}),
        row({"a": math.inf}),
        row({"a": 2**63}),
        row({"a": True}),
        row({"a": "1"}),
        row({"a": None}),
        row({"": 1}),
        row({" a": 1}),
        row({"a\n": 1}),
        row({"\ud800": 1}),
        row({7: 1}),
        row({"long" * 200: 1}),
        row({"a": 1}, EARLIEST_TIME - 1),
        row({"a": 1}, LATEST_TIME),
        row({"a": 1}, math.nan),
        row({"a": 1}, True),
        row({f"c{number}": 1 for number in range(1025)}),
    ],
)
def test_rows_that_can_not_come_back_are_refused(bad: Row) -> None:
    with pytest.raises(InputError):
        pack_rows(DEVICE, [bad], {})


def test_no_rows_and_too_many_readings_are_refused() -> None:
    with pytest.raises(InputError):
        pack_rows(DEVICE, [], {})
    with pytest.raises(InputError):
        pack_rows(DEVICE, [row({}, EARLIEST_TIME + at) for at in range(MAX_RECORDS + 1)], {})


GOOD = {"bn": BASE, "bt": EARLIEST_TIME, "n": "a", "v": 1}


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([{**GOOD, "bver": 11}], "version"),
        ([{**GOOD, "bver": "x"}], "version"),
        ([{**GOOD, "bn": "urn:dev:ow:10e2073a01080063/"}], "not about device"),
        ([{**GOOD, "bn": 7}], "no text"),
        ([{**GOOD, "n": "a b"}], "no SenML name"),
        ([{**GOOD, "n": ""}], "no column"),
        ([{**GOOD, "n": "a:zz"}], "no escape"),
        ([{**GOOD, "n": "a:4"}], "no escape"),
        ([{**GOOD, "n": "a:41"}], "needs no escape"),
        ([{**GOOD, "n": "a:FF"}], "no column"),
        ([{**GOOD, "vs": "x"}], "exactly one value"),
        ([{"bn": BASE, "bt": EARLIEST_TIME, "n": "a"}], "exactly one value"),
        ([{"bn": BASE, "bt": EARLIEST_TIME, "n": "a", "vs": "x"}], "not a number"),
        ([{"bn": BASE, "bt": EARLIEST_TIME, "n": "a", "vb": 1}], "another type"),
        ([{**GOOD, "v": math.nan}], "finite"),
        ([{**GOOD, "v": 2**63}], "finite"),
        ([{**GOOD, "v": "1"}], "finite"),
        ([{**GOOD, "bt": math.inf}], "finite"),
        ([{**GOOD, "bt": 0}], "absolute"),
        ([{**GOOD, "t": 2**62}], "absolute"),
        ([{**GOOD, "bv": 1e308, "v": 1.7e308}], "finite"),
        ([{**GOOD, "bv": 2**62, "v": 2**62}], "finite"),
        ([{**GOOD, "s": 1}], "sums"),
        ([{**GOOD, "bs": 1}], "sums"),
        ([{**GOOD, "must_": 1}], "must be understood"),
        ([{**GOOD, "u": "kW"}, {"n": "a", "u": "W", "v": 1, "t": 1}], "two units"),
        ([GOOD, 7], "not a map"),
        ([], "array of 1"),
        ([GOOD, {"n": "a", "v": math.nan}], "finite"),
    ],
)
def test_packs_that_say_nothing_clear_are_refused(records: list[Any], why: str) -> None:
    encoded = cbor2.dumps(
        [
            {LABELS.get(label, label): value for label, value in record.items()} if isinstance(record, dict) else record
            for record in records
        ]
    )
    with pytest.raises(FormatError, match=why):
        unpack_rows(encoded, DEVICE)


def test_rows_open_at_times_and_at_repeated_names() -> None:
    packed = to_cbor(
        [
            {**GOOD, "u": "kW"},
            {"n": "b", "v": 2},
            {"n": "a", "v": 3},
            {"n": "b", "v": 4, "t": 10},
            {"n": "c", "v": 0.5, "bt": EARLIEST_TIME + 20},
            {"bt": EARLIEST_TIME + 30},
            {"n": "a", "bv": 100, "v": 1},
            {"n": "a", "v": 2.5},
            {"unknown": "kept out", "n": "c", "v": 1, "ut": 5},
        ]
    )
    rows, units = unpack_rows(packed, DEVICE)
    assert [(row.time - EARLIEST_TIME, dict(row.values)) for row in rows] == [
        (0, {"a": 1, "b": 2}),
        (0, {"a": 3}),
        (10, {"b": 4}),
        (20, {"c": 0.5}),
        (30, {"a": 101}),
        (30, {"a": 102.5, "c": 101}),
    ]
    assert units == {"a": "kW"}


@given(st.data())
def test_fuzz_changed_packs_raise_nothing_but_format_errors(data: st.DataObject) -> None:
    packed = bytearray(pack_rows(DEVICE, [row({"P": 1, "Q": 300, "R": 1.5, "S": -70000})] * 2, {}))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    changed = bytes(packed[: data.draw(st.integers(0, len(packed)))]) if data.draw(st.booleans()) else bytes(packed)
    try:
        rows, _ = unpack_rows(changed, DEVICE)
    except FormatError:
        return
    assert unpack_rows(pack_rows(DEVICE, rows, {}), DEVICE)[0] == rows


@given(st.data())
def test_the_short_way_reads_what_the_long_one_reads(data: st.DataObject) -> None:
    """A base value of 0 changes nothing and takes every record the long way."""
    values = {"P": 1, "a name of thirty letters, or so": 300, "R": 1.5, "S": -70000, "T": 2**40}
    packed = pack_rows(DEVICE, [Row(EARLIEST_TIME + 60 * i, values) for i in range(3)], {"R": "kW"})
    first = cbor2.dumps({0: "P", 2: 1, -2: BASE, -3: EARLIEST_TIME})
    head, tail = packed[:1], bytearray(packed[1 + len(first) :])
    assert packed == head + first + tail
    for _ in range(data.draw(st.integers(0, 2))):
        tail[data.draw(st.integers(0, len(tail) - 1))] = data.draw(st.integers(0, 255))
    outcomes = []
    for record in (first, cbor2.dumps({0: "P", 2: 1, -2: BASE, -3: EARLIEST_TIME, -5: 0})):
        try:
            outcomes.append(repr(unpack_rows(head + record + bytes(tail), DEVICE)).replace("-0.0", "0.0"))
        except FormatError:
            outcomes.append("refused")
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("value", [0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1])
def test_integers_at_each_width(value: int) -> None:
    rows = (row({"a": 0, "b": value, "c": -1 - value}), row({"a": 0, "b": value, "c": -1 - value}))
    assert unpack_rows(pack_rows(DEVICE, rows, {}), DEVICE)[0] == rows


@pytest.mark.parametrize("tail", ["1805", "190005", "1a00000005", "3805", "1b0000000000000005"])
def test_the_short_way_is_as_strict_as_the_long_one(tail: str) -> None:
    packed = to_cbor([GOOD, {"n": "a", "v": 5}])
    assert packed.endswith(b"\x02\x05")
    with pytest.raises(FormatError, match="shortest"):
        unpack_rows(packed[:-1] + bytes.fromhex(tail), DEVICE)


@pytest.mark.parametrize("half", [0.5, 65504.0, -2.0])
def test_shorter_floats_are_read(half: float) -> None:
    packed = cbor2.dumps([{-2: BASE, -3: EARLIEST_TIME, 0: "a", 2: 1}, {0: "a", 2: half}], canonical=True)
    assert unpack_rows(packed, DEVICE)[0][1].values == {"a": half}
