"""Thing models: units for the columns that they know, ranges that real data keeps."""

from __future__ import annotations

import csv
from itertools import islice
from pathlib import Path

import pytest

from capsule.thing import ELECTRIC_VEHICLE, MODELS, STORAGE_STATION, STORAGE_STATION_SIMULATOR

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def test_models_are_told_apart_by_hash() -> None:
    assert MODELS[STORAGE_STATION.hash] is STORAGE_STATION
    assert len({STORAGE_STATION.hash, STORAGE_STATION_SIMULATOR.hash, ELECTRIC_VEHICLE.hash}) == 3
    assert "simulator" in STORAGE_STATION_SIMULATOR.name


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("P_AC", "kW"),
        ("P_AC_batt10", "kW"),
        ("P_AC_Set_batt1", "kW"),
        ("SOC", "%"),
        ("SOC_batt1", "0.1 %"),
        ("U_DC_Batt_batt1", "0.1 V"),
        ("Grid_frequency", "mHz"),
        ("Grid_frequency_mean", ""),
        ("DateAndTime", ""),
        ("", ""),
    ],
)
def test_units_of_columns(column: str, unit: str) -> None:
    assert STORAGE_STATION.unit(column) == unit


def test_readings_that_can_not_be_are_named() -> None:
    values = {"SOC": 101, "SOC_batt1": 474, "P_AC": -5.5, "anything": 10**18, "Mode_PQ_batt1": 2}
    assert STORAGE_STATION.out_of_range(values) == ("SOC", "Mode_PQ_batt1")


def test_a_real_station_s_day_keeps_the_ranges() -> None:
    source = DATA / "m5bat-20230407" / "station_and_2_units_10s.csv"
    if not source.is_file():
        pytest.skip("the real data is not here")
    with source.open(encoding="utf-8-sig", newline="") as text:
        for row in islice(csv.DictReader(text), 0, None, 30):
            row.pop("DateAndTime")
            assert STORAGE_STATION.out_of_range({name: int(cell) for name, cell in row.items()}) == ()


def test_a_real_vehicle_s_readings_keep_the_ranges() -> None:
    source = DATA / "gbt32960-bev" / "decoded_realtime.csv"
    if not source.is_file():
        pytest.skip("the real data is not here")
    known = {quantity.name for quantity in ELECTRIC_VEHICLE.quantities}
    with source.open(encoding="utf-8-sig", newline="") as text:
        for row in csv.DictReader(text):
            values = {name: float(cell) for name, cell in row.items() if name in known and cell}
            assert ELECTRIC_VEHICLE.out_of_range(values) == ()
