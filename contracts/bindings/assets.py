# Generated from the contracts' ABI by scripts/build_contracts.py; do not edit.
"""The contract Assets: one typed method per Solidity function."""

from __future__ import annotations

from collections.abc import Sequence

from capsule.ids import Address, AssetId, Digest, OpeningId
from capsule.terms import Terms
from contracts.binding import Binding
from contracts.structs import (
    TERMS_TYPE,
    Asset,
    Deal,
    Opening,
    Version,
    read_asset,
    read_deal,
    read_opening,
    read_version,
    terms_values,
)
from contracts.transaction import Transaction
from contracts.words import address, boolean, bytes32, digest, tail, uint

__all__ = ["Assets"]


class Assets(Binding):
    """The contract Assets."""

    def accept_share(self, asset: AssetId, version: int, number: int, deal_hash: Digest) -> Transaction:
        """Solidity: acceptShare(AssetId asset, uint32 version, uint32 number, bytes32 dealHash)."""
        return self._send(
            bytes.fromhex("cc76b568"),
            ("bytes32", "uint32", "uint32", "bytes32"),
            (asset, version, number, deal_hash),
        )

    def asset_of(self, asset: AssetId, *, at: int | None = None) -> Asset:
        """Solidity: assetOf(AssetId asset) returns (IAssets.Asset)."""
        data = self._call(bytes.fromhex("97b9857b"), ("bytes32",), (asset,), at=at)
        with self._reading("assetOf"):
            return read_asset(data, 0)

    def deal(
        self,
        asset: AssetId,
        version: int,
        deal_hash: Digest,
        threshold: int,
        waiting_seconds: int,
        holders: Sequence[Address],
        terms: Terms,
    ) -> Transaction:
        """Solidity: deal(AssetId asset, uint32 version, bytes32 dealHash, uint8 threshold, uint32 waitingSeconds,
        address[] holders, Terms terms) returns (uint32 number).
        """
        return self._send(
            bytes.fromhex("b889900f"),
            ("bytes32", "uint32", "bytes32", "uint8", "uint32", "address[]", TERMS_TYPE),
            (asset, version, deal_hash, threshold, waiting_seconds, holders, terms_values(terms)),
        )

    def deal_of(self, asset: AssetId, version: int, number: int, *, at: int | None = None) -> Deal:
        """Solidity: dealOf(AssetId asset, uint32 version, uint32 number) returns (IAssets.Deal)."""
        data = self._call(bytes.fromhex("bf324f48"), ("bytes32", "uint32", "uint32"), (asset, version, number), at=at)
        with self._reading("dealOf"):
            return read_deal(data, tail(data, 0, 0))

    def has_accepted(
        self,
        asset: AssetId,
        version: int,
        number: int,
        holder: Address,
        *,
        at: int | None = None,
    ) -> bool:
        """Solidity: hasAccepted(AssetId asset, uint32 version, uint32 number, address holder) returns (bool)."""
        data = self._call(
            bytes.fromhex("a1fa510d"),
            ("bytes32", "uint32", "uint32", "address"),
            (asset, version, number, holder),
            at=at,
        )
        with self._reading("hasAccepted"):
            return boolean(data, 0)

    def hash_terms(self, terms: Terms, *, at: int | None = None) -> Digest:
        """Solidity: hashTerms(Terms terms) returns (bytes32)."""
        data = self._call(bytes.fromhex("ac772825"), (TERMS_TYPE,), (terms_values(terms),), at=at)
        with self._reading("hashTerms"):
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

    def holder_index(
        self,
        asset: AssetId,
        version: int,
        number: int,
        account: Address,
        *,
        at: int | None = None,
    ) -> int:
        """Solidity: holderIndex(AssetId asset, uint32 version, uint32 number, address account) returns (uint8)."""
        data = self._call(
            bytes.fromhex("8522b330"),
            ("bytes32", "uint32", "uint32", "address"),
            (asset, version, number, account),
            at=at,
        )
        with self._reading("holderIndex"):
            return uint(data, 0, 8)

    def is_ready(self, asset: AssetId, version: int, number: int, *, at: int | None = None) -> bool:
        """Solidity: isReady(AssetId asset, uint32 version, uint32 number) returns (bool)."""
        data = self._call(bytes.fromhex("a3a1306b"), ("bytes32", "uint32", "uint32"), (asset, version, number), at=at)
        with self._reading("isReady"):
            return boolean(data, 0)

    def open_deal(self, asset: AssetId, version: int, one_time_keys: Sequence[bytes], reason: str) -> Transaction:
        """Solidity: openDeal(AssetId asset, uint32 version, bytes32[] oneTimeKeys, string reason) returns (OpeningId
        opening).
        """
        return self._send(
            bytes.fromhex("a7411425"),
            ("bytes32", "uint32", "bytes32[]", "string"),
            (asset, version, one_time_keys, reason),
        )

    def opening_of(self, opening: OpeningId, *, at: int | None = None) -> Opening:
        """Solidity: openingOf(OpeningId opening) returns (IAssets.Opening)."""
        data = self._call(bytes.fromhex("b34f16da"), ("bytes32",), (opening,), at=at)
        with self._reading("openingOf"):
            return read_opening(data, 0)

    def participants(self, *, at: int | None = None) -> Address:
        """Solidity: participants() returns (contract IParticipants)."""
        data = self._call(bytes.fromhex("6c4470fb"), at=at)
        with self._reading("participants"):
            return address(data, 0)

    def publish(
        self,
        asset: AssetId,
        capsule_root: Digest,
        capsule_size: int,
        policy_hash: Digest,
        metadata_hash: Digest,
        terms: Terms,
    ) -> Transaction:
        """Solidity: publish(AssetId asset, bytes32 capsuleRoot, uint64 capsuleSize, bytes32 policyHash, bytes32
        metadataHash, Terms terms) returns (uint32 version).
        """
        return self._send(
            bytes.fromhex("de5118ad"),
            ("bytes32", "bytes32", "uint64", "bytes32", "bytes32", TERMS_TYPE),
            (asset, capsule_root, capsule_size, policy_hash, metadata_hash, terms_values(terms)),
        )

    def register(self, metadata_hash: Digest) -> Transaction:
        """Solidity: register(bytes32 metadataHash) returns (AssetId asset)."""
        return self._send(bytes.fromhex("e1fa8e84"), ("bytes32",), (metadata_hash,))

    def retire(self, asset: AssetId, reason: str) -> Transaction:
        """Solidity: retire(AssetId asset, string reason)."""
        return self._send(bytes.fromhex("0a71fb8b"), ("bytes32", "string"), (asset, reason))

    def version_of(self, asset: AssetId, version: int, *, at: int | None = None) -> Version:
        """Solidity: versionOf(AssetId asset, uint32 version) returns (IAssets.Version)."""
        data = self._call(bytes.fromhex("d37e791e"), ("bytes32", "uint32"), (asset, version), at=at)
        with self._reading("versionOf"):
            return read_version(data, 0)
