"""A regulator's view of a data space: reading only, through an endpoint that may lie."""

from __future__ import annotations

from audit.documents import MemoryDocuments
from audit.follow import Follower
from audit.index import Index
from audit.papers import Papers
from audit.rulebook import apply
from contracts.ledger import Ledger
from scripts.demo.lying_chain import Lies, LyingChain
from tests.sim.dataspace import DataSpace

__all__ = ["caught_up", "read_only", "rules_of"]


def read_only(space: DataSpace, chain: LyingChain | None = None) -> Ledger:
    """The ledger as somebody without an account sees it, pinned."""
    return Ledger.connect(chain or space.chain, space.operator.pin.directory, None, space.operator.pin)


def caught_up(space: DataSpace, lies: Lies | None = None, index: Index | None = None) -> Index:
    """An index of what an endpoint shows."""
    index = index or Index.open(None)
    for _ in Follower(read_only(space, LyingChain(space.chain, lies)), index).catch_up():
        continue
    return index


def rules_of(index: Index) -> set[str]:
    """The rules that are broken for sure, with no document served."""
    state = index.state()
    firm, _ = apply(state, Papers(state, MemoryDocuments({})))
    return {finding.rule for finding in firm}
