"""One site for reading, made once; and one of its own for whoever changes its users."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.audit.pages.reading import Reading, crooked, reading
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History


@pytest.fixture(scope="session")
def crooked_history(honest: History) -> History:
    return crooked(honest)


@pytest.fixture(scope="session")
def open_site(
    tmp_path_factory: pytest.TempPathFactory, space: DataSpace, crooked_history: History
) -> Iterator[Reading]:
    """Without users."""
    site = reading(tmp_path_factory.mktemp("site"), space, crooked_history)
    yield site
    site.desk.close()


@pytest.fixture
def site(tmp_path: Path, space: DataSpace, crooked_history: History) -> Iterator[Reading]:
    """Of its own."""
    made = reading(tmp_path, space, crooked_history)
    yield made
    made.desk.close()


@pytest.fixture
def client(open_site: Reading) -> Iterator[httpx.Client]:
    """A reader in English of the site without users."""
    with open_site.client(**{"accept-language": "en"}) as opened:
        yield opened
