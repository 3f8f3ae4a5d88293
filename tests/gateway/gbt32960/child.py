"""A gateway for vehicles that a test kills: python -m tests.gateway.gbt32960.child FOLDER; prints its port."""

from __future__ import annotations

import secrets
import sys
import threading
from pathlib import Path

from contracts.embedded import EmbeddedChain
from gateway.gbt32960.server import VehicleServer, serving
from gateway.gbt32960.vehicles import Vehicles
from gateway.gbt32960.witness import VehicleWitness
from tests.gateway.child import open_gateway, open_ledger
from tests.gateway.space import Clock


def main(folder: Path) -> None:
    with (
        EmbeddedChain.open(folder / "chain", clock=Clock()) as chain,
        open_gateway(folder, open_ledger(chain, folder)) as gateway,
        Vehicles(folder / "vehicles.db") as vehicles,
    ):
        witness = VehicleWitness(gateway, vehicles, clock=Clock(), entropy=secrets.token_bytes)
        with serving(VehicleServer(witness), "127.0.0.1", 0) as port:
            print(port, flush=True)
            threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
