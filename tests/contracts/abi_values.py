"""Random values for ABI types, with what the readers should make of them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_utils.abi import event_abi_to_log_topic

from capsule.ids import Address, Digest, Uscc
from contracts.chain import RawLog
from contracts.kinds import ENUMS

__all__ = ["abi_of", "abi_type", "log_of", "plain", "random_value"]

_ABI = Path(__file__).parents[2] / "contracts/abi"
_LETTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def abi_of(contract: str, kind: str) -> list[dict[str, Any]]:
    abi = json.loads((_ABI / f"{contract}.json").read_text("utf-8"))["abi"]
    return [item for item in abi if item["type"] == kind]


def abi_type(entry: dict[str, Any]) -> str:
    if not entry["type"].startswith("tuple"):
        return str(entry["type"])
    return f"({','.join(abi_type(part) for part in entry['components'])}){entry['type'].removeprefix('tuple')}"


def random_value(entry: dict[str, Any], rng: random.Random) -> Any:  # noqa: PLR0911
    """A value as eth_abi takes it."""
    kind = entry["type"]
    if kind.endswith("[]"):
        least = 1 if entry["name"] == "grants" else 0
        return tuple(random_value({**entry, "type": kind[:-2]}, rng) for _ in range(rng.randint(least, 4)))
    if kind == "tuple":
        return tuple(random_value(part, rng) for part in entry["components"])
    internal = entry.get("internalType", "").removesuffix("[]")
    if internal.startswith("enum "):
        return rng.randrange(len(ENUMS[internal.removeprefix("enum ")]))
    if kind == "bytes18":
        return Uscc.make("".join(rng.choice(_LETTERS) for _ in range(17))).encode()
    if kind == "bytes32" and entry["name"] == "name":
        return b"Participants".ljust(32, b"\x00")
    if kind.startswith("uint"):
        bits = int(kind.removeprefix("uint"))
        return rng.choice([0, 1, 2**bits - 1, rng.getrandbits(bits)])
    if kind == "string":
        return "".join(rng.choice("aZ0 时间🔋") for _ in range(rng.randint(0, 40)))
    if kind == "bytes":
        return rng.randbytes(rng.choice([0, 1, 31, 32, 33, 100]))
    if kind == "bool":
        return rng.random() < 0.5
    return rng.randbytes(20 if kind == "address" else int(kind.removeprefix("bytes")))


def log_of(event: dict[str, Any], values: dict[str, Any], address: Address) -> RawLog:
    """The log that a contract would emit."""
    indexed = [entry for entry in event["inputs"] if entry["indexed"]]
    rest = [entry for entry in event["inputs"] if not entry["indexed"]]
    return RawLog(
        address=address,
        topics=(
            bytes(event_abi_to_log_topic(event)),  # type: ignore[arg-type]
            *(encode([entry["type"]], [values[entry["name"]]]) for entry in indexed),
        ),
        data=encode([abi_type(entry) for entry in rest], [values[entry["name"]] for entry in rest]),
        block_number=7,
        block_hash=Digest(bytes(32)),
        transaction_hash=Digest(bytes(32)),
        log_index=0,
    )


def plain(value: Any) -> Any:
    """A decoded value as eth_abi would take it, so that both can be compared."""
    if isinstance(value, Uscc):
        return value.encode()
    if isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    return tuple(plain(getattr(value, name)) for name in value.__dataclass_fields__)
