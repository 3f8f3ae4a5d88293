"""A provider seals a file on a disk that is full: run by a test in a process of its own, under a limit on file size."""

import signal
import sys
from pathlib import Path

import typer

from capsule.policy.offer import offer
from node.catalogue import CustodyPlan
from node.intake import read_plaintext
from scripts.cli.console import told
from scripts.demo.world import ROLES, build_world


def main() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    home, csv = Path(sys.argv[1]), Path(sys.argv[2])
    home.mkdir()
    with told(), build_world(home / "world") as world:
        for name, role in ROLES.items():
            world.admit(world[name], role)
        provider = world["provider"]
        asset = provider.node.catalogue.register({"title": "large"})
        policy = offer(asset=asset, provider=provider.account, purposes=["test"], provider_share=True)
        custodians = tuple(member.account for member in world.custodians)
        with read_plaintext(csv, "", "time") as plaintext:
            provider.node.catalogue.seal(asset, plaintext, policy, CustodyPlan(custodians, 2))


try:
    main()
except typer.Exit as ended:
    sys.exit(ended.exit_code)
