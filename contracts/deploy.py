"""Putting a contract set on a chain: the five contracts, and a Directory that names them once and for all."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from eth_abi.abi import encode

from capsule.ids import Address
from contracts.account import Account
from contracts.bindings import Directory
from contracts.chain import Chain
from contracts.decode import EventDecoder
from contracts.errors import DeployError
from contracts.transaction import Patience, Sender

__all__ = ["deploy"]

_ADMIN_DELAY_SECONDS: Final = 2 * 24 * 3600


@dataclass(frozen=True, slots=True)
class _Code:
    types: tuple[str, ...]
    bytecode: bytes


def deploy(
    chain: Chain,
    operator: Account,
    *,
    confirmations: int,
    finalized_tag: bool,
    admin_delay: int = _ADMIN_DELAY_SECONDS,
    patience: Patience | None = None,
) -> Address:
    """Deploys a contract set and returns the Directory's address; `operator` becomes admin and first operator.

    A block is final with `confirmations` blocks on top of it, or by the node's `finalized` tag where `finalized_tag`.
    `admin_delay` are the seconds between the two steps of replacing the admin. Raises DeployError.
    """
    sender = Sender(chain, operator, EventDecoder({}), patience)
    genesis = chain.block(0).hash
    # In threads, so that contracts that do not wait for each other share a block.
    with ThreadPoolExecutor(max_workers=5) as pool:
        created = pool.submit(_create, sender, "Directory", genesis, confirmations, finalized_tag)
        participants = _create(sender, "Participants", admin_delay, operator.address)
        others = {
            name: pool.submit(_create, sender, name, participants) for name in ("Assets", "Devices", "OperationLog")
        }
        entries = {"Participants": participants, **{name: made.result() for name, made in others.items()}}
        entries["Access"] = _create(sender, "Access", participants, entries["Assets"])
        address = created.result()
        directory = Directory(chain, address, sender)
        for entered in [pool.submit(directory.set_entry, name, entry) for name, entry in entries.items()]:
            entered.result()
    return address


def _create(sender: Sender, name: str, *arguments: object) -> Address:
    code = _code(name)
    receipt = sender.transact(None, code.bytecode + encode(code.types, arguments))
    if receipt.contract is None:
        raise DeployError(f"the chain named no address for {name}")
    return receipt.contract


@cache
def _code(name: str) -> _Code:
    source = files("contracts") / "abi" / f"{name}.json"
    try:
        document = json.loads(source.read_text("utf-8"))
        inputs = next((item["inputs"] for item in document["abi"] if item["type"] == "constructor"), ())
        code = _Code(
            tuple(str(entry["type"]) for entry in inputs), bytes.fromhex(document["bytecode"].removeprefix("0x"))
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeployError(f"{source} is no contract's ABI and bytecode: {error}") from error
    if not code.bytecode:
        raise DeployError(f"{source} holds no bytecode")
    return code
