"""Operation logs as far as they are anchored and served, and the deeds that must stand in them.

A deed is an event on chain that its account's own log must have; an entry is joined with it by its act, its subject,
and what the act names. A log is read from its segments, from the first anchored head on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from audit.entries import Place
from audit.findings import Subject
from audit.papers import Absent, Odd, Papers
from audit.picture import Decision, LogHead, State
from capsule.decision import RELEASED, RefusalReason, SignedDecision
from capsule.ids import Address, AssetId, Bytes32, Digest
from capsule.oplog import Act, LogEntry
from capsule.oplog import LogHead as Head
from capsule.receipt import SignedReceipt

__all__ = ["Deed", "Key", "Log", "Logged", "Logs", "deeds", "head_pairs"]

_CONTRACT: Final = "OperationLog"
_LEADING: Final = (Act.ORDER, Act.USE, Act.VERDICT)
# What the digests are called by which an entry is joined with its event; of the others the subject says it all.
_NAMED: Final[Mapping[Act, tuple[str, ...]]] = MappingProxyType(
    {
        Act.DECISION: ("decision",),
        Act.GRANT: ("agreement", "terms"),
        Act.ORDER: ("parameters",),
        Act.RECEIPT: ("receipt",),
        Act.ACCUSATION: ("accusation",),
    }
)
_REASONED: Final = (Act.DECISION, Act.DENIAL, Act.REVOCATION)
# A reason on chain in the words of a log; of others, which any byte may be, the number.
_REFUSALS: Final = {int(reason): reason.name.lower() for reason in RefusalReason}
Key: TypeAlias = tuple[Act, bytes, bytes, str]


@dataclass(frozen=True, slots=True)
class Deed:
    """An event that its account's log must have, and the head that the event's document says came before."""

    account: Address
    key: Key
    event: str
    place: Place
    subject: Subject
    named: Head | None = None


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry, its position, and the anchored head that first contains it."""

    position: int
    entry: LogEntry
    head: LogHead

    @property
    def key(self) -> Key:
        digest = b"".join(bytes(self.entry.digests[name]) for name in _NAMED.get(self.entry.act, ()))
        reason = self.entry.reason if self.entry.act in _REASONED else ""
        return self.entry.act, bytes(self.entry.subject), digest, reason


@dataclass(frozen=True, slots=True)
class Log:
    """A log as far as its heads are anchored. `whole`: all of it is served and leads from head to head."""

    heads: tuple[LogHead, ...]
    entries: tuple[Logged, ...]
    roots: tuple[Digest, ...]
    whole: bool


class Logs:
    """The logs of a state, each read once for a rule."""

    def __init__(self, state: State, papers: Papers) -> None:
        self._state = state
        self._papers = papers
        self._read: dict[Address, Log] = {}
        self._keys: dict[Address, dict[Key, Logged]] = {}
        self._first: dict[Address, dict[tuple[Act, bytes], int]] = {}

    def of(self, account: Address) -> Log:
        if account not in self._read:
            self._read[account] = _log(self._state, self._papers, account)
            entries = self._read[account].entries[::-1]
            self._keys[account] = {one.key: one for one in entries}
            self._first[account] = {(one.entry.act, bytes(one.entry.subject)): one.position for one in entries}
        return self._read[account]

    def find(self, deed: Deed) -> Logged | None:
        """The first entry about a deed."""
        return self.keyed(deed.account, deed.key)

    def first(self, account: Address, act: Act, subject: bytes) -> Logged | None:
        """The first entry of an act about a subject."""
        log = self.of(account)
        position = self._first[account].get((act, bytes(subject)))
        return None if position is None else log.entries[position]

    def keyed(self, account: Address, key: Key) -> Logged | None:
        """The first entry with a key."""
        self.of(account)
        return self._keys[account].get(key)

    def leads(self, deed: Deed, head: Head) -> bool:
        """Whether a head contains what must come before a receipt."""
        first = self._first[deed.account]
        return all(first.get((act, deed.key[1]), head.size) < head.size for act in _LEADING)


def _log(state: State, papers: Papers, account: Address) -> Log:
    heads = state.log_heads.get(account, ())
    entries: list[Logged] = []
    roots: list[Digest] = []
    for before, head in head_pairs(heads):
        segment = papers.log_segment(before, head)
        if isinstance(segment, Absent | Odd):
            return Log(heads, (), (), whole=False)
        roots += segment.roots if not roots else segment.roots[1:]
        entries += [Logged(at, entry, head) for at, entry in enumerate(segment.entries, len(entries))]
    return Log(heads, tuple(entries), tuple(roots), whole=True)


def head_pairs(heads: tuple[LogHead, ...]) -> Iterator[tuple[LogHead | None, LogHead]]:
    yield from zip((None, *heads), heads, strict=False)


def deeds(state: State, papers: Papers) -> Iterator[Deed]:
    if _CONTRACT not in state.identity.contracts:
        return
    for asset in state.assets.values():
        subject = Subject("asset", str(asset.id))
        for version in asset.versions:
            key = (Act.SEAL, bytes(version.capsule_root), b"", "")
            yield Deed(asset.provider, key, "CapsulePublished", version.place, subject)
            for deal in version.deals:
                yield Deed(asset.provider, (Act.DEAL, bytes(deal.hash), b"", ""), "CustodyDealt", deal.place, subject)
    for opening in state.openings.values():
        yield from _decisions(papers, Subject("opening", str(opening.id)), opening.id, opening.decisions)
    yield from _answers(state)
    for use in state.uses.values():
        subject, node = Subject("use", str(use.id)), use.order.compute_node
        ordered = (Act.ORDER, bytes(use.order_hash), bytes(use.order.parameters), "")
        yield Deed(node, ordered, "UseOpened", use.place, subject)
        yield Deed(node, (Act.USE, bytes(use.order_hash), b"", ""), "UseOpened", use.place, subject)
        yield from _decisions(papers, subject, use.id, use.decisions)
        closing = use.closing
        if closing is not None and any(closing.receipt_hash):
            act = Act.ACCUSATION if closing.accuses else Act.RECEIPT
            paper = None if closing.accuses else papers.receipt(use, closing)
            named = paper.receipt.log_head if isinstance(paper, SignedReceipt) else None
            key = (act, bytes(use.order_hash), bytes(closing.receipt_hash), "")
            yield Deed(node, key, "UseClosed", closing.place, subject, named)


def _answers(state: State) -> Iterator[Deed]:
    """What providers answered to buyers. An automatic grant is the terms' own act, and nobody's to log."""
    for request in state.requests.values():
        provider = _provider(state, request.asset)
        if request.denied is not None and provider is not None:
            key = (Act.DENIAL, bytes(request.id), b"", str(request.denial))
            yield Deed(provider, key, "AccessDenied", request.denied, Subject("request", str(request.id)))
    for grant in state.grants.values():
        provider, subject = _provider(state, grant.asset), Subject("grant", str(grant.id))
        if provider is None:
            continue
        if not grant.automatic:
            key = (Act.GRANT, bytes(grant.request), bytes(grant.agreement_hash) + bytes(grant.terms.hash), "")
            yield Deed(provider, key, "AccessGranted", grant.place, subject)
        if grant.revoked is not None:
            key = (Act.REVOCATION, bytes(grant.id), b"", str(grant.revoked.reason))
            yield Deed(provider, key, "AccessRevoked", grant.revoked.place, subject)


def _provider(state: State, asset: AssetId) -> Address | None:
    known = state.assets.get(asset)
    return None if known is None else known.provider


def _decisions(papers: Papers, subject: Subject, use: Bytes32, decisions: tuple[Decision, ...]) -> Iterator[Deed]:
    for decision in decisions:
        paper = papers.decision(decision)
        named = paper.decision.log_head if isinstance(paper, SignedDecision) else None
        event = "ShareReleased" if decision.released else "ShareRefused"
        reason = RELEASED if decision.released else _REFUSALS.get(decision.reason, str(decision.reason))
        key = (Act.DECISION, bytes(use), bytes(decision.decision_hash), reason)
        yield Deed(decision.holder, key, event, decision.place, subject, named)
