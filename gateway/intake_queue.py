"""The queue between the doors and the store: frames of many devices become durable in one commit.

Invariants: never more frames or bytes wait than the settings allow, those being taken included; a full queue refuses at
once; what was queued is taken or refused, also when the gateway stops.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import Final

from gateway.errors import BehindError, StoppingError
from gateway.ingest import Outcome, Taken
from gateway.settings import GatewaySettings

__all__ = ["IntakeQueue"]

_SHORTEST_WAIT: Final = 1
_LONGEST_WAIT: Final = 60
_SMOOTHING: Final = 0.2
_GUESS: Final = 1_000.0
"""frames per second, before any were taken"""


@dataclass(frozen=True, slots=True)
class _Entry:
    """Frames that came together, and who waits for them."""

    frames: Sequence[bytes]
    size: int
    done: Callable[[Sequence[Outcome]], None]
    future: Future[Taken] | Future[tuple[Outcome, ...]]


class IntakeQueue:
    """Calls `take_many` for groups of frames, in the order they came, in a thread of its own. `close` ends it."""

    def __init__(self, take_many: Callable[[Sequence[bytes]], tuple[Outcome, ...]], settings: GatewaySettings) -> None:
        self._take_many = take_many
        self._settings = settings
        self._changed = threading.Condition()
        self._entries: deque[_Entry] = deque()
        self._frames = 0
        self._bytes = 0
        self._queued = 0
        self._rate = _GUESS
        self._closing = False
        self._worker: threading.Thread | None = None

    @property
    def frames(self) -> int:
        """How many wait or are being taken."""
        return self._frames

    @property
    def size(self) -> int:
        """Their bytes."""
        return self._bytes

    @property
    def is_full(self) -> bool:
        return self._frames >= self._settings.intake_frames or self._bytes >= self._settings.intake_bytes

    @property
    def is_closing(self) -> bool:
        return self._closing

    def submit(self, frame: bytes) -> Future[Taken]:
        """Raises BehindError, StoppingError."""
        future: Future[Taken] = Future()

        def done(outcomes: Sequence[Outcome]) -> None:
            (outcome,) = outcomes
            if isinstance(outcome, Taken):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)

        self._put(_Entry((frame,), len(frame), done, future))
        return future

    def submit_many(self, frames: Sequence[bytes]) -> Future[tuple[Outcome, ...]]:
        """All or none is queued. Raises BehindError, StoppingError."""
        future: Future[tuple[Outcome, ...]] = Future()
        if not frames:
            future.set_result(())
            return future
        size = sum(len(frame) for frame in frames)
        self._put(_Entry(frames, size, lambda outcomes: future.set_result(tuple(outcomes)), future))
        return future

    def close(self) -> None:
        """Takes no more, and returns when all that was queued is done."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._worker is not None:
            self._worker.join()

    def _put(self, entry: _Entry) -> None:
        with self._changed:
            if self._closing:
                raise StoppingError("this gateway is stopping; send the frame again later")
            frames, size = self._frames + len(entry.frames), self._bytes + entry.size
            if self._frames and (frames > self._settings.intake_frames or size > self._settings.intake_bytes):
                raise BehindError(min(max(round(self._frames / self._rate), _SHORTEST_WAIT), _LONGEST_WAIT))
            self._frames, self._bytes = frames, size
            self._queued += len(entry.frames)
            self._entries.append(entry)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="intake", daemon=True)
                self._worker.start()
            if len(self._entries) == 1 or self._queued >= self._settings.commit_frames:
                self._changed.notify_all()

    def _work(self) -> None:
        with ThreadPoolExecutor(1, "intake") as pool:
            while group := self._next_group():
                running = [entry for entry in group if entry.future.set_running_or_notify_cancel()]
                frames = [frame for entry in running for frame in entry.frames]
                start = monotonic()
                taking = pool.submit(self._take_many, frames)
                failure = taking.exception()
                if failure is None:
                    self._rate += _SMOOTHING * (len(frames) / max(monotonic() - start, 1e-6) - self._rate)
                self._release(group)
                at = 0
                for entry in running:
                    if failure is not None:
                        entry.future.set_exception(failure)
                    else:
                        entry.done(taking.result()[at : at + len(entry.frames)])
                    at += len(entry.frames)

    def _next_group(self) -> list[_Entry]:
        """Waits for frames, and a moment for company; empty when the queue is closed and done."""
        most = self._settings.commit_frames
        with self._changed:
            while not self._entries and not self._closing:
                self._changed.wait()
            until = monotonic() + self._settings.commit_seconds
            while self._queued < most and not self._closing and (left := until - monotonic()) > 0:
                self._changed.wait(left)
            group: list[_Entry] = []
            taken = 0
            while self._entries and (not group or taken + len(self._entries[0].frames) <= most):
                entry = self._entries.popleft()
                taken += len(entry.frames)
                group.append(entry)
            self._queued -= taken
            return group

    def _release(self, group: Sequence[_Entry]) -> None:
        with self._changed:
            self._frames -= sum(len(entry.frames) for entry in group)
            self._bytes -= sum(entry.size for entry in group)
