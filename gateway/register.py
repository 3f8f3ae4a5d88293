"""The devices, own batches and own role that stand on the final chain, followed event by event.

Invariant: nothing here comes from a block that is not final. A key that was replaced counts until its overlap ends, and
not past the time from which it is distrusted. While the chain can't be asked, what was read before counts on for a
limited time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

from capsule.errors import InputError
from capsule.ids import Address, DeviceId, Digest
from capsule.signature import PublicKey
from capsule.source import DeviceKey
from contracts.errors import ChainUnreachableError, LedgerError
from contracts.events import BatchAnchored, DeviceEnrolled, DeviceRetired, DeviceRotated
from contracts.ledger import Ledger
from contracts.roles import Role

__all__ = ["EnrolledDevice", "Register"]

_ASK_AGAIN_SECONDS: Final = 5.0


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
    """Follows the contract Devices. `clock` gives seconds; a view older than `refresh_seconds` is read on.

    While the chain can't be reached, known devices stand as they did for at most `stale_seconds`, and the chain is
    asked again only every few seconds, so that nobody waits for it in turn.
    """

    def __init__(
        self,
        ledger: Ledger,
        gateway: Address,
        clock: Callable[[], float],
        *,
        refresh_seconds: float,
        stale_seconds: float,
    ) -> None:
        self._ledger = ledger
        self._gateway = gateway
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._stale_seconds = stale_seconds
        self._turn = threading.Lock()
        self._read_to = -1
        self._read_at = float("-inf")
        self._failed_at = float("-inf")
        self._failure: str | None = None
        self._devices: dict[DeviceId, EnrolledDevice] = {}
        self._batches: dict[int, BatchAnchored] = {}
        self.has_role: bool | None = None
        """whether the gateway has its role on the final chain and is not suspended; None before that was asked"""

    def device(self, device: DeviceId) -> EnrolledDevice | None:
        """A device as the final chain has it. Raises LedgerError where the chain can't be asked."""
        (found,) = self.look_up((device,)).values()
        if isinstance(found, LedgerError):
            raise found
        return found

    def look_up(self, devices: Iterable[DeviceId]) -> dict[DeviceId, EnrolledDevice | LedgerError | None]:
        """Devices as the final chain has them, which is asked once at most; the error where it would have to be."""
        wanted = set(devices)
        age = self._clock() - self._read_at
        failure: LedgerError | None = None
        if age >= self._refresh_seconds or not self._devices.keys() >= wanted:
            failure = self._ask()
        may_be_old = age < self._stale_seconds and isinstance(failure, ChainUnreachableError)
        found: dict[DeviceId, EnrolledDevice | LedgerError | None] = {}
        for device in wanted:
            known = self._devices.get(device)
            found[device] = known if failure is None or (known is not None and may_be_old) else failure
        return found

    def _ask(self) -> LedgerError | None:
        if self._failure is not None and monotonic() - self._failed_at < _ASK_AGAIN_SECONDS:
            return ChainUnreachableError(self._failure)
        try:
            self.refresh()
        except LedgerError as exc:
            return exc
        return None

    def batch(self, number: int) -> BatchAnchored | None:
        """This gateway's own batch on the final chain, as of the last refresh."""
        return self._batches.get(number)

    @property
    def is_reachable(self) -> bool:
        """Whether the chain could be asked the last time."""
        return self._failure is None

    @property
    def age_seconds(self) -> float:
        """How old this view is."""
        return self._clock() - self._read_at

    def follow(self) -> None:
        """Refreshes a view that is too old. Raises LedgerError."""
        if self.age_seconds >= self._refresh_seconds:
            self.refresh()

    def refresh(self) -> None:
        """Reads what became final since. Raises LedgerError."""
        with self._turn:
            now = self._clock()
            try:
                final = self._ledger.final_block().number
                if final > self._read_to:
                    has_role = self._ledger.participants.is_active(self._gateway, Role.GATEWAY, at=final)
                    logs = self._ledger.chain.logs((self._ledger.devices.address,), self._read_to + 1, final)
                    for event in self._ledger.decode(logs):
                        self._take(event)
                    self._read_to, self.has_role = final, has_role
            except ChainUnreachableError as exc:
                self._failure, self._failed_at = str(exc), monotonic()
                raise
            self._failure = None
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
