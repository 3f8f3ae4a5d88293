"""Writing a policy: an ODRL Offer from typed values.

Invariant: `compile_policy(offer(...))` means exactly what was passed in; what is left out is not restricted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from capsule.attestation import Level
from capsule.canonical import Json
from capsule.ids import Address, AssetId, Digest
from capsule.policy.document import ACCOUNT_PREFIX, ASSET_PREFIX
from capsule.policy.vocabulary import ACTION, ODRL_CONTEXT, PROFILE, PROFILE_NAMESPACE
from capsule.privacy import Epsilon

__all__ = ["offer"]


def offer(
    *,
    asset: AssetId,
    provider: Address,
    uid: str | None = None,
    not_before: int | None = None,
    not_after: int | None = None,
    seconds_per_grant: int | None = None,
    seconds_per_use: int | None = None,
    uses_per_grant: int | None = None,
    uses_per_buyer: int | None = None,
    uses_total: int | None = None,
    rows_per_buyer: int | None = None,
    purposes: Sequence[str] = (),
    buyers: Sequence[Address] = (),
    buyer_roles: Sequence[str] = (),
    algorithms: Sequence[Digest] = (),
    output_rows: int | None = None,
    output_bytes: int | None = None,
    group_size: int | None = None,
    suppress_small_groups: bool | None = None,
    groups_per_buyer: int | None = None,
    epsilon_per_use: Epsilon | None = None,
    epsilon_per_buyer: Epsilon | None = None,
    declared_groups: bool | None = None,
    columns: Sequence[str] = (),
    compute_nodes: Sequence[Address] = (),
    custodians: Sequence[Address] = (),
    least_threshold: int | None = None,
    provider_share: bool | None = None,
    automatic_grant: bool | None = None,
    measurements: Sequence[Digest] = (),
    attestation: Sequence[Level] = (),
    compute_by_buyer: bool | None = None,
    compute_by_custodian: bool | None = None,
    prohibited: Sequence[str] = (),
    obliged: Sequence[str] = (),
) -> Json:
    """An Offer of `provider` for `asset`. Times in unix seconds: open from `not_before` until before `not_after`.

    `prohibited` and `obliged` are actions, which are declared: nobody enforces them.
    """
    recipients = [*map(_account, buyers), *(f"role:{role}" for role in buyer_roles)]
    constraints = [
        _one("dateTime", "gteq", None if not_before is None else _time(not_before)),
        _one("dateTime", "lt", None if not_after is None else _time(not_after)),
        _one("elapsedTime", "lteq", None if seconds_per_grant is None else _duration(seconds_per_grant)),
        _one("ds:secondsPerUse", "lteq", None if seconds_per_use is None else _duration(seconds_per_use)),
        _one("count", "lteq", _count(uses_per_grant)),
        _one("ds:usesPerBuyer", "lteq", _count(uses_per_buyer)),
        _one("ds:usesTotal", "lteq", _count(uses_total)),
        _one("ds:rowsPerBuyer", "lteq", _count(rows_per_buyer)),
        _one("purpose", "isAnyOf", list(purposes) or None),
        _one("recipient", "isAnyOf", recipients or None),
        _one("product", "isAnyOf", [*map(str, algorithms)] or None),
        _one("ds:outputRows", "lteq", _count(output_rows)),
        _one("ds:outputBytes", "lteq", _count(output_bytes)),
        _one("ds:groupSize", "gteq", _count(group_size)),
        _one("ds:suppressSmallGroups", "eq", suppress_small_groups),
        _one("ds:groupsPerBuyer", "lteq", _count(groups_per_buyer)),
        _one("ds:epsilonPerUse", "lteq", _decimal(epsilon_per_use)),
        _one("ds:epsilonPerBuyer", "lteq", _decimal(epsilon_per_buyer)),
        _one("ds:columns", "isAnyOf", list(columns) or None),
        _one("ds:declaredGroups", "eq", declared_groups),
        _one("ds:computeNode", "isAnyOf", [*map(_account, compute_nodes)] or None),
        _one("ds:custodian", "isAnyOf", [*map(_account, custodians)] or None),
        _one("ds:leastThreshold", "gteq", _count(least_threshold)),
        _one("ds:providerShare", "eq", provider_share),
        _one("ds:automaticGrant", "eq", automatic_grant),
        _one("ds:measurement", "isAnyOf", [*map(str, measurements)] or None),
        _one("ds:attestation", "isAnyOf", [*map(str, attestation)] or None),
        _one("ds:computeByBuyer", "eq", compute_by_buyer),
        _one("ds:computeByCustodian", "eq", compute_by_custodian),
    ]
    target = f"{ASSET_PREFIX}{asset}"
    document: dict[str, Json] = {
        "@context": [ODRL_CONTEXT, {"ds": PROFILE_NAMESPACE}],
        "@type": "Offer",
        "uid": uid or f"{target}:policy",
        "profile": PROFILE,
        "assigner": _account(provider),
        "permission": [
            {"target": target, "action": ACTION, "constraint": [each for each in constraints if each is not None]}
        ],
    }
    if prohibited:
        document |= {"conflict": "prohibit", "prohibition": [_declared(action) for action in prohibited]}
    if obliged:
        document["obligation"] = [_declared(action) for action in obliged]
    return document


def _declared(action: str) -> Json:
    return {"action": action, "ds:label": "declared"}


def _one(term: str, operator: str, value: Json) -> Json:
    return None if value is None else {"leftOperand": term, "operator": operator, "rightOperand": value}


def _account(account: Address) -> str:
    return f"{ACCOUNT_PREFIX}{account}"


def _time(seconds: int) -> Json:
    text = datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    return {"@value": text, "@type": "xsd:dateTime"}


def _duration(seconds: int) -> Json:
    days, rest = divmod(seconds, 86_400)
    return {"@value": f"PT{seconds}S" if rest or not days else f"P{days}D", "@type": "xsd:duration"}


def _count(number: int | None) -> Json:
    return None if number is None else {"@value": str(number), "@type": "xsd:integer"}


def _decimal(epsilon: Epsilon | None) -> Json:
    return None if epsilon is None else {"@value": str(epsilon), "@type": "xsd:decimal"}
