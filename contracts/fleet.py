"""Fleets of devices on chain: one root for all their keys, and each key proven from its paper at its first use.

Between the two, nobody but the fleet's owner and the devices know the ids; a key counts once its proof is final.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from capsule.enrolment import Enrolment
from capsule.errors import VerificationError
from capsule.ids import Address, DeviceId, Digest, FleetId
from contracts.errors import RevertedError
from contracts.events import DevicesEnrolled
from contracts.ledger import Ledger
from contracts.structs import DeviceStatus, Fleet

__all__ = ["enroll_fleet", "prove_enrolled"]

_AT_ONCE: Final = 64
"""transactions that wait for their blocks together"""


def enroll_fleet(ledger: Ledger, root: Digest, size: int, model_hash: Digest) -> FleetId:
    """Enrols a fleet by root and size of its tree, as an active provider; returns once that is final."""
    transaction = ledger.devices.enroll_many(root, size, model_hash)
    ledger.wait_final(transaction)
    return transaction.event(DevicesEnrolled).fleet


def prove_enrolled(ledger: Ledger, papers: Sequence[Enrolment]) -> tuple[DeviceId, ...]:
    """Puts the keys of these papers on chain, and returns the devices that were not there before, once that is final.

    All papers are checked before anything is sent. Raises VerificationError for a paper that its fleet on the final
    chain does not hold, and where the chain has another key for the device; LedgerError where the chain can't be asked.
    """
    final = ledger.final_block().number
    fleets: dict[FleetId, Fleet] = {}
    for paper in papers:
        if paper.fleet not in fleets:
            fleets[paper.fleet] = ledger.devices.fleet_of(paper.fleet, at=final)
        fleet = fleets[paper.fleet]
        if fleet.owner == Address.ZERO:
            raise VerificationError(f"fleet {paper.fleet} is not on the final chain", f"block {final}")
        paper.verify(fleet.root, fleet.size)
    waiting = [paper for paper in papers if not _stands(ledger, paper)]
    with ThreadPoolExecutor(_AT_ONCE, "enrolment") as pool:
        new = tuple(pool.map(partial(_prove, ledger), waiting))
    return tuple(paper.device for paper, is_new in zip(waiting, new, strict=True) if is_new)


def _prove(ledger: Ledger, paper: Enrolment) -> bool:
    """False where somebody else was quicker with the same key."""
    try:
        transaction = ledger.devices.prove_enrolled(
            paper.fleet, paper.device, paper.key.suite, paper.key.key, paper.index, list(paper.proof)
        )
    except RevertedError as error:
        if error.name == "DevicesTaken" and _stands(ledger, paper):
            return False
        raise
    ledger.wait_final(transaction)
    return True


def _stands(ledger: Ledger, paper: Enrolment) -> bool:
    """Whether the chain has this device; raises VerificationError where it came there otherwise."""
    device = ledger.devices.device_of(paper.device)
    if device.status is DeviceStatus.NONE:
        return False
    fleet = ledger.devices.fleet_of(paper.fleet)
    if device.owner != fleet.owner:
        raise VerificationError(
            f"device {paper.device} is another owner's on chain: enrol it again under a new id",
            f"owner {device.owner}, fleet {paper.fleet} of {fleet.owner}",
        )
    return True
