from __future__ import annotations

from pathlib import Path

import pytest

from capsule.box import BoxKey
from node.runtime.protocol import Limits
from tests.node.runtime import world
from tests.node.runtime.world import Buyer, DeviceData, SealedFile

CANARY = "canary-5d1e"


@pytest.fixture(scope="session")
def buyer() -> Buyer:
    return Buyer(BoxKey.generate(world.entropy))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SealedFile:
    """Twenty rows: hours 0 (twelve rows), 1 (seven) and 2 (one), and a text that must never show."""
    hours = [0] * 12 + [1] * 7 + [2]
    lines = [f"2024-05-01 {hour:02}:{row:02}:00,{row},{row + 0.5},{CANARY}-{row}" for row, hour in enumerate(hours)]
    plaintext = "\n".join(["time,x,y,label", *lines, ""]).encode()
    path = tmp_path_factory.mktemp("small") / "small.dsc"
    return world.seal_file(path, plaintext, "text/csv", {"time_column": "time", "columns": []}, chunk_size=100)


@pytest.fixture(scope="session")
def readings() -> Path:
    if not world.M5BAT.exists():
        pytest.skip("the shared readings of m5bat-20230407 are not here")
    return world.M5BAT


@pytest.fixture(scope="session")
def device(readings: Path) -> DeviceData:
    return world.device_data(readings)


@pytest.fixture
def limits() -> Limits:
    return Limits(wall_seconds=60.0, memory_bytes=1 << 30)
