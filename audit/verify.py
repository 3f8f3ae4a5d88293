"""All rules over an index and the documents behind it: the report of an audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from audit.documents import Documents
from audit.entries import Identity, misnamed
from audit.findings import Finding
from audit.index import Index, Summary
from audit.notation import identity_json, tip_json
from audit.papers import Papers, Patience
from audit.picture import State
from audit.proof import HeadsProof, heads_of
from audit.rulebook import CHECKS, RECORD_RULES, apply
from audit.seals import verify_header
from audit.trust import Trust, claim_of, verify_signed
from capsule.canonical import Json
from capsule.checkpoint import Checkpoint, SignedCheckpoint
from contracts.errors import ChainIntegrityError
from contracts.headers import Sealed

__all__ = ["Completeness", "Report", "verify"]

Completeness = Literal["proven", "checkpoint", "unproven"]


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit found.

    `completeness` says on what the claim rests that no event is missing, up to block `complete_to`: `proven` under a
    trusted header, a signed `checkpoint`, or `unproven` (the endpoint's word), and `reason` why. `tentative` findings
    may be consequences of a broken record. `documents` counts what was served.
    """

    identity: Identity
    summary: Summary
    completeness: Completeness
    complete_to: int | None
    reason: str
    rules: tuple[str, ...]
    documents: int
    findings: tuple[Finding, ...]
    tentative: tuple[Finding, ...]

    def to_json(self) -> dict[str, Json]:
        """For `--json`."""
        return {
            "ledger": identity_json(self.identity),
            "tip": tip_json(self.summary.tip),
            "events": self.summary.events,
            "digest": str(self.summary.digest),
            "completeness": self.completeness,
            "complete_to": self.complete_to,
            "reason": self.reason,
            "rules": list(self.rules),
            "documents": self.documents,
            "findings": [finding.to_json() for finding in self.findings],
            "tentative": [finding.to_json() for finding in self.tentative],
        }


def verify(
    index: Index,
    documents: Documents,
    *,
    checkpoint: SignedCheckpoint | None = None,
    trust: Trust | None = None,
    patience: Patience | None = None,
) -> Report:
    """Applies every rule.

    `checkpoint` counts only when keys of `trust` signed it; VerificationError when they did not. StoreError for an
    index that is empty or was changed.
    """
    # 1. The checkpoint, under the keys that the caller trusts.
    signed = None if checkpoint is None or trust is None else verify_signed(checkpoint, trust)
    # 2. The events, read again from the raw logs; beside the checkpoint, the heads that the chain proves.
    proof = index.proof
    claims = (*(() if signed is None else (claim_of(signed),)), *(() if proof is None else (heads_of(proof),)))
    state = index.state(*claims)
    # 3. The rules, over events and documents.
    papers = Papers(state, documents, patience)
    findings, tentative = apply(state, papers)
    # 4. What the claim of completeness rests on.
    sealed, why_not = _sealed(index, state, proof, trust)
    completeness, complete_to, reason = _completeness(state, signed, checkpoint is not None, findings, sealed, why_not)
    return Report(
        identity=state.identity,
        summary=index.summary(),
        completeness=completeness,
        complete_to=complete_to,
        reason=reason,
        rules=tuple(CHECKS),
        documents=len(papers.served),
        findings=findings,
        tentative=tentative,
    )


def _completeness(
    state: State,
    signed: Checkpoint | None,
    offered: bool,
    findings: tuple[Finding, ...],
    sealed: Sealed | None,
    why_not: str,
) -> tuple[Completeness, int | None, str]:
    if any(finding.rule in RECORD_RULES for finding in findings):
        return "unproven", None, "the events do not agree with a checkpoint or the chain's own heads"
    if sealed is not None:
        seals = f"sealed by {len(sealed.sealers)} of {len(sealed.validators)} validators"
        return "proven", state.tip.number, f"all heads proven under the state root of block {state.tip.number}, {seals}"
    if signed is None:
        why = "nobody said whose keys to trust for the checkpoint" if offered else "no signed checkpoint was given"
        return "unproven", None, f"{why_not}{why}; that no event is missing is the endpoint's word"
    later = state.tip.number - signed.block_number
    rest = f"; the {later} blocks after it are the endpoint's word" if later else ""
    return "checkpoint", signed.block_number, f"{why_not}signed checkpoint of block {signed.block_number}{rest}"


def _sealed(index: Index, state: State, proof: HeadsProof | None, trust: Trust | None) -> tuple[Sealed | None, str]:
    """Who sealed the header over the proven heads; or why the validators of T do not make the events proven."""
    if trust is None or trust.validators is None:
        return None, ""
    try:
        if trust.domain != state.identity.domain:
            raise ChainIntegrityError("the trusted validators are those of another ledger")
        if proof is None:
            raise ChainIntegrityError("the chain's node gives no proofs of its state")
        if (proof.header.number, proof.header.hash) != (state.tip.number, state.tip.hash):
            raise ChainIntegrityError("the proven heads are of another block than the index's last")
        wrong = misnamed(index.entries(), state.identity)
        if wrong:
            raise ChainIntegrityError(f"the Directory names other contracts for {', '.join(wrong)}")
        return verify_header(proof.header, (trust.validators.accounts,)), ""
    except ChainIntegrityError as exc:
        return None, f"not proven: {exc}; "
