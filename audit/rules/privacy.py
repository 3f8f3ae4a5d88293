"""Rules over privacy budgets: what receipts say was spent, against the policies that their uses pin."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from audit.findings import Finding, Subject, found
from audit.papers import Papers, Policy
from audit.picture import Closing, State, Use
from capsule.errors import PolicyError
from capsule.ids import Address, AssetId
from capsule.policy.compiler import RuntimeChecks, compile_policy
from capsule.privacy import NO_EPSILON, Epsilon
from capsule.receipt import SignedReceipt

__all__ = ["epsilon_exceeded"]


@dataclass(frozen=True, slots=True)
class _Spending:
    """One use's part of what a buyer was told, as its receipt and its policy have it."""

    use: Use
    completed: bool
    epsilon: Epsilon
    checks: RuntimeChecks


def epsilon_exceeded(state: State, papers: Papers) -> Iterator[Finding]:
    """What one compute node's receipts say that it spent for one buyer of one asset is within the policy's budgets.

    Each node has a memory of its own, so that nobody answers for what others spent. Uses may close in another order
    than they ran in: their sum is held against the widest of their budgets, which the last of them was within.
    """
    told: dict[tuple[Address, Address, AssetId], list[_Spending]] = defaultdict(list)
    for one in _spendings(state, papers):
        if (one.checks.epsilon_per_use, one.checks.epsilon_per_buyer) == (None, None):
            continue
        limit = one.checks.epsilon_per_use
        if one.completed and one.epsilon == NO_EPSILON:
            yield _found(one, one.epsilon, "above 0")
        elif limit is not None and one.epsilon > limit:
            yield _found(one, one.epsilon, str(limit))
        grant = state.grants.get(one.use.grant)
        if grant is not None and one.checks.epsilon_per_buyer is not None:
            told[one.use.order.compute_node, grant.buyer, one.use.pin.asset].append(one)
    for spendings in told.values():
        limits = [one.checks.epsilon_per_buyer for one in spendings if one.checks.epsilon_per_buyer is not None]
        total = sum((one.epsilon for one in spendings), NO_EPSILON)
        if total > max(limits):
            yield _found(spendings[-1], total, str(max(limits)))


def _found(one: _Spending, spent: Epsilon, limit: str) -> Finding:
    return found(
        "epsilon-exceeded",
        Subject("use", str(one.use.id)),
        one.use.order.compute_node,
        compute_node=one.use.order.compute_node,
        spent=str(spent),
        limit=limit,
    )


def _spendings(state: State, papers: Papers) -> Iterator[_Spending]:
    for use in state.uses.values():
        closing = use.closing
        version = state.version(use.pin.asset, use.pin.version)
        if version is None or not isinstance(closing, Closing) or not any(closing.receipt_hash) or closing.accuses:
            continue
        paper, policy = papers.receipt(use, closing), papers.policy(version)
        if not isinstance(paper, SignedReceipt) or not isinstance(policy, Policy):
            continue
        try:
            checks = compile_policy(policy.document).runtime
        except PolicyError:
            continue
        yield _Spending(use, closing.completed, paper.receipt.epsilon or NO_EPSILON, checks)
