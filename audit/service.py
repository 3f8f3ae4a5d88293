"""The regulator's service over HTTP: health, report and trails as JSON, and the pages. It never writes to a chain.

As long as it runs, a thread of its own follows the ledger, so that what is final is in the index within a second or
two; another applies the rules every so many seconds. A run that fails keeps the last report, and health says why.
Where its site has users, report, events and trails are for those with the role auditor; without users nobody is asked
who he is.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
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
from audit.store import LogRow
from audit.trail import subject
from capsule.errors import CapsuleError
from contracts.errors import ChainUnreachableError, LedgerError

__all__ = ["POLL_SECONDS", "build_app", "serve", "settle"]

_LOG: Final = logging.getLogger("dataspace.audit")
POLL_SECONDS: Final = 0.5
_TURN_SECONDS: Final = 0.0005
_MOST_EVENTS: Final = 1_000
# A search of 20,000 Chinese characters is told on a page that it is too long; longer heads get a bare 400.
_MAX_HEAD_BYTES: Final = 256 * 1024
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


def build_app(
    auditor: Auditor, *, seconds: float | None = 15.0, poll: float = POLL_SECONDS, site: Site | None = None
) -> FastAPI:
    """The application of one auditor, who asks the chain every `poll` seconds and judges every `seconds`.

    `seconds` None: only when asked by `auditor.look`. `site`: the pages, and who may read them and the API.
    """
    looking = _Looking(auditor, seconds, poll)
    app = FastAPI(
        title="dataspace audit", version="1", docs_url=None, redoc_url=None, openapi_url=None, lifespan=looking.lifespan
    )
    answer = _problem if site is None else _by_path(site)
    for error in (AuditError, LedgerError, CapsuleError):
        app.add_exception_handler(error, answer)
    callers = [] if site is None else [Depends(_caller(site))]

    @app.get("/healthz")
    def health() -> dict[str, Any]:
        report, standing = auditor.report, auditor.standing
        told = {
            "ok": looking.trouble is None and report is not None,
            "block": standing.checked,
            "indexed": standing.indexed,
            "final": standing.final,
            "behind": standing.behind,
            "asked_seconds_ago": None if standing.seconds is None else round(standing.seconds, 1),
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

    @app.get("/v1/events", dependencies=callers)
    def events() -> JSONResponse:
        return JSONResponse({"unchecked": [_event_json(row) for row in auditor.unchecked(_MOST_EVENTS)]})

    @app.get("/v1/trails/{kind}/{name}", dependencies=callers)
    def trail(kind: str, name: str) -> JSONResponse:
        return JSONResponse(auditor.trail(subject(kind, name)).to_json())

    if site is not None:
        site.attach(app, auditor.unchecked)
    return app


def serve(
    auditor: Auditor,
    host: str,
    port: int,
    *,
    seconds: float = 15.0,
    poll: float = POLL_SECONDS,
    site: Site | None = None,
    ready: Callable[[int], None] = lambda port: None,
) -> None:
    """Serves until SIGTERM or SIGINT; then no new requests are taken, open ones are answered, and this returns.

    Following stops after the blocks that it is at, and the index stays whole; a look that is under way is waited for.
    `port` 0 takes a free one; `ready` is told which.
    """
    with socket.create_server((host, port)) as listening:
        app = build_app(auditor, seconds=seconds, poll=poll, site=site)
        # Whom a proxy speaks for is the site's to decide; a Server header helps nobody.
        config = uvicorn.Config(
            app,
            log_level="warning",
            proxy_headers=False,
            server_header=False,
            http="h11",
            h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        )
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
    """Follows and judges again and again, each in a thread of its own."""

    def __init__(self, auditor: Auditor, seconds: float | None, poll: float) -> None:
        self._auditor = auditor
        self._seconds = seconds
        self._poll = poll
        self._caught_up = asyncio.Event()
        self._troubles: dict[str, str] = {}

    @property
    def trouble(self) -> str | None:
        """The sentence of the last error of following, or else of judging; None when both went well."""
        return self._troubles.get("following") or self._troubles.get("look")

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        if self._seconds is None:
            yield
            return
        # Pages and rules need turns as well: following is a little work, often.
        sys.setswitchinterval(_TURN_SECONDS)
        with ThreadPoolExecutor(1, "follow") as following, ThreadPoolExecutor(1, "look") as judging:
            tasks = (
                asyncio.create_task(self._follow(following)),
                asyncio.create_task(self._judge(judging, self._seconds)),
            )
            try:
                yield
            finally:
                self._auditor.stop()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, thread: ThreadPoolExecutor) -> None:
        while True:
            try:
                await self._run(thread, "following", self._auditor.follow)
            except FinalityError as error:
                # What was final is not: a person must look, and no later look may cover it up.
                _LOG.critical("stopped: %s", error)
                return
            await asyncio.sleep(self._poll)

    async def _judge(self, thread: ThreadPoolExecutor, seconds: float) -> None:
        await self._caught_up.wait()
        while True:
            await self._run(thread, "look", self._look)
            await asyncio.sleep(seconds)

    def _look(self) -> None:
        self._auditor.judge()
        settle()

    async def _run(self, thread: ThreadPoolExecutor, what: str, work: Callable[[], None]) -> None:
        """Does it in its thread. An error is kept for health, and logged once; FinalityError is raised as well."""
        try:
            await asyncio.get_running_loop().run_in_executor(thread, work)
        except (AuditError, LedgerError, CapsuleError) as error:
            if self._troubles.get(what) != str(error):
                _LOG.warning("%s failed: %s", what, error)
            self._troubles[what] = str(error)
            if isinstance(error, FinalityError):
                raise
            return
        self._troubles.pop(what, None)
        self._caught_up.set()


def _event_json(row: LogRow) -> dict[str, Any]:
    return {
        "block": row.block_number,
        "position": row.log_index,
        "time": row.time,
        "transaction": row.transaction_hash,
        "contract": row.contract,
        "event": row.event,
        "seq": row.seq,
        "body": json.loads(row.body),
    }


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
    headers = {"www-authenticate": 'Basic realm="dataspace audit"'} if status == 401 else {}
    if isinstance(error, ThrottledError):
        headers["retry-after"] = str(error.seconds)
    return JSONResponse(content, status, headers, media_type=_PROBLEM)
