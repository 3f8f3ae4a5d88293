# Generated from the contracts' ABI by scripts/build_contracts.py; do not edit.
"""The contract Participants: one typed method per Solidity function."""

from __future__ import annotations

from capsule.ids import Address, Digest, Uscc
from contracts.binding import Binding
from contracts.structs import Keys, Organisation, read_keys, read_organisation
from contracts.transaction import Transaction
from contracts.words import address, boolean, bytes32, digest, tail, uint, uscc

__all__ = ["Participants"]


class Participants(Binding):
    """The contract Participants."""

    def default_admin_role(self, *, at: int | None = None) -> Digest:
        """Solidity: DEFAULT_ADMIN_ROLE() returns (bytes32)."""
        data = self._call(bytes.fromhex("a217fddf"), at=at)
        with self._reading("DEFAULT_ADMIN_ROLE"):
            return digest(data, 0)

    def operator_role(self, *, at: int | None = None) -> Digest:
        """Solidity: OPERATOR_ROLE() returns (bytes32)."""
        data = self._call(bytes.fromhex("f5b541a6"), at=at)
        with self._reading("OPERATOR_ROLE"):
            return digest(data, 0)

    def accept_default_admin_transfer(self) -> Transaction:
        """Solidity: acceptDefaultAdminTransfer()."""
        return self._send(bytes.fromhex("cefc1429"))

    def account_of(self, uscc: Uscc, *, at: int | None = None) -> Address:
        """Solidity: accountOf(bytes18 uscc) returns (address)."""
        data = self._call(bytes.fromhex("33c3f013"), ("bytes18",), (uscc.encode(),), at=at)
        with self._reading("accountOf"):
            return address(data, 0)

    def admit(self, account: Address, uscc: Uscc, identity_hash: Digest, roles: int, *, value: int = 0) -> Transaction:
        """Solidity: admit(address account, bytes18 uscc, bytes32 identityHash, uint32 roles)."""
        return self._send(
            bytes.fromhex("8f2f7252"),
            ("address", "bytes18", "bytes32", "uint32"),
            (account, uscc.encode(), identity_hash, roles),
            value=value,
        )

    def begin_default_admin_transfer(self, new_admin: Address) -> Transaction:
        """Solidity: beginDefaultAdminTransfer(address newAdmin)."""
        return self._send(bytes.fromhex("634e93da"), ("address",), (new_admin,))

    def cancel_default_admin_transfer(self) -> Transaction:
        """Solidity: cancelDefaultAdminTransfer()."""
        return self._send(bytes.fromhex("d602b9fd"))

    def change_default_admin_delay(self, new_delay: int) -> Transaction:
        """Solidity: changeDefaultAdminDelay(uint48 newDelay)."""
        return self._send(bytes.fromhex("649a5ec7"), ("uint48",), (new_delay,))

    def default_admin(self, *, at: int | None = None) -> Address:
        """Solidity: defaultAdmin() returns (address)."""
        data = self._call(bytes.fromhex("84ef8ffc"), at=at)
        with self._reading("defaultAdmin"):
            return address(data, 0)

    def default_admin_delay(self, *, at: int | None = None) -> int:
        """Solidity: defaultAdminDelay() returns (uint48)."""
        data = self._call(bytes.fromhex("cc8463c8"), at=at)
        with self._reading("defaultAdminDelay"):
            return uint(data, 0, 48)

    def default_admin_delay_increase_wait(self, *, at: int | None = None) -> int:
        """Solidity: defaultAdminDelayIncreaseWait() returns (uint48)."""
        data = self._call(bytes.fromhex("022d63fb"), at=at)
        with self._reading("defaultAdminDelayIncreaseWait"):
            return uint(data, 0, 48)

    def get_role_admin(self, role: Digest, *, at: int | None = None) -> Digest:
        """Solidity: getRoleAdmin(bytes32 role) returns (bytes32)."""
        data = self._call(bytes.fromhex("248a9ca3"), ("bytes32",), (role,), at=at)
        with self._reading("getRoleAdmin"):
            return digest(data, 0)

    def grant_role(self, role: Digest, account: Address) -> Transaction:
        """Solidity: grantRole(bytes32 role, address account)."""
        return self._send(bytes.fromhex("2f2ff15d"), ("bytes32", "address"), (role, account))

    def has_role(self, role: Digest, account: Address, *, at: int | None = None) -> bool:
        """Solidity: hasRole(bytes32 role, address account) returns (bool)."""
        data = self._call(bytes.fromhex("91d14854"), ("bytes32", "address"), (role, account), at=at)
        with self._reading("hasRole"):
            return boolean(data, 0)

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

    def is_active(self, account: Address, roles: int, *, at: int | None = None) -> bool:
        """Solidity: isActive(address account, uint32 roles) returns (bool)."""
        data = self._call(bytes.fromhex("3bf0f977"), ("address", "uint32"), (account, roles), at=at)
        with self._reading("isActive"):
            return boolean(data, 0)

    def is_operator(self, account: Address, *, at: int | None = None) -> bool:
        """Solidity: isOperator(address account) returns (bool)."""
        data = self._call(bytes.fromhex("6d70f7ae"), ("address",), (account,), at=at)
        with self._reading("isOperator"):
            return boolean(data, 0)

    def keys_at(self, account: Address, block_number: int, *, at: int | None = None) -> Keys:
        """Solidity: keysAt(address account, uint64 blockNumber) returns (IParticipants.Keys)."""
        data = self._call(bytes.fromhex("1159fed6"), ("address", "uint64"), (account, block_number), at=at)
        with self._reading("keysAt"):
            return read_keys(data, tail(data, 0, 0))

    def organisation(self, account: Address, *, at: int | None = None) -> Organisation:
        """Solidity: organisation(address account) returns (IParticipants.Organisation)."""
        data = self._call(bytes.fromhex("c5e009aa"), ("address",), (account,), at=at)
        with self._reading("organisation"):
            return read_organisation(data, tail(data, 0, 0))

    def owner(self, *, at: int | None = None) -> Address:
        """Solidity: owner() returns (address)."""
        data = self._call(bytes.fromhex("8da5cb5b"), at=at)
        with self._reading("owner"):
            return address(data, 0)

    def pending_default_admin(self, *, at: int | None = None) -> tuple[Address, int]:
        """Solidity: pendingDefaultAdmin() returns (address newAdmin, uint48 schedule)."""
        data = self._call(bytes.fromhex("cf6eefb7"), at=at)
        with self._reading("pendingDefaultAdmin"):
            return (address(data, 0), uint(data, 32, 48))

    def pending_default_admin_delay(self, *, at: int | None = None) -> tuple[int, int]:
        """Solidity: pendingDefaultAdminDelay() returns (uint48 newDelay, uint48 schedule)."""
        data = self._call(bytes.fromhex("a1eda53c"), at=at)
        with self._reading("pendingDefaultAdminDelay"):
            return (uint(data, 0, 48), uint(data, 32, 48))

    def reinstate(self, account: Address, reason: str) -> Transaction:
        """Solidity: reinstate(address account, string reason)."""
        return self._send(bytes.fromhex("0fad17d1"), ("address", "string"), (account, reason))

    def renounce_role(self, role: Digest, account: Address) -> Transaction:
        """Solidity: renounceRole(bytes32 role, address account)."""
        return self._send(bytes.fromhex("36568abe"), ("bytes32", "address"), (role, account))

    def revoke_role(self, role: Digest, account: Address) -> Transaction:
        """Solidity: revokeRole(bytes32 role, address account)."""
        return self._send(bytes.fromhex("d547741f"), ("bytes32", "address"), (role, account))

    def rollback_default_admin_delay(self) -> Transaction:
        """Solidity: rollbackDefaultAdminDelay()."""
        return self._send(bytes.fromhex("0aa6220b"))

    def rotate_keys(
        self,
        suite: int,
        signing_key: bytes,
        box_key: bytes,
        box_key_signature: bytes,
        distrusted_from: int,
    ) -> Transaction:
        """Solidity: rotateKeys(uint8 suite, bytes signingKey, bytes32 boxKey, bytes boxKeySignature, uint64
        distrustedFrom).
        """
        return self._send(
            bytes.fromhex("69f731b1"),
            ("uint8", "bytes", "bytes32", "bytes", "uint64"),
            (suite, signing_key, box_key, box_key_signature, distrusted_from),
        )

    def set_endpoint(self, endpoint: str) -> Transaction:
        """Solidity: setEndpoint(string endpoint)."""
        return self._send(bytes.fromhex("bc856b98"), ("string",), (endpoint,))

    def set_keys(self, suite: int, signing_key: bytes, box_key: bytes, box_key_signature: bytes) -> Transaction:
        """Solidity: setKeys(uint8 suite, bytes signingKey, bytes32 boxKey, bytes boxKeySignature)."""
        return self._send(
            bytes.fromhex("2f3c05c5"),
            ("uint8", "bytes", "bytes32", "bytes"),
            (suite, signing_key, box_key, box_key_signature),
        )

    def set_roles(self, account: Address, roles: int) -> Transaction:
        """Solidity: setRoles(address account, uint32 roles)."""
        return self._send(bytes.fromhex("a4956209"), ("address", "uint32"), (account, roles))

    def supports_interface(self, interface_id: bytes, *, at: int | None = None) -> bool:
        """Solidity: supportsInterface(bytes4 interfaceId) returns (bool)."""
        data = self._call(bytes.fromhex("01ffc9a7"), ("bytes4",), (interface_id,), at=at)
        with self._reading("supportsInterface"):
            return boolean(data, 0)

    def suspend(self, account: Address, reason: str) -> Transaction:
        """Solidity: suspend(address account, string reason)."""
        return self._send(bytes.fromhex("57a27127"), ("address", "string"), (account, reason))
