# Generated from the contracts' ABI by scripts/build_contracts.py; do not edit.
"""The contract OperationLog: one typed method per Solidity function."""

from __future__ import annotations

from capsule.ids import Address, Digest
from contracts.binding import Binding
from contracts.transaction import Transaction
from contracts.words import address, bytes32, digest, uint

__all__ = ["OperationLog"]


class OperationLog(Binding):
    """The contract OperationLog."""

    def anchor_head(self, size: int, root: Digest, previous: Digest) -> Transaction:
        """Solidity: anchorHead(uint64 size, bytes32 root, bytes32 previous)."""
        return self._send(bytes.fromhex("1d2b7bec"), ("uint64", "bytes32", "bytes32"), (size, root, previous))

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

    def last_head_of(self, account: Address, *, at: int | None = None) -> tuple[int, Digest]:
        """Solidity: lastHeadOf(address account) returns (uint64 size, bytes32 root)."""
        data = self._call(bytes.fromhex("697552df"), ("address",), (account,), at=at)
        with self._reading("lastHeadOf"):
            return (uint(data, 0, 64), digest(data, 32))

    def participants(self, *, at: int | None = None) -> Address:
        """Solidity: participants() returns (contract IParticipants)."""
        data = self._call(bytes.fromhex("6c4470fb"), at=at)
        with self._reading("participants"):
            return address(data, 0)
