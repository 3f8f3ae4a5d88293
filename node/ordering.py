"""The buyer's orders: sign one, hand it to the compute node, receive the sealed result and check it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from capsule import canonical
from capsule.algorithm import Algorithm, Parameters
from capsule.box import BoxKey
from capsule.errors import CapsuleError
from capsule.ids import Bytes32, Digest, GrantId
from capsule.order import Order, order_hash
from capsule.receipt import Receipt, SignedReceipt, verify_receipt
from capsule.signature import PublicKey
from contracts.events import UseClosed
from node.context import Context
from node.errors import PeerAnswerError, RefusedError, UnknownError
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

    def __init__(self, context: Context) -> None:
        self._context = context

    def place(self, grants: tuple[GrantId, ...], parameters: Mapping[str, canonical.Json], seconds: int) -> Placed:
        """Signs an order under one or more grants and hands it to their compute node.

        The result key is kept before the order leaves, so that no result comes that can't be opened. `seconds` from now
        is the order's deadline.
        """
        context = self._context
        context.view.refresh()
        granted = [context.view.grant(grant) for grant in grants]
        requested = context.view.request(granted[0].request)
        algorithm = Algorithm.from_json(self._own("algorithm", requested.algorithm))
        values = Parameters(parameters, context.entropy(32))
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
        context.store.save(row, context.store.secret_row(f"result-key/{placed.order_hash}", key.secret))
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
        signed = SignedReceipt.from_json(canonical.decode(context.fetch_document(node, "receipt", closed.receipt_hash)))
        block = closed.log.block_number
        keys = context.ledger.participants.keys_at(node, block)
        try:
            receipt = verify_receipt(signed, PublicKey(keys.suite, keys.signing_key), context.ledger.domain)
            if receipt.hash != closed.receipt_hash or receipt.order_hash != order:
                raise PeerAnswerError(str(node), "a receipt that is not the one named on chain")
            result = BoxKey(secret).open(sealed)
        except CapsuleError as error:
            raise PeerAnswerError(str(node), str(error)) from error
        context.store.put_document("receipt", receipt.hash, signed.to_json())
        return Collected(result, receipt, signed, closed)

    def _own(self, kind: str, digest: Digest) -> canonical.Json:
        content = self._context.store.document(kind, digest)
        if content is None:
            raise UnknownError(kind, str(digest))
        return canonical.decode(content)
