"""Written forms (JSON) of a ledger's identity, tips, claims and raw logs, for the index and for bundles.

Readers raise FormatError. Chain ids are decimal text, hashes and bytes 0x hex.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from audit.entries import Claim, Entry, Identity, Place, Tip
from capsule.canonical import Json
from capsule.digest import Domain
from capsule.document import Fields
from capsule.ids import Address, Digest
from contracts.chain import RawLog

__all__ = [
    "claim_from_json",
    "claim_json",
    "identity_from_json",
    "identity_json",
    "log_from_json",
    "log_json",
    "place_json",
    "tip_from_json",
    "tip_json",
]

_MAX_LOG_BYTES: Final = 128 * 1024
_MAX_TOPICS: Final = 4


def identity_json(identity: Identity) -> dict[str, Json]:
    return {
        "chain_id": str(identity.domain.chain_id),
        "directory": str(identity.domain.directory),
        "genesis_hash": None if identity.genesis_hash is None else str(identity.genesis_hash),
        "contracts": {name: str(address) for name, address in sorted(identity.contracts.items())},
    }


def identity_from_json(value: Json) -> Identity:
    fields = Fields(value, "ledger")
    contracts = fields.object("contracts")
    return Identity(
        Domain(fields.decimal("chain_id"), fields.id("directory", Address)),
        None if fields.value("genesis_hash") is None else fields.id("genesis_hash", Digest),
        MappingProxyType({name: contracts.id(name, Address) for name in contracts.names()}),
    )


def tip_json(tip: Tip) -> dict[str, Json]:
    return {"number": tip.number, "hash": str(tip.hash), "time": tip.time}


def tip_from_json(value: Json) -> Tip:
    fields = Fields(value, "tip")
    return Tip(fields.integer("number"), fields.id("hash", Digest), fields.integer("time"))


def claim_json(claim: Claim) -> dict[str, Json]:
    return {
        "source": claim.source,
        "block": claim.block,
        "block_hash": str(claim.block_hash),
        "heads": {name: {"head": str(head), "seq": seq} for name, (head, seq) in sorted(claim.heads.items())},
    }


def claim_from_json(value: Json) -> Claim:
    fields = Fields(value, "claim")
    return Claim(
        fields.text("source"),
        fields.integer("block"),
        fields.id("block_hash", Digest),
        _heads(fields.object("heads")),
    )


def _heads(fields: Fields) -> Mapping[str, tuple[Digest, int]]:
    heads = {name: fields.object(name) for name in fields.names()}
    return MappingProxyType({name: (head.id("head", Digest), head.integer("seq")) for name, head in heads.items()})


def log_json(entry: Entry) -> dict[str, Json]:
    """One raw log with its place; the contract it belongs to is named around it."""
    log = entry.event.log
    return {
        "block": log.block_number,
        "block_hash": str(log.block_hash),
        "time": entry.time,
        "transaction": str(log.transaction_hash),
        "position": log.log_index,
        "topics": [f"0x{topic.hex()}" for topic in log.topics],
        "data": f"0x{log.data.hex()}",
    }


def log_from_json(value: Json, address: Address) -> tuple[RawLog, int]:
    """A raw log of the contract at `address`, and the time of its block."""
    fields = Fields(value, "log")
    log = RawLog(
        address=address,
        topics=tuple(bytes(topic) for topic in fields.ids("topics", Digest, _MAX_TOPICS)),
        data=fields.raw("data", limit=_MAX_LOG_BYTES),
        block_number=fields.integer("block"),
        block_hash=fields.id("block_hash", Digest),
        transaction_hash=fields.id("transaction", Digest),
        log_index=fields.integer("position"),
    )
    return log, fields.integer("time")


def place_json(place: Place) -> dict[str, Json]:
    return {
        "block": place.block,
        "position": place.position,
        "time": place.time,
        "transaction": str(place.transaction),
    }
