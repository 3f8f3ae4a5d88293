"""Generates `records.py` from the contracts' ABI: from a log straight to the text of its record, with no event between.

For logs by the million. What is regular (numbers up to 2^53 - 1, no bit set that its type does not have) is checked by
one mask over the data's fixed words and written out by position in its hex text. Anything else is for the strict
readers of `events.py`, which say what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from eth_utils.abi import event_abi_to_log_topic

from contracts.kinds import Abi, Field, fields_of, snake_case, struct_name

__all__ = ["records"]

_WORD: Final = 32
_SAFE_BITS: Final = 53
_WRITING: Final = ("account", "code", "entry_name", "listed", "number", "quoted", "regular")
_SUBJECTS: Final = {"asset": "asset_seq", "device": "device_seq"}
_HEAD: Final = '''\
"""Records of events by contract and topic 0: from topics and data to the place in the sequence and the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

'''


@dataclass(slots=True)
class _Value:
    """How one value is written: constant text and expressions in turn; `masks` are bits its fixed words don't have."""

    parts: list[str] = field(default_factory=list)
    masks: list[int] = field(default_factory=list)
    number: str | None = None


class _UnwrittenError(Exception):
    """A type that only the strict readers know."""


def records(abis: Mapping[str, Sequence[Abi]], header: str) -> str:
    """The module's text."""
    functions: dict[str, list[str]] = {}
    tables: list[str] = []
    for contract, abi in abis.items():
        tables.append(f'    "{contract}": {{')
        for item in sorted((one for one in abi if one["type"] == "event"), key=lambda one: str(one["name"])):
            try:
                lines = _function(item)
            except _UnwrittenError:
                continue
            name = f"_{snake_case(item['name'])}"
            functions[name] = lines
            topic = event_abi_to_log_topic(item).hex()  # type: ignore[arg-type]
            tables += [f'        bytes.fromhex("{topic}"): (', f'            "{item["name"]}",', f"            {name},"]
            tables += ["        ),"]
        tables.append("    },")
    body = [line for lines in functions.values() for line in lines]
    joined = "\n".join(body)
    used = [name for name in _WRITING if f"{name}(" in joined]
    words = [name for name in ("blob", "tail", "text") if f"{name}(" in joined]
    head = [f"{header}{_HEAD}from contracts.words import {', '.join(words)}"]
    head += ["from contracts.writing import (", *(f"    {name}," for name in used), ")", ""]
    head += ['__all__ = ["RECORDS", "Record", "Recorder"]', "", "Record = tuple[int, str, int, str]"]
    head += ['"""`seq`, subject ("" for none) and its own number, and the record\'s text (`audit.record`)."""', ""]
    head += ["Recorder = Callable[[tuple[bytes, ...], bytes], Record]"]
    end = ["", "", "RECORDS: Final[Mapping[str, Mapping[bytes, tuple[str, Recorder]]]] = {", *tables, "}"]
    return "\n".join([*head, *body, *end]) + "\n"


def _function(item: Abi) -> list[str]:
    pairs = list(zip(item["inputs"], fields_of(item["inputs"]), strict=True))
    indexed = [(entry, own) for entry, own in pairs if entry["indexed"]]
    plain = [(entry, own) for entry, own in pairs if not entry["indexed"]]
    values = {own.name: _topic(entry, own, place) for place, (entry, own) in enumerate(indexed, 1)}
    at = 0
    for entry, own in plain:
        values[own.name] = _value(entry, own, at)
        at += _WORD * own.kind.words
    seq = values.get("seq")
    if seq is None or seq.number is None:
        raise _UnwrittenError
    subject = next((name for name in _SUBJECTS if name in values and _SUBJECTS[name] in values), None)
    mask = int("".join(f"{one:064x}" for _, own in plain for one in values[own.name].masks) or "0", 16)
    whole = not any(own.kind.dynamic for _, own in plain)
    lines = ["", "", f"def _{snake_case(item['name'])}(topics: tuple[bytes, ...], data: bytes) -> Record:"]
    named = ", ".join(["_", *(f"topic{place}" for place in range(1, len(indexed) + 1))])
    lines += [f"    {named} = regular("]
    lines += [f"        {one}," for one in ("topics", len(indexed) + 1, "data", at, whole)]
    lines += [
        f"        {_mask(mask)},",
        "    )",
        f"    words = data[:{at}].hex()" if not whole else "    words = data.hex()",
    ]
    lines += ["    return ("]
    lines += [f"        {seq.number},"]
    if subject is None:
        lines += ['        "",', "        0,"]
    else:
        place = next(place for place, (_, own) in enumerate(indexed, 1) if own.name == subject)
        own_number = values[_SUBJECTS[subject]].number
        lines += [f'        f"0x{{topic{place}.hex()}}",', f"        {own_number},"]
    lines += ['        "".join(', "            ("]
    lines += [f"                {part}," for part in _joined(_object(values))]
    return [*lines, "            )", "        ),", "    )"]


def _mask(mask: int) -> str:
    return hex(mask).upper().replace("X", "x") if mask else "0"


def _object(values: Mapping[str, _Value]) -> Iterator[str]:
    """Parts of a JSON object, names in order (RFC 8785; all are ASCII)."""
    before = "{"
    for name in sorted(values):
        yield repr(f'{before}"{name}":')
        yield from values[name].parts
        before = ","
    yield repr("}")


def _joined(parts: Iterable[str]) -> list[str]:
    """Constant texts side by side become one."""
    joined: list[str] = []
    for part in parts:
        if joined and _constant(part) and _constant(joined[-1]):
            joined[-1] = repr(_said(joined[-1]) + _said(part))
        else:
            joined.append(part)
    return [_quoted(part) for part in joined]


def _constant(part: str) -> bool:
    return part.startswith("'")


def _said(part: str) -> str:
    return part[1:-1]


def _quoted(part: str) -> str:
    if not _constant(part):
        return part
    return part if '"' in part else f'"{_said(part)}"'


def _topic(entry: Abi, own: Field, place: int) -> _Value:
    kind, topic = str(entry["type"]), f"topic{place}"
    if own.kind.annotation == "str":
        return _Value(["'\"'", f"entry_name({topic})", "'\"'"])
    if kind == "bytes32":
        return _Value(["'\"0x'", f"{topic}.hex()", "'\"'"])
    if kind == "address":
        return _Value(["'\"'", f"account({topic})", "'\"'"])
    if kind == "bytes18":
        return _Value(["'\"'", f"code({topic})", "'\"'"])
    if kind.startswith("uint") and own.kind.annotation in ("int", "Role"):
        return _Value([f"str(number({topic}))"])
    raise _UnwrittenError


def _value(entry: Abi, own: Field, at: int) -> _Value:  # noqa: PLR0911  a case for each type
    kind, start, end = str(entry["type"]), 2 * at, 2 * at + 2 * _WORD
    word = f"words[{start}:{end}]"
    if kind == "tuple" and not own.kind.dynamic:
        return _tuple(entry, at)
    if kind == "bytes32" and own.kind.annotation != "str":
        return _Value(["'\"0x'", word, "'\"'"], [0])
    if kind == "address":
        return _Value(["'\"'", f"account(data[{at}:{at + _WORD}])", "'\"'"], [0])
    if kind == "bool":
        return _Value([f'"true" if data[{at + _WORD - 1}] else "false"'], [(1 << 256) - 2])
    if kind.startswith("uint") and not kind.endswith("]") and own.kind.annotation in ("int", "Role"):
        bits = min(int(kind.removeprefix("uint")), _SAFE_BITS)
        number = f"int(words[{end - 16}:{end}], 16)"
        return _Value([f"str({number})"], [(1 << 256) - (1 << bits)], number)
    tail = f"tail(data, 0, {at})"
    if kind == "bytes":
        return _Value(["'\"0x'", f"blob(data, {tail}).hex()", "'\"'"], [0])
    if kind == "string":
        return _Value([f"quoted(text(data, {tail}))"], [0])
    if kind == "bytes32[]":
        return _Value(["'['", f"listed(data, {tail})", "']'"], [0])
    raise _UnwrittenError


def _tuple(entry: Abi, at: int) -> _Value:
    if struct_name(entry["internalType"]) in ("Terms", "Order"):
        raise _UnwrittenError
    values: dict[str, _Value] = {}
    masks: list[int] = []
    fields = fields_of(entry["components"], in_struct=True)
    for part, own in zip(entry["components"], fields, strict=True):
        values[own.name] = _value(part, own, at)
        masks += values[own.name].masks
        at += _WORD * own.kind.words
    return _Value(list(_object(values)), masks)
