"""Which vehicles a gateway takes, and their messages as received, in `vehicles.db` (mode 0600).

It is the one file that knows VINs. Outside of it a vehicle is its device id, a random number. Invariant: a message is
on disk here before the frame that names its digest. The running service and commands may have the file open at once.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from capsule.frame import received_digest
from capsule.ids import DeviceId, Digest
from gateway.errors import CallerError, NotFoundError, StoreError
from gateway.gbt32960.signature import Algorithm, VehicleKey

__all__ = ["FILE_NAME", "KeptMessage", "Vehicle", "Vehicles"]

FILE_NAME: Final = "vehicles.db"

_BUSY_SECONDS: Final = 10
_MAX_VIN_BYTES: Final = 17
_SALT_BYTES: Final = 32
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS vehicles (vin BLOB PRIMARY KEY, device BLOB NOT NULL UNIQUE, algorithm INTEGER, key BLOB);
CREATE TABLE IF NOT EXISTS messages (
    digest BLOB PRIMARY KEY, device BLOB NOT NULL, sequence INTEGER NOT NULL, received_at INTEGER NOT NULL,
    salt BLOB NOT NULL, fingerprint BLOB NOT NULL, data BLOB NOT NULL, UNIQUE (device, fingerprint)
);
"""


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A vehicle that the gateway takes. With a `key`, its data must bear its own signature."""

    vin: str = field(repr=False)
    device: DeviceId
    key: VehicleKey | None = None


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """A message as received. `digest` is what its frame names, `sequence` the number meant for that frame."""

    digest: Digest
    device: DeviceId
    sequence: int
    received_at: int
    data: bytes = field(repr=False)


class Vehicles:
    """The file at `path`, made where it is missing."""

    def __init__(self, path: Path) -> None:
        """Raises StoreError."""
        self._turn = threading.Lock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as exc:
            raise StoreError(f"{path} can't be opened: {exc.strerror}") from exc
        with _translated():
            self._database = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_SCHEMA)

    def close(self) -> None:
        with self._turn:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------------ vehicles

    def add(self, vin: str, entropy: Callable[[int], bytes], key: VehicleKey | None = None) -> Vehicle:
        """Takes a vehicle on under a new random device id. Raises CallerError for a VIN that is known, or is none."""
        name = _vin_bytes(vin)
        vehicle = Vehicle(vin, DeviceId(entropy(32)), key)
        with self._turn, _translated():
            try:
                self._database.execute(
                    "INSERT INTO vehicles VALUES (?, ?, ?, ?)",
                    (name, bytes(vehicle.device), key and int(key.algorithm), key and key.key),
                )
            except sqlite3.IntegrityError as exc:
                raise CallerError("this vehicle is known already; 'dataspace gateway vehicle list' shows it") from exc
        return vehicle

    def remove(self, vin: str) -> Vehicle:
        """Takes a vehicle no more; its messages stay. Raises CallerError for a VIN that is not known."""
        name = (vin.encode("ascii", "replace"),)
        with self._turn, _translated():
            row = self._database.execute("SELECT * FROM vehicles WHERE vin = ?", name).fetchone()
            self._database.execute("DELETE FROM vehicles WHERE vin = ?", name)
        if row is None:
            raise CallerError("no vehicle with this VIN is known; 'dataspace gateway vehicle list' shows those known")
        return _vehicle(row)

    def find(self, vin: bytes) -> Vehicle | None:
        """The vehicle of a message's 17 bytes."""
        name = vin.rstrip(b"\0 ")
        with self._turn, _translated():
            row = self._database.execute("SELECT * FROM vehicles WHERE vin = ?", (name,)).fetchone()
        return None if row is None else _vehicle(row)

    def all(self) -> tuple[Vehicle, ...]:
        with self._turn, _translated():
            rows = self._database.execute("SELECT * FROM vehicles ORDER BY vin").fetchall()
        return tuple(_vehicle(row) for row in rows)

    # ------------------------------------------------------------------------------------------------------ messages

    def known(self, device: DeviceId, data: bytes) -> KeptMessage | None:
        """The same bytes of the same vehicle, if they came before."""
        with self._turn, _translated():
            row = self._database.execute(
                f"{_SELECT} WHERE device = ? AND fingerprint = ?", (bytes(device), _fingerprint(data))
            ).fetchone()
        return None if row is None else _kept(row)

    def keep(
        self, device: DeviceId, sequence: int, data: bytes, received_at: int, entropy: Callable[[int], bytes]
    ) -> KeptMessage:
        """Stores a message that is meant for the frame with this number; durable on return.

        The same bytes keep their digest, under the new number.
        """
        salt = entropy(_SALT_BYTES)
        with self._turn, _translated():
            self._database.execute(
                "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (device, fingerprint) DO UPDATE SET sequence = excluded.sequence",
                (
                    bytes(received_digest(salt, data)),
                    bytes(device),
                    sequence,
                    received_at,
                    salt,
                    _fingerprint(data),
                    data,
                ),
            )
            row = self._database.execute(
                f"{_SELECT} WHERE device = ? AND fingerprint = ?", (bytes(device), _fingerprint(data))
            ).fetchone()
        return _kept(row)

    def message(self, digest: Digest) -> tuple[KeptMessage, bytes]:
        """The message that a frame names, and its salt: together they show the digest. Raises NotFoundError."""
        with self._turn, _translated():
            row = self._database.execute(
                "SELECT digest, device, sequence, received_at, data, salt FROM messages WHERE digest = ?",
                (bytes(digest),),
            ).fetchone()
        if row is None:
            raise NotFoundError("message", digest)
        return _kept(row[:5]), row[5]


_SELECT: Final = "SELECT digest, device, sequence, received_at, data FROM messages"


def _vin_bytes(vin: str) -> bytes:
    if not vin.isascii() or not vin.isprintable() or " " in vin or not 1 <= len(vin) <= _MAX_VIN_BYTES:
        raise CallerError(f"a VIN has at most {_MAX_VIN_BYTES} letters and digits")
    return vin.encode("ascii")


def _fingerprint(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _vehicle(row: tuple[bytes, bytes, int | None, bytes | None]) -> Vehicle:
    vin, device, algorithm, key = row
    known = None if algorithm is None or key is None else VehicleKey(Algorithm(algorithm), key)
    return Vehicle(vin.decode("ascii"), DeviceId(device), known)


def _kept(row: tuple[bytes, bytes, int, int, bytes]) -> KeptMessage:
    digest, device, sequence, received_at, data = row
    return KeptMessage(Digest(digest), DeviceId(device), sequence, received_at, data)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise StoreError(f"the file of vehicles failed: {exc}") from exc
