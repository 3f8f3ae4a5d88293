"""A vehicle's messages become frames that the gateway witnesses, each message once.

Invariants: the message is on disk before its frame, the frame before the answer; the same bytes again give no second
frame, also after a crash between the two; a vehicle's own signature does not make its readings `signed`, since our
frame is signed by the gateway. It stays in the kept message, and `vehicle_signature` says whether it held on arrival.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.errors import DeviceError
from gateway.gateway import Gateway
from gateway.gbt32960.errors import Answer, MessageError, RefusedError
from gateway.gbt32960.frame import Message
from gateway.gbt32960.message import Login, Logout, Report
from gateway.gbt32960.readings import row_of
from gateway.gbt32960.signature import verify_signature
from gateway.gbt32960.vehicles import Vehicle, Vehicles

__all__ = ["VehicleWitness"]

_KINDS: Final = {Answer.VIN_UNKNOWN: "unenrolled", Answer.SIGNATURE: "verification"}
"""The tally's word for an answer to a message that is well formed; for all others `refused`."""


class VehicleWitness:
    """Takes messages of the vehicles that stand in `vehicles`. May be called from several threads."""

    def __init__(
        self, gateway: Gateway, vehicles: Vehicles, *, clock: Callable[[], float], entropy: Callable[[int], bytes]
    ) -> None:
        self._gateway = gateway
        self._vehicles = vehicles
        self._clock = clock
        self._entropy = entropy

    @property
    def now(self) -> float:
        return self._clock()

    def count_refusal(self, error: MessageError) -> None:
        """Into the gateway's tally; what the gateway itself refused stands there already."""
        if not isinstance(error.__cause__, DeviceError):
            kind = _KINDS.get(error.answer, "refused") if isinstance(error, RefusedError) else "malformed"
            self._gateway.tally.refuse(kind)

    def vehicle(self, vin: bytes) -> Vehicle:
        """The vehicle of a message. Raises RefusedError for one that nobody registered here, or nobody enrolled."""
        found = self._vehicles.find(vin)
        if found is None:
            raise RefusedError("no vehicle with this VIN is registered here", Answer.VIN_UNKNOWN)
        enrolled = self._gateway.register.device(found.device)
        if enrolled is None or self._gateway.public_key not in enrolled.counting(self._clock()):
            raise RefusedError(
                f"device {found.device} is not enrolled on the final chain with this gateway's key", Answer.VIN_UNKNOWN
            )
        return found

    def take(self, vehicle: Vehicle, message: Message, content: Login | Logout | Report) -> None:
        """Keeps and witnesses a message; both are durable on return.

        Raises RefusedError where the vehicle's key is registered and its signature does not hold, or its device counts
        no more; StoreError, LedgerError where this side failed.
        """
        verified = False
        if isinstance(content, Report) and vehicle.key is not None:
            if content.unread is not None and content.signature is None:
                raise RefusedError(f"the signature can't be reached: {content.unread.why}", Answer.SIGNATURE)
            verify_signature(content.signature, content.signed, vehicle.key)
            verified = True
        row = row_of(content, verified=verified)
        witness = self._gateway.witness
        with witness.turn(vehicle.device) as last:
            known = self._vehicles.known(vehicle.device, message.raw)
            if known is not None:
                frame = witness.frame_at(vehicle.device, known.sequence)
                if frame is not None and frame.received == known.digest:
                    return
            kept = self._vehicles.keep(vehicle.device, last + 1, message.raw, int(self._clock()), self._entropy)
            try:
                witness.witness(vehicle.device, [row], kept.digest)
            except DeviceError as exc:
                raise RefusedError(str(exc)) from exc
