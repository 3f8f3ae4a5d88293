"""The HTTP face of a gateway (OpenAPI 3.1 at /openapi.json).

Devices post frames; anyone may ask for a batch's document and for proofs, which hold no readings; batches are forced,
and readings leave, only for the operator's bearer token.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException

from capsule.errors import CapsuleError
from capsule.frame import MEDIA_TYPE as FRAME_TYPE
from capsule.ids import DeviceId, Digest
from capsule.source import MEDIA_TYPE as SOURCE_TYPE
from contracts.errors import LedgerError
from gateway.anchoring import AnchoredBatch
from gateway.enrolment_routes import add_enrolment_routes
from gateway.errors import CallerError, ForbiddenError, GatewayError, NotFoundError
from gateway.frame_routes import add_frame_routes
from gateway.gateway import Gateway
from gateway.health_routes import add_health_routes
from gateway.indicator_routes import add_indicator_routes
from gateway.problems import FAILED, PROBLEM_TYPE, Problem, describe, problem_of, retry_after
from gateway.readings import parse_time

__all__ = ["build_app"]

_LOG: Final = logging.getLogger("dataspace.gateway")
_CHUNK_BYTES: Final = 1 << 18
_LAST_BATCH: Final = (1 << 63) - 1
"""the largest number that the store can be asked for"""
Answer = dict[str, Any]


def build_app(gateway: Gateway, token: str, *, anchoring: bool = True) -> FastAPI:
    """The application of one gateway. `token` is what the operator's calls must bear; empty closes them.

    With `anchoring`, batches that are due are built and anchored as long as the application runs.
    """
    app = FastAPI(
        title="dataspace gateway",
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=_anchoring(gateway) if anchoring else None,
    )

    def operator(authorization: Annotated[str, Header()] = "") -> None:
        if not token or not hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
            raise ForbiddenError("this call is the operator's: it needs the gateway's token")

    add_frame_routes(app, gateway)
    add_enrolment_routes(app, gateway)
    add_health_routes(app, gateway)
    _public_routes(app, gateway)
    _operator_routes(app, gateway, operator)
    add_indicator_routes(app, gateway, operator)
    for kind in (CapsuleError, LedgerError, GatewayError):
        app.add_exception_handler(kind, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StarletteHTTPException, _http_problem)
    app.add_exception_handler(500, _failed)
    return app


def _public_routes(app: FastAPI, gateway: Gateway) -> None:
    @app.get("/v1/frames/{frame}/proof")
    def proof(frame: str) -> Response:
        """That an anchored batch holds the frame with this hash."""
        return Response(gateway.prove(Digest.parse(frame)).to_bytes(), media_type="application/json")

    @app.get("/v1/devices/{device}")
    def device(device: str) -> Answer:
        """What the final chain says of a device, as this gateway follows it: all keys it had, oldest first."""
        name = DeviceId.parse(device)
        found = gateway.register.device(name)
        if found is None:
            raise NotFoundError("enrolled device", name)
        keys = [
            {"suite": one.key.suite, "key": "0x" + one.key.key.hex(), "anchored_before": one.anchored_before}
            for one in found.keys
        ]
        return {
            "device": str(name),
            "owner": str(found.owner),
            "model": str(found.model_hash),
            "retired": found.retired,
            "keys": keys,
        }

    @app.get("/v1/documents/batch/{frames_root}")
    def batch_document(frames_root: str) -> Response:
        """Index and incidents of the batch with this frames root."""
        return Response(gateway.document(Digest.parse(frames_root)), media_type="application/json")

    @app.get("/v1/documents/{kind}/{name}")
    def document(kind: str, name: str) -> Response:
        raise NotFoundError(f"document of kind {kind:.40}:", name[:80])

    @app.get("/v1/batches/{number}")
    def batch(number: Annotated[int, Path(ge=1, le=_LAST_BATCH)]) -> Response:
        """The same by the batch's number."""
        return Response(gateway.batch_document(number), media_type="application/json")


def _operator_routes(app: FastAPI, gateway: Gateway, operator: Callable[..., None]) -> None:
    guard = [Depends(operator)]

    @app.post("/v1/batches", dependencies=guard)
    def force_batch() -> Answer:
        """Batches what waits and anchors it; answers when it is final or the patience ended."""
        anchored = gateway.anchor_all()
        return {
            "anchored": [_anchored(batch) for batch in anchored],
            "unanchored_batches": gateway.status().unanchored_batches,
        }

    @app.get("/v1/export", dependencies=guard)
    def export(
        device: str,
        start: Annotated[str | None, Query(alias="from")] = None,
        end: Annotated[str | None, Query(alias="to")] = None,
    ) -> StreamingResponse:
        """A device's frames from a time (inclusive) to a time (exclusive), in unix seconds or ISO 8601, with proofs."""
        period = [None if text is None else float(_time(text)) for text in (start, end)]
        with ExitStack() as stack:
            spool = stack.enter_context(SpooledTemporaryFile(gateway.settings.max_export_bytes_in_memory))
            written = gateway.export(DeviceId.parse(device), spool, start=period[0], end=period[1])
            spool.seek(0)
            stack.pop_all()  # the answer closes it
        headers = {
            "content-disposition": f'attachment; filename="{written.device.hex()[:16]}-{written.first}.frames"',
            "dataspace-frames": str(written.frames),
            "dataspace-rows": str(written.rows),
            "dataspace-first": str(written.first),
            "dataspace-last": str(written.last),
        }
        return StreamingResponse(_chunks(spool), media_type=SOURCE_TYPE, headers=headers)

    @app.get("/v1/evidence/{frame}", dependencies=guard)
    def evidence(frame: str) -> Response:
        """A frame as received, accepted or kept as evidence of a fork."""
        return Response(gateway.evidence(Digest.parse(frame)), media_type=FRAME_TYPE)


def _anchoring(gateway: Gateway) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            await run_in_threadpool(gateway.check_chain)
        except LedgerError as exc:
            _LOG.error("the chain can't be asked yet; no frame is taken before it was", extra={"error": str(exc)})
        stop = asyncio.Event()
        task = asyncio.create_task(_anchor_until(gateway, stop))
        try:
            yield
        finally:
            stop.set()
            gateway.stop()
            await task

    return lifespan


async def _anchor_until(gateway: Gateway, stop: asyncio.Event) -> None:
    said = ""
    while not stop.is_set():
        try:
            for batch in await run_in_threadpool(gateway.anchor_due):
                _LOG.info(
                    "batch anchored",
                    extra={"batch": batch.batch.number, "frames": batch.batch.size, "block": batch.block},
                )
            said = ""
        except (GatewayError, LedgerError, CapsuleError) as exc:
            if said != (said := str(exc)):
                _LOG.error("anchoring failed; it is tried again", extra={"error": said})
        except Exception as exc:  # a fault of ours: it must not end anchoring for good while frames are still taken
            if said != (said := repr(exc)):
                _LOG.exception("anchoring broke down; it is tried again")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), gateway.settings.anchor_poll_seconds)


def _time(text: str) -> float:
    try:
        return parse_time(text)
    except ValueError as exc:
        raise CallerError(str(exc)) from exc


def _chunks(spool: SpooledTemporaryFile[bytes]) -> Iterator[bytes]:
    with spool:
        while chunk := spool.read(_CHUNK_BYTES):
            yield chunk


def _anchored(batch: AnchoredBatch) -> Answer:
    return {
        "number": batch.batch.number,
        "size": batch.batch.size,
        "frames_root": str(batch.batch.frames_root),
        "block": batch.block,
        "transaction": str(batch.transaction),
        "anchored_at": batch.anchored_at,
    }


# --------------------------------------------------------------------------------------------------------- problems


def _answer(problem: Problem, detail: str, *, retry: int | None = None) -> JSONResponse:
    headers = {} if retry is None else {"retry-after": str(retry)}
    return JSONResponse(dict(describe(problem, detail)), problem.status, headers, media_type=PROBLEM_TYPE)


async def _problem(_: Request, error: Exception) -> JSONResponse:
    problem = problem_of(error)
    if problem is None:
        raise error
    return _answer(problem, str(error), retry=retry_after(error))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    where = ".".join(str(part) for part in first.get("loc", ()))
    return _answer(Problem("input", 400), f"{where}: {first.get('msg', 'invalid')}")


async def _http_problem(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, StarletteHTTPException):
        raise error
    return _answer(Problem("http", error.status_code), str(error.detail))


async def _failed(_: Request, error: Exception) -> JSONResponse:
    return _answer(FAILED, "the gateway failed; its log says why")
