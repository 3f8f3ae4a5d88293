"""`dataspace gateway indicators` and `marks` against a gateway's running service."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pa_parquet
import pytest
import uvicorn
from typer.testing import CliRunner, Result

from capsule.frame import Mark
from capsule.rows import Row
from gateway.service import build_app
from gateway.station import simulate_station
from scripts.cli.gateway import app
from scripts.composition import Api
from tests.capsule.frames import Device
from tests.gateway.space import embedded_space

START = 1_680_825_600


@dataclass
class Served:
    """A home whose gateway is up, with two hours of one device and a false reading in them."""

    home: Path
    device: Device

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(app, [*words, "--home", str(self.home)])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("gateway")
    rows = list(simulate_station(7, START, seconds=2 * 3600))
    rows[40] = Row(rows[40].time, {**rows[40].values, "SOC": 300.0})
    with embedded_space(tmp_path_factory.mktemp("chain")) as space, space.open_gateway(home) as gateway:
        device = space.enrol()
        for at in range(0, len(rows), 60):
            gateway.ingest(device.frame(rows[at : at + 60], mark=Mark.IMPORTED))
        listener = socket.create_server(("127.0.0.1", 0))
        api = Api.fresh(f"http://127.0.0.1:{listener.getsockname()[1]}")
        server = uvicorn.Server(uvicorn.Config(build_app(gateway, api.token, anchoring=False), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.02)
        api.write(home / "api.json")
        yield Served(home, device)
        server.should_exit = True
        thread.join()
        listener.close()


def test_an_operator_writes_the_hours_as_a_table(served: Served, tmp_path: Path) -> None:
    out = tmp_path / "hours.parquet"
    done = served.run("indicators", str(served.device.id), "--out", str(out), "--capacity", "5000", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["hours"], told["rows"], told["marked_readings"]) == (2, 720, 1)
    assert told["energy_in_kwh"] > 0
    assert pa_parquet.read_table(out).num_rows == 2
    again = tmp_path / "second.csv"
    assert (
        served.run("indicators", str(served.device.id), "--out", str(again), "--from", str(START + 3600)).exit_code == 0
    )
    assert len(again.read_text().splitlines()) == 2


def test_a_table_makes_no_folder_by_itself(served: Served, tmp_path: Path) -> None:
    missing = tmp_path / "mistyped"
    done = served.run("indicators", str(served.device.id), "--out", str(missing / "hours.csv"))
    assert (done.exit_code, done.stderr.count("there is no folder")) == (2, 1), done.output
    assert not missing.exists()


def test_an_operator_sees_what_was_marked(served: Served) -> None:
    shown = served.run("marks", str(served.device.id))
    assert shown.exit_code == 0, shown.output
    assert "1 readings marked: range 1" in shown.stdout
    told = json.loads(served.run("marks", str(served.device.id), "--json", "--limit", "0").stdout)
    assert told == {"marked_readings": 1, "by_rule": {"range": 1}, "marks": []}


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (("indicators", "DEVICE", "--out", "hours.xls"), 2, "neither .csv nor .parquet"),
        (("indicators", "DEVICE", "--out", "hours.csv", "--from", "2030-01-01"), 2, "no frame in that period"),
        (("indicators", "0x" + "55" * 32, "--out", "hours.csv"), 2, "no thing model of device"),
        (("marks", "DEVICE", "--from", "soon"), 2, "is no time"),
    ],
)
def test_a_wrong_call_says_why_and_leaves_no_file(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], status: int, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = served.run(*(str(served.device.id) if word == "DEVICE" else word for word in words))
    assert (refused.exit_code, list(tmp_path.iterdir())) == (status, [])
    assert why in refused.output.replace("\n", " ")
