"""Bodies of requests, read up to a size and within a time.

Invariants: bodies that are being read never take more memory together than their room has, for more a client is told to
come again; what a client announces and does not send takes nothing from the others.
"""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import HTTPException, Request

from gateway.errors import BehindError

__all__ = ["Room"]

_RETRY_SECONDS: Final = 1


class Room:
    """Bytes that bodies may take together, from their arrival until `leave`. For one event loop."""

    def __init__(self, most: int, seconds: float) -> None:
        """`seconds`: how long a body may take."""
        self._left = most
        self._seconds = seconds

    async def read(self, request: Request, most: int) -> bytes:
        """A body, which takes room until it is given back with `leave`.

        Raises HTTPException past `most` bytes or where it is not here in time, BehindError where there is no room.
        """
        length = request.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and (len(length) > 19 or int(length) > most):
            raise _too_long(most)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._seconds):
                async for part in request.stream():
                    if size + len(part) > most:
                        raise _too_long(most)
                    if len(part) > self._left:
                        raise BehindError(_RETRY_SECONDS)
                    self._left -= len(part)
                    size += len(part)
                    parts.append(part)
        except BaseException as exc:
            self._left += size
            if isinstance(exc, TimeoutError):
                raise HTTPException(408, f"the body did not arrive within {self._seconds:g} s") from exc
            raise
        return b"".join(parts)

    def leave(self, body: bytes) -> None:
        """A body that was read is done with."""
        self._left += len(body)


def _too_long(most: int) -> HTTPException:
    return HTTPException(413, f"a body has at most {most} bytes")
