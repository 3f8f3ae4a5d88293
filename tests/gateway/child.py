"""Processes that a test kills: python -m tests.gateway.child ingest|full|agent|anchor|serve|mqtt FOLDER [BROKER],
or `fork`, which does any of them on demand.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from capsule.ids import Address, DeviceId, Digest
from contracts.account import Account
from contracts.chain import Chain
from contracts.embedded import EmbeddedChain
from contracts.ledger import Ledger
from gateway.agent import Agent
from gateway.broker import Broker
from gateway.errors import StoreError
from gateway.gateway import Gateway
from gateway.mqtt import Subscriber
from gateway.server import collect_seldom, serve
from gateway.service import build_app
from gateway.settings import GatewaySettings
from tests.capsule.frames import Device
from tests.gateway.space import GATEWAY_SIGNER, Clock


class DyingChain:
    """A chain whose process dies right after it took a transaction: nobody hears of the hash."""

    def __init__(self, inner: Chain) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def send(self, raw: bytes) -> Digest:
        self._inner.send(raw)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def open_ledger(chain: Any, folder: Path) -> Ledger:
    known = json.loads((folder / "space.json").read_text())
    return Ledger.connect(chain, Address.parse(known["directory"]), Account(bytes.fromhex(known["account"])))


def open_gateway(folder: Path, ledger: Ledger) -> Gateway:
    settings = GatewaySettings.from_mapping({"refresh_seconds": 0}, os.environ)
    return Gateway.open(folder / "gateway", ledger, GATEWAY_SIGNER, clock=Clock(), settings=settings)


def fork() -> None:
    """Prints a port; then does what each line that it reads says, "WHAT FOLDER", in a process of its own, whose id it
    prints first, and its exit code last. A start costs no imports that way. All that serve have the one port, and who
    connects between two of them waits for the next.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    collect_seldom()  # now, rather than in each of them
    for line in sys.stdin:
        what, folder = line.split()
        if not (child := os.fork()):
            print(os.getpid(), flush=True)
            main(what, Path(folder), listener)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(f"ended {os.waitstatus_to_exitcode(status)}", flush=True)


def main(what: str, folder: Path, listener: socket.socket | None = None) -> None:
    with EmbeddedChain.open(folder / "chain", clock=Clock()) as chain:
        seen = DyingChain(chain) if what == "anchor" else chain
        with open_gateway(folder, open_ledger(seen, folder)) as gateway:
            if what in ("ingest", "full"):
                if what == "full":
                    size = (folder / "gateway" / "gateway.db").stat().st_size
                    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 300_000, size + 300_000))
                for line in (folder / "frames").read_text().split():
                    try:
                        receipt = gateway.ingest(bytes.fromhex(line))
                    except StoreError as exc:
                        sys.exit(str(exc))
                    print(receipt.to_bytes().decode(), flush=True)
            elif what == "agent":
                known = json.loads((folder / "space.json").read_text())
                device, keys = Device(), {gateway.account: gateway.public_key}
                agent = Agent(
                    folder / "queue.db",
                    DeviceId.parse(known["device"]),
                    device.signer,
                    gateways=keys,
                    domain=gateway.domain,
                )
                with agent:
                    agent.submit_csv(folder / "readings.csv")
                    while agent.deliver(gateway, most=1):
                        print(agent.sequence, flush=True)
            elif what == "serve":
                if listener is None:
                    listener = socket.create_server(("127.0.0.1", 0))
                    print(listener.getsockname()[1], flush=True)
                serve(build_app(gateway, ""), "127.0.0.1", 0, gateway.settings, sockets=[listener])
            elif what == "mqtt":
                with Subscriber(
                    gateway, Broker.parse(sys.argv[3]), max_frame_bytes=1 << 20, shared=False
                ) as subscriber:
                    if subscriber.wait_connected(10):
                        print("connected", flush=True)
                    signal.pause()
            else:
                gateway.anchor_all()


if __name__ == "__main__":
    if sys.argv[1] == "fork":
        fork()
    else:
        main(sys.argv[1], Path(sys.argv[2]))
