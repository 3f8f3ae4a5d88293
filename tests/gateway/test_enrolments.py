"""Devices of a fleet at the gateway: enrolled in one transaction, each proven by its paper at its first use."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from capsule.enrolment import Enrolment, FleetTree
from capsule.ids import DeviceId
from capsule.source import verify_source
from capsule.thing import STORAGE_STATION
from contracts.fleet import enroll_fleet
from contracts.structs import DeviceStatus
from gateway.door import HttpDoor
from gateway.errors import PeerAnswerError, PeerUnenrolledError
from gateway.gateway import Gateway
from gateway.service import build_app
from scripts.inprocess import InProcess
from tests.capsule.frames import Device, some_rows
from tests.gateway.space import Space
from tests.gateway.test_service import TOKEN, post, problem


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    app = build_app(gateway, TOKEN, anchoring=False)
    with httpx.Client(transport=InProcess(app), base_url="http://gateway") as opened:
        yield opened


def fleet_of(space: Space, number: int) -> list[tuple[Device, Enrolment]]:
    """Devices that the provider enrolled in one transaction, with their papers."""
    devices = [Device(at + 1) for at in range(number)]
    for device in devices:
        device.id = DeviceId(secrets.token_bytes(32))
    tree = FleetTree((device.id, device.key) for device in devices)
    fleet = enroll_fleet(space.provider, tree.root, tree.size, STORAGE_STATION.hash)
    return list(zip(devices, tree.enrolments(fleet), strict=True))


def test_devices_of_a_fleet_present_their_papers_and_their_readings_are_proven(
    space: Space, gateway: Gateway, client: httpx.Client, tmp_path: Path
) -> None:
    fleet = fleet_of(space, 3)
    assert all(space.operator.devices.device_of(device.id).status is DeviceStatus.NONE for device, _ in fleet)
    for device, paper in fleet:
        with space.open_agent(tmp_path / f"{device.id}.db", device, gateway) as agent:
            agent.submit(some_rows(0, 130))
            with pytest.raises(PeerUnenrolledError, match="is not enrolled on the final chain"):
                agent.deliver(HttpDoor("http://gateway", client))
            assert agent.deliver(HttpDoor("http://gateway", client, paper)) == 3
    assert space.chain.nonce(gateway.account) == 3  # a proof each, by the gateway's own account
    anchored = gateway.anchor_all()
    assert [batch.batch.size for batch in anchored] == [9]
    for device, paper in fleet:
        container = io.BytesIO()
        export = gateway.export(device.id, container)
        container.seek(0)
        table = verify_source(container, {device.id: device.key}, export.anchors)
        assert list(table.rows) == some_rows(0, 130)
        again = client.post("/v1/enrolments", json=paper.to_json())
        assert (again.status_code, again.json()) == (200, {"proven": [], "known": [str(device.id)]})
    assert space.chain.nonce(gateway.account) == 4


def test_a_false_paper_sends_nothing_also_beside_true_ones(
    space: Space, gateway: Gateway, client: httpx.Client
) -> None:
    (one, first), (_, second), (_, third) = fleet_of(space, 3)
    stranger = fleet_of(space, 2)[0][1]
    before = space.chain.head().number
    false = Enrolment(first.fleet, first.device, Device(9).key, first.index, first.proof)
    elsewhere = Enrolment(stranger.fleet, first.device, first.key, first.index, first.proof)
    for papers in (false.to_json(), [second.to_json(), false.to_json()], elsewhere.to_json()):
        assert problem(client.post("/v1/enrolments", json=papers)) == (403, "verification")
    for content in (
        b"", b"{", b"7", b"[7]", b'{"kind": "dataspace/enrolment", "version": 1}', b"[" * 100_000,
        json.dumps([first.to_json()] * 2).encode(),
        json.dumps({**first.to_json(), "index": -1}).encode(),
        json.dumps({**first.to_json(), "proof": [str(first.fleet)] * 65}).encode(),
    ):  # fmt: skip
        assert problem(client.post("/v1/enrolments", content=content)) == (400, "malformed")
    many = [{**first.to_json(), "device": f"0x{at:064x}"} for at in range(101)]
    assert problem(client.post("/v1/enrolments", json=many)) == (413, "http")
    assert problem(client.post("/v1/enrolments", content=bytes((1 << 20) + 1))) == (413, "http")
    assert space.chain.head().number == before
    frame = one.frame(some_rows(0, 1))
    assert problem(post(client, frame)) == (403, "unenrolled")
    answer = client.post("/v1/enrolments", json=[first.to_json(), third.to_json()]).json()
    assert answer == {"proven": [str(first.device), str(third.device)], "known": []}
    assert post(client, frame).status_code == 201
    assert space.operator.devices.device_of(second.device).status is DeviceStatus.NONE


def test_a_paper_does_not_bring_a_retired_device_back(
    space: Space, gateway: Gateway, client: httpx.Client, tmp_path: Path
) -> None:
    ((device, paper),) = fleet_of(space, 1)
    with space.open_agent(tmp_path / "queue.db", device, gateway) as agent:
        agent.submit(some_rows(0, 60))
        agent.deliver(HttpDoor("http://gateway", client, paper))
        space.provider.devices.retire(device.id)
        agent.submit(some_rows(60, 60))
        with pytest.raises(PeerUnenrolledError, match="is retired"):
            agent.deliver(HttpDoor("http://gateway", client, paper))
        assert agent.queued == 1
        stranger = fleet_of(space, 1)[0][0]
        false = Enrolment(paper.fleet, stranger.id, stranger.key, 0, ())
    with space.open_agent(tmp_path / "other.db", stranger, gateway) as agent:
        agent.submit(some_rows(0, 60))
        with pytest.raises(PeerAnswerError, match=r"refused this device's paper: device .* is not in fleet"):
            agent.deliver(HttpDoor("http://gateway", client, false))
        assert agent.queued == 1
    assert gateway.status().frames == 1
