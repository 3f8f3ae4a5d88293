"""Frames in over HTTP: one as application/cose, or several as application/cose-seq.

Invariant: the bodies of all requests together never take more memory than the intake queue may.
"""

from __future__ import annotations

import asyncio

import orjson
from fastapi import FastAPI, HTTPException, Request, Response

from capsule.errors import FormatError
from capsule.frame import MEDIA_TYPE as FRAME_TYPE
from gateway.bodies import Room
from gateway.frame_sequence import SEQUENCE_TYPE, split_frames
from gateway.gateway import Gateway
from gateway.ingest import Outcome, Taken
from gateway.problems import describe, problem_of

__all__ = ["add_frame_routes"]


def add_frame_routes(app: FastAPI, gateway: Gateway) -> None:
    """Adds POST /v1/frames."""
    settings = gateway.settings
    room = Room(max(settings.intake_bytes, settings.max_request_bytes), settings.body_seconds)

    @app.post("/v1/frames", status_code=201, responses={200: {"description": "Known frame, or several frames"}})
    async def take_frames(request: Request) -> Response:
        """One frame, answered by the gateway's signed receipt; or several, answered by an array of a receipt or a
        problem for each, in their order."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in (FRAME_TYPE, SEQUENCE_TYPE):
            raise HTTPException(415, f"a frame is sent as {FRAME_TYPE}, several as {SEQUENCE_TYPE}")
        data = await room.read(request, settings.max_frame_bytes if kind == FRAME_TYPE else settings.max_request_bytes)
        try:
            if kind == FRAME_TYPE:
                taken = await asyncio.wrap_future(gateway.submit(data))
                return Response(taken.receipt.to_bytes(), 201 if taken.new else 200, media_type="application/json")
            try:
                frames = split_frames(data, settings.max_request_frames)
            except FormatError as exc:
                raise HTTPException(413, str(exc)) from exc
            outcomes = await asyncio.wrap_future(gateway.submit_many(frames))
        finally:
            room.leave(data)
        return Response(b"[" + b",".join(map(_told, outcomes)) + b"]", 200, media_type="application/json")


def _told(outcome: Outcome) -> bytes:
    if isinstance(outcome, Taken):
        return outcome.receipt.to_bytes()
    problem = problem_of(outcome)
    if problem is None:
        raise outcome
    return orjson.dumps(describe(problem, str(outcome)))
