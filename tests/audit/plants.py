"""One planted violation for each rule: an honest history with one thing wrong in it.

A plant takes the honest history and the data space it came from (for keys to sign with), and gives the crooked history,
with what endpoint or checkpoint claim where the rule is about that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from audit.checkpoints import checkpoint_of
from audit.entries import Claim
from audit.papers import Patience
from audit.trust import claim_of
from capsule import canonical
from capsule.agreement import Agreement, Signatures
from capsule.batch import BatchDocument, IndexEntry
from capsule.deal import Deal
from capsule.decision import SignedDecision, sign_decision
from capsule.frame_receipt import FrameReceipt, sign_frame_receipt
from capsule.ids import Address, DeviceId, Digest, GrantId, RequestId, UseId
from capsule.oplog import Act, LogEntry, LogHead, LogSegment, sign_head
from capsule.receipt import SignedReceipt, sign_receipt
from capsule.shred import ShredStatement, shred_name, sign_shred
from capsule.tree import TreeHasher, leaf_hash, root
from contracts import events as ev
from tests.sim.dataspace import DataSpace, Party
from tests.sim.histories import History

__all__ = ["PLANTS", "Planted"]

PATIENCE: Final = Patience(anchor=0)
OTHER: Final = Digest(b"\xee" * 32)


@dataclass(frozen=True, slots=True)
class Planted:
    """A crooked history, what endpoint or checkpoint say beside it, and how long documents may take."""

    history: History
    claims: tuple[Claim, ...] = ()
    patience: Patience = PATIENCE


Plant = Callable[[History, DataSpace], Planted]
PLANTS: Final[dict[str, Plant]] = {}


def plant(rule: str) -> Callable[[Plant], Plant]:
    def keep(function: Plant) -> Plant:
        PLANTS[rule] = function
        return function

    return keep


def _endpoint(history: History) -> Claim:
    return history.state().claims[0]


def _checkpoint(history: History) -> Claim:
    return claim_of(checkpoint_of(history.state()))


# The record


@plant("seq-gap")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.omit(honest.all(ev.UseOpened)[1]), (_endpoint(honest),))


@plant("heads-mismatch")
def _(honest: History, space: DataSpace) -> Planted:
    event = honest.first(ev.EndpointSet)
    return Planted(honest.change(event, endpoint="https://elsewhere.example"), (_endpoint(honest),))


@plant("checkpoint-behind")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest, (replace(_checkpoint(honest), block=honest.tip.number + 3),))


@plant("checkpoint-mismatch")
def _(honest: History, space: DataSpace) -> Planted:
    event = honest.first(ev.EndpointSet)
    return Planted(honest.change(event, endpoint="https://elsewhere.example"), (_checkpoint(honest),))


@plant("event-unmatched")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.change(honest.first(ev.UseExpired), use=UseId(OTHER)))


# Organisations


@plant("participant-inactive-acted")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.drop(honest.first(ev.ParticipantReinstated)))


@plant("acted-while-paused")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.move(honest.first(ev.AccessPaused), after=honest.first(ev.UseOpened)))


@plant("box-key-signature-invalid")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.change(honest.first(ev.KeysSet), box_key_signature=bytes(64)))


@plant("log-head-discontinuity")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.change(honest.all(ev.LogHeadAnchored)[1], previous=OTHER))


# Terms, requests, grants


def _only_published(honest: History) -> ev.CapsulePublished:
    """The version that nothing else speaks of."""
    dealt = {event.asset for event in honest.all(ev.CustodyDealt)}
    return honest.first(ev.CapsulePublished, lambda event: event.asset not in dealt)


@plant("terms-hash-mismatch")
def _(honest: History, space: DataSpace) -> Planted:
    event = honest.first(ev.CapsulePublished)
    return Planted(honest.change(event, terms=replace(event.terms, uses_per_grant=9)))


@plant("policy-terms-mismatch")
def _(honest: History, space: DataSpace) -> Planted:
    event = _only_published(honest)
    terms = replace(event.terms, uses_per_grant=9)
    return Planted(honest.change(event, terms=terms, terms_hash=terms.hash))


@plant("deal-outside-terms")
def _(honest: History, space: DataSpace) -> Planted:
    asked = {event.asset for event in honest.all(ev.AccessRequested)}
    dealt = honest.first(ev.CustodyDealt, lambda event: event.asset not in asked)
    return Planted(_redealt(honest, dealt, threshold=1))


def _redealt(history: History, dealt: ev.CustodyDealt, **values: object) -> History:
    """Another deal document and the events that fit it."""
    document = Deal.from_json(canonical.decode(history.documents["deal", bytes(dealt.deal_hash)]))
    deal = replace(document, **values)  # type: ignore[arg-type]
    history = history.serve("deal", deal.hash, canonical.encode(deal.to_json()))
    for accepted in history.all(ev.CustodyAccepted, lambda event: event.deal_hash == dealt.deal_hash):
        history = history.change(accepted, deal_hash=deal.hash)
    again = history.first(ev.CustodyDealt, lambda event: event.deal_hash == dealt.deal_hash)
    return history.change(again, deal_hash=deal.hash, threshold=deal.threshold)


@plant("pin-mismatch")
def _(honest: History, space: DataSpace) -> Planted:
    event = honest.first(ev.UseOpened)
    return Planted(honest.change(event, pin=replace(event.pin, policy_hash=OTHER)))


@plant("grant-wider")
def _(honest: History, space: DataSpace) -> Planted:
    event = honest.first(ev.AccessGranted)
    return Planted(honest.change(event, terms=replace(event.terms, uses_per_grant=99)))


@plant("grant-while-live")
def _(honest: History, space: DataSpace) -> Planted:
    granted = honest.first(ev.AccessGranted, lambda event: event.automatic)
    requested = honest.first(ev.AccessRequested, lambda event: event.request == granted.request)
    history = honest.repeat(requested, request=RequestId(OTHER))
    return Planted(history.repeat(history.same(granted), request=RequestId(OTHER), grant=GrantId(OTHER)))


@plant("terms-violated")
def _(honest: History, space: DataSpace) -> Planted:
    event = honest.first(ev.AccessGranted)
    return Planted(honest.change(event, automatic=True))


@plant("compute-node-involved")
def _(honest: History, space: DataSpace) -> Planted:
    event = honest.first(ev.AccessGranted, lambda event: event.terms.compute_by_buyer)
    return Planted(honest.change(event, terms=replace(event.terms, compute_by_buyer=False)))


@plant("grant-without-request")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.repeat(honest.first(ev.AccessGranted), grant=GrantId(OTHER)))


@plant("measurement-not-allowed")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.change(_refused(honest), measurement=OTHER))


@plant("agreement-mismatch")
def _(honest: History, space: DataSpace) -> Planted:
    granted = honest.first(ev.AccessGranted, lambda event: event.terms.compute_by_buyer)
    requested = honest.first(ev.AccessRequested, lambda event: event.request == granted.request)
    document = canonical.decode(honest.documents["agreement", bytes(granted.agreement_hash)])
    agreement = replace(Agreement.from_json(document), purpose="advertising")
    history = honest.serve("agreement", agreement.hash, canonical.encode(agreement.to_json()))
    signatures = space.agree(agreement, on_offer=granted.automatic)
    history = history.serve("agreement-signatures", agreement.hash, canonical.encode(signatures.to_json()))
    history = history.change(granted, agreement_hash=agreement.hash)
    return Planted(history.change(requested, agreement_hash=agreement.hash))


@plant("agreement-unsigned")
def _(honest: History, space: DataSpace) -> Planted:
    granted = honest.first(ev.AccessGranted, lambda event: not event.automatic)
    name = "agreement-signatures", granted.agreement_hash
    signatures = Signatures.from_json(canonical.decode(honest.documents[name[0], bytes(name[1])]))
    return Planted(honest.serve(*name, canonical.encode(replace(signatures, provider=b"").to_json())))


@plant("derived-policy-wider")
def _(honest: History, space: DataSpace) -> Planted:
    """A capsule derived from the first one, under a policy that lets more uses through."""
    event, parent = _only_published(honest), honest.first(ev.CapsulePublished)
    sealed, compiled, _ = space.seal(
        event.asset, threshold=2, provider_share=True, parents=(parent.capsule_root,), uses_per_grant=9
    )
    history = honest
    for kind, key in (("capsule", sealed.root), ("policy", compiled.policy_hash)):
        history = history.serve(kind, key, space.documents[kind, bytes(key)])
    changed = history.change(
        event,
        capsule_root=sealed.root,
        capsule_size=sealed.size,
        policy_hash=compiled.policy_hash,
        terms_hash=compiled.terms.hash,
        terms=compiled.terms,
    )
    return Planted(changed)


# Uses and orders


def _refused(honest: History) -> ev.UseOpened:
    """The last use: all holders refused, and it was closed as failed."""
    return honest.all(ev.UseOpened)[-1]


def _completed(honest: History, number: int = 0) -> ev.UseOpened:
    closed = honest.all(ev.UseClosed, lambda event: event.completed)[number]
    return honest.first(ev.UseOpened, lambda event: event.use == closed.use)


def _grant_of(honest: History, opened: ev.UseOpened) -> ev.AccessGranted:
    return honest.first(ev.AccessGranted, lambda event: event.grant == opened.grant)


@plant("use-without-grant")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.change(_refused(honest), grant=GrantId(OTHER)))


@plant("use-before-start")
def _(honest: History, space: DataSpace) -> Planted:
    granted = _grant_of(honest, _completed(honest))
    start = space.now + 10**6
    return Planted(honest.change(granted, not_before=start, terms=replace(granted.terms, not_before=start)))


@plant("use-after-expiry")
def _(honest: History, space: DataSpace) -> Planted:
    granted = _grant_of(honest, _completed(honest))
    end = honest.time_of(granted) + 5
    return Planted(honest.change(granted, not_after=end, terms=replace(granted.terms, not_after=end)))


@plant("use-after-revocation")
def _(honest: History, space: DataSpace) -> Planted:
    revoked = honest.first(ev.AccessRevoked)
    opened = honest.first(ev.UseOpened, lambda event: event.grant == revoked.grant)
    released = honest.first(ev.ShareReleased, lambda event: event.use == opened.use)
    history = honest.drop(released)
    # without a release the use comes back
    for kind in (ev.UseClosed, ev.UseExpired):
        for ended in history.all(kind, lambda event: event.use == opened.use):
            history = history.change(ended, given_back=True)
    opened, revoked = history.same(opened), history.same(revoked)
    return Planted(history.move(opened, after=revoked))


@plant("use-of-replaced-deal")
def _(honest: History, space: DataSpace) -> Planted:
    dealt = honest.first(ev.CustodyDealt, lambda event: event.deal == 2)
    opened = honest.all(ev.UseOpened, lambda event: event.pin.deal == 1 and event.asset == dealt.asset)[-1]
    history = honest.move(opened, after=dealt)
    for kind in (ev.UseClosed, ev.ShareRefused):
        for _ in history.all(kind, lambda event: event.use == opened.use):
            first = history.first(kind, lambda event: event.use == opened.use)
            history = history.move(first, after=history.first(ev.UseOpened, lambda event: event.use == opened.use))
    return Planted(history)


@plant("uses-exceeded")
def _(honest: History, space: DataSpace) -> Planted:
    granted = _grant_of(honest, _completed(honest))
    return Planted(honest.change(granted, terms=replace(granted.terms, uses_per_grant=1)))


@plant("rows-exceeded")
def _(honest: History, space: DataSpace) -> Planted:
    granted = _grant_of(honest, _completed(honest))
    return Planted(honest.change(granted, terms=replace(granted.terms, rows_per_buyer=5)))


@plant("deadline-wrong")
def _(honest: History, space: DataSpace) -> Planted:
    opened = _completed(honest)
    return Planted(honest.change(opened, deadline=opened.deadline + 1))


@plant("give-back-wrong")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.change(honest.first(ev.UseClosed, lambda event: not event.completed), given_back=False))


@plant("order-signature-invalid")
def _(honest: History, space: DataSpace) -> Planted:
    opened = _completed(honest)
    signature = space.provider.key.sign_order(opened.order, space.chain.chain_id(), space.operator.access.address)
    return Planted(honest.change(opened, order_signature=signature))


@plant("order-mismatch")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.change(_refused(honest), order_hash=OTHER))


@plant("order-reused")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.repeat(_refused(honest), use=UseId(OTHER)))


# Custody


def _released(honest: History, opened: ev.UseOpened, index: int) -> ev.ShareReleased:
    return honest.first(ev.ShareReleased, lambda event: (event.use, event.index) == (opened.use, index))


def _closed(honest: History, opened: ev.UseOpened) -> ev.UseClosed:
    return honest.first(ev.UseClosed, lambda event: event.use == opened.use)


@plant("release-by-non-holder")
def _(honest: History, space: DataSpace) -> Planted:
    released = _released(honest, _completed(honest), 3)
    stranger = space.buyer
    document = canonical.decode(honest.documents["decision", bytes(released.decision_hash)])
    decision = replace(SignedDecision.from_json(document).decision, holder=stranger.account)
    signed = sign_decision(decision, stranger.signer, space.operator.domain)
    history = honest.serve("decision", decision.hash, canonical.encode(signed.to_json()))
    return Planted(history.change(released, holder=stranger.account, decision_hash=decision.hash))


@plant("decision-repeated")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.repeat(_released(honest, _completed(honest), 3)))


@plant("release-out-of-time")
def _(honest: History, space: DataSpace) -> Planted:
    opened = _completed(honest)
    return Planted(honest.move(_released(honest, opened, 3), after=_closed(honest, opened)))


@plant("release-after-revocation")
def _(honest: History, space: DataSpace) -> Planted:
    revoked = honest.first(ev.AccessRevoked)
    opened = honest.first(ev.UseOpened, lambda event: event.grant == revoked.grant)
    return Planted(honest.move(_released(honest, opened, 3), after=revoked))


@plant("released-after-shred")
def _(honest: History, space: DataSpace) -> Planted:
    """A custodian states that its share is gone, and releases it an hour later."""
    opened = _completed(honest)
    released = _released(honest, opened, 3)
    statement = ShredStatement(
        deal=opened.pin.deal_hash,
        holder=released.holder,
        index=3,
        time=honest.time_of(released) - 3600,
        salt=bytes(32),
    )
    signed = sign_shred(statement, space.custodians[2].signer, space.operator.domain)
    name = shred_name(opened.pin.deal_hash, released.holder)
    return Planted(honest.serve("shred-statement", name, canonical.encode(signed.to_json())))


@plant("completed-without-releases")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.drop(_released(honest, _completed(honest), 0)))


@plant("silent-holder")
def _(honest: History, space: DataSpace) -> Planted:
    expired = honest.first(ev.UseExpired)
    return Planted(honest.drop(honest.first(ev.ShareRefused, lambda event: event.use == expired.use)))


@plant("use-unclosed")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.drop(_closed(honest, _completed(honest))))


@plant("deal-mismatch")
def _(honest: History, space: DataSpace) -> Planted:
    opened = {event.asset for event in honest.all(ev.DealOpened)}
    dealt = honest.first(ev.CustodyDealt, lambda event: event.asset not in opened)
    return Planted(honest.change(dealt, waiting_seconds=5))


@plant("opening-mismatch")
def _(honest: History, space: DataSpace) -> Planted:
    opened = honest.first(ev.DealOpened)
    return Planted(honest.change(opened, releasable_from=opened.releasable_from - 5))


@plant("deal-without-opening")
def _(honest: History, space: DataSpace) -> Planted:
    opened = honest.first(ev.DealOpened)
    released = honest.all(ev.ShareReleased, lambda event: event.use == opened.opening and event.index > 1)
    return Planted(honest.drop(*released))


@plant("rebind-without-opening")
def _(honest: History, space: DataSpace) -> Planted:
    asked = {event.asset for event in honest.all(ev.AccessRequested)}
    dealt = honest.first(ev.CustodyDealt, lambda event: event.asset not in asked)
    document = Deal.from_json(canonical.decode(honest.documents["deal", bytes(dealt.deal_hash)]))
    deal = replace(document, version=2)
    history = honest.serve("deal", deal.hash, canonical.encode(deal.to_json()))
    history = history.repeat(history.first(ev.CapsulePublished, lambda event: event.asset == dealt.asset), version=2)
    return Planted(history.repeat(history.same(dealt), version=2, deal_hash=deal.hash))


@plant("deal-borrowed")
def _(honest: History, space: DataSpace) -> Planted:
    first, *others = honest.all(ev.CustodyDealt)
    asked = {event.asset for event in honest.all(ev.AccessRequested)}
    thief = next(event for event in others if event.asset not in asked)
    history = honest
    for accepted in history.all(ev.CustodyAccepted, lambda event: event.deal_hash == thief.deal_hash):
        history = history.change(accepted, deal_hash=first.deal_hash)
    history = history.change(thief, deal_hash=first.deal_hash).serve("deal", first.deal_hash, None)
    return Planted(history, patience=Patience(document=10**9))


@plant("capsule-borrowed")
def _(honest: History, space: DataSpace) -> Planted:
    victim = honest.first(ev.CapsulePublished)
    history = honest.change(_only_published(honest), capsule_root=victim.capsule_root)
    return Planted(history.serve("capsule", victim.capsule_root, None))


@plant("decision-mismatch")
def _(honest: History, space: DataSpace) -> Planted:
    released = _released(honest, _completed(honest), 3)
    document = canonical.decode(honest.documents["decision", bytes(released.decision_hash)])
    decision = SignedDecision.from_json(document).decision
    forged = sign_decision(decision, space.buyer.signer, space.operator.domain)
    return Planted(honest.serve("decision", decision.hash, canonical.encode(forged.to_json())))


# Results


def _receipt(honest: History, opened: ev.UseOpened) -> SignedReceipt:
    content = honest.documents["receipt", bytes(_closed(honest, opened).receipt_hash)]
    return SignedReceipt.from_json(canonical.decode(content))


@plant("receipt-hash-mismatch")
def _(honest: History, space: DataSpace) -> Planted:
    opened = _completed(honest)
    signed = _receipt(honest, opened)
    other = replace(signed, receipt=replace(signed.receipt, rows_in=7))
    key = _closed(honest, opened).receipt_hash
    return Planted(honest.serve("receipt", key, canonical.encode(other.to_json())))


@plant("receipt-signature-invalid")
def _(honest: History, space: DataSpace) -> Planted:
    opened = _completed(honest)
    receipt = _receipt(honest, opened).receipt
    forged = sign_receipt(receipt, space.buyer.signer, space.operator.domain)
    return Planted(honest.serve("receipt", receipt.hash, canonical.encode(forged.to_json())))


@plant("receipt-content-mismatch")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.change(_closed(honest, _completed(honest)), rows_out=11))


@plant("capsule-root-mismatch")
def _(honest: History, space: DataSpace) -> Planted:
    published = honest.first(ev.CapsulePublished)
    content = bytearray(honest.documents["capsule", bytes(published.capsule_root)])
    content[-1] ^= 1
    return Planted(honest.serve("capsule", published.capsule_root, bytes(content)))


# Devices


def _batch(honest: History, anchored: ev.BatchAnchored) -> BatchDocument:
    return BatchDocument.from_bytes(honest.documents["batch", bytes(anchored.batch.frames_root)])


def _reindexed(honest: History, anchored: ev.BatchAnchored, *entries: IndexEntry) -> History:
    """A batch whose document and anchor both have this index."""
    document = _batch(honest, anchored)
    index_root = root(leaf_hash(canonical.encode(entry.to_json())) for entry in entries)
    size = sum(entry.last - entry.first + 1 for entry in entries)
    batch = replace(document.batch, index_root=index_root, size=size)
    content = replace(document, batch=batch, entries=entries).to_bytes()
    history = honest.serve("batch", batch.frames_root, content)
    return history.change(anchored, batch=replace(anchored.batch, index_root=index_root, size=size))


@plant("anchor-discontinuity")
def _(honest: History, space: DataSpace) -> Planted:
    anchored = honest.all(ev.BatchAnchored)[1]
    document = _batch(honest, anchored)
    content = replace(document, batch=replace(document.batch, predecessor=OTHER)).to_bytes()
    history = honest.serve("batch", document.batch.frames_root, content)
    return Planted(history.change(anchored, batch=replace(anchored.batch, predecessor=OTHER)))


@plant("batch-index-mismatch")
def _(honest: History, space: DataSpace) -> Planted:
    document = _batch(honest, honest.all(ev.BatchAnchored)[1])
    entry = replace(document.entries[0], last_hash=OTHER)
    content = replace(document, entries=(entry,)).to_bytes()
    return Planted(honest.serve("batch", document.batch.frames_root, content))


@plant("device-unknown")
def _(honest: History, space: DataSpace) -> Planted:
    rotated = honest.first(ev.DeviceRotated)
    enrolled = honest.first(ev.DeviceEnrolled, lambda event: event.device != rotated.device)
    return Planted(honest.change(enrolled, device=DeviceId(OTHER)))


def _second_run(honest: History) -> tuple[ev.BatchAnchored, IndexEntry]:
    """The station's frames 4 and 5, alone in the second batch."""
    anchored = honest.all(ev.BatchAnchored)[1]
    (entry,) = _batch(honest, anchored).entries
    return anchored, entry


@plant("device-gap")
def _(honest: History, space: DataSpace) -> Planted:
    anchored, entry = _second_run(honest)
    return Planted(_reindexed(honest, anchored, replace(entry, first=5, previous=OTHER)))


@plant("device-fork")
def _(honest: History, space: DataSpace) -> Planted:
    anchored, entry = _second_run(honest)
    return Planted(_reindexed(honest, anchored, replace(entry, previous=OTHER)))


@plant("device-replay")
def _(honest: History, space: DataSpace) -> Planted:
    anchored, entry = _second_run(honest)
    return Planted(_reindexed(honest, anchored, replace(entry, first=3, previous=OTHER)))


@plant("device-tail-missing")
def _(honest: History, space: DataSpace) -> Planted:
    device = honest.first(ev.DeviceEnrolled).device
    receipt = FrameReceipt(space.gateway.account, device, 8, OTHER, honest.tip.time)
    signed = sign_frame_receipt(receipt, space.gateway.signer, space.operator.domain)
    statement = {
        "kind": "dataspace/device-statement",
        "version": 1,
        "device": str(device),
        "receipts": [canonical.decode(signed.to_bytes())],
    }
    return Planted(honest.serve("device-statement", device, canonical.encode(statement)))


# Documents


@plant("document-not-served")
def _(honest: History, space: DataSpace) -> Planted:
    return Planted(honest.serve("decision", honest.first(ev.ShareReleased).decision_hash, None))


@plant("document-mismatch")
def _(honest: History, space: DataSpace) -> Planted:
    one, other = honest.all(ev.ShareReleased)[:2]
    content = honest.documents["decision", bytes(other.decision_hash)]
    return Planted(honest.serve("decision", one.decision_hash, content))


# Operation logs. What they have to say is looked at when every interval is over.

LOG_PATIENCE: Final = Patience(anchor=0, log=0)


def _segments(history: History, account: Address) -> list[LogSegment]:
    heads = history.all(ev.LogHeadAnchored, lambda event: event.account == account)
    contents = (history.documents["log-segment", bytes(head.root)] for head in heads)
    return [LogSegment.from_json(canonical.decode(content)) for content in contents]


def relogged(
    history: History, space: DataSpace, party: Party, edit: Callable[[list[LogEntry]], list[LogEntry]]
) -> History:
    """The organisation kept another log from its last anchored head but one on, and anchored it as its own."""
    heads = history.all(ev.LogHeadAnchored, lambda event: event.account == party.account)
    segments = _segments(history, party.account)
    entries = tuple(edit(list(segments[-1].entries)))
    hasher = TreeHasher.resumed(segments[-1].first, segments[-1].peaks)
    for entry in entries:
        hasher.append(entry.leaf)
    head = LogHead(hasher.size, hasher.root())
    note = sign_head(head, party.account, party.signer, space.operator.domain)
    segment = replace(segments[-1], entries=entries, note=note)
    history = history.serve("log-segment", head.root, canonical.encode(segment.to_json()))
    return history.change(heads[-1], size=head.size, root=head.root)


def rewritten(
    history: History, space: DataSpace, party: Party, edit: Callable[[int, list[LogEntry]], list[LogEntry]]
) -> History:
    """The organisation kept another log from the beginning, and anchored it at the same times."""

    def heads() -> tuple[ev.LogHeadAnchored, ...]:
        return history.all(ev.LogHeadAnchored, lambda event: event.account == party.account)

    hasher, kept, previous = TreeHasher(), 0, Digest(bytes(32))
    for number, segment in enumerate(_segments(history, party.account)):
        entries, first, peaks = tuple(edit(number, list(segment.entries))), hasher.size, hasher.peaks
        if not entries:
            history = history.drop(heads()[kept])
            continue
        for entry in entries:
            hasher.append(entry.leaf)
        head = LogHead(hasher.size, hasher.root())
        note = sign_head(head, party.account, party.signer, space.operator.domain)
        told = LogSegment(party.account, first, peaks, entries, note)
        history = history.serve("log-segment", head.root, canonical.encode(told.to_json()))
        history = history.change(heads()[kept], size=head.size, root=head.root, previous=previous)
        kept, previous = kept + 1, head.root
    return history


@plant("log-not-served")
def _(honest: History, space: DataSpace) -> Planted:
    head = honest.first(ev.LogHeadAnchored)
    return Planted(honest.serve("log-segment", head.root, None), patience=LOG_PATIENCE)


@plant("log-inconsistent")
def _(honest: History, space: DataSpace) -> Planted:
    """An entry of long ago says something else now; nothing on chain did change."""
    account = space.custodians[0].account
    head = honest.all(ev.LogHeadAnchored, lambda event: event.account == account)[0]
    segment = _segments(honest, account)[0]
    entries = (replace(segment.entries[0], at=segment.entries[0].at + 1), *segment.entries[1:])
    content = canonical.encode(replace(segment, entries=entries).to_json())
    return Planted(honest.serve("log-segment", head.root, content), patience=LOG_PATIENCE)


@plant("log-entry-missing")
def _(honest: History, space: DataSpace) -> Planted:
    """A custodian leaves its last decision out of its log."""

    def edit(entries: list[LogEntry]) -> list[LogEntry]:
        return entries[:-1]

    return Planted(relogged(honest, space, space.custodians[0], edit), patience=LOG_PATIENCE)


@plant("log-event-missing")
def _(honest: History, space: DataSpace) -> Planted:
    """A custodian logged a release that the ledger never saw."""

    def edit(entries: list[LogEntry]) -> list[LogEntry]:
        digests = {"deal": OTHER, "decision": OTHER}
        return [*entries, LogEntry(Act.DECISION, entries[-1].at, OTHER, digests, "released")]

    return Planted(relogged(honest, space, space.custodians[0], edit), patience=LOG_PATIENCE)


@plant("log-anchored-late")
def _(honest: History, space: DataSpace) -> Planted:
    """The last head of a custodian comes a day after what it contains."""
    account = space.custodians[0].account
    head = honest.all(ev.LogHeadAnchored, lambda event: event.account == account)[-1]
    return Planted(honest.later(head, 86_400), patience=LOG_PATIENCE)
