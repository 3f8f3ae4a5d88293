"""The regulator's service over HTTP: health, report and trails as JSON, and the pages. It never writes to a chain.

It looks at the ledger again every so many seconds as long as it runs. A look that fails keeps the last report, and
health says why. Where its site has users, report and trails are for those with the role auditor; without users nobody
is asked who he is.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from audit.auditor import Auditor
from audit.errors import (
    AuditError,
    FinalityError,
    ForbiddenError,
    LoginError,
    RequestError,
    ThrottledError,
)
from audit.pages.site import Site
from audit.trail import subject
from capsule.errors import CapsuleError
from contracts.errors import ChainUnreachableError, LedgerError

__all__ = ["build_app", "serve", "settle"]

_LOG: Final = logging.getLogger("dataspace.audit")
_TURN_SECONDS: Final = 0.0005
_PROBLEM: Final = "application/problem+json"
# Error, last part of the problem's type, status; the first that fits.
_PROBLEMS: Final[tuple[tuple[type[Exception], str, int], ...]] = (
    (RequestError, "not-found", 404),
    (LoginError, "login-needed", 401),
    (ForbiddenError, "forbidden", 403),
    (ThrottledError, "throttled", 429),
    (FinalityError, "finality", 500),
    (ChainUnreachableError, "chain-unreachable", 503),
    (AuditError, "failed", 500),
    (LedgerError, "ledger", 502),
    (CapsuleError, "failed", 500),
)


def build_app(auditor: Auditor, *, seconds: float | None = 15.0, site: Site | None = None) -> FastAPI:
    """The application of one auditor, who looks every `seconds`; None: only when asked by `auditor.look`.

    `site`: the pages, and who may read them and the API.
    """
    looking = _Looking(auditor, seconds)
    app = FastAPI(
        title="dataspace audit", version="1", docs_url=None, redoc_url=None, openapi_url=None, lifespan=looking.lifespan
    )
    answer = _problem if site is None else _by_path(site)
    for error in (AuditError, LedgerError, CapsuleError):
        app.add_exception_handler(error, answer)
    callers = [] if site is None else [Depends(_caller(site))]

    @app.get("/healthz")
    def health() -> dict[str, Any]:
        report = auditor.report
        told = {
            "ok": looking.trouble is None and report is not None,
            "block": None if report is None else report.summary.tip.number,
        }
        if site is not None and site.is_guarded:
            return told
        return {
            **told,
            "findings": None if report is None else len(report.findings),
            "trouble": looking.trouble,
        }

    @app.get("/v1/report", dependencies=callers)
    def report() -> JSONResponse:
        found = auditor.report
        if found is None:
            raise RequestError("the ledger has not been looked at yet; ask again soon")
        return JSONResponse(found.to_json())

    @app.get("/v1/trails/{kind}/{name}", dependencies=callers)
    def trail(kind: str, name: str) -> JSONResponse:
        return JSONResponse(auditor.trail(subject(kind, name)).to_json())

    if site is not None:
        site.attach(app)
    return app


def serve(
    auditor: Auditor,
    host: str,
    port: int,
    *,
    seconds: float = 15.0,
    site: Site | None = None,
    ready: Callable[[int], None] = lambda port: None,
) -> None:
    """Serves until SIGTERM or SIGINT; then no new requests are taken, open ones are answered, and this returns.

    A look that is under way stops after the blocks that it is at; the index stays whole. `port` 0 takes a free one;
    `ready` is told which.
    """
    with socket.create_server((host, port)) as listening:
        app = build_app(auditor, seconds=seconds, site=site)
        # Whom a proxy speaks for is the site's to decide; a Server header helps nobody.
        config = uvicorn.Config(app, log_level="warning", proxy_headers=False, server_header=False)
        server = uvicorn.Server(config)
        # uvicorn raises the signal again when it is done; whoever called has things to close yet.
        kinds = (signal.SIGTERM, signal.SIGINT)
        before = {kind: signal.signal(kind, lambda *_: None) for kind in kinds}
        try:
            ready(listening.getsockname()[1])
            server.run(sockets=[listening])
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


def settle() -> None:
    """After a look: leaves what it made out of later garbage collections, and lets pages take turns with the next look.

    A large ledger's state is millions of objects that hold no cycles; walking them would stop every page for a second.
    A page gives up its turn with each row that it reads, and would wait 5 ms for the next one while rules run.
    """
    gc.collect(1)
    gc.freeze()
    sys.setswitchinterval(_TURN_SECONDS)


class _Looking:
    """Looks again and again; `trouble` is the sentence of the last look's error, None when it went well."""

    def __init__(self, auditor: Auditor, seconds: float | None) -> None:
        self._auditor = auditor
        self._seconds = seconds
        self.trouble: str | None = None

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        task = None if self._seconds is None else asyncio.create_task(self._forever(self._seconds))
        try:
            yield
        finally:
            self._auditor.stop()
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _forever(self, seconds: float) -> None:
        while True:
            try:
                await run_in_threadpool(self._auditor.look)
                settle()
                self.trouble = None
            except FinalityError as error:
                # What was final is not: a person must look, and no later look may cover it up.
                self.trouble = str(error)
                _LOG.critical("stopped: %s", error)
                return
            except (AuditError, LedgerError, CapsuleError) as error:
                self.trouble = str(error)
                _LOG.warning("look failed: %s", error)
            await asyncio.sleep(seconds)


def _caller(site: Site) -> Callable[[Request], None]:
    def caller(request: Request) -> None:
        site.readers.caller(request)

    return caller


def _by_path(site: Site) -> Callable[[Request, Exception], Response]:
    """Programs are told of errors as problems, people on pages."""

    def answer(request: Request, error: Exception) -> Response:
        is_api = request.url.path.startswith("/v1/")
        return _problem(request, error) if is_api else site.error_page(request, error)

    return answer


def _problem(_: Request, error: Exception) -> JSONResponse:
    kind, status = next((kind, status) for known, kind, status in _PROBLEMS if isinstance(error, known))
    content = {"type": f"/problems/{kind}", "title": kind.replace("-", " "), "status": status, "detail": str(error)}
    headers = {"www-authenticate": 'Basic realm="dataspace audit"'} if status == 401 else None
    return JSONResponse(content, status, headers, media_type=_PROBLEM)
