"""A provider's process that is really killed while it deals anew or rebinds: ten moments each, drawn at random.

The killed process serves the commands' own calls, on an embedded chain and the homes of all holders. What was there
before must be intact, and what is new whole or absent; the next process takes it up, and nothing happens twice.
"""

import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from capsule import canonical
from capsule.attestation import SoftwareAttester, SoftwareVerifier
from capsule.errors import CapsuleError
from capsule.ids import Address, AssetId
from capsule.key import DataKey
from capsule.opening import CapsuleReader
from capsule.share import SealedShare, open_share, rebuild_key
from contracts.embedded import EmbeddedChain
from contracts.events import CapsulePublished, CustodyDealt, DealOpened
from contracts.ledger import Ledger
from node.context import Context
from node.home import Home
from node.keystore import Keystore
from node.organisation import Node
from node.peers import HttpPeers
from node.service import build_app
from node.settings import Settings
from node.store import Store
from node.view import LedgerView
from scripts.composition import now
from scripts.inprocess import InProcess
from tests.node.space import CSV, Space, build_space

KILLS = 10
CUSTODIANS = ("custodian-1", "custodian-2")
TOKEN = {"authorization": "Bearer token"}


@dataclass(frozen=True, slots=True)
class Homes:
    """What outlives every process: homes, chain, keys; and the asset that is dealt again and again."""

    world: Path
    directory: Address
    keystores: dict[str, Keystore]
    asset: AssetId
    policies: tuple[canonical.Json, canonical.Json]


@dataclass(frozen=True, slots=True)
class Party:
    """One process with the nodes of all holders, and the way in that commands take."""

    nodes: dict[str, Node]
    client: httpx.Client

    def post(self, path: str, body: dict[str, Any], name: str = "provider") -> httpx.Response:
        return self.client.post(f"http://{name}.demo{path}", json=body, headers=TOKEN)


@contextmanager
def process(homes: Homes) -> Iterator[Party]:
    """New nodes on the homes that the last process left."""
    with ExitStack() as stack:
        chain = stack.enter_context(EmbeddedChain.open(homes.world / "chain", clock=now))
        # each host's application comes with its node, which needs the client
        mounts: dict[str, httpx.BaseTransport] = {}
        client = stack.enter_context(httpx.Client(transport=Switchboard(mounts)))
        nodes: dict[str, Node] = {}
        for name, keystore in homes.keystores.items():
            home = stack.enter_context(Home(homes.world / name))
            store = Store(home.database_file, keystore.vault, secrets.token_bytes)
            stack.callback(store.close)
            ledger, settings = Ledger.connect(chain, homes.directory, keystore.account), Settings()
            peers, view = HttpPeers(client, settings.max_document_bytes), LedgerView(ledger)
            ports = (peers, now, secrets.token_bytes, SoftwareAttester(), (SoftwareVerifier(),))
            nodes[name] = Node(Context(home, settings, keystore, store, ledger, view, *ports))
            mounts[f"{name}.demo"] = InProcess(build_app(nodes[name], "token"))
        yield Party(nodes, client)


class Switchboard(httpx.BaseTransport):
    """Routes a request to the application of its host."""

    def __init__(self, mounts: dict[str, httpx.BaseTransport]) -> None:
        self._mounts = mounts

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._mounts[request.url.host].handle_request(request)


def homes_of(space: Space, path: Path) -> Homes:
    offered = space.offered(least_threshold=1)
    return Homes(
        world=path / "world",
        directory=space.world.directory,
        keystores={name: space[name].keystore for name in ("provider", *CUSTODIANS)},
        asset=offered.asset,
        policies=(offered.policy, space.policy(offered.asset, least_threshold=1, uses_per_grant=9)),
    )


def custody(homes: Homes, round_: int) -> dict[str, Any]:
    """Another order of custodians, and another threshold, each time."""
    accounts = [str(homes.keystores[name].account.address) for name in CUSTODIANS]
    turned = accounts[round_ % 2 :] + accounts[: round_ % 2]
    return {"custodians": turned, "threshold": 1 + round_ % 2, "waiting_seconds": 0}


def open_and_release(party: Party, homes: Homes) -> None:
    """An opening that every custodian confirmed and released for."""
    answer = party.post(f"/v1/assets/{homes.asset}/open-deal", {"reason": "to be killed"})
    assert answer.status_code == 201, answer.text
    for name in CUSTODIANS:
        path = f"/v1/custody/openings/{answer.json()['opening']}/confirm"
        assert party.post(path, {}, name).json()["state"] == "confirmed"
        party.post("/v1/work", {}, name)


def killed_after(homes: Homes, seconds: float, verb: str, body: dict[str, Any]) -> None:
    """Another process makes the call of a command, and is killed so long after it began."""
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with process(homes) as party:
                os.write(tell, b"1")
                party.post(f"/v1/assets/{homes.asset}/{verb}", body)
        finally:
            os._exit(0)
    os.close(tell)
    try:
        assert os.read(ready, 1) == b"1"
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    finally:
        os.close(ready)
        os.waitpid(child, 0)


def newest_key(party: Party, homes: Homes) -> tuple[DataKey, Path]:
    """The key that the parts of the deal in force make, as their holders have them, and its capsule."""
    provider = party.nodes["provider"]
    view = provider.context.view
    view.refresh()
    dealt = view.latest_deal(homes.asset, view.latest_version(homes.asset).version)
    deal = provider.catalogue.deal(dealt.deal_hash)
    secrets_ = []
    for node in party.nodes.values():
        row = node.context.store.held_share(deal.hash)
        assert row is not None
        assert row.sealed
        sealed = SealedShare.from_json(canonical.decode(row.sealed))
        secrets_.append(open_share(sealed, deal, node.context.keystore.box))
    return rebuild_key(deal, secrets_), provider.catalogue.capsule_path(deal.capsule_root)


def opens(key: DataKey, capsule: Path) -> bool:
    try:
        with capsule.open("rb") as stream:
            return CapsuleReader(stream, key).read_all() == CSV
    except CapsuleError:
        return False


def counted(party: Party, homes: Homes) -> tuple[int, list[int], list[tuple[int, int]]]:
    """Openings, versions and deals of the asset, as the chain has them."""
    ledger = party.nodes["provider"].context.ledger
    events = [one for one in ledger.events(0, ledger.chain.head().number) if getattr(one, "asset", None) == homes.asset]
    return (
        sum(isinstance(one, DealOpened) for one in events),
        [one.version for one in events if isinstance(one, CapsulePublished)],
        [(one.version, one.deal) for one in events if isinstance(one, CustodyDealt)],
    )


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Homes:
    path = tmp_path_factory.mktemp("kills")
    with build_space(path) as space:
        return homes_of(space, path)


@pytest.mark.parametrize("verb", ["deal", "rebind"])
def test_a_killed_provider_leaves_the_old_intact_and_the_new_whole_or_absent(homes: Homes, verb: str) -> None:
    took, landed = 0.0, set()
    with process(homes) as party:
        key, capsule = newest_key(party, homes)
        openings, versions, deals = counted(party, homes)
        open_and_release(party, homes)
    for round_ in range(KILLS + 1):
        body: dict[str, Any] = {"custody": custody(homes, round_)}
        if verb == "rebind":
            body["policy"] = homes.policies[round_ % 2]
        if took:
            killed_after(homes, secrets.randbelow(1000) / 1000 * took, verb, body)
        with process(homes) as party:
            # 1. what was there is intact
            assert opens(key, capsule)
            # 2. what is new comes to its end, once
            began = time.monotonic()
            pending = party.nodes["provider"].dealing.openings()
            state = pending[0].state if pending else "ended"
            landed.add(state)
            if state == "opened":
                assert newest_key(party, homes) == (key, capsule)
                assert counted(party, homes) == (openings + 1, versions, deals)
            if pending:
                answer = party.post(f"/v1/assets/{homes.asset}/{verb}", body)
                assert answer.status_code == 201, answer.text
                assert answer.json()["stage"] == "delivered"
            took = took or time.monotonic() - began
            # 3. and is whole: every holder has its part, and the parts make the key of the capsule
            made, newest = newest_key(party, homes)
            assert opens(made, newest)
            assert (made == key, newest == capsule) == ((True, True) if verb == "deal" else (False, False))
            version, number = deals[-1]
            openings += 1
            deals = [*deals, (version, number + 1) if verb == "deal" else (version + 1, 1)]
            versions = versions if verb == "deal" else [*versions, version + 1]
            assert counted(party, homes) == (openings, versions, deals)
            assert list(homes.world.rglob("*.part")) == []
            key, capsule = made, newest
            open_and_release(party, homes)
    assert landed & {"opened", "made"}
    with process(homes) as party:
        # leaves no opening behind
        offering = party.post(f"/v1/assets/{homes.asset}/{verb}", {**body, "custody": custody(homes, 0)})
        assert offering.status_code == 201, offering.text
