"""Rules over operation logs (监管链): each joins what an organisation logged with what the ledger says that it did.

An anchored head names its segment, which its owner must serve; the segment leads from the head before, so that heads
that do not continue each other are found by computing them. Then either side's silence shows: an act on chain that
its owner's log does not have, and an entry whose act the chain never saw. While time is left to anchor, nobody is
accused; where a segment is missing, that is the finding, and nothing else is said of that log.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Final

from audit.findings import Finding, Subject, found
from audit.logbook import Deed, Log, Logs, deeds, head_pairs
from audit.papers import Absent, Odd, Papers
from audit.picture import LogHead, State
from audit.rules.participants import signing_key_at
from capsule.errors import CapsuleError
from capsule.ids import Address, Digest
from capsule.oplog import Act

__all__ = [
    "log_anchored_late",
    "log_entry_missing",
    "log_event_missing",
    "log_inconsistent",
    "log_not_served",
]

_AWAITED: Final = (Act.DECISION, Act.RECEIPT, Act.ACCUSATION)


def log_not_served(state: State, papers: Papers) -> Iterator[Finding]:
    """Whoever anchors a head serves the segment that leads to it, within a document's time."""
    for account, heads in state.log_heads.items():
        for before, head in head_pairs(heads):
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
        for before, head in head_pairs(heads):
            reason = _segment_fault(state, papers, before, head)
            if reason:
                yield _inconsistent(account, Subject("participant", str(account)), reason, head.size, head.root)
    logs = Logs(state, papers)
    for deed in deeds(state, papers):
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
    logs = Logs(state, papers)
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
    logs = Logs(state, papers)
    late: dict[Address, list[Deed]] = {}
    for deed in _due(state, papers):
        log, due = logs.of(deed.account), deed.place.time + papers.patience.log
        logged = logs.find(deed)
        if logged.head.place.time > due if logged else not _anchored(log, deed, papers):
            late.setdefault(deed.account, []).append(deed)
    for account, acts in late.items():
        yield found(
            "log-anchored-late",
            Subject("participant", str(account)),
            account,
            account=account,
            count=len(acts),
            event=acts[0].event,
            block=acts[0].place.block,
            due=acts[0].place.time + papers.patience.log,
        )


def log_event_missing(state: State, papers: Papers) -> Iterator[Finding]:
    """A logged decision, receipt or accusation is on chain in the end, unless the log itself says that it is not."""
    logs = Logs(state, papers)
    on_chain = {(deed.account, deed.key) for deed in deeds(state, papers)}
    deadlines = _deadlines(state)
    for account in state.log_heads:
        log = logs.of(account)
        dropped = {bytes(one.entry.subject) for one in log.entries if one.entry.act is Act.DROPPED}
        for one in log.entries if log.whole else ():
            _, subject, digest, _ = one.key
            if one.entry.act not in _AWAITED or digest in dropped or (account, one.key) in on_chain:
                continue
            due = max(one.head.place.time, deadlines.get(bytes(one.entry.subject), 0)) + papers.patience.log
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


def _anchored(log: Log, deed: Deed, papers: Papers) -> bool:
    """Whether a head was anchored between a deed and the end of its interval."""
    at = bisect_left(log.heads, deed.place.time, key=lambda head: head.place.time)
    return at < len(log.heads) and log.heads[at].place.time <= deed.place.time + papers.patience.log


def _deadlines(state: State) -> Mapping[bytes, int]:
    """Until when the chain may take what a log says of a use or an order: before its deadline, at any time."""
    latest: dict[bytes, int] = {}
    for use in state.uses.values():
        for name in (bytes(use.id), bytes(use.order_hash)):
            latest[name] = max(latest.get(name, 0), use.deadline)
    return latest


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


def _due(state: State, papers: Papers) -> Iterator[Deed]:
    """Deeds whose time to be anchored is over. The suspended, who may anchor nothing, are waited for."""
    for deed in deeds(state, papers):
        due = deed.place.time + papers.patience.log
        who = state.participants.get(deed.account)
        if due > state.tip.time or who is None:
            continue
        ends = [one.since.time for one in who.standings[1:]] + [due]
        periods = zip(who.standings, ends, strict=True)
        if all(one.active or one.since.time > due or end < deed.place.time for one, end in periods):
            yield deed
