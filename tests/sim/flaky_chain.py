"""A true chain behind a bad line: sends time out before or after they arrive, receipts come late."""

from __future__ import annotations

from capsule.ids import Digest
from contracts.chain import Chain, TxReceipt
from contracts.errors import ChainRefusedError, ChainUnreachableError
from scripts.demo.lying_chain import LyingChain

__all__ = ["FlakyChain"]


class FlakyChain(LyingChain):
    """`lose_before`, `lose_after`: how many of the next sends time out before, or after, the chain has them.

    `refuse_next` answers the next send with a refusal, `late_receipts` hides receipts for that many looks, and
    `keep_away` accepts sends without ever passing them on. `sent` are all bytes handed over, with repetitions.
    """

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        self.lose_before = 0
        self.lose_after = 0
        self.refuse_next = False
        self.late_receipts = 0
        self.keep_away = False
        self.sent: list[bytes] = []

    def send(self, raw: bytes) -> Digest:
        self.sent.append(raw)
        if self.lose_before:
            self.lose_before -= 1
            raise ChainUnreachableError("timeout before sending")
        if self.refuse_next:
            self.refuse_next = False
            raise ChainRefusedError("not now")
        if self.keep_away:
            return Digest(bytes(32))
        taken = super().send(raw)
        if self.lose_after:
            self.lose_after -= 1
            raise ChainUnreachableError("timeout after sending")
        return taken

    def receipt(self, transaction: Digest) -> TxReceipt | None:
        if self.late_receipts:
            self.late_receipts -= 1
            return None
        return super().receipt(transaction)
