"""Generates the typed Python door from the contracts' ABI: structs, events, reverts and one binding per contract.

ABI files in, texts out. The same ABI gives the same bytes, and the output is what `ruff format` would leave alone.
Readers of encoded data are written out word by word (`contracts.words`), so that reading a log costs no interpretation
of types; writers go through eth_abi.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eth_utils.abi import event_abi_to_log_topic, function_abi_to_4byte_selector
from eth_utils.crypto import keccak

from contracts.generate_records import records
from contracts.kinds import (
    ENUMS,
    PURE_STRUCTS,
    Abi,
    Field,
    enum_name,
    fields_of,
    snake_case,
    struct_name,
    type_constant,
)

__all__ = ["CONTRACTS", "generate"]

CONTRACTS: Final = ("Directory", "Participants", "Assets", "Access", "Devices", "OperationLog")

_LINE: Final = 120
_HEADER: Final = "# Generated from the contracts' ABI by scripts/build_contracts.py; do not edit.\n"


def generate(abi_dir: Path, out_dir: Path) -> dict[Path, str]:
    """All generated files by path under `out_dir`, from `abi_dir`/<Contract>.json ({"abi": [...], ...})."""
    abis = {name: _load(abi_dir / f"{name}.json") for name in CONTRACTS}
    files = {
        out_dir / "structs.py": _structs(abis),
        out_dir / "events.py": _events(abis),
        out_dir / "records.py": records(abis, _HEADER),
        out_dir / "reverts.py": _reverts(abis),
        out_dir / "bindings" / "__init__.py": _bindings_index(),
    }
    for name, abi in abis.items():
        files[out_dir / "bindings" / f"{snake_case(name)}.py"] = _binding(name, abi)
    return files


def _load(path: Path) -> list[Abi]:
    abi: list[Abi] = json.loads(path.read_text("utf-8"))["abi"]
    return abi


# Names and layout


def _one_line_or_many(head: str, items: Sequence[str], end: str, indent: int) -> list[str]:
    """`head` items `end` on one line where that fits, else one item a line with a trailing comma."""
    pad = " " * indent
    line = f"{pad}{head}{', '.join(items)}{end}"
    if len(line) <= _LINE or not items:
        return [line]
    return [f"{pad}{head}", *(f"{pad}    {item}," for item in items), f"{pad}{end}"]


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def _exports(names: Iterable[str]) -> list[str]:
    ordered = sorted(names, key=_export_order)
    return ["__all__ = [", *(f'    "{name}",' for name in ordered), "]"]


def _export_order(name: str) -> tuple[int, str]:
    if name.isupper():
        return 0, name
    return (1 if name[0].isupper() else 2), name


def _imports(names: Iterable[str]) -> list[str]:
    """`module:name` and `module` entries as sorted import lines."""
    by_module: dict[str, set[str]] = {}
    for entry in names:
        module, _, name = entry.partition(":")
        by_module.setdefault(module, set())
        if name:
            by_module[module].add(name)
    lines = [f"import {module}" for module in sorted(by_module) if not by_module[module]]
    for module in sorted(by_module):
        if not by_module[module]:
            continue
        found = sorted(by_module[module], key=_export_order)
        one = f"from {module} import {', '.join(found)}"
        if len(one) <= _LINE:
            lines.append(one)
        else:
            lines += [f"from {module} import (", *(f"    {name}," for name in found), ")"]
    return lines


def _reads(fields: Sequence[Field], data: str, base: str | None) -> list[str]:
    """An expression for each field of a tuple at `base` (None: at 0)."""
    expressions, offset = [], 0
    for field in fields:
        at = str(offset) if base is None else (base if offset == 0 else f"{base} + {offset}")
        expressions.append(field.kind.read.format(data=data, at=at, base=base or "0"))
        offset += 32 * field.kind.words
    return expressions


def _used(imports: Iterable[str], body: str) -> set[str]:
    """Those imports whose name the text really uses."""
    return {entry for entry in imports if re.search(rf"\b{re.escape(entry.partition(':')[2])}\b", body)}


# Files


@dataclass(frozen=True, slots=True)
class _Struct:
    """`written`: some function takes it, so it needs a writer and not only a reader."""

    name: str
    fields: tuple[Field, ...]
    written: bool


def _walk_structs(abis: Mapping[str, list[Abi]]) -> list[_Struct]:
    found: dict[str, tuple[Field, ...]] = {}
    written: set[str] = set()

    def visit(entry: Abi, is_argument: bool) -> None:
        for component in entry.get("components", ()):
            visit(component, is_argument)
        if entry["type"].startswith("tuple"):
            name, fields = struct_name(entry["internalType"]), fields_of(entry["components"], in_struct=True)
            if found.setdefault(name, fields) != fields:
                raise ValueError(f"two structs are called {name}")
            if is_argument:
                written.add(name)

    for abi in abis.values():
        for item in abi:
            for entry in item.get("inputs", ()):
                visit(entry, item["type"] == "function")
            for entry in item.get("outputs", ()):
                visit(entry, False)
    return [_Struct(name, fields, name in written) for name, fields in found.items()]


def _structs(abis: Mapping[str, list[Abi]]) -> str:
    structs = _walk_structs(abis)
    body: list[str] = []
    for internal, members in ENUMS.items():
        body += ["", "", f"class {enum_name(internal)}(IntEnum):", f'    """Solidity: {internal}."""', ""]
        body += [f"    {member.upper()} = {value}" for value, member in enumerate(members)]
    imports = {f"{module}:{name}" for name, module in PURE_STRUCTS.items()}
    exports = [enum_name(internal) for internal in ENUMS]
    for struct in structs:
        snake = snake_case(struct.name)
        exports.append(f"read_{snake}")
        exports += [f"{snake}_values", type_constant(struct.name)] if struct.written else []
        exports += [struct.name] if struct.name not in PURE_STRUCTS else []
        imports |= {entry for field in struct.fields for entry in field.kind.imports}
        body += _struct(struct)
    joined = _text(body)
    outside = {entry for entry in _used(imports, joined) if not entry.startswith("contracts.structs:")}
    head = [
        f'{_HEADER}"""Structs and enums of the contracts as frozen values, with their readers and writers."""',
        "",
        "from __future__ import annotations",
        "",
        *_imports({"dataclasses:dataclass", "enum:IntEnum", "typing:Final"}),
        "",
        *_imports(outside - {"collections.abc:Sequence"}),
        "",
        *_exports(exports),
    ]
    return _text(head) + joined


def _struct(struct: _Struct) -> list[str]:
    name, fields, snake = struct.name, struct.fields, snake_case(struct.name)
    lines: list[str] = []
    if name not in PURE_STRUCTS:
        lines += ["", "", "@dataclass(frozen=True, slots=True, kw_only=True)", f"class {name}:"]
        lines += [f'    """Solidity: struct {name}."""', ""]
        lines += [f"    {field.name}: {field.kind.annotation}" for field in fields]
    lines += ["", "", f"def read_{snake}(data: bytes, at: int) -> {name}:"]
    lines += ['    """The struct at `at`."""', f"    return {name}("]
    reads = zip(fields, _reads(fields, "data", "at"), strict=True)
    lines += [f"        {field.name}={read}," for field, read in reads] + ["    )"]
    if struct.written:
        lines += ["", "", *_type_lines(name, fields)]
        lines += ["", "", f"def {snake}_values(value: {name}) -> tuple[object, ...]:"]
        lines += ['    """As eth_abi takes it."""', "    return ("]
        lines += [f"        {field.kind.write.format(value=f'value.{field.name}')}," for field in fields] + ["    )"]
    return lines


def _type_lines(struct: str, fields: Sequence[Field]) -> list[str]:
    """The struct's ABI type as a constant, broken at commas."""
    head, text = f"{type_constant(struct)}: Final = ", f"({','.join(field.solidity for field in fields)})"
    if len(head) + len(text) + 2 <= _LINE:
        return [f'{head}"{text}"']
    lines, current = [], ""
    for part in re.findall(r"[^,]+,?", text):
        if len(current) + len(part) > _LINE - 6:
            lines.append(current)
            current = ""
        current += part
    return [f"{head}(", *(f'    "{line}"' for line in [*lines, current]), ")"]


def _events_of(abi: Sequence[Abi]) -> list[Abi]:
    return sorted((item for item in abi if item["type"] == "event"), key=lambda item: str(item["name"]))


_EVENT_IMPORTS: Final = frozenset(
    {
        "collections.abc:Callable",
        "collections.abc:Mapping",
        "dataclasses:dataclass",
        "typing:ClassVar",
        "typing:Final",
    }
)
_EVENT_BASES: Final = '''

@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Any event of the contract set; `log` is what the chain holds of it, `TOPIC` topic 0 of its kind."""

    TOPIC: ClassVar[bytes]

    log: RawLog


@dataclass(frozen=True, slots=True, kw_only=True)
class SequencedEvent(Event):
    """An event of our interfaces: `seq` counts its contract's events from 1 without gaps (ISequenced)."""

    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetEvent(SequencedEvent):
    """An event about an asset: `asset_seq` counts that asset's events within this contract."""

    asset: AssetId
    asset_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvent(SequencedEvent):
    """An event about a device: `device_seq` counts that device's events within this contract."""

    device: DeviceId
    device_seq: int'''


def _event_base(fields: Sequence[Field]) -> tuple[str, set[str]]:
    names = {field.name for field in fields}
    if "asset_seq" in names:
        return "AssetEvent", {"seq", "asset", "asset_seq"}
    if "device_seq" in names:
        return "DeviceEvent", {"seq", "device", "device_seq"}
    if "seq" in names:
        return "SequencedEvent", {"seq"}
    return "Event", set()


def _events(abis: Mapping[str, list[Abi]]) -> str:
    seen: dict[str, bytes] = {}
    body: list[str] = [_EVENT_BASES]
    imports = {
        "capsule.ids:AssetId",
        "capsule.ids:DeviceId",
        "contracts.chain:RawLog",
        "contracts.words:topics",
    }
    tables: list[str] = []
    for contract, abi in abis.items():
        tables.append(f'    "{contract}": {{')
        for item in _events_of(abi):
            name: str = item["name"]
            topic = event_abi_to_log_topic(item)  # type: ignore[arg-type]
            tables.append(f"        {name}.TOPIC: {name}.from_log,")
            if name in seen:
                if seen[name] != topic:
                    raise ValueError(f"two events are called {name}")
                continue
            seen[name] = topic
            lines, used = _event(item)
            body += lines
            imports |= used
        tables.append("    },")
    body += ["", "", "DECODERS: Final[Mapping[str, Mapping[bytes, Callable[[RawLog], Event]]]] = {", *tables, "}"]
    joined = _text(body)
    head = [
        f'{_HEADER}"""Events of the contracts as frozen values with their readers, found by contract and topic 0."""',
        "",
        "from __future__ import annotations",
        "",
        *_imports(_EVENT_IMPORTS),
        "",
        *_imports(_used(imports, joined) - {"collections.abc:Sequence"}),
        "",
        *_exports(["DECODERS", "AssetEvent", "DeviceEvent", "Event", "SequencedEvent", *seen]),
    ]
    return _text(head) + joined


def _event(item: Abi) -> tuple[list[str], set[str]]:
    fields = fields_of(item["inputs"])
    base, inherited = _event_base(fields)
    signature = ", ".join(
        f"{_plain(entry)} {'indexed ' if entry['indexed'] else ''}{entry['name']}" for entry in item["inputs"]
    )
    own = [field for field in fields if field.name not in inherited]
    lines = ["", "", "@dataclass(frozen=True, slots=True, kw_only=True)", f"class {item['name']}({base}):"]
    lines += _docstring(f"Solidity: {item['name']}({signature}).")
    topic = event_abi_to_log_topic(item).hex()  # type: ignore[arg-type]
    lines += ["", f'    TOPIC: ClassVar[bytes] = bytes.fromhex("{topic}")']
    lines += ["", *(f"    {field.name}: {field.kind.annotation}" for field in own)] if own else []
    pairs = list(zip(item["inputs"], fields, strict=True))
    indexed = [field for entry, field in pairs if entry["indexed"]]
    plain = [field for entry, field in pairs if not entry["indexed"]]
    if any(field.kind.dynamic for field in indexed):
        raise ValueError(f"{item['name']} indexes a value that a topic can't hold")
    unpacked = ", ".join(["_", *(f"topic{place}" for place in range(1, len(indexed) + 1))])
    lines += ["", "    @classmethod", f"    def from_log(cls, log: RawLog) -> {item['name']}:"]
    lines += ['        """Reads a log of this event."""']
    lines += [f"        {unpacked} = topics(log.topics, {len(indexed) + 1})"] if indexed else []
    lines += [] if indexed else ["        topics(log.topics, 1)"]
    lines += ["        data = log.data"] if plain else []
    lines += ["        return cls(", "            log=log,"]
    for place, field in enumerate(indexed, 1):
        lines.append(f"            {field.name}={field.kind.read.format(data=f'topic{place}', at='0', base='0')},")
    for field, read in zip(plain, _reads(plain, "data", None), strict=True):
        lines.append(f"            {field.name}={read},")
    lines.append("        )")
    return lines, {entry for field in fields for entry in field.kind.imports}


def _plain(entry: Abi) -> str:
    return str(entry.get("internalType", entry["type"])).removeprefix("struct ").removeprefix("enum ")


def _docstring(text: str, indent: int = 4) -> list[str]:
    """A docstring that breaks where a line would be too long."""
    pad = " " * indent
    if len(pad) + 6 + len(text) <= _LINE:
        return [f'{pad}"""{text}"""']
    lines, current = [], f'{pad}"""'
    for part in text.split(" "):
        if len(current) + len(part) > _LINE - 2:
            lines.append(current.rstrip())
            current = pad
        current += part + " "
    return [*lines, current.rstrip(), f'{pad}"""']


def _reverts(abis: Mapping[str, list[Abi]]) -> str:
    errors: dict[str, tuple[str, list[Abi]]] = {}
    for abi in abis.values():
        for item in abi:
            if item["type"] == "error":
                types = ",".join(field.solidity for field in fields_of(item["inputs"]))
                selector = keccak(f"{item['name']}({types})".encode())[:4].hex()
                errors[selector] = (item["name"], item["inputs"])
    entries: list[str] = []
    imports: set[str] = set()
    for selector, (name, inputs) in sorted(errors.items(), key=lambda entry: entry[1][0]):
        fields = fields_of(inputs)
        reads = _reads(fields, "data", None)
        imports |= {entry for field in fields for entry in field.kind.imports}
        values = ", ".join(reads) + ("," if len(reads) == 1 else "")
        line = f'    bytes.fromhex("{selector}"): ("{name}", lambda data: ({values})),'
        if not reads:
            entries.append(f'    bytes.fromhex("{selector}"): ("{name}", lambda _: ()),')
        elif len(line) <= _LINE:
            entries.append(line)
        else:
            entries += [f'    bytes.fromhex("{selector}"): (', f'        "{name}",']
            entries += [f"        lambda data: ({values}),", "    ),"]
    table = _text(
        ["", "REVERTS: Final[Mapping[bytes, tuple[str, Callable[[bytes], tuple[object, ...]]]]] = {", *entries, "}"]
    )
    head = [
        f'{_HEADER}"""Custom errors of the contracts: name and reader of the arguments, by selector."""',
        "",
        "from __future__ import annotations",
        "",
        *_imports({"collections.abc:Callable", "collections.abc:Mapping", "typing:Final"}),
        "",
        *_imports(_used(imports, table) - {"collections.abc:Sequence"}),
        "",
        '__all__ = ["REVERTS"]',
    ]
    return _text(head) + table


def _bindings_index() -> str:
    lines = [f'{_HEADER}"""One class per contract, one typed method per Solidity function."""', ""]
    lines += ["from __future__ import annotations", ""]
    lines += _imports(f"contracts.bindings.{snake_case(name)}:{name}" for name in CONTRACTS)
    names = ", ".join(f'"{name}"' for name in sorted(CONTRACTS))
    return _text([*lines, "", f"__all__ = [{names}]"])


def _binding(contract: str, abi: Sequence[Abi]) -> str:
    functions = sorted((item for item in abi if item["type"] == "function"), key=lambda item: str(item["name"]))
    names = [item["name"] for item in functions]
    if len(set(names)) != len(names):
        raise ValueError(f"{contract} overloads a function")
    body: list[str] = ["", "", f"class {contract}(Binding):", f'    """The contract {contract}."""']
    imports = {"contracts.binding:Binding", "contracts.transaction:Transaction"}
    for item in functions:
        inputs, outputs = fields_of(item["inputs"]), fields_of(_named(item["outputs"]))
        imports |= {entry for field in (*inputs, *outputs) for entry in field.kind.imports}
        view = item["stateMutability"] in ("view", "pure")
        body += _view(item, inputs, outputs) if view else _sending(item, inputs)
    joined = _text(body)
    used = _used(imports, joined)
    standard = {entry for entry in used if entry.startswith("collections")}
    head = [
        f'{_HEADER}"""The contract {contract}: one typed method per Solidity function."""',
        "",
        "from __future__ import annotations",
        "",
        *([*_imports(standard), ""] if standard else []),
        *_imports(used - standard),
        "",
        f'__all__ = ["{contract}"]',
    ]
    return _text(head) + joined


def _named(outputs: Sequence[Abi]) -> list[Abi]:
    return [{**entry, "name": entry["name"] or f"value{place}"} for place, entry in enumerate(outputs)]


def _signature(item: Abi) -> str:
    inputs = ", ".join(f"{_plain(entry)} {entry['name']}".strip() for entry in item["inputs"])
    outputs = ", ".join(f"{_plain(entry)} {entry['name']}".strip() for entry in item["outputs"])
    returns = f" returns ({outputs})" if outputs else ""
    return f"Solidity: {item['name']}({inputs}){returns}."


def _arguments(item: Abi, inputs: Sequence[Field]) -> list[str]:
    """`selector, types, values` for Binding's methods."""
    selector = f'bytes.fromhex("{function_abi_to_4byte_selector(item).hex()}")'  # type: ignore[arg-type]
    if not inputs:
        return [selector]
    types = ", ".join(_type_name(entry) for entry in item["inputs"])
    values = ", ".join(field.kind.write.format(value=field.name) for field in inputs)
    comma = "," if len(inputs) == 1 else ""
    return [selector, f"({types}{comma})", f"({values}{comma})"]


def _type_name(entry: Abi) -> str:
    """The ABI type as an expression; a struct's stands in contracts.structs."""
    if not entry["type"].startswith("tuple"):
        return f'"{entry["type"]}"'
    constant, suffix = type_constant(struct_name(entry["internalType"])), entry["type"].removeprefix("tuple")
    return f'{constant} + "{suffix}"' if suffix else constant


def _view(item: Abi, inputs: Sequence[Field], outputs: Sequence[Field]) -> list[str]:
    parameters = ["self", *(f"{field.name}: {field.kind.accepts}" for field in inputs), "*", "at: int | None = None"]
    returns = ", ".join(field.kind.annotation for field in outputs)
    annotation = returns if len(outputs) == 1 else f"tuple[{returns}]"
    lines = ["", *_one_line_or_many(f"def {snake_case(item['name'])}(", parameters, f") -> {annotation}:", 4)]
    lines += _docstring(_signature(item), 8)
    lines += _one_line_or_many("data = self._call(", [*_arguments(item, inputs), "at=at"], ")", 8)
    reads = _reads(outputs, "data", None)
    lines += [f"        with self._reading({item['name']!r}):".replace("'", '"')]
    lines += _one_line_or_many("return (" if len(reads) > 1 else "return ", reads, ")" if len(reads) > 1 else "", 12)
    return lines


def _sending(item: Abi, inputs: Sequence[Field]) -> list[str]:
    parameters = ["self", *(f"{field.name}: {field.kind.accepts}" for field in inputs)]
    arguments = _arguments(item, inputs)
    if item["stateMutability"] == "payable":
        parameters += ["*", "value: int = 0"]
        arguments.append("value=value")
    lines = ["", *_one_line_or_many(f"def {snake_case(item['name'])}(", parameters, ") -> Transaction:", 4)]
    lines += _docstring(_signature(item), 8)
    lines += _one_line_or_many("return self._send(", arguments, ")", 8)
    return lines
