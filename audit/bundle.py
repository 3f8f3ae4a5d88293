"""Evidence bundles: all that shows what happened to one subject, in one file, checked without network and database.

The container is canonical JSON (kind "dataspace/bundle", version 1): the ledger's identity, the raw logs of the
contracts involved from their first event on, so that they re-hash to the heads, the chain's own proofs of these heads
and of the subject's events and the signed checkpoint over the heads, where there are such, the documents, and a digest
over all of it. What makes it evidence is T, the validators and keys that whoever checks it trusts from elsewhere;
nothing about trust is taken from the file.

Invariant: nothing in the file goes unchecked. Which contracts it must hold follows from its subject's kind. Logs are
fixed by heads that are proven or signed, their places by receipts under sealed headers or by the checkpoint's places,
documents by the digests on chain; without T by the file's own digest only, and the verdict says `unanchored`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from audit.documents import Documents, MemoryDocuments
from audit.entries import Entry, Identity, Tip
from audit.errors import BundleError, RequestError
from audit.findings import Subject
from audit.index import Index
from audit.ledger_state import fold
from audit.missing import Missing, missing_of
from audit.notation import identity_from_json, identity_json, log_from_json, log_json, tip_from_json, tip_json
from audit.papers import Papers, Patience
from audit.proof import ChainProof, HeadsProof, proof_from_json, proof_json, prove_blocks, prove_heads
from audit.rulebook import apply
from audit.seals import Validators, find_steps
from audit.trail import Trail, subject, trail_of
from audit.trust import claim_of
from capsule import canonical
from capsule.canonical import Json
from capsule.checkpoint import SignedCheckpoint
from capsule.digest import tagged
from capsule.document import Fields, hexed
from capsule.errors import FormatError, InputError
from capsule.ids import Bytes32, Digest
from contracts.decode import EventDecoder
from contracts.errors import ChainIntegrityError
from contracts.events import SequencedEvent
from contracts.ledger import Ledger

__all__ = ["KIND", "MAX_BYTES", "Bundle", "Contents", "bundle", "documents_of", "read_bundle"]

KIND: Final = "dataspace/bundle"
_VERSION: Final = 1
_MAX_LOGS: Final = 10_000_000
_MAX_DOCUMENTS: Final = 1_000_000
MAX_BYTES: Final = 256 * 1024 * 1024
# A member of a true bundle has some 70 bytes; a value in memory takes at least as many.
_BYTES_A_MEMBER: Final = 16
_MEMBERS: Final = 1_000
_ALWAYS: Final = ("Directory", "Participants")
_INVOLVED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "asset": ("Assets", "Access", "Devices", "OperationLog"),
        "request": ("Assets", "Access", "Devices", "OperationLog"),
        "grant": ("Assets", "Access", "Devices", "OperationLog"),
        "use": ("Assets", "Access", "Devices", "OperationLog"),
        "device": ("Devices",),
        "participant": ("Assets", "Access", "Devices", "OperationLog"),
    }
)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a bundle holds, read but not believed. `identity` names the included contracts only."""

    subject: Subject
    identity: Identity
    tip: Tip
    entries: tuple[Entry, ...]
    checkpoint: SignedCheckpoint | None
    documents: Mapping[tuple[str, bytes], bytes]
    proof: ChainProof | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle as its file holds it, and what could not be put into it."""

    content: bytes
    missing: Missing


def bundle(
    index: Index,
    about: Subject,
    documents: Documents,
    *,
    checkpoint: SignedCheckpoint | None = None,
    patience: Patience | None = None,
    ledger: Ledger | None = None,
    validators: Validators | None = None,
) -> Bundle:
    """The bundle of a subject (asset, request, grant, use, device, participant).

    With a checkpoint, up to its block; else up to the index's tip. The chain's proofs come from `ledger`: of the heads
    at that block and of the receipts of the subject's events; `validators` (a pinned set) also asks for headers that
    lead from it to the block's own. Without `ledger` the bundle has the proofs of the heads that the index holds.
    Raises RequestError for a subject that the index does not know, and for a checkpoint past the tip or at a block that
    can't be cut at; ChainRefusedError where the chain's node gives no proofs.
    """
    included = _included(about)
    tip = _end(index, checkpoint)
    identity = Identity(
        index.identity.domain,
        None,  # no event and no checkpoint fixes it
        MappingProxyType({name: index.identity.contracts[name] for name in included}),
    )
    entries = tuple(entry for entry in index.entries(tip.number) if entry.contract in included)
    # The rules ask for exactly the documents that the bundle needs.
    state = fold(entries, identity, tip)
    papers = Papers(state, documents, patience)
    apply(state, papers)
    trail = trail_of(state, entries, about, papers)
    about = trail.subject
    proof = _proof(index, tip, entries, trail, ledger, validators)
    content = _content(
        Contents(
            subject=about,
            identity=identity,
            tip=tip,
            entries=entries,
            checkpoint=checkpoint,
            documents={(kind, bytes(key)): data for (kind, key), data in papers.served.items()},
            proof=None if proof is None else _of(proof, included),
        )
    )
    data = canonical.encode({**content, "digest": str(_digest(content))})
    if len(data) > MAX_BYTES:
        raise RequestError(f"the bundle would have {len(data)} bytes, where a check takes at most {MAX_BYTES}")
    return Bundle(data, missing_of(papers, state.participants))


def _included(about: Subject) -> tuple[str, ...]:
    """The contracts that a bundle of a subject has the events of: these, and no others. Raises RequestError."""
    if about.kind not in _INVOLVED:
        raise RequestError(f"a bundle is of one of {', '.join(_INVOLVED)}, not of a {about.kind}")
    return (*_ALWAYS, *_INVOLVED[about.kind])


def _content(contents: Contents) -> dict[str, Json]:
    """The one way in which contents are written, but for the digest."""
    names = sorted(contents.identity.contracts)
    logs: dict[str, list[Json]] = {name: [] for name in names}
    for entry in contents.entries:
        logs[entry.contract].append(log_json(entry))
    return {
        "kind": KIND,
        "version": _VERSION,
        "subject": {"kind": contents.subject.kind, "id": contents.subject.id},
        "ledger": identity_json(contents.identity),
        "tip": tip_json(contents.tip),
        "checkpoint": None if contents.checkpoint is None else contents.checkpoint.to_json(),
        "logs": logs,
        "proof": None if contents.proof is None else proof_json(contents.proof),
        "documents": [
            {"kind": kind, "key": hexed(key), "content": base64.b64encode(data).decode()}
            for (kind, key), data in sorted(contents.documents.items())
        ],
    }


def _end(index: Index, checkpoint: SignedCheckpoint | None) -> Tip:
    tip = index.tip
    if tip is None:
        raise RequestError("the index is empty; rebuild it from a chain first")
    if checkpoint is None or checkpoint.checkpoint.block_number == tip.number:
        return tip
    number = checkpoint.checkpoint.block_number
    if number > tip.number:
        raise RequestError(f"the checkpoint is of block {number}, the index ends at {tip.number}; rebuild it first")
    time = claim_of(checkpoint.checkpoint).time
    if time is None:
        time = max((entry.time for entry in index.entries(number)), default=0)
    return Tip(number, checkpoint.checkpoint.block_hash, time)


def _proof(
    index: Index,
    tip: Tip,
    entries: tuple[Entry, ...],
    trail: Trail,
    ledger: Ledger | None,
    validators: Validators | None,
) -> ChainProof | None:
    kept = index.proof if index.tip == tip else None
    if ledger is None:
        return None if kept is None else ChainProof(kept)
    heads = kept or prove_heads(ledger, ledger.chain.block(tip.number))
    places = {row.place for row in trail.rows}
    return ChainProof(
        heads,
        () if validators is None else find_steps(ledger.chain, tip.number, validators),
        prove_blocks(ledger, (entry for entry in entries if entry.place in places)),
    )


def _of(proof: ChainProof, included: tuple[str, ...]) -> ChainProof:
    """The same proof with the heads of the included contracts only."""
    contracts = {name: proof.heads.contracts[name] for name in included}
    return replace(proof, heads=HeadsProof(proof.heads.header, MappingProxyType(contracts)))


def _digest(content: Mapping[str, Json]) -> Digest:
    return tagged("bundle", canonical.encode(content))


def read_bundle(data: bytes) -> Contents:
    """Reads a bundle whose own digest holds, and that holds nothing but what is read. Raises BundleError."""
    _check_size(data)
    try:
        document = canonical.decode(data)
        fields = Fields.of(document, KIND, _VERSION)
        if not isinstance(document, dict) or canonical.encode(document) != data:
            raise BundleError("the bundle is not written canonically, so it is not as it was made")
        stated = fields.id("digest", Digest)
        computed = _digest({name: value for name, value in document.items() if name != "digest"})
        if computed != stated:
            raise BundleError(f"the bundle was changed: it hashes to {computed}, not to its digest {stated}")
        named = fields.object("subject")
        about = subject(named.text("kind"), named.text("id"))
        identity = identity_from_json(fields.value("ledger"))
        _check_contracts(about, identity)
        if identity.genesis_hash is not None:
            raise BundleError("the bundle names a block 0, which nothing in it can show")
        checkpoint, proof = fields.value("checkpoint"), fields.value("proof")
        contents = Contents(
            subject=about,
            identity=identity,
            tip=tip_from_json(fields.value("tip")),
            entries=_entries(fields.object("logs"), identity),
            checkpoint=None if checkpoint is None else SignedCheckpoint.from_json(checkpoint),
            documents=MappingProxyType(dict(fields.objects("documents", _MAX_DOCUMENTS, _document))),
            proof=None if proof is None else proof_from_json(proof, identity.contracts),
        )
        # What nobody reads, stands twice or stands elsewhere would be evidence that nobody checked.
        if canonical.encode({**_content(contents), "digest": str(stated)}) != data:
            raise BundleError("the bundle holds more than is read of it, or holds it in another order")
        return contents
    except (FormatError, InputError, ChainIntegrityError, RequestError) as exc:
        raise BundleError(f"the bundle does not read: {exc}") from exc


def _check_size(data: bytes) -> None:
    """Before anything is read: few bytes could stand for much memory."""
    if len(data) > MAX_BYTES:
        raise BundleError(f"the bundle has more than {MAX_BYTES} bytes; a check takes no larger one")
    if data.count(b",") > _MEMBERS + len(data) // _BYTES_A_MEMBER:
        raise BundleError("the bundle is none: it is made of more, and smaller, members than evidence has")


def _check_contracts(about: Subject, identity: Identity) -> None:
    """A contract that is cut out whole leaves no gap in any other: only what must be there shows that it is not."""
    wanted, there = set(_included(about)), set(identity.contracts)
    if missing := sorted(wanted - there):
        raise BundleError(
            f"the bundle was cut: evidence about one {about.kind} needs the events of {', '.join(missing)} too"
        )
    if strange := sorted(there - wanted):
        raise BundleError(f"evidence about one {about.kind} holds no events of {', '.join(strange)}")


def _entries(logs: Fields, identity: Identity) -> tuple[Entry, ...]:
    """The events of all contracts, in chain order."""
    if set(logs.names()) != set(identity.contracts):
        raise BundleError("the bundle's logs are not those of its contracts")
    decoder = EventDecoder({address: name for name, address in identity.contracts.items()})
    entries = []
    for name, address in identity.contracts.items():
        listed = logs.value(name)
        if not isinstance(listed, list) or len(listed) > _MAX_LOGS:
            raise BundleError(f"the bundle's logs of {name} are no list")
        for item in listed:
            log, time = log_from_json(item, address)
            event = decoder.decode(log)
            if not isinstance(event, SequencedEvent):
                raise BundleError(f"the bundle has a log of {name} that is none of its events")
            entries.append(Entry(name, event, time))
    return tuple(sorted(entries, key=lambda entry: (entry.event.log.block_number, entry.event.log.log_index)))


def _document(fields: Fields) -> tuple[tuple[str, bytes], bytes]:
    text = fields.value("content")
    try:
        content = base64.b64decode(text if isinstance(text, str) else "?", validate=True)
    except ValueError as exc:
        raise FormatError("a document is not base64") from exc
    return (fields.text("kind"), bytes(fields.id("key", Bytes32))), content


def documents_of(contents: Contents) -> MemoryDocuments:
    """The documents inside, as a source for the rules."""
    return MemoryDocuments(contents.documents)
