"""Failed logins are counted by name and by address, and past a limit refused for a while, unlooked at."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from audit.errors import ThrottledError

__all__ = ["Attempts"]

WINDOW_SECONDS: Final = 300
_MAX_COUNTED: Final = 20_000


class Attempts:
    """Counts failures in the last WINDOW_SECONDS: of one name from one address, and of one address in all.

    A name is never shut for everybody, so that nobody locks others out.
    """

    def __init__(self, clock: Callable[[], float], by_pair: int = 5, by_address: int = 30) -> None:
        self._clock = clock
        self._limits = (by_pair, by_address)
        self._failed: OrderedDict[Hashable, list[float]] = OrderedDict()
        self._turn = threading.Lock()

    def check(self, name: str, address: str) -> None:
        """Raises ThrottledError while there were too many failures."""
        with self._turn:
            now = self._clock()
            for key, limit in zip(_keys(name, address), self._limits, strict=True):
                recent = [at for at in self._failed.get(key, ()) if at > now - WINDOW_SECONDS]
                if len(recent) >= limit:
                    raise ThrottledError(max(1, round(recent[-limit] + WINDOW_SECONDS - now)))

    def failed(self, name: str, address: str) -> None:
        with self._turn:
            now = self._clock()
            for key in _keys(name, address):
                recent = [at for at in self._failed.pop(key, ()) if at > now - WINDOW_SECONDS]
                self._failed[key] = [*recent, now]
            while len(self._failed) > _MAX_COUNTED:
                self._failed.popitem(last=False)

    def passed(self, name: str, address: str) -> None:
        """Whoever knows his password begins anew; the address's failures with other names stay counted."""
        with self._turn:
            self._failed.pop(_keys(name, address)[0], None)


def _keys(name: str, address: str) -> tuple[Hashable, Hashable]:
    return (name[:64], address), (address,)
