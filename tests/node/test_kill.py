"""A compute node that is really killed between opening and closing a use, and another process on the same homes."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from capsule import canonical
from capsule.attestation import SoftwareAttester, SoftwareVerifier
from capsule.ids import Address, Digest, GrantId
from contracts.embedded import EmbeddedChain
from contracts.ledger import Ledger
from contracts.structs import UseStatus
from node.context import Context
from node.home import Home
from node.keystore import open_keystore
from node.organisation import Node
from node.peers import HttpPeers
from node.service import build_app
from node.settings import Settings
from node.store import Store
from node.view import LedgerView
from scripts.composition import now
from scripts.inprocess import InProcess
from tests.node.child import PASSPHRASE

HOLDERS = ("provider", "custodian-1", "custodian-2")


@contextmanager
def resumed(world: Path, directory: Address) -> Iterator[dict[str, Node]]:
    """New nodes on the homes that the killed process left."""
    with ExitStack() as stack:
        chain = stack.enter_context(EmbeddedChain.open(world / "chain", clock=now))
        nodes: dict[str, Node] = {}
        mounts: dict[str, httpx.BaseTransport] = {}
        for name in ("compute", "buyer", *HOLDERS):
            home = stack.enter_context(Home(world / name))
            keystore = open_keystore(home.keystore_file, PASSPHRASE, secrets.token_bytes)
            store = Store(home.database_file, keystore.vault, secrets.token_bytes)
            stack.callback(store.close)
            ledger = Ledger.connect(chain, directory, keystore.account)
            settings = Settings(trust_single_endpoint=True)
            client = stack.enter_context(httpx.Client(mounts=dict[str, Any](mounts)))
            peers = HttpPeers(client, settings.max_document_bytes)
            ports = (peers, now, secrets.token_bytes, SoftwareAttester(), (SoftwareVerifier(),))
            context = Context(home, settings, keystore, store, ledger, LedgerView(ledger), *ports)
            nodes[name] = Node(context)
            mounts[f"http://{name}.demo"] = InProcess(build_app(nodes[name], "token"))
        client = stack.enter_context(httpx.Client(mounts=dict[str, Any](mounts)))
        for name, node in nodes.items():
            nodes[name] = Node(replace(node.context, peers=HttpPeers(client, node.context.settings.max_document_bytes)))
        yield nodes


@pytest.mark.parametrize("pause", [0.0, 0.7])
def test_a_killed_compute_node_resumes_and_counts_once(tmp_path: Path, pause: float) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.node.child", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with child:
        assert child.stdout is not None
        told = json.loads(child.stdout.readline())
        time.sleep(pause)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    order, grant = Digest.parse(told["order"]), GrantId.parse(told["grant"])
    with resumed(tmp_path / "world", Address.parse(told["directory"])) as nodes:
        compute = nodes["compute"]
        state = compute.context.store.run(order)
        assert state is not None
        assert state.state in ("ordered", "opened", "ran", "ended")
        progress = compute.work().progress
        for name in HOLDERS:
            nodes[name].work()
        progress = compute.work().progress or progress
        if state.state != "ended":  # a quick machine was done before it was killed
            assert [(one.state, one.note) for one in progress] == [("ended", "")]
        access = compute.context.ledger.access
        (use,) = access.uses_of(order)
        assert access.use_of(use).status is UseStatus.COMPLETED
        assert access.grant_of(grant).used == 1
        assert [compute.context.store.secret(f"one-time/{order}/0/{index}") for index in range(4)] == [None] * 4
        document = canonical.decode(nodes["buyer"].ordering.collect(order).result)
        assert isinstance(document, dict)
        assert document["rows"] == [[780, 40]]
        left = [path.name for path in (tmp_path / "world" / "compute").rglob("*.part")]
        assert left == []
