"""What stands before every page: only hosts that are meant, addresses of a sane length, and headers that bind browsers.

An IP address as host is always meant: a foreign site that points its name here (DNS rebinding) needs a name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Gate"]

_MAX_ADDRESS: Final = 2_048
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_YEAR: Final = 365 * 24 * 3600
_Refuse = Callable[[Request, int], Response]


class Gate:
    """ASGI middleware. `names`: host names that are meant, beside addresses and localhost."""

    def __init__(self, app: ASGIApp, names: Iterable[str], *, behind_proxy: bool, refuse: _Refuse) -> None:
        self._app = app
        self._names = frozenset({"localhost", *(name.lower().rstrip(".") for name in names)})
        self._behind_proxy = behind_proxy
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
                if self._behind_proxy:
                    headers["strict-transport-security"] = f"max-age={_YEAR}"
            if is_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        # HEAD is GET without the content.
        is_head = scope["method"] == "HEAD"
        if is_head:
            scope = {**scope, "method": "GET"}
        request = Request(scope)
        if not self._is_meant(request.headers.get("host", "")):
            await self._refuse(request, 421)(scope, receive, guarded)
        elif len(scope.get("raw_path") or b"") + len(scope["query_string"]) > _MAX_ADDRESS:
            await self._refuse(request, 414)(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)

    def _is_meant(self, host: str) -> bool:
        name = host.lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0].rstrip(".")
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
