"""Attacks by whoever serves the chain: an RPC server that leaves out, holds back or makes up."""

from collections.abc import Sequence
from dataclasses import replace

from capsule.ids import Address, Digest
from contracts.agreeing import AgreeingChain
from contracts.chain import Chain, RawLog
from contracts.events import AccessGranted
from scripts.demo.attacks.catalogue import Attack, Caught, UnseenError, stopped
from scripts.demo.inspection import Inspector
from scripts.demo.lying_chain import Lies, LyingChain
from scripts.demo.trip import Trip

__all__ = ["ATTACKS"]

GROUP = "chain"
HIDDEN_BLOCKS = 4


class _FakeUse(LyingChain):
    """Shows every use a second time, under an id that does not exist."""

    def __init__(self, chain: Chain, real: RawLog) -> None:
        super().__init__(chain)
        self._fake = replace(real, topics=(real.topics[0], Digest(bytes(31) + b"\x01"), *real.topics[2:]))

    def logs(self, addresses: Sequence[Address], first: int, last: int) -> tuple[RawLog, ...]:
        found = super().logs(addresses, first, last)
        return (*found, self._fake) if first <= self._fake.block_number <= last else found


def omitted_event(trip: Trip) -> Caught:
    trip.until_opened()
    trip.finish()
    view = trip.world["regulator"].node.context.view
    granted = next(event for event in view.refresh() if isinstance(event, AccessGranted))
    liar = LyingChain(trip.world.chain, Lies(omit=lambda log: log == granted.log))
    return _found(trip, liar, "seq-gap")


def stale_rpc(trip: Trip) -> Caught:
    trip.until_opened()
    trip.finish()
    liar = LyingChain(trip.world.chain, Lies(hidden=HIDDEN_BLOCKS))
    return _found(trip, liar, "checkpoint-behind")


def fake_chain(trip: Trip) -> Caught:
    trip.until_opened()
    liar = _FakeUse(trip.world.chain, trip.opened.log)
    custodian = trip.world.show(trip.world["custodian-1"], AgreeingChain([trip.world.chain, liar]))
    return stopped(6, custodian.name, "ChainDisagreementError", custodian.node.work)


def _found(trip: Trip, liar: Chain, rule: str) -> Caught:
    """Audits through the liar, against the checkpoint that regulator and participants signed of the true record."""
    honest = Inspector(trip.world).sign_checkpoint()
    findings = Inspector(trip.world, liar).inspect(honest).findings
    rules = {finding.rule for finding in findings}
    if rule not in rules:
        raise UnseenError(f"the audit found {', '.join(sorted(rules)) or 'nothing'}, not {rule}")
    return Caught(finding=next(finding for finding in findings if finding.rule == rule))


ATTACKS = (
    Attack(
        "omitted-event",
        GROUP,
        "an RPC server leaves one log out",
        "RPC 服务器漏报一条事件",
        omitted_event,
    ),
    Attack(
        "stale-rpc",
        GROUP,
        "an RPC server hides the newest blocks",
        "RPC 服务器隐瞒最新区块",
        stale_rpc,
    ),
    Attack(
        "fake-chain", GROUP, "an RPC server shows a holder a use that does not exist", "RPC 服务器伪造使用", fake_chain
    ),
)
