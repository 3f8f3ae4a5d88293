from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.gateway import Gateway
from tests.gateway.gbt32960.vehicles import Garage, open_garage
from tests.gateway.space import Space


@pytest.fixture
def garage(space: Space, gateway: Gateway, tmp_path: Path) -> Iterator[Garage]:
    with open_garage(space, tmp_path, gateway) as opened:
        yield opened
