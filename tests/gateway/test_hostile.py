"""10,000 hostile frames of every kind: good ones among them are taken, little is kept, memory stays where it was."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from capsule.frame import FIRST_PREVIOUS
from gateway.errors import ForkError
from gateway.gateway import Gateway
from gateway.ingest import Taken
from tests.capsule.frames import some_rows
from tests.gateway.hostile import FORKS_KEPT, FRAMES, OVER_HTTP
from tests.gateway.space import Space
from tests.gateway.test_ingest import _twin
from tests.gateway.test_kill import ROOT

GROWTH_KIB = 40 << 10
"""from the 1,000th hostile frame to the 8,000th; 300 MiB came in meanwhile"""
FORKS = ("a fork", "a fork of the place before")
REFUSED: dict[str, set[str]] = {
    "a wrong key": {"verification"},
    "another device's key": {"verification"},
    "an unknown device": {"unenrolled"},
    "a replay": {"known", "taken"},
    "a bit turned": {"verification", "malformed", "unenrolled", "mark"},
    "longer than a frame": {"malformed", "http"},
    **{kind: {"fork"} for kind in FORKS},
}


@dataclass(frozen=True)
class Ended:
    told: dict[str, Any]
    stored: list[tuple[bytes, int]]
    """forks by device: how many are kept"""


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    folder = tmp_path_factory.mktemp("hostile")
    command = [sys.executable, "-m", "tests.gateway.hostile", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    with sqlite3.connect(folder / "gateway" / "gateway.db") as database:
        forks = database.execute("SELECT device, count(*) FROM gateway_forks GROUP BY device").fetchall()
    yield Ended(json.loads(done.stdout), forks)
    database.close()


def test_hostile_frames_are_refused_and_the_good_ones_among_them_taken(attacked: Ended) -> None:
    became: dict[str, dict[str, int]] = attacked.told["became"]
    assert sum(sum(outcomes.values()) for outcomes in became.values()) == FRAMES
    for kind, outcomes in became.items():
        assert outcomes.keys() <= REFUSED.get(kind, {"malformed"}), kind
    good = attacked.told["good"]
    assert good.keys() == {"new", "taken"}
    assert good["new"] + good["taken"] == attacked.told["frames"] == 2 + FRAMES // 50
    assert good["taken"] == OVER_HTTP // 50


def test_of_hostile_frames_some_forks_alone_are_kept(attacked: Ended) -> None:
    assert sum(sum(attacked.told["became"][kind].values()) for kind in FORKS) > 800
    assert attacked.stored == [(bytes.fromhex(attacked.told["device"][2:]), FORKS_KEPT)]
    assert attacked.told["incidents"] == FORKS_KEPT


def test_memory_stays_where_it_was(attacked: Ended) -> None:
    """Without those over HTTP, whose client lives in the same process."""
    assert attacked.told["after"] - attacked.told["before"] < GROWTH_KIB


def test_forks_past_the_limit_are_refused_and_say_so_and_other_devices_are_not_touched(
    space: Space, tmp_path: Path
) -> None:
    one, two = space.enrol(), space.enrol()
    with space.open_gateway(tmp_path / "gateway", forks_per_device=2) as gateway:

        def forks(device: Any, count: int) -> list[bool]:
            frames = [_twin(device, 1, FIRST_PREVIOUS, some_rows(50 + at, 1)) for at in range(count)]
            told = [gateway.take_many([frame])[0] for frame in (*frames, *frames)]
            assert all(isinstance(outcome, ForkError) for outcome in told)
            assert [str(outcome) for outcome in told[:count]] == [str(outcome) for outcome in told[count:]]
            return ["both are kept" in str(outcome) for outcome in told[:count]]

        for device in (one, two):
            gateway.ingest(device.frame(some_rows(0, 1)))
        assert forks(one, 4) == [True, True, False, False]
        assert forks(two, 1) == [True]
        assert gateway.status().incidents == 3
        assert isinstance(gateway.take_many([one.frame(some_rows(1, 1))])[0], Taken)


def test_a_refusal_holds_nothing_of_what_came_with_it(gateway: Gateway) -> None:
    (outcome,) = gateway.take_many([b"none"])
    assert isinstance(outcome, Exception)
    assert outcome.__traceback__ is None
