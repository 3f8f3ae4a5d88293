"""What a holder has released itself, counted against the chain's word: by grant, by buyer, and for the asset.

A chain may say that fewer uses were spent than were. That a share was released for a use this holder knows from its own
decisions; a use counts unless the chain gave it back and shows no release of this holder for it.
"""

from collections.abc import Hashable

from contracts.events import UseOpened
from node.context import Context

__all__ = ["Tally"]


class Tally:
    """Counted once, from this home and the view of the final chain; then told of each further release."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._uses: dict[Hashable, set[bytes]] = {}
        released = context.store.released_uses()
        for use, opened in tuple(context.view.uses.items()):
            if str(use) in released and not self._given_back(opened):
                self.add(opened)

    def add(self, opened: UseOpened) -> None:
        """This holder released its share for a use."""
        for key in self._keys(opened):
            self._uses.setdefault(key, set()).add(opened.use)

    def before(self, opened: UseOpened) -> tuple[int, int, int]:
        """Released without this use: under its grant, to its buyer on the asset, on the asset to anyone."""
        grant, buyer, asset = (len(self._uses.get(key, set()) - {opened.use}) for key in self._keys(opened))
        return grant, buyer, asset

    def _keys(self, opened: UseOpened) -> tuple[Hashable, Hashable, Hashable]:
        buyer = self._context.view.grant(opened.grant).buyer
        return opened.grant, (opened.asset, buyer), opened.asset

    def _given_back(self, opened: UseOpened) -> bool:
        view = self._context.view
        ended = view.ended.get(opened.use)
        if ended is None or not ended.given_back:
            return False
        own = self._context.store.held_share(opened.pin.deal_hash)
        return own is None or own.position not in view.releases.get(opened.use, {})
