"""The contracts on an in-process EVM: deploy, call, send, and every log as its ABI says.

Calls take plain values (structs as tuples in ABI order) and return plain values (structs as named tuples). A refusal is
a `RevertedError` with the error's name and arguments.
"""

from __future__ import annotations

import json
import re
from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pyrevm
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

__all__ = ["CONTRACTS", "Chain", "Contract", "Event", "Outcome", "RevertedError", "load"]

ABI_DIR: Final = Path(__file__).parents[3] / "contracts" / "abi"
PROBES_DIR: Final = Path(__file__).parent / "probes"
CONTRACTS: Final = ("Access", "Assets", "Devices", "Directory", "OperationLog", "Participants")
CHAIN_ID: Final = 1
_OUTPUT: Final = re.compile(r"output: 0x([0-9a-f]*)")

Abi = Mapping[str, Any]


class RevertedError(Exception):
    """A contract refused a call."""

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        super().__init__(f"{name}{arguments}")
        self.name = name
        self.arguments = arguments


@dataclass(frozen=True, slots=True)
class Event:
    """One log; `values` by the ABI's argument names."""

    address: str
    name: str
    values: Mapping[str, Any]
    topics: tuple[bytes, ...]
    data: bytes

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sent call did."""

    value: Any
    events: tuple[Event, ...]
    gas_used: int

    def event(self, name: str) -> Event:
        (event,) = (event for event in self.events if event.name == name)
        return event


@cache
def load(name: str) -> Abi:
    """The committed build of a contract or probe."""
    folder = ABI_DIR if name in CONTRACTS else PROBES_DIR
    document: Abi = json.loads((folder / f"{name}.json").read_text())
    return document


def canonical(entry: Abi) -> str:
    """ABI type of one input, structs spelled out."""
    kind: str = entry["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(canonical(part) for part in entry['components'])}){kind.removeprefix('tuple')}"


def _shaped(entry: Abi, value: Any) -> Any:
    kind: str = entry["type"]
    if kind.endswith("[]"):
        return tuple(_shaped({**entry, "type": kind[:-2]}, item) for item in value)
    if kind != "tuple":
        return value
    parts = entry["components"]
    return _struct(tuple(part["name"] for part in parts))(
        *(_shaped(part, item) for part, item in zip(parts, value, strict=True))
    )


@cache
def _struct(names: tuple[str, ...]) -> Any:
    return namedtuple("Struct", names)


def _types(entries: Sequence[Abi]) -> list[str]:
    return [canonical(entry) for entry in entries]


def _signature(item: Abi) -> str:
    return f"{item['name']}({','.join(_types(item['inputs']))})"


@dataclass(frozen=True, slots=True)
class _Function:
    selector: bytes
    inputs: list[str]
    outputs: list[str]
    shapes: Sequence[Abi]
    view: bool


@cache
def _functions(contract: str) -> Mapping[str, _Function]:
    return {
        item["name"]: _Function(
            keccak(text=_signature(item))[:4],
            _types(item["inputs"]),
            _types(item["outputs"]),
            item["outputs"],
            item["stateMutability"] in ("view", "pure"),
        )
        for item in load(contract)["abi"]
        if item["type"] == "function"
    }


@cache
def _errors() -> Mapping[bytes, Abi]:
    items = [item for name in CONTRACTS for item in load(name)["abi"] if item["type"] == "error"]
    return {keccak(text=_signature(item))[:4]: item for item in items}


@cache
def _events(contract: str) -> Mapping[bytes, Abi]:
    return {keccak(text=_signature(item)): item for item in load(contract)["abi"] if item["type"] == "event"}


def _reverted(message: str) -> RevertedError:
    found = _OUTPUT.search(message)
    if found is None:
        return RevertedError(message, ())
    output = bytes.fromhex(found[1])
    error = _errors().get(output[:4])
    if error is None:
        return RevertedError(f"0x{output.hex()}", ())
    return RevertedError(error["name"], decode(_types(error["inputs"]), output[4:]))


class Chain:
    """One EVM with a clock that tests set; every log of every sent call is kept."""

    def __init__(self, time: int = 1_750_000_000) -> None:
        self._evm = pyrevm.EVM(spec_id="CANCUN", gas_limit=2**40)
        self._names: dict[str, str] = {}
        self.logs: list[Event] = []
        self.time = time
        self.block = 1
        self._set_block()

    def advance(self, seconds: int = 0) -> None:
        """The next block."""
        self.time += seconds
        self.block += 1
        self._set_block()

    def _set_block(self) -> None:
        self._evm.set_block_env(pyrevm.BlockEnv(number=self.block, timestamp=self.time, gas_limit=2**40))

    def fund(self, account: str, wei: int) -> None:
        self._evm.set_balance(account, wei)

    def balance(self, account: str) -> int:
        return int(self._evm.get_balance(account))

    def storage(self, contract: Contract, slot: int) -> int:
        return int(self._evm.storage(contract.address, slot))

    def code_size(self, contract: Contract) -> int:
        # the interpreter pads code with 33 zero bytes
        return len(bytes(self._evm.get_code(contract.address) or b"")) - 33

    def deploy(self, name: str, *arguments: Any, sender: str) -> Contract:
        build = load(name)
        types = next((_types(item["inputs"]) for item in build["abi"] if item["type"] == "constructor"), [])
        code = bytes.fromhex(build["bytecode"].removeprefix("0x")) + encode(types, arguments)
        try:
            address = str(self._evm.deploy(sender, code)).lower()
        except RuntimeError as error:
            raise _reverted(str(error)) from None
        self._names[address] = name
        self.collect()
        return Contract(self, name, address)

    def run(self, sender: str, contract: Contract, data: bytes, value: int, *, static: bool) -> bytes:
        """One raw call; raises RevertedError."""
        try:
            return bytes(self._evm.message_call(sender, contract.address, data, value, is_static=static))
        except RuntimeError as error:
            raise _reverted(str(error)) from None

    def collect(self) -> tuple[tuple[Event, ...], int]:
        """Events and gas of the last sent call or deployment."""
        result = self._evm.result
        assert result is not None
        events = tuple(self._event(log) for log in result.logs)
        self.logs += events
        return events, result.gas_used

    def _event(self, log: Any) -> Event:
        topics, data = tuple(bytes(topic) for topic in log.data[0]), bytes(log.data[1])
        item = _events(self._names[log.address.lower()])[topics[0]]
        indexed = [entry for entry in item["inputs"] if entry["indexed"]]
        plain = [entry for entry in item["inputs"] if not entry["indexed"]]
        values = {
            entry["name"]: decode([entry["type"]], topic)[0] for entry, topic in zip(indexed, topics[1:], strict=True)
        }
        decoded = decode(_types(plain), data)
        values |= {entry["name"]: _shaped(entry, value) for entry, value in zip(plain, decoded, strict=True)}
        return Event(log.address.lower(), item["name"], values, topics, data)


@dataclass(frozen=True, slots=True)
class Contract:
    """A deployed contract."""

    chain: Chain
    name: str
    address: str

    def encode(self, function: str, *arguments: Any) -> bytes:
        known = _functions(self.name)[function]
        return known.selector + encode(known.inputs, arguments)

    def call(self, function: str, *arguments: Any, sender: str = "0x" + "00" * 20) -> Any:
        """A view, or what a sending function would return."""
        answer = self.chain.run(sender, self, self.encode(function, *arguments), 0, static=True)
        return self._decoded(function, answer)

    def send(self, sender: str, function: str, *arguments: Any, value: int = 0) -> Outcome:
        answer = self.chain.run(sender, self, self.encode(function, *arguments), value, static=False)
        events, gas = self.chain.collect()
        return Outcome(self._decoded(function, answer), events, gas)

    def _decoded(self, function: str, answer: bytes) -> Any:
        known = _functions(self.name)[function]
        decoded = decode(known.outputs, answer)
        values = tuple(_shaped(entry, value) for entry, value in zip(known.shapes, decoded, strict=True))
        return values[0] if len(values) == 1 else values
