"""Dealing a key: cut anew for its holders, each part committed to, under the terms of the policy.

Each deal draws a provider part, a polynomial and blindings of its own. So where the provider is required, shares of one
deal make nothing with the provider part of another; where it is not, old shares stay good until the capsule is sealed
or rebound under another key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from capsule.deal import BLINDING_SIZE, Deal, DealHolder
from capsule.errors import InputError
from capsule.header import Header
from capsule.ids import Address, Digest
from capsule.key import DataKey, deal_parts, verify_key_commitment
from capsule.share import ShareSecret
from capsule.terms import Terms

__all__ = ["DealPlan", "Dealt", "check_plan", "deal_key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DealPlan:
    """Who gets a part, and where the deal belongs. `custodians` in the order of their indexes, from 1."""

    chain_id: int
    access: Address
    version: int
    number: int
    custodians: tuple[Address, ...]
    threshold: int
    waiting_seconds: int


@dataclass(frozen=True, slots=True)
class Dealt:
    """A deal with the part of every position, 0 the provider's; where that is not required, it is zero bytes."""

    deal: Deal
    secrets: tuple[ShareSecret, ...]


def check_plan(plan: DealPlan, terms: Terms) -> None:
    """Raises InputError when the terms don't allow these custodians or this threshold."""
    if plan.threshold < terms.least_threshold:
        raise InputError(
            f"threshold {plan.threshold} is below the policy's {terms.least_threshold}; deal with a higher"
        )
    outside = next((each for each in plan.custodians if terms.holders and each not in terms.holders), None)
    if outside is not None:
        raise InputError(f"custodian {outside} is not among those that the policy allows; choose one of them")


def deal_key(
    data_key: DataKey,
    header: Header,
    root: Digest,
    plan: DealPlan,
    terms: Terms,
    entropy: Callable[[int], bytes],
) -> Dealt:
    """Cuts the key of the capsule with this header and root for its holders.

    `terms` are those of the policy that the header names: they say whether the provider's part is required. Raises
    VerificationError when the key is not the capsule's, InputError when the plan is outside the terms.
    """
    verify_key_commitment(data_key, header.key_commitment)
    check_plan(plan, terms)
    required = terms.provider_share_required
    parts = deal_parts(data_key, plan.threshold, len(plan.custodians), required, entropy)
    secrets = tuple(
        ShareSecret(index, part, entropy(BLINDING_SIZE))
        for index, part in enumerate((parts.provider_part, *parts.shares))
    )
    deal = Deal(
        chain_id=plan.chain_id,
        access=plan.access,
        asset=header.asset,
        version=plan.version,
        provider=header.provider,
        capsule_id=header.capsule_id,
        capsule_root=root,
        policy_hash=header.policy_hash,
        terms_hash=terms.hash,
        key_commitment=header.key_commitment,
        number=plan.number,
        threshold=plan.threshold,
        provider_required=required,
        waiting_seconds=plan.waiting_seconds,
        holders=tuple(
            DealHolder(account, secret.index, secret.commitment)
            for account, secret in zip((header.provider, *plan.custodians), secrets, strict=True)
        ),
    )
    return Dealt(deal, secrets)
