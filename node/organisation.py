"""One organisation's node: its roles around one context, and the work that waits for it on the chain."""

import threading
from dataclasses import dataclass
from pathlib import Path

from capsule.box_statement import box_key_statement
from capsule.ids import Bytes32
from contracts.errors import LedgerError, RevertedError
from node.access import Access
from node.agreements import Agreements, Change
from node.backup import write_backup
from node.catalogue import Catalogue
from node.compute import Compute, Progress
from node.context import Context
from node.custody import Custody, Decided
from node.dealing import Dealing
from node.errors import KeystoreError, LogForkedError
from node.openings import Openings
from node.operation_log import OperationLog
from node.ordering import Ordering
from node.reexecution import Reexecution
from node.rotation import Forgotten, Rotated, Rotation

__all__ = ["Node", "Work"]


@dataclass(frozen=True, slots=True)
class Work:
    """What one round did: decisions of this holder, steps of this compute node's runs; and why the operation log could
    not be kept up, where it could not.
    """

    decided: tuple[Decided, ...]
    progress: tuple[Progress, ...]
    log: str = ""
    agreements: tuple[Change, ...] = ()


class Node:
    """The parts of a node. Which of them succeed is for the chain to say, by the organisation's roles."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.custody = Custody(context)
        self.openings = Openings(context)
        self.agreements = Agreements(context)
        self.catalogue = Catalogue(context, self.custody, self.agreements)
        self.dealing = Dealing(context, self.catalogue, self.custody)
        self.access = Access(context, self.agreements)
        self.ordering = Ordering(context, self.agreements)
        self.compute = Compute(context)
        self.reexecution = Reexecution(context, self.access, self.compute)
        self.log = OperationLog(context)
        self._rotation = Rotation(context)
        self._turn = threading.Lock()

    def announce(self, endpoint: str) -> None:
        """Sets this organisation's keys and endpoint on chain, where they are not there yet; ends a rotation that was
        begun.

        Raises KeystoreError when the chain has other keys than this home: those are for a person to rotate.
        """
        with self._turn:
            self._rotation.resume()
        context = self.context
        participants = context.ledger.participants
        signer, box = context.keystore.signer, context.keystore.box
        if not self._has_keys():
            signature = signer.sign(box_key_statement(context.ledger.domain, context.account, box.public))
            participants.set_keys(signer.suite, signer.public_key, Bytes32(box.public), signature)
        if endpoint and participants.organisation(context.account).endpoint != endpoint:
            participants.set_endpoint(endpoint)

    def work(self) -> Work:
        """One round: decide on open uses and answered openings as a holder, let go of what a new deal has replaced,
        move runs on as a compute node.

        A rotation that was begun comes first: what is signed now must be under the keys that the chain has.
        """
        with self._turn:
            self._rotation.resume()
            try:
                decided = self.custody.decide_open_uses() + self.openings.decide()
                self.custody.destroy_replaced()
                self.dealing.settle()
            finally:
                # what stops this holder's decisions must not stop this compute node's runs
                progress = self.compute.advance()
            return Work(decided, progress, self._keep_log_up(), self.agreements.changes())

    def _keep_log_up(self) -> str:
        """What stops the anchoring of the log must not hide what the round did."""
        try:
            self.log.keep_up()
        except (LedgerError, LogForkedError) as error:
            return str(error)
        return ""

    def rotate_keys(
        self, *, suite: int | None = None, distrusted_from: int = 0, again: bool = False, keys_lost: bool = False
    ) -> Rotated:
        """Replaces the signing key and the box key, between two rounds of work. See `Rotation.rotate`."""
        with self._turn:
            return self._rotation.rotate(suite=suite, distrusted_from=distrusted_from, again=again, keys_lost=keys_lost)

    def forget_former_keys(self, keep_seconds: int) -> Forgotten:
        """Drops box keys that were replaced long ago. See `Rotation.forget_former`."""
        with self._turn:
            return self._rotation.forget_former(keep_seconds)

    def back_up(self, path: Path) -> None:
        """Writes this home's keys, settings and database to one encrypted file. See `write_backup`."""
        with self._turn:
            write_backup(self.context, path)

    def _has_keys(self) -> bool:
        context = self.context
        try:
            keys = context.ledger.participants.keys_at(context.account, context.ledger.chain.head().number)
        except RevertedError as error:
            if error.name == "ParticipantsKeysMissing":
                return False
            raise
        signer, box = context.keystore.signer, context.keystore.box
        if (keys.suite, keys.signing_key, keys.box_key) != (signer.suite, signer.public_key, box.public):
            raise KeystoreError("the keys on chain are not this home's; restore its key file, or rotate them")
        return True
