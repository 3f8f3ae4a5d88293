"""Device keys, fleets by RFC 9162 proof, batch anchors."""

import base64
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode

from capsule import tree
from capsule.ids import Digest
from tests.contracts.solidity.errors import exercises
from tests.contracts.solidity.space import GATEWAY, PROVIDER, U64, ZERO, Space, h

VECTORS = Path(__file__).parents[3].parent / "shared" / "vectors" / "merkle" / "inclusion"
KEY = h("device key")


def enroll(space: Space, device: bytes, *, suite: int = 1, key: bytes = KEY, by: str = "") -> None:
    space.devices.send(by or space.provider.address, "enroll", device, suite, key, h("model"))


def rotate(space: Space, device: bytes, *, suite: int = 1, key: bytes = KEY, by: str = "") -> None:
    space.devices.send(by or space.provider.address, "rotate", device, suite, key, 60, 77)


@exercises(
    "DevicesParticipantNotActive",
    "DevicesTaken",
    "DevicesUnknown",
    "DevicesNotOwner",
    "DevicesRetired",
    "DevicesKeyInvalid",
)
def test_a_device_and_its_owner(space: Space) -> None:
    device, provider, contract = h("device"), space.provider.address, space.devices
    with space.refused("DevicesParticipantNotActive", space.buyer.address, PROVIDER):
        enroll(space, device, by=space.buyer.address)
    point = b"\x04" + bytes(64)
    sm2 = ((2, bytes(81)), (2, point), (2, point + bytes(65)))
    for suite, key in ((1, bytes(31)), (1, bytes(65)), *sm2, (0, KEY), (3, KEY)):
        with space.refused("DevicesKeyInvalid", suite, len(key)):
            enroll(space, device, suite=suite, key=key)
    for call in (rotate, lambda space, device: space.devices.send(provider, "retire", device)):
        with space.refused("DevicesUnknown", device):
            call(space, device)
    enroll(space, device)
    assert contract.call("deviceOf", device) == (provider, 1, 1, KEY, h("model"), 0)
    with space.refused("DevicesTaken", device):
        enroll(space, device, by=space.other_provider.address)
    with space.refused("DevicesNotOwner", device, space.other_provider.address):
        rotate(space, device, by=space.other_provider.address)
    with space.refused("DevicesNotOwner"):
        contract.send(space.other_provider.address, "retire", device)
    with space.refused("DevicesKeyInvalid", 2, 32):
        rotate(space, device, suite=2)
    sm2 = b"\x04" + h("x") + h("y") + b"1"
    rotate(space, device, suite=2, key=sm2)
    assert contract.call("deviceOf", device) == (provider, 1, 2, sm2, h("model"), space.now + 60)
    assert space.logs("DeviceRotated")[0]["distrustedFrom"] == 77
    space.suspend(space.provider)
    with space.refused("DevicesParticipantNotActive", provider, PROVIDER):
        rotate(space, device)
    # to the suspended too
    contract.send(provider, "retire", device)
    for call in (rotate, lambda space, device: space.devices.send(provider, "retire", device)):
        with space.refused("DevicesRetired", device):
            call(space, device)
    with space.refused("DevicesTaken", device):
        enroll(space, device, by=space.other_provider.address)
    assert [event["deviceSeq"] for event in space.chain.logs if event.address == contract.address] == [1, 2, 3]


def fleet_of(space: Space, size: int) -> tuple[bytes, list[Digest], list[tuple[bytes, int, bytes]]]:
    members = [(h(f"device {i}"), 1, h(f"key {i}")) for i in range(size)]
    leaves = [tree.leaf_hash(encode(["bytes32", "uint8", "bytes"], member)) for member in members]
    root = tree.root(leaves)
    fleet = space.devices.send(space.provider.address, "enrollMany", root, size, h("model")).value
    return fleet, leaves, members


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13])
def test_every_member_of_a_fleet_proves_itself(space: Space, size: int) -> None:
    fleet, leaves, members = fleet_of(space, size)
    for index, member in enumerate(members):
        proof = tree.inclusion_proof(leaves, index)
        event = space.devices.send(space.stranger.address, "proveEnrolled", fleet, *member, index, proof).events[0]
        assert (event["owner"], event["fleet"], event["publicKey"]) == (space.provider.address, fleet, member[2])
        assert space.devices.call("deviceOf", member[0]).modelHash == h("model")


@exercises("DevicesFleetEmpty", "DevicesFleetUnknown", "DevicesProofInvalid", "DevicesListTooLong", "DevicesTaken")
def test_a_fleet_admits_its_members_only(space: Space) -> None:
    provider, contract = space.provider.address, space.devices
    for root, size in ((ZERO, 3), (h("root"), 0)):
        with space.refused("DevicesFleetEmpty"):
            contract.send(provider, "enrollMany", root, size, h("model"))
    with space.refused("DevicesParticipantNotActive"):
        contract.send(space.buyer.address, "enrollMany", h("root"), 3, h("model"))
    fleet, leaves, members = fleet_of(space, 5)
    assert contract.call("fleetOf", fleet) == (provider, tree.root(leaves), 5, h("model"))
    proof = tree.inclusion_proof(leaves, 1)

    def prove(member: tuple[Any, ...], index: int, proof: Any, fleet: bytes = fleet) -> None:
        contract.send(space.stranger.address, "proveEnrolled", fleet, *member, index, proof)

    device, suite, key = members[1]
    with space.refused("DevicesFleetUnknown", ZERO):
        prove(members[1], 1, proof, ZERO)
    with space.refused("DevicesListTooLong", 65, 64):
        prove(members[1], 1, [ZERO] * 65)
    for member, index, path in (
        (members[1], 0, proof),
        (members[1], 5, proof),
        (members[1], 1, proof[:-1]),
        (members[1], 1, (*proof, ZERO)),
        (members[1], 1, ()),
        (members[2], 1, proof),
        ((h("other"), suite, key), 1, proof),
        ((device, suite, h("other")), 1, proof),
        ((device, 2, key), 1, proof),
    ):
        with space.refused("DevicesProofInvalid", fleet, index):
            prove(member, index, path)
    prove(members[1], 1, proof)
    with space.refused("DevicesTaken", device):
        prove(members[1], 1, proof)


@exercises("DevicesParticipantNotActive", "DevicesBatchNumber", "DevicesBatchPredecessor", "DevicesBatchEmpty")
def test_batches_follow_one_another(space: Space) -> None:
    gateway, contract = space.gateway.address, space.devices

    def anchor(number: int, predecessor: bytes, *, size: int = 3, root: bytes = b"", by: str = gateway) -> None:
        batch = (number, predecessor, size, root or h(f"frames {number}"), h("index"), h("incidents"))
        contract.send(by, "anchor", batch)

    with space.refused("DevicesParticipantNotActive", space.provider.address, GATEWAY):
        anchor(1, ZERO, by=space.provider.address)
    for number in (0, 2, U64):
        with space.refused("DevicesBatchNumber", gateway, number, 1):
            anchor(number, ZERO)
    with space.refused("DevicesBatchPredecessor", gateway, h("other"), ZERO):
        anchor(1, h("other"))
    with space.refused("DevicesBatchEmpty", gateway, 1):
        anchor(1, ZERO, size=0)
    with space.refused("DevicesBatchEmpty", gateway, 1):
        anchor(1, ZERO, root=ZERO)
    assert contract.call("lastBatchOf", gateway) == (0, ZERO)
    anchor(1, ZERO)
    with space.refused("DevicesBatchNumber", gateway, 1, 2):
        anchor(1, ZERO)
    with space.refused("DevicesBatchPredecessor", gateway, ZERO, h("frames 1")):
        anchor(2, ZERO)
    anchor(2, h("frames 1"))
    assert contract.call("lastBatchOf", gateway) == (2, h("frames 2"))
    event = space.logs("BatchAnchored")[1]
    assert tuple(event["batch"]) == (2, h("frames 1"), 3, h("frames 2"), h("index"), h("incidents"))


# RFC 9162 on chain


def test_leaf_hashes_are_those_of_the_capsule_core(space: Space) -> None:
    probe = space.chain.deploy("Libraries", sender=space.operator.address)
    for data in (b"", b"\x00", b"x" * 100):
        assert probe.call("leafHash", data) == tree.leaf_hash(data) == sha256(b"\x00" + data).digest()


def test_published_inclusion_vectors(space: Space) -> None:
    if not VECTORS.is_dir():
        pytest.skip("the published vectors are not beside the repository")
    probe = space.chain.deploy("Libraries", sender=space.operator.address)
    told = expressible = 0
    for path in sorted(VECTORS.rglob("*.json")):
        case = json.loads(path.read_text())
        leaf, root = (base64.b64decode(case[name] or "") for name in ("leafHash", "root"))
        proof = [base64.b64decode(item) for item in case["proof"] or ()]
        told += 1
        if {len(item) for item in (leaf, root, *proof)} != {32} or not 0 <= case["leafIdx"] <= U64:
            # not even a bytes32 or a uint64: the ABI refuses it
            assert case["wantErr"], path
            continue
        expressible += 1
        holds = probe.call("isIncluded", leaf, case["leafIdx"], case["treeSize"], proof, root)
        assert holds == (not case["wantErr"]), path
    assert (told, expressible) == (98, 72)


@pytest.mark.parametrize("size", range(1, 20))
def test_proofs_of_the_capsule_core_hold_on_chain(space: Space, size: int) -> None:
    probe = space.chain.deploy("Libraries", sender=space.operator.address)
    leaves = [tree.leaf_hash(bytes([i])) for i in range(size)]
    root = tree.root(leaves)
    for index, leaf in enumerate(leaves):
        proof = tree.inclusion_proof(leaves, index)
        assert probe.call("isIncluded", leaf, index, size, proof, root)
        for wrong in (index + 1, index + size):
            assert not probe.call("isIncluded", leaf, wrong, size, proof, root)


def test_a_root_made_to_fit_a_proof_of_another_length_is_refused(space: Space) -> None:
    probe = space.chain.deploy("Libraries", sender=space.operator.address)
    leaf, other = tree.leaf_hash(b"leaf"), tree.leaf_hash(b"other")
    left, right = (sha256(b"\x01" + a + b).digest() for a, b in ((leaf, other), (other, leaf)))
    for root, index, size in ((right, 0, 1), (left, 0, 1), (left, 0, 4), (right, 1, 3)):
        assert not probe.call("isIncluded", leaf, index, size, [other], root)
    for root, index in ((left, 0), (right, 1)):
        assert probe.call("isIncluded", leaf, index, 2, [other], root)
