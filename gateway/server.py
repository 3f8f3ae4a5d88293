"""Running the HTTP service until the process is told to stop.

Invariant: on SIGTERM or SIGINT no new requests are taken, those that are open are answered, and this returns; whoever
holds the gateway closes it then, so that what is queued becomes durable first.
"""

from __future__ import annotations

import errno
import gc
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import uvicorn
from fastapi import FastAPI

from gateway.errors import CallerError, GatewayError
from gateway.settings import GatewaySettings

__all__ = ["collect_seldom", "listen", "port_refused", "serve"]

_COLLECT_AFTER: Final = (50_000, 20, 50)
"""Objects made between two collections. Frames make many and no cycles; collecting as often as usual took a third of
the time of intake."""
_BACKLOG: Final = 2048


def serve(
    app: FastAPI, host: str, port: int, settings: GatewaySettings, *, sockets: Sequence[socket.socket] = ()
) -> None:
    """Serves until SIGTERM or SIGINT; `sockets` that listen already are served in place of host and port.

    Raises GatewayError where it could not start.
    """
    config = uvicorn.Config(
        app,
        host,
        port,
        log_config=None,
        access_log=False,
        backlog=_BACKLOG,
        limit_concurrency=settings.connections,
        timeout_graceful_shutdown=max(round(settings.stop_seconds), 1),
    )
    server = uvicorn.Server(config)
    usual = gc.get_threshold()
    collect_seldom()
    try:
        with _signals_end_the_server_alone():
            server.run(list(sockets) or None)
    finally:
        gc.unfreeze()
        gc.set_threshold(*usual)
    if not server.started:
        raise GatewayError("the service could not start; its log says why")


def listen(host: str, port: int) -> socket.socket:
    """A socket for `serve`: who connects from now on waits until it serves. Raises CallerError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as exc:
        raise port_refused(host, port, "the setting port", exc) from exc


def port_refused(host: str, port: int, choice: str, error: OSError) -> CallerError:
    """Why there is no listening at a port; `choice` is where another is chosen."""
    if error.errno == errno.EADDRINUSE:
        return CallerError(f"port {port} is in use: choose another with {choice}")
    return CallerError(
        f"can't listen at {host}, port {port} ({error.strerror or error}): choose another port with {choice}, or "
        "another host with the setting host"
    )


def collect_seldom() -> None:
    """Sets this process's garbage collector for intake. What is there already is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


@contextmanager
def _signals_end_the_server_alone() -> Iterator[None]:
    """uvicorn raises the signal that ended it once more; the process is to end in order instead."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {kind: signal.signal(kind, lambda *_: None) for kind in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
