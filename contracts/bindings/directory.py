# Generated from the contracts' ABI by scripts/build_contracts.py; do not edit.
"""The contract Directory: one typed method per Solidity function."""

from __future__ import annotations

from capsule.ids import Address, Digest
from contracts.binding import Binding
from contracts.transaction import Transaction
from contracts.words import address, boolean, bytes32, digest, uint

__all__ = ["Directory"]


class Directory(Binding):
    """The contract Directory."""

    def accept_ownership(self) -> Transaction:
        """Solidity: acceptOwnership()."""
        return self._send(bytes.fromhex("79ba5097"))

    def entry_of(self, name: str, *, at: int | None = None) -> Address:
        """Solidity: entryOf(bytes32 name) returns (address)."""
        data = self._call(bytes.fromhex("82fb8643"), ("bytes32",), (name.encode("ascii").ljust(32, b"\0"),), at=at)
        with self._reading("entryOf"):
            return address(data, 0)

    def finality(self, *, at: int | None = None) -> tuple[int, bool]:
        """Solidity: finality() returns (uint32 confirmations, bool finalizedTag)."""
        data = self._call(bytes.fromhex("739fc8d1"), at=at)
        with self._reading("finality"):
            return (uint(data, 0, 32), boolean(data, 32))

    def genesis_hash(self, *, at: int | None = None) -> Digest:
        """Solidity: genesisHash() returns (bytes32)."""
        data = self._call(bytes.fromhex("94391a6d"), at=at)
        with self._reading("genesisHash"):
            return digest(data, 0)

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

    def owner(self, *, at: int | None = None) -> Address:
        """Solidity: owner() returns (address)."""
        data = self._call(bytes.fromhex("8da5cb5b"), at=at)
        with self._reading("owner"):
            return address(data, 0)

    def pending_owner(self, *, at: int | None = None) -> Address:
        """Solidity: pendingOwner() returns (address)."""
        data = self._call(bytes.fromhex("e30c3978"), at=at)
        with self._reading("pendingOwner"):
            return address(data, 0)

    def renounce_ownership(self) -> Transaction:
        """Solidity: renounceOwnership()."""
        return self._send(bytes.fromhex("715018a6"))

    def set_entry(self, name: str, entry: Address) -> Transaction:
        """Solidity: setEntry(bytes32 name, address entry)."""
        return self._send(
            bytes.fromhex("d61c205c"),
            ("bytes32", "address"),
            (name.encode("ascii").ljust(32, b"\0"), entry),
        )

    def transfer_ownership(self, new_owner: Address) -> Transaction:
        """Solidity: transferOwnership(address newOwner)."""
        return self._send(bytes.fromhex("f2fde38b"), ("address",), (new_owner,))
