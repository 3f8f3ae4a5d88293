"""A fresh data space for each test."""

import pytest

from tests.contracts.solidity.space import Space


@pytest.fixture
def space() -> Space:
    return Space()
