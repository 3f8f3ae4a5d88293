"""Rules over what came out: receipts and capsules against the ledger."""

from __future__ import annotations

from collections.abc import Iterator

from audit.findings import Finding, Subject, found
from audit.papers import Odd, Papers, Policy
from audit.picture import Closing, State, Use
from audit.rules.participants import signing_key_at
from capsule.attestation import Level, is_met
from capsule.errors import CapsuleError, PolicyError
from capsule.policy.compiler import compile_policy
from capsule.receipt import (
    FAILURES,
    GUARD_PASSED,
    GUARD_REFUSED,
    NO_OUTPUT,
    Receipt,
    SignedReceipt,
    SourceVerdict,
    verify_receipt,
)

__all__ = [
    "attestation_not_met",
    "capsule_root_mismatch",
    "failure_stated",
    "receipt_content_mismatch",
    "receipt_hash_mismatch",
    "receipt_signature_invalid",
]


def receipt_hash_mismatch(state: State, papers: Papers) -> Iterator[Finding]:
    """The receipt that is served is the one that the closing names."""
    for use, closing in _with_receipt(state):
        paper = papers.receipt(use, closing)
        if isinstance(paper, Odd):
            yield found(
                "receipt-hash-mismatch",
                Subject("use", str(use.id)),
                use.order.compute_node,
                reason=paper.reason,
                stated=closing.receipt_hash,
            )


def receipt_signature_invalid(state: State, papers: Papers) -> Iterator[Finding]:
    """A receipt is signed by the key that its compute node had when the chain fixed the receipt's hash."""
    for use, closing in _with_receipt(state):
        paper = papers.receipt(use, closing)
        if isinstance(paper, SignedReceipt):
            reason = _signature_reason(state, use, closing, paper)
            if reason:
                yield found(
                    "receipt-signature-invalid",
                    Subject("use", str(use.id)),
                    use.order.compute_node,
                    compute_node=use.order.compute_node,
                    reason=reason,
                    receipt=closing.receipt_hash,
                )


def failure_stated(state: State, use: Use, closing: Closing, signed: SignedReceipt) -> bool:
    """Whether a receipt is the compute node's true word that this use failed for the reason on chain."""
    uses = _by_order(state)[use.order_hash]
    return not (_signature_reason(state, use, closing, signed) or _differing(state, uses, closing, signed.receipt))


def _signature_reason(state: State, use: Use, closing: Closing, signed: SignedReceipt) -> str:
    try:
        key = signing_key_at(state, use.order.compute_node, closing.place)
        verify_receipt(signed, key, state.identity.domain)
    except CapsuleError as exc:
        return str(exc)
    return ""


def receipt_content_mismatch(state: State, papers: Papers) -> Iterator[Finding]:
    """A receipt states the order, uses, grants, capsules, algorithm and rows that the ledger knows."""
    by_order = _by_order(state)
    for use, closing in _with_receipt(state):
        paper = papers.receipt(use, closing)
        if isinstance(paper, SignedReceipt):
            fields = _differing(state, by_order[use.order_hash], closing, paper.receipt)
            if fields:
                yield found(
                    "receipt-content-mismatch",
                    Subject("use", str(use.id)),
                    use.order.compute_node,
                    fields=", ".join(fields),
                    receipt=closing.receipt_hash,
                )


def attestation_not_met(state: State, papers: Papers) -> Iterator[Finding]:
    """A completed use ran at a level that its policy takes, as its receipt states the level."""
    for use, closing in _with_receipt(state):
        version = state.version(use.pin.asset, use.pin.version)
        paper = papers.receipt(use, closing)
        policy = None if version is None else papers.policy(version)
        if not closing.completed or not isinstance(paper, SignedReceipt) or not isinstance(policy, Policy):
            continue
        try:
            allowed = compile_policy(policy.document).holder.attestation
        except PolicyError:
            continue
        if not is_met(Level(paper.receipt.level), allowed):
            yield found(
                "attestation-not-met",
                Subject("use", str(use.id)),
                use.order.compute_node,
                level=paper.receipt.level,
                allowed=", ".join(allowed),
            )


def _differing(state: State, uses: list[Use], closing: Closing, receipt: Receipt) -> list[str]:
    order = uses[0].order
    grants = [state.grants.get(use.grant) for use in uses]
    stated: dict[str, tuple[object, object]] = {
        "order_hash": (receipt.order_hash, uses[0].order_hash),
        "uses": (receipt.uses, tuple(use.id for use in uses)),
        "grants": (receipt.grants, order.grants),
        "agreements": (receipt.agreements, tuple(grant.agreement_hash for grant in grants if grant is not None)),
        "capsule_roots": (receipt.capsule_roots, tuple(use.pin.capsule_root for use in uses)),
        "algorithm": (receipt.algorithm, order.algorithm),
        "parameters": (receipt.parameters, order.parameters),
        "compute_node": (receipt.compute_node, order.compute_node),
        "measurement": (receipt.measurement, uses[0].measurement),
        "rows_out": (receipt.rows_out, closing.rows_out),
        "guard": (receipt.guard, GUARD_PASSED),
    }
    if not closing.completed:
        stated["guard"] = (receipt.guard, GUARD_REFUSED)
        stated["output"] = (receipt.output, NO_OUTPUT)
        stated["rows_in"] = (receipt.rows_in, 0)
        stated["source"] = (receipt.source, SourceVerdict("declared"))
        stated["failure"] = (receipt.failure, FAILURES.get(closing.reason))
    return [name for name, (said, known) in stated.items() if said != known]


def capsule_root_mismatch(state: State, papers: Papers) -> Iterator[Finding]:
    """A capsule file that its provider serves has the published root and size, and names its asset and policy."""
    for asset in state.assets.values():
        for version in asset.versions:
            paper = papers.capsule(asset, version)
            if isinstance(paper, Odd):
                yield found(
                    "capsule-root-mismatch",
                    Subject("asset", str(asset.id)),
                    asset.provider,
                    version=version.number,
                    reason=paper.reason,
                    capsule_root=version.capsule_root,
                )


def _by_order(state: State) -> dict[bytes, list[Use]]:
    by_order: dict[bytes, list[Use]] = {}
    for use in sorted(state.uses.values(), key=lambda use: use.place):
        by_order.setdefault(use.order_hash, []).append(use)
    return by_order


def _with_receipt(state: State) -> Iterator[tuple[Use, Closing]]:
    """Uses whose close names a receipt: of the completed run, or of the failure."""
    for use in state.uses.values():
        closing = use.closing
        if closing is not None and any(closing.receipt_hash) and not closing.accuses:
            yield use, closing
