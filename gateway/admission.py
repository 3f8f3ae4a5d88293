"""Whether this gateway may take frames: only since the chain was asked once and agreed.

Invariant: no frame that comes through the queue gets a receipt before the final chain showed this account's role
GATEWAY, and no batch of it that this store does not hold.
"""

from __future__ import annotations

from time import monotonic
from typing import Final

from capsule.ids import Address
from contracts.errors import LedgerError
from gateway.anchoring import Anchoring
from gateway.errors import AnchorConflictError, RoleError, UncheckedError
from gateway.register import Register

__all__ = ["Admission"]

_ASK_AGAIN_SECONDS: Final = 5.0


class Admission:
    """The check of a gateway's start, done again until it passed."""

    def __init__(self, register: Register, anchoring: Anchoring, account: Address) -> None:
        self._register = register
        self._anchoring = anchoring
        self._account = account
        self._asked_at = float("-inf")
        self._why = "the chain was not asked yet"
        self.passed = False

    def check(self) -> None:
        """Asks the chain now. Raises RoleError, AnchorConflictError, LedgerError."""
        self._asked_at = monotonic()
        try:
            self._register.refresh()
            if not self._register.has_role:
                raise RoleError(self._account)
            self._anchoring.check()
        except (RoleError, AnchorConflictError, LedgerError) as exc:
            self._why = str(exc)
            raise
        self.passed = True

    def require(self) -> None:
        """Raises UncheckedError until the check passed once; it is done again here every few seconds at most."""
        if self.passed:
            return
        if monotonic() - self._asked_at >= _ASK_AGAIN_SECONDS:
            try:
                self.check()
            except (RoleError, AnchorConflictError, LedgerError) as exc:
                raise UncheckedError(str(exc)) from exc
            return
        raise UncheckedError(self._why)
