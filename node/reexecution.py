"""Re-execution: a regulator repeats a use as compute node and as buyer, so that receipts can be compared.

It needs the key again, so it is a use like any other: requested and granted, counted, and released or refused by each
holder. The same algorithm runs with the same parameters over the same capsules, and its output is hashed under the
salt of the first run; the receipt says which receipt it repeats. The result is sealed to a key that is forgotten at
once: what is learnt is whether the hashes are equal.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from capsule.algorithm import Algorithm
from capsule.box import BoxKey
from capsule.canonical import Json, decode
from capsule.decision import RefusalReason
from capsule.disclosure import Disclosure, verify_disclosure
from capsule.errors import CapsuleError, VerificationError
from capsule.ids import Address, Bytes32, Digest, GrantId, RequestId, UseId
from capsule.order import Order, order_hash
from capsule.receipt import CloseReason, SignedReceipt, verify_receipt
from capsule.signature import PublicKey
from contracts.errors import RevertedError
from contracts.events import AccessRequested, UseClosed, UseOpened
from contracts.roles import Role
from node.access import Access
from node.compute import Compute
from node.context import Context
from node.errors import InputRefusedError, PeerAnswerError, PeerError, RefusedError, RuntimeRefusedError, UnknownError
from node.gathering import Repeat
from node.runtime.determinism import check_deterministic
from node.runtime.sql import check, table_names
from node.store import RunRow

__all__ = ["Attempt", "Reexecution", "Repeated"]

WHAT = "the re-execution"


@dataclass(frozen=True, slots=True)
class Repeated:
    """Both runs: the uses that were repeated, their receipt, the algorithm, and the receipt of the re-execution."""

    uses: tuple[UseId, ...]
    original: SignedReceipt
    algorithm: Algorithm
    receipt: SignedReceipt


@dataclass(frozen=True, slots=True)
class Attempt:
    """Where a re-execution stands: `requested` (waits for providers), a run's states, and with `repeated` its end."""

    state: str
    requests: tuple[RequestId, ...] = ()
    order: Digest | None = None
    repeated: Repeated | None = None


@dataclass(frozen=True, slots=True)
class _Original:
    """The run to repeat, as the final chain and its documents tell it."""

    uses: tuple[UseOpened, ...]
    receipt: SignedReceipt
    algorithm: Algorithm
    code: str

    @property
    def order(self) -> Order:
        return self.uses[0].order


class Reexecution:
    """One regulator's re-executions."""

    def __init__(self, context: Context, access: Access, compute: Compute) -> None:
        self._context = context
        self._access = access
        self._compute = compute
        self._turn = threading.Lock()
        self._asked: dict[Bytes32, RequestId] = {}

    def step(self, use: UseId, sealed: bytes, purpose: str, seconds: int, *, afresh: bool) -> Attempt:
        """Takes a re-execution as far as the final chain allows; safe to repeat until it is `repeated`.

        `sealed` is the buyer's disclosure for this organisation. `seconds` is the deadline of the order, from now.
        `afresh`: a denial or a failed run of before does not count. Raises RefusedError where the use can't be
        repeated, before anything is asked for, or where somebody refused: then with who and why. UnknownError,
        InputRefusedError for a use or disclosure that is none; PeerError where documents can't be had.
        """
        with self._turn:
            return self._step(use, sealed, purpose, seconds, afresh=afresh)

    def _step(self, use: UseId, sealed: bytes, purpose: str, seconds: int, *, afresh: bool) -> Attempt:
        context = self._context
        context.view.refresh()
        if not context.ledger.participants.is_active(context.account, Role.REGULATOR):
            raise RefusedError(WHAT, "only an active regulator's counts; the operator gives that role")
        original = self._original(use)
        disclosure, salt = self._disclosed(sealed, original)
        name = f"reexecution/{original.receipt.receipt.hash}"
        kept = context.store.secret(name)
        row = None if kept is None else context.store.run(Digest(kept))
        if row is not None and row.state == "ended" and row.note and afresh:
            row = None
        if row is None:
            grants, requests = self._grants(original, purpose, afresh=afresh)
            if requests:
                return Attempt("requested", requests)
            repeat = Repeat(original.receipt.receipt.hash, salt)
            row = self._order(name, original, grants, disclosure, repeat, seconds)
        digest = Digest.parse(row.order_hash)
        uses = context.view.uses_of(digest)
        ends = [context.view.ended.get(opened.use) for opened in uses]
        if row.state == "ended" and (None in ends or not (uses or row.note)):
            return Attempt("ran", order=digest)  # closed, and not final yet
        if row.state != "ended":
            return Attempt(row.state, order=digest)
        return Attempt(row.state, order=digest, repeated=self._repeated(original, row, uses))

    def _original(self, use: UseId) -> _Original:
        """The completed run with its receipt and algorithm, which must be one that can be repeated."""
        context = self._context
        opened = context.view.uses.get(use)
        if opened is None:
            raise UnknownError("use", str(use))
        uses = context.view.uses_of(opened.order_hash)
        closed = context.view.ended.get(use)
        if not isinstance(closed, UseClosed) or not closed.completed:
            raise RefusedError(WHAT, f"use {use} was not closed as completed, so there is no result to repeat")
        buyer, node = context.view.grant(opened.grant).buyer, opened.order.compute_node
        owners = (node, buyer)
        try:
            algorithm = Algorithm.from_json(self._served(owners, "algorithm", opened.order.algorithm))
            code = self._served(owners, "code", algorithm.code_hash)
            signed = SignedReceipt.from_json(self._served(owners, "receipt", closed.receipt_hash))
            keys = context.ledger.participants.keys_at(node, closed.log.block_number)
            verify_receipt(signed, PublicKey(keys.suite, keys.signing_key), context.ledger.domain)
            algorithm.verify_code(str(code).encode())
        except (CapsuleError, RevertedError) as error:
            raise PeerAnswerError(str(node), str(error)) from error
        if (signed.receipt.hash, algorithm.hash) != (closed.receipt_hash, opened.order.algorithm):
            raise PeerAnswerError(str(node), "a receipt or an algorithm that is not the one named on chain")
        if not algorithm.deterministic:
            raise RefusedError(WHAT, f"algorithm {algorithm.hash} does not claim to be deterministic")
        try:
            statement = check(str(code), [name for names in table_names(len(uses)) for name in names])
            check_deterministic(statement, algorithm)
        except RuntimeRefusedError as error:
            raise RefusedError(WHAT, f"algorithm {algorithm.hash} can't keep its claim: {error}") from error
        return _Original(uses, signed, algorithm, str(code))

    def _served(self, owners: Sequence[Address], kind: str, digest: Bytes32) -> Json:
        """A document of the first owner that serves it, this home's own copy before all. The caller checks it."""
        content = self._context.store.document(kind, digest)
        if content is not None:
            return decode(content)
        try:
            return self._context.fetch_document(owners[0], kind, digest)
        except PeerError:
            return self._context.fetch_document(owners[1], kind, digest)

    def _disclosed(self, sealed: bytes, original: _Original) -> tuple[Disclosure, bytes]:
        try:
            disclosure = Disclosure.from_bytes(self._context.keystore.box.open(sealed))
            return disclosure, verify_disclosure(disclosure, original.order, original.receipt.receipt)
        except VerificationError as error:
            raise InputRefusedError(f"the disclosure does not hold: {error} ({error.evidence})") from error
        except CapsuleError as error:
            raise InputRefusedError(
                f"the disclosure can't be read: {error}; ask the buyer for one sealed to this organisation's account"
            ) from error

    def _grants(
        self, original: _Original, purpose: str, *, afresh: bool
    ) -> tuple[tuple[GrantId, ...], tuple[RequestId, ...]]:
        """A usable grant for each capsule, and the requests that wait for their provider."""
        grants: list[GrantId] = []
        waiting: list[RequestId] = []
        for opened in original.uses:
            found = self._grant(opened, original, purpose, afresh=afresh)
            if isinstance(found, GrantId):
                grants.append(found)
            else:
                waiting.append(found)
        return tuple(grants), tuple(waiting)

    def _grant(self, opened: UseOpened, original: _Original, purpose: str, *, afresh: bool) -> GrantId | RequestId:
        """A live grant of this organisation on the version that the use pinned, or the request for one."""
        context, pin = self._context, opened.pin
        view, own = context.view, context.account
        answers = {granted.request: granted.grant for granted in tuple(view.grants.values())}
        asked = [
            one.request
            for one in tuple(view.requests.values())
            if (one.buyer, one.compute_node, one.asset, one.pin.version) == (own, own, pin.asset, pin.version)
            and (one.algorithm, one.purpose) == (original.algorithm.hash, purpose)
        ]
        live = [answers[request] for request in asked if request in answers and self._is_live(answers[request])]
        if live:
            return live[-1]
        newest = view.requests[asked[-1]] if asked else None
        if newest is not None and newest.request in view.denied and not afresh:
            raise RefusedError(WHAT, self._denied(newest))
        if newest is not None and newest.request not in answers and newest.request not in view.denied:
            return newest.request
        pending = self._asked.get(opened.use)
        if pending is not None and pending not in view.requests:
            return pending  # sent, and not final yet
        requested = self._access.request(
            pin.asset, purpose, original.algorithm, original.code.encode(), own, version=pin.version
        )
        self._asked[opened.use] = requested.request
        return requested.request

    def _is_live(self, grant: GrantId) -> bool:
        known = self._context.ledger.access.grant_of(grant)
        return not known.revoked and known.used < known.uses_per_grant and self._context.clock() < known.not_after

    def _denied(self, requested: AccessRequested) -> str:
        provider = self._context.ledger.assets.asset_of(requested.asset).provider
        reason = self._context.view.denied[requested.request].reason
        return f"provider {provider} denied request {requested.request} with reason {reason}"

    def _order(
        self,
        name: str,
        original: _Original,
        grants: tuple[GrantId, ...],
        disclosure: Disclosure,
        repeat: Repeat,
        seconds: int,
    ) -> RunRow:
        """Signs an order to this organisation itself and takes it as compute node. `name` remembers it."""
        context = self._context
        order = Order(
            grants=grants,
            number=int.from_bytes(context.entropy(16), "big"),
            algorithm=original.algorithm.hash,
            parameters=disclosure.parameters.hash,
            compute_node=context.account,
            result_key=Bytes32(BoxKey.generate(context.entropy).public),
            deadline=context.clock() + seconds,
        )
        domain, access = context.ledger.domain, context.ledger.access.address
        digest = order_hash(order, domain.chain_id, access)
        # first, so that no order is opened that a later step would not find again
        context.store.save(context.store.secret_row(name, bytes(digest)))
        signature = context.keystore.account.sign_order(order, domain.chain_id, access)
        self._compute.accept(order, signature, original.algorithm, original.code, disclosure.parameters, repeat)
        row = context.store.run(digest)
        if row is None:
            raise UnknownError("order", str(digest))
        return row

    def _repeated(self, original: _Original, row: RunRow, uses: Sequence[UseOpened]) -> Repeated:
        """Both receipts, of a run that completed; RefusedError with who refused and why, of any other."""
        context = self._context
        closed = context.view.ended.get(uses[0].use) if uses else None
        if not isinstance(closed, UseClosed):
            raise RefusedError(WHAT, row.note or "its use ended without a receipt")
        if not closed.completed:
            raise RefusedError(WHAT, self._refusals(uses, closed, row))
        content = context.store.document("receipt", closed.receipt_hash)
        if content is None:
            raise UnknownError("receipt", str(closed.receipt_hash))
        receipt = SignedReceipt.from_json(decode(content))
        return Repeated(tuple(one.use for one in original.uses), original.receipt, original.algorithm, receipt)

    def _refusals(self, uses: Sequence[UseOpened], closed: UseClosed, row: RunRow) -> str:
        """Who refused and why; the run's own reason where the holders did release."""
        said = [
            f"{'provider' if refused.index == 0 else 'custodian'} {refused.holder} refused "
            f"({RefusalReason(refused.reason).name.lower()})"
            for opened in uses
            for _, refused in sorted(self._context.view.refusals.get(opened.use, {}).items())
        ]
        if closed.reason != CloseReason.TOO_FEW_RELEASES or not said:
            said.insert(0, f"its run ended as {row.note}")
        return "; ".join(said)
