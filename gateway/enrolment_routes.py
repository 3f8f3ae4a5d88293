"""Papers of fleets over HTTP: a device that its owner enrolled with many others proves its key at its first use.

Anyone may bring a paper, as it proves itself; this gateway's account sends the proof. Invariant: no more calls than the
settings allow are at work on the chain at once.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
from fastapi import FastAPI, HTTPException, Request
from starlette.concurrency import run_in_threadpool

from capsule.enrolment import Enrolment
from capsule.errors import FormatError
from gateway.bodies import Room
from gateway.errors import BehindError
from gateway.gateway import Gateway

__all__ = ["MAX_PAPERS", "add_enrolment_routes"]

MAX_PAPERS: Final = 100
_MAX_BYTES: Final = 1 << 20
_ROOM_BYTES: Final = 16 << 20
_RETRY_SECONDS: Final = 5
Answer = dict[str, Any]


def add_enrolment_routes(app: FastAPI, gateway: Gateway) -> None:
    """Adds POST /v1/enrolments."""
    settings = gateway.settings
    room = Room(_ROOM_BYTES, settings.body_seconds)
    at_work = asyncio.Semaphore(settings.enrolments_at_once)

    @app.post("/v1/enrolments")
    async def enrol(request: Request) -> Answer:
        """Puts the keys of a paper, or of a list of at most 100, on chain; answers when that is final. `proven` are
        devices that were not there before, `known` the others. One false paper, and nothing is sent."""
        body = await room.read(request, _MAX_BYTES)
        room.leave(body)
        papers = _papers(body)
        if at_work.locked():
            raise BehindError(_RETRY_SECONDS)
        async with at_work:
            proven = await run_in_threadpool(gateway.prove_enrolled, papers)
        new = set(proven)
        return {
            "proven": [str(device) for device in proven],
            "known": [str(paper.device) for paper in papers if paper.device not in new],
        }


def _papers(body: bytes) -> tuple[Enrolment, ...]:
    """Raises FormatError; HTTPException where there are too many."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise FormatError("an enrolment is a device's paper, or a list of papers, in JSON") from exc
    documents = content if isinstance(content, list) else [content]
    if len(documents) > MAX_PAPERS:
        raise HTTPException(413, f"a request holds at most {MAX_PAPERS} papers")
    papers = tuple(Enrolment.from_json(document) for document in documents)
    if len({paper.device for paper in papers}) != len(papers):
        raise FormatError("a device has one paper in a request")
    return papers
