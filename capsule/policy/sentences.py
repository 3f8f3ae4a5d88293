"""A policy's report, bounds and rules in words, English and Chinese: one line for each term."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from capsule.policy.actions import outermost
from capsule.policy.bounds import Bound, Span
from capsule.policy.evaluation import ConditionReport, DutyReport, PolicyReport, RuleReport
from capsule.policy.model import Constraint, DutyState, Logical, Rule
from capsule.policy.scope import Extra
from capsule.policy.values import Kind, State, Value, lexical

__all__ = ["Sentence", "describe", "sentences"]

_MAX_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Sentence:
    """One term of one rule. `state` is Satisfied, Unsatisfied, Unknown, or a duty's state."""

    rule: str
    kind: str
    term: str
    state: str
    english: str
    chinese: str


def sentences(report: PolicyReport) -> tuple[Sentence, ...]:
    """A line for each premise of each rule; constraints of an or with many parts are told by their sum."""
    return tuple(
        [line for rule in report.rules for line in _rule(rule)]
        + [_duty(duty.rule, duty) for duty in report.obligations]
    )


def describe(part: Bound | Extra | None, term: str = "") -> tuple[str, str]:
    """A bound, constraint or rule in words, English and Chinese."""
    if part is None:
        return "not restricted", "不限制"
    if isinstance(part, Span):
        return _span(part)
    if isinstance(part, Rule):
        actions = ", ".join(action.name for action in part.actions) or "anything"
        label = (" (declared)", "（声明）") if part.declared else ("", "")
        return f"{part.kind} {actions}{label[0]}", f"{_KINDS[part.kind]} {actions}{label[1]}"
    if isinstance(part, Constraint | Logical):
        return _condition(part)
    if part.allowed is not None:
        names = outermost(part.allowed) if term == "action" else sorted(part.allowed)
        return f"only {_shown(names)}", f"仅限 {_shown(names)}"
    return f"not {_shown(sorted(part.refused))}", f"不含 {_shown(sorted(part.refused))}"


def _span(span: Span) -> tuple[str, str]:
    if span.kind is Kind.BOOLEAN:
        return ("no", "否") if span.high is not None else ("yes", "是")
    ends = [
        f"{sign} {lexical(span.kind, measure)[0]}"
        for sign, measure in (
            (">" if span.low_open else "≥", span.low),
            ("<" if span.high_open else "≤", span.high),
        )
        if measure is not None
    ]
    return (", ".join(ends),) * 2 if ends else ("any", "任意")


def _rule(report: RuleReport) -> Iterator[Sentence]:
    rule = report.rule
    for term, state, names in (
        ("target", report.target, rule.targets),
        ("assignee", report.party, rule.assignees),
        ("action", report.action, [action.name for action in rule.actions]),
    ):
        if state is not None:
            english, chinese = _HOLDS[state]
            yield Sentence(
                rule.id,
                str(rule.kind),
                term,
                str(state),
                f"{term} {_shown(names)}: {english}",
                f"{_TERMS[term]} {_shown(names)}：{chinese}",
            )
    for condition in (*report.refinements, *report.conditions):
        yield from _conditions(rule, condition)
    for duty in report.duties:
        yield _duty(rule, duty)


def _conditions(rule: Rule, report: ConditionReport) -> Iterator[Sentence]:
    condition = report.condition
    english, chinese = _condition(condition)
    holds, chinese_holds = _HOLDS[report.state]
    if isinstance(condition, Constraint):
        given = _shown([value.text for value in report.given])
        yield Sentence(
            rule.id,
            str(rule.kind),
            condition.left,
            str(report.state),
            f"{english}; here {given or 'not known'}: {holds}",
            f"{chinese}；本次 {given or '未知'}：{chinese_holds}",
        )
        return
    held = sum(part.state is State.SATISFIED for part in report.parts)
    yield Sentence(
        rule.id,
        str(rule.kind),
        condition.operator,
        str(report.state),
        f"{english}; {held} hold: {holds}",
        f"{chinese}；成立 {held} 项：{chinese_holds}",
    )
    if len(report.parts) <= _MAX_SHOWN:
        for part in report.parts:
            yield from _conditions(rule, part)


def _duty(owner: Rule, report: DutyReport) -> Sentence:
    actions = _shown([action.name for action in report.rule.actions]) or report.rule.id
    english, chinese = _DUTY[report.state]
    return Sentence(
        owner.id,
        str(owner.kind),
        f"{report.rule.kind} {actions}",
        str(report.state),
        f"duty {actions}: {english}",
        f"义务 {actions}：{chinese}",
    )


def _condition(condition: Constraint | Logical) -> tuple[str, str]:
    if isinstance(condition, Logical):
        english, chinese = _JOINED[condition.operator]
        return f"{english} {len(condition.parts)} constraints", f"{len(condition.parts)} 项约束{chinese}"
    english, chinese = _OPERATORS[condition.operator]
    right = _shown(_texts(condition.right)) + (f" {condition.unit}" if condition.unit else "")
    return (
        f"{condition.left} {english} {right}",
        f"{_TERMS.get(condition.left, condition.left)} {chinese} {right}",
    )


def _texts(values: Iterable[Value]) -> list[str]:
    return [value.text for value in values]


def _shown(names: Sequence[str]) -> str:
    more = f" … ({len(names)})" if len(names) > _MAX_SHOWN else ""
    return ", ".join(f"{name:.120}" for name in names[:_MAX_SHOWN]) + more


_HOLDS: Final = MappingProxyType(
    {
        State.SATISFIED: ("holds", "成立"),
        State.UNSATISFIED: ("does not hold", "不成立"),
        State.UNKNOWN: ("can't be told", "无法判断"),
    }
)
_DUTY: Final = MappingProxyType(
    {
        DutyState.FULFILLED: ("fulfilled", "已履行"),
        DutyState.VIOLATED: ("violated", "已违反"),
        DutyState.NON_SET: ("not known to be fulfilled", "未知是否履行"),
    }
)
_KINDS: Final = MappingProxyType({"permission": "许可", "prohibition": "禁止", "duty": "义务", "obligation": "义务"})
_JOINED: Final = MappingProxyType(
    {"and": ("all of", "须全部成立"), "or": ("any of", "至少一项成立"), "xone": ("exactly one of", "恰有一项成立")}
)
_OPERATORS: Final = MappingProxyType(
    {
        "eq": ("is", "等于"),
        "neq": ("is not", "不等于"),
        "lt": ("is below", "小于"),
        "lteq": ("is at most", "不超过"),
        "gt": ("is above", "大于"),
        "gteq": ("is at least", "不小于"),
        "isA": ("is a", "属于类型"),
        "hasPart": ("has the part", "包含部分"),
        "isPartOf": ("is part of", "位于其内"),
        "isAllOf": ("is all of", "为全部"),
        "isAnyOf": ("is one of", "为其中之一"),
        "isNoneOf": ("is none of", "不为任何一个"),
    }
)
_TERMS: Final = MappingProxyType(
    {
        "target": "标的",
        "assignee": "被授权方",
        "action": "动作",
        "dateTime": "时间",
        "elapsedTime": "已历时长",
        "count": "次数",
        "purpose": "用途",
        "recipient": "接收方",
        "spatial": "地域",
        "product": "算法",
        "ds:columns": "列",
        "ds:outputRows": "结果行数",
        "ds:outputBytes": "结果字节数",
        "ds:groupSize": "结果最小分组",
        "ds:suppressSmallGroups": "隐去过小分组",
        "ds:groupsPerBuyer": "该使用方累计分组数",
        "ds:epsilonPerUse": "单次结果的隐私预算",
        "ds:epsilonPerBuyer": "该使用方的隐私预算",
        "ds:declaredGroups": "采信算法自报的分组大小",
        "ds:rowsPerBuyer": "该使用方累计行数",
        "ds:usesPerBuyer": "该使用方使用次数",
        "ds:usesTotal": "总使用次数",
        "ds:secondsPerUse": "每次使用时长",
        "ds:computeNode": "计算方",
        "ds:custodian": "密钥托管方",
        "ds:leastThreshold": "密钥门限",
        "ds:providerShare": "提供方密钥分片",
        "ds:automaticGrant": "自动授权",
        "ds:measurement": "运行环境度量值",
        "ds:attestation": "运行环境证明级别",
        "ds:computeByBuyer": "使用方自行计算",
        "ds:computeByCustodian": "托管方参与计算",
    }
)
