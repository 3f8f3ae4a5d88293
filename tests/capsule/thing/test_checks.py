"""Checks: real days pass, each kind of false value is found and named, and none accuses the readings after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.rows import Reading, RegularRows, Row
from capsule.thing import ELECTRIC_VEHICLE, STORAGE_STATION, STORAGE_STATION_SIMULATOR, ThingModel
from capsule.thing.checks import Checker, Memory, ReadingMark
from capsule.thing.physics import Rule
from gateway.station import simulate_station
from tests.capsule.thing import real

START = 1_700_006_400
ROWS_A_FRAME = 30


@pytest.fixture(scope="module")
def day() -> list[Row]:
    return list(simulate_station(3, START))


def marks_of(model: ThingModel, rows: Sequence[Row], frame: int = ROWS_A_FRAME) -> list[tuple[float, str, str]]:
    """Time, column and rule of every marked reading."""
    checker, memory = Checker(model), Memory()
    found = []
    for start in range(0, len(rows), frame):
        part = rows[start : start + frame]
        for mark in checker.judge(part, memory):
            found += [(part[row].time, mark.column, str(mark.rule)) for row in mark.rows]
    return found


def changed(rows: Sequence[Row], places: range, column: str, value: Callable[[float], Reading]) -> list[Row]:
    return [
        Row(row.time, {**row.values, column: value(row.values.get(column, 0))}) if place in places else row
        for place, row in enumerate(rows)
    ]


# ------------------------------------------------------------------------------------------------------ real days


@pytest.mark.parametrize(
    ("rows", "model", "readings"),
    [
        (real.station_10s, STORAGE_STATION, 302_400),
        (real.station_1s, replace(STORAGE_STATION, capacity=7_500), 3_024_000),
        (real.vehicle, ELECTRIC_VEHICLE, 5_324),
        (lambda: real.trip("TripA01"), replace(ELECTRIC_VEHICLE, capacity=22), 60_540),
        (lambda: real.trip("TripA04"), replace(ELECTRIC_VEHICLE, capacity=22), 24_744),
        (lambda: real.trip("TripB13"), replace(ELECTRIC_VEHICLE, capacity=22), 21_257),
    ],
    ids=["station-10s", "station-1s", "vehicle", "trip-A01", "trip-A04", "trip-B13"],
)
def test_a_real_day_has_no_marks(rows: Callable[[], list[Row]], model: ThingModel, readings: int) -> None:
    given = rows()
    assert sum(len(row.values) for row in given) == readings
    assert marks_of(model, given) == []


@pytest.mark.parametrize("seed", range(2))
def test_a_simulated_day_has_no_marks(seed: int) -> None:
    rows = list(simulate_station(seed, START, step=20))
    assert marks_of(STORAGE_STATION_SIMULATOR, rows) == []
    assert marks_of(STORAGE_STATION_SIMULATOR, rows[::30]) == []


# ------------------------------------------------------------------------------------------------------ false values


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("SOC", 101, "range"),
        ("SOC", -0.5, "range"),
        ("P_AC", 1e9, "range"),
        ("State", 9, "range"),
        ("Mode_PQ", 2, "range"),
        ("Alarms", 0.5, "type"),
        ("State", 1.5, "type"),
        ("SOC", 99.5, "rate"),
        ("T_cell_max", 80.0, "rate"),
        ("E_charged", 9e8, "rate"),
        ("E_discharged", 0.0, "counter"),
        ("T_cell_min", 27.5, "order"),
    ],
)
def test_a_false_reading_is_marked_alone(day: list[Row], column: str, value: Reading, rule: str) -> None:
    rows = changed(day[:400], range(200, 201), column, lambda _: value)
    if column == "T_cell_min":
        rows = changed(rows, range(200, 201), "T_cell_max", lambda _: value - 0.5)
        expected = [(rows[200].time, "T_cell_min", rule), (rows[200].time, "T_cell_max", rule)]
    else:
        expected = [(rows[200].time, column, rule)]
    assert marks_of(STORAGE_STATION_SIMULATOR, rows) == expected
    assert marks_of(STORAGE_STATION_SIMULATOR, rows, frame=1) == expected


def test_a_reading_in_another_unit_than_the_model_s_is_marked(day: list[Row]) -> None:
    checker, rows = Checker(STORAGE_STATION_SIMULATOR), day[:2]
    assert checker.judge(rows, Memory(), units={"P_AC": "kW", "SOC": "%", "other": "m"}) == ()
    marks = checker.judge(rows, Memory(), units={"P_AC": "W"})
    assert marks == (ReadingMark("P_AC", Rule.UNIT, (0, 1), "is not in kW"),)


def test_a_new_meter_is_accepted_after_three_readings(day: list[Row]) -> None:
    rows = changed(day[:400], range(200, 400), "E_charged", lambda value: value - 1e6)
    assert [rule for _, _, rule in marks_of(STORAGE_STATION_SIMULATOR, rows)] == ["counter"] * 3


def test_state_of_charge_that_power_does_not_explain_is_marked(day: list[Row]) -> None:
    """It drifts too slowly for the rate: only the integral shows it. 02:00, charging."""
    begin, rows = 600, day[:1000]
    rows = [
        Row(row.time, {**row.values, "SOC": max(0, row.values["SOC"] - 0.12 * (place - begin))})
        if place >= begin
        else row
        for place, row in enumerate(rows)
    ]
    with_capacity = marks_of(STORAGE_STATION_SIMULATOR, rows)
    assert {(column, rule) for _, column, rule in with_capacity} == {("SOC", "soc-power")}
    assert rows[begin].time < with_capacity[0][0] < rows[begin + 240].time
    direction_only = marks_of(STORAGE_STATION, rows)
    assert {(column, rule) for _, column, rule in direction_only} == {("SOC", "soc-power")}


def test_a_frozen_state_of_charge_is_marked_where_the_capacity_is_known(day: list[Row]) -> None:
    frozen = day[400].values["SOC"]
    rows = changed(day[:1000], range(400, 1000), "SOC", lambda _: frozen)
    assert {rule for _, _, rule in marks_of(STORAGE_STATION_SIMULATOR, rows)} == {"soc-power"}


def test_more_energy_out_than_in_is_marked(day: list[Row]) -> None:
    """A meter that counts 40 % too much. By counters, and by power where there are none."""
    first = day[0].values["E_discharged"]
    rows = changed(day, range(len(day)), "E_discharged", lambda value: first + 1.4 * (value - first))
    by_counters = marks_of(STORAGE_STATION_SIMULATOR, rows)
    assert by_counters
    assert {(column, rule) for _, column, rule in by_counters} == {("E_discharged", "efficiency")}
    bare = [Row(row.time, {name: row.values[name] for name in ("P_AC", "SOC")}) for row in day]
    assert marks_of(STORAGE_STATION, bare) == []
    rows = changed(bare, range(len(day)), "P_AC", lambda value: value * 1.4 if value > 0 else value)
    assert {(column, rule) for _, column, rule in marks_of(STORAGE_STATION, rows)} == {("P_AC", "efficiency")}


def test_a_converter_that_makes_energy_is_marked() -> None:
    rows = real.station_10s()
    rows = changed(rows, range(len(rows)), "P_AC_batt10", lambda value: value * 1.5 if value > 0 else value)
    found = marks_of(STORAGE_STATION, rows)
    assert found
    assert {(column, rule) for _, column, rule in found} == {("P_AC_batt10", "conversion")}


def test_false_values_in_a_real_vehicle_s_readings_are_marked() -> None:
    rows = real.vehicle()
    for column, value, rule in (
        ("soc_pct", 101, "range"),
        ("soc_pct", 97, "rate"),
        ("mileage_km", 200.0, "counter"),
        ("mileage_km", 900.0, "rate"),
        ("charge_state", 254, "range"),
    ):
        found = marks_of(ELECTRIC_VEHICLE, changed(rows, range(100, 101), column, lambda _, value=value: value))
        assert found == [(rows[100].time, column, rule)]


# ------------------------------------------------------------------------------------------------------ memory


def test_rows_out_of_order_or_from_the_future_are_checked_alone(day: list[Row]) -> None:
    checker, memory = Checker(STORAGE_STATION_SIMULATOR), Memory()
    checker.judge(day[:100], memory)
    at = memory.time
    old = Row(day[10].time, {**day[10].values, "SOC": 90.0, "Mode_PQ": 7})
    future = Row(day[-1].time, {**day[50].values, "SOC": 90.0})
    assert [(mark.column, mark.rows) for mark in checker.judge([old, future], memory, latest=at + 600)] == [
        ("Mode_PQ", (0,))
    ]
    assert memory.time == at
    assert checker.judge(day[100:200], memory) == ()


def test_memory_is_bounded_whatever_a_device_sends() -> None:
    checker, memory = Checker(STORAGE_STATION), Memory()
    for place in range(40):
        values = {f"{name}_u{100 * place + unit}": 50 for unit in range(30) for name in ("SOC", "P_AC", "T_cell_max")}
        checker.judge([Row(START + place, values)], memory)
    assert len(memory.readings) == 1024
    assert len(memory.windows) == 256


# ------------------------------------------------------------------------------------------------ by column or by row

COLUMNS = {"P_AC": (-1.5, 250_000.0), "SOC": (50, 101), "FCR_activated": (1, 7), "C": (1e9,), "E_charged": (5.0, 4.0)}


@given(
    st.lists(st.sampled_from(sorted(COLUMNS)), max_size=3, unique=True),
    st.lists(
        st.lists(st.tuples(st.integers(-120, 7200), st.randoms()), min_size=1, max_size=4), min_size=1, max_size=4
    ),
    st.sampled_from([{}, {"P_AC": "kW"}, {"P_AC": "MW"}]),
)
def test_regular_rows_are_judged_as_all_others(
    columns: list[str], frames: list[list[tuple[int, Random]]], units: dict[str, str]
) -> None:
    one, other = Memory(), Memory()
    checker = Checker(STORAGE_STATION)
    for frame in frames:
        rows = tuple(
            Row(START + offset, {column: chance.choice(COLUMNS[column]) for column in columns})
            for offset, chance in frame
        )
        by_column = {column: tuple(row.values[column] for row in rows) for column in columns}
        regular = RegularRows(tuple(row.time for row in rows), by_column)
        assert regular == rows
        found = checker.judge(regular, one, latest=START + 3600, units=units)
        assert found == checker.judge(rows, other, latest=START + 3600, units=units)
        assert one.time == other.time
