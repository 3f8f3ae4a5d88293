"""The compute node's side: take a signed order, open its uses, gather releases, run, close with a receipt.

Every step is recorded before it acts and is safe to repeat, so that a node killed at any moment resumes: one-time
keys are kept before they are named on chain, the outcome before it is closed. A run is `ordered`, `opened`, `ran`,
then `ended`. A failed run leaves a signed receipt of its failure, or the accusation of a wrong share. What fails
without an outcome (a peer, this machine, the chain) is tried again in the next round, until the use's deadline; one
run's failure never stops the others. A result is served only once its completed close is final.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from capsule import canonical
from capsule.accusation import Accusation
from capsule.algorithm import Algorithm, Parameters
from capsule.attestation import Claim
from capsule.box import BoxKey
from capsule.errors import CapsuleError
from capsule.ids import Bytes32, Digest, UseId
from capsule.oplog import PASSED, Act, LogEntry
from capsule.order import Order, order_hash, recover
from capsule.privacy import NO_EPSILON, Epsilon
from capsule.receipt import (
    FAILURES,
    GUARD_PASSED,
    GUARD_REFUSED,
    NO_OUTPUT,
    Receipt,
    SourceVerdict,
    sign_receipt,
)
from contracts.errors import LedgerError, RevertedError
from contracts.events import UseClosed, UseOpened
from contracts.structs import UseStatus
from node.answers import NO_ANSWERS, added
from node.closing import CloseReason, Closing
from node.context import Context
from node.errors import NodeError, RefusedError, RuntimeRefusedError, UnknownError
from node.gathering import Gathered, Gathering, Repeat, one_time_name
from node.home import write_whole
from node.runtime.execution import check_algorithm
from node.runtime.launch import run
from node.runtime.measurement import measure
from node.runtime.protocol import Answered, Completed, Limits, Refused
from node.store import AnsweredRow, RunRow

__all__ = ["CloseReason", "Compute", "Progress"]

REFUSED = {
    "share": CloseReason.NOT_RUN,
    "capsule": CloseReason.CAPSULE_WRONG,
    "algorithm": CloseReason.ALGORITHM_FAILED,
    "guard": CloseReason.OUTPUT_REFUSED,
    "runtime": CloseReason.NOT_RUN,
    "limits": CloseReason.LIMIT_REACHED,
}
"""A share that is not proven wrong accuses nobody: then there was nothing to run with."""
PASSING = ("EnforcedPause", "AccessTooEarly")
"""Refusals of `openUse` that time alone may lift."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands after a step; `note` says why it ended without a result, or what it waits for."""

    order_hash: Digest
    state: str
    note: str


class Compute:
    """One compute node's runs."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._gathering = Gathering(context)
        self._turn = threading.Lock()

    def accept(
        self,
        order: Order,
        signature: bytes,
        algorithm: Algorithm,
        code: str,
        parameters: Parameters,
        repeat: Repeat | None = None,
    ) -> Digest:
        """Takes an order after checking all that can be checked before it is opened; returns its hash.

        `repeat`: its run re-executes another, and its receipt will say so.

        Raises RefusedError with the reason; then nothing was kept. The same order again changes nothing.
        """
        context = self._context
        context.view.refresh()
        domain, access = context.ledger.domain, context.ledger.access.address
        digest = order_hash(order, domain.chain_id, access)
        if order.compute_node != context.account:
            raise RefusedError("the order", f"it names the compute node {order.compute_node}, not this one")
        if algorithm.hash != order.algorithm:
            raise RefusedError("the order", "the algorithm that came with it is not the one it names")
        if parameters.hash != order.parameters:
            raise RefusedError("the order", "the parameters that came with it are not the ones it names")
        buyers = {context.view.grant(grant).buyer for grant in order.grants}
        try:
            signer = recover(order, signature, domain.chain_id, access)
            check_algorithm(algorithm, algorithm.read_code(code), parameters, len(order.grants))
            self._gathering.verify_groups(order, algorithm)
        except (CapsuleError, RuntimeRefusedError) as error:
            raise RefusedError("the order", str(error)) from error
        if buyers != {signer}:
            raise RefusedError("the order", "it is not signed by the buyer of its grants")
        with self._turn:
            if context.store.run(digest) is None:
                context.store.save(
                    context.store.document_row("algorithm", algorithm.hash, algorithm.to_json()),
                    context.store.document_row("code", algorithm.code_hash, code),
                    RunRow(
                        order_hash=str(digest),
                        state="ordered",
                        signature=signature,
                        order=canonical.encode(order.to_json()),
                        algorithm=str(algorithm.hash),
                        parameters=canonical.encode(parameters.to_json()),
                    ),
                    *([] if repeat is None else [context.store.secret_row(Repeat.name(digest), repeat.encode())]),
                    log=[
                        self._entry(
                            Act.ORDER,
                            digest,
                            algorithm=algorithm.hash,
                            code=algorithm.code_hash,
                            parameters=parameters.hash,
                        )
                    ],
                )
        return digest

    def advance(self) -> tuple[Progress, ...]:
        """Moves every unfinished run on by as many steps as the final chain allows."""
        self._context.view.refresh()
        return tuple(self._try(row) for row in self._context.store.unfinished_runs())

    def result(self, order: Digest) -> Path:
        """The sealed result of an order whose completed close is final; raises UnknownError before, and without one."""
        view = self._context.view
        path = self._result_path(order)
        if path.is_file():
            view.refresh()
            ends = [view.ended.get(opened.use) for opened in view.uses_of(order)]
            if ends and all(isinstance(end, UseClosed) and end.completed for end in ends):
                return path
        raise UnknownError("result of order", str(order))

    def _try(self, row: RunRow) -> Progress:
        """One run's next steps. What fails leaves it where it is, for the next round."""
        try:
            return self._advance(row)
        except (CapsuleError, LedgerError, NodeError) as error:
            return Progress(Digest.parse(row.order_hash), row.state, str(error))

    def _advance(self, row: RunRow) -> Progress:
        order = Order.from_json(canonical.decode(row.order))
        digest = Digest.parse(row.order_hash)
        if row.state == "ordered":
            row = self._open(row, order, digest)
        if row.state == "opened":
            row = self._run_when_released(row, order, digest)
        if row.state == "ran":
            row = self._close(row, digest)
        return Progress(digest, row.state, row.note)

    def _open(self, row: RunRow, order: Order, digest: Digest) -> RunRow:
        context = self._context
        access = context.ledger.access
        if not access.uses_of(digest):
            keys = [self._one_time_keys(digest, position, order) for position in range(len(order.grants))]
            self._vouch(digest, keys)
            try:
                access.open_use(order, row.signature, self._measurement(), keys)
            except RevertedError as error:
                if error.name in PASSING:
                    raise
                # an earlier try of this node may have been on its way
                if not access.uses_of(digest):
                    refused = self._verdict(digest, "not opened")
                    return self._end(row, digest, f"the chain refused to open it: {error}", log=[refused])
        return self._record(row, "opened", log=[self._entry(Act.USE, digest, measurement=self._measurement())])

    def _one_time_keys(self, digest: Digest, position: int, order: Order) -> list[bytes]:
        """One X25519 key per holder; drawn once and kept, so that a repeated opening names the same."""
        context = self._context
        pin = context.view.grant(order.grants[position]).pin
        dealt = context.view.deals[pin.asset, pin.version, pin.deal]
        keys = []
        for holder in range(len(dealt.holders)):
            if holder == 0 and not dealt.provider_required:
                keys.append(bytes(32))
                continue
            name = one_time_name(digest, position, holder)
            secret = context.store.secret(name)
            if secret is None:
                secret = BoxKey.generate(context.entropy).secret
                context.store.save(context.store.secret_row(name, secret))
            keys.append(BoxKey(secret).public)
        return keys

    def _vouch(self, digest: Digest, keys: Sequence[Sequence[bytes]]) -> None:
        """Keeps a quote for each use before it opens, since holders may ask for it at once."""
        context = self._context
        domain, access = context.ledger.domain, context.ledger.access.address
        for each in keys:
            claim = Claim(domain.chain_id, access, digest, self._measurement(), tuple(each))
            context.store.put_document("quote", claim.digest, context.attester.quote(claim).to_json())

    def _run_when_released(self, row: RunRow, order: Order, digest: Digest) -> RunRow:
        uses = self._context.view.uses_of(digest)
        if not uses:
            return row
        if any(opened.use in self._context.view.ended for opened in uses):
            return self._end(row, digest, "its use has ended on chain")
        if all(self._released_enough(opened) for opened in uses):
            try:
                closing, answered = self._run(row, order, uses)
            except NodeError as error:
                if not self._past_deadline(uses):
                    raise
                outcome = self._failed(uses, CloseReason.NOT_RUN).encode()
                return self._record(row, "ran", outcome=outcome, note=f"not_run: {error}")
            return self._record(row, "ran", outcome=closing.encode(), answered=answered)
        if self._past_deadline(uses) or any(self._refused_too_often(opened) for opened in uses):
            return self._record(row, "ran", outcome=self._failed(uses, CloseReason.TOO_FEW_RELEASES).encode())
        return row

    def _released_enough(self, opened: UseOpened) -> bool:
        dealt = self._gathering.dealt(opened)
        released = self._context.view.releases.get(opened.use, {})
        custodians = sum(1 for index in released if index > 0)
        return custodians >= dealt.threshold and (0 in released or not dealt.provider_required)

    def _refused_too_often(self, opened: UseOpened) -> bool:
        """True when the holders that are left can't rebuild the key."""
        dealt = self._gathering.dealt(opened)
        refused = self._context.view.refusals.get(opened.use, {})
        left = sum(1 for index in range(1, len(dealt.holders)) if index not in refused)
        return left < dealt.threshold or 0 in refused

    def _past_deadline(self, uses: Sequence[UseOpened]) -> bool:
        """By the chain's time, or this node's own: a chain may make no block until somebody sends."""
        now = max(self._context.ledger.final_block().timestamp, self._context.clock())
        return any(now >= opened.deadline for opened in uses)

    def _run(self, row: RunRow, order: Order, uses: Sequence[UseOpened]) -> tuple[Closing, Sequence[AnsweredRow]]:
        """How the run ends, and what its answer adds to this node's memory."""
        context = self._context
        if self._measurement() != uses[0].measurement:
            raise RefusedError("the run", "this runtime is not the one that its use was opened with")
        try:
            gathered = self._gathering.gather(row, order, uses)
        except CapsuleError:
            return self._failed(uses, CloseReason.CAPSULE_WRONG), ()
        except RuntimeRefusedError as error:
            return self._failed(uses, REFUSED[error.kind], verdict=f"{error.kind}/{error.reason}"), ()
        limits = Limits(
            wall_seconds=context.settings.run_seconds,
            cpu_seconds=context.settings.run_seconds,
            memory_bytes=context.settings.run_memory_bytes,
            output_bytes=context.settings.result_bytes,
            fuel=context.settings.run_fuel,
        )
        outcome = self._outcome(gathered, limits)
        if isinstance(outcome, Completed):
            return self._completed(outcome, gathered, uses)
        spent = outcome.spent(gathered.job)
        left = [Answered(groups=0, epsilon=spent)] * len(uses) if spent > NO_EPSILON else []
        answered, answers = self._remembered(gathered, uses, left)
        return self._refused(outcome, gathered, uses, answers), answered

    def _outcome(self, gathered: Gathered, limits: Limits) -> Completed | Refused:
        """What the confined runtime makes of a job."""
        allow_unprotected = self._context.settings.allow_unprotected_runtime
        return run(gathered.job, gathered.capsules, limits, allow_unprotected=allow_unprotected)

    def _completed(
        self, outcome: Completed, gathered: Gathered, uses: Sequence[UseOpened]
    ) -> tuple[Closing, Sequence[AnsweredRow]]:
        answered, answers = self._remembered(gathered, uses, outcome.answered)
        write_whole(self._result_path(uses[0].order_hash), outcome.sealed_result)
        receipt = self._receipt(
            uses,
            output=outcome.output_hash,
            rows_in=outcome.rows_in,
            rows_out=outcome.rows_out,
            source=outcome.source,
            measurement=outcome.measurement,
            protected=outcome.protected,
            verdict=PASSED,
            answers=answers,
            epsilon=None if gathered.job.algorithm.privacy is None else gathered.job.algorithm.epsilon,
        )
        return Closing(CloseReason.COMPLETED, receipt, outcome.sealed_result_hash, outcome.rows_out), answered

    def _remembered(
        self, gathered: Gathered, uses: Sequence[UseOpened], answered: Sequence[Answered]
    ) -> tuple[Sequence[AnsweredRow], Digest]:
        """What a run's answer adds to this node's memory, and the log's digest of it."""
        store, order = self._context.store, uses[0].order_hash
        if not answered or Repeat.of(order, store) is not None:
            return (), NO_ANSWERS
        buyer = self._context.view.grant(uses[0].grant).buyer
        return added(store, order, buyer, gathered.job.capsules, answered)

    def _failed(
        self,
        uses: Sequence[UseOpened],
        reason: CloseReason,
        *,
        protected: bool = False,
        verdict: str = "",
        answers: Digest = NO_ANSWERS,
        epsilon: Epsilon | None = None,
    ) -> Closing:
        """A failed close with its receipt, also where too few released: of an order's uses one may have had enough."""
        receipt = self._receipt(
            uses,
            output=NO_OUTPUT,
            rows_in=0,
            rows_out=0,
            source=SourceVerdict("declared"),
            measurement=uses[0].measurement,
            protected=protected,
            verdict=verdict or FAILURES[reason],
            failure=FAILURES[reason],
            answers=answers,
            epsilon=epsilon,
        )
        return Closing(reason, receipt)

    def _receipt(
        self,
        uses: Sequence[UseOpened],
        *,
        output: Digest,
        rows_in: int,
        rows_out: int,
        source: SourceVerdict,
        measurement: Digest,
        protected: bool,
        verdict: str,
        failure: str = "",
        answers: Digest = NO_ANSWERS,
        epsilon: Epsilon | None = None,
    ) -> Digest:
        """Signs and keeps the receipt of an order's uses; returns its hash.

        It names a head of the log that contains the verdict; its own entry can only come after that head.
        """
        context = self._context
        order, order_hash = uses[0].order, uses[0].order_hash
        context.store.save(log=[self._verdict(order_hash, verdict, output, answers)])
        opened_at = context.ledger.access.use_of(uses[0].use).opened_at
        repeat = Repeat.of(order_hash, context.store)
        receipt = Receipt(
            order_hash=uses[0].order_hash,
            uses=tuple(opened.use for opened in uses),
            grants=tuple(opened.grant for opened in uses),
            agreements=tuple(context.view.grant(opened.grant).agreement_hash for opened in uses),
            capsule_roots=tuple(opened.pin.capsule_root for opened in uses),
            algorithm=order.algorithm,
            parameters=order.parameters,
            output=output,
            rows_in=rows_in,
            rows_out=rows_out,
            guard=GUARD_REFUSED if failure else GUARD_PASSED,
            source=source,
            measurement=measurement,
            protected=protected,
            level=context.attester.level,
            log_head=context.store.log_head(),
            opened_at=opened_at,
            closed_at=max(context.clock(), opened_at),
            compute_node=context.account,
            failure=failure,
            reexecutes=None if repeat is None else repeat.receipt,
            epsilon=epsilon,
        )
        signed = sign_receipt(receipt, context.keystore.signer, context.ledger.domain)
        context.store.save(
            context.store.document_row("receipt", receipt.hash, signed.to_json()),
            log=[self._entry(Act.RECEIPT, order_hash, receipt=receipt.hash)],
        )
        return receipt.hash

    def _verdict(
        self, order: Digest, verdict: str, output: Digest = NO_OUTPUT, answers: Digest = NO_ANSWERS
    ) -> LogEntry:
        return self._entry(Act.VERDICT, order, verdict, output=output, answers=answers)

    def _entry(self, act: Act, order: Digest, reason: str = "", **digests: Bytes32) -> LogEntry:
        return LogEntry(act, self._context.clock(), order, digests, reason)

    def _refused(self, outcome: Refused, gathered: Gathered, uses: Sequence[UseOpened], answers: Digest) -> Closing:
        """A failed close. A wrong share is proven by publishing the one one-time key that opens it; shares that are
        all right and do not make the key accuse nobody whose share that would show to be good.
        """
        if outcome.kind == "capsule" and outcome.reason == "root" and outcome.capsule is not None:
            self._gathering.forget_capsule(gathered, outcome.capsule)
        verdict = f"{outcome.kind}/{outcome.reason}"
        if (outcome.kind, outcome.reason) == ("share", "key"):
            return self._failed(uses, CloseReason.KEY_WRONG, protected=outcome.protected, verdict=verdict)
        if (outcome.kind, outcome.reason) != ("share", "wrong") or outcome.capsule is None or outcome.index is None:
            spent = outcome.spent(gathered.job)
            return self._failed(
                uses,
                REFUSED[outcome.kind],
                protected=outcome.protected,
                verdict=verdict,
                answers=answers,
                epsilon=spent if spent > NO_EPSILON else None,
            )
        one = gathered.job.capsules[outcome.capsule]
        accusation = Accusation(
            use=UseId(one.use),
            deal=one.deal.hash,
            index=outcome.index,
            holder=one.deal.holders[outcome.index].account,
            one_time_key=one.one_time_keys[outcome.index].secret,
        )
        order = uses[0].order_hash
        self._context.store.save(
            self._context.store.document_row("accusation", accusation.hash, accusation.to_json()),
            log=[
                self._verdict(order, verdict),
                self._entry(Act.ACCUSATION, order, accusation=accusation.hash),
            ],
        )
        return Closing(CloseReason.SHARE_WRONG, accusation.hash)

    def _close(self, row: RunRow, digest: Digest) -> RunRow:
        closing = Closing.decode(row.outcome)
        completed = closing.reason is CloseReason.COMPLETED
        note = "" if completed else row.note or closing.reason.name.lower()
        access = self._context.ledger.access
        try:
            access.close_use(
                digest, completed, closing.reason, closing.receipt_hash, closing.result_hash, closing.rows_out
            )
        except RevertedError as error:
            ended = {access.use_of(opened.use).status for opened in self._context.view.uses_of(digest)}
            if ended == {UseStatus.COMPLETED if completed else UseStatus.FAILED}:
                return self._end(row, digest, note)  # an earlier try of this node got through
            if ended == {UseStatus.OPEN} and completed:
                # the result may not leave, for example because another use spent the rows
                uses = self._context.view.uses_of(digest)
                outcome = self._failed(uses, CloseReason.OUTPUT_REFUSED).encode()
                row = self._record(row, "ran", outcome=outcome, note=f"the chain refused its result: {error}")
                return self._close(row, digest)
            return self._end(row, digest, f"the chain refused to close it: {error}")
        return self._end(row, digest, note)

    def _end(self, row: RunRow, digest: Digest, note: str, *, log: Sequence[LogEntry] = ()) -> RunRow:
        """The end of a run: its one-time keys are forgotten, and its result where nobody is to have it."""
        repeats = Repeat.of(digest, self._context.store) is not None
        self._context.store.forget_secrets(f"one-time/{digest}/")
        self._context.store.forget_secrets(Repeat.name(digest))
        if note or repeats:
            self._result_path(digest).unlink(missing_ok=True)
        return self._record(row, "ended", note=note, log=log)

    def _record(
        self,
        row: RunRow,
        state: str,
        *,
        outcome: bytes = b"",
        note: str = "",
        log: Sequence[LogEntry] = (),
        answered: Sequence[AnsweredRow] = (),
    ) -> RunRow:
        row.state = state
        row.outcome = outcome or row.outcome
        row.note = note
        self._context.store.save(row, *answered, log=log)
        return row

    def _measurement(self) -> Digest:
        return measure(allow_unprotected=self._context.settings.allow_unprotected_runtime).digest

    def _result_path(self, order: Digest) -> Path:
        return self._context.home.folder("results") / f"{order}.sealed"
