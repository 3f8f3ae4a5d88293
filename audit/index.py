"""The auditor's index: the events of one ledger up to a final block, raw and read, and a digest over all of it.

Invariants: rows stand in chain order and are read again from the raw log whenever rules run, so that a changed record
shows; two indexes of the same ledger and block have the same content and the same digest, whoever built them and
however often they were interrupted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from audit.entries import Claim, Entry, Identity, Tip
from audit.errors import StoreError
from audit.ledger_state import fold
from audit.notation import claim_from_json, claim_json, identity_from_json, identity_json, tip_from_json, tip_json
from audit.picture import State
from audit.proof import HeadsProof, heads_proof_from_json, heads_proof_json
from audit.rows import RowReader
from audit.store import LogRow, Store, Where
from capsule import canonical
from capsule.canonical import Json
from capsule.errors import FormatError, InputError
from capsule.ids import Address, Digest
from contracts.chain import RawLog
from contracts.decode import EventDecoder
from contracts.errors import ChainIntegrityError
from contracts.events import SequencedEvent

__all__ = ["Index", "Summary"]

_SCHEMA: Final = "1"


@dataclass(frozen=True, slots=True)
class Summary:
    """What an index holds: number of events, last block, digest over the content."""

    events: int
    tip: Tip
    digest: Digest


class Index:
    """One index. Not for several threads at once, but for what `frozen` gives."""

    def __init__(self, store: Store, *, frozen: bool = False) -> None:
        self._store = store
        self._frozen = frozen
        facts = store.facts()
        if facts and facts.get("schema") != _SCHEMA:
            raise StoreError(f"the index has schema {facts.get('schema')}, not {_SCHEMA}; rebuild it")
        try:
            self._identity = identity_from_json(_value(facts["identity"])) if facts else None
            self._tip = tip_from_json(_value(facts["tip"])) if "tip" in facts else None
            self._claim = claim_from_json(_value(facts["claim"])) if "claim" in facts else None
            self._proof = self._read_proof(facts.get("proof", "null"))
            self._before = tip_from_json(_value(facts["before"])) if "before" in facts else None
        except (KeyError, FormatError, ChainIntegrityError) as exc:
            raise StoreError("the index is damaged: its facts do not read; rebuild it") from exc

    @classmethod
    def open(cls, where: Where, *, beside: bool = False) -> Index:
        """The index in a file, in a PostgreSQL database (its URL) or in memory (None), made where there is none.

        `beside`: an empty one, that stands in its place after `take_place`. Raises StoreError.
        """
        return cls(Store(where, beside=beside))

    def close(self) -> None:
        self._store.close()

    def frozen(self) -> Index:
        """What is indexed now, for reading: what is added later is not in it.

        For another thread too, where the index stands in a file or a database. This one closes both.
        """
        return Index(self._store, frozen=True)

    def check_in_place(self) -> None:
        """Raises StoreError where the index's file was deleted or replaced since it was opened."""
        self._store.check_in_place()

    def take_place(self) -> None:
        """Takes the place of the index that this one was opened beside, and closes it."""
        self._store.take_place()

    @property
    def identity(self) -> Identity:
        """Which ledger this index is of; StoreError while it is empty."""
        if self._identity is None:
            raise StoreError("the index is empty; rebuild it from a chain first")
        return self._identity

    @property
    def tip(self) -> Tip | None:
        """The last block covered, None while the index is empty."""
        return self._tip

    @property
    def before(self) -> Tip | None:
        """The block that a part (`audit.parts`) begins after; None for what begins at block 0."""
        return self._before

    @property
    def claim(self) -> Claim | None:
        """The heads that the endpoint gave last."""
        return self._claim

    @property
    def claimed(self) -> bool:
        """Whether the endpoint gave the heads at the tip."""
        return self._tip is not None and self._claim is not None and self._claim.block == self._tip.number

    @property
    def proof(self) -> HeadsProof | None:
        """The heads at the tip as the chain proves them; None where it keeps no proofs. Not verified here."""
        return self._proof

    def _read_proof(self, text: str) -> HeadsProof | None:
        value = _value(text)
        return None if value is None else heads_proof_from_json(value, self.identity.contracts)

    def begin(self, identity: Identity, before: Tip | None = None) -> None:
        """Binds an empty index to a ledger, a part of one with the block `before` it.

        Raises StoreError when it is of another ledger, or a part that begins elsewhere.
        """
        if self._identity is None:
            facts = {"schema": _SCHEMA, "identity": _text(identity_json(identity))}
            if before is not None:
                facts |= dict.fromkeys(("before", "tip"), _text(tip_json(before)))
            self._store.append((), facts)
            self._identity, self._before, self._tip = identity, before, before
        elif before is not None and before != self._before:
            raise StoreError(f"the part does not begin after block {before.number} (0x{before.hash.hex()})")
        elif identity_json(self._identity) != identity_json(identity):
            raise StoreError("the index is of another ledger (chain, Directory or contracts differ)")

    def append(
        self, rows: Sequence[LogRow], tip: Tip, claim: Claim | None = None, proof: HeadsProof | None = None
    ) -> None:
        """Adds the events (`audit.rows`) of the blocks after the present tip up to `tip`, all or nothing.

        `claim`: the heads that the endpoint gives for `tip`; `proof`: the same with proofs, where the chain has them.
        """
        facts = {"tip": _text(tip_json(tip)), "proof": "null" if proof is None else _text(heads_proof_json(proof))}
        if claim is not None:
            facts["claim"] = _text(claim_json(claim))
        self._store.append(rows, facts)
        self._tip = tip
        self._claim = claim or self._claim
        self._proof = proof

    def add(self, rows: Sequence[LogRow]) -> None:
        """Adds events whose tip comes later: only for an index that nobody reads before it takes its place."""
        self._store.append(rows, {})

    def count(self) -> int:
        """Number of events."""
        return self._store.count(self._end(None))

    def raw(self) -> Iterator[LogRow]:
        """All rows in chain order, as they stand; nothing is checked."""
        with closing(self._store.logs(self._end(None))) as rows:
            yield from rows

    def rows(self, after: int, most: int) -> tuple[LogRow, ...]:
        """The first rows of the blocks after one, as they stand; nothing is checked."""
        with closing(self._store.logs(self._end(None), after=after, most=most)) as rows:
            return tuple(rows)

    def entries(self, last_block: int | None = None, *, after: int | None = None) -> Iterator[Entry]:
        """Events in chain order, up to a block and those after one, read again from the raw logs.

        Raises StoreError for a row that does not read.
        """
        addresses = self.identity.contracts
        contracts = {address: name for name, address in addresses.items()}
        decoder, reader = EventDecoder(contracts), RowReader(contracts)
        with closing(self._store.logs(self._end(last_block), after=after)) as rows:
            for row in rows:
                try:
                    log = _log(row, addresses[row.contract])
                    event, again = decoder.decode(log), reader.row(log, row.time)
                except (ChainIntegrityError, InputError, KeyError) as exc:
                    raise StoreError(f"the index is damaged at block {row.block_number}, log {row.log_index}") from exc
                if not isinstance(event, SequencedEvent) or again != row:
                    raise StoreError(f"the index was changed at block {row.block_number}, log {row.log_index}")
                yield Entry(row.contract, event, row.time)

    def state(self, *claims: Claim) -> State:
        """The state at the tip, with the endpoint's claim and these. Raises StoreError for a part of an index."""
        if self._tip is None:
            raise StoreError("the index is empty; rebuild it from a chain first")
        if self._before is not None:
            raise StoreError("this is a part of an index only; put all parts together with 'dataspace audit join'")
        own = (self._claim,) if self._claim is not None and self._claim.block == self._tip.number else ()
        return fold(self.entries(), self.identity, self._tip, (*own, *claims))

    def digest(self, last_block: int | None = None) -> Digest:
        """SHA-256 over identity and rows up to a block, each field with its length before it."""
        running = hashlib.sha256(b"dataspace/audit-index/1\x00")
        running.update(canonical.encode(identity_json(self.identity)))
        for row in self._store.logs(self._end(last_block)):
            fields = (
                row.contract.encode(),
                row.event.encode(),
                _number(row.block_number),
                _number(row.log_index),
                row.block_hash.encode(),
                _number(row.time),
                row.transaction_hash.encode(),
                row.topics,
                row.data,
                row.body.encode(),
            )
            for field in fields:
                running.update(_number(len(field)))
                running.update(field)
        return Digest(running.digest())

    def summary(self) -> Summary:
        """Counts and digest at the tip."""
        if self._tip is None:
            raise StoreError("the index is empty; rebuild it from a chain first")
        return Summary(self._store.count(self._end(None)), self._tip, self.digest())

    def _end(self, last_block: int | None) -> int | None:
        """The last block to read: others may add to what this one saw."""
        if not self._frozen:
            return last_block
        end = -1 if self._tip is None else self._tip.number
        return end if last_block is None else min(end, last_block)


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _log(row: LogRow, address: Address) -> RawLog:
    return RawLog(
        address=address,
        topics=tuple(row.topics[at : at + 32] for at in range(0, len(row.topics), 32)),
        data=row.data,
        block_number=row.block_number,
        block_hash=Digest.parse(row.block_hash),
        transaction_hash=Digest.parse(row.transaction_hash),
        log_index=row.log_index,
    )


def _text(value: Json) -> str:
    return canonical.encode(value).decode()


def _value(text: str) -> Json:
    return canonical.decode(text.encode())
