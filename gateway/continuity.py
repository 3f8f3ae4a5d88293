"""Where a frame belongs in its device's history: pure judgement over what is known.

A frame is next, fills a hole, leaves one, or contradicts a frame that is here. Only the last is refused. What is asked
here needs a frame's header alone; its signature was verified before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from capsule.batch import Incident, IncidentKind
from capsule.frame import Mark, UnverifiedFrame
from capsule.ids import Digest
from capsule.thing import ThingModel

__all__ = ["Neighbours", "breaks", "contradicted", "oddities"]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What a gateway knows around a frame of sequence n. Hashes are of accepted frames; None where there is none.

    `last` is the highest sequence accepted, 0 for none. `named` is the frame that the new one names as the one before,
    if it is here at all: its sequence, and whether it was accepted.
    """

    last: int
    same: Digest | None
    before: Digest | None
    after_names: Digest | None
    after: Digest | None
    named: tuple[int, bool] | None


def contradicted(frame: UnverifiedFrame, known: Neighbours) -> tuple[int, Digest] | None:
    """Sequence and hash of the accepted frame that this one contradicts, if there is one.

    It takes a taken number; it names another frame before it, or the one after names another before; or it goes on from
    a frame that was itself refused or has another number (then the hash is of that frame).
    """
    sequence = frame.sequence
    if known.same is not None:
        return sequence, known.same
    if known.before is not None and known.before != frame.previous:
        return sequence - 1, known.before
    if known.after is not None and known.after_names != frame.hash:
        return sequence + 1, known.after
    if known.named is not None and known.named != (sequence - 1, True):
        return known.named[0], frame.previous
    return None


def breaks(frame: UnverifiedFrame, last: int) -> Iterator[Incident]:
    """What an accepted frame shows of the sequence before it, where `last` was the highest."""
    device, sequence = frame.device, frame.sequence
    if sequence > last + 1:
        yield Incident(IncidentKind.GAP, device, last + 1, frame.hash, sequence - 1)
    elif sequence <= last:
        yield Incident(IncidentKind.REORDERED, device, sequence, frame.hash, sequence)


def oddities(
    frame: UnverifiedFrame,
    model: ThingModel | None,
    period: tuple[float, float],
    received_at: int,
    ahead_seconds: int,
) -> Iterator[Incident]:
    """Readings older than the model allows (files always are), or from the future. `period`: first and last time."""
    oldest, newest = period
    if model is not None and frame.mark is not Mark.IMPORTED and received_at - oldest > model.late_after:
        yield Incident(IncidentKind.LATE, frame.device, frame.sequence, frame.hash, frame.sequence)
    if newest - received_at > ahead_seconds:
        yield Incident(IncidentKind.AHEAD, frame.device, frame.sequence, frame.hash, frame.sequence)
