"""The regulator's service over HTTP: health, report and trails as JSON. It reads and never writes to a chain.

It looks at the ledger again every so many seconds as long as it runs. A look that fails keeps the last report, and
health says why. Nobody is asked who he is: serve it on a private address only.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from audit.auditor import Auditor
from audit.errors import AuditError, FinalityError, RequestError
from audit.trail import subject
from capsule.errors import CapsuleError
from contracts.errors import ChainUnreachableError, LedgerError

__all__ = ["build_app", "serve"]

_LOG: Final = logging.getLogger("dataspace.audit")
_PROBLEM: Final = "application/problem+json"
# Error, last part of the problem's type, status; the first that fits.
_PROBLEMS: Final[tuple[tuple[type[Exception], str, int], ...]] = (
    (RequestError, "not-found", 404),
    (FinalityError, "finality", 500),
    (ChainUnreachableError, "chain-unreachable", 503),
    (AuditError, "failed", 500),
    (LedgerError, "ledger", 502),
    (CapsuleError, "failed", 500),
)


def build_app(auditor: Auditor, *, seconds: float | None = 15.0) -> FastAPI:
    """The application of one auditor, who looks every `seconds`; None: only when asked by `auditor.look`."""
    looking = _Looking(auditor, seconds)
    app = FastAPI(title="dataspace audit", version="1", docs_url=None, redoc_url=None, lifespan=looking.lifespan)
    for error in (AuditError, LedgerError, CapsuleError):
        app.add_exception_handler(error, _problem)

    @app.get("/healthz")
    def health() -> dict[str, Any]:
        report = auditor.report
        return {
            "ok": looking.trouble is None and report is not None,
            "block": None if report is None else report.summary.tip.number,
            "findings": None if report is None else len(report.findings),
            "trouble": looking.trouble,
        }

    @app.get("/v1/report")
    def report() -> JSONResponse:
        found = auditor.report
        if found is None:
            raise RequestError("the ledger has not been looked at yet; ask again soon")
        return JSONResponse(found.to_json())

    @app.get("/v1/trails/{kind}/{name}")
    def trail(kind: str, name: str) -> JSONResponse:
        return JSONResponse(auditor.trail(subject(kind, name)).to_json())

    return app


def serve(
    auditor: Auditor, host: str, port: int, *, seconds: float = 15.0, ready: Callable[[int], None] = lambda port: None
) -> None:
    """Serves until SIGTERM or SIGINT; then no new requests are taken, open ones are answered, and this returns.

    A look that is under way stops after the blocks that it is at; the index stays whole. `port` 0 takes a free one;
    `ready` is told which.
    """
    with socket.create_server((host, port)) as listening:
        server = uvicorn.Server(uvicorn.Config(build_app(auditor, seconds=seconds), log_level="warning"))
        # uvicorn raises the signal again when it is done; whoever called has things to close yet.
        kinds = (signal.SIGTERM, signal.SIGINT)
        before = {kind: signal.signal(kind, lambda *_: None) for kind in kinds}
        try:
            ready(listening.getsockname()[1])
            server.run(sockets=[listening])
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


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


def _problem(_: Request, error: Exception) -> JSONResponse:
    kind, status = next((kind, status) for known, kind, status in _PROBLEMS if isinstance(error, known))
    content = {"type": f"/problems/{kind}", "title": kind.replace("-", " "), "status": status, "detail": str(error)}
    return JSONResponse(content, status, media_type=_PROBLEM)
