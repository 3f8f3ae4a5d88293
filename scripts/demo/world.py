"""The organisations of the demo: nine homes in one process, one embedded chain, each node behind its own HTTP
application.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from capsule.digest import document_digest
from capsule.ids import Address, Uscc
from capsule.signature import ED25519, PublicKey
from contracts.account import Account
from contracts.chain import Chain
from contracts.deploy import deploy
from contracts.embedded import EmbeddedChain
from contracts.ledger import Ledger
from contracts.roles import Role
from node.home import Home
from node.keystore import Keystore, create_keystore
from node.organisation import Node
from node.service import build_app
from node.settings import Settings
from node.view import LedgerView
from scripts.composition import Opened, now
from scripts.inprocess import InProcess
from scripts.nodes import build_node

__all__ = ["CUSTODIANS", "Member", "World", "build_world"]

CUSTODIANS = ("custodian-1", "custodian-2", "custodian-3")
ROLES = {
    "provider": Role.PROVIDER,
    "gateway": Role.GATEWAY,
    "buyer": Role.BUYER,
    **dict.fromkeys(CUSTODIANS, Role.CUSTODIAN),
    "compute": Role.COMPUTE,
    "regulator": Role.REGULATOR,
}
FUNDS = 10**18


@dataclass(frozen=True, slots=True)
class Member:
    """One organisation: its name in the demo, its code, home and keys, its view of the ledger, and its node."""

    name: str
    uscc: Uscc
    home: Path
    keystore: Keystore
    ledger: Ledger
    node: Node

    @property
    def account(self) -> Address:
        return self.keystore.account.address

    @property
    def public_key(self) -> PublicKey:
        return PublicKey(self.keystore.signer.suite, self.keystore.signer.public_key)


class World:
    """All members, the operator's ledger, and the chain. All sign under one suite."""

    def __init__(
        self,
        home: Path,
        chain: Chain,
        operator: Account,
        directory: Address,
        clock: Callable[[], int],
        suite: int = ED25519,
    ) -> None:
        self.home = home
        self.clock = clock
        self.suite = suite
        self.chain = chain
        self.directory = directory
        self._operator = operator.address
        self.operator = Ledger.connect(chain, directory, operator, None)
        self.members: dict[str, Member] = {}
        self._stack = ExitStack()
        self._transports: dict[str, httpx.BaseTransport] = {}
        self.client = self._stack.enter_context(httpx.Client(transport=_Switchboard(self._transports)))

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    @property
    def operator_account(self) -> Address:
        return self._operator

    @property
    def custodians(self) -> tuple[Member, ...]:
        return tuple(self.members[name] for name in CUSTODIANS)

    @staticmethod
    def role(name: str) -> Role:
        """The role that an organisation of this name has in the demo."""
        return ROLES[name]

    def join(self, name: str) -> Member:
        """Makes an organisation's home and node. It is not admitted yet."""
        settings = Settings(endpoint=f"http://{name}.demo", trust_single_endpoint=True)
        home = self._stack.enter_context(Home(self.home / name))
        keystore = create_keystore(home.keystore_file, secrets.token_urlsafe(16), secrets.token_bytes, self.suite)
        ledger = Ledger.connect(self.chain, self.directory, keystore.account, None)
        node = build_node(Opened(home, settings, keystore), ledger, self.client, self.clock)
        self._stack.callback(node.context.store.close)
        self.serve(f"{name}.demo", build_app(node, secrets.token_urlsafe(16)))
        member = Member(name, _code(), home.path, keystore, ledger, node)
        self.members[name] = member
        return member

    def serve(self, host: str, app: object) -> None:
        """Puts an application behind a host name of this world."""
        self._transports[host] = InProcess(app)

    def admit(self, member: Member, role: Role) -> None:
        """The operator admits a member; the member sets its keys and endpoint."""
        identity = document_digest("identity", {"uscc": str(member.uscc), "salt": secrets.token_hex(32)})
        self.operator.participants.admit(member.account, member.uscc, identity, role, value=FUNDS)
        member.node.announce(f"http://{member.name}.demo")

    def show(self, member: Member, chain: Chain) -> Member:
        """The member from now on sees the chain through `chain`."""
        ledger = Ledger.connect(chain, self.directory, member.keystore.account, self.operator.pin)
        context = replace(member.node.context, ledger=ledger, view=LedgerView(ledger))
        self.members[member.name] = replace(member, ledger=ledger, node=Node(context))
        return self.members[member.name]

    def on_close(self, close: Callable[[], None]) -> None:
        """Something else to let go of when the world ends."""
        self._stack.callback(close)

    def close(self) -> None:
        self._stack.close()


@contextmanager
def build_world(home: Path, clock: Callable[[], int] = now, suite: int = ED25519) -> Iterator[World]:
    """A fresh chain with its contracts, and eight members that are not admitted yet; all share one clock and suite."""
    home.mkdir(parents=True, exist_ok=False, mode=0o700)
    with EmbeddedChain.open(home / "chain", clock=clock) as chain:
        directory = deploy(chain, chain.faucet, confirmations=0, finalized_tag=False)
        world = World(home, chain, chain.faucet, directory, clock, suite)
        try:
            for name in ROLES:
                world.join(name)
            yield world
        finally:
            world.close()


class _Switchboard(httpx.BaseTransport):
    """Routes a request to the application of its host."""

    def __init__(self, transports: dict[str, httpx.BaseTransport]) -> None:
        self._transports = transports

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        transport = self._transports.get(request.url.host)
        if transport is None:
            raise httpx.ConnectError(f"nobody answers at {request.url.host}", request=request)
        return transport.handle_request(request)


def _code() -> Uscc:
    """A well-formed code of no real organisation."""
    digits = "".join(str(secrets.randbelow(10)) for _ in range(16))
    return Uscc.make("9" + digits)
