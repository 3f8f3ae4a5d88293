"""An event as a canonical JSON record, for the index and for people.

Invariant: equal events give equal bytes. Numbers past 2^53 - 1 are decimal text (RFC 8785 has doubles only), bytes are
0x hex, accounts are written as in EIP-55. The log itself is not part of the record; it is kept raw beside it.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Final

from capsule import canonical
from capsule.canonical import Json
from capsule.ids import Address, Bytes32
from contracts.events import Event

__all__ = ["body", "record"]

_SAFE_INTEGER: Final = 2**53 - 1


def record(event: Event) -> dict[str, Json]:
    """The event's fields by name, in the order of their declaration."""
    return {field.name: _json(getattr(event, field.name)) for field in fields(event) if field.name != "log"}


def body(event: Event) -> bytes:
    """RFC 8785 bytes of the record."""
    return canonical.encode(record(event))


def _json(value: object) -> Json:
    match value:
        case bool():
            return value
        case int():
            return int(value) if abs(value) <= _SAFE_INTEGER else str(int(value))
        case str() | Address() | Bytes32():
            return str(value)
        case bytes():
            return f"0x{value.hex()}"
        case tuple():
            return [_json(item) for item in value]
        case _ if is_dataclass(value):
            return {field.name: _json(getattr(value, field.name)) for field in fields(value)}
        case _:
            raise TypeError(f"an event holds a {type(value).__name__}, which has no written form")
