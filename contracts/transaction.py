"""Sending: own nonces, one signature per transaction, and never the same intent twice.

Invariants: a transaction is signed once and only those bytes are handed over, however often; a nonce is given out once.
Several threads may send with one account: signing takes turns, waiting for blocks does not. Nothing waits for finality
here (`Ledger.wait_final`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from eth_utils.crypto import keccak

from capsule.ids import Address, Digest
from contracts.account import Account
from contracts.chain import Chain, TxReceipt
from contracts.decode import EventDecoder
from contracts.errors import (
    ChainIntegrityError,
    ChainRefusedError,
    ChainUnreachableError,
    NonceConflictError,
    RevertedError,
    TransactionPendingError,
)
from contracts.events import Event

__all__ = ["Patience", "Sender", "Transaction"]

_E = TypeVar("_E", bound=Event)
_ATTEMPTS: Final = 3
# What a call costs may grow between estimate and block; unused gas costs nothing.
_GAS_NUMERATOR: Final = 5
_GAS_DENOMINATOR: Final = 4
_GAS_FLOOR: Final = 20_000


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a block, in seconds.

    `poll` is the first pause between two looks and doubles up to `poll_most`; `send_again` is when a transaction in no
    block is handed over once more, in case the node lost it.
    """

    block: float = 120.0
    send_again: float = 10.0
    poll: float = 0.02
    poll_most: float = 0.5
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction in a block, with the data space's events in it. `timestamp` is the block's, unix seconds."""

    hash: Digest
    block_number: int
    timestamp: int
    gas_used: int
    events: tuple[Event, ...]

    def event(self, kind: type[_E]) -> _E:
        """The one event of this kind; raises ChainIntegrityError where there are none or several."""
        found = [event for event in self.events if isinstance(event, kind)]
        if len(found) != 1:
            raise ChainIntegrityError(f"transaction {self.hash} has {len(found)} {kind.__name__} events, not one")
        return found[0]


@dataclass(frozen=True, slots=True)
class _Intent:
    to: Address | None
    data: bytes
    value: int


@dataclass(frozen=True, slots=True)
class _Signed:
    """`waiting`: some thread looks for its receipt. `doubtful`: the chain may or may not have it."""

    hash: Digest
    raw: bytes
    nonce: int
    intent: _Intent
    waiting: bool
    doubtful: bool = False


class Sender:
    """Sends with one account on one chain.

    A transaction that could not be settled (no answer, no block in time) is kept; the same call again takes it up, and
    any other call first hands it over once more, since later nonces wait for it.
    """

    def __init__(self, chain: Chain, account: Account, decoder: EventDecoder, patience: Patience | None = None) -> None:
        self.account = account
        self._chain = chain
        self._chain_id = chain.chain_id()
        self._decoder = decoder
        self._patience = patience or Patience()
        self._next_nonce = 0
        self._unsettled: dict[Digest, _Signed] = {}

    def send(self, to: Address, data: bytes, value: int = 0) -> Transaction:
        """Estimates, signs, hands over and waits for the block.

        Raises RevertedError (before sending, where the estimate reverts; else the failure stands in a block),
        ChainUnreachableError and NonceConflictError (nothing was sent), TransactionPendingError (it may yet happen:
        call again to take it up).
        """
        receipt = self.transact(to, data, value)
        block = self._chain.block(receipt.block_number)
        events = tuple(self._decoder.decode(log) for log in receipt.logs if self._decoder.knows(log.address))
        return Transaction(receipt.transaction_hash, block.number, block.timestamp, receipt.gas_used, events)

    def transact(self, to: Address | None, data: bytes, value: int = 0) -> TxReceipt:
        """As `send`, for what is no call of our contracts; `to` None puts a contract on chain."""
        intent = _Intent(to, data, value)
        with self.account.turn:
            signed = self._take_up(intent) or self._sign(intent)
            self._hand_over(signed)
        receipt = self._wait(signed)
        if not receipt.succeeded:
            raise self._reason(intent, receipt)
        return receipt

    def _take_up(self, intent: _Intent) -> _Signed | None:
        """Hands over again whatever is unsettled, oldest first; returns the one with this intent, if any."""
        found = None
        for signed in sorted(self._unsettled.values(), key=lambda signed: signed.nonce):
            if signed.waiting:
                continue
            if found is None and signed.intent == intent:
                found = replace(signed, waiting=True)
                self._unsettled[signed.hash] = found
            elif self._chain.receipt(signed.hash) is not None:
                del self._unsettled[signed.hash]
            else:
                self._hand_over(signed)
        return found

    def _sign(self, intent: _Intent) -> _Signed:
        sender = self.account.address
        estimate = self._chain.estimate_gas(sender, intent.to, intent.data, intent.value)
        nonce = max(self._next_nonce, self._chain.nonce(sender))
        raw = self.account.sign_transaction(
            chain_id=self._chain_id,
            nonce=nonce,
            to=intent.to,
            data=intent.data,
            value=intent.value,
            gas=estimate * _GAS_NUMERATOR // _GAS_DENOMINATOR + _GAS_FLOOR,
            gas_price=self._chain.gas_price(),
        )
        signed = _Signed(Digest(bytes(keccak(raw))), raw, nonce, intent, waiting=True)
        self._unsettled[signed.hash] = signed
        self._next_nonce = nonce + 1
        return signed

    def _hand_over(self, signed: _Signed) -> None:
        """The same bytes, a few times. What may have arrived stays unsettled; what surely did not is forgotten."""
        doubt = signed.doubtful
        for attempt in range(_ATTEMPTS):
            try:
                self._chain.send(signed.raw)
            except ChainUnreachableError as error:
                doubt = True
                if attempt == _ATTEMPTS - 1:
                    self._unsettled[signed.hash] = replace(signed, waiting=False, doubtful=True)
                    raise TransactionPendingError(signed.hash, str(error)) from error
                self._patience.sleep(self._patience.poll)
            except (ChainRefusedError, NonceConflictError):
                if doubt:
                    return
                self._forget(signed)
                raise
            else:
                return

    def _wait(self, signed: _Signed) -> TxReceipt:
        patience = self._patience
        start = last_sent = patience.monotonic()
        pause = patience.poll
        why = f"waited {patience.block:g} s"
        while True:
            try:
                receipt = self._chain.receipt(signed.hash)
                if receipt is not None:
                    self._unsettled.pop(signed.hash, None)
                    return receipt
                if patience.monotonic() - last_sent > patience.send_again:
                    last_sent = patience.monotonic()
                    self._chain.send(signed.raw)
            except (ChainUnreachableError, ChainRefusedError, NonceConflictError) as error:
                why = str(error)
            if patience.monotonic() - start > patience.block:
                self._unsettled[signed.hash] = replace(signed, waiting=False, doubtful=True)
                raise TransactionPendingError(signed.hash, why)
            patience.sleep(pause)
            pause = min(2 * pause, patience.poll_most)

    def _forget(self, signed: _Signed) -> None:
        """The chain surely never saw it, so its nonce is free."""
        self._unsettled.pop(signed.hash, None)
        self._next_nonce = 0

    def _reason(self, intent: _Intent, receipt: TxReceipt) -> RevertedError:
        """Why it failed in its block: the same call once more, on the state before."""
        if intent.to is not None:
            try:
                self._chain.call(intent.to, intent.data, at=receipt.block_number - 1, sender=self.account.address)
            except RevertedError as error:
                return error
        return RevertedError("Unknown", (receipt.transaction_hash,))
