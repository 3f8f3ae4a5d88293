"""Writing a scope as a policy of our profile, so that derived data can be published under the meet of its parents.

Invariant: `scope_of(read(write_scope(scope)))` is that scope again, or PolicyError names what can't be written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from capsule.canonical import Json
from capsule.errors import PolicyError
from capsule.ids import Address, AssetId
from capsule.policy.actions import outermost
from capsule.policy.bounds import Bound, Span
from capsule.policy.document import ACCOUNT_PREFIX, ASSET_PREFIX, parse_account, parse_asset
from capsule.policy.model import Condition, Logical, Policy, Rule, RuleKind
from capsule.policy.scope import ALLOWING_FLAGS, Box, Scope, scope_of
from capsule.policy.values import Kind, Value, lexical
from capsule.policy.vocabulary import ODRL_CONTEXT, OPERANDS, PROFILE, PROFILE_NAMESPACE

__all__ = ["profile_document", "write_scope"]


def profile_document(policy: Policy) -> Json:
    """A policy that was read from Turtle in the JSON-LD of our profile, as it goes on chain.

    Raises PolicyError naming what our profile can't say: several permissions, rules that are not declared, Agreements.
    """
    permissions = policy.rules_of(RuleKind.PERMISSION)
    if len(permissions) != 1:
        raise PolicyError("permission", "exactly one is supported")
    if policy.type == "Agreement":
        raise PolicyError("@type", "an Agreement is published as it was signed, in JSON-LD")
    for rule in (*policy.rules_of(RuleKind.PROHIBITION), *policy.rules_of(RuleKind.OBLIGATION), *permissions[0].duties):
        if not rule.declared:
            raise PolicyError(str(rule.kind), 'can\'t be enforced; the provider may label it "ds:label": "declared"')
    (target, *more) = permissions[0].targets or (None,)
    (assigner, *others) = permissions[0].assigners or (None,)
    if more or others:
        raise PolicyError("target" if more else "assigner", "is more than one")
    return write_scope(
        scope_of(policy),
        uid=policy.uid,
        asset=None if target is None else parse_asset(target),
        provider=None if assigner is None else parse_account(assigner, "assigner"),
    )


def write_scope(scope: Scope, *, uid: str, asset: AssetId | None = None, provider: Address | None = None) -> Json:
    """The scope as a policy for `asset`: an Offer of `provider`, or a Set without one."""
    target = None if asset is None else f"{ASSET_PREFIX}{asset}"
    policy_rules = {_of_policy(box) for box in scope.boxes}
    if len(policy_rules) != 1:
        raise PolicyError("prohibition", "differs between permissions, and a policy's prohibitions hold for all")
    (shared,) = policy_rules
    prohibitions, obligations = (
        [_rule(rule) for rule in sorted(shared, key=repr) if rule.kind is kind]
        for kind in (RuleKind.PROHIBITION, RuleKind.OBLIGATION)
    )
    document: dict[str, Json] = {
        "@context": [ODRL_CONTEXT, {"ds": PROFILE_NAMESPACE}],
        "@type": "Set" if provider is None else "Offer",
        "uid": uid,
        "profile": PROFILE,
        "permission": [_permission(box, target) for box in sorted(scope.boxes, key=repr)],
    }
    if provider is not None:
        document["assigner"] = f"{ACCOUNT_PREFIX}{provider}"
    if prohibitions:
        document["conflict"] = "prohibit"
        document["prohibition"] = prohibitions
    if obligations:
        document["obligation"] = obligations
    return document


def _of_policy(box: Box) -> frozenset[Rule]:
    kinds = (RuleKind.PROHIBITION, RuleKind.OBLIGATION)
    return frozenset(extra for extra in box.extras if isinstance(extra, Rule) and extra.kind in kinds)


def _permission(box: Box, target: str | None) -> Json:
    bounds = dict(box.bounds)
    permission: dict[str, Json] = {}
    for term, member in (("target", "target"), ("assignee", "assignee")):
        names = _allowed(bounds.pop(term, None))
        if names is not None:
            permission[member] = names[0] if len(names) == 1 else list(names)
    if target is not None:
        permission["target"] = target
    actions = _allowed(bounds.pop("action", None))
    if actions is not None:
        kept = _names(outermost(frozenset(actions)))
        permission["action"] = kept[0] if len(kept) == 1 else kept
    constraints: list[Json] = [each for term, bound in bounds.items() for each in _constraints(term, bound)]
    duties: list[Json] = []
    for extra in sorted(box.extras, key=repr):
        if not isinstance(extra, Rule):
            constraints.append(_condition(extra))
        elif extra.kind is RuleKind.DUTY:
            duties.append(_rule(extra))
        elif extra.kind is RuleKind.PERMISSION:
            raise PolicyError("refinement", "can't be written into a meet")
    permission["constraint"] = constraints
    if duties:
        permission["duty"] = duties
    return permission


def _names(actions: Iterable[str]) -> list[str]:
    """W3C's context has no short name for one of its actions."""
    return [f"odrl:{name}" if name == "synchronize" else name for name in actions]


def _allowed(bound: Bound | None) -> tuple[str, ...] | None:
    if bound is None or isinstance(bound, Span) or bound.allowed is None:
        return None
    return tuple(sorted(bound.allowed))


def _rule(rule: Rule) -> Json:
    if rule.duties or any(action.refinements for action in rule.actions):
        raise PolicyError(str(rule.kind), "with refinements, remedies or consequences can't be written into a meet")
    members: dict[str, Json] = {}
    for name, values in (
        ("action", _names([action.name for action in rule.actions])),
        ("target", list(rule.targets)),
        ("assignee", list(rule.assignees)),
        ("constraint", [_condition(each) for each in rule.constraints]),
    ):
        if values:
            members[name] = values[0] if len(values) == 1 else values
    if rule.declared:
        members["ds:label"] = "declared"
    return members


def _condition(condition: Condition) -> Json:
    if isinstance(condition, Logical):
        return {condition.operator: {"@list": [_condition(part) for part in condition.parts]}}
    right = [_value(condition.left, value) for value in condition.right]
    written = _one(condition.left, condition.operator, right[0] if len(right) == 1 else right, condition.declared)
    return written if condition.unit is None else {**written, "unit": condition.unit}


def _constraints(term: str, bound: Bound) -> Iterator[dict[str, Json]]:
    declared = term not in OPERANDS
    if isinstance(bound, Span):
        if bound.kind is Kind.BOOLEAN:
            if term in ALLOWING_FLAGS or bound.low is not None:
                yield _one(term, "eq", True, declared)
            return
        for operator, measure in _ends(bound):
            yield _one(term, operator, _measure(bound.kind, measure), declared)
    elif bound.allowed is not None:
        yield _one(term, "isAnyOf", sorted(bound.allowed), declared)
    else:
        yield _one(term, "isNoneOf", sorted(bound.refused), declared)


def _ends(span: Span) -> Iterable[tuple[str, Decimal]]:
    if span.low is not None:
        yield ("gt" if span.low_open else "gteq"), span.low
    if span.high is not None:
        yield ("lt" if span.high_open else "lteq"), span.high


def _one(term: str, operator: str, value: Json, declared: bool) -> dict[str, Json]:
    written: dict[str, Json] = {"leftOperand": term, "operator": operator, "rightOperand": value}
    return {**written, "ds:label": "declared"} if declared else written


def _value(term: str, value: Value) -> Json:
    if value.kind is Kind.NAME:
        return value.text
    if value.measure is None:
        raise PolicyError(term, f"{value.text:.80} can't be written into a meet")
    return bool(value.measure) if value.kind is Kind.BOOLEAN else _measure(value.kind, value.measure)


def _measure(kind: Kind, measure: Decimal) -> Json:
    text, datatype = lexical(kind, measure)
    return {"@value": text, "@type": f"xsd:{datatype}"}
