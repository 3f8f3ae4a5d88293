# Generated from the contracts' ABI by scripts/build_contracts.py; do not edit.
"""The contract Access: one typed method per Solidity function."""

from __future__ import annotations

from collections.abc import Sequence

from capsule.ids import Address, AssetId, Digest, GrantId, RequestId, UseId
from capsule.order import Order
from capsule.terms import Terms
from contracts.binding import Binding
from contracts.structs import (
    ORDER_TYPE,
    PIN_TYPE,
    TERMS_TYPE,
    Decision,
    Grant,
    Pin,
    Request,
    Use,
    order_values,
    pin_values,
    read_grant,
    read_request,
    read_use,
    terms_values,
)
from contracts.transaction import Transaction
from contracts.words import address, boolean, bytes32, digest, fixed, listing, tail, text, uint, word

__all__ = ["Access"]


class Access(Binding):
    """The contract Access."""

    def assets(self, *, at: int | None = None) -> Address:
        """Solidity: assets() returns (contract IAssets)."""
        data = self._call(bytes.fromhex("71a97305"), at=at)
        with self._reading("assets"):
            return address(data, 0)

    def close_use(
        self,
        order_hash: Digest,
        completed: bool,
        reason: int,
        receipt_hash: Digest,
        result_hash: Digest,
        rows_out: int,
    ) -> Transaction:
        """Solidity: closeUse(bytes32 orderHash, bool completed, uint16 reason, bytes32 receiptHash, bytes32
        resultHash, uint64 rowsOut).
        """
        return self._send(
            bytes.fromhex("bc4df995"),
            ("bytes32", "bool", "uint16", "bytes32", "bytes32", "uint64"),
            (order_hash, completed, reason, receipt_hash, result_hash, rows_out),
        )

    def counts_of(self, asset: AssetId, buyer: Address, *, at: int | None = None) -> tuple[int, int, int]:
        """Solidity: countsOf(AssetId asset, address buyer) returns (uint32 uses, uint64 rows, uint32 total)."""
        data = self._call(bytes.fromhex("5790abb4"), ("bytes32", "address"), (asset, buyer), at=at)
        with self._reading("countsOf"):
            return (uint(data, 0, 32), uint(data, 32, 64), uint(data, 64, 32))

    def decision_of(self, use: bytes, holder: Address, *, at: int | None = None) -> Decision:
        """Solidity: decisionOf(bytes32 use, address holder) returns (IAccess.Decision)."""
        data = self._call(bytes.fromhex("cd53fb7a"), ("bytes32", "address"), (use, holder), at=at)
        with self._reading("decisionOf"):
            return Decision(uint(data, 0, 8))

    def deny(self, request: RequestId, reason: int) -> Transaction:
        """Solidity: deny(RequestId request_, uint16 reason)."""
        return self._send(bytes.fromhex("564cac17"), ("bytes32", "uint16"), (request, reason))

    def eip712_domain(self, *, at: int | None = None) -> tuple[bytes, str, str, int, Address, Digest, tuple[int, ...]]:
        """Solidity: eip712Domain() returns (bytes1 fields, string name, string version, uint256 chainId, address
        verifyingContract, bytes32 salt, uint256[] extensions).
        """
        data = self._call(bytes.fromhex("84b0196e"), at=at)
        with self._reading("eip712Domain"):
            return (
                fixed(data, 0, 1),
                text(data, tail(data, 0, 32)),
                text(data, tail(data, 0, 64)),
                uint(data, 96, 256),
                address(data, 128),
                digest(data, 160),
                listing(data, tail(data, 0, 192), 32, lambda d, i: uint(d, i, 256)),
            )

    def expire_use(self, use: UseId) -> Transaction:
        """Solidity: expireUse(UseId use)."""
        return self._send(bytes.fromhex("8de3172f"), ("bytes32",), (use,))

    def grant(
        self,
        request: RequestId,
        purpose: str,
        agreement_hash: Digest,
        terms: Terms,
        granted: Terms,
    ) -> Transaction:
        """Solidity: grant(RequestId request_, string purpose, bytes32 agreementHash, Terms terms, Terms granted)
        returns (GrantId).
        """
        return self._send(
            bytes.fromhex("d8f19dc4"),
            ("bytes32", "string", "bytes32", TERMS_TYPE, TERMS_TYPE),
            (request, purpose, agreement_hash, terms_values(terms), terms_values(granted)),
        )

    def grant_of(self, grant: GrantId, *, at: int | None = None) -> Grant:
        """Solidity: grantOf(GrantId grant_) returns (IAccess.Grant)."""
        data = self._call(bytes.fromhex("9aee26f1"), ("bytes32",), (grant,), at=at)
        with self._reading("grantOf"):
            return read_grant(data, 0)

    def hash_order(self, order: Order, *, at: int | None = None) -> Digest:
        """Solidity: hashOrder(IAccess.Order order) returns (bytes32)."""
        data = self._call(bytes.fromhex("1b3e37e0"), (ORDER_TYPE,), (order_values(order),), at=at)
        with self._reading("hashOrder"):
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

    def open_use(
        self,
        order: Order,
        signature: bytes,
        measurement: Digest,
        one_time_keys: Sequence[Sequence[bytes]],
    ) -> Transaction:
        """Solidity: openUse(IAccess.Order order, bytes signature, bytes32 measurement, bytes32[][] oneTimeKeys)
        returns (UseId[] uses).
        """
        return self._send(
            bytes.fromhex("b0212dee"),
            (ORDER_TYPE, "bytes", "bytes32", "bytes32[][]"),
            (order_values(order), signature, measurement, one_time_keys),
        )

    def participants(self, *, at: int | None = None) -> Address:
        """Solidity: participants() returns (contract IParticipants)."""
        data = self._call(bytes.fromhex("6c4470fb"), at=at)
        with self._reading("participants"):
            return address(data, 0)

    def pause(self) -> Transaction:
        """Solidity: pause()."""
        return self._send(bytes.fromhex("8456cb59"))

    def paused(self, *, at: int | None = None) -> bool:
        """Solidity: paused() returns (bool)."""
        data = self._call(bytes.fromhex("5c975abb"), at=at)
        with self._reading("paused"):
            return boolean(data, 0)

    def refuse_share(self, use: bytes, reason: int, decision_hash: Digest) -> Transaction:
        """Solidity: refuseShare(bytes32 use, uint16 reason, bytes32 decisionHash)."""
        return self._send(bytes.fromhex("0cd34506"), ("bytes32", "uint16", "bytes32"), (use, reason, decision_hash))

    def release_share(self, use: bytes, decision_hash: Digest, sealed_share: bytes) -> Transaction:
        """Solidity: releaseShare(bytes32 use, bytes32 decisionHash, bytes sealedShare)."""
        return self._send(
            bytes.fromhex("244f5b9d"),
            ("bytes32", "bytes32", "bytes"),
            (use, decision_hash, sealed_share),
        )

    def request(
        self,
        pin: Pin,
        purpose: str,
        algorithm: Digest,
        compute_node: Address,
        agreement_hash: Digest,
        terms: Terms,
    ) -> Transaction:
        """Solidity: request(IAccess.Pin pin, string purpose, bytes32 algorithm, address computeNode, bytes32
        agreementHash, Terms terms) returns (RequestId id).
        """
        return self._send(
            bytes.fromhex("5b2ebe07"),
            (PIN_TYPE, "string", "bytes32", "address", "bytes32", TERMS_TYPE),
            (pin_values(pin), purpose, algorithm, compute_node, agreement_hash, terms_values(terms)),
        )

    def request_of(self, request: RequestId, *, at: int | None = None) -> Request:
        """Solidity: requestOf(RequestId request_) returns (IAccess.Request)."""
        data = self._call(bytes.fromhex("eacb1408"), ("bytes32",), (request,), at=at)
        with self._reading("requestOf"):
            return read_request(data, 0)

    def revoke(self, grant: GrantId, reason: int) -> Transaction:
        """Solidity: revoke(GrantId grant_, uint16 reason)."""
        return self._send(bytes.fromhex("454188e3"), ("bytes32", "uint16"), (grant, reason))

    def unpause(self) -> Transaction:
        """Solidity: unpause()."""
        return self._send(bytes.fromhex("3f4ba83a"))

    def use_of(self, use: UseId, *, at: int | None = None) -> Use:
        """Solidity: useOf(UseId use) returns (IAccess.Use)."""
        data = self._call(bytes.fromhex("444e23b1"), ("bytes32",), (use,), at=at)
        with self._reading("useOf"):
            return read_use(data, 0)

    def uses_of(self, order_hash: Digest, *, at: int | None = None) -> tuple[UseId, ...]:
        """Solidity: usesOf(bytes32 orderHash) returns (UseId[])."""
        data = self._call(bytes.fromhex("074d2924"), ("bytes32",), (order_hash,), at=at)
        with self._reading("usesOf"):
            return listing(data, tail(data, 0, 0), 32, lambda d, i: UseId(word(d, i)))
