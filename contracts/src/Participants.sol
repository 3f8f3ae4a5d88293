// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";

import {Limits} from "./Limits.sol";
import {Roles} from "./Roles.sol";
import {Sequenced} from "./Sequenced.sol";
import {SigningKeys} from "./SigningKeys.sol";
import {Uscc} from "./Uscc.sol";
import {IParticipants} from "./interfaces/IParticipants.sol";

/// @title Organisations, their roles, status, endpoint and keys
contract Participants is Sequenced, AccessControlDefaultAdminRules, IParticipants {
    bytes32 public constant OPERATOR_ROLE = keccak256("OPERATOR_ROLE");

    mapping(address account => Organisation) private _organisations;
    mapping(bytes18 uscc => address) private _accounts;
    mapping(address account => Keys[]) private _keys;

    /// @param initialAdminDelay seconds between the two steps of replacing the admin
    /// @param operator the first admin and the first operator
    constructor(uint48 initialAdminDelay, address operator)
        AccessControlDefaultAdminRules(initialAdminDelay, operator)
    {
        _grantRole(OPERATOR_ROLE, operator);
    }

    /// @inheritdoc IParticipants
    /// @dev The account's code, if any, runs last, after the event.
    function admit(address account, bytes18 uscc, bytes32 identityHash, uint32 roles)
        external
        payable
        onlyRole(OPERATOR_ROLE)
    {
        if (account == address(0)) revert ParticipantsAccountZero();
        if (!Uscc.isValid(uscc)) revert ParticipantsCodeInvalid(uscc);
        if (_accounts[uscc] != address(0)) revert ParticipantsCodeTaken(uscc, _accounts[uscc]);
        Organisation storage own = _organisations[account];
        if (own.status != Status.None) revert ParticipantsAccountTaken(account);
        _requireRoles(roles);

        _accounts[uscc] = account;
        own.uscc = uscc;
        own.status = Status.Active;
        own.roles = roles;
        own.identityHash = identityHash;
        _record(
            abi.encode(ParticipantAdmitted.selector, account, uscc),
            abi.encode(_nextSeq(), identityHash, roles, msg.value)
        );
        if (msg.value != 0) {
            (bool funded,) = account.call{value: msg.value}("");
            if (!funded) revert ParticipantsFundingFailed(account, msg.value);
        }
    }

    /// @inheritdoc IParticipants
    function setRoles(address account, uint32 roles) external onlyRole(OPERATOR_ROLE) {
        Organisation storage own = _requireKnown(account);
        _requireRoles(roles);
        if (own.roles == roles) return;
        own.roles = roles;
        _record(abi.encode(RolesChanged.selector, account), abi.encode(_nextSeq(), roles));
    }

    /// @inheritdoc IParticipants
    function suspend(address account, string calldata reason) external onlyRole(OPERATOR_ROLE) {
        Organisation storage own = _requireKnown(account);
        if (own.status != Status.Active) revert ParticipantsNotActive(account);
        _requireText(bytes(reason).length, Limits.TEXT);
        own.status = Status.Suspended;
        _record(abi.encode(ParticipantSuspended.selector, account), abi.encode(_nextSeq(), reason));
    }

    /// @inheritdoc IParticipants
    function reinstate(address account, string calldata reason) external onlyRole(OPERATOR_ROLE) {
        Organisation storage own = _requireKnown(account);
        if (own.status != Status.Suspended) revert ParticipantsNotSuspended(account);
        _requireText(bytes(reason).length, Limits.TEXT);
        own.status = Status.Active;
        _record(abi.encode(ParticipantReinstated.selector, account), abi.encode(_nextSeq(), reason));
    }

    /// @inheritdoc IParticipants
    function setKeys(uint8 suite, bytes calldata signingKey, bytes32 boxKey, bytes calldata boxKeySignature)
        external
    {
        _requireSelf();
        if (_keys[msg.sender].length != 0) revert ParticipantsKeysExist(msg.sender);
        _pushKeys(suite, signingKey, boxKey, boxKeySignature, 0);
    }

    /// @inheritdoc IParticipants
    function rotateKeys(
        uint8 suite,
        bytes calldata signingKey,
        bytes32 boxKey,
        bytes calldata boxKeySignature,
        uint64 distrustedFrom
    ) external {
        _requireSelf();
        Keys[] storage own = _keys[msg.sender];
        uint256 count = own.length;
        if (count == 0) revert ParticipantsKeysMissing(msg.sender);
        if (count > Limits.KEY_ROTATIONS) revert ParticipantsTooManyKeys(msg.sender, Limits.KEY_ROTATIONS);
        own[count - 1].distrustedFrom = distrustedFrom;
        _pushKeys(suite, signingKey, boxKey, boxKeySignature, distrustedFrom);
    }

    /// @inheritdoc IParticipants
    /// @dev Setting the endpoint it has emits nothing.
    function setEndpoint(string calldata endpoint) external {
        Organisation storage own = _requireSelf();
        _requireText(bytes(endpoint).length, Limits.TEXT);
        if (keccak256(bytes(own.endpoint)) == keccak256(bytes(endpoint))) return;
        own.endpoint = endpoint;
        _record(abi.encode(EndpointSet.selector, msg.sender), abi.encode(_nextSeq(), endpoint));
    }

    /// @inheritdoc IParticipants
    function organisation(address account) external view returns (Organisation memory) {
        return _organisations[account];
    }

    /// @inheritdoc IParticipants
    function accountOf(bytes18 uscc) external view returns (address) {
        return _accounts[uscc];
    }

    /// @inheritdoc IParticipants
    function isActive(address account, uint32 roles) external view returns (bool) {
        Organisation storage own = _organisations[account];
        return own.status == Status.Active && own.roles & roles == roles;
    }

    /// @inheritdoc IParticipants
    function isOperator(address account) external view returns (bool) {
        return hasRole(OPERATOR_ROLE, account);
    }

    /// @inheritdoc IParticipants
    function keysAt(address account, uint64 blockNumber) external view returns (Keys memory) {
        Keys[] storage own = _keys[account];
        for (uint256 i = own.length; i > 0; --i) {
            if (own[i - 1].since <= blockNumber) return own[i - 1];
        }
        revert ParticipantsKeysMissing(account);
    }

    function _pushKeys(
        uint8 suite,
        bytes calldata signingKey,
        bytes32 boxKey,
        bytes calldata boxKeySignature,
        uint64 distrustedFrom
    ) private {
        if (!SigningKeys.isValid(suite, signingKey)) revert ParticipantsKeyInvalid(suite, signingKey.length);
        // an all-zero box key: suite 0 stands for X25519
        if (boxKey == 0) revert ParticipantsKeyInvalid(0, 32);
        _requireText(boxKeySignature.length, Limits.KEY_SIGNATURE);
        _keys[msg.sender].push(
            Keys({
                suite: suite,
                signingKey: signingKey,
                boxKey: boxKey,
                boxKeySignature: boxKeySignature,
                since: uint64(block.number),
                distrustedFrom: 0
            })
        );
        _record(
            abi.encode(KeysSet.selector, msg.sender),
            abi.encode(_nextSeq(), suite, signingKey, boxKey, boxKeySignature, distrustedFrom)
        );
    }

    function _requireKnown(address account) private view returns (Organisation storage own) {
        own = _organisations[account];
        if (own.status == Status.None) revert ParticipantsUnknown(account);
    }

    function _requireSelf() private view returns (Organisation storage own) {
        own = _requireKnown(msg.sender);
        if (own.status != Status.Active) revert ParticipantsNotActive(msg.sender);
    }

    function _requireRoles(uint32 roles) private pure {
        if (roles & ~Roles.ALL != 0) revert ParticipantsRolesInvalid(roles);
    }

    function _requireText(uint256 length, uint256 limit) private pure {
        if (length > limit) revert ParticipantsTextTooLong(length, limit);
    }
}
