"""Reading an ODRL 2.2 policy in JSON-LD, as far as this system can keep it.

Read is a fixed subset: one permission to `use`, with constraints that must all hold; prohibitions, duties and
obligations that the provider labels declared; the contexts of ODRL and of our profile. Everything else raises
PolicyError with the name of the term, since what is not understood is not allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from capsule.canonical import Json
from capsule.errors import InputError, PolicyError
from capsule.ids import Address, AssetId
from capsule.policy.actions import PARENTS, includes
from capsule.policy.vocabulary import (
    ACTION,
    DECLARABLE,
    ODRL_CONTEXT,
    ODRL_NAMESPACE,
    OPERANDS,
    OPERATORS,
    PROFILE,
    PROFILE_NAMESPACE,
)

__all__ = [
    "ACCOUNT_PREFIX",
    "ASSET_PREFIX",
    "MAX_CONSTRAINTS",
    "MAX_DEPTH",
    "Constraint",
    "Policy",
    "parse_account",
    "parse_asset",
    "parse_policy",
]

ACCOUNT_PREFIX: Final = "eip155:"
ASSET_PREFIX: Final = "urn:dataspace:asset:"
MAX_CONSTRAINTS: Final = 256
MAX_DEPTH: Final = 16

_TYPES: Final = ("Set", "Offer", "Agreement")
_POLICY_MEMBERS: Final = frozenset(
    (
        "@context",
        "@type",
        "uid",
        "profile",
        "assigner",
        "assignee",
        "target",
        "permission",
        "prohibition",
        "obligation",
        "conflict",
    )
)
_PERMISSION_MEMBERS: Final = frozenset(("uid", "action", "assigner", "assignee", "target", "constraint", "duty"))
_DECLARED_MEMBERS: Final = frozenset(("uid", "action", "ds:label"))
_CONSTRAINT_MEMBERS: Final = frozenset(("uid", "leftOperand", "operator", "rightOperand", "ds:label"))


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint: `value` is the right operand as written. `declared` when the provider labelled it so."""

    term: str
    operator: str
    value: Json
    declared: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy's parts. `asset`, `assigner` and `assignee` where the document names them.

    `declared` are the rules that are the provider's word: "prohibition" and the like, and the action.
    """

    type: str
    uid: str
    asset: AssetId | None
    assigner: Address | None
    assignee: Address | None
    constraints: tuple[Constraint, ...]
    declared: tuple[str, ...]


def parse_policy(document: Json) -> Policy:
    """Reads a policy; PolicyError names the first term that this system doesn't know."""
    members = _object(document, "policy")
    _check_context(members.get("@context"))
    _refuse_unknown(members, _POLICY_MEMBERS)
    kind = _term(members.get("@type"), "@type")
    if kind not in _TYPES:
        raise PolicyError("@type", f"{kind:.80} is not one of {', '.join(_TYPES)}")
    permission = members.get("permission")
    if isinstance(permission, list | tuple):
        if len(permission) != 1:
            raise PolicyError("permission", "exactly one is supported")
        permission = permission[0]
    rule = _object(permission, "permission")
    _refuse_unknown(rule, _PERMISSION_MEMBERS)
    if "action" not in rule:
        raise PolicyError("action", "is missing")
    action = _term(rule["action"], "action")
    if action != ACTION:
        raise PolicyError("action", f"{action:.80} is not supported, only {ACTION}")
    constraints = _constraints(rule.get("constraint", ()))
    declared = (
        *_declared(members, "prohibition"),
        *_declared(rule, "duty"),
        *_declared(members, "obligation"),
    )
    if "conflict" in members and members["conflict"] != "prohibit":
        raise PolicyError("conflict", "is not prohibit")
    if "prohibition" in members and "conflict" not in members:
        raise PolicyError("conflict", "is missing; beside a prohibition it says prohibit")
    terms = [*(constraint.term for constraint in constraints), *(name.split()[1] for name in declared)]
    if any(term.startswith("ds:") for term in terms) and "profile" not in members:
        raise PolicyError("profile", f"is missing, and terms of {PROFILE} are used")
    if "profile" in members and members["profile"] != PROFILE:
        raise PolicyError("profile", f"is not {PROFILE}")
    policy = Policy(
        type=kind,
        uid=_text(members.get("uid"), "uid"),
        asset=_asset(_agreed(members, rule, "target")),
        assigner=_account(_agreed(members, rule, "assigner"), "assigner"),
        assignee=_account(_agreed(members, rule, "assignee"), "assignee"),
        constraints=constraints,
        declared=declared,
    )
    if policy.type != "Set" and policy.assigner is None:
        raise PolicyError("assigner", f"is missing in an {policy.type}")
    if policy.type == "Agreement" and policy.assignee is None:
        raise PolicyError("assignee", "is missing in an Agreement")
    return policy


def parse_account(text: str, term: str) -> Address:
    """An account as policies write it: "eip155:" and the address."""
    if not text.startswith(ACCOUNT_PREFIX):
        raise PolicyError(term, f"{text:.80} does not start with {ACCOUNT_PREFIX}")
    try:
        return Address.parse(text.removeprefix(ACCOUNT_PREFIX))
    except InputError as exc:
        raise PolicyError(term, str(exc)) from exc


def parse_asset(text: str) -> AssetId:
    """An asset as policies write it: "urn:dataspace:asset:" and its id."""
    try:
        return AssetId.parse(text.removeprefix(ASSET_PREFIX))
    except InputError as exc:
        raise PolicyError("target", f"{text:.120} is not {ASSET_PREFIX} and an asset's id") from exc


def _declared(owner: Mapping[str, Json], name: str) -> tuple[str, ...]:
    """Rules that nobody enforces; one that is not labelled declared is refused."""
    if name not in owner:
        return ()
    value = owner[name]
    items = value if isinstance(value, list | tuple) else (value,)
    if not 0 < len(items) <= MAX_CONSTRAINTS:
        raise PolicyError(name, f"is empty, or more than {MAX_CONSTRAINTS}")
    found = []
    for item in items:
        rule = _object(item, name)
        if rule.get("ds:label") != "declared":
            raise PolicyError(name, 'can\'t be enforced; the provider may label it "ds:label": "declared"')
        _refuse_unknown(rule, _DECLARED_MEMBERS)
        action = _term(rule.get("action"), "action")
        if action not in PARENTS:
            raise PolicyError("action", f"{action:.80} is unknown")
        if name == "prohibition" and includes(action, ACTION):
            raise PolicyError(name, f"takes back the permission to {ACTION}")
        found.append(f"{name} {action}")
    return tuple(found)


def _constraints(value: Json) -> tuple[Constraint, ...]:
    constraints = tuple(_flat(value, 0))
    if len(constraints) > MAX_CONSTRAINTS:
        raise PolicyError("constraint", f"more than {MAX_CONSTRAINTS}")
    return constraints


def _flat(value: Json, depth: int) -> Iterator[Constraint]:
    """Constraints, with those that `and` joins taken apart: they hold together either way."""
    for item in value if isinstance(value, list | tuple) else (value,):
        written = _object(item, "constraint")
        if not any(_short(name) == "and" for name in written):
            yield _constraint(written)
            continue
        (parts, *more) = written.values()
        if isinstance(parts, Mapping) and set(parts) == {"@list"}:
            parts = parts["@list"]
        if more or not parts or depth > MAX_DEPTH:
            raise PolicyError("and", "is empty, too deep, or stands beside other members")
        yield from _flat(parts, depth + 1)


def _constraint(written: Mapping[str, Json]) -> Constraint:
    members = {_short(name): value for name, value in written.items()}
    if len(members) != len(written):
        raise PolicyError("constraint", "names a member twice")
    _refuse_unknown(members, _CONSTRAINT_MEMBERS)
    term = _term(members.get("leftOperand"), "leftOperand")
    operator = _term(members.get("operator"), "operator")
    if operator not in OPERATORS:
        raise PolicyError(term, f"operator {operator:.80} is unknown")
    if "rightOperand" not in members:
        raise PolicyError(term, "has no rightOperand")
    declared = "ds:label" in members
    if declared and members["ds:label"] != "declared":
        raise PolicyError(term, 'ds:label can only be "declared"')
    if term in OPERANDS:
        if declared and term != "purpose":
            raise PolicyError(term, "is enforced, so it can't be labelled declared")
    elif not (term in DECLARABLE or term.startswith(("http://", "https://"))):
        raise PolicyError(term, "is unknown")
    elif not declared:
        raise PolicyError(term, 'can\'t be enforced; the provider may label it "ds:label": "declared"')
    return Constraint(term, operator, members["rightOperand"], declared)


def _check_context(value: Json) -> None:
    entries = list(value) if isinstance(value, list | tuple) else [value]
    if not entries or entries[0] != ODRL_CONTEXT:
        raise PolicyError("@context", f"does not start with {ODRL_CONTEXT}")
    if any(entry != {"ds": PROFILE_NAMESPACE} for entry in entries[1:]):
        raise PolicyError("@context", f"holds more than ODRL's and ds = {PROFILE_NAMESPACE}")


def _refuse_unknown(members: Mapping[str, Json], known: frozenset[str]) -> None:
    for name in members:
        if name not in known:
            raise PolicyError(_short(name), "is not supported here")


def _object(value: Json, term: str) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise PolicyError(term, "is missing or not an object")
    return value


def _text(value: Json, term: str) -> str:
    if not isinstance(value, str) or not value:
        raise PolicyError(term, "is missing or not text")
    return value


def _term(value: Json, name: str) -> str:
    if isinstance(value, Mapping) and set(value) == {"@id"}:
        value = value["@id"]
    return _short(_text(value, name))


def _short(name: str) -> str:
    for namespace, prefix in ((ODRL_NAMESPACE, ""), ("odrl:", ""), (PROFILE_NAMESPACE, "ds:")):
        if name.startswith(namespace):
            return prefix + name.removeprefix(namespace)
    return name


def _agreed(policy: Mapping[str, Json], rule: Mapping[str, Json], name: str) -> Json:
    """A member that may stand at the policy or at its rule, but not differently at both."""
    if name in policy and name in rule and policy[name] != rule[name]:
        raise PolicyError(name, "differs between the policy and its permission")
    return rule.get(name, policy.get(name))


def _asset(value: Json) -> AssetId | None:
    return None if value is None else parse_asset(_text(value, "target"))


def _account(value: Json, term: str) -> Address | None:
    return None if value is None else parse_account(_text(value, term), term)
