// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Identified} from "./Identified.sol";
import {Limits} from "./Limits.sol";
import {Roles} from "./Roles.sol";
import {Sequenced} from "./Sequenced.sol";
import {TermsLibrary} from "./TermsLibrary.sol";
import {IAssets} from "./interfaces/IAssets.sol";
import {IParticipants} from "./interfaces/IParticipants.sol";
import {AssetId, OpeningId, Terms} from "./interfaces/Types.sol";

/// @title Assets, their versions and their deals
contract Assets is Sequenced, Identified, IAssets {
    /// @dev A holder's place in a deal; `place` is its position plus one, zero for none.
    struct Seat {
        uint8 place;
        bool accepted;
    }

    IParticipants private immutable _participants;

    mapping(AssetId asset => Asset) private _assets;
    mapping(AssetId asset => mapping(uint32 version => Version)) private _versions;
    mapping(bytes32 dealKey => Deal) private _deals;
    mapping(bytes32 dealKey => mapping(address holder => Seat)) private _seats;
    mapping(OpeningId opening => Opening) private _openings;

    constructor(IParticipants participants_) {
        _participants = participants_;
    }

    /// @inheritdoc IAssets
    function register(bytes32 metadataHash) external returns (AssetId asset) {
        _requireActive(msg.sender, Roles.PROVIDER);
        asset = AssetId.wrap(_newId());
        Asset storage own = _assets[asset];
        own.provider = msg.sender;
        own.metadataHash = metadataHash;
        _recordOf(
            AssetId.unwrap(asset),
            abi.encode(AssetRegistered.selector, asset, msg.sender),
            abi.encode(_nextSeq(), _nextSeqOf(AssetId.unwrap(asset)), metadataHash)
        );
    }

    /// @inheritdoc IAssets
    function publish(
        AssetId asset,
        bytes32 capsuleRoot,
        uint64 capsuleSize,
        bytes32 policyHash,
        bytes32 metadataHash,
        Terms calldata terms
    ) external returns (uint32 version) {
        Asset storage own = _requireOpen(asset);
        if (capsuleRoot == 0 || capsuleSize == 0) revert AssetsCapsuleEmpty();
        _requireTerms(terms);
        bytes32 termsHash = TermsLibrary.hash(terms);
        version = ++own.versions;
        _versions[asset][version] = Version({
            capsuleRoot: capsuleRoot,
            capsuleSize: capsuleSize,
            policyHash: policyHash,
            termsHash: termsHash,
            metadataHash: metadataHash,
            deals: 0
        });
        _recordOf(
            AssetId.unwrap(asset),
            abi.encode(CapsulePublished.selector, asset, capsuleRoot),
            abi.encode(
                _nextSeq(),
                _nextSeqOf(AssetId.unwrap(asset)),
                version,
                capsuleSize,
                policyHash,
                termsHash,
                metadataHash,
                terms
            )
        );
    }

    /// @inheritdoc IAssets
    function retire(AssetId asset, string calldata reason) external {
        Asset storage own = _requireOwn(asset);
        if (own.retired) revert AssetsRetired(asset);
        _requireText(bytes(reason).length);
        own.retired = true;
        _recordOf(
            AssetId.unwrap(asset),
            abi.encode(AssetRetired.selector, asset),
            abi.encode(_nextSeq(), _nextSeqOf(AssetId.unwrap(asset)), reason)
        );
    }

    /// @inheritdoc IAssets
    function deal(
        AssetId asset,
        uint32 version,
        bytes32 dealHash,
        uint8 threshold,
        uint32 waitingSeconds,
        address[] calldata holders,
        Terms calldata terms
    ) external returns (uint32 number) {
        _requireOpen(asset);
        Version storage published = _requireVersion(asset, version);
        bytes32 termsHash = TermsLibrary.hash(terms);
        if (termsHash != published.termsHash) revert AssetsTermsMismatch(termsHash, published.termsHash);
        if (holders.length > Limits.HOLDERS) revert AssetsListTooLong(holders.length, Limits.HOLDERS);
        uint256 custodians = holders.length == 0 ? 0 : holders.length - 1;
        if (threshold == 0 || threshold > custodians || threshold < terms.leastThreshold) {
            revert AssetsThresholdInvalid(threshold, custodians, terms.leastThreshold);
        }
        if (holders[0] != msg.sender) revert AssetsHolderNotAllowed(holders[0]);

        number = ++published.deals;
        bytes32 key = _dealKey(asset, version, number);
        for (uint256 i = 0; i < holders.length; ++i) {
            address holder = holders[i];
            Seat storage seat = _seats[key][holder];
            if (seat.place != 0) revert AssetsHolderRepeated(holder);
            if (i != 0) {
                if (!TermsLibrary.allows(terms.holders, holder)) revert AssetsHolderNotAllowed(holder);
                _requireActive(holder, Roles.CUSTODIAN);
            }
            seat.place = uint8(i + 1);
        }
        _deals[key] = Deal({
            dealHash: dealHash,
            threshold: threshold,
            providerRequired: terms.providerShareRequired,
            providerAccepted: false,
            accepted: 0,
            waitingSeconds: waitingSeconds,
            holders: holders
        });
        _recordOf(
            AssetId.unwrap(asset),
            abi.encode(CustodyDealt.selector, asset, dealHash),
            abi.encode(
                _nextSeq(),
                _nextSeqOf(AssetId.unwrap(asset)),
                version,
                number,
                threshold,
                terms.providerShareRequired,
                waitingSeconds,
                holders
            )
        );
    }

    /// @inheritdoc IAssets
    function acceptShare(AssetId asset, uint32 version, uint32 number, bytes32 dealHash) external {
        if (_requireKnown(asset).retired) revert AssetsRetired(asset);
        uint32 latest = _requireVersion(asset, version).deals;
        if (number == 0 || number > latest) revert AssetsDealUnknown(asset, version, number);
        if (number != latest) revert AssetsDealReplaced(asset, version, number);
        bytes32 key = _dealKey(asset, version, number);
        Deal storage dealt = _deals[key];
        Seat storage seat = _seats[key][msg.sender];
        bool isProvider = seat.place == 1;
        if (seat.place == 0 || (isProvider && !dealt.providerRequired)) revert AssetsNotHolder(msg.sender);
        if (seat.accepted) revert AssetsAlreadyAccepted(msg.sender);
        if (dealHash != dealt.dealHash) revert AssetsDealHashMismatch(dealHash, dealt.dealHash);
        _requireActive(msg.sender, isProvider ? Roles.PROVIDER : Roles.CUSTODIAN);

        seat.accepted = true;
        if (isProvider) dealt.providerAccepted = true;
        else ++dealt.accepted;
        _recordOf(
            AssetId.unwrap(asset),
            abi.encode(CustodyAccepted.selector, asset, dealHash, msg.sender),
            abi.encode(_nextSeq(), _nextSeqOf(AssetId.unwrap(asset)), seat.place - 1)
        );
    }

    /// @inheritdoc IAssets
    /// @dev No key of a custodian may be zero; the provider's may, as it asks on its own behalf.
    function openDeal(AssetId asset, uint32 version, bytes32[] calldata oneTimeKeys, string calldata reason)
        external
        returns (OpeningId opening)
    {
        _requireOpen(asset);
        _requireText(bytes(reason).length);
        uint32 number = _requireVersion(asset, version).deals;
        if (number == 0) revert AssetsDealUnknown(asset, version, 0);
        Deal storage dealt = _deals[_dealKey(asset, version, number)];
        uint256 usable = oneTimeKeys.length;
        for (uint256 i = 1; i < oneTimeKeys.length; ++i) {
            if (oneTimeKeys[i] == 0) --usable;
        }
        if (usable != dealt.holders.length) revert AssetsKeysMismatch(usable, dealt.holders.length);

        uint64 releasableFrom = uint64(block.timestamp) + dealt.waitingSeconds;
        opening = OpeningId.wrap(_newId());
        _openings[opening] =
            Opening({asset: asset, version: version, deal: number, releasableFrom: releasableFrom});
        _recordOf(
            AssetId.unwrap(asset),
            abi.encode(DealOpened.selector, asset, opening),
            abi.encode(
                _nextSeq(),
                _nextSeqOf(AssetId.unwrap(asset)),
                version,
                number,
                releasableFrom,
                oneTimeKeys,
                reason
            )
        );
    }

    /// @inheritdoc IAssets
    function assetOf(AssetId asset) external view returns (Asset memory) {
        return _assets[asset];
    }

    /// @inheritdoc IAssets
    function versionOf(AssetId asset, uint32 version) external view returns (Version memory) {
        return _versions[asset][version];
    }

    /// @inheritdoc IAssets
    function dealOf(AssetId asset, uint32 version, uint32 number) external view returns (Deal memory) {
        return _deals[_dealKey(asset, version, number)];
    }

    /// @inheritdoc IAssets
    function openingOf(OpeningId opening) external view returns (Opening memory) {
        return _openings[opening];
    }

    /// @inheritdoc IAssets
    function isReady(AssetId asset, uint32 version, uint32 number) external view returns (bool) {
        Deal storage dealt = _deals[_dealKey(asset, version, number)];
        return dealt.threshold != 0 && dealt.accepted >= dealt.threshold
            && (dealt.providerAccepted || !dealt.providerRequired);
    }

    /// @inheritdoc IAssets
    function hasAccepted(AssetId asset, uint32 version, uint32 number, address holder) external view returns (bool) {
        return _seats[_dealKey(asset, version, number)][holder].accepted;
    }

    /// @inheritdoc IAssets
    function holderIndex(AssetId asset, uint32 version, uint32 number, address account) external view returns (uint8) {
        uint8 place = _seats[_dealKey(asset, version, number)][account].place;
        if (place == 0) revert AssetsNotHolder(account);
        return place - 1;
    }

    /// @inheritdoc IAssets
    function hashTerms(Terms calldata terms) external pure returns (bytes32) {
        return TermsLibrary.hash(terms);
    }

    function participants() external view returns (IParticipants) {
        return _participants;
    }

    function _requireActive(address account, uint32 role) private view {
        if (!_participants.isActive(account, role)) revert AssetsParticipantNotActive(account, role);
    }

    function _requireKnown(AssetId asset) private view returns (Asset storage own) {
        own = _assets[asset];
        if (own.provider == address(0)) revert AssetsUnknown(asset);
    }

    function _requireOwn(AssetId asset) private view returns (Asset storage own) {
        own = _requireKnown(asset);
        if (own.provider != msg.sender) revert AssetsNotProvider(asset, msg.sender);
    }

    /// @dev The asset is the caller's, not retired, and the caller an active provider.
    function _requireOpen(AssetId asset) private view returns (Asset storage own) {
        own = _requireOwn(asset);
        if (own.retired) revert AssetsRetired(asset);
        _requireActive(msg.sender, Roles.PROVIDER);
    }

    function _requireVersion(AssetId asset, uint32 version) private view returns (Version storage published) {
        published = _versions[asset][version];
        if (published.capsuleRoot == 0) revert AssetsVersionUnknown(asset, version);
    }

    function _requireTerms(Terms calldata terms) private pure {
        uint256 length = TermsLibrary.longestList(terms);
        if (length > Limits.LIST) revert AssetsListTooLong(length, Limits.LIST);
        _requireText(TermsLibrary.longestText(terms));
        if (terms.notAfter <= terms.notBefore) revert AssetsTermsInvalid("notAfter");
        uint256 custodians = terms.holders.length == 0 ? Limits.HOLDERS - 1 : terms.holders.length;
        if (terms.leastThreshold > custodians || terms.leastThreshold > Limits.HOLDERS - 1) {
            revert AssetsTermsInvalid("leastThreshold");
        }
    }

    function _requireText(uint256 length) private pure {
        if (length > Limits.TEXT) revert AssetsTextTooLong(length, Limits.TEXT);
    }

    function _dealKey(AssetId asset, uint32 version, uint32 number) private pure returns (bytes32) {
        return keccak256(abi.encode(asset, version, number));
    }
}
