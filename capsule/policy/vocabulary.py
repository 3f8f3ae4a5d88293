"""The policy words that this system knows: ODRL's own, and those of our profile, written "ds:word".

Every enforceable term says who enforces it. What is not listed in OPERANDS is enforced by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final

__all__ = [
    "ACTION",
    "ANY_BUYER",
    "DECLARABLE",
    "ODRL_CONTEXT",
    "ODRL_NAMESPACE",
    "OPERANDS",
    "OPERATORS",
    "PROFILE",
    "PROFILE_NAMESPACE",
    "ROLES",
    "Label",
    "Operand",
    "Shape",
    "Value",
]

ODRL_CONTEXT: Final = "http://www.w3.org/ns/odrl.jsonld"
ODRL_NAMESPACE: Final = "http://www.w3.org/ns/odrl/2/"
PROFILE: Final = "https://dataspace.example/odrl/1"
PROFILE_NAMESPACE: Final = PROFILE + "#"
ACTION: Final = "use"
# Who may ask where a policy of our profile names no recipient.
ANY_BUYER: Final = "role:buyer"

OPERATORS: Final = frozenset(
    ("eq", "gt", "gteq", "lt", "lteq", "neq", "isA", "hasPart", "isPartOf", "isAllOf", "isAnyOf", "isNoneOf")
)
ROLES: Final = MappingProxyType(
    {"provider": 1, "buyer": 2, "custodian": 4, "compute": 8, "gateway": 16, "regulator": 32}
)


class Label(StrEnum):
    """Who enforces a term. DECLARED: a party's signed word, which nobody can check."""

    CHAIN = "chain"
    HOLDER = "holder"
    RUNTIME = "runtime"
    DECLARED = "declared"


class Shape(Enum):
    """Which operators a term takes: lteq lt; gteq gt; all four; isAnyOf eq; eq."""

    AT_MOST = 1
    AT_LEAST = 2
    WINDOW = 3
    ONE_OF = 4
    FLAG = 5


class Value(Enum):
    """What a term compares with."""

    TIME = 1
    DURATION = 2
    COUNT = 3
    TEXT = 4
    RECIPIENT = 5
    ACCOUNT = 6
    DIGEST = 7
    BOOLEAN = 8
    EPSILON = 9


@dataclass(frozen=True, slots=True)
class Operand:
    """An enforceable left operand. Numbers, of an epsilon its millionths, fit in `bits`."""

    label: Label
    shape: Shape
    value: Value
    bits: int = 64


OPERANDS: Final = MappingProxyType(
    {
        "dateTime": Operand(Label.CHAIN, Shape.WINDOW, Value.TIME),
        "elapsedTime": Operand(Label.CHAIN, Shape.AT_MOST, Value.DURATION),
        "count": Operand(Label.CHAIN, Shape.AT_MOST, Value.COUNT, 32),
        # The chain compares the purpose's name; that the buyer keeps to it is its own word.
        "purpose": Operand(Label.DECLARED, Shape.ONE_OF, Value.TEXT),
        "recipient": Operand(Label.CHAIN, Shape.ONE_OF, Value.RECIPIENT),
        "product": Operand(Label.CHAIN, Shape.ONE_OF, Value.DIGEST),
        "ds:usesPerBuyer": Operand(Label.CHAIN, Shape.AT_MOST, Value.COUNT, 32),
        "ds:usesTotal": Operand(Label.CHAIN, Shape.AT_MOST, Value.COUNT, 32),
        "ds:rowsPerBuyer": Operand(Label.CHAIN, Shape.AT_MOST, Value.COUNT),
        "ds:secondsPerUse": Operand(Label.CHAIN, Shape.AT_MOST, Value.DURATION),
        "ds:computeNode": Operand(Label.CHAIN, Shape.ONE_OF, Value.ACCOUNT),
        "ds:custodian": Operand(Label.CHAIN, Shape.ONE_OF, Value.ACCOUNT),
        "ds:leastThreshold": Operand(Label.CHAIN, Shape.AT_LEAST, Value.COUNT, 8),
        "ds:providerShare": Operand(Label.CHAIN, Shape.FLAG, Value.BOOLEAN),
        "ds:automaticGrant": Operand(Label.CHAIN, Shape.FLAG, Value.BOOLEAN),
        "ds:computeByBuyer": Operand(Label.CHAIN, Shape.FLAG, Value.BOOLEAN),
        "ds:computeByCustodian": Operand(Label.CHAIN, Shape.FLAG, Value.BOOLEAN),
        "ds:measurement": Operand(Label.HOLDER, Shape.ONE_OF, Value.DIGEST),
        "ds:attestation": Operand(Label.HOLDER, Shape.ONE_OF, Value.TEXT),
        "ds:outputRows": Operand(Label.RUNTIME, Shape.AT_MOST, Value.COUNT),
        "ds:outputBytes": Operand(Label.RUNTIME, Shape.AT_MOST, Value.COUNT),
        "ds:groupSize": Operand(Label.RUNTIME, Shape.AT_LEAST, Value.COUNT),
        "ds:suppressSmallGroups": Operand(Label.RUNTIME, Shape.FLAG, Value.BOOLEAN),
        "ds:groupsPerBuyer": Operand(Label.RUNTIME, Shape.AT_MOST, Value.COUNT),
        "ds:epsilonPerUse": Operand(Label.RUNTIME, Shape.AT_MOST, Value.EPSILON, 53),
        "ds:epsilonPerBuyer": Operand(Label.RUNTIME, Shape.AT_MOST, Value.EPSILON, 53),
        # A module counts its groups by itself: the runtime compares what it says, that it is true is the module's word.
        "ds:declaredGroups": Operand(Label.DECLARED, Shape.FLAG, Value.BOOLEAN),
    }
)

# Left operands of ODRL 2.2 and of our profile that nobody enforces, so that they may only be declared.
DECLARABLE: Final = frozenset(
    (
        "absolutePosition",
        "absoluteSize",
        "absoluteSpatialPosition",
        "absoluteTemporalPosition",
        "delayPeriod",
        "deliveryChannel",
        "event",
        "fileFormat",
        "industry",
        "language",
        "media",
        "meteredTime",
        "payAmount",
        "percentage",
        "relativePosition",
        "relativeSize",
        "relativeSpatialPosition",
        "relativeTemporalPosition",
        "resolution",
        "spatial",
        "spatialCoordinates",
        "system",
        "systemDevice",
        "timeInterval",
        "unitOfCount",
        "version",
        "virtualLocation",
        "ds:columns",
    )
)
