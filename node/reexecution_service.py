"""Routes of a re-execution: the buyer discloses, the regulator repeats."""

from collections.abc import Callable
from typing import Any

from fastapi import Depends, FastAPI
from pydantic import Field

from capsule.document import hexed
from capsule.ids import Address, Digest, UseId
from node.organisation import Node
from node.reexecution import Repeated
from node.schemas import Body, unhexed

__all__ = ["reexecution_routes"]

Answer = dict[str, Any]


class DiscloseBody(Body):
    """Whom it is sealed to."""

    account: str


class ReexecuteBody(Body):
    """`disclosure` in hex, as the buyer handed it over; `seconds` until the order's deadline."""

    use: str
    disclosure: str
    purpose: str = Field(max_length=256)
    seconds: int = Field(default=3600, ge=1)
    afresh: bool = False


def reexecution_routes(app: FastAPI, node: Node, operator: Callable[..., None]) -> None:
    """Adds the routes to the node's application; `operator` refuses calls without this home's token."""
    guard = [Depends(operator)]

    @app.post("/v1/orders/{order}/disclosure", status_code=201, dependencies=guard)
    def disclose(order: str, body: DiscloseBody) -> Answer:
        return {"sealed": hexed(node.ordering.disclose(Digest.parse(order), Address.parse(body.account)))}

    @app.post("/v1/reexecutions", dependencies=guard)
    def reexecute(body: ReexecuteBody) -> Answer:
        attempt = node.reexecution.step(
            UseId.parse(body.use), unhexed(body.disclosure), body.purpose, body.seconds, afresh=body.afresh
        )
        return {
            "state": attempt.state,
            "requests": [str(request) for request in attempt.requests],
            "order": str(attempt.order) if attempt.order else None,
            "repeated": _repeated(attempt.repeated) if attempt.repeated else None,
        }


def _repeated(repeated: Repeated) -> Answer:
    return {
        "uses": [str(use) for use in repeated.uses],
        "original": repeated.original.to_json(),
        "algorithm": repeated.algorithm.to_json(),
        "receipt": repeated.receipt.to_json(),
    }
