"""Rules over re-executions: a regulator repeated a use, and its receipt contradicts the first one."""

from __future__ import annotations

from collections.abc import Iterator

from audit.findings import Finding
from audit.papers import Papers
from audit.picture import Closing, State, Use
from audit.reexecution import Outcome, compare, not_reproduced
from audit.rules.participants import signing_key_at
from capsule.algorithm import Algorithm
from capsule.errors import CapsuleError
from capsule.ids import Digest
from capsule.receipt import Receipt, SignedReceipt, verify_receipt
from contracts.roles import Role

__all__ = ["result_not_reproduced"]


def result_not_reproduced(state: State, papers: Papers) -> Iterator[Finding]:
    """A receipt says what a regulator's re-execution of its use gave. Nobody else's re-execution counts."""
    runs = _by_receipt(state)
    for use, closing in [one for told in runs.values() for one in told]:
        paper = papers.receipt(use, closing)
        if not isinstance(paper, SignedReceipt) or paper.receipt.reexecutes is None:
            continue
        repeated = _receipt(state, papers, use, closing)
        # one receipt stands for all uses of its order
        if repeated is None or use.id != repeated.uses[0]:
            continue
        regulator, algorithm = state.participants.get(repeated.compute_node), papers.algorithm(use)
        if regulator is None or not regulator.is_active(closing.place, Role.REGULATOR):
            continue
        originals = [_receipt(state, papers, *one) for one in runs.get(paper.receipt.reexecutes, [])]
        original = next((one for one in originals if one is not None), None)
        if original is None or not isinstance(algorithm, Algorithm):
            continue
        try:
            comparison = compare(original, repeated, algorithm)
        except CapsuleError:
            continue  # it repeats something else than it says
        if comparison.outcome is Outcome.NOT_REPRODUCED:
            yield not_reproduced(comparison, original.uses[0])


def _by_receipt(state: State) -> dict[Digest, list[tuple[Use, Closing]]]:
    """Completed uses by the receipt that they name: who names another's hides nothing."""
    runs: dict[Digest, list[tuple[Use, Closing]]] = {}
    for use in state.uses.values():
        if use.closing is not None and use.closing.completed:
            runs.setdefault(use.closing.receipt_hash, []).append((use, use.closing))
    return runs


def _receipt(state: State, papers: Papers, use: Use, closing: Closing) -> Receipt | None:
    """The receipt of a completed use under its compute node's key; what is wrong with one has rules of its own."""
    signed = papers.receipt(use, closing)
    if not isinstance(signed, SignedReceipt) or signed.receipt.compute_node != use.order.compute_node:
        return None
    try:
        key = signing_key_at(state, use.order.compute_node, closing.place)
        return verify_receipt(signed, key, state.identity.domain)
    except CapsuleError:
        return None
