"""The real messages, a vehicle's terminal over TCP, and a gateway that takes it. Everything in it is real."""

from __future__ import annotations

import csv
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from capsule.thing import ELECTRIC_VEHICLE
from gateway.gateway import Gateway
from gateway.gbt32960.errors import Answer
from gateway.gbt32960.frame import Command, Edition, Message, Splitter, read_message, write_message
from gateway.gbt32960.message import encode_time
from gateway.gbt32960.server import VehicleLimits, VehicleServer, serving
from gateway.gbt32960.signature import VehicleKey
from gateway.gbt32960.vehicles import Vehicle, Vehicles
from gateway.gbt32960.witness import VehicleWitness
from tests.gateway.space import Space

DATA = Path(__file__).parents[3].parent / "shared" / "data" / "gbt32960-bev"
VIN = "LTEST00000000000A"


def live_messages() -> list[bytes]:
    return [bytes.fromhex(line) for line in _file("frames.hex").read_text().split()]


def cross_check() -> dict[int, dict[str, str]]:
    """Rows of the table by the message's number, from 1."""
    with _file("decoded_realtime.csv").open(encoding="utf-8-sig", newline="") as text:
        return {int(row["frame_no"]): row for row in csv.DictReader(text)}


def fixtures() -> list[dict[str, str]]:
    with _file("frames_36node_fixtures.csv").open(encoding="utf-8-sig", newline="") as text:
        return list(csv.DictReader(text))


def _file(name: str) -> Path:
    if not (DATA / name).is_file():
        pytest.skip(f"the real messages are not here: {DATA / name}")
    return DATA / name


def command(
    kind: Command, data: bytes = b"", *, vin: str = VIN, edition: Edition = Edition.E2016, encryption: int = 1
) -> bytes:
    return write_message(edition, kind, vin.encode(), data, encryption=encryption)


def login(at: float, *, vin: str = VIN, edition: Edition = Edition.E2016, number: int = 1) -> bytes:
    body = encode_time(at) + number.to_bytes(2, "big") + b"8" * 20
    return command(Command.LOGIN, body + (b"\0\0" if edition is Edition.E2016 else b"\0"), vin=vin, edition=edition)


def report(
    at: float, items: bytes, *, vin: str = VIN, kind: Command = Command.REALTIME, edition: Edition = Edition.E2016
) -> bytes:
    return command(kind, encode_time(at) + items, vin=vin, edition=edition)


class Terminal:
    """A vehicle's end of a connection. `buffer`: bytes that its kernel takes before it reads them."""

    def __init__(self, port: int, seconds: float = 10, buffer: int | None = None) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.settimeout(seconds)
        if buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._socket.connect(("127.0.0.1", port))
        self._splitter = Splitter()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def answer(self) -> Message:
        """The next answer; raises EOFError when the gateway closed."""
        while (raw := self._splitter.next()) is None:
            try:
                data = self._socket.recv(65_536)
            except ConnectionError as exc:
                raise EOFError from exc
            if not data:
                raise EOFError
            self._splitter.feed(data)
        return read_message(raw)

    def ask(self, data: bytes) -> Answer:
        self.send(data)
        return Answer(self.answer().answer)

    def is_closed(self) -> bool:
        try:
            self.answer()
        except EOFError:
            return True
        return False

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Garage:
    """A gateway that serves vehicles on a port."""

    space: Space
    gateway: Gateway
    vehicles: Vehicles
    witness: VehicleWitness
    port: int

    def register(self, vin: str = VIN, key: VehicleKey | None = None, *, enrolled: bool = True) -> Vehicle:
        vehicle = self.vehicles.add(vin, secrets.token_bytes, key)
        if enrolled:
            public = self.gateway.public_key
            self.space.provider.devices.enroll(vehicle.device, public.suite, public.key, ELECTRIC_VEHICLE.hash)
        return vehicle

    def terminal(self, seconds: float = 10) -> Terminal:
        return Terminal(self.port, seconds)


@contextmanager
def open_garage(space: Space, home: Path, gateway: Gateway, limits: VehicleLimits | None = None) -> Iterator[Garage]:
    with Vehicles(home / "vehicles.db") as vehicles:
        witness = VehicleWitness(gateway, vehicles, clock=space.clock, entropy=secrets.token_bytes)
        with serving(VehicleServer(witness, limits), "127.0.0.1", 0) as port:
            yield Garage(space, gateway, vehicles, witness, port)
