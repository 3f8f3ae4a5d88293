"""The devices and own batches that stand on the final chain, followed event by event.

Invariant: nothing here comes from a block that is not final. A key that was replaced counts until its overlap ends, and
not past the time from which it is distrusted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from capsule.errors import InputError
from capsule.ids import Address, DeviceId, Digest
from capsule.signature import PublicKey
from capsule.source import DeviceKey
from contracts.events import BatchAnchored, DeviceEnrolled, DeviceRetired, DeviceRotated
from contracts.ledger import Ledger

__all__ = ["EnrolledDevice", "Register"]


@dataclass(frozen=True, slots=True)
class EnrolledDevice:
    """A device on chain. `keys` are all it had, oldest first; one that is none (InputError) is left out."""

    owner: Address
    model_hash: Digest
    keys: tuple[DeviceKey, ...]
    retired: bool = False

    def counting(self, now: float) -> tuple[PublicKey, ...]:
        """The keys whose signatures count now, newest first."""
        if self.retired:
            return ()
        return tuple(one.key for one in reversed(self.keys) if one.anchored_before is None or now < one.anchored_before)


class Register:
    """Follows the contract Devices. `clock` gives seconds; a view older than `refresh_seconds` is read on."""

    def __init__(self, ledger: Ledger, gateway: Address, clock: Callable[[], float], refresh_seconds: float) -> None:
        self._ledger = ledger
        self._gateway = gateway
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._turn = threading.Lock()
        self._read_to = -1
        self._read_at = float("-inf")
        self._devices: dict[DeviceId, EnrolledDevice] = {}
        self._batches: dict[int, BatchAnchored] = {}

    def device(self, device: DeviceId) -> EnrolledDevice | None:
        """A device as the final chain has it. Raises LedgerError where the chain can't be asked."""
        if device not in self._devices or self._clock() - self._read_at >= self._refresh_seconds:
            self.refresh()
        return self._devices.get(device)

    def batch(self, number: int) -> BatchAnchored | None:
        """This gateway's own batch on the final chain, as of the last refresh."""
        return self._batches.get(number)

    def refresh(self) -> None:
        """Reads what became final since."""
        with self._turn:
            now = self._clock()
            final = self._ledger.final_block().number
            if final > self._read_to:
                logs = self._ledger.chain.logs((self._ledger.devices.address,), self._read_to + 1, final)
                for event in self._ledger.decode(logs):
                    self._take(event)
                self._read_to = final
            self._read_at = now

    def _take(self, event: object) -> None:
        match event:
            case DeviceEnrolled():
                self._devices[event.device] = EnrolledDevice(
                    event.owner, event.model_hash, _key(event.suite, event.public_key)
                )
            case DeviceRotated():
                known = self._devices[event.device]
                ends = min(event.overlap_until, event.distrusted_from or event.overlap_until)
                replaced = tuple(
                    one if one.anchored_before is not None else DeviceKey(one.key, ends) for one in known.keys
                )
                self._devices[event.device] = replace(known, keys=replaced + _key(event.suite, event.public_key))
            case DeviceRetired():
                self._devices[event.device] = replace(self._devices[event.device], retired=True)
            case BatchAnchored() if event.gateway == self._gateway:
                self._batches[event.number] = event
            case _:
                pass


def _key(suite: int, key: bytes) -> tuple[DeviceKey, ...]:
    try:
        return (DeviceKey(PublicKey(suite, key)),)
    except InputError:
        return ()
