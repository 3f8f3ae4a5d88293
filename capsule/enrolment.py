"""Enrolment of a fleet: one root on chain over the keys of many devices, and the paper that proves one of them.

The owner anchors root and size of an RFC 9162 tree in one transaction (Devices.enrollMany) and gives each device its
paper. Whoever meets the device first checks the paper against the fleet on chain. A leaf is `abi.encode(device, suite,
public key)`, so that the chain can check the same paper (Devices.proveEnrolled).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from eth_abi.abi import encode as abi_encode

from capsule.canonical import Json
from capsule.document import Fields, hexed, read_as
from capsule.errors import InputError, VerificationError
from capsule.ids import DeviceId, Digest, FleetId
from capsule.signature import PublicKey
from capsule.tree import Tree, leaf_hash, verify_inclusion

__all__ = ["MAX_PROOF", "Enrolment", "FleetTree", "enrolment_leaf"]

KIND: Final = "dataspace/enrolment"
MAX_PROOF: Final = 64
_MAX_KEY: Final = 256


def enrolment_leaf(device: DeviceId, key: PublicKey) -> Digest:
    """The leaf hash of a device in its fleet's tree."""
    return leaf_hash(abi_encode(["bytes32", "uint8", "bytes"], [bytes(device), key.suite, key.key]))


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A device's paper: its place `index` in a fleet's tree, and the path from there to the root."""

    fleet: FleetId
    device: DeviceId
    key: PublicKey
    index: int
    proof: tuple[Digest, ...]

    def verify(self, root: Digest, size: int) -> PublicKey:
        """The device's key, when the fleet with this root and size holds it; raises VerificationError."""
        try:
            verify_inclusion(enrolment_leaf(self.device, self.key), self.index, size, self.proof, root)
        except VerificationError as exc:
            raise VerificationError(
                f"device {self.device} is not in fleet {self.fleet} with this key", f"root {root}: {exc}"
            ) from exc
        return self.key

    def to_json(self) -> dict[str, Json]:
        return {
            "kind": KIND,
            "version": 1,
            "fleet": str(self.fleet),
            "device": str(self.device),
            "suite": self.key.suite,
            "public_key": hexed(self.key.key),
            "index": self.index,
            "proof": [str(step) for step in self.proof],
        }

    @classmethod
    def from_json(cls, document: Json) -> Enrolment:
        """Raises FormatError."""
        fields = Fields.of(document, KIND)
        with read_as(KIND):
            return cls(
                fields.id("fleet", FleetId),
                fields.id("device", DeviceId),
                PublicKey(fields.integer("suite", 0, 255), fields.raw("public_key", limit=_MAX_KEY)),
                fields.integer("index"),
                tuple(Digest.parse(step) for step in fields.texts("proof", MAX_PROOF)),
            )


class FleetTree:
    """The tree over a fleet's keys, in the order given. Raises InputError for none, and for a device named twice."""

    def __init__(self, devices: Mapping[DeviceId, PublicKey] | Iterable[tuple[DeviceId, PublicKey]]) -> None:
        pairs = tuple(devices.items() if isinstance(devices, Mapping) else devices)
        self._keys = dict(pairs)
        if not pairs or len(self._keys) != len(pairs):
            raise InputError("a fleet has at least one device, and each once")
        self._tree = Tree(enrolment_leaf(device, key) for device, key in pairs)

    @property
    def root(self) -> Digest:
        return self._tree.root

    @property
    def size(self) -> int:
        return self._tree.size

    def enrolments(self, fleet: FleetId) -> Iterable[Enrolment]:
        """The papers of all devices, once the chain has named the fleet."""
        for index, (device, key) in enumerate(self._keys.items()):
            yield Enrolment(fleet, device, key, index, self._tree.proof(index))
