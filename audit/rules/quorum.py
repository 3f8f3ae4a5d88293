"""How many of a deal's holders released for a use: enough to rebuild the key, or not."""

from __future__ import annotations

from dataclasses import dataclass

from audit.entries import Place
from audit.picture import State, Use

__all__ = ["Quorum", "quorum"]


@dataclass(frozen=True, slots=True)
class Quorum:
    """`custodians` that released, of `threshold` needed, and whether the provider did where it is `required`."""

    custodians: int
    threshold: int
    provider: bool
    required: bool

    @property
    def none(self) -> bool:
        """Whether no share was released. Only then a use comes back: shares of several uses can be put together."""
        return self.custodians == 0 and not self.provider

    @property
    def reached(self) -> bool:
        """Whether the key can have been rebuilt."""
        return self.custodians >= self.threshold and (self.provider or not self.required)


def quorum(state: State, use: Use, before: Place) -> Quorum | None:
    """Releases by true holders of the pinned deal before a place; None where the ledger has no such deal."""
    deal = state.deal(use.pin)
    if deal is None:
        return None
    positions = {
        release.index
        for release in use.releases
        if release.place < before
        and release.index < len(deal.holders)
        and deal.holders[release.index] == release.holder
    }
    return Quorum(len(positions - {0}), deal.threshold, 0 in positions, deal.provider_required)
