"""Routes of the operation log, open to whoever may read the chain: its head, entries, proofs and anchored segments."""

from typing import Annotated, Any

from fastapi import FastAPI, Query, Response

from capsule import canonical
from capsule.ids import Digest
from node.organisation import Node

__all__ = ["log_routes"]

Answer = dict[str, Any]
Size = Annotated[int, Query(ge=0, lt=2**53)]


def log_routes(app: FastAPI, node: Node) -> None:
    """Adds the routes to the node's application; before that of documents by kind, of which a segment is one."""

    @app.get("/v1/log/head")
    def head() -> Response:
        return Response(node.log.head(), media_type="text/plain; charset=utf-8")

    @app.get("/v1/log/entries")
    def entries(first: Annotated[int, Query(alias="from", ge=0, lt=2**53)], to: Size) -> Answer:
        return {"from": first, "entries": node.log.entries(first, to)}

    @app.get("/v1/log/proof/inclusion")
    def inclusion(index: Size, size: Size) -> Answer:
        return {"index": index, "size": size, "proof": [str(step) for step in node.log.inclusion(index, size)]}

    @app.get("/v1/log/proof/consistency")
    def consistency(first: Size, second: Size) -> Answer:
        proof = [str(step) for step in node.log.consistency(first, second)]
        return {"first": first, "second": second, "proof": proof}

    @app.get("/v1/documents/log-segment/{root}")
    def segment(root: str) -> Response:
        content = canonical.encode(node.log.segment(Digest.parse(root)))
        return Response(content, media_type="application/json")
