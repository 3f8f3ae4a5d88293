# Generated from the contracts' ABI by scripts/build_contracts.py; do not edit.
"""The contract Devices: one typed method per Solidity function."""

from __future__ import annotations

from collections.abc import Sequence

from capsule.ids import Address, DeviceId, Digest, FleetId
from contracts.binding import Binding
from contracts.structs import BATCH_TYPE, Batch, Device, Fleet, batch_values, read_device, read_fleet
from contracts.transaction import Transaction
from contracts.words import address, bytes32, digest, tail, uint

__all__ = ["Devices"]


class Devices(Binding):
    """The contract Devices."""

    def anchor(self, batch: Batch) -> Transaction:
        """Solidity: anchor(IDevices.Batch batch)."""
        return self._send(bytes.fromhex("5af021b6"), (BATCH_TYPE,), (batch_values(batch),))

    def device_of(self, device: DeviceId, *, at: int | None = None) -> Device:
        """Solidity: deviceOf(DeviceId device) returns (IDevices.Device)."""
        data = self._call(bytes.fromhex("9c927a42"), ("bytes32",), (device,), at=at)
        with self._reading("deviceOf"):
            return read_device(data, tail(data, 0, 0))

    def enroll(self, device: DeviceId, suite: int, public_key: bytes, model_hash: Digest) -> Transaction:
        """Solidity: enroll(DeviceId device, uint8 suite, bytes publicKey, bytes32 modelHash)."""
        return self._send(
            bytes.fromhex("4707fb8d"),
            ("bytes32", "uint8", "bytes", "bytes32"),
            (device, suite, public_key, model_hash),
        )

    def enroll_many(self, root: Digest, size: int, model_hash: Digest) -> Transaction:
        """Solidity: enrollMany(bytes32 root, uint64 size, bytes32 modelHash) returns (FleetId fleet)."""
        return self._send(bytes.fromhex("9087a562"), ("bytes32", "uint64", "bytes32"), (root, size, model_hash))

    def fleet_of(self, fleet: FleetId, *, at: int | None = None) -> Fleet:
        """Solidity: fleetOf(FleetId fleet) returns (IDevices.Fleet)."""
        data = self._call(bytes.fromhex("92e9a7df"), ("bytes32",), (fleet,), at=at)
        with self._reading("fleetOf"):
            return read_fleet(data, 0)

    def head(self, *, at: int | None = None) -> tuple[Digest, int]:
        """Solidity: head() returns (bytes32 head_, uint64 seq_)."""
        data = self._call(bytes.fromhex("8f7dcfa3"), at=at)
        with self._reading("head"):
            return (digest(data, 0), uint(data, 32, 64))

    def head_of(self, subject: bytes, *, at: int | None = None) -> tuple[Digest, int]:
        """Solidity: headOf(bytes32 subject) returns (bytes32 head_, uint64 seq_)."""
        data = self._call(bytes.fromhex("65c7d79d"), ("bytes32",), (subject,), at=at)
        with self._reading("headOf"):
            return (digest(data, 0), uint(data, 32, 64))

    def last_batch_of(self, gateway: Address, *, at: int | None = None) -> tuple[int, Digest]:
        """Solidity: lastBatchOf(address gateway) returns (uint64 number, bytes32 framesRoot)."""
        data = self._call(bytes.fromhex("22defcf1"), ("address",), (gateway,), at=at)
        with self._reading("lastBatchOf"):
            return (uint(data, 0, 64), digest(data, 32))

    def participants(self, *, at: int | None = None) -> Address:
        """Solidity: participants() returns (contract IParticipants)."""
        data = self._call(bytes.fromhex("6c4470fb"), at=at)
        with self._reading("participants"):
            return address(data, 0)

    def prove_enrolled(
        self,
        fleet: FleetId,
        device: DeviceId,
        suite: int,
        public_key: bytes,
        index: int,
        proof: Sequence[Digest],
    ) -> Transaction:
        """Solidity: proveEnrolled(FleetId fleet, DeviceId device, uint8 suite, bytes publicKey, uint64 index,
        bytes32[] proof).
        """
        return self._send(
            bytes.fromhex("18ed28cb"),
            ("bytes32", "bytes32", "uint8", "bytes", "uint64", "bytes32[]"),
            (fleet, device, suite, public_key, index, proof),
        )

    def retire(self, device: DeviceId) -> Transaction:
        """Solidity: retire(DeviceId device)."""
        return self._send(bytes.fromhex("1f2b6f23"), ("bytes32",), (device,))

    def rotate(
        self,
        device: DeviceId,
        suite: int,
        public_key: bytes,
        overlap_seconds: int,
        distrusted_from: int,
    ) -> Transaction:
        """Solidity: rotate(DeviceId device, uint8 suite, bytes publicKey, uint32 overlapSeconds, uint64
        distrustedFrom).
        """
        return self._send(
            bytes.fromhex("81c958d2"),
            ("bytes32", "uint8", "bytes", "uint32", "uint64"),
            (device, suite, public_key, overlap_seconds, distrusted_from),
        )
