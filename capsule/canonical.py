"""The one JSON encoder of everything that is hashed or signed (RFC 8785), and its strict reader.

What needs none of RFC 8785's rules for numbers and the order of names is written by `orjson`, some ten times as fast
as by `rfc8785`; both write the same bytes there, which a test holds them to.

Invariant: `encode(decode(data))` never raises, and two readers of the same bytes see the same value: repeated names,
NaN, numbers that a double can't hold and lone surrogates are refused.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final, TypeAlias

import orjson
import rfc8785

from capsule.errors import FormatError, InputError

__all__ = ["MAX_DEPTH", "Json", "decode", "encode"]

# rfc8785 orders names by it; a process that is shut in can't load it any more
codecs.lookup("utf-16be")

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

MAX_DEPTH: Final = 128
_QUICK_MEMBERS: Final = 1 << 16
_SIMPLE: Final = frozenset({str, int, bool, type(None)})
_SAFE_INTEGER: Final = 2**53 - 1
# rfc8785 sorts by it: loaded when it is first used, which is too late in a confined process
codecs.lookup("utf-16be")
_BRACKETS: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)|([\[{])|([\]}])', re.DOTALL)


def encode(value: Json) -> bytes:
    """RFC 8785 bytes of a value.

    Raises InputError for what JSON can't hold: integers past 2^53 - 1, NaN, infinities, lone surrogates, other types.
    """
    if _is_simple(value):
        try:
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER)
        except orjson.JSONEncodeError:
            pass  # the other says why, in its own error
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, TypeError, RecursionError) as exc:
        raise InputError(f"value has no canonical JSON form: {exc}") from exc


def _is_simple(value: object) -> bool:
    """Of what two encoders write alike: text, whole numbers, true, false, null, lists, objects with ASCII names.

    They differ in numbers with a fraction, and in the order of names past ASCII. For very long lists the quick one
    takes much memory.
    """
    members: Collection[object]
    if type(value) is dict:
        names, members = value.keys(), value.values()
        if not all(type(name) is str and name.isascii() for name in names):
            return False
    elif type(value) is list or type(value) is tuple:
        members = value
    else:
        return type(value) in _SIMPLE
    return len(members) <= _QUICK_MEMBERS and all(type(member) in _SIMPLE or _is_simple(member) for member in members)


def decode(data: bytes) -> Json:
    """Reads JSON, canonical or not.

    Raises FormatError for anything that is not UTF-8 JSON, is nested deeper than MAX_DEPTH, or could be understood
    differently by two readers.
    """
    try:
        text = data.decode("utf-8")
        _check_depth(text)
        value: Json = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_integer,
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError as exc:
        raise FormatError("JSON is not UTF-8, or holds half of a surrogate pair") from exc
    except (ValueError, RecursionError) as exc:
        raise FormatError(f"not JSON: {exc}") from exc
    return value


def _check_depth(text: str) -> None:
    """The parser recurses in C, and some libraries raise Python's limit past what the stack holds."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        if bracket[1]:
            depth += 1
            if depth > MAX_DEPTH:
                raise FormatError(f"JSON is nested deeper than {MAX_DEPTH}")
        elif bracket[2]:
            depth -= 1


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise FormatError("JSON object repeats a name")
    return members


def _constant(name: str) -> Json:
    raise FormatError(f"JSON has no {name}")


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise FormatError("JSON number is out of range")
    return value


def _integer(digits: str) -> int | float:
    """Past 2^53 - 1 only what RFC 8785 writes for a double is read, as that double; the rest readers would round."""
    if len(digits) <= 17 and abs(value := int(digits)) <= _SAFE_INTEGER:
        return value
    double = _float(digits)
    if rfc8785.dumps(double) != digits.encode():
        raise FormatError("JSON integer is past 2^53 - 1; write it as text")
    return double
