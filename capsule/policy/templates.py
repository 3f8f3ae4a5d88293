"""Offers that many want to make, by name. Each says which of its terms are enforced and which are only declared.

Invariant: every template compiles; what a template can't have enforced is a declared rule, and its text says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from capsule.canonical import Json
from capsule.ids import Address, AssetId, Digest
from capsule.policy.offer import offer
from capsule.privacy import Epsilon

__all__ = ["TEMPLATES", "Template", "offer_from"]

_DAY: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A common offer. `days` and `uses` are of one grant; groups, rows and `epsilon_per_use` of one result."""

    english: str
    chinese: str
    purposes: tuple[str, ...]
    days: int
    uses: int
    group_size: int
    rows: int
    epsilon_per_use: Epsilon | None = None
    epsilon_per_buyer: Epsilon | None = None
    buyer_roles: tuple[str, ...] = ()
    automatic: bool = False
    prohibited: tuple[str, ...] = ("ds:reidentify",)
    obliged: tuple[str, ...] = ()


TEMPLATES: Final = MappingProxyType(
    {
        "credit-scoring": Template(
            english="Credit scoring only, 30 days, 100 uses, aggregated output; no re-identification (declared).",
            chinese="仅限信用评估，30 天，100 次，仅输出聚合结果；禁止再识别（声明）。",
            purposes=("credit scoring",),
            days=30,
            uses=100,
            group_size=10,
            rows=1_000,
        ),
        "benchmark": Template(
            english="Benchmarking only, 7 days, 10 uses by each buyer, aggregated output; granted without asking.",
            chinese="仅限对标分析，7 天，每个使用方共 10 次，仅输出聚合结果；自动授权。",
            purposes=("benchmark",),
            days=7,
            uses=10,
            group_size=5,
            rows=500,
            automatic=True,
        ),
        "research": Template(
            english="Research only, 180 days, 1,000 uses, aggregated output; the source is named (declared).",
            chinese="仅限科学研究，180 天，1000 次，仅输出聚合结果；须注明来源（声明）。",
            purposes=("research",),
            days=180,
            uses=1_000,
            group_size=10,
            rows=10_000,
            obliged=("attribute",),
        ),
        "statistics": Template(
            english="Statistics with differential privacy only, 365 days, 100 uses; a privacy budget for each buyer.",
            chinese="仅限差分隐私统计，365 天，100 次；每个使用方各有隐私预算。",
            purposes=("statistics",),
            days=365,
            uses=100,
            group_size=1,
            rows=1_000,
            epsilon_per_use=Epsilon.parse("1"),
            epsilon_per_buyer=Epsilon.parse("10"),
        ),
        "trial": Template(
            english="One use within a day to try the data out, aggregated output.",
            chinese="试用一次，一天内有效，仅输出聚合结果。",
            purposes=("trial",),
            days=1,
            uses=1,
            group_size=20,
            rows=100,
        ),
        "supervision": Template(
            english="Supervision by regulators, 365 days, 1,000 uses by each, single rows; granted without asking.",
            chinese="面向监管方：仅限监督检查，365 天，每方共 1000 次，允许明细行；自动授权。",
            purposes=("supervision",),
            days=365,
            uses=1_000,
            group_size=1,
            rows=1_000_000,
            buyer_roles=("regulator",),
            automatic=True,
            prohibited=(),
        ),
    }
)


def offer_from(
    template: Template,
    *,
    asset: AssetId,
    provider: Address,
    algorithms: Sequence[Digest] = (),
    buyers: Sequence[Address] = (),
    not_after: int | None = None,
) -> Json:
    """The template as `provider`'s Offer for `asset`, for these algorithms and buyers where any are given."""
    return offer(
        asset=asset,
        provider=provider,
        not_after=not_after,
        seconds_per_grant=template.days * _DAY,
        uses_per_grant=template.uses,
        purposes=template.purposes,
        buyers=buyers,
        buyer_roles=() if buyers else template.buyer_roles,
        algorithms=algorithms,
        output_rows=template.rows,
        group_size=template.group_size,
        epsilon_per_use=template.epsilon_per_use,
        epsilon_per_buyer=template.epsilon_per_buyer,
        provider_share=True,
        # who grants by itself would grant again and again
        uses_per_buyer=template.uses if template.automatic else None,
        automatic_grant=template.automatic,
        prohibited=template.prohibited,
        obliged=template.obliged,
    )
