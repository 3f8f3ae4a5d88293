"""Random histories: no gap in seq, heads that re-hash, counters that equal a model."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contracts.solidity.history import History

Item = TypeVar("Item")


class Drawn:
    """Choices that hypothesis makes, and shrinks."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def choice(self, items: Sequence[Item], /) -> Item:
        return items[self._data.draw(st.integers(0, len(items) - 1))]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_short_histories(data: st.DataObject) -> None:
    history = History(Drawn(data))
    # at most 60, so that no buyer comes to hold 64 grants
    for _ in range(data.draw(st.integers(1, 60))):
        history.step()
    history.check()


def test_a_long_history() -> None:
    history = History(random.Random(20_250_615), scale=8)
    for step in range(12_000):
        history.step()
        if step % 3000 == 2999:
            history.check()
    statuses = Counter(use.status for order in history.orders for use in order.uses)
    assert min(statuses[name] for name in ("completed", "failed", "expired")) > 10
