"""The regulator's pages as one part of the audit service: routes, doors, static files, and pages for errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response

from audit.errors import ForbiddenError, LoginError, RequestError, ThrottledError
from audit.pages.desk import Desk
from audit.pages.door import build_door
from audit.pages.drawing import STATIC, draw
from audit.pages.exports import build_exports
from audit.pages.gate import Gate
from audit.pages.readers import Readers
from audit.pages.routes import Unchecked, build_routes

__all__ = ["Site"]

_LOG: Final = logging.getLogger("dataspace.audit")
_STATIC_NAMES: Final = frozenset(
    {"mark.svg", "pages.css", "pages.js", "vendor/htmx.min.js", "vendor/uPlot.iife.min.js", "vendor/uPlot.min.css"}
)
_SAID: Final = frozenset({400, 403, 404, 405, 413, 414, 421, 422, 429, 500, 503})


class Site:
    """Pages over one desk, for its readers. `names`: host names under which the service is meant to be reached."""

    def __init__(
        self, desk: Desk, readers: Readers, *, names: Iterable[str] = (), entropy: Callable[[int], bytes]
    ) -> None:
        self._desk = desk
        self._names = tuple(names)
        self._entropy = entropy
        self.readers = readers

    @property
    def is_guarded(self) -> bool:
        """Whether there are users."""
        return self.readers.are_there

    def attach(self, app: FastAPI, unchecked: Unchecked) -> None:
        """Adds the pages to an application. `unchecked` gives the first events that no look has judged yet."""
        app.include_router(build_door(self.readers, self._entropy))
        app.include_router(build_routes(self._desk, self.readers, unchecked))
        app.include_router(build_exports(self._desk, self.readers))
        app.add_api_route("/static/{name:path}", _static, include_in_schema=False)
        app.add_exception_handler(HTTPException, self._http)
        app.add_exception_handler(RequestValidationError, self._invalid)
        app.add_exception_handler(Exception, self._failed)
        app.add_middleware(Gate, names=self._names, behind_proxy=self.readers.behind_proxy, refuse=self.page_of)

    def page_of(self, request: Request, status: int) -> Response:
        """The page that says what went wrong, in the reader's language."""
        known = status if status in _SAID else 500 if status >= HTTPStatus.INTERNAL_SERVER_ERROR else 400
        response = draw(request, "error.html", None, {"status": status, "known": known}, status)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["retry-after"] = "5"
        return response

    def error_page(self, request: Request, error: Exception) -> Response:
        """The page for an error of ours. Whoever must log in is led there, and back."""
        match error:
            case LoginError() if request.method == "GET":
                back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                target = f"/login?{urlencode({'next': back})}"
                if request.headers.get("hx-request"):
                    return Response(status_code=401, headers={"hx-redirect": target})
                return RedirectResponse(target, 303)
            case LoginError() | ForbiddenError():
                return self.page_of(request, 403)
            case ThrottledError():
                response = self.page_of(request, 429)
                response.headers["retry-after"] = str(error.seconds)
                return response
            case RequestError():
                return self.page_of(request, 404)
            case _:
                _LOG.error("a page failed: %s", error)
                return self.page_of(request, 500)

    def _http(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if request.url.path.startswith("/v1/"):
            title = HTTPStatus(status).phrase
            content = {"type": "about:blank", "title": title, "status": status}
            return JSONResponse(content, status, media_type="application/problem+json")
        response = self.page_of(request, status)
        response.headers.update(getattr(error, "headers", None) or {})
        return response

    def _invalid(self, request: Request, _: Exception) -> Response:
        return self.page_of(request, 400)

    def _failed(self, request: Request, _: Exception) -> Response:
        return self.page_of(request, 500)


def _static(name: str) -> Response:
    if name not in _STATIC_NAMES:
        raise HTTPException(404)
    return FileResponse(STATIC / name, headers={"cache-control": "public, max-age=31536000, immutable"})
