"""The TCP side: connections in, whole messages to their sessions, answers out.

Invariants: a connection holds at most one message and one read; it ends when a message is not whole in time, when
nobody logs in in time, when nothing comes, and when it does not take its answers; past the limit, new connections are
closed at once. A vehicle that logs in on another connection ends its older one (clause B.2.7). Stopping lets what is
being stored end, and its answer leave.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Self

from capsule.errors import CapsuleError
from capsule.ids import DeviceId
from contracts.errors import LedgerError
from gateway.errors import GatewayError
from gateway.gbt32960.errors import EnvelopeError
from gateway.gbt32960.frame import Splitter
from gateway.gbt32960.session import Session
from gateway.gbt32960.witness import VehicleWitness
from gateway.settings import GatewaySettings

__all__ = ["VehicleLimits", "VehicleServer", "serving"]

_LOG: Final = logging.getLogger("dataspace.gateway")
_READ_BYTES: Final = 16_384
_ANSWER_BYTES: Final = 16_384
"""of answers that wait, here and in the kernel each"""


@dataclass(frozen=True, slots=True)
class VehicleLimits:
    """What a connection may take; times in seconds."""

    max_connections: int = 2_000
    login_seconds: float = 30.0
    """without a vehicle logged in"""
    message_seconds: float = 30.0
    """from a message's first byte to its last"""
    idle_seconds: float = 300.0
    """between two messages; heartbeats come every 240 s at most"""
    answer_seconds: float = 10.0
    """to take an answer"""
    faults: int = 10
    """refused messages before the connection ends"""
    stop_seconds: float = 20.0
    """for what is being stored, and its answers, when the server stops"""
    at_work: int = 32
    """messages that are being stored; those of different vehicles share commits"""

    @classmethod
    def of(cls, settings: GatewaySettings) -> Self:
        """As the operator set them."""
        return cls(
            max_connections=settings.vehicle_connections,
            login_seconds=settings.vehicle_login_seconds,
            message_seconds=settings.vehicle_message_seconds,
            idle_seconds=settings.vehicle_idle_seconds,
            answer_seconds=settings.vehicle_answer_seconds,
        )


class _Connection:
    """One connection: when it has to be where, and whether its session is at work."""

    def __init__(self, session: Session, limits: VehicleLimits, task: asyncio.Task[object], now: float) -> None:
        self.session = session
        self.splitter = Splitter()
        self.task = task
        self.at_work = False
        self.ending = False
        self._limits = limits
        self._out_since = now
        self._last_message = now
        self._first_byte: float | None = None

    @property
    def deadline(self) -> float:
        """By when the next bytes must be here."""
        ends = [self._last_message + self._limits.idle_seconds]
        if not self.session.is_logged_in:
            ends.append(self._out_since + self._limits.login_seconds)
        if self._first_byte is not None:
            ends.append(self._first_byte + self._limits.message_seconds)
        return min(ends)

    def read(self, now: float) -> None:
        """Bytes came, and every whole message was taken out."""
        if not self.splitter.pending:
            self._first_byte = None
        elif self._first_byte is None:
            self._first_byte = now

    def done(self, now: float) -> None:
        """A message was handled."""
        self._last_message = now
        self._first_byte = None
        if self.session.is_logged_in:
            self._out_since = now

    def end(self) -> None:
        """Ends it now, or once its session is through with its message."""
        self.ending = True
        if not self.at_work:
            self.task.cancel()


class VehicleServer:
    """Serves vehicles on one port. Use it within one event loop, or through `serving`."""

    def __init__(self, witness: VehicleWitness, limits: VehicleLimits | None = None) -> None:
        self._witness = witness
        self._limits = limits or VehicleLimits()
        self._connections: set[_Connection] = set()
        self._by_device: dict[DeviceId, _Connection] = {}
        self._server: asyncio.Server | None = None
        self._pool = ThreadPoolExecutor(self._limits.at_work, "gbt32960")

    async def start(self, host: str, port: int) -> int:
        """Listens; returns the port. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=_READ_BYTES)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Takes no more, lets what is at work end, closes everything."""
        if self._server is not None:
            self._server.close()
        tasks = [connection.task for connection in self._connections]
        for connection in list(self._connections):
            connection.end()
        if tasks:
            await asyncio.wait(tasks, timeout=self._limits.stop_seconds)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= self._limits.max_connections:
            writer.close()
            return
        writer.transport.set_write_buffer_limits(_ANSWER_BYTES)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ANSWER_BYTES)
        session = Session(self._witness, faults=self._limits.faults)
        connection = _Connection(session, self._limits, task, asyncio.get_running_loop().time())
        self._connections.add(connection)
        try:
            await self._converse(connection, reader, writer)
        except TimeoutError:
            writer.transport.abort()  # a close would wait for a peer that takes nothing
            _LOG.info("GB/T 32960: a connection ends: nothing whole came, or was taken, in time")
        except EnvelopeError as exc:
            self._witness.count_refusal(exc)
            _LOG.info("GB/T 32960: a connection ends: %s", exc)
        except (GatewayError, LedgerError, CapsuleError):
            _LOG.exception("GB/T 32960: a message could not be stored and is not answered; the vehicle sends it again")
        except ConnectionError:
            _LOG.info("GB/T 32960: a connection broke")
        except asyncio.CancelledError:
            if not connection.ending:
                raise
        finally:
            connection.at_work = True  # with closing, which bounds itself
            await self._close(writer)
            self._forget(connection)

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        """Lets the last answer leave, but not for ever."""
        writer.close()
        try:
            async with asyncio.timeout(self._limits.answer_seconds):
                await writer.wait_closed()
        except (TimeoutError, ConnectionError):
            writer.transport.abort()

    async def _converse(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while not connection.ending:
            async with asyncio.timeout_at(connection.deadline):
                data = await reader.read(_READ_BYTES)
            if not data:
                if connection.splitter.pending:
                    raise EnvelopeError(f"it ended {connection.splitter.pending} bytes into a message")
                return
            connection.splitter.feed(data)
            while not connection.ending and (raw := connection.splitter.next()) is not None:
                connection.at_work = True
                reply = await loop.run_in_executor(self._pool, connection.session.handle, raw)
                self._note_login(connection)
                if reply.data is not None:
                    writer.write(reply.data)
                    async with asyncio.timeout(self._limits.answer_seconds):
                        await writer.drain()
                connection.at_work = False
                connection.done(loop.time())
                if reply.close:
                    return
            connection.read(loop.time())

    def _note_login(self, connection: _Connection) -> None:
        vehicle = connection.session.vehicle
        if vehicle is None or connection.ending:
            return
        older = self._by_device.get(vehicle.device)
        if older is not connection:
            self._by_device[vehicle.device] = connection
            if older is not None:
                older.end()

    def _forget(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        for device in [device for device, owner in self._by_device.items() if owner is connection]:
            del self._by_device[device]


@contextmanager
def serving(server: VehicleServer, host: str, port: int) -> Iterator[int]:
    """Serves in a thread of its own while the block runs; yields the port. Raises OSError where it can't listen."""
    bound: Future[int] = Future()
    stop: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        ended = asyncio.Event()
        try:
            bound.set_result(await server.start(host, port))
        except OSError as exc:
            bound.set_exception(exc)
            return
        stop.set_result((asyncio.get_running_loop(), ended))
        await ended.wait()
        await server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="gbt32960")
    thread.start()
    try:
        yield bound.result()
    finally:
        if bound.exception() is None:
            loop, ended = stop.result()
            with suppress(RuntimeError):  # the loop is gone already
                loop.call_soon_threadsafe(ended.set)
        thread.join()
