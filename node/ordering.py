"""The buyer's orders: sign one, hand it to the compute node, receive the sealed result and check it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from capsule import canonical
from capsule.algorithm import Algorithm, Parameters
from capsule.box import BoxKey, seal_to
from capsule.disclosure import Disclosure, result_salt
from capsule.errors import CapsuleError
from capsule.ids import Address, Bytes32, Digest, GrantId
from capsule.order import Order, order_hash
from capsule.receipt import GUARD_PASSED, Receipt, SignedReceipt, output_digest, verify_receipt
from capsule.signature import PublicKey
from contracts.errors import RevertedError
from contracts.events import UseClosed, UseOpened
from node.agreements import Agreements
from node.context import Context
from node.errors import InputRefusedError, PeerAnswerError, RefusedError, UnknownError
from node.store import OrderRow

__all__ = ["Collected", "Ordering", "Placed"]


@dataclass(frozen=True, slots=True)
class Placed:
    """An order that a compute node took."""

    order_hash: Digest
    number: int


@dataclass(frozen=True, slots=True)
class Collected:
    """A result that arrived whole: its document's bytes, and the receipt that the chain names."""

    result: bytes
    receipt: Receipt
    signed_receipt: SignedReceipt
    closed: UseClosed


class Ordering:
    """One buyer's orders."""

    def __init__(self, context: Context, agreements: Agreements) -> None:
        self._context = context
        self._agreements = agreements

    def place(self, grants: tuple[GrantId, ...], parameters: Mapping[str, canonical.Json], seconds: int) -> Placed:
        """Signs an order under one or more grants and hands it to their compute node.

        The result key is kept before the order leaves, so that no result comes that can't be opened. `seconds` from now
        is the order's deadline. Raises InputRefusedError for grants that don't go together, InputError for parameters
        that the algorithm does not take, PeerAnswerError for a grant whose agreement its provider did not sign.
        """
        context = self._context
        context.view.refresh()
        requests = [context.view.request(context.view.grant(grant).request) for grant in grants]
        parties = {(requested.buyer, requested.algorithm, requested.compute_node) for requested in requests}
        if len(parties) != 1 or len(set(grants)) != len(grants):
            raise InputRefusedError("an order takes different grants of one algorithm and one compute node")
        requested = requests[0]
        if requested.buyer != context.account:
            raise InputRefusedError("an order is signed by the buyer of its grants, which this organisation is not")
        for grant in grants:
            self._agreements.settled(context.view.grant(grant))
        algorithm = Algorithm.from_json(self._own("algorithm", requested.algorithm))
        values = algorithm.accept(Parameters(parameters, context.entropy(32)))
        key = BoxKey.generate(context.entropy)
        order = Order(
            grants=grants,
            number=int.from_bytes(context.entropy(16), "big"),
            algorithm=algorithm.hash,
            parameters=values.hash,
            compute_node=requested.compute_node,
            result_key=Bytes32(key.public),
            deadline=context.clock() + seconds,
        )
        domain, access = context.ledger.domain, context.ledger.access.address
        placed = Placed(order_hash(order, domain.chain_id, access), order.number)
        signature = context.keystore.account.sign_order(order, domain.chain_id, access)
        row = OrderRow(
            order_hash=str(placed.order_hash),
            number=str(order.number),
            compute_node=str(order.compute_node),
            placed_at=context.clock(),
        )
        context.store.save(
            row,
            context.store.secret_row(f"result-key/{placed.order_hash}", key.secret),
            context.store.secret_row(f"parameters/{placed.order_hash}", canonical.encode(values.to_json())),
        )
        context.post(
            order.compute_node,
            "/v1/compute/orders",
            {
                "order": order.to_json(),
                "signature": signature.hex(),
                "algorithm": algorithm.to_json(),
                "code": self._own("code", algorithm.code_hash),
                "parameters": values.to_json(),
            },
        )
        return placed

    def collect(self, order: Digest) -> Collected:
        """Fetches the sealed result of a final, completed order and checks all of it.

        Raises UnknownError while the order is not closed, RefusedError when it ended without a result,
        PeerAnswerError when what the compute node serves is not what the chain names.
        """
        context = self._context
        context.view.refresh()
        row = context.store.order(order)
        secret = context.store.secret(f"result-key/{order}")
        uses = context.view.uses_of(order)
        if row is None or secret is None or not uses:
            raise UnknownError("order", str(order))
        closed = context.view.ended.get(uses[0].use)
        if closed is None:
            raise UnknownError("result of order", str(order))
        if not isinstance(closed, UseClosed) or not closed.completed:
            raise RefusedError(f"the result of order {order}", "its use ended without one")
        node = uses[0].order.compute_node
        limit = context.settings.result_bytes
        sealed = context.peers.fetch(context.endpoint_of(node), f"/v1/results/{order}", limit)
        if hashlib.sha256(sealed).digest() != closed.result_hash:
            raise PeerAnswerError(str(node), "a result that is not the one named on chain")
        document = context.fetch_document(node, "receipt", closed.receipt_hash)
        try:
            keys = context.ledger.participants.keys_at(node, closed.log.block_number)
            signed = SignedReceipt.from_json(document)
            receipt = verify_receipt(signed, PublicKey(keys.suite, keys.signing_key), context.ledger.domain)
            result = BoxKey(secret).open(sealed)
            salt = result_salt(result)
        except (CapsuleError, RevertedError) as error:
            raise PeerAnswerError(str(node), str(error)) from error
        self._check_receipt(receipt, uses, closed, output_digest(result, salt))
        context.store.put_document("receipt", receipt.hash, signed.to_json())
        return Collected(result, receipt, signed, closed)

    def disclose(self, order: Digest, account: Address) -> bytes:
        """Parameters and result of a completed order, with their salts, sealed to the box key that `account` has on
        chain: what a regulator needs to re-execute the use (`capsule.disclosure`). Raises as `collect`.
        """
        context = self._context
        collected = self.collect(order)
        kept = context.store.secret(f"parameters/{order}")
        if kept is None:
            raise UnknownError("parameters of order", str(order))
        parameters = Parameters.from_json(canonical.decode(kept))
        keys = context.ledger.participants.keys_at(account, context.ledger.final_block().number)
        return seal_to(bytes(keys.box_key), Disclosure(order, parameters, collected.result).to_bytes())

    def _check_receipt(self, receipt: Receipt, uses: Sequence[UseOpened], closed: UseClosed, output: Digest) -> None:
        """Raises PeerAnswerError when a receipt says anything else than the chain, or is for another result."""
        order = uses[0].order
        expectations = (
            ("hash", receipt.hash, closed.receipt_hash),
            ("order", receipt.order_hash, uses[0].order_hash),
            ("uses", receipt.uses, tuple(opened.use for opened in uses)),
            ("grants", receipt.grants, order.grants),
            ("agreements", receipt.agreements, tuple(self._agreement_hash(opened) for opened in uses)),
            ("capsule roots", receipt.capsule_roots, tuple(opened.pin.capsule_root for opened in uses)),
            ("algorithm", receipt.algorithm, order.algorithm),
            ("parameters", receipt.parameters, order.parameters),
            ("measurement", receipt.measurement, uses[0].measurement),
            ("compute node", receipt.compute_node, order.compute_node),
            ("rows", receipt.rows_out, closed.rows_out),
            ("guard", receipt.guard, GUARD_PASSED),
            ("output", receipt.output, output),
        )
        for name, said, known in expectations:
            if said != known:
                raise PeerAnswerError(str(order.compute_node), f"a receipt with another {name} than it must have")

    def _agreement_hash(self, opened: UseOpened) -> Digest:
        return self._context.view.grant(opened.grant).agreement_hash

    def _own(self, kind: str, digest: Digest) -> canonical.Json:
        content = self._context.store.document(kind, digest)
        if content is None:
            raise UnknownError(kind, str(digest))
        return canonical.decode(content)
