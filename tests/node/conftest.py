from collections.abc import Iterator

import pytest

from tests.node.space import Space, build_space


@pytest.fixture(scope="session")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """One data space; tests share it, but no use, and no asset across modules."""
    with build_space(tmp_path_factory.mktemp("space")) as space:
        yield space


@pytest.fixture(autouse=True)
def _settled(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "space" in request.fixturenames:
        request.getfixturevalue("space").settle()
