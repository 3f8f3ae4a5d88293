"""Routes of a device owner: enrolment one by one or by fleet, rotation, retirement, devices' statements."""

from collections.abc import Callable
from typing import Any

from fastapi import Depends, FastAPI
from pydantic import Field

from capsule.enrolment import Enrolment
from capsule.ids import DeviceId, Digest
from capsule.signature import PublicKey
from contracts.fleet import enroll_fleet, prove_enrolled
from node.organisation import Node
from node.schemas import Body, unhexed

__all__ = ["device_routes"]

MAX_PAPERS = 1_000
Answer = dict[str, Any]


class EnrollBody(Body):
    """A device's public key in hex, its suite, and the hash of its thing model."""

    public_key: str
    suite: int = Field(ge=0, le=255)
    model_hash: str


class FleetBody(Body):
    """Root and size of the tree over a fleet's keys (`capsule.enrolment`), and their thing model's hash."""

    root: str
    size: int = Field(ge=1, lt=2**53)
    model_hash: str


class PapersBody(Body):
    papers: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_PAPERS)


class RotateBody(Body):
    """The new key; how long the replaced one still counts; from when it counts for nothing (unix seconds, or 0)."""

    public_key: str
    suite: int = Field(ge=0, le=255)
    overlap_seconds: int = Field(ge=0, lt=2**32)
    distrusted_from: int = Field(default=0, ge=0, lt=2**63)


def device_routes(app: FastAPI, node: Node, operator: Callable[..., None]) -> None:
    """Adds the routes to the node's application; `operator` refuses calls without this home's token."""
    guard = [Depends(operator)]
    ledger = node.context.ledger
    devices = ledger.devices

    @app.post("/v1/devices/{device}/enroll", status_code=201, dependencies=guard)
    def enroll(device: str, body: EnrollBody) -> Answer:
        key = PublicKey(body.suite, unhexed(body.public_key))
        transaction = devices.enroll(DeviceId.parse(device), key.suite, key.key, Digest.parse(body.model_hash))
        return {"transaction": str(transaction.hash)}

    @app.post("/v1/fleets", status_code=201, dependencies=guard)
    def enroll_many(body: FleetBody) -> Answer:
        fleet = enroll_fleet(ledger, Digest.parse(body.root), body.size, Digest.parse(body.model_hash))
        return {"fleet": str(fleet)}

    @app.post("/v1/fleets/papers", dependencies=guard)
    def prove(body: PapersBody) -> Answer:
        """Proves devices of fleets on chain; those that stand there already are left out."""
        proven = prove_enrolled(ledger, tuple(Enrolment.from_json(paper) for paper in body.papers))
        return {"proven": [str(device) for device in proven]}

    @app.post("/v1/devices/{device}/rotate", dependencies=guard)
    def rotate(device: str, body: RotateBody) -> Answer:
        key = PublicKey(body.suite, unhexed(body.public_key))
        transaction = devices.rotate(
            DeviceId.parse(device), key.suite, key.key, body.overlap_seconds, body.distrusted_from
        )
        return {"transaction": str(transaction.hash)}

    @app.post("/v1/devices/{device}/retire", dependencies=guard)
    def retire(device: str) -> Answer:
        return {"transaction": str(devices.retire(DeviceId.parse(device)).hash)}

    @app.post("/v1/devices/{device}/statement", dependencies=guard)
    def state(device: str, body: dict[str, Any]) -> Answer:
        node.context.store.put_document("device-statement", DeviceId.parse(device), body)
        return {"device": device}
