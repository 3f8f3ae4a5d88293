"""Frames that the gateway signs itself, for devices of protocols that can't sign: `witnessed`, never `signed`.

Invariants: a frame takes the number after the last one in the store and is stored before anybody hears of it, so that a
crash leaves neither gap nor fork; one frame of a device is made at a time. Nobody else signs with the gateway's key.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from capsule.errors import InputError
from capsule.frame import FIRST_PREVIOUS, Mark, UnverifiedFrame, read_frame, sign_packed
from capsule.frame_receipt import SignedFrameReceipt
from capsule.ids import DeviceId, Digest
from capsule.rows import Row
from capsule.senml import pack_rows
from capsule.signature import Signer
from gateway.errors import CallerError
from gateway.store import Store

__all__ = ["Witness"]

_TURNS: Final = 64


class Witness:
    """Signs with the gateway's own key, which must be the enrolled key of the devices.

    `ingest` returns a frame's receipt once it is durable; frames that several threads hand it may share a commit.
    """

    def __init__(self, store: Store, ingest: Callable[[bytes], SignedFrameReceipt], signer: Signer) -> None:
        self._store = store
        self._ingest = ingest
        self._signer = signer
        self._turns = tuple(threading.RLock() for _ in range(_TURNS))

    @contextmanager
    def turn(self, device: DeviceId) -> Iterator[int]:
        """While it is held, nobody else makes a frame of this device. Yields the number of its last one, 0 for none."""
        with self._turns[device[0] % _TURNS]:
            yield self._place(device)[0]

    def frame_at(self, device: DeviceId, sequence: int) -> UnverifiedFrame | None:
        """An accepted frame by its number."""
        with self._store.reading() as records:
            row = records.frame_at(device, sequence)
        return None if row is None else read_frame(row.data)

    def witness(self, device: DeviceId, rows: Sequence[Row], received: Digest) -> SignedFrameReceipt:
        """Signs rows as the device's next frame and takes it in; durable on return.

        `received`: digest of the message that the rows were read from (`capsule.frame.received_digest`). Raises
        CallerError for rows that no frame holds, and what `Gateway.submit` and its future raise.
        """
        try:
            payload = pack_rows(device, rows, {})
        except InputError as exc:
            raise CallerError(f"rows can't be witnessed: {exc}") from exc
        with self.turn(device):
            sequence, previous = self._place(device)
            data = sign_packed(
                payload,
                self._signer,
                device=device,
                sequence=sequence + 1,
                previous=previous,
                acknowledged=None,
                mark=Mark.WITNESSED,
                received=received,
            )
            return self._ingest(data)

    def _place(self, device: DeviceId) -> tuple[int, Digest]:
        """Number and hash of the device's last frame."""
        with self._store.reading() as records:
            known = records.device(device)
        return (0, FIRST_PREVIOUS) if known is None else (known.last_sequence, Digest(known.last_hash))
