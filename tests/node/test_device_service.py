"""The owner's routes: a fleet in one transaction, its devices proven, rotated and retired."""

import secrets
from typing import Any

import httpx

from capsule.enrolment import Enrolment, FleetTree
from capsule.ids import DeviceId, FleetId
from capsule.signature import Ed25519Signer, PublicKey, Sm2Signer
from capsule.thing import STORAGE_STATION
from contracts.structs import DeviceStatus
from node.service import build_app
from scripts.inprocess import InProcess
from tests.node.space import TOKEN, Space


def post(space: Space, name: str, path: str, body: Any = None) -> httpx.Response:
    app = build_app(space[name].node, TOKEN)
    with httpx.Client(transport=InProcess(app), base_url=f"http://{name}.demo") as client:
        return client.post(path, json=body, headers={"authorization": f"Bearer {TOKEN}"})


def key() -> PublicKey:
    return PublicKey(1, Ed25519Signer(secrets.token_bytes(32)).public_key)


def test_an_owner_enrols_a_fleet_and_anybody_proves_its_devices(space: Space) -> None:
    devices = space["provider"].ledger.devices
    tree = FleetTree({DeviceId(secrets.token_bytes(32)): key() for _ in range(3)})
    body = {"root": str(tree.root), "size": tree.size, "model_hash": str(STORAGE_STATION.hash)}
    fleet = FleetId.parse(post(space, "provider", "/v1/fleets", body).json()["fleet"])
    papers = list(tree.enrolments(fleet))
    assert all(devices.device_of(paper.device).status is DeviceStatus.NONE for paper in papers)

    wrong = Enrolment(fleet, papers[0].device, key(), 0, papers[0].proof)
    refused = post(space, "buyer", "/v1/fleets/papers", {"papers": [papers[1].to_json(), wrong.to_json()]})
    assert refused.status_code == 403
    assert "not in fleet" in refused.json()["detail"]
    assert devices.device_of(papers[1].device).status is DeviceStatus.NONE

    wanted = {"papers": [paper.to_json() for paper in papers[:2]]}
    assert post(space, "buyer", "/v1/fleets/papers", wanted).json() == {"proven": [str(p.device) for p in papers[:2]]}
    assert post(space, "buyer", "/v1/fleets/papers", wanted).json() == {"proven": []}
    known = devices.device_of(papers[0].device)
    assert (known.status, known.owner, known.public_key) == (
        DeviceStatus.ENROLLED,
        space["provider"].account,
        papers[0].key.key,
    )
    assert devices.device_of(papers[2].device).status is DeviceStatus.NONE

    new = key()
    change = {"public_key": new.key.hex(), "suite": 1, "overlap_seconds": 60}
    path = f"/v1/devices/{papers[0].device}"
    assert post(space, "buyer", f"{path}/rotate", change).json()["detail"].startswith("DevicesNotOwner")
    assert post(space, "provider", f"{path}/rotate", change).status_code == 200
    assert devices.device_of(papers[0].device).public_key == new.key
    assert post(space, "provider", f"{path}/retire").status_code == 200
    assert devices.device_of(papers[0].device).status is DeviceStatus.RETIRED
    # its paper does not bring it back
    assert post(space, "buyer", "/v1/fleets/papers", wanted).json() == {"proven": []}
    assert devices.device_of(papers[0].device).status is DeviceStatus.RETIRED


def test_an_owner_enrols_keys_of_either_suite_and_nothing_that_is_no_key(space: Space) -> None:
    devices = space["provider"].ledger.devices
    sm2 = Sm2Signer.generate(secrets.token_bytes).public_key
    off_the_curve = sm2[:64] + bytes([sm2[64] ^ 1]) + sm2[65:]
    device = DeviceId(secrets.token_bytes(32))
    for suite, wrong in ((1, bytes(32)), (2, off_the_curve), (2, sm2[:65]), (3, sm2)):
        body = {"public_key": wrong.hex(), "suite": suite, "model_hash": str(STORAGE_STATION.hash)}
        assert post(space, "provider", f"/v1/devices/{device}/enroll", body).status_code == 400
    assert devices.device_of(device).status is DeviceStatus.NONE
    body = {"public_key": sm2.hex(), "suite": 2, "model_hash": str(STORAGE_STATION.hash)}
    assert post(space, "provider", f"/v1/devices/{device}/enroll", body).status_code == 201
    assert devices.device_of(device).public_key == sm2
    change = {"public_key": off_the_curve.hex(), "suite": 2, "overlap_seconds": 60}
    assert post(space, "provider", f"/v1/devices/{device}/rotate", change).status_code == 400
    assert devices.device_of(device).public_key == sm2


def test_a_paper_of_a_fleet_that_is_not_on_chain_is_refused(space: Space) -> None:
    (paper,) = FleetTree({DeviceId(secrets.token_bytes(32)): key()}).enrolments(FleetId(secrets.token_bytes(32)))
    answer = post(space, "buyer", "/v1/fleets/papers", {"papers": [paper.to_json()]})
    assert answer.status_code == 403
    assert "not on the final chain" in answer.json()["detail"]
