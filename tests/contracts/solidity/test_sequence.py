"""Every event by its ABI; heads that re-hash from the logs; no error left out."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest
from eth_abi.abi import encode

from capsule import tree
from tests.contracts.solidity.errors import EXERCISED, declared_errors
from tests.contracts.solidity.evm import CONTRACTS, canonical, load
from tests.contracts.solidity.heads import OPEN_ZEPPELIN, check_heads, rehash
from tests.contracts.solidity.space import DAY, U64, ZERO, Space, Terms, h


def long_trip(space: Space) -> None:
    """Emits every event of every interface."""
    provider, operator = space.provider.address, space.operator.address
    space.participants.send(provider, "setKeys", 1, h("key"), h("box"), b"signature")
    space.participants.send(provider, "rotateKeys", 1, h("key 2"), h("box 2"), b"signature", 5)
    space.participants.send(provider, "setEndpoint", "https://provider.example")
    space.suspend(space.other_buyer)
    space.reinstate(space.other_buyer)
    space.set_roles(space.other_buyer, 2 | 4)
    space.directory.send(operator, "setEntry", b"Access".ljust(32, b"\x00"), space.access.address)
    space.operation_log.send(provider, "anchorHead", 4, h("log"), ZERO)

    devices = space.devices
    device, member = h("device"), h("member")
    devices.send(provider, "enroll", device, 1, h("key"), h("model"))
    root = tree.root([tree.leaf_hash(encode(["bytes32", "uint8", "bytes"], [member, 1, h("key")]))])
    fleet = devices.send(provider, "enrollMany", root, 1, h("model")).value
    devices.send(provider, "proveEnrolled", fleet, member, 1, h("key"), 0, [])
    devices.send(provider, "rotate", device, 2, b"\x04" + bytes(65), 60, 0)
    devices.send(provider, "retire", device)
    devices.send(space.gateway.address, "anchor", (1, ZERO, 9, h("frames"), h("index"), h("incidents")))

    offer = space.offer(Terms(purposes=("research",), algorithms=(space.algorithm,), not_after=U64))
    grant = space.granted(offer)
    space.access.send(provider, "deny", space.request(offer).value, 2)
    order, use = space.used(grant)
    _, expiring = space.used(grant)
    space.release(use, *space.custodians[:2], space.provider)
    space.refuse(use, space.custodians[2])
    space.close(order)
    space.chain.advance(DAY)
    space.access.send(space.stranger.address, "expireUse", expiring)
    space.access.send(provider, "revoke", grant, 1)
    space.access.send(operator, "pause")
    space.access.send(operator, "unpause")
    space.assets.send(provider, "openDeal", offer.asset, 1, space.keys(), "new custodian")
    space.assets.send(provider, "retire", offer.asset, "old")


def test_every_event_is_logged_as_the_abi_says(space: Space) -> None:
    long_trip(space)
    declared = {item["name"]: item for name in CONTRACTS for item in load(name)["abi"] if item["type"] == "event"}
    logged = {event.name for event in space.chain.logs}
    assert logged - OPEN_ZEPPELIN == set(declared) - OPEN_ZEPPELIN
    for event in space.chain.logs:
        inputs = declared[event.name]["inputs"]
        indexed = [entry for entry in inputs if entry["indexed"]]
        plain = [entry for entry in inputs if not entry["indexed"]]
        assert len(event.topics) == 1 + len(indexed)
        for entry, topic in zip(indexed, event.topics[1:], strict=True):
            assert encode([entry["type"]], [event[entry["name"]]]) == topic
        assert encode([canonical(entry) for entry in plain], [event[entry["name"]] for entry in plain]) == event.data
        if event.name not in OPEN_ZEPPELIN:
            assert plain[0]["name"] == "seq"


def test_heads_rehash_and_stand_in_their_slots(space: Space) -> None:
    long_trip(space)
    for contract in space.contracts:
        check_heads(contract)
    assert space.access.call("head")[1] == 15
    assert space.access.call("headOf", h("nothing")) == (ZERO, 0)


def test_a_head_notices_what_was_cut_changed_or_moved(space: Space) -> None:
    long_trip(space)
    head = space.assets.call("head")
    events = [event for event in space.chain.logs if event.address == space.assets.address]
    assert rehash(events)[0] == head
    assert rehash(events[:-1])[0] != head
    changed = replace(events[-1], data=events[-1].data + b"\x00")
    assert rehash([*events[:-1], changed])[0] != head
    with pytest.raises(AssertionError, match="after"):
        rehash([events[1], events[0], *events[2:]])


def test_refused_calls_leave_the_heads_alone(space: Space) -> None:
    offer = space.offer()
    before = [contract.call("head") for contract in space.contracts]
    with space.refused("AccessTermsMismatch"):
        space.request(offer, terms=Terms(compiler=9))
    assert [contract.call("head") for contract in space.contracts] == before


def test_no_error_is_left_out() -> None:
    for path in Path(__file__).parent.glob("test_*.py"):
        importlib.import_module(f"{__package__}.{path.stem}")
    assert declared_errors() == EXERCISED


def test_contracts_fit_the_chain(space: Space) -> None:
    for contract in space.contracts:
        assert 0 < space.chain.code_size(contract) <= 24_576, contract.name
