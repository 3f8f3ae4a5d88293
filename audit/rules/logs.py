"""Rules over operation logs (监管链): each joins what an organisation logged with what the ledger says that it did.

An anchored head names its segment, which its owner must serve; the segment leads from the head before, so that heads
that do not continue each other are found by computing them. Then either side's silence shows: an act on chain that
its owner's log does not have, and an entry whose act the chain never saw. While time is left to anchor, nobody is
accused; where a segment is missing, that is the finding, and nothing else is said of that log.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from audit.entries import Place
from audit.findings import Finding, Subject, found
from audit.papers import Absent, Odd, Papers
from audit.picture import Decision, LogHead, State
from audit.rules.participants import signing_key_at
from capsule.decision import RELEASED, RefusalReason, SignedDecision
from capsule.errors import CapsuleError
from capsule.ids import Address, Bytes32, Digest
from capsule.oplog import Act, LogEntry
from capsule.oplog import LogHead as Head
from capsule.receipt import SignedReceipt

__all__ = [
    "log_anchored_late",
    "log_entry_missing",
    "log_event_missing",
    "log_inconsistent",
    "log_not_served",
]

_CONTRACT: Final = "OperationLog"
# What the digest is called by which an entry is joined with its event; of the others the subject says it all.
_NAMED: Final = {
    Act.DECISION: "decision",
    Act.ORDER: "parameters",
    Act.RECEIPT: "receipt",
    Act.ACCUSATION: "accusation",
}
_AWAITED: Final = (Act.DECISION, Act.RECEIPT, Act.ACCUSATION)
_LEADING: Final = (Act.ORDER, Act.USE, Act.VERDICT)
# A reason on chain in the words of a log; of others, which any byte may be, the number.
_REFUSALS: Final = {int(reason): reason.name.lower() for reason in RefusalReason}
_Key = tuple[Act, bytes, bytes, str]


@dataclass(frozen=True, slots=True)
class _Deed:
    """An event that its account's log must have, and the head that the event's document says came before."""

    account: Address
    key: _Key
    event: str
    place: Place
    subject: Subject
    named: Head | None = None


@dataclass(frozen=True, slots=True)
class _Logged:
    """An entry, its position, and the anchored head that first contains it."""

    position: int
    entry: LogEntry
    head: LogHead

    @property
    def key(self) -> _Key:
        name = _NAMED.get(self.entry.act)
        digest = bytes(self.entry.digests[name]) if name else b""
        reason = self.entry.reason if self.entry.act is Act.DECISION else ""
        return self.entry.act, bytes(self.entry.subject), digest, reason


@dataclass(frozen=True, slots=True)
class _Log:
    """A log as far as its heads are anchored. `whole`: all of it is served and leads from head to head."""

    heads: tuple[LogHead, ...]
    entries: tuple[_Logged, ...]
    roots: tuple[Digest, ...]
    whole: bool


def log_not_served(state: State, papers: Papers) -> Iterator[Finding]:
    """Whoever anchors a head serves the segment that leads to it, within a document's time."""
    for account, heads in state.log_heads.items():
        for before, head in _pairs(heads):
            due = head.place.time + papers.patience.document
            if due <= state.tip.time and isinstance(papers.log_segment(before, head), Absent):
                yield found(
                    "log-not-served",
                    Subject("participant", str(account)),
                    account,
                    account=account,
                    first=before.size if before else 0,
                    size=head.size,
                    root=head.root,
                    due=due,
                )


def log_inconsistent(state: State, papers: Papers) -> Iterator[Finding]:
    """Segments lead from head to head under their owner's signature; receipts and decisions name heads of the log."""
    for account, heads in state.log_heads.items():
        for before, head in _pairs(heads):
            reason = _segment_fault(state, papers, before, head)
            if reason:
                yield _inconsistent(account, Subject("participant", str(account)), reason, head.size, head.root)
    logs = _Logs(state, papers)
    for deed in _deeds(state, papers):
        log = logs.of(deed.account)
        named, known = deed.named, log.roots
        own = logs.find(deed)
        if named is None or not log.whole or own is None:
            continue
        if named.size > own.position or known[named.size] != named.root:
            reason = f"{deed.event} names a head that is none of the log's before its own entry"
            yield _inconsistent(deed.account, deed.subject, reason, named.size, named.root)
        elif deed.key[0] is Act.RECEIPT and not logs.leads(deed, named):
            reason = "the receipt names a head that lacks its order, use or verdict"
            yield _inconsistent(deed.account, deed.subject, reason, named.size, named.root)


def _inconsistent(account: Address, subject: Subject, reason: str, size: int, root: Digest) -> Finding:
    return found("log-inconsistent", subject, account, account=account, reason=reason, size=size, root=root)


def log_entry_missing(state: State, papers: Papers) -> Iterator[Finding]:
    """What the ledger says that an organisation did stands in the log that it anchored since."""
    logs = _Logs(state, papers)
    for deed in _due(state, papers):
        log = logs.of(deed.account)
        if log.whole and _anchored(log, deed, papers) and logs.find(deed) is None:
            yield found(
                "log-entry-missing",
                deed.subject,
                deed.account,
                account=deed.account,
                event=deed.event,
                block=deed.place.block,
                size=log.heads[-1].size,
                root=log.heads[-1].root,
            )


def log_anchored_late(state: State, papers: Papers) -> Iterator[Finding]:
    """What an organisation did is in a head that it anchored within the stated interval; told once for each."""
    logs = _Logs(state, papers)
    late: dict[Address, list[_Deed]] = {}
    for deed in _due(state, papers):
        log, due = logs.of(deed.account), deed.place.time + papers.patience.log
        logged = logs.find(deed)
        if logged.head.place.time > due if logged else not _anchored(log, deed, papers):
            late.setdefault(deed.account, []).append(deed)
    for account, deeds in late.items():
        yield found(
            "log-anchored-late",
            Subject("participant", str(account)),
            account,
            account=account,
            count=len(deeds),
            event=deeds[0].event,
            block=deeds[0].place.block,
            due=deeds[0].place.time + papers.patience.log,
        )


def log_event_missing(state: State, papers: Papers) -> Iterator[Finding]:
    """A logged decision, receipt or accusation is on chain in the end, unless the log itself says that it is not."""
    logs = _Logs(state, papers)
    on_chain = {(deed.account, deed.key) for deed in _deeds(state, papers)}
    for account in state.log_heads:
        log = logs.of(account)
        dropped = {bytes(one.entry.subject) for one in log.entries if one.entry.act is Act.DROPPED}
        for one in log.entries if log.whole else ():
            _, subject, digest, _ = one.key
            if one.entry.act not in _AWAITED or digest in dropped or (account, one.key) in on_chain:
                continue
            due = max(one.head.place.time, _deadline(state, one.entry)) + papers.patience.log
            if due > state.tip.time:
                continue
            yield found(
                "log-event-missing",
                Subject("participant", str(account)),
                account,
                account=account,
                act=one.entry.act,
                subject=f"0x{subject.hex()}",
                position=one.position,
                digest=f"0x{digest.hex()}",
                due=due,
            )


def _anchored(log: _Log, deed: _Deed, papers: Papers) -> bool:
    """Whether a head was anchored between a deed and the end of its interval."""
    at = bisect_left(log.heads, deed.place.time, key=lambda head: head.place.time)
    return at < len(log.heads) and log.heads[at].place.time <= deed.place.time + papers.patience.log


def _deadline(state: State, entry: LogEntry) -> int:
    """Until when the chain may take an entry's act: before a use's deadline it may come at any time."""
    uses = [use for use in state.uses.values() if bytes(entry.subject) in (bytes(use.id), bytes(use.order_hash))]
    return max((use.deadline for use in uses), default=0)


class _Logs:
    """The logs of a state, each read once for a rule."""

    def __init__(self, state: State, papers: Papers) -> None:
        self._state = state
        self._papers = papers
        self._read: dict[Address, _Log] = {}
        self._keys: dict[Address, dict[_Key, _Logged]] = {}
        self._first: dict[Address, dict[tuple[Act, bytes], int]] = {}

    def of(self, account: Address) -> _Log:
        if account not in self._read:
            self._read[account] = _log(self._state, self._papers, account)
            entries = self._read[account].entries[::-1]
            self._keys[account] = {one.key: one for one in entries}
            self._first[account] = {(one.entry.act, bytes(one.entry.subject)): one.position for one in entries}
        return self._read[account]

    def find(self, deed: _Deed) -> _Logged | None:
        """The first entry about a deed."""
        self.of(deed.account)
        return self._keys[deed.account].get(deed.key)

    def leads(self, deed: _Deed, head: Head) -> bool:
        """Whether a head contains what must come before a receipt."""
        first = self._first[deed.account]
        return all(first.get((act, deed.key[1]), head.size) < head.size for act in _LEADING)


def _log(state: State, papers: Papers, account: Address) -> _Log:
    heads = state.log_heads.get(account, ())
    entries: list[_Logged] = []
    roots: list[Digest] = []
    for before, head in _pairs(heads):
        segment = papers.log_segment(before, head)
        if isinstance(segment, Absent | Odd):
            return _Log(heads, (), (), whole=False)
        roots += segment.roots if not roots else segment.roots[1:]
        entries += [_Logged(at, entry, head) for at, entry in enumerate(segment.entries, len(entries))]
    return _Log(heads, tuple(entries), tuple(roots), whole=True)


def _pairs(heads: tuple[LogHead, ...]) -> Iterator[tuple[LogHead | None, LogHead]]:
    yield from zip((None, *heads), heads, strict=False)


def _segment_fault(state: State, papers: Papers, before: LogHead | None, head: LogHead) -> str:
    segment = papers.log_segment(before, head)
    if isinstance(segment, Odd):
        return segment.reason
    if isinstance(segment, Absent):
        return ""
    try:
        signing_key_at(state, head.account, head.place)
    except CapsuleError as exc:
        return f"its head is signed by no key that counts: {exc}"
    return ""


def _due(state: State, papers: Papers) -> Iterator[_Deed]:
    """Deeds whose time to be anchored is over. The suspended, who may anchor nothing, are waited for."""
    for deed in _deeds(state, papers):
        due = deed.place.time + papers.patience.log
        who = state.participants.get(deed.account)
        if due > state.tip.time or who is None:
            continue
        ends = [one.since.time for one in who.standings[1:]] + [due]
        periods = zip(who.standings, ends, strict=True)
        if all(one.active or one.since.time > due or end < deed.place.time for one, end in periods):
            yield deed


def _deeds(state: State, papers: Papers) -> Iterator[_Deed]:
    if _CONTRACT not in state.identity.contracts:
        return
    for asset in state.assets.values():
        subject = Subject("asset", str(asset.id))
        for version in asset.versions:
            key = (Act.SEAL, bytes(version.capsule_root), b"", "")
            yield _Deed(asset.provider, key, "CapsulePublished", version.place, subject)
            for deal in version.deals:
                yield _Deed(asset.provider, (Act.DEAL, bytes(deal.hash), b"", ""), "CustodyDealt", deal.place, subject)
    for opening in state.openings.values():
        yield from _decisions(papers, Subject("opening", str(opening.id)), opening.id, opening.decisions)
    for use in state.uses.values():
        subject, node = Subject("use", str(use.id)), use.order.compute_node
        ordered = (Act.ORDER, bytes(use.order_hash), bytes(use.order.parameters), "")
        yield _Deed(node, ordered, "UseOpened", use.place, subject)
        yield _Deed(node, (Act.USE, bytes(use.order_hash), b"", ""), "UseOpened", use.place, subject)
        yield from _decisions(papers, subject, use.id, use.decisions)
        closing = use.closing
        if closing is not None and any(closing.receipt_hash):
            act = Act.ACCUSATION if closing.accuses else Act.RECEIPT
            paper = None if closing.accuses else papers.receipt(use, closing)
            named = paper.receipt.log_head if isinstance(paper, SignedReceipt) else None
            key = (act, bytes(use.order_hash), bytes(closing.receipt_hash), "")
            yield _Deed(node, key, "UseClosed", closing.place, subject, named)


def _decisions(papers: Papers, subject: Subject, use: Bytes32, decisions: tuple[Decision, ...]) -> Iterator[_Deed]:
    for decision in decisions:
        paper = papers.decision(decision)
        named = paper.decision.log_head if isinstance(paper, SignedDecision) else None
        event = "ShareReleased" if decision.released else "ShareRefused"
        reason = RELEASED if decision.released else _REFUSALS.get(decision.reason, str(decision.reason))
        key = (Act.DECISION, bytes(use), bytes(decision.decision_hash), reason)
        yield _Deed(decision.holder, key, event, decision.place, subject, named)
