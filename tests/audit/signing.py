"""Regulator, provider and a custodian sign a checkpoint, and an auditor trusts their keys."""

from __future__ import annotations

from audit.trust import Trust
from capsule.checkpoint import Checkpoint, SignedCheckpoint, sign_checkpoint
from capsule.signature import PublicKey
from tests.sim.dataspace import DataSpace

__all__ = ["sign", "trust_of"]


def sign(space: DataSpace, checkpoint: Checkpoint) -> SignedCheckpoint:
    signers = (space.regulator, space.provider, space.custodians[0])
    return SignedCheckpoint(checkpoint, tuple(sign_checkpoint(checkpoint, one.account, one.signer) for one in signers))


def trust_of(space: DataSpace) -> Trust:
    signers = (space.regulator, space.provider, space.custodians[0])
    keys = {one.account: PublicKey(one.signer.suite, one.signer.public_key) for one in signers}
    return Trust(space.operator.domain, keys, frozenset({space.regulator.account}))
