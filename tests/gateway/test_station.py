"""The simulator: the same for the same seed, and physically possible."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

from capsule.thing.checks import Checker, Memory
from gateway.readings import open_readings
from gateway.station import MODEL, simulate_station, write_readings

START = 1_700_006_400


def test_a_seed_gives_one_day() -> None:
    assert list(simulate_station(1, START)) == list(simulate_station(1, START))
    assert list(simulate_station(1, START)) != list(simulate_station(2, START))
    rows = list(simulate_station(1, START))
    assert len(rows) == 8640
    assert [row.time for row in rows] == list(range(START, START + 86_400, 10))


def test_a_day_is_physically_possible() -> None:
    assert "simulator" in MODEL.name
    for seed in range(2):
        rows = list(simulate_station(seed, START))
        assert Checker(MODEL).judge(rows[::60], Memory()) == ()
        for one, following in pairwise(rows):
            assert following.values["E_charged"] >= one.values["E_charged"]
            assert following.values["E_discharged"] >= one.values["E_discharged"]
            moved = -(following.values["P_AC"]) * 10 / 3600 / 5000 * 100
            assert abs(following.values["SOC"] - one.values["SOC"] - moved) < 0.05 + abs(moved) * 0.1
        charged = rows[-1].values["E_charged"] - rows[0].values["E_charged"]
        discharged = rows[-1].values["E_discharged"] - rows[0].values["E_discharged"]
        assert 0.7 < discharged / charged < 1


def test_written_readings_read_back_equal(tmp_path: Path) -> None:
    rows = list(simulate_station(4, START, seconds=600))
    sink = io.StringIO()
    assert write_readings(rows, sink) == 60
    (tmp_path / "station.csv").write_text(sink.getvalue())
    assert list(open_readings(tmp_path / "station.csv").rows()) == rows
