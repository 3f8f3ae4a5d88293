"""Attacks on results: what a compute node says came out."""

import hashlib
from dataclasses import replace
from typing import Any

from audit.reexecution import Outcome, compare
from capsule import canonical
from capsule.box import BoxKey, seal_to
from capsule.disclosure import PURPOSE
from capsule.ids import Digest
from capsule.receipt import output_digest
from contracts.roles import Role
from node.access import Narrowing
from node.compute import Compute
from node.gathering import Gathered
from node.reexecution import Attempt, Repeated
from node.runtime.protocol import Completed, Limits, Refused
from scripts.demo.attacks.catalogue import Attack, Caught, UnseenError, found
from scripts.demo.trip import Trip

__all__ = ["ATTACKS", "Liar"]

GROUP = "results"


class Liar(Compute):
    """Runs the algorithm for itself, and seals another result for the buyer, under a receipt that fits the lie."""

    def _outcome(self, gathered: Gathered, limits: Limits) -> Completed | Refused:
        own = BoxKey.generate(self._context.entropy)
        mine = replace(gathered, job=replace(gathered.job, result_key=own.public))
        outcome = super()._outcome(mine, limits)
        if isinstance(outcome, Refused):
            return outcome
        result: Any = canonical.decode(own.open(outcome.sealed_result))
        # twice the energy in the last row, which is the whole period
        result["rows"][-1][1] *= 2
        lie = canonical.encode(result)
        sealed = seal_to(gathered.job.result_key, lie)
        return replace(
            outcome,
            sealed_result=sealed,
            sealed_result_hash=Digest(hashlib.sha256(sealed).digest()),
            output_hash=output_digest(lie, gathered.job.result_salt),
        )


def false_result(trip: Trip) -> Caught:
    """The buyer's checks and the audit see nothing; then the regulator repeats the use."""
    trip.lets_regulator_in = True
    compute = trip.world["compute"]
    compute.node.compute = Liar(compute.node.context)
    trip.until_opened()
    trip.finish()
    if findings := trip.audit().findings:
        raise UnseenError(f"the audit found {findings[0].rule} before anybody repeated the use")
    repeated = _reexecuted(trip)
    if repeated is None:
        raise UnseenError("the regulator could not repeat the use")
    if compare(repeated.original.receipt, repeated.receipt.receipt, repeated.algorithm).outcome is Outcome.CONFIRMED:
        raise UnseenError("the re-execution confirmed the lie")
    return found(trip, "result-not-reproduced")


def _reexecuted(trip: Trip) -> Repeated | None:
    """The regulator, let in by the policy, takes the use through request, grant, order, releases and run."""
    regulator = trip.world["regulator"]
    roles = Role.REGULATOR | Role.BUYER | Role.COMPUTE
    trip.world.operator.participants.set_roles(regulator.account, roles)
    disclosure = trip.world["buyer"].node.ordering.disclose(trip.placed.order_hash, regulator.account)
    use = trip.opened.use

    def step() -> Attempt:
        return regulator.node.reexecution.step(use, disclosure, PURPOSE, trip.seconds_per_use, afresh=False)

    for request in step().requests:
        trip.world["provider"].node.access.grant(request, Narrowing())
    step()
    regulator.node.work()
    trip.release()
    regulator.node.work()
    return step().repeated


ATTACKS = (
    Attack(
        "false-result",
        GROUP,
        "a compute node signs for another result than the algorithm gives",
        "计算方为并非算法所得的结果签发回执",
        false_result,
    ),
)
