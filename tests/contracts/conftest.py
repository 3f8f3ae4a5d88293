"""Chains for the ledger's tests: an embedded one per test, and a data space on each kind of chain per session."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.embedded import EmbeddedChain
from contracts.rpc import RpcChain
from tests.sim.anvil import anvil, anvil_faucet
from tests.sim.trip import Space, found_space


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedChain]:
    with EmbeddedChain.open(tmp_path / "chain", clock=time.time) as chain:
        yield chain


@pytest.fixture(scope="session")
def embedded_space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """Contracts and organisations on an embedded chain; tests add to it."""
    with EmbeddedChain.open(tmp_path_factory.mktemp("space"), clock=time.time) as chain:
        yield found_space(chain, chain.faucet)


@pytest.fixture(scope="session")
def anvil_space() -> Iterator[Space]:
    """The same on anvil with a block a second, final after one more block."""
    with anvil() as url:
        yield found_space(RpcChain(url), anvil_faucet(), confirmations=1)


@pytest.fixture(params=["embedded", "anvil"])
def space(request: pytest.FixtureRequest) -> Space:
    """The same test on both chains."""
    made: Space = request.getfixturevalue(f"{request.param}_space")
    return made
