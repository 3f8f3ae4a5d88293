// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ISequenced} from "./ISequenced.sol";
import {DeviceId, FleetId} from "./Types.sol";

/// @title Device keys and batch anchors
interface IDevices is ISequenced {
    enum DeviceStatus { None, Enrolled, Retired }

    /// @dev suites as in IParticipants. After a rotation the replaced key still counts until `overlapUntil` (unix seconds).
    struct Device {
        address owner;
        DeviceStatus status;
        uint8 suite;
        bytes publicKey;
        bytes32 modelHash;
        uint64 overlapUntil;
    }

    struct Fleet {
        address owner;
        bytes32 root;
        uint64 size;
        bytes32 modelHash;
    }

    /// @dev All roots are RFC 9162 trees over SHA-256. `predecessor` is the frames root of the gateway's previous batch, zero
    /// for its first; `size` is the number of frames.
    struct Batch {
        uint64 number;
        bytes32 predecessor;
        uint64 size;
        bytes32 framesRoot;
        bytes32 indexRoot;
        bytes32 incidentsRoot;
    }

    error DevicesParticipantNotActive(address account, uint32 roles);
    error DevicesTaken(DeviceId device);
    error DevicesUnknown(DeviceId device);
    error DevicesNotOwner(DeviceId device, address caller);
    error DevicesRetired(DeviceId device);
    error DevicesKeyInvalid(uint8 suite, uint256 length);
    error DevicesFleetUnknown(FleetId fleet);
    error DevicesFleetEmpty();
    error DevicesProofInvalid(FleetId fleet, uint64 index);
    error DevicesBatchNumber(address gateway, uint64 number, uint64 expected);
    error DevicesBatchPredecessor(address gateway, bytes32 predecessor, bytes32 expected);
    error DevicesBatchEmpty(address gateway, uint64 number);
    error DevicesListTooLong(uint256 length, uint256 limit);

    event DeviceEnrolled(
        DeviceId indexed device,
        address indexed owner,
        uint64 seq,
        uint64 deviceSeq,
        uint8 suite,
        bytes publicKey,
        bytes32 modelHash,
        FleetId fleet
    );
    event DevicesEnrolled(
        FleetId indexed fleet, address indexed owner, uint64 seq, bytes32 root, uint64 size, bytes32 modelHash
    );
    event DeviceRotated(
        DeviceId indexed device,
        uint64 seq,
        uint64 deviceSeq,
        uint8 suite,
        bytes publicKey,
        uint64 overlapUntil,
        uint64 distrustedFrom
    );
    event DeviceRetired(DeviceId indexed device, uint64 seq, uint64 deviceSeq);
    event BatchAnchored(address indexed gateway, uint64 indexed number, uint64 seq, Batch batch);

    /// @notice Owner (an active provider).
    function enroll(DeviceId device, uint8 suite, bytes calldata publicKey, bytes32 modelHash) external;
    /// @notice Enrols a fleet by the RFC 9162 root of its device keys; leaf data = abi.encode(device, suite, publicKey).
    function enrollMany(bytes32 root, uint64 size, bytes32 modelHash) external returns (FleetId);
    /// @notice Proves one key of a fleet, before its first use or later; anyone may.
    function proveEnrolled(
        FleetId fleet, DeviceId device, uint8 suite, bytes calldata publicKey, uint64 index, bytes32[] calldata proof
    ) external;
    /// @param overlapSeconds how long the replaced key still counts
    /// @param distrustedFrom unix seconds after which signatures under the replaced key count for nothing; or zero
    function rotate(
        DeviceId device, uint8 suite, bytes calldata publicKey, uint32 overlapSeconds, uint64 distrustedFrom
    ) external;
    function retire(DeviceId device) external;

    /// @notice Gateway: anchors its next batch.
    function anchor(Batch calldata batch) external;

    function deviceOf(DeviceId device) external view returns (Device memory);
    function fleetOf(FleetId fleet) external view returns (Fleet memory);
    /// @return number of the gateway's last batch (0: none)
    /// @return framesRoot of that batch
    function lastBatchOf(address gateway) external view returns (uint64 number, bytes32 framesRoot);
}
