"""The station of the demo and the gateway that takes its frames."""

import secrets
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from audit.device_statement import DeviceStatement
from capsule.frame import Mark
from capsule.frame_receipt import SignedFrameReceipt
from capsule.ids import DeviceId, Digest
from capsule.signature import Signer, new_secret, signer_from_secret
from capsule.thing import STORAGE_STATION, STORAGE_STATION_SIMULATOR
from gateway.agent import Agent
from gateway.anchoring import AnchoredBatch
from gateway.gateway import Gateway
from gateway.service import build_app
from node.home import create_whole
from scripts.composition import now
from scripts.demo.readings import Readings
from scripts.demo.world import Member, World

__all__ = ["Fleet", "Recorded"]

FRAMES_PER_BATCH = 50


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came in: frames with their rows and readings, and the batches that anchor them."""

    device: DeviceId
    frames: int
    rows: int
    readings: int
    anchors: tuple[AnchoredBatch, ...]


class Fleet:
    """One device with its own key, its agent, and its gateway. `close` lets their stores go."""

    def __init__(self, world: World, readings: Readings) -> None:
        self._world = world
        self._readings = readings
        self._stack = ExitStack()
        world.on_close(self._stack.close)
        self.device = DeviceId(secrets.token_bytes(32))
        self.signer = self.draw_signer()
        self.gateway = self.open_gateway(world["gateway"])
        self.agent = self.open_agent("device.db", self.signer)

    def draw_signer(self) -> Signer:
        """A fresh key of the world's suite."""
        suite = self._world.suite
        return signer_from_secret(suite, new_secret(suite, secrets.token_bytes), secrets.token_bytes)

    def open_gateway(self, member: Member) -> Gateway:
        """A gateway on a member's home, behind its host name."""
        gateway = self._stack.enter_context(Gateway.open(member.home, member.ledger, member.keystore.signer, clock=now))
        self._world.serve(f"{member.name}.demo", build_app(gateway, "", anchoring=False))
        return gateway

    def open_agent(self, name: str, signer: Signer) -> Agent:
        """A device agent with its own queue, in the provider's home."""
        gateways = {self.gateway.account: self.gateway.public_key}
        path = self._world["provider"].home / name
        domain = self._world.operator.domain
        return self._stack.enter_context(Agent(path, self.device, signer, gateways=gateways, domain=domain))

    def enroll(self) -> Digest:
        """The provider enrols the device's key; returns the transaction."""
        model = STORAGE_STATION_SIMULATOR if self._readings.simulated else STORAGE_STATION
        devices = self._world["provider"].ledger.devices
        return devices.enroll(self.device, self.signer.suite, self.signer.public_key, model.hash).hash

    def record(self) -> Recorded:
        """Signs, sends and anchors all readings."""
        mark = Mark.SIGNED if self._readings.simulated else Mark.IMPORTED
        submitted = self.agent.submit_csv(self._readings.path, mark=mark)
        frames = 0
        anchors: list[AnchoredBatch] = []
        while self.agent.queued:
            frames += self.agent.deliver(self.gateway, most=FRAMES_PER_BATCH)
            anchors += self.gateway.anchor_all()
        self.state_receipts(*self.agent.newest_receipts())
        return Recorded(self.device, frames, submitted.rows, submitted.readings, tuple(anchors))

    def state_receipts(self, *receipts: SignedFrameReceipt) -> None:
        """The device's owner keeps receipts for the auditor: what gateways must have anchored."""
        statement = DeviceStatement(self.device, receipts)
        store = self._world["provider"].node.context.store
        store.put_document("device-statement", self.device, statement.to_json())

    def export(self, path: Path) -> Path:
        """All frames of the device with their proofs, ready to be sealed."""
        with create_whole(path) as sink:
            self.gateway.export(self.device, sink)
        return path
