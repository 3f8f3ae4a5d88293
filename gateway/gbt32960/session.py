"""One vehicle's connection as a conversation: a message in, an answer out, without any network.

A vehicle logs in before it may report; one vehicle at a time. Reports may follow its logout: real vehicles send a last
one then. An answer says OK only for what is durable. Answers are never answered. What is refused is answered with the
standard's flag, and the reason is logged without the VIN.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from gateway.gbt32960.errors import Answer, EnvelopeError, MessageError, RefusedError
from gateway.gbt32960.frame import Message, answer, read_head, read_message
from gateway.gbt32960.message import Heartbeat, Login, Logout, PlatformSession, TimeSync, decode, encode_time
from gateway.gbt32960.vehicles import Vehicle
from gateway.gbt32960.witness import VehicleWitness

__all__ = ["Reply", "Session"]

_LOG: Final = logging.getLogger("dataspace.gateway")


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send, if anything, and whether the connection ends after it."""

    data: bytes | None = None
    close: bool = False


class Session:
    """A connection's state. `faults`: how many refused messages it may send before it ends."""

    def __init__(self, witness: VehicleWitness, *, faults: int) -> None:
        self._witness = witness
        self._faults_left = faults
        self.vehicle: Vehicle | None = None
        """who logged in last"""
        self.is_logged_in = False

    def handle(self, raw: bytes) -> Reply:
        """Takes a message. Raises StoreError, LedgerError where this side failed: then nothing may be answered."""
        try:
            message = read_message(raw)
        except EnvelopeError as exc:
            return self._refused(read_head(raw), exc)
        if not message.is_command:
            return Reply()
        try:
            return Reply(answer(message, Answer.OK, self._take(message)))
        except MessageError as exc:
            return self._refused(message, exc)

    def _take(self, message: Message) -> bytes | None:
        """Does what a message asks; returns the answer's time where it is not the message's own."""
        content = decode(message)
        if isinstance(content, TimeSync):
            return encode_time(self._witness.now)
        if isinstance(content, PlatformSession):
            raise RefusedError("platforms that pass on vehicles are not taken here; each vehicle logs in itself")
        if isinstance(content, Login):
            vehicle = self._witness.vehicle(message.vin)
            if self.is_logged_in and self.vehicle != vehicle:
                raise RefusedError("another vehicle is logged in on this connection", Answer.VIN_REPEATED)
            self._witness.take(vehicle, message, content)
            self.vehicle, self.is_logged_in = vehicle, True
            return None
        if self.vehicle is None:
            raise RefusedError("no vehicle has logged in on this connection")
        if message.vin.rstrip(b"\0 ").decode("latin-1") != self.vehicle.vin:
            raise RefusedError("this is not the vehicle that logged in on this connection", Answer.VIN_UNKNOWN)
        if not isinstance(content, Heartbeat):
            self._witness.take(self.vehicle, message, content)
        if isinstance(content, Logout):
            self.is_logged_in = False
        return None

    def _refused(self, message: Message, error: MessageError) -> Reply:
        self._faults_left -= 1
        self._witness.count_refusal(error)
        who = "a vehicle that never logged in" if self.vehicle is None else f"device {self.vehicle.device}"
        _LOG.warning("GB/T 32960: a message of %s is refused: %s", who, error)
        data = answer(message, error.answer) if message.is_command else None
        return Reply(data, error.answer is Answer.VIN_UNKNOWN or self._faults_left <= 0)
