from collections.abc import Iterator

import pytest

from tests.node.space import Space, build_space


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """One data space for each module; its tests share no asset."""
    with build_space(tmp_path_factory.mktemp("space")) as space:
        yield space
