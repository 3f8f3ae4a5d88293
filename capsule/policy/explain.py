"""Why a policy does, or does not, allow an access: one verdict for each of its terms, in English and Chinese.

For people. What is enforced is enforced by the chain, the holders and the runtime from the same compiled policy. A
fact that is not known yet makes its term `unknown`, never `allowed`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from capsule.attestation import Level, is_met
from capsule.ids import Address, Digest
from capsule.policy.compiler import Compiled
from capsule.policy.vocabulary import OPERANDS, Label
from capsule.privacy import NO_EPSILON, Epsilon
from capsule.terms import UNLIMITED_U64

__all__ = ["AccessFacts", "Outcome", "TermVerdict", "explain"]


class Outcome(StrEnum):
    """UNKNOWN: its fact is not there yet. DECLARED: nobody can check it."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    DECLARED = "declared"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessFacts:
    """What is known about an access; None where it is not known yet.

    `time`, `granted_at` and `opened_at` in unix seconds; `automatic`: the terms granted by themselves. The counts are
    of what was spent before this access, `rows_out`, `result_bytes` and `groups_out` of its result. `epsilon` is what
    the answer spends, 0 for one without noise; `buyer_epsilon` what was spent before.
    """

    time: int
    buyer: Address
    buyer_roles: int
    purpose: str | None = None
    algorithm: Digest | None = None
    compute_node: Address | None = None
    granted_at: int | None = None
    automatic: bool | None = None
    opened_at: int | None = None
    grant_uses: int | None = 0
    buyer_uses: int | None = None
    total_uses: int | None = None
    buyer_rows: int | None = None
    custodians: tuple[Address, ...] | None = None
    threshold: int | None = None
    provider_required: bool | None = None
    measurement: Digest | None = None
    attestation: Level | None = None
    rows_out: int | None = None
    smallest_group: int | None = None
    result_bytes: int | None = None
    buyer_groups: int | None = None
    groups_out: int | None = None
    epsilon: Epsilon | None = None
    buyer_epsilon: Epsilon | None = None


@dataclass(frozen=True, slots=True)
class TermVerdict:
    """One term's verdict."""

    term: str
    label: Label
    outcome: Outcome
    english: str
    chinese: str


_Said = tuple[Outcome, str, str]
_IMPLIED: Final = ("recipient", "ds:computeByBuyer", "ds:computeByCustodian", "ds:automaticGrant")


def explain(compiled: Compiled, facts: AccessFacts) -> tuple[TermVerdict, ...]:
    """A verdict for each term of the policy, then for what holds though the policy does not say it."""
    verdicts = []
    for term in dict.fromkeys((*compiled.labels, *_IMPLIED)):
        label = compiled.labels.get(term) or OPERANDS[term].label
        if term in _SAYINGS:
            outcome, english, chinese = _SAYINGS[term](compiled, facts)
        else:
            outcome = Outcome.DECLARED
            english = f"the provider declares {term}; nobody enforces it"
            chinese = f"{_in_chinese(term)} 仅由提供方声明，系统不强制执行"
        verdicts.append(TermVerdict(term, label, outcome, english, chinese))
    return tuple(verdicts)


def _in_chinese(term: str) -> str:
    kind, _, action = term.partition(" ")
    named = {"prohibition": "禁止", "duty": "义务", "obligation": "义务"}.get(kind)
    return f"{named} {action}" if named and action else term


def _verdict(known: bool, fits: bool) -> Outcome:
    if not known:
        return Outcome.UNKNOWN
    return Outcome.ALLOWED if fits else Outcome.REFUSED


def _spent(name: str, chinese: str, spent: int | None, limit: int) -> _Said:
    """One more use must fit."""
    so_far, so_far_chinese = ("not known", "未知") if spent is None else (str(spent), str(spent))
    return (
        _verdict(spent is not None, spent is not None and spent < limit),
        f"{name}: at most {limit}, spent so far: {so_far}",
        f"{chinese}：上限 {limit}，已用 {so_far_chinese}",
    )


def _within(name: str, chinese: str, value: int | None, limit: int, *, at_least: bool = False) -> _Said:
    shown, shown_chinese = ("not known", "未知") if value is None else (str(value), str(value))
    fits = value is not None and (value >= limit if at_least else value <= limit)
    return (
        _verdict(value is not None, fits),
        f"{name}: {'at least' if at_least else 'at most'} {limit}, here: {shown}",
        f"{chinese}：{'至少' if at_least else '至多'} {limit}，本次 {shown_chinese}",
    )


def _among(name: str, chinese: str, value: object, allowed: Collection[object]) -> _Said:
    shown, shown_chinese = ("not known", "未知") if value is None else (str(value), str(value))
    fits = not allowed or value in allowed
    return (
        _verdict(value is not None, fits),
        f"{name} {shown} is {'' if fits else 'not '}among the {len(allowed)} allowed",
        f"{chinese} {shown_chinese} {'在' if fits else '不在'}允许的 {len(allowed)} 项之内",
    )


def _date_time(compiled: Compiled, facts: AccessFacts) -> _Said:
    begin, end = compiled.terms.not_before, compiled.terms.not_after
    window = f"{_moment(begin)} – {_moment(end)}"
    return (
        _verdict(True, begin <= facts.time < end),
        f"time {_moment(facts.time)}, allowed {window}",
        f"时间 {_moment(facts.time)}，允许 {window}",
    )


def _elapsed_time(compiled: Compiled, facts: AccessFacts) -> _Said:
    seconds = compiled.terms.seconds_per_grant
    if facts.granted_at is None:
        return Outcome.ALLOWED, f"a grant lasts {seconds} s", f"授权有效期 {seconds} 秒"
    end = facts.granted_at + seconds
    return (
        _verdict(True, facts.time < end),
        f"the grant lasts {seconds} s, until {_moment(end)}",
        f"授权有效期 {seconds} 秒，至 {_moment(end)}",
    )


def _seconds_per_use(compiled: Compiled, facts: AccessFacts) -> _Said:
    seconds = compiled.terms.seconds_per_use
    if facts.opened_at is None:
        return Outcome.ALLOWED, f"a use ends {seconds} s after it opens", f"每次使用开启后 {seconds} 秒内结束"
    end = facts.opened_at + seconds
    return (
        _verdict(True, facts.time < end),
        f"the use lasts {seconds} s, until {_moment(end)}",
        f"本次使用时长 {seconds} 秒，至 {_moment(end)}",
    )


def _purpose(compiled: Compiled, facts: AccessFacts) -> _Said:
    outcome, english, chinese = _among("purpose", "用途", facts.purpose, compiled.terms.purposes)
    return outcome, f"{english}; that it is kept is the buyer's word", f"{chinese}；是否遵守由使用方声明"


def _recipient(compiled: Compiled, facts: AccessFacts) -> _Said:
    listed = facts.buyer in compiled.terms.buyers
    by_role = bool(facts.buyer_roles & compiled.terms.buyer_roles)
    if listed:
        return Outcome.ALLOWED, f"buyer {facts.buyer} is listed", f"使用方 {facts.buyer} 在名单内"
    return (
        _verdict(True, by_role),
        f"buyer {facts.buyer} is {'allowed by its role' if by_role else 'neither listed nor allowed by a role'}",
        f"使用方 {facts.buyer} {'具备允许的角色' if by_role else '不在名单内，也不具备允许的角色'}",
    )


def _buyer_rows(compiled: Compiled, facts: AccessFacts) -> _Said:
    """A use whose rows are not known yet needs room for one."""
    limit, spent, rows = compiled.terms.rows_per_buyer, facts.buyer_rows, facts.rows_out
    total = None if spent is None else spent + (rows or 0)
    outcome, english, chinese = _within("rows returned to this buyer", "返回该使用方的行数", total, limit)
    if outcome is Outcome.ALLOWED and rows is None and total == limit:
        outcome = Outcome.REFUSED
    return outcome, english, chinese


def _buyer_groups(compiled: Compiled, facts: AccessFacts) -> _Said:
    total = None if facts.buyer_groups is None else facts.buyer_groups + (facts.groups_out or 0)
    return _within("groups asked by this buyer", "该使用方累计分组数", total, compiled.runtime.groups_per_buyer)


def _columns(compiled: Compiled, _: AccessFacts) -> _Said:
    names = compiled.runtime.columns
    if not names:
        return Outcome.ALLOWED, "an algorithm sees all columns", "算法可读取全部列"
    return (
        Outcome.ALLOWED,
        f"an algorithm sees these columns alone: {', '.join(names)}",
        f"算法仅可读取以下列：{'、'.join(names)}",
    )


def _suppressed(compiled: Compiled, _: AccessFacts) -> _Said:
    if compiled.runtime.suppress_groups:
        return (
            Outcome.ALLOWED,
            "rows that stand for too few rows are left out of the result",
            "分组过小的行从结果中隐去",
        )
    return (
        Outcome.ALLOWED,
        "a row that stands for too few rows holds the whole result back",
        "只要有一行分组过小，整个结果即被拒绝",
    )


def _epsilon(name: str, chinese: str, spends: Epsilon | None, total: Epsilon | None, limit: Epsilon | None) -> _Said:
    """An answer without noise spends nothing, and tells everything: it is refused whatever is left."""
    if spends == NO_EPSILON:
        return (
            Outcome.REFUSED,
            f"{name}: the algorithm promises no noise, and only answers with noise are let out",
            f"{chinese}：算法未承诺加噪，仅允许输出加噪结果",
        )
    shown, shown_chinese = ("not known", "未知") if total is None else (str(total), str(total))
    return (
        _verdict(total is not None, total is not None and limit is not None and total <= limit),
        f"{name}: at most {limit}, with this answer: {shown}",
        f"{chinese}：至多 {limit}，含本次 {shown_chinese}",
    )


def _epsilon_per_buyer(compiled: Compiled, facts: AccessFacts) -> _Said:
    before, spends = facts.buyer_epsilon, facts.epsilon
    total = None if before is None or spends is None else before + spends
    return _epsilon(
        "privacy budget of this buyer", "该使用方的隐私预算", spends, total, compiled.runtime.epsilon_per_buyer
    )


def _custodians(compiled: Compiled, facts: AccessFacts) -> _Said:
    strangers = None if facts.custodians is None else set(facts.custodians) - set(compiled.terms.holders)
    return (
        _verdict(strangers is not None, not strangers),
        f"custodians not allowed: {'not known' if strangers is None else len(strangers)}",
        f"不被允许的托管方：{'未知' if strangers is None else len(strangers)}",
    )


def _provider_share(compiled: Compiled, facts: AccessFacts) -> _Said:
    if not compiled.terms.provider_share_required:
        return Outcome.ALLOWED, "the provider's share is not required", "无需提供方密钥份额"
    return (
        _verdict(facts.provider_required is not None, facts.provider_required is True),
        "the deal must require the provider's share",
        "密钥分发须要求提供方份额",
    )


def _automatic(compiled: Compiled, facts: AccessFacts) -> _Said:
    if facts.granted_at is not None:
        return (
            _verdict(True, not facts.automatic or compiled.terms.automatic_grant),
            f"access is granted, {'at once' if facts.automatic else 'by the provider'}",
            f"已获授权（{'自动' if facts.automatic else '由提供方'}）",
        )
    if compiled.terms.automatic_grant:
        return Outcome.ALLOWED, "a fitting request is granted at once", "符合条件的申请自动授权"
    return Outcome.UNKNOWN, "the provider decides on the request", "申请由提供方决定"


def _compute_by_buyer(compiled: Compiled, facts: AccessFacts) -> _Said:
    same = facts.compute_node == facts.buyer
    return (
        _verdict(facts.compute_node is not None, not same or compiled.terms.compute_by_buyer),
        f"the compute node is {'' if same else 'not '}the buyer itself",
        f"计算方{'即' if same else '不是'}使用方",
    )


def _compute_by_custodian(compiled: Compiled, facts: AccessFacts) -> _Said:
    known = facts.compute_node is not None and facts.custodians is not None
    involved = facts.compute_node in (facts.custodians or ())
    return (
        _verdict(known, not involved or compiled.terms.compute_by_custodian),
        f"the compute node is {'' if involved else 'not '}a custodian of the deal",
        f"计算方{'是' if involved else '不是'}密钥托管方",
    )


def _attestation(compiled: Compiled, facts: AccessFacts) -> _Said:
    level, allowed = facts.attestation, compiled.holder.attestation
    return (
        _verdict(level is not None, level is not None and is_met(level, allowed)),
        f"runtime vouched for by: {level or 'not known'}, the policy asks for {' or '.join(allowed)}",
        f"运行环境证明级别：{level or '未知'}，策略要求 {'、'.join(allowed)}",
    )


def _declared_groups(compiled: Compiled, _: AccessFacts) -> _Said:
    if compiled.runtime.declared_groups:
        return (
            Outcome.DECLARED,
            "a listed module's word for the size of its groups is taken; nobody can count them",
            "采信名单内模块自报的分组大小，无人能核实",
        )
    return (
        Outcome.ALLOWED,
        "group sizes are counted, never taken on a module's word",
        "分组大小须可核实，不采信自报",
    )


def _moment(seconds: int) -> str:
    if seconds >= 253_402_300_800:
        return "∞" if seconds >= UNLIMITED_U64 else f"{seconds} s"
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


_SAYINGS: Final = MappingProxyType[str, Callable[[Compiled, AccessFacts], _Said]](
    {
        "dateTime": _date_time,
        "elapsedTime": _elapsed_time,
        "purpose": _purpose,
        "recipient": _recipient,
        "count": lambda c, f: _spent("uses of this grant", "本授权使用次数", f.grant_uses, c.terms.uses_per_grant),
        "product": lambda c, f: _among("algorithm", "算法", f.algorithm, c.terms.algorithms),
        "ds:usesPerBuyer": lambda c, f: _spent(
            "uses by this buyer", "该使用方使用次数", f.buyer_uses, c.terms.uses_per_buyer
        ),
        "ds:usesTotal": lambda c, f: _spent("uses by anyone", "总使用次数", f.total_uses, c.terms.uses_total),
        "ds:rowsPerBuyer": _buyer_rows,
        "ds:secondsPerUse": _seconds_per_use,
        "ds:computeNode": lambda c, f: _among("compute node", "计算方", f.compute_node, c.terms.compute_nodes),
        "ds:custodian": _custodians,
        "ds:leastThreshold": lambda c, f: _within(
            "threshold of the deal", "密钥门限", f.threshold, c.terms.least_threshold, at_least=True
        ),
        "ds:providerShare": _provider_share,
        "ds:automaticGrant": _automatic,
        "ds:computeByBuyer": _compute_by_buyer,
        "ds:computeByCustodian": _compute_by_custodian,
        "ds:measurement": lambda c, f: _among(
            "runtime measurement", "运行环境度量值", f.measurement, c.holder.measurements
        ),
        "ds:attestation": _attestation,
        "ds:outputRows": lambda c, f: _within("rows of the result", "结果行数", f.rows_out, c.runtime.max_rows),
        "ds:outputBytes": lambda c, f: _within(
            "bytes of the result", "结果字节数", f.result_bytes, c.runtime.max_bytes
        ),
        "ds:groupsPerBuyer": _buyer_groups,
        "ds:suppressSmallGroups": _suppressed,
        "ds:epsilonPerUse": lambda c, f: _epsilon(
            "privacy budget of one answer", "单次结果的隐私预算", f.epsilon, f.epsilon, c.runtime.epsilon_per_use
        ),
        "ds:epsilonPerBuyer": _epsilon_per_buyer,
        "ds:columns": _columns,
        "ds:declaredGroups": _declared_groups,
        "ds:groupSize": lambda c, f: _within(
            "smallest group in the result", "结果最小分组", f.smallest_group, c.runtime.min_group, at_least=True
        ),
    }
)
