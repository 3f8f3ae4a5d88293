"""kill -9 between a message, its frame and its answer: each message has one frame, and none is lost."""

from __future__ import annotations

import json
import random
import secrets
import subprocess
import sys
import time
from pathlib import Path

from capsule.batch import BatchDocument, check_continuity
from capsule.thing import ELECTRIC_VEHICLE
from contracts.embedded import EmbeddedChain
from gateway.gbt32960.vehicles import Vehicles
from tests.gateway.child import open_gateway, open_ledger
from tests.gateway.gbt32960.vehicles import Terminal, login, report
from tests.gateway.space import GATEWAY_KEY, Clock, embedded_space

ROOT = Path(__file__).parents[3]
MESSAGES = 120


def test_every_answered_message_has_exactly_one_frame_after_kills(tmp_path: Path) -> None:
    with embedded_space(tmp_path / "chain") as space, Vehicles(tmp_path / "vehicles.db") as vehicles:
        ledger = space.gateway_ledger()
        vehicle = vehicles.add("LTEST00000000000A", secrets.token_bytes)
        space.provider.devices.enroll(vehicle.device, GATEWAY_KEY.suite, GATEWAY_KEY.key, ELECTRIC_VEHICLE.hash)
        assert ledger.account is not None
        known = {"directory": str(ledger.pin.directory), "account": ledger.account.private_key.hex()}
    (tmp_path / "space.json").write_text(json.dumps(known))
    at, chance, answered = Clock()(), random.Random(9), 0
    first = login(at)
    reports = [report(at + number, bytes.fromhex("04 01 07d0 02bc")) for number in range(MESSAGES)]
    for _ in range(2):
        command = [sys.executable, "-m", "tests.gateway.gbt32960.child", str(tmp_path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            with Terminal(int(child.stdout.readline())) as terminal:
                terminal.ask(first)
                terminal.send(b"".join(reports[answered:]))  # what was not answered is sent again
                for _ in range(chance.randrange(20, 35)):
                    assert terminal.answer().answer == 1
                    answered += 1
                time.sleep(chance.random() / 100)
                child.kill()
    with (
        EmbeddedChain.open(tmp_path / "chain", clock=Clock()) as chain,
        open_gateway(tmp_path, open_ledger(chain, tmp_path)) as gateway,
        Vehicles(tmp_path / "vehicles.db") as vehicles,
    ):
        kept = gateway.status().frames
        assert answered + 1 <= kept <= MESSAGES + 1
        times = []
        for number in range(1, kept + 1):
            frame = gateway.witness.frame_at(vehicle.device, number)
            assert frame is not None
            assert frame.received is not None
            assert vehicles.message(frame.received)[0].data == [first, *reports][number - 1]
            times.append(frame.content_unverified().rows[0].time)
        assert times == [int(at), *(int(at) + number for number in range(kept - 1))]
        gateway.anchor_all()
        document = BatchDocument.from_bytes(gateway.batch_document(1))
        assert document.incidents == ()
        assert check_continuity(document.entries) == ()
