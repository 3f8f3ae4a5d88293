"""ODRL's actions as a tree by includedIn, and our profile's; what is not here is unknown.

Source: ODRL Vocabulary 2.2, section 3.16 and 4.4; names that it has deprecated stand for those that replace them.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

__all__ = ["PARENTS", "REPLACED", "includes", "outermost", "under"]

_UNDER_USE: Final = (
    "acceptTracking aggregate annotate anonymize archive attribute compensate concurrentUse delete derive digitize "
    "distribute ensureExclusivity execute grantUse include index inform install modify move nextPolicy obtainConsent "
    "play present print read reproduce reviewPolicy stream synchronize textToSpeech transform translate uninstall "
    "watermark ds:reidentify"
)

# Each action and the one that it is included in; None for the roots.
PARENTS: Final = MappingProxyType[str, str | None](
    {
        "use": None,
        "transfer": None,
        **dict.fromkeys(_UNDER_USE.split(), "use"),
        "display": "play",
        "extract": "reproduce",
        "give": "transfer",
        "sell": "transfer",
    }
)

REPLACED: Final = MappingProxyType({"write": "modify", "writeTo": "modify", "copy": "reproduce", "export": "transform"})


def includes(broad: str, narrow: str) -> bool:
    """Whether `narrow` is `broad` or is included in it, at any depth."""
    at: str | None = narrow
    while at is not None:
        if at == broad:
            return True
        at = PARENTS[at]
    return False


def under(action: str) -> frozenset[str]:
    """The action and all that are included in it."""
    return frozenset(each for each in PARENTS if includes(action, each))


def outermost(actions: frozenset[str]) -> tuple[str, ...]:
    """The actions of a set that no other of the set includes, sorted."""
    return tuple(sorted(each for each in actions if not any(o != each and includes(o, each) for o in actions)))
