"""Rules over the record itself: are all events there, and are they those that chain and checkpoints fixed?"""

from __future__ import annotations

from collections.abc import Iterator

from audit.entries import Claim
from audit.findings import Finding, Subject, found
from audit.papers import Papers
from audit.picture import State

__all__ = ["checkpoint_behind", "checkpoint_mismatch", "event_unmatched", "heads_mismatch", "seq_gap"]


def seq_gap(state: State, papers: Papers) -> Iterator[Finding]:
    """`seq` counts without gaps up to what the endpoint itself gives as the number of events."""
    for name, running in state.running.items():
        contract = Subject("contract", name)
        own = [gap for gap in running.breaks if gap.subject is None]
        for gap in own:
            yield found("seq-gap", contract, contract=name, first=gap.first, last=gap.last, what=gap.what)
        if own:
            continue
        for gap in running.breaks:
            part = f"{name} about {gap.subject}"
            yield found("seq-gap", contract, contract=part, first=gap.first, last=gap.last, what=gap.what)
        for claim, (_, seq) in _claims(state, name, "endpoint"):
            seen = running.at[claim.block].seq
            if seq > seen:
                yield found("seq-gap", contract, contract=name, first=seen + 1, last=seq, what="missing")


def heads_mismatch(state: State, papers: Papers) -> Iterator[Finding]:
    """The events re-hash to the heads that the contracts keep (ISequenced)."""
    for name, running in state.running.items():
        if running.breaks:
            continue
        for claim, (head, seq) in _claims(state, name, "endpoint"):
            mark = running.at[claim.block]
            if seq <= mark.seq and (head, seq) != (mark.head, mark.seq):
                yield found(
                    "heads-mismatch",
                    Subject("contract", name),
                    contract=name,
                    computed=mark.head,
                    events=mark.seq,
                    source=claim.source,
                    claimed=head,
                    seq=seq,
                    block=claim.block,
                )


def checkpoint_behind(state: State, papers: Papers) -> Iterator[Finding]:
    """An endpoint that hides the newest blocks is found by a checkpoint that has seen them."""
    for claim in state.claims:
        if claim.source == "checkpoint" and claim.block > state.tip.number:
            yield found(
                "checkpoint-behind",
                Subject("ledger", str(state.identity.domain.directory)),
                served=state.tip.number,
                checkpoint=claim.block,
                block_hash=claim.block_hash,
            )


def checkpoint_mismatch(state: State, papers: Papers) -> Iterator[Finding]:
    """What participants signed for a block is what the index has for it."""
    for claim in state.claims:
        if claim.source != "checkpoint" or claim.block > state.tip.number:
            continue
        if claim.block == state.tip.number and claim.block_hash != state.tip.hash:
            ledger = Subject("ledger", str(state.identity.domain.directory))
            yield found(
                "checkpoint-mismatch",
                ledger,
                contract="block hash",
                block=claim.block,
                expected=claim.block_hash,
                computed=state.tip.hash,
            )
        for name, running in state.running.items():
            if running.breaks:
                continue
            mark = running.at[claim.block]
            head, seq = claim.heads.get(name, (None, 0))
            places = claim.places.get(name, mark.places)
            if (head, seq, places) != (mark.head, mark.seq, mark.places):
                yield found(
                    "checkpoint-mismatch",
                    Subject("contract", name),
                    contract=name,
                    block=claim.block,
                    expected=f"{head} over {seq} events at {places}",
                    computed=f"{mark.head} over {mark.seq} events at {mark.places}",
                )


def event_unmatched(state: State, papers: Papers) -> Iterator[Finding]:
    """An event speaks of an organisation, asset, deal, request, grant, use or device that events made before."""
    for orphan in state.orphans:
        yield found(
            "event-unmatched",
            Subject(orphan.kind, orphan.id),
            event=orphan.event,
            missing=f"{orphan.kind} {orphan.id}",
            block=orphan.place.block,
            transaction=orphan.place.transaction,
        )


def _claims(state: State, contract: str, source: str) -> Iterator[tuple[Claim, tuple[bytes, int]]]:
    for claim in state.claims:
        if claim.source == source and contract in claim.heads and claim.block <= state.tip.number:
            yield claim, claim.heads[contract]
