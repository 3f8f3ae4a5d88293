"""Documents as the rules see them: read once, held against the digest that names them on chain, typed.

A paper is the value, or `Absent` (nobody served it), or `Odd` (what was served is something else, with the reason).
Rules judge only what is there and right; that something is absent or odd is a finding of its own.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol, TypeVar, cast

from audit.device_statement import DeviceStatement
from audit.documents import Documents, Reference
from audit.picture import Anchor, Asset, Closing, Decision, Device, Grant, LogHead, Opening, State, Use, Version
from audit.picture import Deal as LedgerDeal
from capsule import canonical
from capsule.accusation import Accusation
from capsule.agreement import Agreement, Signatures
from capsule.algorithm import Algorithm
from capsule.batch import Batch, BatchDocument, verify_batch
from capsule.canonical import Json
from capsule.deal import Deal
from capsule.decision import SignedDecision
from capsule.digest import document_digest
from capsule.errors import CapsuleError, VerificationError
from capsule.excerpt import Excerpt, excerpt_of, verify_excerpt
from capsule.header import Header
from capsule.ids import Address, Bytes32, Digest
from capsule.opening import verify as verify_capsule
from capsule.oplog import EMPTY_HEAD, LogEntry, LogSegment, verify_head, verify_segment
from capsule.oplog import LogHead as Head
from capsule.receipt import SignedReceipt
from capsule.shred import SignedShred, shred_name, verify_shred
from capsule.signature import PublicKey

__all__ = ["Absent", "Odd", "Papers", "Patience", "Policy", "Segment"]


class _Digested(Protocol):
    @property
    def hash(self) -> Digest: ...


_T = TypeVar("_T")
_D = TypeVar("_D", bound=_Digested)
# Too large to carry along; what matters of a capsule stands in its header, which is kept as an excerpt.
_NOT_KEPT: Final = frozenset({"capsule"})
# Nobody must have one: it is there where somebody accuses, shredded, or bundled what it had read.
_NOT_OWED: Final = frozenset({"opening-accusation", "shred-statement", "capsule-header", "device-statement"})


@dataclass(frozen=True, slots=True)
class Absent:
    """Nobody who must have it serves it."""


@dataclass(frozen=True, slots=True)
class Odd:
    """What is served under this name is something else."""

    reason: str


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy document with the digest that its version names; whether it compiles is for a rule to say."""

    document: Json


@dataclass(frozen=True, slots=True)
class Patience:
    """How long others may take, in seconds of chain time.

    `document`: to serve a document after the event that names it; `anchor`: to anchor a frame after signing for it;
    `log`: to anchor a head of the operation log that contains what was done, and to do what was logged.
    """

    document: int = 0
    anchor: int = 3600
    log: int = 3600


@dataclass(frozen=True, slots=True)
class Segment:
    """What was logged between two anchored heads: the entries, and the root at every size from head to head."""

    entries: tuple[LogEntry, ...]
    roots: tuple[Digest, ...]


class Papers:
    """All papers of one ledger. Every document is fetched at most once."""

    def __init__(self, state: State, documents: Documents, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self._state = state
        self._documents = documents
        self._asked: dict[tuple[str, Bytes32], Reference] = {}
        self._contents: dict[tuple[str, Bytes32], bytes | None] = {}
        self._read: dict[tuple[str, Bytes32, object], object] = {}
        self._excerpts: dict[tuple[str, Bytes32], bytes] = {}

    @property
    def served(self) -> Mapping[tuple[str, Bytes32], bytes]:
        """What was asked for, served, and what it says it is; by kind and name, of capsule files their headers."""
        right = {(kind, key) for (kind, key, _), paper in self._read.items() if not isinstance(paper, Absent | Odd)}
        contents = {name: content for name, content in self._contents.items() if content is not None and name in right}
        return MappingProxyType({**self._excerpts, **contents})

    @property
    def absent(self) -> tuple[Reference, ...]:
        """What was asked for, must be had by somebody, and was not served, or was something else."""
        served = self.served
        return tuple(
            reference
            for name, reference in self._asked.items()
            if name not in served and reference.kind not in _NOT_OWED
        )

    def policy(self, version: Version) -> Policy | Absent | Odd:
        def read(data: bytes) -> Policy:
            document = _json(data)
            _same(document_digest("policy", document), version.policy_hash)
            return Policy(document)

        return self._paper(self.policy_reference(version), read)

    def deal(self, deal: LedgerDeal) -> Deal | Absent | Odd:
        return self._paper(self.deal_reference(deal), lambda data: _digested(Deal.from_json(_json(data)), deal.hash))

    def agreement(self, grant: Grant) -> Agreement | Absent | Odd:
        return self._paper(
            self.agreement_reference(grant),
            lambda data: _digested(Agreement.from_json(_json(data)), grant.agreement_hash),
        )

    def signatures(self, grant: Grant) -> Signatures | Absent | Odd:
        """Both sides' signatures of a grant's agreement, which a rule is yet to verify."""

        def read(data: bytes) -> Signatures:
            signatures = Signatures.from_json(_json(data))
            _same(signatures.agreement, grant.agreement_hash)
            return signatures

        return self._paper(self.signatures_reference(grant), read)

    def receipt(self, use: Use, closing: Closing) -> SignedReceipt | Absent | Odd:
        def read(data: bytes) -> SignedReceipt:
            signed = SignedReceipt.from_json(_json(data))
            _same(signed.receipt.hash, closing.receipt_hash)
            return signed

        return self._paper(self.receipt_reference(use, closing), read)

    def algorithm(self, use: Use) -> Algorithm | Absent | Odd:
        return self._paper(
            self.algorithm_reference(use),
            lambda data: _digested(Algorithm.from_json(_json(data)), use.order.algorithm),
        )

    def accusation(self, use: Use, closing: Closing) -> Accusation | Absent | Odd:
        return self._paper(
            self.accusation_reference(use, closing),
            lambda data: _digested(Accusation.from_json(_json(data)), closing.receipt_hash),
        )

    def opening_accusation(self, opening: Opening, release: Decision) -> Accusation | Absent | Odd:
        """What the provider says against a share that it gathered; most often nothing."""

        def read(data: bytes) -> Accusation:
            accusation = Accusation.from_json(_json(data))
            if (bytes(accusation.use), accusation.index) != (bytes(opening.id), release.index):
                raise VerificationError("it is about another release")
            return accusation

        return self._paper(
            Reference("opening-accusation", release.decision_hash, self._provider(opening.asset)), read, opening.id
        )

    def decision(self, decision: Decision) -> SignedDecision | Absent | Odd:
        def read(data: bytes) -> SignedDecision:
            signed = SignedDecision.from_json(_json(data))
            _same(signed.decision.hash, decision.decision_hash)
            return signed

        return self._paper(self.decision_reference(decision), read)

    def batch(self, anchor: Anchor) -> BatchDocument | Absent | Odd:
        anchored = Batch(
            gateway=anchor.gateway,
            number=anchor.batch.number,
            predecessor=anchor.batch.predecessor,
            frames_root=anchor.batch.frames_root,
            index_root=anchor.batch.index_root,
            incidents_root=anchor.batch.incidents_root,
            size=anchor.batch.size,
        )
        return self._paper(
            self.batch_reference(anchor), lambda data: verify_batch(BatchDocument.from_bytes(data), anchored), anchored
        )

    def capsule(self, asset: Asset, version: Version) -> Header | Absent | Odd:
        """The header of a version's capsule: from the whole file, or from an excerpt where nobody serves the file."""
        domain = self._state.identity.domain

        def read(data: bytes) -> Header:
            verified = verify_capsule(io.BytesIO(data), root=version.capsule_root, domain=domain)
            excerpt = excerpt_of(data, verified.leaves)
            header = published(excerpt)
            self._excerpts["capsule-header", version.capsule_root] = canonical.encode(excerpt.to_json())
            return header

        def published(excerpt: Excerpt) -> Header:
            header, size = excerpt.header, excerpt.layout.size
            if size != version.capsule_size:
                raise VerificationError(f"it has {size} bytes, published are {version.capsule_size}")
            told = (header.asset, header.policy_hash, header.provider)
            if told != (asset.id, version.policy_hash, asset.provider):
                raise VerificationError("its header names another asset, policy or provider")
            return header

        against = (asset.id, version.number)
        whole = self._paper(self.capsule_reference(asset, version), read, against)
        if not isinstance(whole, Absent):
            return whole
        return self._paper(
            Reference("capsule-header", version.capsule_root, (asset.provider,)),
            lambda data: published(verify_excerpt(Excerpt.from_json(_json(data)), version.capsule_root)),
            against,
        )

    def shred(self, deal: LedgerDeal, holder: Address) -> SignedShred | Absent | Odd:
        """A holder's statement that it destroyed its part of a deal, under the signing key that it has now.

        Nothing on chain fixes when it was signed, so that a key which was replaced since counts for nothing (DESIGN 3).
        """

        def read(data: bytes) -> SignedShred:
            signed = SignedShred.from_json(_json(data))
            who = self._state.participants.get(holder)
            if who is None or not who.keys:
                raise VerificationError("its holder had no signing key")
            key, stated = who.keys[-1], signed.statement
            verify_shred(signed, PublicKey(key.suite, key.signing_key), self._state.identity.domain)
            if key.distrusted_from and stated.time >= key.distrusted_from:
                raise VerificationError("its holder's key is distrusted by then")
            if (stated.deal, stated.holder) != (deal.hash, holder):
                raise VerificationError("it is of another deal or holder")
            return signed

        name = shred_name(deal.hash, holder)
        return self._paper(Reference("shred-statement", name, (holder,), served_as=deal.hash), read)

    def statement(self, device: Device) -> DeviceStatement | Absent | Odd:
        def read(data: bytes) -> DeviceStatement:
            statement = DeviceStatement.from_json(_json(data))
            _same(statement.device, device.id)
            return statement

        return self._paper(Reference("device-statement", device.id, (device.owner,)), read)

    def log_segment(self, before: LogHead | None, head: LogHead) -> Segment | Absent | Odd:
        """What an account's anchored head adds to the head before, None for the log's first."""

        def read(data: bytes) -> Segment:
            segment = LogSegment.from_json(_json(data))
            earlier = EMPTY_HEAD if before is None else Head(before.size, before.root)
            later = Head(head.size, head.root)
            roots = verify_segment(segment, head.account, earlier, later)
            # the anchored root does not cover the note, its signature does
            who = self._state.participants.get(head.account)
            keys = None if who is None else who.keys_at(head.place)
            if keys is None:
                raise VerificationError("its owner had no signing key")
            key = PublicKey(keys.suite, keys.signing_key)
            if verify_head(segment.note, head.account, key, self._state.identity.domain) != later:
                raise VerificationError("its signed note is of another head")
            return Segment(segment.entries, roots)

        return self._paper(Reference("log-segment", head.root, (head.account,)), read, (before, head))

    # Who must have what

    def policy_reference(self, version: Version) -> Reference:
        holders = version.deals[-1].holders if version.deals else ()
        return Reference("policy", version.policy_hash, self._provider(version.asset) + holders[1:])

    def deal_reference(self, deal: LedgerDeal) -> Reference:
        return Reference("deal", deal.hash, deal.holders)

    def agreement_reference(self, grant: Grant) -> Reference:
        return Reference("agreement", grant.agreement_hash, (*self._provider(grant.asset), grant.buyer))

    def signatures_reference(self, grant: Grant) -> Reference:
        """Who gave the grant must show them: its provider, or its buyer where the terms granted by themselves."""
        owners = (*self._provider(grant.asset), grant.buyer)
        return Reference("agreement-signatures", grant.agreement_hash, owners[::-1] if grant.automatic else owners)

    def receipt_reference(self, use: Use, closing: Closing) -> Reference:
        grant = self._state.grants.get(use.grant)
        buyer = (grant.buyer,) if grant is not None and closing.completed else ()
        return Reference("receipt", closing.receipt_hash, (use.order.compute_node, *buyer))

    def algorithm_reference(self, use: Use) -> Reference:
        grant = self._state.grants.get(use.grant)
        buyer = () if grant is None else (grant.buyer,)
        return Reference("algorithm", use.order.algorithm, (use.order.compute_node, *buyer))

    def accusation_reference(self, use: Use, closing: Closing) -> Reference:
        return Reference("accusation", closing.receipt_hash, (use.order.compute_node,))

    def decision_reference(self, decision: Decision) -> Reference:
        return Reference("decision", decision.decision_hash, (decision.holder,))

    def batch_reference(self, anchor: Anchor) -> Reference:
        return Reference("batch", anchor.batch.frames_root, (anchor.gateway,))

    def capsule_reference(self, asset: Asset, version: Version) -> Reference:
        return Reference("capsule", version.capsule_root, (asset.provider,))

    def _provider(self, asset: Bytes32) -> tuple[Address, ...]:
        known = self._state.assets.get(asset)  # type: ignore[call-overload]
        return () if known is None else (known.provider,)

    def _paper(self, reference: Reference, read: Callable[[bytes], _T], against: object = None) -> _T | Absent | Odd:
        """The paper that `reference` names, read once for each thing that it is held `against`."""
        name = (reference.kind, reference.key, against)
        if name not in self._read:
            self._read[name] = self._fetched(reference, read)
        return cast("_T | Absent | Odd", self._read[name])

    def _fetched(self, reference: Reference, read: Callable[[bytes], _T]) -> _T | Absent | Odd:
        name = (reference.kind, reference.key)
        if reference.kind in _NOT_KEPT:
            data = self._documents.fetch(reference)
        else:
            if name not in self._contents:
                self._asked[name] = reference
                self._contents[name] = self._documents.fetch(reference)
            data = self._contents[name]
        if data is None:
            return Absent()
        try:
            return read(data)
        except CapsuleError as exc:
            return Odd(str(exc))


def _json(data: bytes) -> Json:
    return canonical.decode(data)


def _digested(value: _D, stated: Bytes32) -> _D:
    _same(value.hash, stated)
    return value


def _same(computed: Bytes32, stated: Bytes32) -> None:
    if computed != stated:
        raise VerificationError("it has another digest", f"computed {computed}, on chain {stated}")
