"""Logging in and out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from audit.errors import LoginError, ThrottledError
from audit.pages.drawing import draw
from audit.pages.readers import Readers
from audit.pages.sessions import SESSION_SECONDS

__all__ = ["build_door", "inside"]

_FORM_COOKIE: Final = "dataspace_form"
_MAX_FORM: Final = 4_096
_MAX_FIELDS: Final = 8


def build_door(readers: Readers, entropy: Callable[[int], bytes]) -> APIRouter:
    """The routes /login and /logout."""
    router = APIRouter(include_in_schema=False)

    def form(request: Request, next_: str, trouble: str, status: int) -> Response:
        seed = entropy(16).hex()
        values = {"form": readers.sessions.form_token("login", seed), "next": next_, "trouble": trouble}
        response = draw(request, "login.html", None, values, status)
        response.set_cookie(
            _FORM_COOKIE, seed, path="/login", httponly=True, secure=readers.behind_proxy, samesite="strict"
        )
        return response

    @router.get("/login")
    def login(request: Request, next: str = "/") -> Response:  # noqa: A002 the address's own word
        return form(request, inside(next), "", 200)

    @router.post("/login")
    async def log_in(request: Request) -> Response:
        fields = await _fields(request)
        target = inside(fields.get("next", "/"))
        try:
            readers.sessions.check_form("login", request.cookies.get(_FORM_COOKIE, ""), fields.get("form", ""))
            address = readers.address(request)
            token = await run_in_threadpool(readers.log_in, fields.get("name", ""), fields.get("password", ""), address)
        except ThrottledError as error:
            response = form(request, target, "login.throttled", 429)
            response.headers["retry-after"] = str(error.seconds)
            return response
        except LoginError as error:
            stale = "form" in str(error)
            return form(request, target, "login.stale" if stale else "login.wrong", 403)
        response = RedirectResponse(target, 303)
        response.set_cookie(
            readers.cookie,
            token,
            max_age=SESSION_SECONDS,
            httponly=True,
            secure=readers.behind_proxy,
            samesite="strict",
        )
        return response

    @router.post("/logout")
    async def log_out(request: Request) -> Response:
        fields = await _fields(request)
        try:
            reader = await run_in_threadpool(readers.reader, request)
        except LoginError:
            return RedirectResponse("/login", 303)  # out already
        if reader.session is not None:
            readers.sessions.check_form("logout", reader.session.id, fields.get("form", ""))
            readers.sessions.end(reader.session)
        response = RedirectResponse("/login", 303)
        response.delete_cookie(readers.cookie, secure=readers.behind_proxy, httponly=True, samesite="strict")
        return response

    return router


def inside(address: str) -> str:
    """An address on this site, else the first page: a link to the login leads to nobody else's."""
    is_path = address.isprintable() and address.startswith("/")
    if not is_path or address.startswith(("//", "/\\", "/login")):
        return "/"
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


async def _fields(request: Request) -> dict[str, str]:
    """A form's fields; 413 and 400 for what is none of our forms."""
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > _MAX_FORM:
                raise HTTPException(413)
    except ClientDisconnect as error:
        raise HTTPException(400) from error  # whoever hung up half-way reads no answer
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(400)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError as error:
        raise HTTPException(400) from error
