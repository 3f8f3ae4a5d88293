"""The compute node's side: take a signed order, open its uses, gather releases, run, close with a receipt.

Every step is recorded before it acts and is safe to repeat, so that a node killed at any moment resumes: one-time
keys are kept before they are named on chain, the outcome before it is closed. A run is `ordered`, `opened`, `ran`,
then `ended`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TypedDict

from capsule.opening import inspect

from capsule import canonical
from capsule.accusation import Accusation
from capsule.algorithm import Algorithm, Parameters, code_digest
from capsule.box import BoxKey
from capsule.deal import Deal
from capsule.digest import document_digest
from capsule.errors import CapsuleError
from capsule.ids import Address, Bytes32, DeviceId, Digest
from capsule.order import Order, order_hash, recover
from capsule.policy.compiler import compile_policy
from capsule.receipt import GUARD_PASSED, Receipt, sign_receipt
from capsule.source import Anchor, DeviceKey
from contracts.errors import RevertedError
from contracts.events import AccessGranted, UseOpened
from contracts.structs import UseStatus
from node.context import Context
from node.errors import PeerAnswerError, PeerError, RefusedError
from node.home import create_whole, write_whole
from node.runtime.launch import run
from node.runtime.measurement import measure
from node.runtime.protocol import CapsuleInput, Completed, Job, Limits
from node.store import RunRow

__all__ = ["CloseReason", "Compute", "Progress"]


class CloseReason(IntEnum):
    """Why a use was closed as failed (`UseClosed.reason`)."""

    COMPLETED = 0
    TOO_FEW_RELEASES = 1
    SHARE_WRONG = 2
    CAPSULE_WRONG = 3
    ALGORITHM_FAILED = 4
    OUTPUT_REFUSED = 5
    LIMIT_REACHED = 6


REFUSED = {
    "share": CloseReason.SHARE_WRONG,
    "capsule": CloseReason.CAPSULE_WRONG,
    "algorithm": CloseReason.ALGORITHM_FAILED,
    "guard": CloseReason.OUTPUT_REFUSED,
    "limits": CloseReason.LIMIT_REACHED,
}


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands after a step; `note` says why it ended without a result."""

    order_hash: Digest
    state: str
    note: str


@dataclass(frozen=True, slots=True)
class Closing:
    """What `closeUse` will say; recorded before it is sent."""

    reason: CloseReason
    receipt_hash: Digest
    result_hash: Digest
    rows_out: int

    def encode(self) -> bytes:
        return canonical.encode([int(self.reason), str(self.receipt_hash), str(self.result_hash), self.rows_out])

    @classmethod
    def decode(cls, data: bytes) -> "Closing":
        """Reads what `encode` wrote; the bytes are this node's own."""
        reason, receipt, result, rows = json.loads(data)
        return cls(CloseReason(reason), Digest.parse(receipt), Digest.parse(result), rows)


NOTHING = Digest(bytes(32))


class _Sources(TypedDict):
    device_keys: dict[DeviceId, tuple[DeviceKey, ...]]
    anchors: tuple[Anchor, ...]


class Compute:
    """One compute node's runs."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def accept(self, order: Order, signature: bytes, algorithm: Algorithm, code: str, parameters: Parameters) -> Digest:
        """Takes an order after checking all that can be checked before it is opened; returns its hash.

        Raises RefusedError with the reason; then nothing was kept. The same order again changes nothing.
        """
        context = self._context
        context.view.refresh()
        domain, access = context.ledger.domain, context.ledger.access.address
        digest = order_hash(order, domain.chain_id, access)
        if order.compute_node != context.account:
            raise RefusedError("the order", f"it names the compute node {order.compute_node}, not this one")
        if algorithm.hash != order.algorithm or code_digest(code.encode()) != algorithm.code_hash:
            raise RefusedError("the order", "the algorithm that came with it is not the one it names")
        if parameters.hash != order.parameters:
            raise RefusedError("the order", "the parameters that came with it are not the ones it names")
        buyers = {context.view.grant(grant).buyer for grant in order.grants}
        try:
            signer = recover(order, signature, domain.chain_id, access)
        except CapsuleError as error:
            raise RefusedError("the order", str(error)) from error
        if buyers != {signer}:
            raise RefusedError("the order", "it is not signed by the buyer of its grants")
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
            )
        return digest

    def advance(self) -> tuple[Progress, ...]:
        """Moves every unfinished run on by as many steps as the final chain allows."""
        self._context.view.refresh()
        return tuple(self._try(row) for row in self._context.store.unfinished_runs())

    def result_path(self, order: Digest) -> Path:
        """Where the sealed result of an order is kept."""
        return self._context.home.folder("results") / f"{order}.sealed"

    def _try(self, row: RunRow) -> Progress:
        """One run's next steps; a peer that can't be reached leaves it where it is, for the next round."""
        try:
            return self._advance(row)
        except PeerError as error:
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
        if not context.ledger.access.uses_of(digest):
            keys = [
                self._one_time_keys(digest, position, grant)
                for position, grant in enumerate(context.view.grant(grant) for grant in order.grants)
            ]
            try:
                context.ledger.access.open_use(
                    order,
                    row.signature,
                    measure(allow_unprotected=context.settings.allow_unprotected_runtime).digest,
                    keys,
                )
            except RevertedError as error:
                return self._record(row, "ended", note=f"the chain refused to open it: {error}")
        return self._record(row, "opened")

    def _one_time_keys(self, order: Digest, grant_position: int, granted: AccessGranted) -> list[bytes]:
        """One X25519 key per holder; drawn once and kept, so that a repeated opening names the same."""
        context = self._context
        pin = granted.pin
        dealt = context.view.deals[pin.asset, pin.version, pin.deal]
        keys = []
        for position in range(len(dealt.holders)):
            if position == 0 and not dealt.provider_required:
                keys.append(bytes(32))
                continue
            name = f"one-time/{order}/{grant_position}/{position}"
            secret = context.store.secret(name)
            if secret is None:
                secret = BoxKey.generate(context.entropy).secret
                context.store.save(context.store.secret_row(name, secret))
            keys.append(BoxKey(secret).public)
        return keys

    def _run_when_released(self, row: RunRow, order: Order, digest: Digest) -> RunRow:
        context = self._context
        uses = context.view.uses_of(digest)
        if not uses:
            return row
        if uses[0].use in context.view.ended:
            return self._end(row, digest, "its use has ended on chain")
        if all(self._released_enough(use) for use in uses):
            closing = self._run(row, order, uses)
            return self._record(row, "ran", outcome=closing.encode())
        if any(self._cannot_complete(use) for use in uses):
            closing = Closing(CloseReason.TOO_FEW_RELEASES, NOTHING, NOTHING, 0)
            return self._record(row, "ran", outcome=closing.encode())
        return row

    def _released_enough(self, opened: UseOpened) -> bool:
        dealt = self._context.view.deals[opened.pin.asset, opened.pin.version, opened.pin.deal]
        released = self._context.view.releases.get(opened.use, {})
        custodians = sum(1 for index in released if index > 0)
        return custodians >= dealt.threshold and (0 in released or not dealt.provider_required)

    def _cannot_complete(self, opened: UseOpened) -> bool:
        """True when the deadline has passed, or so many refused that the rest can't rebuild the key."""
        view = self._context.view
        dealt = view.deals[opened.pin.asset, opened.pin.version, opened.pin.deal]
        refused = view.refusals.get(opened.use, {})
        left = sum(1 for index in range(1, len(dealt.holders)) if index not in refused)
        final = self._context.ledger.final_block()
        return final.timestamp >= opened.deadline or left < dealt.threshold or 0 in refused

    def _run(self, row: RunRow, order: Order, uses: Sequence[UseOpened]) -> Closing:
        context = self._context
        digest = Digest.parse(row.order_hash)
        algorithm = Algorithm.from_json(self._document("algorithm", Digest.parse(row.algorithm)))
        code = self._document("code", algorithm.code_hash)
        parameters = Parameters.from_json(canonical.decode(row.parameters))
        capsules = [self._capsule(opened) for opened in uses]
        try:
            job = Job(
                capsules=tuple(self._capsule_input(digest, position, opened) for position, opened in enumerate(uses)),
                algorithm=algorithm,
                code=str(code).encode(),
                parameters=parameters,
                result_key=bytes(order.result_key),
                result_salt=context.entropy(32),
                **self._sources(capsules),
            )
        except CapsuleError:
            return Closing(CloseReason.CAPSULE_WRONG, NOTHING, NOTHING, 0)
        limits = Limits(
            wall_seconds=context.settings.run_seconds,
            cpu_seconds=context.settings.run_seconds,
            memory_bytes=context.settings.run_memory_bytes,
            output_bytes=context.settings.result_bytes,
        )
        outcome = run(job, capsules, limits, allow_unprotected=context.settings.allow_unprotected_runtime)
        if not isinstance(outcome, Completed):
            return self._failed(REFUSED[outcome.kind], digest, uses, outcome.holder)
        receipt = Receipt(
            order_hash=digest,
            uses=tuple(opened.use for opened in uses),
            grants=tuple(opened.grant for opened in uses),
            agreements=tuple(context.view.grant(opened.grant).agreement_hash for opened in uses),
            capsule_roots=tuple(opened.pin.capsule_root for opened in uses),
            algorithm=algorithm.hash,
            parameters=parameters.hash,
            output=outcome.output_hash,
            rows_in=outcome.rows_in,
            rows_out=outcome.rows_out,
            guard=GUARD_PASSED,
            source=outcome.source,
            measurement=outcome.measurement,
            protected=outcome.protected,
            log_head=NOTHING,
            opened_at=context.ledger.access.use_of(uses[0].use).opened_at,
            closed_at=context.clock(),
            compute_node=context.account,
        )
        signed = sign_receipt(receipt, context.keystore.signer, context.ledger.domain)
        write_whole(self.result_path(digest), outcome.sealed_result)
        context.store.put_document("receipt", receipt.hash, signed.to_json())
        return Closing(CloseReason.COMPLETED, receipt.hash, outcome.sealed_result_hash, outcome.rows_out)

    def _failed(self, reason: CloseReason, order: Digest, uses: Sequence[UseOpened], holder: Address | None) -> Closing:
        """A failed close. A wrong share is proven by publishing the one one-time key that opens it."""
        context = self._context
        if reason is not CloseReason.SHARE_WRONG or holder is None:
            return Closing(reason, NOTHING, NOTHING, 0)
        for position, opened in enumerate(uses):
            dealt = context.view.deals[opened.pin.asset, opened.pin.version, opened.pin.deal]
            if holder in dealt.holders:
                index = dealt.holders.index(holder)
                secret = context.store.secret(f"one-time/{order}/{position}/{index}") or bytes(32)
                accusation = Accusation(
                    use=opened.use, deal=opened.pin.deal_hash, index=index, holder=holder, one_time_key=secret
                )
                context.store.put_document("accusation", accusation.hash, accusation.to_json())
                return Closing(reason, accusation.hash, NOTHING, 0)
        return Closing(reason, NOTHING, NOTHING, 0)

    def _capsule_input(self, order: Digest, position: int, opened: UseOpened) -> CapsuleInput:
        """What the runtime needs to open one capsule: the deal, the releases, and what its policy lets out."""
        context = self._context
        pin = opened.pin
        provider = context.view.deals[pin.asset, pin.version, pin.deal].holders[0]
        policy = compile_policy(self._fetched(provider, "policy", pin.policy_hash))
        releases = context.view.releases[opened.use]
        _, rows_used, _ = context.ledger.access.counts_of(pin.asset, context.view.grant(opened.grant).buyer)
        budget = context.ledger.access.grant_of(opened.grant).rows_per_buyer
        secrets = {index: context.store.secret(f"one-time/{order}/{position}/{index}") for index in releases}
        return CapsuleInput(
            chain_id=context.ledger.domain.chain_id,
            access=context.ledger.access.address,
            use=opened.use,
            deal=Deal.from_json(self._fetched(provider, "deal", pin.deal_hash)),
            capsule_root=pin.capsule_root,
            policy_hash=pin.policy_hash,
            one_time_keys={index: BoxKey(secret) for index, secret in secrets.items() if secret is not None},
            releases={index: released.sealed_share for index, released in releases.items()},
            max_rows=policy.runtime.max_rows,
            rows_left=max(0, budget - rows_used),
            min_group=policy.runtime.min_group,
        )

    def _sources(self, capsules: Sequence[Path]) -> _Sources:
        """What the chain says of the devices and batches that the capsules' headers name."""
        view = self._context.view
        keys: dict[DeviceId, tuple[DeviceKey, ...]] = {}
        anchors = []
        for path in capsules:
            with path.open("rb") as stream:
                header = inspect(stream)
            keys.update({device: view.device_keys[device] for device in header.devices if device in view.device_keys})
            named = ((batch.gateway, batch.number) for batch in header.source)
            anchors += [view.anchors[batch] for batch in named if batch in view.anchors]
        return {"device_keys": keys, "anchors": tuple(anchors)}

    def _capsule(self, opened: UseOpened) -> Path:
        """The capsule that a use pins, from this node's own folder or its provider."""
        context = self._context
        pin = opened.pin
        path = context.home.folder("capsules") / f"{pin.capsule_root}.dsc"
        if not path.exists():
            provider = context.view.deals[pin.asset, pin.version, pin.deal].holders[0]
            limit = context.view.version(pin.asset, pin.version).capsule_size
            with create_whole(path) as sink:
                route = f"/v1/capsules/{pin.capsule_root}"
                context.peers.download(context.endpoint_of(provider), route, sink, limit)
        return path

    def _fetched(self, owner: Address, kind: str, digest: Bytes32) -> canonical.Json:
        """A document of another participant, whose digest is checked here and which is then kept."""
        context = self._context
        content = context.store.document(kind, digest)
        if content is None:
            content = context.fetch_document(owner, kind, digest)
            document = canonical.decode(content)
            if document_digest(kind, document) != digest:
                raise PeerAnswerError(str(owner), f"a {kind} that is not the one named on chain")
            context.store.put_document(kind, digest, document)
        return canonical.decode(content)

    def _document(self, kind: str, digest: Digest) -> canonical.Json:
        content = self._context.store.document(kind, digest)
        if content is None:
            raise RefusedError("the run", f"this home lost its {kind} {digest}")
        return canonical.decode(content)

    def _close(self, row: RunRow, digest: Digest) -> RunRow:
        context = self._context
        uses = context.view.uses_of(digest)
        if context.ledger.access.use_of(uses[0].use).status is UseStatus.OPEN:
            closing = Closing.decode(row.outcome)
            try:
                context.ledger.access.close_use(
                    digest,
                    closing.reason is CloseReason.COMPLETED,
                    closing.reason,
                    closing.receipt_hash,
                    closing.result_hash,
                    closing.rows_out,
                )
            except RevertedError as error:
                return self._end(row, digest, f"the chain refused to close it: {error}")
            note = "" if closing.reason is CloseReason.COMPLETED else closing.reason.name.lower()
            return self._end(row, digest, note)
        return self._end(row, digest, row.note)

    def _end(self, row: RunRow, digest: Digest, note: str) -> RunRow:
        self._context.store.forget_secrets(f"one-time/{digest}/")
        return self._record(row, "ended", note=note)

    def _record(self, row: RunRow, state: str, *, outcome: bytes = b"", note: str = "") -> RunRow:
        row.state = state
        row.outcome = outcome or row.outcome
        row.note = note
        self._context.store.save(row)
        return row
