"""How each Solidity type of our interfaces looks in Python: its annotation, its reader and its writer.

The rules: ids by their user-defined type, `address` -> Address, `bytes32` -> Digest (Bytes32 where its name says it
is a key or an id of several kinds, str for a Directory name), `bytes18` -> Uscc, `uint32 roles` -> Role, lists ->
tuples, structs and enums -> the generated classes, `Terms` and `Order` -> those of `capsule`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "ENUMS",
    "PURE_STRUCTS",
    "Abi",
    "Field",
    "Kind",
    "enum_name",
    "fields_of",
    "snake_case",
    "struct_name",
    "type_constant",
]

Abi = dict[str, Any]

# An ABI does not name the members of an enum; a test compares these with the Solidity sources.
ENUMS: Final[Mapping[str, tuple[str, ...]]] = {
    "IAccess.Decision": ("None", "Released", "Refused"),
    "IAccess.RequestStatus": ("None", "Pending", "Granted", "Denied"),
    "IAccess.UseStatus": ("None", "Open", "Completed", "Failed", "Expired"),
    "IDevices.DeviceStatus": ("None", "Enrolled", "Retired"),
    "IParticipants.Status": ("None", "Active", "Suspended"),
}
_RENAMED: Final = {"Status": "ParticipantStatus"}
_IDS: Final = frozenset({"AssetId", "OpeningId", "RequestId", "GrantId", "UseId", "DeviceId", "FleetId"})
PURE_STRUCTS: Final = {"Terms": "capsule.terms", "Order": "capsule.order"}


@dataclass(frozen=True, slots=True)
class Kind:
    """How one Solidity type looks in Python. `read` has {data}, {at} (and {base} for the tuple it lies in)."""

    annotation: str
    accepts: str
    words: int
    dynamic: bool
    read: str
    write: str
    imports: frozenset[str]


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    solidity: str
    kind: Kind


def snake_case(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return spaced.strip("_").lower()


def _kind(entry: Abi, *, in_struct: bool = False) -> Kind:
    solidity: str = entry["type"]
    internal = str(entry.get("internalType", solidity))
    if solidity.endswith("[]"):
        inner = {**entry, "type": solidity[:-2], "internalType": internal[:-2]}
        return _list_kind(_kind(inner, in_struct=in_struct))
    if solidity == "tuple":
        return _tuple_kind(entry, internal)
    if internal.startswith("enum "):
        name = enum_name(internal.removeprefix("enum "))
        return _static(
            name, name, f"{name}(uint({{data}}, {{at}}, 8))", f"contracts.structs:{name}", "contracts.words:uint"
        )
    return _word_kind(snake_case(entry["name"]), solidity, internal, in_struct=in_struct)


def _static(annotation: str, accepts: str, read: str, *imports: str, write: str = "{value}") -> Kind:
    return Kind(annotation, accepts, 1, False, read, write, frozenset(imports))


def _word_kind(name: str, solidity: str, internal: str, *, in_struct: bool) -> Kind:
    kind: Kind | None = None
    if solidity == "bytes32":
        kind = _bytes32_kind(name, internal)
    elif solidity.startswith("uint"):
        kind = _uint_kind(name, int(solidity.removeprefix("uint")))
    elif solidity == "address":
        kind = _static("Address", "Address", "address({data}, {at})", "capsule.ids:Address", "contracts.words:address")
    elif solidity == "bool":
        kind = _static("bool", "bool", "boolean({data}, {at})", "contracts.words:boolean")
    elif solidity == "bytes18":
        kind = _uscc_kind(in_struct=in_struct)
    elif re.fullmatch(r"bytes\d+", solidity):
        size = solidity.removeprefix("bytes")
        kind = _static("bytes", "bytes", f"fixed({{data}}, {{at}}, {size})", "contracts.words:fixed")
    elif solidity in ("bytes", "string"):
        annotation, read = ("bytes", "blob") if solidity == "bytes" else ("str", "text")
        imports = frozenset({f"contracts.words:{read}", "contracts.words:tail"})
        position = f"{read}({{data}}, tail({{data}}, {{base}}, {{at}}))"
        kind = Kind(annotation, annotation, 1, True, position, "{value}", imports)
    if kind is None:
        raise ValueError(f"no Python type is set for Solidity's {solidity} ({name})")
    return kind


def _uint_kind(name: str, bits: int) -> Kind:
    if bits == 32 and name in ("roles", "buyer_roles"):
        return _static("Role", "int", "Role(uint({data}, {at}, 32))", "contracts.roles:Role", "contracts.words:uint")
    return _static("int", "int", f"uint({{data}}, {{at}}, {bits})", "contracts.words:uint")


def _uscc_kind(*, in_struct: bool) -> Kind:
    # A struct that nobody filled holds zeros, an event never does.
    annotation, read = ("Uscc | None", "uscc_or_none") if in_struct else ("Uscc", "uscc")
    imports = ("capsule.ids:Uscc", f"contracts.words:{read}")
    return _static(annotation, "Uscc", f"{read}({{data}}, {{at}})", *imports, write="{value}.encode()")


def _bytes32_kind(name: str, internal: str) -> Kind:
    if internal in _IDS:
        ids = f"capsule.ids:{internal}"
        return _static(internal, internal, f"{internal}(word({{data}}, {{at}}))", ids, "contracts.words:word")
    if name == "name":
        write = '{value}.encode("ascii").ljust(32, b"\\0")'
        return _static("str", "str", "directory_name({data}, {at})", "contracts.words:directory_name", write=write)
    if name.endswith(("_key", "_keys")) or name in ("use", "opening", "subject"):
        imports = ("capsule.ids:Bytes32", "contracts.words:bytes32")
        return _static("Bytes32", "bytes", "bytes32({data}, {at})", *imports)
    return _static("Digest", "Digest", "digest({data}, {at})", "capsule.ids:Digest", "contracts.words:digest")


def _list_kind(item: Kind) -> Kind:
    if item.write != "{value}" and not item.write.endswith("_values({value})"):
        raise ValueError(f"no list of {item.annotation} is set")
    write = "{value}" if item.write == "{value}" else f"[{item.write.format(value='item')} for item in {{value}}]"
    sequence = frozenset({"collections.abc:Sequence"})
    if item.dynamic:
        inner = _inner_reader(item)
        read = f"listing_of_tails({{data}}, tail({{data}}, {{base}}, {{at}}), {inner})"
        imports = item.imports | sequence | {"contracts.words:listing_of_tails", "contracts.words:tail"}
    else:
        read = f"listing({{data}}, tail({{data}}, {{base}}, {{at}}), {item.words * 32}, {_inner_reader(item)})"
        imports = item.imports | sequence | {"contracts.words:listing", "contracts.words:tail"}
    return Kind(f"tuple[{item.annotation}, ...]", f"Sequence[{item.accepts}]", 1, True, read, write, imports)


def _inner_reader(item: Kind) -> str:
    """A function (data, at) for list items; `at` is where the item itself lies."""
    body = item.read.replace("tail({data}, {base}, {at})", "{at}").format(data="d", at="i", base="i")
    plain = re.fullmatch(r"([a-z0-9_]+)\(d, i\)", body)
    return plain.group(1) if plain else f"lambda d, i: {body}"


def _tuple_kind(entry: Abi, internal: str) -> Kind:
    name = struct_name(internal)
    fields = fields_of(entry["components"], in_struct=True)
    dynamic = any(field.kind.dynamic for field in fields)
    words = 1 if dynamic else sum(field.kind.words for field in fields)
    snake = snake_case(name)
    at = "tail({data}, {base}, {at})" if dynamic else "{at}"
    module = PURE_STRUCTS.get(name, "contracts.structs")
    imports = {f"{module}:{name}"}
    imports |= {f"contracts.structs:{made}" for made in (f"read_{snake}", f"{snake}_values", type_constant(name))}
    if dynamic:
        imports.add("contracts.words:tail")
    read = f"read_{snake}({{data}}, {at})"
    return Kind(name, name, words, dynamic, read, f"{snake}_values({{value}})", frozenset(imports))


def fields_of(entries: Iterable[Abi], *, in_struct: bool = False) -> tuple[Field, ...]:
    return tuple(
        Field(snake_case(entry["name"]), _solidity(entry), _kind(entry, in_struct=in_struct)) for entry in entries
    )


def _solidity(entry: Abi) -> str:
    kind: str = entry["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_solidity(component) for component in entry['components'])}){kind.removeprefix('tuple')}"


def struct_name(internal: str) -> str:
    return internal.removeprefix("struct ").partition("[")[0].rpartition(".")[2]


def enum_name(internal: str) -> str:
    name = internal.rpartition(".")[2]
    return _RENAMED.get(name, name)


def type_constant(struct: str) -> str:
    return f"{snake_case(struct).upper()}_TYPE"
