"""What the calls of a typical trip cost in gas: `python -m scripts.bench.gas`.

One provider, three custodians (two of three and the provider release), one buyer, one compute node, one grant, on the
embedded chain. Writes the table between the markers of docs/benchmarks.md; with `--print` only to standard output. Gas
depends on the contracts and on the sizes that the table names, not on the machine; ids and keys are random, so a run
differs from another by some dozens of gas.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from eth_abi.abi import encode

from capsule import tree
from capsule.ids import Bytes32, DeviceId, Digest, Uscc
from capsule.order import Order
from capsule.terms import UNLIMITED_U32, Terms
from contracts.account import Account
from contracts.deploy import deploy
from contracts.embedded import EmbeddedChain
from contracts.events import (
    AccessGranted,
    AccessRequested,
    AssetRegistered,
    DeviceEnrolled,
    DevicesEnrolled,
    UseOpened,
)
from contracts.ledger import Ledger
from contracts.roles import Role
from contracts.structs import Batch, Pin
from contracts.transaction import Transaction
from scripts.bench.page import write_part

__all__ = ["main"]

_CODES: Final = ("0", "1", "2", "3", "4", "5", "6")
_SHARE_BYTES: Final = 400
_FLEET: Final = 1024


@dataclass(slots=True)
class _Bill:
    """Gas by what was done, in the order it was done first."""

    lines: list[tuple[str, int]] = field(default_factory=list)

    def take(self, what: str, transaction: Transaction) -> Transaction:
        self.lines.append((what, transaction.gas_used))
        return transaction

    def table(self) -> str:
        rows = [f"| {what} | {gas:,} |" for what, gas in self.lines]
        return "\n".join(["| call | gas |", "| --- | ---: |", *rows])


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.gas", description=__doc__)
    parser.add_argument("--print", action="store_true", help="leave docs/benchmarks.md alone")
    only_print: bool = parser.parse_args(arguments).print
    bill = _Bill()
    with tempfile.TemporaryDirectory() as folder, EmbeddedChain.open(Path(folder), clock=time.time) as chain:
        _deploy(chain, bill)
        _trip(_Members(chain), bill)
    sys.stdout.write(bill.table() + "\n")
    if not only_print:
        _write(bill.table())
    return 0


def _write(table: str) -> None:
    told = [
        "Written by `python -m scripts.bench.gas`: three custodians, two of three and the provider release; terms",
        "that name a purpose, an algorithm and the custodians; sealed shares of "
        f"{_SHARE_BYTES} bytes; a fleet of {_FLEET} devices.",
        "",
        table,
    ]
    write_part("gas", told)


def _deploy(chain: EmbeddedChain, bill: _Bill) -> None:
    deploy(chain, chain.faucet, confirmations=0, finalized_tag=False)
    receipts = [receipt for number in range(1, chain.head().number + 1) for receipt in chain.block_receipts(number)]
    bill.lines.append(("deploy six contracts and name five", sum(receipt.gas_used for receipt in receipts)))
    bill.lines.append(("the largest of them (Access)", max(receipt.gas_used for receipt in receipts)))


def _digest() -> Digest:
    return Digest(secrets.token_bytes(32))


class _Members:
    """A contract set and its admitted organisations."""

    def __init__(self, chain: EmbeddedChain) -> None:
        directory = deploy(chain, chain.faucet, confirmations=0, finalized_tag=False)
        self.operator = Ledger.connect(chain, directory, chain.faucet)
        roles = (Role.PROVIDER | Role.GATEWAY, Role.BUYER, Role.COMPUTE, *[Role.CUSTODIAN] * 3)
        accounts = [Account.generate(secrets.token_bytes) for _ in roles]
        self.admissions = [
            self.operator.participants.admit(account.address, Uscc.make(f"91350100M000100Y{code}"), _digest(), role)
            for account, code, role in zip(accounts, _CODES, roles, strict=False)
        ]
        self.provider, self.buyer, self.compute, *self.custodians = [
            self.operator.as_account(account) for account in accounts
        ]
        self.buyer_account = accounts[1]
        self.holders = [accounts[0].address, *(account.address for account in accounts[3:])]
        self.compute_address = accounts[2].address


def _trip(members: _Members, bill: _Bill) -> None:
    bill.take("Participants.admit", members.admissions[0])
    keys = members.provider.participants.set_keys
    bill.take("Participants.setKeys", keys(1, secrets.token_bytes(32), _digest(), secrets.token_bytes(64)))
    _devices(members.provider, bill)
    algorithm = _digest()
    pin, terms = _offer(members, algorithm, bill)
    request = bill.take(
        "Access.request",
        members.buyer.access.request(pin, "research", algorithm, members.compute_address, _digest(), terms),
    )
    asked = request.event(AccessRequested).request
    grant = bill.take("Access.grant", members.provider.access.grant(asked, "research", _digest(), terms, terms))
    for label in ("Access.openUse, first", "Access.openUse, next"):
        _use(members, grant.event(AccessGranted), label, bill)
    log = members.compute.operation_log
    first = _digest()
    bill.take("OperationLog.anchorHead, first", log.anchor_head(4, first, Digest(bytes(32))))
    bill.take("OperationLog.anchorHead, next", log.anchor_head(8, _digest(), first))


def _devices(provider: Ledger, bill: _Bill) -> None:
    devices = provider.devices
    enrolled = devices.enroll(DeviceId(secrets.token_bytes(32)), 1, secrets.token_bytes(32), _digest())
    bill.take("Devices.enroll", enrolled).event(DeviceEnrolled)
    members = [(secrets.token_bytes(32), 1, secrets.token_bytes(32)) for _ in range(_FLEET)]
    leaves = [tree.leaf_hash(encode(["bytes32", "uint8", "bytes"], member)) for member in members]
    many = bill.take("Devices.enrollMany", devices.enroll_many(tree.root(leaves), _FLEET, _digest()))
    device, suite, key = members[7]
    fleet, proof = many.event(DevicesEnrolled).fleet, tree.inclusion_proof(leaves, 7)
    proven = devices.prove_enrolled(fleet, DeviceId(device), suite, key, 7, [Digest(item) for item in proof])
    bill.take("Devices.proveEnrolled", proven)
    previous = Digest(bytes(32))
    for number, label in ((1, "Devices.anchor, first"), (2, "Devices.anchor, next")):
        batch = Batch(
            number=number,
            predecessor=previous,
            size=60,
            frames_root=_digest(),
            index_root=_digest(),
            incidents_root=_digest(),
        )
        bill.take(label, devices.anchor(batch))
        previous = batch.frames_root


def _offer(members: _Members, algorithm: Digest, bill: _Bill) -> tuple[Pin, Terms]:
    assets = members.provider.assets
    now = int(time.time())
    terms = Terms(
        compiler=1,
        not_before=now - 3600,
        not_after=now + 365 * 86_400,
        purposes=("research",),
        algorithms=(algorithm,),
        buyers=(),
        buyer_roles=Role.BUYER,
        compute_nodes=(),
        holders=tuple(members.holders[1:]),
        least_threshold=2,
        provider_share_required=True,
        seconds_per_grant=30 * 86_400,
        seconds_per_use=3600,
        uses_per_grant=10,
        uses_per_buyer=100,
        uses_total=UNLIMITED_U32,
        rows_per_buyer=1_000_000,
        automatic_grant=False,
        compute_by_buyer=False,
        compute_by_custodian=False,
    )
    asset = bill.take("Assets.register", assets.register(_digest())).event(AssetRegistered).asset
    root, policy, dealt = _digest(), _digest(), _digest()
    bill.take("Assets.publish", assets.publish(asset, root, 10_000_000, policy, _digest(), terms))
    bill.take("Assets.deal", assets.deal(asset, 1, dealt, 2, 86_400, members.holders, terms))
    accept = [holder.assets.accept_share(asset, 1, 1, dealt) for holder in (*members.custodians, members.provider)]
    bill.take("Assets.acceptShare, first", accept[0])
    bill.take("Assets.acceptShare, next", accept[1])
    pin = Pin(
        asset=asset,
        version=1,
        capsule_root=root,
        policy_hash=policy,
        terms_hash=terms.hash,
        deal=1,
        deal_hash=dealt,
    )
    return pin, terms


def _use(members: _Members, granted: AccessGranted, label: str, bill: _Bill) -> None:
    access = members.compute.access
    order = Order(
        grants=(granted.grant,),
        number=secrets.randbelow(2**64),
        algorithm=access.grant_of(granted.grant).algorithm,
        parameters=_digest(),
        compute_node=members.compute_address,
        result_key=Bytes32(secrets.token_bytes(32)),
        deadline=int(time.time()) + 3600,
    )
    signature = members.buyer_account.sign_order(
        order, members.compute.chain.chain_id(), members.compute.addresses["Access"]
    )
    keys = [[secrets.token_bytes(32) for _ in members.holders]]
    opened = bill.take(label, access.open_use(order, signature, _digest(), keys)).event(UseOpened)
    releases = [
        holder.access.release_share(Bytes32(opened.use), _digest(), secrets.token_bytes(_SHARE_BYTES))
        for holder in (*members.custodians[:2], members.provider)
    ]
    refused = members.custodians[2].access.refuse_share(Bytes32(opened.use), 7, _digest())
    closed = access.close_use(opened.order_hash, True, 0, _digest(), _digest(), 100)
    if label.endswith("next"):
        bill.take("Access.releaseShare, custodian", releases[1])
        bill.take("Access.releaseShare, provider", releases[2])
        bill.take("Access.refuseShare", refused)
        bill.take("Access.closeUse, completed", closed)


if __name__ == "__main__":
    sys.exit(main())
