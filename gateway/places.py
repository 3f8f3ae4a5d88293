"""Where each device's history stands, in memory: what spares a question to the database for nearly every frame.

Invariant: the database is the truth. What stands here was read from it, or written to it, by the one connection that
may write; after a failure, or when that connection is a new one, everything is forgotten and read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from capsule.frame import FIRST_PREVIOUS, UnverifiedFrame
from capsule.ids import DeviceId, Digest
from gateway.store import Records

__all__ = ["Places"]


class Places:
    """Sequence and hash of the highest accepted frame of at most `most` devices, and the next frame's number."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._last: dict[bytes, tuple[int, bytes]] = {}
        self._next_number = 0
        self._generation = -1

    def not_next(self, frames: Mapping[int, UnverifiedFrame]) -> list[int]:
        """Those of these frames that may be known: they don't go on from what is here, or from the one before them.

        A guess, since nothing is verified yet and another thread may be ahead.
        """
        found: list[int] = []
        seen: dict[bytes, tuple[int, bytes]] = {}
        for at, frame in frames.items():
            place = seen.get(frame.device) or self._last.get(frame.device)
            if place != (frame.sequence - 1, frame.previous) and not (place is None and frame.sequence == 1):
                found.append(at)
            seen[frame.device] = (frame.sequence, frame.hash)
        return found

    def open(self, records: Records, generation: int, devices: Iterable[DeviceId]) -> None:
        """Inside a transaction: makes sure that these devices' places are known."""
        if generation != self._generation:
            self.forget()
            self._next_number = records.last_number() + 1
            self._generation = generation
        wanted = dict.fromkeys(bytes(device) for device in devices)
        missing = [device for device in wanted if device not in self._last]
        if len(self._last) + len(missing) > self._most:
            for device in [device for device in self._last if device not in wanted][: len(missing) + self._most // 8]:
                del self._last[device]
        if missing:
            found = records.last_frames(missing)
            self._last |= {device: found.get(device, (0, FIRST_PREVIOUS)) for device in missing}

    def last(self, device: DeviceId) -> tuple[int, bytes]:
        """Sequence and hash of the highest frame of an opened device; 0 and zeros for none."""
        return self._last[device]

    def advance(self, device: DeviceId, sequence: int, frame: Digest) -> None:
        """An accepted frame; it may fill a hole below the highest."""
        if sequence > self._last[device][0]:
            self._last[device] = (sequence, frame)

    def take_number(self) -> int:
        """The next frame's place in the order of arrival."""
        number = self._next_number
        self._next_number += 1
        return number

    def forget(self) -> None:
        self._last.clear()
        self._generation = -1
