"""Frames in over HTTP: one as application/cose, or several as application/cose-seq.

Invariant: the bodies that are being read never take more memory than the intake queue may; for more, a client is told
to come again before its body is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import orjson
from fastapi import FastAPI, HTTPException, Request, Response

from capsule.errors import FormatError
from capsule.frame import MEDIA_TYPE as FRAME_TYPE
from gateway.errors import BehindError
from gateway.frame_sequence import SEQUENCE_TYPE, split_frames
from gateway.gateway import Gateway
from gateway.ingest import Outcome, Taken
from gateway.problems import describe, problem_of

__all__ = ["add_frame_routes"]

_RETRY_SECONDS: Final = 1


class _Room:
    """Bytes that bodies may take together."""

    def __init__(self, most: int) -> None:
        self._left = most

    @contextmanager
    def of(self, size: int) -> Iterator[None]:
        """Raises BehindError when there is not so much left."""
        if size > self._left:
            raise BehindError(_RETRY_SECONDS)
        self._left -= size
        try:
            yield
        finally:
            self._left += size


def add_frame_routes(app: FastAPI, gateway: Gateway) -> None:
    """Adds POST /v1/frames."""
    settings = gateway.settings
    room = _Room(max(settings.intake_bytes, settings.max_request_bytes))

    @app.post("/v1/frames", status_code=201, responses={200: {"description": "Known frame, or several frames"}})
    async def take_frames(request: Request) -> Response:
        """One frame, answered by the gateway's signed receipt; or several, answered by an array of a receipt or a
        problem for each, in their order."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in (FRAME_TYPE, SEQUENCE_TYPE):
            raise HTTPException(415, f"a frame is sent as {FRAME_TYPE}, several as {SEQUENCE_TYPE}")
        most = settings.max_frame_bytes if kind == FRAME_TYPE else settings.max_request_bytes
        with room.of(_announced(request, most)):
            data = await _body(request, most, settings.body_seconds)
            if kind == FRAME_TYPE:
                taken = await asyncio.wrap_future(gateway.submit(data))
                return Response(taken.receipt.to_bytes(), 201 if taken.new else 200, media_type="application/json")
            try:
                frames = split_frames(data, settings.max_request_frames)
            except FormatError as exc:
                raise HTTPException(413, str(exc)) from exc
            outcomes = await asyncio.wrap_future(gateway.submit_many(frames))
        return Response(b"[" + b",".join(map(_told, outcomes)) + b"]", 200, media_type="application/json")


def _told(outcome: Outcome) -> bytes:
    if isinstance(outcome, Taken):
        return outcome.receipt.to_bytes()
    problem = problem_of(outcome)
    if problem is None:
        raise outcome
    return orjson.dumps(describe(problem, str(outcome)))


def _announced(request: Request, most: int) -> int:
    length = request.headers.get("content-length", "")
    size = int(length) if length.isascii() and length.isdigit() and len(length) < 20 else most
    if size > most:
        raise HTTPException(413, f"a body has at most {most} bytes")
    return size


async def _body(request: Request, most: int, seconds: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise HTTPException(413, f"a body has at most {most} bytes")
                parts.append(part)
    except TimeoutError as exc:
        raise HTTPException(408, f"the body did not arrive within {seconds:g} s") from exc
    return b"".join(parts)
