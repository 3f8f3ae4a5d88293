"""What watches a gateway: alive, ready, metrics, status. None of it needs a token, and none of it tells a secret."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Response
from fastapi.responses import HTMLResponse, JSONResponse

from gateway.errors import StoreError
from gateway.gateway import Gateway
from gateway.metrics import METRICS_TYPE, metrics_of
from gateway.overview import Overview
from gateway.status_page import choose_language, status_page

__all__ = ["add_health_routes"]

Answer = dict[str, Any]
_PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "vary": "accept-language",
}


def add_health_routes(app: FastAPI, gateway: Gateway) -> None:
    """Adds /healthz, /readyz, /metrics, /v1/status and the status page /."""

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz")
    async def alive() -> Answer:
        """This process answers."""
        return {"status": "ok", "account": str(gateway.account)}

    @app.head("/readyz", include_in_schema=False)
    @app.get("/readyz")
    def ready() -> JSONResponse:
        """Whether frames are taken and anchored: the database takes writes, the chain answers, anchors are in time."""
        troubles = gateway.watch.troubles()
        return JSONResponse({"ready": not troubles, "troubles": sorted(troubles)}, 503 if troubles else 200)

    @app.get("/metrics")
    def metrics() -> Response:
        """Prometheus' text format."""
        return Response(metrics_of(gateway), headers={"content-type": METRICS_TYPE})

    @app.get("/v1/status")
    def status() -> Answer:
        """Counts of this gateway's store."""
        counts = gateway.status()
        return {
            "account": str(gateway.account),
            "devices": counts.devices,
            "frames": counts.frames,
            "waiting": counts.waiting,
            "incidents": counts.incidents,
            "batches": counts.batches,
            "unanchored_batches": counts.unanchored_batches,
        }

    @app.head("/", include_in_schema=False)
    @app.get("/", response_class=HTMLResponse)
    def page(
        lang: Annotated[str | None, Query(max_length=16)] = None, accept_language: Annotated[str, Header()] = ""
    ) -> HTMLResponse:
        """Fleet, rates, incidents and anchors, for people."""
        seen: Overview | None = None
        troubles = dict(gateway.watch.troubles())
        try:
            seen = gateway.watch.overview()
        except StoreError as exc:
            troubles["database"] = str(exc)
        language = choose_language(lang, accept_language)
        text = status_page(language, str(gateway.account), seen, troubles)
        return HTMLResponse(text, headers={**_PAGE_HEADERS, "content-language": language})
