"""What a policy means to those who enforce it: the chain's terms, the holders' checks, the runtime's checks.

Invariants: the same document always compiles to the same result, so that holders and auditors recompute it; nothing
is dropped: a term either lands in a check, or is labelled declared, or PolicyError names it. A change of meaning is a
new COMPILER_VERSION, which stands in the terms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeVar

from capsule.attestation import Level
from capsule.canonical import Json
from capsule.digest import document_digest
from capsule.errors import InputError, PolicyError
from capsule.ids import Address, AssetId, Digest
from capsule.policy.document import Constraint, Policy, parse_account, parse_policy
from capsule.policy.vocabulary import ANY_BUYER, OPERANDS, ROLES, Label, Operand, Shape, Value
from capsule.privacy import Epsilon
from capsule.terms import UNLIMITED_U32, UNLIMITED_U64, Terms

__all__ = ["COMPILER_VERSION", "Compiled", "HolderChecks", "RuntimeChecks", "compile_policy", "policy_digest"]

COMPILER_VERSION: Final = 1

_DATE_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:Z|[+-][0-9]{2}:[0-9]{2})")
_DURATION: Final = re.compile(
    r"P(?:([0-9]{1,9})D)?(?:T(?=[0-9])(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,12})S)?)?"
)
_EPSILON: Final = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,6})0{0,12})?")
_XSD: Final = {
    Value.TIME: ("dateTime", "dateTimeStamp"),
    Value.DURATION: ("duration", "dayTimeDuration"),
    Value.COUNT: ("integer", "nonNegativeInteger", "positiveInteger", "unsignedLong", "unsignedInt"),
    Value.TEXT: ("string", "anyURI"),
    Value.RECIPIENT: ("string", "anyURI"),
    Value.ACCOUNT: ("string", "anyURI"),
    Value.DIGEST: ("string", "anyURI"),
    Value.BOOLEAN: ("boolean",),
    Value.EPSILON: ("decimal", "integer", "nonNegativeInteger", "positiveInteger"),
}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class HolderChecks:
    """What each holder checks beside the chain: the asset that the policy is for, the runtimes that may open it, and
    who must vouch for them; the runtime checks its own level again.

    None and an empty list mean that the policy does not say.
    """

    asset: AssetId | None
    measurements: tuple[Digest, ...]
    attestation: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class RuntimeChecks:
    """What the runtime checks before a result leaves: most rows and bytes of one result, least rows behind each row.

    `declared_groups`: a listed algorithm's own word for the size of its groups is taken, where nothing can count them.
    `suppress_groups`: rows behind which there are too few are left out, instead of the whole result.
    `groups_per_buyer`: the most groups that a buyer may ask for, over all of its grants.
    `epsilon_per_use` and `epsilon_per_buyer`: the most that one answer, and all answers to a buyer, may spend of a
    privacy budget; where either is given, only private algorithms may run.
    `columns`: those of the capsule's table that an algorithm sees, sorted; all where there are none.
    """

    max_rows: int
    min_group: int
    declared_groups: bool
    max_bytes: int = UNLIMITED_U64
    suppress_groups: bool = False
    groups_per_buyer: int = UNLIMITED_U64
    epsilon_per_use: Epsilon | None = None
    epsilon_per_buyer: Epsilon | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Compiled:
    """A policy's meaning. `labels` says for each term, and for each declared rule, who enforces it.

    `constraints` are the terms as written.
    """

    policy_hash: Digest
    terms: Terms
    holder: HolderChecks
    runtime: RuntimeChecks
    labels: Mapping[str, Label] = field(hash=False)
    constraints: tuple[Constraint, ...] = field(hash=False)


def policy_digest(document: Json) -> Digest:
    """The policy hash that versions, requests and grants pin."""
    return document_digest("policy", document)


def compile_policy(document: Json) -> Compiled:
    """Compiles an ODRL policy, or raises PolicyError naming the term that stands in the way."""
    policy = parse_policy(document)
    bounds = _Bounds(policy)
    try:
        policy_hash = policy_digest(document)
        terms = bounds.terms()
    except InputError as exc:
        raise PolicyError("policy", str(exc)) from exc
    labels = {
        constraint.term: OPERANDS[constraint.term].label if constraint.term in OPERANDS else Label.DECLARED
        for constraint in policy.constraints
    } | dict.fromkeys(policy.declared, Label.DECLARED)
    return Compiled(
        policy_hash,
        terms,
        HolderChecks(policy.asset, bounds.digests("ds:measurement"), bounds.levels()),
        RuntimeChecks(
            max_rows=bounds.most("ds:outputRows", UNLIMITED_U64),
            min_group=bounds.least("ds:groupSize", 1),
            declared_groups=bounds.flag("ds:declaredGroups"),
            max_bytes=bounds.most("ds:outputBytes", UNLIMITED_U64),
            suppress_groups=bounds.flag("ds:suppressSmallGroups"),
            groups_per_buyer=bounds.most("ds:groupsPerBuyer", UNLIMITED_U64),
            epsilon_per_use=bounds.epsilon("ds:epsilonPerUse"),
            epsilon_per_buyer=bounds.epsilon("ds:epsilonPerBuyer"),
            columns=bounds.columns(),
        ),
        MappingProxyType(labels),
        policy.constraints,
    )


class _Bounds:
    """The constraints of a policy by term: each term's are met together."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._by_term: dict[str, list[Constraint]] = {}
        for constraint in policy.constraints:
            if constraint.term in OPERANDS:
                _check_operator(constraint, OPERANDS[constraint.term])
                self._by_term.setdefault(constraint.term, []).append(constraint)

    def terms(self) -> Terms:
        not_before, not_after = self.least("dateTime", 0), self.most("dateTime", UNLIMITED_U64, exclusive=True)
        if not_before >= not_after:
            raise PolicyError("dateTime", "leaves no time")
        buyers, roles = self._recipients()
        return Terms(
            compiler=COMPILER_VERSION,
            not_before=not_before,
            not_after=not_after,
            purposes=self._listed("purpose", _purpose),
            algorithms=self.digests("product"),
            buyers=buyers,
            buyer_roles=roles,
            compute_nodes=self._accounts("ds:computeNode"),
            holders=self._accounts("ds:custodian"),
            least_threshold=self.least("ds:leastThreshold", 1),
            provider_share_required=self.flag("ds:providerShare"),
            seconds_per_grant=self.most("elapsedTime", UNLIMITED_U64),
            seconds_per_use=self.most("ds:secondsPerUse", UNLIMITED_U64),
            uses_per_grant=self.most("count", UNLIMITED_U32),
            uses_per_buyer=self.most("ds:usesPerBuyer", UNLIMITED_U32),
            uses_total=self.most("ds:usesTotal", UNLIMITED_U32),
            rows_per_buyer=self.most("ds:rowsPerBuyer", UNLIMITED_U64),
            automatic_grant=self.flag("ds:automaticGrant"),
            compute_by_buyer=self.flag("ds:computeByBuyer"),
            compute_by_custodian=self.flag("ds:computeByCustodian"),
        )

    def most(self, term: str, otherwise: int, *, exclusive: bool = False) -> int:
        """The smallest upper bound; `exclusive` for the first value past it."""
        bounds = [
            _number(constraint) - (constraint.operator == "lt") + exclusive
            for constraint in self._by_term.get(term, ())
            if constraint.operator in ("lt", "lteq")
        ]
        return _in_range(term, min(bounds, default=otherwise))

    def least(self, term: str, otherwise: int) -> int:
        """The largest lower bound."""
        bounds = [
            _number(constraint) + (constraint.operator == "gt")
            for constraint in self._by_term.get(term, ())
            if constraint.operator in ("gt", "gteq")
        ]
        return _in_range(term, max(bounds, default=otherwise))

    def epsilon(self, term: str) -> Epsilon | None:
        """The smallest upper bound; None where the policy does not say."""
        return Epsilon(self.most(term, 0)) if term in self._by_term else None

    def digests(self, term: str) -> tuple[Digest, ...]:
        return self._listed(term, _digest)

    def flag(self, term: str) -> bool:
        """False where the policy does not say."""
        values = {_boolean(constraint) for constraint in self._by_term.get(term, ())}
        if len(values) > 1:
            raise PolicyError(term, "is said to be true and false")
        return values == {True}

    def columns(self) -> tuple[str, ...]:
        return self._listed("ds:columns", _column)

    def levels(self) -> tuple[Level, ...]:
        return self._listed("ds:attestation", _level)

    def _accounts(self, term: str) -> tuple[Address, ...]:
        return self._listed(term, parse_account)

    def _listed(self, term: str, read: Callable[[str, str], _T]) -> tuple[_T, ...]:
        """Values that every list of this term holds, sorted; none when the policy has no such list."""
        lists = [{read(text, term) for text in _texts(constraint)} for constraint in self._by_term.get(term, ())]
        if not lists:
            return ()
        common = set.intersection(*lists)
        if not common:
            raise PolicyError(term, "its lists have nothing in common")
        return tuple(sorted(common))  # type: ignore[type-var]

    def _recipients(self) -> tuple[tuple[Address, ...], int]:
        """Buyers by account and by role; any buyer when the policy does not say."""
        constraints = self._by_term.get("recipient", [])
        if len(constraints) > 1:
            raise PolicyError("recipient", "is given twice")
        accounts: set[Address] = set()
        roles = 0
        for text in _texts(constraints[0]) if constraints else [ANY_BUYER]:
            if text.startswith("role:"):
                name = text.removeprefix("role:")
                if name not in ROLES:
                    raise PolicyError("recipient", f"role {name:.80} is unknown")
                roles |= ROLES[name]
            else:
                accounts.add(parse_account(text, "recipient"))
        assignee = self._policy.assignee
        if assignee is not None:
            if constraints and assignee not in accounts:
                raise PolicyError("assignee", "is not among the recipients")
            accounts, roles = {assignee}, 0
        return tuple(sorted(accounts)), roles


_MAX_COLUMN_BYTES: Final = 256
_OPERATORS_OF: Final = {
    Shape.AT_MOST: ("lteq", "lt"),
    Shape.AT_LEAST: ("gteq", "gt"),
    Shape.WINDOW: ("gteq", "gt", "lt", "lteq"),
    Shape.ONE_OF: ("isAnyOf", "eq"),
    Shape.FLAG: ("eq",),
}


def _check_operator(constraint: Constraint, operand: Operand) -> None:
    allowed = _OPERATORS_OF[operand.shape]
    if constraint.operator not in allowed:
        raise PolicyError(constraint.term, f"operator {constraint.operator} is not one of {', '.join(allowed)}")


def _plain(value: Json, constraint: Constraint) -> Json:
    """A JSON-LD value without its wrapping, whose type must be one that the term takes."""
    if not isinstance(value, Mapping):
        return value
    if set(value) == {"@id"}:
        return value["@id"]
    if not {"@value"} <= set(value) <= {"@value", "@type"}:
        raise PolicyError(constraint.term, "rightOperand is not a value")
    kind = value.get("@type", "")
    accepted = _XSD[OPERANDS[constraint.term].value]
    names = {f"{prefix}{name}" for name in accepted for prefix in ("xsd:", "http://www.w3.org/2001/XMLSchema#")}
    if "@type" in value and kind not in names:
        raise PolicyError(constraint.term, f"rightOperand is not of type xsd:{accepted[0]}")
    return value["@value"]


def _number(constraint: Constraint) -> int:
    value = _plain(constraint.value, constraint)
    operand = OPERANDS[constraint.term]
    if operand.value is Value.TIME:
        return _time(value, constraint.term)
    if operand.value is Value.DURATION:
        return _duration(value, constraint.term)
    if operand.value is Value.EPSILON:
        return _millionths(value, constraint.term)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,20}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise PolicyError(constraint.term, "rightOperand is not a whole number from 0")
    return value


def _millionths(value: Json, term: str) -> int:
    text = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    match = _EPSILON.fullmatch(text)
    if match is None:
        raise PolicyError(term, "rightOperand is not a number from 0 with at most six decimals")
    return int(match[1] + (match[2] or "").ljust(6, "0"))


def _in_range(term: str, value: int) -> int:
    bits = OPERANDS[term].bits
    if not 0 <= value < 2**bits:
        raise PolicyError(term, f"{value} is not a number of {bits} bits")
    return value


def _time(value: Json, term: str) -> int:
    if not isinstance(value, str) or _DATE_TIME.fullmatch(value) is None:
        raise PolicyError(term, "rightOperand is not an xsd:dateTime with time zone, in whole seconds")
    try:
        return int(datetime.fromisoformat(value).timestamp())
    except (ValueError, OverflowError) as exc:
        raise PolicyError(term, f"{value} is no time") from exc


def _duration(value: Json, term: str) -> int:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or not any(match.groups()):
        raise PolicyError(term, "rightOperand is not an xsd:duration in days, hours, minutes and seconds")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _texts(constraint: Constraint) -> list[str]:
    value = constraint.value
    if isinstance(value, Mapping) and set(value) == {"@list"}:
        value = value["@list"]
    items = list(value) if isinstance(value, list | tuple) else [value]
    if constraint.operator == "eq" and len(items) != 1:
        raise PolicyError(constraint.term, "eq takes one value; a list takes isAnyOf")
    texts = [_plain(item, constraint) for item in items]
    named = [text for text in texts if isinstance(text, str) and text]
    if not named or len(named) != len(items):
        raise PolicyError(constraint.term, "rightOperand is not a list of names")
    return named


def _boolean(constraint: Constraint) -> bool:
    value = _plain(constraint.value, constraint)
    if not isinstance(value, bool):
        raise PolicyError(constraint.term, "rightOperand is not true or false")
    return value


def _digest(text: str, term: str) -> Digest:
    try:
        return Digest.parse(text)
    except InputError as exc:
        raise PolicyError(term, str(exc)) from exc


def _level(text: str, term: str) -> Level:
    if text not in tuple(Level):
        raise PolicyError(term, f"{text:.80} is not one of {', '.join(Level)}")
    return Level(text)


def _column(text: str, term: str) -> str:
    if not 0 < len(text.encode("utf-8", "surrogatepass")) <= _MAX_COLUMN_BYTES:
        raise PolicyError(term, f"a column's name has 1 to {_MAX_COLUMN_BYTES} bytes")
    return text


def _purpose(text: str, term: str) -> str:
    if len(text.encode("utf-8", "surrogatepass")) > 256:
        raise PolicyError(term, "a purpose has at most 256 bytes")
    return text
