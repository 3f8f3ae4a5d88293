"""A chain with a provider and gateways, for tests of the device door. Everything in it is real."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from capsule.ids import Address, DeviceId, Digest, Uscc
from capsule.signature import ED25519, Ed25519Signer, PublicKey
from capsule.thing import STORAGE_STATION
from contracts.account import Account
from contracts.chain import Chain
from contracts.deploy import deploy
from contracts.embedded import EmbeddedChain
from contracts.ledger import Ledger
from contracts.roles import Role
from gateway.agent import Agent
from gateway.gateway import Gateway
from gateway.settings import GatewaySettings
from tests.capsule.frames import Device

FUNDS = 10**18


@dataclass
class Clock:
    """Seconds that a test moves."""

    now: float = 1_680_829_200.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Space:
    """The contracts on a chain, an admitted provider, and a counter for codes."""

    chain: Chain
    operator: Ledger
    provider: Ledger
    clock: Clock = field(default_factory=Clock)
    _codes: Iterator[int] = field(default_factory=lambda: iter(range(100, 10_000)))

    def admit(self, role: Role) -> Ledger:
        ledger = self.operator.as_account(Account.generate(secrets.token_bytes))
        self.operator.participants.admit(
            account_of(ledger),
            Uscc.make(f"9135010000000{next(self._codes):04d}"),
            Digest(secrets.token_bytes(32)),
            role,
            value=FUNDS,
        )
        return ledger

    def enrol(self, device: Device | None = None) -> Device:
        """A device of the provider, on chain under an id of its own: the chain is all tests', and fixed ids are
        strangers'."""
        device = device or Device()
        device.id = DeviceId(secrets.token_bytes(32))
        self.provider.devices.enroll(device.id, ED25519, device.signer.public_key, STORAGE_STATION.hash)
        return device

    def gateway_ledger(self) -> Ledger:
        return self.admit(Role.GATEWAY)

    def open_gateway(self, home: Path, ledger: Ledger | None = None, **settings: int | float | str) -> Gateway:
        return Gateway.open(
            home,
            ledger or self.gateway_ledger(),
            GATEWAY_SIGNER,
            clock=self.clock,
            settings=GatewaySettings.from_mapping({"refresh_seconds": 0, **settings}),
        )

    def open_agent(self, path: Path, device: Device, *gateways: Gateway, rows_per_frame: int = 60) -> Agent:
        keys = {gateway.account: gateway.public_key for gateway in gateways}
        domain = self.operator.domain
        return Agent(path, device.id, device.signer, gateways=keys, domain=domain, rows_per_frame=rows_per_frame)


GATEWAY_SIGNER = Ed25519Signer(b"\x67" * 32)
GATEWAY_KEY = PublicKey(ED25519, GATEWAY_SIGNER.public_key)


@contextmanager
def embedded_space(path: Path) -> Iterator[Space]:
    with EmbeddedChain.open(path, clock=Clock()) as chain:
        yield found(chain, chain.faucet)


def found(chain: Chain, operator: Account, *, confirmations: int = 0) -> Space:
    """Contracts and a provider on a chain."""
    directory = deploy(chain, operator, confirmations=confirmations, finalized_tag=False)
    ledger = Ledger.connect(chain, directory, operator)
    space = Space(chain, ledger, ledger)
    space.provider = space.admit(Role.PROVIDER)
    return space


def account_of(ledger: Ledger) -> Address:
    assert ledger.account is not None
    return ledger.account.address
