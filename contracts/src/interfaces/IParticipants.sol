// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ISequenced} from "./ISequenced.sol";

/// @title Organisations, their roles, status, endpoint and keys
/// @notice One unified social credit code (GB 32100) is bound to one account, for good. Operators hold OPERATOR_ROLE
/// (OpenZeppelin AccessControlDefaultAdminRules: the admin is replaced in two steps).
interface IParticipants is ISequenced {
    enum Status { None, Active, Suspended }

    struct Organisation {
        bytes18 uscc;
        Status status;
        uint32 roles;
        bytes32 identityHash;
        string endpoint;
    }

    /// @dev suite 1: Ed25519 (32 bytes, RFC 8032); suite 2: SM2 (GB/T 32918.2), 04 || x || y || user id, the user id 1 to 64
    /// bytes. Whether it is a point of the curve, readers check. The key serves from block `since` until the next one's
    /// `since`. `distrustedFrom`, if not zero: signatures after this time count for nothing.
    struct Keys {
        uint8 suite;
        bytes signingKey;
        bytes32 boxKey;
        bytes boxKeySignature;
        uint64 since;
        uint64 distrustedFrom;
    }

    error ParticipantsCodeInvalid(bytes18 uscc);
    error ParticipantsCodeTaken(bytes18 uscc, address account);
    error ParticipantsAccountTaken(address account);
    error ParticipantsAccountZero();
    error ParticipantsRolesInvalid(uint32 roles);
    error ParticipantsUnknown(address account);
    error ParticipantsNotActive(address account);
    error ParticipantsNotSuspended(address account);
    error ParticipantsKeysExist(address account);
    error ParticipantsKeysMissing(address account);
    error ParticipantsKeyInvalid(uint8 suite, uint256 length);
    error ParticipantsTooManyKeys(address account, uint256 limit);
    error ParticipantsTextTooLong(uint256 length, uint256 limit);
    error ParticipantsFundingFailed(address account, uint256 value);

    event ParticipantAdmitted(
        address indexed account, bytes18 indexed uscc, uint64 seq, bytes32 identityHash, uint32 roles, uint256 funded
    );
    event RolesChanged(address indexed account, uint64 seq, uint32 roles);
    event ParticipantSuspended(address indexed account, uint64 seq, string reason);
    event ParticipantReinstated(address indexed account, uint64 seq, string reason);
    event KeysSet(
        address indexed account,
        uint64 seq,
        uint8 suite,
        bytes signingKey,
        bytes32 boxKey,
        bytes boxKeySignature,
        uint64 distrustedFrom
    );
    event EndpointSet(address indexed account, uint64 seq, string endpoint);

    /// @notice Operator: admits an organisation and forwards the value sent to its account.
    /// @param roles bits: 1 provider, 2 buyer, 4 custodian, 8 compute node, 16 gateway, 32 regulator
    function admit(address account, bytes18 uscc, bytes32 identityHash, uint32 roles) external payable;
    /// @notice Operator. Setting the roles it has emits nothing.
    function setRoles(address account, uint32 roles) external;
    /// @notice Operator.
    function suspend(address account, string calldata reason) external;
    /// @notice Operator.
    function reinstate(address account, string calldata reason) external;

    /// @notice The organisation's first keys. `boxKeySignature` is its signing key's over the digest of the box key
    /// (docs/formats.md); readers verify it, the chain does not.
    function setKeys(uint8 suite, bytes calldata signingKey, bytes32 boxKey, bytes calldata boxKeySignature) external;
    /// @param distrustedFrom unix seconds after which signatures under the replaced key count for nothing; zero for a
    /// rotation without compromise
    function rotateKeys(
        uint8 suite,
        bytes calldata signingKey,
        bytes32 boxKey,
        bytes calldata boxKeySignature,
        uint64 distrustedFrom
    ) external;
    function setEndpoint(string calldata endpoint) external;

    function organisation(address account) external view returns (Organisation memory);
    function accountOf(bytes18 uscc) external view returns (address);
    /// @notice True when the account is active and has all of these roles.
    function isActive(address account, uint32 roles) external view returns (bool);
    function isOperator(address account) external view returns (bool);
    /// @notice The keys that served at a block; reverts with ParticipantsKeysMissing when there were none.
    function keysAt(address account, uint64 blockNumber) external view returns (Keys memory);
}
