// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {Identified} from "./Identified.sol";
import {Limits} from "./Limits.sol";
import {Roles} from "./Roles.sol";
import {Sequenced} from "./Sequenced.sol";
import {TermsLibrary} from "./TermsLibrary.sol";
import {IAccess} from "./interfaces/IAccess.sol";
import {IAssets} from "./interfaces/IAssets.sol";
import {IParticipants} from "./interfaces/IParticipants.sol";
import {AssetId, GrantId, OpeningId, RequestId, Terms, UseId} from "./interfaces/Types.sol";

/// @title Request, grant, order, use
/// @dev Times: a window is open from `notBefore` until before `notAfter`; a use is within its time before `deadline` and past
/// it from then on. What a pin holds besides asset, version and deal number never changes in Assets, so it is read there.
contract Access is Sequenced, Identified, EIP712, IAccess {
    struct StoredRequest {
        AssetId asset;
        address buyer;
        uint32 version;
        uint32 deal;
        RequestStatus status;
        address computeNode;
        bytes32 algorithm;
        bytes32 purposeHash;
        bytes32 agreementHash;
    }

    /// @dev `open` counts open uses: while there are any, a spent use may come back.
    struct StoredGrant {
        RequestId request;
        bytes32 termsHash;
        bytes32 agreementHash;
        uint64 notBefore;
        uint64 notAfter;
        uint64 secondsPerUse;
        uint64 rowsPerBuyer;
        uint32 usesPerGrant;
        uint32 usesPerBuyer;
        uint32 usesTotal;
        uint32 used;
        uint32 open;
        bool revoked;
    }

    struct StoredUse {
        GrantId grant;
        bytes32 orderHash;
        address computeNode;
        UseStatus status;
        uint64 openedAt;
        uint64 deadline;
        uint8 released;
        bool providerReleased;
        uint8 threshold;
        bool providerRequired;
        bytes32 receiptHash;
        bytes32 resultHash;
    }

    struct Spent {
        uint32 uses;
        uint64 rows;
    }

    bytes32 private constant ORDER_TYPEHASH = keccak256(
        "Order(bytes32[] grants,uint256 number,bytes32 algorithm,bytes32 parameters,address computeNode,bytes32 resultKey,uint64 deadline)"
    );

    IParticipants private immutable _participants;
    IAssets private immutable _assets;

    bool private _paused;
    mapping(RequestId request => StoredRequest) private _requests;
    mapping(GrantId grant => StoredGrant) private _grants;
    mapping(AssetId asset => mapping(address buyer => GrantId[])) private _held;
    mapping(UseId use => StoredUse) private _uses;
    mapping(bytes32 orderHash => UseId[]) private _ordered;
    mapping(address buyer => mapping(uint256 number => bool)) private _numbers;
    mapping(bytes32 use => mapping(address holder => Decision)) private _decisions;
    mapping(AssetId asset => mapping(address buyer => Spent)) private _spent;
    mapping(AssetId asset => uint32) private _totals;

    constructor(IParticipants participants_, IAssets assets_) EIP712("dataspace Access", "1") {
        _participants = participants_;
        _assets = assets_;
    }

    /// @inheritdoc IAccess
    function request(
        Pin calldata pin,
        string calldata purpose,
        bytes32 algorithm,
        address computeNode,
        bytes32 agreementHash,
        Terms calldata terms
    ) external returns (RequestId id) {
        _requireUnpaused();
        if (bytes(purpose).length > Limits.TEXT) revert AccessTextTooLong(bytes(purpose).length, Limits.TEXT);
        if (
            pin.capsuleRoot == 0
                || keccak256(abi.encode(pin)) != keccak256(abi.encode(_pin(pin.asset, pin.version, pin.deal)))
        ) revert AccessPinMismatch(pin.asset, pin.version);

        id = RequestId.wrap(_newId());
        StoredRequest storage own = _requests[id];
        own.asset = pin.asset;
        own.buyer = msg.sender;
        own.version = pin.version;
        own.deal = pin.deal;
        own.status = RequestStatus.Pending;
        own.computeNode = computeNode;
        own.algorithm = algorithm;
        own.purposeHash = keccak256(bytes(purpose));
        own.agreementHash = agreementHash;
        IAssets.Deal memory dealt = _requireParties(own);
        _requireTerms(own, purpose, terms, pin.termsHash, dealt);
        _recordOf(
            AssetId.unwrap(pin.asset),
            abi.encode(AccessRequested.selector, id, pin.asset, msg.sender),
            abi.encode(
                _nextSeq(),
                _nextSeqOf(AssetId.unwrap(pin.asset)),
                pin,
                purpose,
                algorithm,
                computeNode,
                agreementHash
            )
        );
        if (terms.automaticGrant) _grant(id, agreementHash, terms, pin.termsHash, true);
    }

    /// @inheritdoc IAccess
    /// @dev `granted` may ask for more custody too, up to what the pinned deal keeps.
    function grant(
        RequestId request_,
        string calldata purpose,
        bytes32 agreementHash,
        Terms calldata terms,
        Terms calldata granted
    ) external returns (GrantId) {
        _requireUnpaused();
        StoredRequest storage own = _requirePending(request_);
        if (keccak256(bytes(purpose)) != own.purposeHash) revert AccessPurposeNotAllowed(purpose);
        IAssets.Deal memory dealt = _requireParties(own);
        _requireTerms(own, purpose, terms, _assets.versionOf(own.asset, own.version).termsHash, dealt);

        uint256 length = TermsLibrary.longestList(granted);
        if (length > Limits.LIST) revert AccessListTooLong(length, Limits.LIST);
        length = TermsLibrary.longestText(granted);
        if (length > Limits.TEXT) revert AccessTextTooLong(length, Limits.TEXT);
        bytes32 termsHash = TermsLibrary.hash(granted);
        string memory wider = TermsLibrary.widerField(granted, terms);
        if (bytes(wider).length == 0) wider = _widerDeal(granted, dealt);
        if (bytes(wider).length != 0) revert AccessTermsWider(wider);
        if (block.timestamp >= granted.notAfter) revert AccessTooLate(uint64(block.timestamp), granted.notAfter);
        _requireLists(own, purpose, granted, dealt);
        return _grant(request_, agreementHash, granted, termsHash, false);
    }

    /// @inheritdoc IAccess
    function deny(RequestId request_, uint16 reason) external {
        StoredRequest storage own = _requirePending(request_);
        own.status = RequestStatus.Denied;
        _recordOf(
            AssetId.unwrap(own.asset),
            abi.encode(AccessDenied.selector, request_, own.asset),
            abi.encode(_nextSeq(), _nextSeqOf(AssetId.unwrap(own.asset)), reason)
        );
    }

    /// @inheritdoc IAccess
    function revoke(GrantId grant_, uint16 reason) external {
        (StoredGrant storage given, StoredRequest storage own) = _requireGrant(grant_);
        _requireProvider(own.asset);
        if (given.revoked) revert AccessGrantRevoked(grant_);
        given.revoked = true;
        _recordOf(
            AssetId.unwrap(own.asset),
            abi.encode(AccessRevoked.selector, grant_, own.asset),
            abi.encode(_nextSeq(), _nextSeqOf(AssetId.unwrap(own.asset)), reason)
        );
    }

    /// @inheritdoc IAccess
    function openUse(
        Order calldata order,
        bytes calldata signature,
        bytes32 measurement,
        bytes32[][] calldata oneTimeKeys
    ) external returns (UseId[] memory uses) {
        _requireUnpaused();
        uint256 count = order.grants.length;
        if (count == 0) revert AccessOrderEmpty();
        if (count > Limits.ORDER_GRANTS) revert AccessListTooLong(count, Limits.ORDER_GRANTS);
        if (oneTimeKeys.length != count) revert AccessKeysMismatch(oneTimeKeys.length, count);
        if (signature.length > Limits.ORDER_SIGNATURE) {
            revert AccessTextTooLong(signature.length, Limits.ORDER_SIGNATURE);
        }
        if (order.computeNode != msg.sender) revert AccessNotComputeNode(msg.sender);
        if (block.timestamp >= order.deadline) revert AccessOrderExpired(uint64(block.timestamp), order.deadline);

        bytes32 orderHash = hashOrder(order);
        (, StoredRequest storage first) = _requireGrant(order.grants[0]);
        address buyer = first.buyer;
        if (_numbers[buyer][order.number]) revert AccessOrderUsed(buyer, order.number);
        if (!SignatureChecker.isValidSignatureNowCalldata(buyer, orderHash, signature)) {
            revert AccessOrderSignatureInvalid(buyer);
        }
        _numbers[buyer][order.number] = true;

        uses = new UseId[](count);
        for (uint256 i = 0; i < count; ++i) {
            for (uint256 j = 0; j < i; ++j) {
                if (GrantId.unwrap(order.grants[i]) == GrantId.unwrap(order.grants[j])) {
                    revert AccessOrderMismatch(order.grants[i]);
                }
            }
            uses[i] = _open(order, signature, measurement, oneTimeKeys[i], orderHash, buyer, order.grants[i]);
        }
        _ordered[orderHash] = uses;
    }

    /// @inheritdoc IAccess
    function releaseShare(bytes32 use, bytes32 decisionHash, bytes calldata sealedShare) external {
        _requireUnpaused();
        if (sealedShare.length > Limits.SEALED_SHARE) {
            revert AccessTextTooLong(sealedShare.length, Limits.SEALED_SHARE);
        }
        AssetId asset;
        uint8 index;
        StoredUse storage opened = _uses[UseId.wrap(use)];
        if (opened.status == UseStatus.None) {
            IAssets.Opening memory opening = _requireOpening(use);
            if (block.timestamp < opening.releasableFrom) revert AccessReleaseTooEarly(use, opening.releasableFrom);
            asset = opening.asset;
            index = _decide(use, asset, opening.version, opening.deal, Decision.Released);
        } else {
            if (opened.status != UseStatus.Open) revert AccessUseNotOpen(UseId.wrap(use));
            if (block.timestamp >= opened.deadline) revert AccessUsePastDeadline(UseId.wrap(use), opened.deadline);
            (StoredGrant storage given, StoredRequest storage own) = _requireGrant(opened.grant);
            if (given.revoked) revert AccessGrantRevoked(opened.grant);
            asset = own.asset;
            index = _decide(use, asset, own.version, own.deal, Decision.Released);
            if (index == 0) opened.providerReleased = true;
            else ++opened.released;
        }
        _recordOf(
            AssetId.unwrap(asset),
            abi.encode(ShareReleased.selector, use, asset, msg.sender),
            abi.encode(_nextSeq(), _nextSeqOf(AssetId.unwrap(asset)), index, decisionHash, sealedShare)
        );
    }

    /// @inheritdoc IAccess
    function refuseShare(bytes32 use, uint16 reason, bytes32 decisionHash) external {
        AssetId asset;
        uint8 index;
        StoredUse storage opened = _uses[UseId.wrap(use)];
        if (opened.status == UseStatus.None) {
            IAssets.Opening memory opening = _requireOpening(use);
            asset = opening.asset;
            index = _decide(use, asset, opening.version, opening.deal, Decision.Refused);
        } else {
            if (opened.status != UseStatus.Open) revert AccessUseNotOpen(UseId.wrap(use));
            StoredRequest storage own = _requests[_grants[opened.grant].request];
            asset = own.asset;
            index = _decide(use, asset, own.version, own.deal, Decision.Refused);
        }
        _recordOf(
            AssetId.unwrap(asset),
            abi.encode(ShareRefused.selector, use, asset, msg.sender),
            abi.encode(_nextSeq(), _nextSeqOf(AssetId.unwrap(asset)), index, reason, decisionHash)
        );
    }

    /// @inheritdoc IAccess
    /// @dev All uses of the order must be open. A completed close logs no reason, a failed one no rows.
    function closeUse(
        bytes32 orderHash,
        bool completed,
        uint16 reason,
        bytes32 receiptHash,
        bytes32 resultHash,
        uint64 rowsOut
    ) external {
        UseId[] memory uses = _ordered[orderHash];
        if (uses.length == 0) revert AccessUseUnknown(UseId.wrap(orderHash));
        if (_uses[uses[0]].computeNode != msg.sender) revert AccessNotComputeNode(msg.sender);
        if (completed && receiptHash == 0) revert AccessReceiptMissing(orderHash);
        for (uint256 i = 0; i < uses.length; ++i) {
            _close(uses[i], completed, completed ? 0 : reason, receiptHash, resultHash, completed ? rowsOut : 0);
        }
    }

    /// @inheritdoc IAccess
    function expireUse(UseId use) external {
        StoredUse storage opened = _requireOpenUse(use);
        if (block.timestamp < opened.deadline) revert AccessUseBeforeDeadline(use, opened.deadline);
        GrantId given = opened.grant;
        AssetId asset = _requests[_grants[given].request].asset;
        bool givenBack = _end(opened, UseStatus.Expired);
        _recordOf(
            AssetId.unwrap(asset),
            abi.encode(UseExpired.selector, use, given, asset),
            abi.encode(_nextSeq(), _nextSeqOf(AssetId.unwrap(asset)), givenBack)
        );
    }

    /// @inheritdoc IAccess
    /// @dev Pausing what is paused emits nothing.
    function pause() external {
        _setPaused(true, AccessPaused.selector);
    }

    /// @inheritdoc IAccess
    function unpause() external {
        _setPaused(false, AccessUnpaused.selector);
    }

    /// @inheritdoc IAccess
    function requestOf(RequestId request_) external view returns (Request memory) {
        StoredRequest storage own = _requests[request_];
        return Request({
            pin: _pin(own.asset, own.version, own.deal),
            buyer: own.buyer,
            status: own.status,
            computeNode: own.computeNode,
            algorithm: own.algorithm,
            purposeHash: own.purposeHash,
            agreementHash: own.agreementHash
        });
    }

    /// @inheritdoc IAccess
    function grantOf(GrantId grant_) external view returns (Grant memory) {
        StoredGrant storage given = _grants[grant_];
        StoredRequest storage own = _requests[given.request];
        return Grant({
            pin: _pin(own.asset, own.version, own.deal),
            request: given.request,
            buyer: own.buyer,
            provider: _assets.assetOf(own.asset).provider,
            computeNode: own.computeNode,
            algorithm: own.algorithm,
            termsHash: given.termsHash,
            agreementHash: given.agreementHash,
            notBefore: given.notBefore,
            notAfter: given.notAfter,
            secondsPerUse: given.secondsPerUse,
            usesPerGrant: given.usesPerGrant,
            usesPerBuyer: given.usesPerBuyer,
            usesTotal: given.usesTotal,
            rowsPerBuyer: given.rowsPerBuyer,
            used: given.used,
            revoked: given.revoked
        });
    }

    /// @inheritdoc IAccess
    function useOf(UseId use) external view returns (Use memory) {
        StoredUse storage opened = _uses[use];
        return Use({
            grant: opened.grant,
            orderHash: opened.orderHash,
            computeNode: opened.computeNode,
            status: opened.status,
            openedAt: opened.openedAt,
            deadline: opened.deadline,
            released: opened.released,
            providerReleased: opened.providerReleased,
            receiptHash: opened.receiptHash,
            resultHash: opened.resultHash
        });
    }

    /// @inheritdoc IAccess
    function usesOf(bytes32 orderHash) external view returns (UseId[] memory) {
        return _ordered[orderHash];
    }

    /// @inheritdoc IAccess
    function decisionOf(bytes32 use, address holder) external view returns (Decision) {
        return _decisions[use][holder];
    }

    /// @inheritdoc IAccess
    function countsOf(AssetId asset, address buyer) external view returns (uint32 uses, uint64 rows, uint32 total) {
        Spent storage spent = _spent[asset][buyer];
        return (spent.uses, spent.rows, _totals[asset]);
    }

    function paused() external view returns (bool) {
        return _paused;
    }

    function participants() external view returns (IParticipants) {
        return _participants;
    }

    function assets() external view returns (IAssets) {
        return _assets;
    }

    /// @inheritdoc IAccess
    function hashOrder(Order calldata order) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    ORDER_TYPEHASH,
                    keccak256(abi.encodePacked(order.grants)),
                    order.number,
                    order.algorithm,
                    order.parameters,
                    order.computeNode,
                    order.resultKey,
                    order.deadline
                )
            )
        );
    }

    function _grant(
        RequestId request_,
        bytes32 agreementHash,
        Terms calldata granted,
        bytes32 termsHash,
        bool automatic
    ) private returns (GrantId id) {
        StoredRequest storage own = _requests[request_];
        AssetId asset = own.asset;
        address buyer = own.buyer;
        own.status = RequestStatus.Granted;
        id = GrantId.wrap(_newId());
        _hold(id, asset, buyer, automatic);

        uint64 notAfter = _earlier(granted.notAfter, granted.secondsPerGrant);
        StoredGrant storage given = _grants[id];
        given.request = request_;
        given.termsHash = termsHash;
        given.agreementHash = agreementHash;
        given.notBefore = granted.notBefore;
        given.notAfter = notAfter;
        given.secondsPerUse = granted.secondsPerUse;
        given.rowsPerBuyer = granted.rowsPerBuyer;
        given.usesPerGrant = granted.usesPerGrant;
        given.usesPerBuyer = granted.usesPerBuyer;
        given.usesTotal = granted.usesTotal;
        _recordOf(
            AssetId.unwrap(asset),
            abi.encode(AccessGranted.selector, id, asset, buyer),
            abi.encode(
                _nextSeq(),
                _nextSeqOf(AssetId.unwrap(asset)),
                request_,
                _pin(asset, own.version, own.deal),
                granted.notBefore,
                notAfter,
                agreementHash,
                automatic,
                granted
            )
        );
    }

    /// @dev Adds a grant to those that its buyer holds on the asset, and drops those that are over for good.
    function _hold(GrantId id, AssetId asset, address buyer, bool automatic) private {
        GrantId[] storage held = _held[asset][buyer];
        uint256 i = 0;
        while (i < held.length) {
            StoredGrant storage other = _grants[held[i]];
            bool usesLeft = other.used < other.usesPerGrant;
            if (other.revoked || block.timestamp >= other.notAfter || (!usesLeft && other.open == 0)) {
                held[i] = held[held.length - 1];
                held.pop();
            } else {
                if (automatic && usesLeft) revert AccessLiveGrant(asset, buyer, held[i]);
                ++i;
            }
        }
        if (i == Limits.LIST) revert AccessListTooLong(i + 1, Limits.LIST);
        held.push(id);
    }

    function _open(
        Order calldata order,
        bytes calldata signature,
        bytes32 measurement,
        bytes32[] calldata oneTimeKeys,
        bytes32 orderHash,
        address buyer,
        GrantId grant_
    ) private returns (UseId id) {
        (StoredGrant storage given, StoredRequest storage own) = _requireGrant(grant_);
        if (own.buyer != buyer || own.algorithm != order.algorithm || own.computeNode != msg.sender) {
            revert AccessOrderMismatch(grant_);
        }
        if (given.revoked) revert AccessGrantRevoked(grant_);
        _requireWindow(given.notBefore, given.notAfter);
        IAssets.Deal memory dealt = _requireParties(own);
        _requireKeys(oneTimeKeys, dealt);
        _spend(given, grant_, own.asset, buyer);

        id = UseId.wrap(_newId());
        uint64 deadline = _earlier(order.deadline, given.secondsPerUse);
        StoredUse storage opened = _uses[id];
        opened.grant = grant_;
        opened.orderHash = orderHash;
        opened.computeNode = msg.sender;
        opened.status = UseStatus.Open;
        opened.openedAt = uint64(block.timestamp);
        opened.deadline = deadline;
        opened.threshold = dealt.threshold;
        opened.providerRequired = dealt.providerRequired;
        bytes32 asset = AssetId.unwrap(own.asset);
        _recordOf(
            asset,
            abi.encode(UseOpened.selector, id, grant_, asset),
            abi.encode(
                _nextSeq(),
                _nextSeqOf(asset),
                orderHash,
                deadline,
                measurement,
                oneTimeKeys,
                _pin(own.asset, own.version, own.deal),
                order,
                signature
            )
        );
    }

    function _close(
        UseId use,
        bool completed,
        uint16 reason,
        bytes32 receiptHash,
        bytes32 resultHash,
        uint64 rowsOut
    ) private {
        StoredUse storage opened = _requireOpenUse(use);
        GrantId given = opened.grant;
        AssetId asset = _requests[_grants[given].request].asset;
        bool late = block.timestamp >= opened.deadline;
        if (completed) _charge(use, opened, asset, rowsOut);
        bool givenBack = _end(opened, completed ? UseStatus.Completed : UseStatus.Failed);
        opened.receiptHash = receiptHash;
        opened.resultHash = resultHash;
        _recordOf(
            AssetId.unwrap(asset),
            abi.encode(UseClosed.selector, use, given, asset),
            abi.encode(
                _nextSeq(),
                _nextSeqOf(AssetId.unwrap(asset)),
                completed,
                late,
                givenBack,
                reason,
                receiptHash,
                resultHash,
                rowsOut
            )
        );
    }

    /// @dev The rows budget of a completed use.
    function _charge(UseId use, StoredUse storage opened, AssetId asset, uint64 rowsOut) private {
        if (!_isRebuildable(opened)) {
            revert AccessTooFewReleases(use, opened.released, opened.threshold, opened.providerReleased);
        }
        StoredGrant storage given = _grants[opened.grant];
        Spent storage spent = _spent[asset][_requests[given.request].buyer];
        uint64 left = given.rowsPerBuyer > spent.rows ? given.rowsPerBuyer - spent.rows : 0;
        if (rowsOut > left) revert AccessRowsSpent(opened.grant, rowsOut, left);
        spent.rows += rowsOut;
    }

    /// @dev Counts one use for the grant, the buyer and the asset.
    function _spend(StoredGrant storage given, GrantId grant_, AssetId asset, address buyer) private {
        Spent storage spent = _spent[asset][buyer];
        if (given.used >= given.usesPerGrant) revert AccessUsesSpent(grant_, "grant");
        if (spent.uses >= given.usesPerBuyer) revert AccessUsesSpent(grant_, "buyer");
        if (_totals[asset] >= given.usesTotal) revert AccessUsesSpent(grant_, "asset");
        if (spent.rows >= given.rowsPerBuyer) revert AccessRowsSpent(grant_, 0, 0);
        ++given.used;
        ++given.open;
        ++spent.uses;
        ++_totals[asset];
    }

    /// @dev Ends an open use; gives it back when no share was released. A deal's shares never change: those released for
    /// several uses can be put together, so that one released share is enough to count.
    function _end(StoredUse storage opened, UseStatus status) private returns (bool givenBack) {
        opened.status = status;
        StoredGrant storage given = _grants[opened.grant];
        --given.open;
        givenBack = opened.released == 0 && !opened.providerReleased;
        if (givenBack) {
            StoredRequest storage own = _requests[given.request];
            --given.used;
            --_spent[own.asset][own.buyer].uses;
            --_totals[own.asset];
        }
    }

    /// @dev Takes the caller's decision on its share; returns its position in the deal.
    function _decide(bytes32 use, AssetId asset, uint32 version, uint32 deal, Decision decision)
        private
        returns (uint8 index)
    {
        try _assets.holderIndex(asset, version, deal, msg.sender) returns (uint8 position) {
            index = position;
        } catch {
            revert AccessNotHolder(msg.sender);
        }
        if (index == 0 && !_assets.dealOf(asset, version, deal).providerRequired) revert AccessNotHolder(msg.sender);
        if (_decisions[use][msg.sender] != Decision.None) revert AccessAlreadyDecided(use, msg.sender);
        if (decision == Decision.Released) {
            _requireLatest(asset, version, deal);
            _requireActive(msg.sender, index == 0 ? Roles.PROVIDER : Roles.CUSTODIAN);
        }
        _decisions[use][msg.sender] = decision;
    }

    function _setPaused(bool to, bytes32 selector) private {
        if (!_participants.isOperator(msg.sender)) revert AccessNotOperator(msg.sender);
        if (_paused == to) return;
        _paused = to;
        _record(abi.encode(selector, msg.sender), abi.encode(_nextSeq()));
    }

    function _requireUnpaused() private view {
        if (_paused) revert Pausable.EnforcedPause();
    }

    function _requireActive(address account, uint32 role) private view {
        if (!_participants.isActive(account, role)) revert AccessParticipantNotActive(account, role);
    }

    function _requireProvider(AssetId asset) private view {
        if (_assets.assetOf(asset).provider != msg.sender) revert AccessNotProvider(msg.sender);
    }

    /// @dev The request waits for the caller, its asset's provider.
    function _requirePending(RequestId request_) private view returns (StoredRequest storage own) {
        own = _requests[request_];
        if (own.status != RequestStatus.Pending) revert AccessRequestNotPending(request_);
        _requireProvider(own.asset);
    }

    function _requireGrant(GrantId grant_)
        private
        view
        returns (StoredGrant storage given, StoredRequest storage own)
    {
        given = _grants[grant_];
        if (RequestId.unwrap(given.request) == 0) revert AccessGrantUnknown(grant_);
        own = _requests[given.request];
    }

    function _requireOpenUse(UseId use) private view returns (StoredUse storage opened) {
        opened = _uses[use];
        if (opened.status == UseStatus.None) revert AccessUseUnknown(use);
        if (opened.status != UseStatus.Open) revert AccessUseNotOpen(use);
    }

    function _requireOpening(bytes32 use) private view returns (IAssets.Opening memory opening) {
        opening = _assets.openingOf(OpeningId.wrap(use));
        if (AssetId.unwrap(opening.asset) == 0) revert AccessUseUnknown(UseId.wrap(use));
    }

    function _requireLatest(AssetId asset, uint32 version, uint32 deal) private view {
        if (_assets.versionOf(asset, version).deals != deal) revert AccessDealReplaced(asset, version, deal);
    }

    function _requireWindow(uint64 notBefore, uint64 notAfter) private view {
        if (block.timestamp < notBefore) revert AccessTooEarly(uint64(block.timestamp), notBefore);
        if (block.timestamp >= notAfter) revert AccessTooLate(uint64(block.timestamp), notAfter);
    }

    /// @dev What request, grant and openUse all ask: asset and deal stand, buyer, provider and compute node are active.
    function _requireParties(StoredRequest storage own) private view returns (IAssets.Deal memory dealt) {
        AssetId asset = own.asset;
        uint32 version = own.version;
        uint32 deal = own.deal;
        IAssets.Asset memory offered = _assets.assetOf(asset);
        if (offered.retired) revert AccessAssetRetired(asset);
        _requireLatest(asset, version, deal);
        if (!_assets.isReady(asset, version, deal)) revert AccessDealNotReady(asset, version, deal);
        _requireActive(own.buyer, Roles.BUYER);
        _requireActive(offered.provider, Roles.PROVIDER);
        _requireActive(own.computeNode, Roles.COMPUTE);
        return _assets.dealOf(asset, version, deal);
    }

    /// @dev The terms are those expected, open now, and the request fits them.
    function _requireTerms(
        StoredRequest storage own,
        string calldata purpose,
        Terms calldata terms,
        bytes32 expected,
        IAssets.Deal memory dealt
    ) private view {
        bytes32 termsHash = TermsLibrary.hash(terms);
        if (termsHash != expected) revert AccessTermsMismatch(termsHash, expected);
        _requireWindow(terms.notBefore, terms.notAfter);
        _requireLists(own, purpose, terms, dealt);
    }

    function _requireLists(
        StoredRequest storage own,
        string calldata purpose,
        Terms calldata terms,
        IAssets.Deal memory dealt
    ) private view {
        address buyer = own.buyer;
        address computeNode = own.computeNode;
        if (!TermsLibrary.allows(terms.purposes, own.purposeHash)) revert AccessPurposeNotAllowed(purpose);
        if (!TermsLibrary.allows(terms.algorithms, own.algorithm)) revert AccessAlgorithmNotAllowed(own.algorithm);
        if (!TermsLibrary.has(terms.buyers, buyer) && !_hasOneOf(buyer, terms.buyerRoles)) {
            revert AccessBuyerNotAllowed(buyer);
        }
        if (!TermsLibrary.allows(terms.computeNodes, computeNode)) revert AccessComputeNodeNotAllowed(computeNode);
        if (computeNode == buyer && !terms.computeByBuyer) revert AccessComputeNodeInvolved(computeNode);
        if (!terms.computeByCustodian && _isCustodian(dealt, computeNode)) {
            revert AccessComputeNodeInvolved(computeNode);
        }
    }

    /// @dev As many keys as holders; zero only for a provider whose share is not required.
    function _requireKeys(bytes32[] calldata oneTimeKeys, IAssets.Deal memory dealt) private pure {
        uint256 holders = dealt.holders.length;
        uint256 usable = oneTimeKeys.length;
        if (usable == holders) {
            for (uint256 i = dealt.providerRequired ? 0 : 1; i < holders; ++i) {
                if (oneTimeKeys[i] == 0) --usable;
            }
        }
        if (usable != holders) revert AccessKeysMismatch(usable, holders);
    }

    /// @dev True when the account has at least one of these roles.
    function _hasOneOf(address account, uint32 roles) private view returns (bool) {
        for (uint32 role = Roles.PROVIDER; role <= Roles.REGULATOR; role <<= 1) {
            if (roles & role != 0 && _participants.isActive(account, role)) return true;
        }
        return false;
    }

    function _pin(AssetId asset, uint32 version, uint32 deal) private view returns (Pin memory) {
        IAssets.Version memory published = _assets.versionOf(asset, version);
        return Pin({
            asset: asset,
            version: version,
            capsuleRoot: published.capsuleRoot,
            policyHash: published.policyHash,
            termsHash: published.termsHash,
            deal: deal,
            dealHash: _assets.dealOf(asset, version, deal).dealHash
        });
    }

    /// @dev The earlier of a time and a number of seconds from now.
    function _earlier(uint64 time, uint64 secondsFromNow) private view returns (uint64) {
        uint64 now_ = uint64(block.timestamp);
        if (secondsFromNow > type(uint64).max - now_) return time;
        uint64 then = now_ + secondsFromNow;
        return then < time ? then : time;
    }

    function _isRebuildable(StoredUse storage opened) private view returns (bool) {
        return opened.released >= opened.threshold && (opened.providerReleased || !opened.providerRequired);
    }

    function _isCustodian(IAssets.Deal memory dealt, address account) private pure returns (bool) {
        for (uint256 i = 1; i < dealt.holders.length; ++i) {
            if (dealt.holders[i] == account) return true;
        }
        return false;
    }

    /// @dev Name of the field of custody in which the pinned deal keeps less than `granted` says; empty when there is none.
    function _widerDeal(Terms calldata granted, IAssets.Deal memory dealt) private pure returns (string memory) {
        if (dealt.threshold < granted.leastThreshold) return "leastThreshold";
        if (granted.providerShareRequired && !dealt.providerRequired) return "providerShareRequired";
        for (uint256 i = 1; i < dealt.holders.length; ++i) {
            if (!TermsLibrary.allows(granted.holders, dealt.holders[i])) return "holders";
        }
        return "";
    }
}
