"""One embedded chain for the whole folder; each test has its own gateway and devices on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.gateway import Gateway
from tests.capsule.frames import Device
from tests.gateway.space import Space, embedded_space


@pytest.fixture(scope="session")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    with embedded_space(tmp_path_factory.mktemp("chain")) as made:
        yield made


@pytest.fixture
def gateway(space: Space, tmp_path: Path) -> Iterator[Gateway]:
    with space.open_gateway(tmp_path / "gateway") as opened:
        opened.check_chain()  # as a service does at its start
        yield opened


@pytest.fixture
def later(space: Space) -> Iterator[None]:
    """The next day: readings that bear the day's times are from the past."""
    space.clock.now += 86_400
    yield
    space.clock.now -= 86_400


@pytest.fixture
def device(space: Space) -> Device:
    return space.enrol()
