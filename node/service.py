"""The HTTP face of one organisation's node.

Three kinds of routes: the operator's own (bearer token of this home), other nodes' (shares and orders, each checked
against the chain before anything is kept), and content by digest (capsules, sealed results, documents), which proves
itself. Bodies are bounded and read by the strict JSON reader; every error is an RFC 9457 problem.
"""

import hmac
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException as StarletteHTTPException

from capsule import canonical
from capsule.algorithm import Algorithm, Parameters
from capsule.errors import CapsuleError, FormatError
from capsule.ids import Address, AssetId, Digest, GrantId, OpeningId, RequestId, UseId
from capsule.order import Order
from contracts.errors import LedgerError
from node.access import Narrowing
from node.agreements import Standing
from node.catalogue import CustodyPlan, Offering
from node.custody import SharePackage
from node.dealing import Opened
from node.device_service import device_routes
from node.errors import InputRefusedError, NodeError, RefusedError, UnknownError
from node.intake import read_plaintext
from node.keyring_service import keyring_routes
from node.log_service import log_routes
from node.openings import AskedFor
from node.organisation import Node
from node.problems import Problem, problem_of
from node.reexecution_service import reexecution_routes
from node.schemas import (
    AnswerBody,
    CustodyBody,
    DealBody,
    DenialBody,
    GrantBody,
    OfferBody,
    OpenDealBody,
    OrderBody,
    PlaceBody,
    RebindBody,
    RegisterBody,
    RequestBody,
    RetireBody,
    ShareBody,
    ShredBody,
    unhexed,
)

__all__ = ["build_app"]

DOCUMENT_KINDS = (
    "accusation",
    "agreement",
    "agreement-signatures",
    "algorithm",
    "code",
    "deal",
    "decision",
    "device-statement",
    "metadata",
    "opening-accusation",
    "policy",
    "quote",
    "receipt",
    "shred-statement",
    "signed-offer",
)
Answer = dict[str, Any]
FAILED = Problem("failed", 500, 2)


def build_app(node: Node, token: str) -> FastAPI:
    """The application of one node; `token` is what the operator's calls must bear."""
    app = FastAPI(
        title="dataspace node",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.max_body_bytes = node.context.settings.max_document_bytes
    app.router.route_class = _StrictRoute

    def operator(authorization: Annotated[str, Header()] = "") -> None:
        if not token or not hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
            raise RefusedError("the call", "it lacks this home's token")

    log_routes(app, node)
    _peer_routes(app, node)
    _provider_routes(app, node, operator)
    _dealing_routes(app, node, operator)
    _access_routes(app, node, operator)
    device_routes(app, node, operator)
    keyring_routes(app, node, operator)
    reexecution_routes(app, node, operator)
    for kind in (CapsuleError, LedgerError, NodeError):
        app.add_exception_handler(kind, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StarletteHTTPException, _http)
    app.add_exception_handler(Exception, _failed)
    return app


class _StrictRequest(Request):
    _strict: bytes | None = None

    async def body(self) -> bytes:
        if self._strict is None:
            limit = self.app.state.max_body_bytes
            content = bytearray()
            async for part in self.stream():
                content += part
                if len(content) > limit:
                    raise HTTPException(413, f"the body has more than {limit} bytes")
            self._strict = bytes(content)
        return self._strict

    async def json(self) -> Any:
        try:
            return canonical.decode(await self.body())
        except FormatError as error:
            raise HTTPException(400, f"the body can't be read: {error}") from error


class _StrictRoute(APIRoute):
    """Bodies of other organisations go through the one strict reader: no repeated names, no depth bombs."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strict


def _peer_routes(app: FastAPI, node: Node) -> None:
    @app.get("/healthz")
    def health() -> Answer:
        head = node.context.ledger.chain.head()
        return {"account": str(node.context.account), "chain_head": head.number, "head_time": head.timestamp}

    @app.post("/v1/custody/shares", status_code=201)
    def take_share(body: ShareBody) -> Answer:
        return {"deal": str(node.custody.accept(SharePackage(body.deal, body.policy, body.share)))}

    @app.post("/v1/compute/orders", status_code=202)
    def take_order(body: OrderBody) -> Answer:
        order = node.compute.accept(
            Order.from_json(body.order),
            unhexed(body.signature),
            Algorithm.from_json(body.algorithm),
            body.code,
            Parameters.from_json(body.parameters),
        )
        return {"order": str(order)}

    @app.get("/v1/results/{order}")
    def result(order: str) -> FileResponse:
        return _file(node.compute.result(Digest.parse(order)), "result")

    @app.get("/v1/capsules/{root}")
    def capsule(root: str) -> FileResponse:
        return _file(node.catalogue.capsule_path(Digest.parse(root)), "capsule")

    @app.get("/v1/documents/capsule/{root}")
    def capsule_document(root: str) -> FileResponse:
        return capsule(root)

    @app.get("/v1/documents/{kind}/{digest}")
    def document(kind: str, digest: str) -> Response:
        content = node.context.store.document(kind, Digest.parse(digest)) if kind in DOCUMENT_KINDS else None
        if content is None:
            raise UnknownError(kind, digest)
        return Response(content, media_type="application/json")


def _provider_routes(app: FastAPI, node: Node, operator: Callable[..., None]) -> None:
    guard = [Depends(operator)]

    @app.get("/v1/offerings", dependencies=guard)
    def offerings() -> Answer:
        return {"offerings": [_offering(offering) for offering in node.catalogue.offerings()]}

    @app.post("/v1/offerings", status_code=201, dependencies=guard)
    def offer(body: OfferBody) -> Answer:
        custody = _custody(body.custody)
        with read_plaintext(Path(body.path), body.media_type, body.time_column) as plaintext:
            sealed = node.catalogue.seal(AssetId.parse(body.asset), plaintext, body.policy, custody)
        return _offering(node.catalogue.finish(sealed.capsule_root))

    @app.post("/v1/offerings/{root}/finish", dependencies=guard)
    def finish(root: str) -> Answer:
        return _offering(node.catalogue.finish(Digest.parse(root)))

    @app.post("/v1/assets/{asset}/retire", dependencies=guard)
    def retire(asset: str, body: RetireBody) -> Answer:
        return {"transaction": str(node.catalogue.retire(AssetId.parse(asset), body.reason))}

    @app.post("/v1/assets", status_code=201, dependencies=guard)
    def register(body: RegisterBody) -> Answer:
        return {"asset": str(node.catalogue.register(body.metadata))}

    @app.get("/v1/assets", dependencies=guard)
    def assets() -> Answer:
        view = node.context.view
        view.refresh()
        return {
            "assets": [
                {
                    "asset": str(asset),
                    "version": version,
                    "capsule_root": str(published.capsule_root),
                    "capsule_size": published.capsule_size,
                    "policy_hash": str(published.policy_hash),
                }
                for (asset, version), published in sorted(view.versions.items())
            ]
        }

    @app.post("/v1/work", dependencies=guard)
    def work() -> Answer:
        done = node.work()
        return {
            "decided": [{"use": str(one.use), "released": one.released, "reason": one.reason} for one in done.decided],
            "progress": [{"order": str(one.order_hash), "state": one.state, "note": one.note} for one in done.progress],
        }


def _dealing_routes(app: FastAPI, node: Node, operator: Callable[..., None]) -> None:
    guard = [Depends(operator)]

    @app.get("/v1/openings", dependencies=guard)
    def openings() -> Answer:
        return {"openings": [_opened(one) for one in node.dealing.openings()]}

    @app.post("/v1/assets/{asset}/open-deal", status_code=201, dependencies=guard)
    def open_deal(asset: str, body: OpenDealBody) -> Answer:
        return _opened(node.dealing.open(AssetId.parse(asset), body.reason, body.version))

    @app.post("/v1/assets/{asset}/deal", status_code=201, dependencies=guard)
    def deal(asset: str, body: DealBody) -> Answer:
        return _offering(node.dealing.deal(AssetId.parse(asset), _custody(body.custody), body.version))

    @app.post("/v1/assets/{asset}/rebind", status_code=201, dependencies=guard)
    def rebind(asset: str, body: RebindBody) -> Answer:
        custody = _custody(body.custody)
        return _offering(node.dealing.rebind(AssetId.parse(asset), body.policy, custody, body.version))

    @app.get("/v1/custody/openings", dependencies=guard)
    def asked_for() -> Answer:
        return {"openings": [_asked_for(one) for one in node.openings.asked_for()]}

    @app.post("/v1/custody/openings/{opening}/confirm", dependencies=guard)
    def confirm(opening: str, body: AnswerBody) -> Answer:
        known = OpeningId.parse(opening)
        return _asked_for(node.openings.answer(known, confirmed=not body.refuse, note=body.reason))

    @app.post("/v1/custody/shred", dependencies=guard)
    def shred(body: ShredBody) -> Answer:
        if bool(body.deal) == bool(body.asset):
            raise InputRefusedError("name one deal or one asset whose part is to be destroyed")
        deals = (Digest.parse(body.deal),) if body.deal else node.custody.held_of(AssetId.parse(body.asset))
        if not deals:
            raise UnknownError("share of asset", body.asset)
        return {"statements": [node.custody.shred(deal).to_json() for deal in deals]}


def _access_routes(app: FastAPI, node: Node, operator: Callable[..., None]) -> None:
    guard = [Depends(operator)]

    @app.post("/v1/access/requests", status_code=201, dependencies=guard)
    def request(body: RequestBody) -> Answer:
        algorithm = Algorithm.from_json(body.algorithm)
        requested = node.access.request(
            AssetId.parse(body.asset),
            body.purpose,
            algorithm,
            algorithm.read_code(body.code),
            Address.parse(body.compute_node),
        )
        return {
            "request": str(requested.request),
            "grant": str(requested.grant) if requested.grant else None,
            "transaction": str(requested.transaction),
        }

    @app.get("/v1/access/requests", dependencies=guard)
    def pending() -> Answer:
        return {
            "requests": [
                {
                    "request": str(one.request),
                    "asset": str(one.asset),
                    "buyer": str(one.buyer),
                    "purpose": one.purpose,
                    "algorithm": str(one.algorithm),
                    "compute_node": str(one.compute_node),
                }
                for one in node.access.pending()
            ]
        }

    @app.post("/v1/access/requests/{request_id}/grant", status_code=201, dependencies=guard)
    def grant(request_id: str, body: GrantBody) -> Answer:
        granted = node.access.grant(RequestId.parse(request_id), Narrowing(body.uses, body.seconds, body.rows))
        return {
            "grant": str(granted.grant),
            "not_after": granted.not_after,
            "transaction": str(granted.transaction),
        }

    @app.post("/v1/access/requests/{request_id}/deny", dependencies=guard)
    def deny(request_id: str, body: DenialBody) -> Answer:
        return {"transaction": str(node.access.deny(RequestId.parse(request_id), body.reason).transaction)}

    @app.post("/v1/access/grants/{grant_id}/revoke", dependencies=guard)
    def revoke(grant_id: str, body: DenialBody) -> Answer:
        return {"transaction": str(node.access.revoke(GrantId.parse(grant_id), body.reason).transaction)}

    @app.get("/v1/access/agreements", dependencies=guard)
    def agreements() -> Answer:
        return {"agreements": [_standing(one) for one in node.agreements.standing()]}

    @app.post("/v1/orders", status_code=201, dependencies=guard)
    def place(body: PlaceBody) -> Answer:
        grants = tuple(GrantId.parse(grant) for grant in body.grants)
        placed = node.ordering.place(grants, body.parameters, body.seconds)
        return {"order": str(placed.order_hash), "number": str(placed.number)}

    @app.post("/v1/uses/{use}/expire", dependencies=guard)
    def expire(use: str) -> Answer:
        return {"transaction": str(node.context.ledger.access.expire_use(UseId.parse(use)).hash)}

    @app.get("/v1/orders/{order}/result", dependencies=guard)
    def collect(order: str) -> Answer:
        collected = node.ordering.collect(Digest.parse(order))
        return {
            "use": str(collected.closed.use),
            "result": collected.result.decode(),
            "receipt": collected.signed_receipt.to_json(),
            "receipt_hash": str(collected.receipt.hash),
            "rows": collected.closed.rows_out,
        }


def _offering(offering: Offering) -> Answer:
    return {
        "asset": str(offering.asset),
        "version": offering.version,
        "capsule": str(offering.capsule),
        "capsule_root": str(offering.capsule_root),
        "capsule_size": offering.capsule_size,
        "policy_hash": str(offering.policy_hash),
        "deal": str(offering.deal_hash),
        "stage": offering.stage,
    }


def _custody(body: CustodyBody) -> CustodyPlan:
    custodians = tuple(Address.parse(account) for account in body.custodians)
    return CustodyPlan(custodians, body.threshold, body.waiting_seconds)


def _opened(opened: Opened) -> Answer:
    return {
        "opening": str(opened.opening) if opened.opening else None,
        "asset": str(opened.asset),
        "version": opened.version,
        "deal": opened.number,
        "reason": opened.reason,
        "state": opened.state,
        "releasable_from": opened.releasable_from,
        "threshold": opened.threshold,
        "released": [str(account) for account in opened.released],
        "wrong": [str(account) for account in opened.wrong],
        "refused": [str(account) for account in opened.refused],
    }


def _standing(standing: Standing) -> Answer:
    return {
        "grant": str(standing.grant),
        "agreement": str(standing.agreement),
        "asset": str(standing.asset),
        "buyer": str(standing.buyer),
        "provider": str(standing.provider),
        "not_before": standing.not_before,
        "not_after": standing.not_after,
        "state": str(standing.state),
        "reason": standing.reason,
        "renewed_by": str(standing.renewed_by) if standing.renewed_by else None,
    }


def _asked_for(asked: AskedFor) -> Answer:
    return {
        "opening": str(asked.opening),
        "state": asked.state,
        "asset": str(asked.asset),
        "version": asked.version,
        "deal": asked.number,
        "deal_hash": str(asked.deal),
        "provider": str(asked.provider),
        "reason": asked.reason,
        "position": asked.position,
        "releasable_from": asked.releasable_from,
        "note": asked.note,
    }


def _file(path: Path, kind: str) -> FileResponse:
    if not path.is_file():
        raise UnknownError(kind, path.stem)
    return FileResponse(path, media_type="application/octet-stream")


def _problem(_: Request, error: Exception) -> JSONResponse:
    return _answer(problem_of(error) or FAILED, str(error), type(error).__name__)


def _failed(_: Request, error: Exception) -> JSONResponse:
    """A fault of this program: its text may hold anything, and stays here."""
    return _answer(FAILED, "this node failed; its operator finds the reason in its log", type(error).__name__)


def _http(_: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, StarletteHTTPException) else FAILED.status
    detail = str(error.detail) if isinstance(error, StarletteHTTPException) else ""
    return _answer(Problem("input", status, 2), detail, type(error).__name__)


def _invalid(_: Request, error: Exception) -> JSONResponse:
    faults = error.errors() if isinstance(error, RequestValidationError) else ()
    told = "; ".join(f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in faults)
    return _answer(Problem("input", 400, 2), told, type(error).__name__)


def _answer(problem: Problem, detail: str, error: str) -> JSONResponse:
    content = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "exit_status": problem.exit_status,
        "error": error,
    }
    return JSONResponse(content, problem.status, media_type="application/problem+json")
