"""Delivering a queue through a stream: many frames under way, in order, until each has its receipt.

After every doubt (a lost connection, a broker without listeners, silence) the oldest frame without a receipt goes out
again, alone; others follow once it is answered. So a frame never reaches a gateway before the one that it follows, and
a gateway that is away for long finds few copies in the broker.

A device stays with the gateway that answered last. Where it has none yet, or that one is silent for long, the oldest
frame goes to whichever gateway takes it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from capsule.frame import Mark
from capsule.frame_receipt import SignedFrameReceipt
from capsule.ids import Address, Digest
from gateway.door import Answer, FrameStream
from gateway.errors import CallerError, PeerAnswerError, PeerUnreachableError
from gateway.outbox import Outbox, Place

__all__ = ["Delivery", "Streaming"]

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 30.0
_KEPT_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a device delivers. Raises CallerError for what can't work."""

    window: int = 32
    """so many frames without an answer are under way"""
    patience_seconds: float = 10.0
    """silence after which the oldest frame is sent again; doubled each time, up to `longest_patience_seconds`"""
    longest_patience_seconds: float = 120.0
    hand_over_seconds: float = 120.0
    """silence after which any gateway may answer; a frame that two gateways took shows as a replay to auditors"""
    give_up_seconds: float = 300.0
    """time without a receipt after which delivery ends; the frames stay queued"""

    def __post_init__(self) -> None:
        if self.window < 1 or not 0 < self.patience_seconds <= self.longest_patience_seconds:
            raise CallerError("a delivery has at least one frame under way, and some patience")


class Streaming:
    """One delivery of `outbox` through `door`. `verified` returns the receipt for a frame, by its sequence and hash, or
    raises PeerAnswerError.
    """

    def __init__(
        self,
        outbox: Outbox,
        sign: Callable[[bytes, Mark, Place], bytes],
        verified: Callable[[int, Digest, SignedFrameReceipt], SignedFrameReceipt],
        door: FrameStream,
        delivery: Delivery,
        gateways: Collection[Address],
    ) -> None:
        self._outbox = outbox
        self._sign = sign
        self._verified = verified
        self._door = door
        self._delivery = delivery
        self._gateways = gateways
        self._sent: dict[Digest, int] = {}
        self._reached = 0
        self._window = 1
        self._patience = delivery.patience_seconds
        self._pause = _FIRST_PAUSE
        self._heard_at = self._asked_at = time.monotonic()
        newest = outbox.newest_receipt()
        self._home = None if newest is None or newest.receipt.gateway not in gateways else newest.receipt.gateway
        if self._home is None and len(gateways) == 1:
            (self._home,) = gateways

    def run(self) -> int:
        """Sends until nothing is queued, and returns how many frames got a receipt.

        Raises PeerUnreachableError after `give_up_seconds` without one; PeerAnswerError, StoreError at once.
        """
        settled = 0
        while True:
            try:
                if not self._send():
                    return settled
                receipts = self._settled(self._door.answers(self._patience))
            except PeerUnreachableError as exc:
                self._doubt(exc)
                time.sleep(self._pause * (0.5 + random.random()))
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
                continue
            settled += receipts
            if not receipts and time.monotonic() - self._asked_at >= self._patience:
                self._doubt(PeerUnreachableError("no gateway answers; the frames stay queued"))
                self._patience = min(2 * self._patience, self._delivery.longest_patience_seconds)

    def _send(self) -> bool:
        """Sends what the window has room for. False: nothing is queued that has no receipt."""
        under_way = sum(1 for sequence in self._sent.values() if sequence <= self._reached)
        room = self._window - under_way
        frames = self._outbox.frames(self._reached, room, self._sign) if room > 0 else ()
        for frame in frames:
            name = frame.hash
            self._sent[name], self._reached = frame.sequence, frame.sequence
            kept = self._patience if self._home is None else _KEPT_SECONDS
            self._door.send(frame.data, name, self._home, kept)
        if frames and not under_way:
            self._asked_at = time.monotonic()
        return bool(frames) or under_way > 0

    def _settled(self, answers: Sequence[Answer]) -> int:
        """Keeps the receipts that hold. Raises PeerAnswerError for the first answer that is none."""
        held: list[SignedFrameReceipt] = []
        fault: PeerAnswerError | None = None
        for answer in answers:
            sequence = self._sent.get(answer.frame)
            if sequence is None:
                continue  # answered before
            try:
                if answer.receipt is None:
                    raise PeerAnswerError(f"the gateway refused frame {sequence}: {answer.refusal}")
                held.append(self._verified(sequence, answer.frame, answer.receipt))
                del self._sent[answer.frame]
            except PeerAnswerError as exc:
                fault = fault or exc
        if held:
            held.sort(key=lambda signed: signed.receipt.sequence)
            self._outbox.settle(held)
            self._home = held[-1].receipt.gateway
            self._window = min(self._window + len(held), self._delivery.window)
            self._heard_at = self._asked_at = time.monotonic()
            self._patience, self._pause = self._delivery.patience_seconds, _FIRST_PAUSE
        if fault is not None:
            raise fault
        return len(held)

    def _doubt(self, why: PeerUnreachableError) -> None:
        """Everything without a receipt has to go again, the oldest alone. Raises `why` when it is time to give up."""
        silence = time.monotonic() - self._heard_at
        if silence >= self._delivery.give_up_seconds:
            raise why
        if len(self._gateways) > 1 and silence >= self._delivery.hand_over_seconds:
            self._home = None
        self._reached, self._window = 0, 1
