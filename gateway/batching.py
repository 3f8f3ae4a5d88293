"""Making batches of what has come in: frames in order of arrival, and the incidents since the last batch.

Invariant: batch numbers and predecessors follow the last batch in the store without a break, whether that one is on
chain yet or not; every accepted frame is in at most one batch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from capsule.batch import NO_PREDECESSOR, BatchDocument, Incident, IncidentKind, build_batch
from capsule.ids import Address, DeviceId, Digest
from gateway.settings import GatewaySettings
from gateway.store import BatchRow, Store

__all__ = ["Batching"]


class Batching:
    """Builds the batches of `account`."""

    def __init__(
        self, store: Store, *, account: Address, clock: Callable[[], float], settings: GatewaySettings
    ) -> None:
        self._store = store
        self._account = account
        self._clock = clock
        self._settings = settings
        self._turn = threading.Lock()

    def is_due(self) -> bool:
        """Enough frames wait, or the oldest waited long enough."""
        with self._store.reading() as records:
            waiting, oldest = records.frames_waiting()
        if waiting == 0 or oldest is None:
            return False
        return waiting >= self._settings.batch_frames or self._clock() - oldest >= self._settings.batch_seconds

    def build(self) -> BatchDocument | None:
        """Puts waiting frames into the next batch; None when none wait. At most `batch_frames`, the oldest.

        Frames come in meanwhile: what a batch is made of does not change once it is stored.
        """
        with self._turn:
            with self._store.reading() as records:
                first, frames = records.next_frames(self._settings.batch_frames)
                if not frames:
                    return None
                last = records.last_batch()
                last_incident, incidents = records.waiting_incidents()
            document = build_batch(
                self._account,
                1 if last is None else last.number + 1,
                NO_PREDECESSOR if last is None else Digest(last.frames_root),
                frames,
                _merged(incidents),
            )
            number = document.batch.number
            with self._store.writing() as records:
                records.add(
                    BatchRow(
                        number=number,
                        first=first,
                        size=len(frames),
                        frames_root=bytes(document.batch.frames_root),
                        document=document.to_bytes(),
                        built_at=int(self._clock()),
                    )
                )
                records.put_into_batch(last_incident, number)
            return document


def _merged(recorded: Iterable[Incident]) -> list[Incident]:
    """Incidents as they are anchored: a run of one kind and rule of a device is one, under its first one's evidence."""
    merged: dict[tuple[IncidentKind, str, DeviceId], list[Incident]] = {}
    for incident in recorded:
        same = merged.setdefault((incident.kind, incident.rule, incident.device), [])
        if same and incident.kind in _RUNS and same[-1].last + 1 == incident.sequence:
            same[-1] = replace(same[-1], last=incident.last)
        else:
            same.append(incident)
    return [incident for incidents in merged.values() for incident in incidents]


_RUNS = frozenset({IncidentKind.LATE, IncidentKind.AHEAD, IncidentKind.REORDERED, IncidentKind.IMPLAUSIBLE})
