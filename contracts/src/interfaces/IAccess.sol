// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ISequenced} from "./ISequenced.sol";
import {AssetId, GrantId, RequestId, Terms, UseId} from "./Types.sol";

/// @title Request, grant, order, use
/// @notice `request`, `grant` and `openUse` check everything. `releaseShare` checks that the use is open and before its
/// deadline, the grant not revoked, the deal not replaced and the holder active. `closeUse` checks the caller, and for a
/// completed use the releases and the budgets; it is possible after revocation, suspension and deadline (and marked late).
/// Refuse, deny, revoke, expire and a failed close are open always, to the suspended and while paused. Operators pause
/// `request`, `grant`, `openUse` and `releaseShare`, nothing else.
/// @dev A use is spent at `openUse` and given back only when it expires or fails with no share released: the shares of a
/// deal never change, so that those released for several uses could be put together. What is counted is key releases.
interface IAccess is ISequenced {
    enum RequestStatus { None, Pending, Granted, Denied }
    enum UseStatus { None, Open, Completed, Failed, Expired }
    enum Decision { None, Released, Refused }

    /// @notice What a request pins. The contract refuses it when it is not the present state of the ledger.
    struct Pin {
        AssetId asset;
        uint32 version;
        bytes32 capsuleRoot;
        bytes32 policyHash;
        bytes32 termsHash;
        uint32 deal;
        bytes32 dealHash;
    }

    struct Request {
        Pin pin;
        address buyer;
        RequestStatus status;
        address computeNode;
        bytes32 algorithm;
        bytes32 purposeHash;
        bytes32 agreementHash;
    }

    /// @dev Limits are the narrower of terms and grant. `termsHash` is that of the granted terms, `pin.termsHash` that of
    /// the version's.
    struct Grant {
        Pin pin;
        RequestId request;
        address buyer;
        address provider;
        address computeNode;
        bytes32 algorithm;
        bytes32 termsHash;
        bytes32 agreementHash;
        uint64 notBefore;
        uint64 notAfter;
        uint64 secondsPerUse;
        uint32 usesPerGrant;
        uint32 usesPerBuyer;
        uint32 usesTotal;
        uint64 rowsPerBuyer;
        uint32 used;
        bool revoked;
    }

    struct Use {
        GrantId grant;
        bytes32 orderHash;
        address computeNode;
        UseStatus status;
        uint64 openedAt;
        uint64 deadline;
        /// custodians that released; the provider is told apart
        uint8 released;
        bool providerReleased;
        bytes32 receiptHash;
        bytes32 resultHash;
    }

    /// @notice The buyer's signed order (EIP-712, domain "dataspace Access" version "1", this chain, this contract).
    /// `parameters` is the salted hash of the parameters, `resultKey` an X25519 key that the result is sealed to.
    struct Order {
        GrantId[] grants;
        uint256 number;
        bytes32 algorithm;
        bytes32 parameters;
        address computeNode;
        bytes32 resultKey;
        uint64 deadline;
    }

    error AccessParticipantNotActive(address account, uint32 roles);
    error AccessNotOperator(address caller);
    error AccessAssetRetired(AssetId asset);
    error AccessPinMismatch(AssetId asset, uint32 version);
    error AccessDealNotReady(AssetId asset, uint32 version, uint32 deal);
    error AccessDealReplaced(AssetId asset, uint32 version, uint32 deal);
    error AccessTermsMismatch(bytes32 termsHash, bytes32 expected);
    error AccessTermsWider(string field);
    error AccessTooEarly(uint64 time, uint64 notBefore);
    error AccessTooLate(uint64 time, uint64 notAfter);
    error AccessPurposeNotAllowed(string purpose);
    error AccessAlgorithmNotAllowed(bytes32 algorithm);
    error AccessBuyerNotAllowed(address buyer);
    error AccessComputeNodeNotAllowed(address computeNode);
    error AccessComputeNodeInvolved(address computeNode);
    error AccessLiveGrant(AssetId asset, address buyer, GrantId grant);
    error AccessRequestNotPending(RequestId request);
    error AccessGrantUnknown(GrantId grant);
    error AccessGrantRevoked(GrantId grant);
    error AccessNotProvider(address caller);
    error AccessNotComputeNode(address caller);
    error AccessOrderUsed(address buyer, uint256 number);
    error AccessOrderSignatureInvalid(address buyer);
    error AccessOrderMismatch(GrantId grant);
    error AccessOrderEmpty();
    error AccessOrderExpired(uint64 time, uint64 deadline);
    error AccessUsesSpent(GrantId grant, string scope);
    error AccessRowsSpent(GrantId grant, uint64 rows, uint64 left);
    error AccessKeysMismatch(uint256 keys, uint256 holders);
    error AccessUseUnknown(UseId use);
    error AccessUseNotOpen(UseId use);
    error AccessUsePastDeadline(UseId use, uint64 deadline);
    error AccessUseBeforeDeadline(UseId use, uint64 deadline);
    error AccessReleaseTooEarly(bytes32 opening, uint64 from);
    error AccessNotHolder(address caller);
    error AccessAlreadyDecided(bytes32 use, address holder);
    error AccessTooFewReleases(UseId use, uint8 released, uint8 threshold, bool providerReleased);
    error AccessReceiptMissing(bytes32 orderHash);
    error AccessListTooLong(uint256 length, uint256 limit);
    error AccessTextTooLong(uint256 length, uint256 limit);

    event AccessRequested(
        RequestId indexed request,
        AssetId indexed asset,
        address indexed buyer,
        uint64 seq,
        uint64 assetSeq,
        Pin pin,
        string purpose,
        bytes32 algorithm,
        address computeNode,
        bytes32 agreementHash
    );
    event AccessGranted(
        GrantId indexed grant,
        AssetId indexed asset,
        address indexed buyer,
        uint64 seq,
        uint64 assetSeq,
        RequestId request,
        Pin pin,
        uint64 notBefore,
        uint64 notAfter,
        bytes32 agreementHash,
        bool automatic,
        Terms terms
    );
    event AccessDenied(RequestId indexed request, AssetId indexed asset, uint64 seq, uint64 assetSeq, uint16 reason);
    event AccessRevoked(GrantId indexed grant, AssetId indexed asset, uint64 seq, uint64 assetSeq, uint16 reason);
    event UseOpened(
        UseId indexed use,
        GrantId indexed grant,
        AssetId indexed asset,
        uint64 seq,
        uint64 assetSeq,
        bytes32 orderHash,
        uint64 deadline,
        bytes32 measurement,
        bytes32[] oneTimeKeys,
        Pin pin,
        Order order,
        bytes orderSignature
    );
    event ShareReleased(
        bytes32 indexed use,
        AssetId indexed asset,
        address indexed holder,
        uint64 seq,
        uint64 assetSeq,
        uint8 index,
        bytes32 decisionHash,
        bytes sealedShare
    );
    event ShareRefused(
        bytes32 indexed use,
        AssetId indexed asset,
        address indexed holder,
        uint64 seq,
        uint64 assetSeq,
        uint8 index,
        uint16 reason,
        bytes32 decisionHash
    );
    event UseClosed(
        UseId indexed use,
        GrantId indexed grant,
        AssetId indexed asset,
        uint64 seq,
        uint64 assetSeq,
        bool completed,
        bool late,
        bool givenBack,
        uint16 reason,
        bytes32 receiptHash,
        bytes32 resultHash,
        uint64 rowsOut
    );
    event UseExpired(
        UseId indexed use, GrantId indexed grant, AssetId indexed asset, uint64 seq, uint64 assetSeq, bool givenBack
    );
    event AccessPaused(address indexed operator, uint64 seq);
    event AccessUnpaused(address indexed operator, uint64 seq);

    /// @notice Buyer. Where the terms say so, a fitting request is granted at once (and refused while the buyer has a live
    /// grant on the asset).
    /// @param agreementHash hash of the agreement that the buyer proposes
    function request(
        Pin calldata pin,
        string calldata purpose,
        bytes32 algorithm,
        address computeNode,
        bytes32 agreementHash,
        Terms calldata terms
    ) external returns (RequestId);

    /// @notice Provider. `granted` may only narrow `terms`, those of the version.
    function grant(
        RequestId request_,
        string calldata purpose,
        bytes32 agreementHash,
        Terms calldata terms,
        Terms calldata granted
    ) external returns (GrantId);
    function deny(RequestId request_, uint16 reason) external;
    function revoke(GrantId grant_, uint16 reason) external;

    /// @notice Compute node: opens one use for each grant of the order.
    /// @param oneTimeKeys for each grant, X25519 keys by the position of its deal's holders
    function openUse(
        Order calldata order,
        bytes calldata signature,
        bytes32 measurement,
        bytes32[][] calldata oneTimeKeys
    ) external returns (UseId[] memory);

    /// @notice Holder of the pinned deal. `use` is a UseId, or an OpeningId of Assets.
    /// @param sealedShare sealed to the holder's one-time key of this use; at most 1024 bytes
    function releaseShare(bytes32 use, bytes32 decisionHash, bytes calldata sealedShare) external;
    function refuseShare(bytes32 use, uint16 reason, bytes32 decisionHash) external;

    /// @notice Compute node: ends all uses of an order. Completed needs a receipt, enough releases and rows left.
    /// @param reason zero when completed
    /// @param rowsOut rows of the result, charged to each grant
    function closeUse(
        bytes32 orderHash,
        bool completed,
        uint16 reason,
        bytes32 receiptHash,
        bytes32 resultHash,
        uint64 rowsOut
    ) external;
    /// @notice Anyone, after the deadline.
    function expireUse(UseId use) external;

    function pause() external;
    function unpause() external;

    function hashOrder(Order calldata order) external view returns (bytes32);
    function requestOf(RequestId request_) external view returns (Request memory);
    function grantOf(GrantId grant_) external view returns (Grant memory);
    function useOf(UseId use) external view returns (Use memory);
    function usesOf(bytes32 orderHash) external view returns (UseId[] memory);
    function decisionOf(bytes32 use, address holder) external view returns (Decision);
    /// @return uses spent by this buyer on this asset
    /// @return rows returned to it
    /// @return total uses of the asset by anyone
    function countsOf(AssetId asset, address buyer) external view returns (uint32 uses, uint64 rows, uint32 total);
}
