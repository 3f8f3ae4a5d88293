"""Random honest histories: whatever honest participants do, in whatever order, nobody is accused.

CI walks a part; `make histories` walks all: 10,000 steps in histories of 500, and one history of 10,000.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from audit.papers import Patience
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History, history_of
from tests.sim.wanderer import Wanderer

ALL = os.environ.get("DATASPACE_HISTORIES") == "all"
STEPS = 500
# Seeds that once showed a false finding stay in front.
SEEDS = (9, 11, *range(100, 118)) if ALL else (9, 11, 100)
LONG_SEED, LONG_STEPS = 7, 10_000 if ALL else 1_000
WITHOUT_PATIENCE = Patience(anchor=0, log=0)


def walked(seed: int, steps: int, folder: Path | None = None) -> History:
    space = DataSpace(folder, seed)
    Wanderer(space, seed).run(steps)
    history = history_of(space)
    space.close()
    return history


@pytest.mark.parametrize("seed", SEEDS)
def test_random_honest_history_has_no_findings(seed: int) -> None:
    history = walked(seed, STEPS)

    assert len(history.entries) > STEPS
    assert history.findings() == ()
    assert history.findings(patience=WITHOUT_PATIENCE) == ()


def test_one_long_honest_history_has_no_findings() -> None:
    history = walked(LONG_SEED, LONG_STEPS)

    assert len(history.entries) > LONG_STEPS
    assert len({type(entry.event) for entry in history.entries}) >= 28
    assert history.findings() == ()
    assert history.findings(patience=WITHOUT_PATIENCE) == ()


def test_quick_chain_tells_what_the_embedded_chain_tells(tmp_path: Path) -> None:
    """The same walk over py-evm, in real blocks: the same events, and no findings there either."""
    quick, embedded = (walked(9, 25, folder) for folder in (None, tmp_path / "chain"))

    assert kinds(quick) == kinds(embedded)
    assert embedded.findings() == ()
    assert embedded.findings(patience=WITHOUT_PATIENCE) == ()


def kinds(history: History) -> Counter[str]:
    return Counter(type(entry.event).__name__ for entry in history.entries)
