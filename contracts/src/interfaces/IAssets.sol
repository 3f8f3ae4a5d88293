// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ISequenced} from "./ISequenced.sol";
import {AssetId, OpeningId, Terms} from "./Types.sol";

/// @title Assets, their versions and their deals
/// @notice Holders of a deal: position 0 is always the provider (its part is 16 zero bytes where the terms do not require
/// it, and then it neither accepts nor releases), positions 1 to n the custodians. A holder's position is its share index.
interface IAssets is ISequenced {
    struct Asset {
        address provider;
        bool retired;
        uint32 versions;
        bytes32 metadataHash;
    }

    /// @dev termsHash = sha256("dataspace/terms/1" || 0x00 || abi.encode(terms))
    struct Version {
        bytes32 capsuleRoot;
        uint64 capsuleSize;
        bytes32 policyHash;
        bytes32 termsHash;
        bytes32 metadataHash;
        uint32 deals;
    }

    struct Deal {
        bytes32 dealHash;
        uint8 threshold;
        bool providerRequired;
        bool providerAccepted;
        uint8 accepted;
        uint32 waitingSeconds;
        address[] holders;
    }

    struct Opening {
        AssetId asset;
        uint32 version;
        uint32 deal;
        uint64 releasableFrom;
    }

    error AssetsUnknown(AssetId asset);
    error AssetsNotProvider(AssetId asset, address caller);
    error AssetsParticipantNotActive(address account, uint32 roles);
    error AssetsRetired(AssetId asset);
    error AssetsVersionUnknown(AssetId asset, uint32 version);
    error AssetsDealUnknown(AssetId asset, uint32 version, uint32 deal);
    error AssetsDealReplaced(AssetId asset, uint32 version, uint32 deal);
    error AssetsCapsuleEmpty();
    error AssetsTermsMismatch(bytes32 termsHash, bytes32 expected);
    error AssetsTermsInvalid(string reason);
    error AssetsListTooLong(uint256 length, uint256 limit);
    error AssetsTextTooLong(uint256 length, uint256 limit);
    error AssetsThresholdInvalid(uint8 threshold, uint256 custodians, uint8 least);
    error AssetsHolderNotAllowed(address holder);
    error AssetsHolderRepeated(address holder);
    error AssetsNotHolder(address caller);
    error AssetsAlreadyAccepted(address holder);
    error AssetsDealHashMismatch(bytes32 dealHash, bytes32 expected);
    error AssetsKeysMismatch(uint256 keys, uint256 holders);

    event AssetRegistered(
        AssetId indexed asset, address indexed provider, uint64 seq, uint64 assetSeq, bytes32 metadataHash
    );
    event CapsulePublished(
        AssetId indexed asset,
        bytes32 indexed capsuleRoot,
        uint64 seq,
        uint64 assetSeq,
        uint32 version,
        uint64 capsuleSize,
        bytes32 policyHash,
        bytes32 termsHash,
        bytes32 metadataHash,
        Terms terms
    );
    event AssetRetired(AssetId indexed asset, uint64 seq, uint64 assetSeq, string reason);
    event CustodyDealt(
        AssetId indexed asset,
        bytes32 indexed dealHash,
        uint64 seq,
        uint64 assetSeq,
        uint32 version,
        uint32 deal,
        uint8 threshold,
        bool providerRequired,
        uint32 waitingSeconds,
        address[] holders
    );
    event CustodyAccepted(
        AssetId indexed asset, bytes32 indexed dealHash, address indexed holder, uint64 seq, uint64 assetSeq, uint8 index
    );
    event DealOpened(
        AssetId indexed asset,
        OpeningId indexed opening,
        uint64 seq,
        uint64 assetSeq,
        uint32 version,
        uint32 deal,
        uint64 releasableFrom,
        bytes32[] oneTimeKeys,
        string reason
    );

    function register(bytes32 metadataHash) external returns (AssetId asset);

    /// @notice Publishes a new version. Earlier versions and their grants stay as they are.
    function publish(
        AssetId asset,
        bytes32 capsuleRoot,
        uint64 capsuleSize,
        bytes32 policyHash,
        bytes32 metadataHash,
        Terms calldata terms
    ) external returns (uint32 version);

    /// @notice No more requests, grants or uses of any version.
    function retire(AssetId asset, string calldata reason) external;

    /// @notice Deals the key of a version; replaces its earlier deal.
    /// @param holders position 0 the provider, then the custodians (1 to 32)
    /// @param terms those of the version
    function deal(
        AssetId asset,
        uint32 version,
        bytes32 dealHash,
        uint8 threshold,
        uint32 waitingSeconds,
        address[] calldata holders,
        Terms calldata terms
    ) external returns (uint32 number);

    /// @notice A holder of the current deal: states that it holds and has checked its share.
    function acceptShare(AssetId asset, uint32 version, uint32 number, bytes32 dealHash) external;

    /// @notice Asks the holders of the current deal for their shares, so that a new deal can be made; they may release
    /// (Access.releaseShare with the opening's id) once the deal's waiting time has passed.
    /// @param oneTimeKeys X25519 keys by position; as many as holders
    function openDeal(AssetId asset, uint32 version, bytes32[] calldata oneTimeKeys, string calldata reason)
        external
        returns (OpeningId opening);

    function assetOf(AssetId asset) external view returns (Asset memory);
    function versionOf(AssetId asset, uint32 version) external view returns (Version memory);
    function dealOf(AssetId asset, uint32 version, uint32 number) external view returns (Deal memory);
    function openingOf(OpeningId opening) external view returns (Opening memory);
    /// @notice True when the threshold, and the provider where required, accepted.
    function isReady(AssetId asset, uint32 version, uint32 number) external view returns (bool);
    function hasAccepted(AssetId asset, uint32 version, uint32 number, address holder) external view returns (bool);
    /// @notice Position of an account among the holders; reverts with AssetsNotHolder.
    function holderIndex(AssetId asset, uint32 version, uint32 number, address account) external view returns (uint8);
    function hashTerms(Terms calldata terms) external pure returns (bytes32);
}
