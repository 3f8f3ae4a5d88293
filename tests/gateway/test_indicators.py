"""Hourly indicators: a station's real and simulated day, hand-made hours, and the tables that come out of a gateway."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import httpx
import pyarrow.parquet as pa_parquet
import pytest

from capsule.frame import Mark
from capsule.ids import DeviceId
from capsule.rows import Row
from capsule.thing import ELECTRIC_VEHICLE, STORAGE_STATION, STORAGE_STATION_SIMULATOR, ThingModel
from gateway.indicators import COLUMNS, Hour, Indicators, Summary
from gateway.service import build_app
from gateway.station import simulate_station
from node.intake import read_plaintext
from node.runtime.table import from_csv, from_parquet
from scripts.inprocess import InProcess
from tests.capsule.frames import Device
from tests.capsule.thing import real
from tests.gateway.space import Space

ID = DeviceId(bytes(32))
START = 1_680_825_600
OPERATOR = {"authorization": "Bearer token"}


def hours_of(
    rows: Sequence[Row], model: ThingModel = STORAGE_STATION, capacity: float | None = None
) -> tuple[list[Hour], Summary]:
    indicators = Indicators(ID, model, capacity)
    hours = [hour for row in rows for hour in indicators.add(row)]
    return [*hours, *indicators.finish()], indicators.summary


def test_a_real_station_s_day() -> None:
    rows = real.station_10s()
    hours, summary = hours_of(rows, capacity=7_500)
    assert [hour.time for hour in hours] == [START + 3600 * at for at in range(24)]
    powers = [float(row.values["M5BAT_P"]) for row in rows]
    given = sum(max(one, 0) + max(after, 0) for one, after in pairwise(powers)) * 5 / 3600
    taken = sum(max(-one, 0) + max(-after, 0) for one, after in pairwise(powers)) * 5 / 3600
    assert summary.energy_out_kwh == pytest.approx(given)
    assert summary.energy_in_kwh == pytest.approx(taken)
    assert sum(hour.energy_in_kwh or 0 for hour in hours) == pytest.approx(taken)
    assert sum(hour.equivalent_cycles or 0 for hour in hours) == pytest.approx((given + taken) / 2 / 7_500)
    assert all(hour.coverage == pytest.approx(1) for hour in hours[:-1])
    assert all(hour.availability == hour.coverage for hour in hours)
    assert (min(hour.soc_min or 0 for hour in hours), max(hour.soc_max or 0 for hour in hours)) == (32, 51)
    assert sum(hour.readings for hour in hours) == 302_400
    assert all(hour.cell_voltage_spread is None for hour in hours)
    assert summary.round_trip_efficiency is None  # it ends at 40 %, began at 38 %, and moved by 19
    last = max(place for place, row in enumerate(rows) if row.values["SOC"] == 38)
    assert 0.6 < (hours_of(rows[: last + 1])[1].round_trip_efficiency or 0) < 1
    assert all(hour.round_trip_efficiency is None for hour in hours)  # no hour moves by 10 %


def test_a_simulated_day_loses_what_its_model_says() -> None:
    rows = list(simulate_station(3, START))
    hours, summary = hours_of(rows, STORAGE_STATION_SIMULATOR)
    first, last = rows[0].values, rows[-1].values
    assert summary.energy_in_kwh == pytest.approx(last["E_charged"] - first["E_charged"])
    assert summary.energy_out_kwh == pytest.approx(last["E_discharged"] - first["E_discharged"])
    assert all(2.5 < (hour.temperature_spread or 0) < 5 for hour in hours)
    assert all((hour.equivalent_cycles or 0) >= 0 for hour in hours)
    by_power, _ = hours_of(
        [
            Row(row.time, {name: value for name, value in row.values.items() if not name.startswith("E_")})
            for row in rows
        ],
        STORAGE_STATION_SIMULATOR,
    )
    for one, other in zip(hours, by_power, strict=True):
        assert one.energy_in_kwh == pytest.approx(other.energy_in_kwh, abs=5)
        assert one.energy_out_kwh == pytest.approx(other.energy_out_kwh, abs=5)


def test_an_hour_by_hand() -> None:
    """Half an hour of 100 kW in, half an hour of 80 kW out; stopped for ten minutes, with an alarm for five."""
    rows = [
        Row(
            START + at,
            {
                "P_AC": -100 if at < 1800 else 80,
                "SOC": 50 + min(at, 3600 - at) / 180,
                "U_cell_max": 3.40,
                "U_cell_min": 3.30 - (0.05 if at == 600 else 0),
                "T_cell_max": 31,
                "T_cell_min": 25,
                "Mode_Stop": int(1200 <= at < 1800),
                "Alarms": 2 * (300 <= at < 600),
            },
        )
        for at in range(0, 3601, 60)
    ]
    (hour, begun), summary = hours_of(rows, capacity=100)
    # The minute of the change counts half on either side.
    assert hour.energy_in_kwh == pytest.approx(100 * 29 / 60 + 100 / 2 / 60)
    assert hour.energy_out_kwh == pytest.approx(80 * 30 / 60 + 80 / 2 / 60)
    assert hour.equivalent_cycles == pytest.approx(((hour.energy_in_kwh or 0) + (hour.energy_out_kwh or 0)) / 200)
    assert (hour.soc_begin, hour.soc_min, hour.soc_max) == (50, 50, 60)
    assert hour.round_trip_efficiency == pytest.approx((hour.energy_out_kwh or 0) / (hour.energy_in_kwh or 1))
    assert hour.availability == pytest.approx(50 / 60)
    assert hour.alarm_seconds == 300
    assert hour.cell_voltage_spread == pytest.approx(0.15)
    assert hour.temperature_spread == 6
    assert (hour.coverage, hour.rows, hour.readings) == (1, 60, 480)
    assert (begun.rows, begun.coverage, begun.energy_in_kwh) == (1, 0, None)
    assert summary.round_trip_efficiency == pytest.approx(hour.round_trip_efficiency)


def test_time_between_rows_is_divided_at_the_hour_and_gaps_are_no_data() -> None:
    times = (START + 3570, START + 3630, START + 3640, START + 4000, START + 4060, START + 4050)
    rows = [Row(time, {"P_AC": 360}) for time in times]
    (one, two), summary = hours_of(rows)
    assert one.energy_out_kwh == pytest.approx(3)
    assert one.coverage == pytest.approx(30 / 3600)
    assert two.energy_out_kwh == pytest.approx(3 + 1 + 6)
    assert two.coverage == pytest.approx(100 / 3600)
    assert (summary.rows, summary.unordered) == (5, 1)
    assert one.equivalent_cycles is None
    assert one.soc_begin is None


def test_counters_also_say_what_happened_in_a_gap() -> None:
    rows = [Row(START + at, {"E_charged": 1000 + at / 36, "E_discharged": 500}) for at in (0, 7200, 7260)]
    hours, summary = hours_of(rows)
    assert [hour.energy_in_kwh for hour in hours] == pytest.approx([100, 100, 60 / 36])
    assert [hour.rows for hour in hours] == [1, 0, 2]
    assert [hour.coverage for hour in hours] == pytest.approx([0, 0, 60 / 3600])
    assert summary.energy_in_kwh == pytest.approx(7260 / 36)


def test_a_marked_reading_takes_part_in_the_counts_alone() -> None:
    rows = [Row(START + at, {"P_AC": 100, "SOC": 50}) for at in range(0, 3600, 60)]
    rows[30] = Row(rows[30].time, {"P_AC": 1e9, "SOC": 50})
    indicators = Indicators(ID, STORAGE_STATION)
    hours = [hour for row in rows for hour in indicators.add(row, {"P_AC"} if row is rows[30] else ())]
    (hour,) = [*hours, *indicators.finish()]
    assert hour.energy_out_kwh == pytest.approx(100 * 57 / 60)
    assert (hour.readings, hour.marked_readings) == (120, 1)


def test_a_vehicle_s_charge() -> None:
    hours, summary = hours_of(real.vehicle(), replace(ELECTRIC_VEHICLE, capacity=80))
    assert summary.energy_in_kwh == pytest.approx(64.3, abs=0.5)
    assert (hours[0].soc_begin, hours[-1].soc_end) == (28, 100)


# ------------------------------------------------------------------------------------------------- out of a gateway


def test_a_gateway_s_table_is_one_that_a_capsule_can_be_made_from(space: Space, tmp_path: Path) -> None:
    device = space.enrol()
    rows = list(simulate_station(7, START, seconds=2 * 3600))
    rows[40] = Row(rows[40].time, {**rows[40].values, "SOC": 300.0})
    now, space.clock.now = space.clock.now, START + 10_000
    with space.open_gateway(tmp_path / "gateway") as gateway:
        for frame in _frames(device, rows):
            gateway.ingest(frame)
        app = build_app(gateway, "token", anchoring=False)
        with httpx.Client(base_url="http://gateway", transport=InProcess(app)) as client:
            ask = {"device": str(device.id), "capacity": "5000"}
            answers = {
                kind: client.get("/v1/indicators", params={**ask, "format": kind}, headers=OPERATOR)
                for kind in ("csv", "parquet")
            }
            assert client.get("/v1/indicators", params=ask).status_code == 403
            assert client.get("/v1/marks", params=ask).status_code == 403
            marks = client.get("/v1/marks", params={"device": str(device.id)}, headers=OPERATOR).json()
            none = client.get(
                "/v1/indicators", params={**ask, "from": "2030-01-01T00:00:00", "format": "csv"}, headers=OPERATOR
            )
            assert none.status_code == 404
            later = client.get(
                "/v1/indicators", params={**ask, "from": str(START + 3600)}, headers=OPERATOR
            ).text.splitlines()
    space.clock.now = now
    assert (marks["marked_readings"], marks["by_rule"]) == (1, {"range": 1})
    assert [(mark["column"], mark["rows"]) for mark in marks["marks"]] == [("SOC", "10")]
    assert answers["csv"].headers["dataspace-hours"] == "2"
    assert answers["csv"].headers["dataspace-marked-readings"] == "1"
    assert len(later) == 2
    assert later[1].startswith("2023-04-07 01:00:00,")
    from_text = from_csv(answers["csv"].content, "time")
    from_columns = from_parquet(answers["parquet"].content, "time")
    assert tuple(from_text.column_names) == tuple(from_columns.column_names) == COLUMNS
    assert from_text.to_pylist() == from_columns.to_pylist()
    schema = pa_parquet.read_schema(io.BytesIO(answers["parquet"].content))
    assert schema.field("energy_in_kwh").metadata == {b"unit": b"kWh"}
    assert from_text.column("marked_readings").to_pylist() == [1, 0]
    (tmp_path / "hours.csv").write_bytes(answers["csv"].content)
    with read_plaintext(tmp_path / "hours.csv", "", "time") as plaintext:
        assert plaintext.media_type == "text/csv"


def _frames(device: Device, rows: list[Row]) -> list[bytes]:
    return [device.frame(rows[at : at + 30], mark=Mark.IMPORTED) for at in range(0, len(rows), 30)]
