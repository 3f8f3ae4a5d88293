"""Rules over devices and gateways: batches that continue each other, histories without holes or forks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Final

from audit.device_statement import DeviceStatement
from audit.entries import Place
from audit.findings import Finding, Subject, found
from audit.papers import Odd, Papers
from audit.picture import Anchor, State
from capsule.batch import (
    BatchDocument,
    Incident,
    IncidentKind,
    IndexEntry,
    check_continuity,
    check_receipts,
)
from capsule.errors import CapsuleError
from capsule.frame_receipt import FrameReceipt, SignedFrameReceipt, verify_frame_receipt
from capsule.ids import Digest
from capsule.signature import PublicKey

__all__ = [
    "anchor_discontinuity",
    "batch_index_mismatch",
    "device_fork",
    "device_gap",
    "device_replay",
    "device_tail_missing",
    "device_unknown",
]

_NO_PREDECESSOR: Final = Digest(bytes(32))


def anchor_discontinuity(state: State, papers: Papers) -> Iterator[Finding]:
    """Batches of a gateway count from 1, name the one before, and hold frames."""
    for gateway, anchors in state.anchors.items():
        number, root = 0, _NO_PREDECESSOR
        for anchor in anchors:
            reasons = []
            if anchor.number != number + 1 or anchor.batch.number != anchor.number:
                reasons.append(f"number {anchor.batch.number} after {number}")
            if anchor.batch.predecessor != root:
                reasons.append(f"predecessor {anchor.batch.predecessor}, the batch before has {root}")
            if anchor.batch.size == 0:
                reasons.append("no frames")
            if reasons:
                yield found(
                    "anchor-discontinuity",
                    Subject("gateway", str(gateway)),
                    gateway,
                    number=anchor.number,
                    gateway=gateway,
                    reason="; ".join(reasons),
                    block=anchor.place.block,
                )
            number, root = anchor.number, anchor.batch.frames_root


def batch_index_mismatch(state: State, papers: Papers) -> Iterator[Finding]:
    """The batch document that a gateway serves re-hashes to the roots and the size that it anchored."""
    for anchor in _anchors(state):
        paper = papers.batch(anchor)
        if isinstance(paper, Odd):
            yield found(
                "batch-index-mismatch",
                Subject("gateway", str(anchor.gateway)),
                anchor.gateway,
                number=anchor.number,
                reason=paper.reason,
                index_root=anchor.batch.index_root,
            )


def device_unknown(state: State, papers: Papers) -> Iterator[Finding]:
    """Only enrolled devices have frames in a batch, and none after it was retired."""
    for anchor, document in _batches(state, papers):
        for device in sorted({entry.device for entry in document.entries}):
            known = state.devices.get(device)
            if known is None or known.place > anchor.place or _retired_before(known.retired, anchor):
                yield found(
                    "device-unknown",
                    Subject("device", str(device)),
                    anchor.gateway,
                    number=anchor.number,
                    gateway=anchor.gateway,
                )


def _retired_before(retired: Place | None, anchor: Anchor) -> bool:
    return retired is not None and retired < anchor.place


def device_gap(state: State, papers: Papers) -> Iterator[Finding]:
    """Joined over all gateways, a device's sequence numbers have no hole that batches not served could fill."""
    unread = sum(anchor.batch.size for anchor in _unread(state, papers))
    for incident in _incidents(state, papers, IncidentKind.GAP):
        missing = range(incident.sequence, incident.last + 1)
        if len(missing) <= unread:
            continue
        signed = [one for one in _receipts(state, papers) if one.device == incident.device and one.sequence in missing]
        yield found(
            "device-gap",
            Subject("device", str(incident.device)),
            # Whoever signed for a missing frame had it.
            signed[0].gateway if signed else None,
            first=incident.sequence,
            last=incident.last,
            **_where(state, papers, incident),
        )


def device_fork(state: State, papers: Papers) -> Iterator[Finding]:
    """Joined over all gateways, a device has one frame for each sequence number."""
    for incident in _incidents(state, papers, IncidentKind.FORK):
        yield found(
            "device-fork",
            Subject("device", str(incident.device)),
            sequence=incident.sequence,
            batches=_holding(state, papers, incident),
            evidence=incident.evidence,
        )


def device_replay(state: State, papers: Papers) -> Iterator[Finding]:
    """A frame is anchored once."""
    for incident in _incidents(state, papers, IncidentKind.REPLAY):
        yield found(
            "device-replay",
            Subject("device", str(incident.device)),
            first=incident.sequence,
            last=incident.last,
            **_where(state, papers, incident),
        )


def device_tail_missing(state: State, papers: Papers) -> Iterator[Finding]:
    """A frame that a gateway signed for is in a batch within its time, also where no later frame misses it.

    Says nothing of a gateway while it owes the document of a batch, which may hold the frame.
    """
    owing = {anchor.gateway for anchor in _unread(state, papers)}
    entries = [entry for _, document in _batches(state, papers) for entry in document.entries]
    receipts = {receipt.hash: receipt for receipt in _receipts(state, papers)}
    due = state.tip.time - papers.patience.anchor
    for incident in check_receipts(receipts.values(), entries):
        receipt = receipts[incident.evidence]
        last = max((entry.last for entry in entries if entry.device == receipt.device), default=0)
        anchored = incident.kind is not IncidentKind.UNANCHORED or receipt.sequence <= last
        if anchored or receipt.received_at > due or receipt.gateway in owing:
            continue
        yield found(
            "device-tail-missing",
            Subject("device", str(receipt.device)),
            receipt.gateway,
            gateway=receipt.gateway,
            sequence=receipt.sequence,
            received=receipt.received_at,
            last=last,
            receipt=receipt.hash,
        )


def _receipts(state: State, papers: Papers) -> Iterator[FrameReceipt]:
    """Receipts in the owners' statements that their gateways' keys truly signed."""
    for device in state.devices.values():
        statement = papers.statement(device)
        if not isinstance(statement, DeviceStatement):
            continue
        for signed in statement.receipts:
            receipt = _verified(state, signed)
            if receipt is not None and receipt.device == device.id:
                yield receipt


def _verified(state: State, signed: SignedFrameReceipt) -> FrameReceipt | None:
    """None for a receipt that no key of its gateway signed, or one that was replaced or is distrusted by the time that
    it states: it accuses nobody.
    """
    who = state.participants.get(signed.receipt.gateway)
    every = () if who is None else who.keys
    for keys, following in zip_longest(every, every[1:]):
        received = signed.receipt.received_at
        if following is not None and received > following.since.time:
            continue
        if keys.distrusted_from and received >= keys.distrusted_from:
            continue
        try:
            return verify_frame_receipt(signed, PublicKey(keys.suite, keys.signing_key), state.identity.domain)
        except CapsuleError:
            continue
    return None


def _incidents(state: State, papers: Papers, kind: IncidentKind) -> Iterator[Incident]:
    entries = [entry for _, document in _batches(state, papers) for entry in document.entries]
    return (incident for incident in check_continuity(entries) if incident.kind is kind)


def _where(state: State, papers: Papers, incident: Incident) -> dict[str, object]:
    """The batch whose index shows an incident."""
    for anchor, document in _batches(state, papers):
        if any(entry.hash == incident.evidence for entry in document.entries):
            return {"gateway": anchor.gateway, "batch": anchor.number, "evidence": incident.evidence}
    return {"evidence": incident.evidence}


def _holding(state: State, papers: Papers, incident: Incident) -> str:
    """All batches that name a hash for the sequence number at which a fork shows."""
    return ", ".join(
        f"batch {anchor.number} of {anchor.gateway}"
        for anchor, document in _batches(state, papers)
        if any(_names(entry, incident) for entry in document.entries)
    )


def _names(entry: IndexEntry, incident: Incident) -> bool:
    return entry.device == incident.device and incident.sequence in (entry.first - 1, entry.last)


def _batches(state: State, papers: Papers) -> Iterator[tuple[Anchor, BatchDocument]]:
    for anchor in _anchors(state):
        paper = papers.batch(anchor)
        if isinstance(paper, BatchDocument):
            yield anchor, paper


def _unread(state: State, papers: Papers) -> Iterator[Anchor]:
    return (anchor for anchor in _anchors(state) if not isinstance(papers.batch(anchor), BatchDocument))


def _anchors(state: State) -> Iterator[Anchor]:
    for anchors in state.anchors.values():
        yield from anchors
