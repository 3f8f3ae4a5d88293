"""Heads, hashed again from the logs alone, as ISequenced defines them."""

from __future__ import annotations

from collections.abc import Iterable

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.contracts.solidity.evm import Contract, Event
from tests.contracts.solidity.space import ZERO

__all__ = ["Head", "check_heads", "rehash"]

Head = tuple[bytes, int]
OPEN_ZEPPELIN = frozenset(
    {
        "DefaultAdminDelayChangeCanceled",
        "DefaultAdminDelayChangeScheduled",
        "DefaultAdminTransferCanceled",
        "DefaultAdminTransferScheduled",
        "EIP712DomainChanged",
        "OwnershipTransferStarted",
        "OwnershipTransferred",
        "RoleAdminChanged",
        "RoleGranted",
        "RoleRevoked",
    }
)
_SUBJECTS = {"assetSeq": "asset", "deviceSeq": "device"}


def _next(head: Head, seq: int, event: Event) -> Head:
    assert seq == head[1] + 1, f"{event.name} {seq} after {head[1]}"
    event_hash = keccak(b"".join(event.topics) + event.data)
    return keccak(encode(["bytes32", "uint64", "bytes32"], [head[0], seq, event_hash])), seq


def rehash(events: Iterable[Event]) -> tuple[Head, dict[bytes, Head]]:
    """Head of the contract, and of each of its subjects."""
    own: Head = (ZERO, 0)
    subjects: dict[bytes, Head] = {}
    for event in events:
        if event.name in OPEN_ZEPPELIN:
            continue
        own = _next(own, event["seq"], event)
        for counter, subject in _SUBJECTS.items():
            if counter in event.values:
                subjects[event[subject]] = _next(subjects.get(event[subject], (ZERO, 0)), event[counter], event)
    return own, subjects


def check_heads(contract: Contract) -> None:
    """All events of a contract re-hash to the heads that it tells and that stand in slots 0, 1 and 2."""
    chain = contract.chain
    own, subjects = rehash(event for event in chain.logs if event.address == contract.address)
    assert contract.call("head") == own
    assert (chain.storage(contract, 0).to_bytes(32, "big"), chain.storage(contract, 1)) == own
    for subject, head in subjects.items():
        assert contract.call("headOf", subject) == head
        slot = int.from_bytes(keccak(subject + (2).to_bytes(32, "big")), "big")
        assert (chain.storage(contract, slot).to_bytes(32, "big"), chain.storage(contract, slot + 1)) == head
