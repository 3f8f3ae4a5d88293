"""The policy words that this system knows: ODRL's own, and those of our profile, written "ds:word".

Every enforceable term says who enforces it. What is not listed in OPERANDS is enforced by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, Flag, auto
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


class Label(Flag):
    """Who enforces a term, each alone. DECLARED: a party's signed word, which nobody can check."""

    CHAIN = auto()
    HOLDER = auto()
    RUNTIME = auto()
    DECLARED = auto()

    @property
    def parties(self) -> tuple[str, ...]:
        """Their names, as commands and pages give them."""
        return tuple(str(one.name).lower() for one in self)


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


# Holders hold every use against the policy again: what the chain enforces, they enforce too.
_LEDGER: Final = Label.CHAIN | Label.HOLDER
_EVERYONE: Final = Label.CHAIN | Label.HOLDER | Label.RUNTIME

OPERANDS: Final = MappingProxyType(
    {
        "dateTime": Operand(_LEDGER, Shape.WINDOW, Value.TIME),
        "elapsedTime": Operand(_LEDGER, Shape.AT_MOST, Value.DURATION),
        "count": Operand(_LEDGER, Shape.AT_MOST, Value.COUNT, 32),
        # Chain and holders compare the purpose's name; that the buyer keeps to it is its own word.
        "purpose": Operand(Label.DECLARED, Shape.ONE_OF, Value.TEXT),
        "recipient": Operand(_LEDGER, Shape.ONE_OF, Value.RECIPIENT),
        "product": Operand(_EVERYONE, Shape.ONE_OF, Value.DIGEST),
        "ds:usesPerBuyer": Operand(_LEDGER, Shape.AT_MOST, Value.COUNT, 32),
        "ds:usesTotal": Operand(_LEDGER, Shape.AT_MOST, Value.COUNT, 32),
        "ds:rowsPerBuyer": Operand(_EVERYONE, Shape.AT_MOST, Value.COUNT),
        "ds:secondsPerUse": Operand(_LEDGER, Shape.AT_MOST, Value.DURATION),
        "ds:computeNode": Operand(_LEDGER, Shape.ONE_OF, Value.ACCOUNT),
        "ds:custodian": Operand(_LEDGER, Shape.ONE_OF, Value.ACCOUNT),
        "ds:leastThreshold": Operand(_LEDGER, Shape.AT_LEAST, Value.COUNT, 8),
        "ds:providerShare": Operand(_LEDGER, Shape.FLAG, Value.BOOLEAN),
        "ds:automaticGrant": Operand(_LEDGER, Shape.FLAG, Value.BOOLEAN),
        "ds:computeByBuyer": Operand(_LEDGER, Shape.FLAG, Value.BOOLEAN),
        "ds:computeByCustodian": Operand(_LEDGER, Shape.FLAG, Value.BOOLEAN),
        "ds:measurement": Operand(Label.HOLDER | Label.RUNTIME, Shape.ONE_OF, Value.DIGEST),
        "ds:attestation": Operand(Label.HOLDER | Label.RUNTIME, Shape.ONE_OF, Value.TEXT),
        "ds:outputRows": Operand(Label.RUNTIME, Shape.AT_MOST, Value.COUNT),
        "ds:outputBytes": Operand(Label.RUNTIME, Shape.AT_MOST, Value.COUNT),
        "ds:groupSize": Operand(Label.RUNTIME, Shape.AT_LEAST, Value.COUNT),
        "ds:suppressSmallGroups": Operand(Label.RUNTIME, Shape.FLAG, Value.BOOLEAN),
        "ds:groupsPerBuyer": Operand(Label.RUNTIME, Shape.AT_MOST, Value.COUNT),
        "ds:epsilonPerUse": Operand(Label.RUNTIME, Shape.AT_MOST, Value.EPSILON, 53),
        "ds:epsilonPerBuyer": Operand(Label.RUNTIME, Shape.AT_MOST, Value.EPSILON, 53),
        "ds:columns": Operand(Label.RUNTIME, Shape.ONE_OF, Value.TEXT),
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
    )
)
