"""Event histories for audit tests: an honest one from the real contracts, and edits that plant violations in it.

An edit changes, drops or adds typed events and writes the raw logs anew as the contracts would have: `seq` counts
again, running heads fit again, so that only the planted rule is broken. `encode` gives exactly the bytes that the
contracts emit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from eth_abi.abi import encode as abi_encode
from eth_utils.abi import event_abi_to_log_topic

from audit.documents import MemoryDocuments
from audit.entries import Claim, Entry, Identity, Tip
from audit.findings import Finding
from audit.follow import Follower
from audit.index import Index
from audit.ledger_state import fold
from audit.papers import Papers, Patience
from audit.picture import State
from audit.rows import RowReader
from audit.rulebook import apply
from audit.store import LogRow
from capsule.ids import Digest
from contracts.chain import RawLog
from contracts.events import AssetEvent, DeviceEvent, SequencedEvent
from contracts.kinds import snake_case
from tests.sim.dataspace import DataSpace

__all__ = ["History", "encode", "history_of", "numbered", "rows_of"]

_ABI: Final = Path(__file__).parents[2] / "contracts" / "abi"
_E = TypeVar("_E", bound=SequencedEvent)


@dataclass(frozen=True, slots=True)
class History:
    """Events of one ledger with what its participants serve. Immutable: every edit is a new history."""

    identity: Identity
    tip: Tip
    entries: tuple[Entry, ...]
    documents: Mapping[tuple[str, bytes], bytes]

    def state(self, *claims: Claim) -> State:
        """The state, with an endpoint whose heads are those of these events, unless it claims otherwise."""
        state = fold(self.entries, self.identity, self.tip)
        heads = {name: (running.now.head, running.now.seq) for name, running in state.running.items()}
        own = Claim("endpoint", self.tip.number, self.tip.hash, MappingProxyType(heads))
        if not any(claim.source == "endpoint" for claim in claims):
            claims = (own, *claims)
        return fold(self.entries, self.identity, self.tip, claims)

    def findings(self, *claims: Claim, patience: Patience | None = None) -> tuple[Finding, ...]:
        """What the rules find."""
        state = self.state(*claims)
        firm, _ = apply(state, Papers(state, MemoryDocuments(self.documents), patience or Patience(anchor=0)))
        return firm

    def rules(self, *claims: Claim) -> set[str]:
        return {finding.rule for finding in self.findings(*claims)}

    def all(self, kind: type[_E], where: Callable[[_E], bool] = lambda event: True) -> tuple[_E, ...]:
        return tuple(entry.event for entry in self.entries if isinstance(entry.event, kind) and where(entry.event))

    def first(self, kind: type[_E], where: Callable[[_E], bool] = lambda event: True) -> _E:
        return self.all(kind, where)[0]

    def time_of(self, event: SequencedEvent) -> int:
        return next(entry.time for entry in self.entries if entry.event is event)

    def same(self, event: _E) -> _E:
        """The event of an earlier version of this history, as it stands here."""
        transaction = event.log.transaction_hash
        return self.first(
            type(event),
            lambda other: other.log.transaction_hash == transaction and other.log.topics == event.log.topics,
        )

    # Edits

    def change(self, event: SequencedEvent, **values: object) -> History:
        """The same history but for some values of one event."""
        return self._edited(lambda entry: [_with(entry, **values)] if entry.event is event else [entry])

    def drop(self, *events: SequencedEvent) -> History:
        """As if these calls had never been made."""
        return self._edited(lambda entry: [] if any(entry.event is event for event in events) else [entry])

    def repeat(self, event: SequencedEvent, **values: object) -> History:
        """Once more right after itself, with other values."""
        return self._edited(lambda entry: [entry, _with(entry, **values)] if entry.event is event else [entry])

    def move(self, event: SequencedEvent, *, after: SequencedEvent) -> History:
        """The same call, but later: in the block of another one, behind it."""
        moved = next(entry for entry in self.entries if entry.event is event)

        def edit(entry: Entry) -> list[Entry]:
            if entry.event is event:
                return []
            return [entry, _at(moved, entry)] if entry.event is after else [entry]

        return self._edited(edit)

    def later(self, event: SequencedEvent, seconds: int) -> History:
        """Everything from an event on happens so many seconds later."""
        reached = False
        entries = []
        for entry in self.entries:
            reached = reached or entry.event is event
            entries.append(replace(entry, time=entry.time + seconds) if reached else entry)
        return replace(self, entries=tuple(entries), tip=replace(self.tip, time=self.tip.time + seconds))

    def omit(self, event: SequencedEvent) -> History:
        """An endpoint leaves one log out: nothing is counted again."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.event is not event))

    def serve(self, kind: str, key: bytes, content: bytes | None) -> History:
        """Another document under a name; None: none."""
        documents = {name: data for name, data in self.documents.items() if name != (kind, bytes(key))}
        if content is not None:
            documents[kind, bytes(key)] = content
        return replace(self, documents=documents)

    def until(self, time: int) -> History:
        """Looked at later, with nothing more having happened."""
        return replace(self, tip=replace(self.tip, time=time))

    def _edited(self, edit: Callable[[Entry], Sequence[Entry]]) -> History:
        edited = [one for entry in self.entries for one in edit(entry)]
        assert any(one is not entry for one, entry in zip(edited, self.entries, strict=False)), "nothing was edited"
        return replace(self, entries=tuple(numbered(edited)))


def history_of(space: DataSpace) -> History:
    """What an honest endpoint shows of a data space, and what its participants serve."""
    space.anchor_logs()
    index = Index.open(None)
    for _ in Follower(space.operator, index).catch_up():
        continue
    assert index.tip is not None
    history = History(index.identity, index.tip, tuple(index.entries()), dict(space.documents))
    index.close()
    return history


def _with(entry: Entry, **values: object) -> Entry:
    return replace(entry, event=replace(entry.event, **values))


def _at(entry: Entry, place: Entry) -> Entry:
    log = place.event.log
    moved = replace(
        entry.event.log,
        block_number=log.block_number,
        block_hash=log.block_hash,
        transaction_hash=Digest(bytes(reversed(log.transaction_hash))),
    )
    return replace(entry, event=replace(entry.event, log=moved), time=place.time)


def numbered(entries: Iterable[Entry]) -> Iterable[Entry]:
    """Entries as the contracts would emit them: `seq`, subject and log position counted again, every log encoded."""
    seqs: dict[str, int] = {}
    subjects: dict[tuple[str, bytes], int] = {}
    positions: dict[int, int] = {}
    for entry in entries:
        seqs[entry.contract] = seqs.get(entry.contract, 0) + 1
        event: Any = replace(entry.event, seq=seqs[entry.contract])
        if isinstance(event, AssetEvent):
            key = (entry.contract, bytes(event.asset))
            subjects[key] = subjects.get(key, 0) + 1
            event = replace(event, asset_seq=subjects[key])
        elif isinstance(event, DeviceEvent):
            key = (entry.contract, bytes(event.device))
            subjects[key] = subjects.get(key, 0) + 1
            event = replace(event, device_seq=subjects[key])
        block = event.log.block_number
        positions[block] = positions.get(block, -1) + 1
        log = replace(event.log, log_index=positions[block])
        event = replace(event, log=encode(entry.contract, replace(event, log=log)))
        # What did not change stays the same object, so that it can be named in the next edit.
        yield entry if event == entry.event else replace(entry, event=event)


def rows_of(identity: Identity, entries: Iterable[Entry]) -> list[LogRow]:
    """Entries as the index takes them."""
    reader = RowReader({address: name for name, address in identity.contracts.items()})
    rows = (reader.row(entry.event.log, entry.time) for entry in entries)
    return [row for row in rows if row is not None]


def encode(contract: str, event: SequencedEvent) -> RawLog:
    """The event's log with topics and data as Solidity writes them; the place stays."""
    abi = _events(contract)[type(event).__name__]
    values = {item["name"]: getattr(event, snake_case(item["name"])) for item in abi["inputs"]}
    topics = [bytes(event_abi_to_log_topic(abi))]
    topics += [_topic(item, values[item["name"]]) for item in abi["inputs"] if item["indexed"]]
    plain = [item for item in abi["inputs"] if not item["indexed"]]
    data = abi_encode([_type(item) for item in plain], [_value(item, values[item["name"]]) for item in plain])
    return replace(event.log, topics=tuple(topics), data=data)


@cache
def _events(contract: str) -> Mapping[str, Any]:
    abi = json.loads((_ABI / f"{contract}.json").read_text("utf-8"))["abi"]
    return {item["name"]: item for item in abi if item["type"] == "event"}


def _topic(item: Mapping[str, Any], value: Any) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    if isinstance(value, str):
        return value.encode("ascii").ljust(32, b"\0")
    return bytes(value).rjust(32, b"\0")


def _type(item: Mapping[str, Any]) -> str:
    kind: str = item["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_type(part) for part in item['components'])}){kind.removeprefix('tuple')}"


def _value(item: Mapping[str, Any], value: Any) -> Any:
    if is_dataclass(value):
        named = {field.name for field in fields(value)}
        return tuple(
            _value(part, getattr(value, snake_case(part["name"])))
            for part in item["components"]
            if snake_case(part["name"]) in named
        )
    if isinstance(value, tuple):
        inner = {**item, "type": item["type"].removesuffix("[]")}
        return [_value(inner, one) for one in value]
    return bytes(value) if isinstance(value, bytes) else value
