// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Identified} from "./Identified.sol";
import {Limits} from "./Limits.sol";
import {Rfc9162} from "./Rfc9162.sol";
import {Roles} from "./Roles.sol";
import {Sequenced} from "./Sequenced.sol";
import {SigningKeys} from "./SigningKeys.sol";
import {IDevices} from "./interfaces/IDevices.sol";
import {IParticipants} from "./interfaces/IParticipants.sol";
import {DeviceId, FleetId} from "./interfaces/Types.sol";

/// @title Device keys and batch anchors
contract Devices is Sequenced, Identified, IDevices {
    struct LastBatch {
        uint64 number;
        bytes32 framesRoot;
    }

    IParticipants private immutable _participants;

    mapping(DeviceId device => Device) private _devices;
    mapping(FleetId fleet => Fleet) private _fleets;
    mapping(address gateway => LastBatch) private _lastBatches;

    constructor(IParticipants participants_) {
        _participants = participants_;
    }

    /// @inheritdoc IDevices
    function enroll(DeviceId device, uint8 suite, bytes calldata publicKey, bytes32 modelHash) external {
        _requireActive(Roles.PROVIDER);
        _enroll(device, msg.sender, suite, publicKey, modelHash, FleetId.wrap(0));
    }

    /// @inheritdoc IDevices
    function enrollMany(bytes32 root, uint64 size, bytes32 modelHash) external returns (FleetId fleet) {
        _requireActive(Roles.PROVIDER);
        if (size == 0 || root == 0) revert DevicesFleetEmpty();
        fleet = FleetId.wrap(_newId());
        _fleets[fleet] = Fleet({owner: msg.sender, root: root, size: size, modelHash: modelHash});
        _record(
            abi.encode(DevicesEnrolled.selector, fleet, msg.sender), abi.encode(_nextSeq(), root, size, modelHash)
        );
    }

    /// @inheritdoc IDevices
    function proveEnrolled(
        FleetId fleet,
        DeviceId device,
        uint8 suite,
        bytes calldata publicKey,
        uint64 index,
        bytes32[] calldata proof
    ) external {
        Fleet storage known = _fleets[fleet];
        if (known.owner == address(0)) revert DevicesFleetUnknown(fleet);
        if (proof.length > Limits.LIST) revert DevicesListTooLong(proof.length, Limits.LIST);
        bytes32 leaf = Rfc9162.leafHash(abi.encode(device, suite, publicKey));
        if (!Rfc9162.isIncluded(leaf, index, known.size, proof, known.root)) revert DevicesProofInvalid(fleet, index);
        _enroll(device, known.owner, suite, publicKey, known.modelHash, fleet);
    }

    /// @inheritdoc IDevices
    function rotate(
        DeviceId device,
        uint8 suite,
        bytes calldata publicKey,
        uint32 overlapSeconds,
        uint64 distrustedFrom
    ) external {
        Device storage own = _requireOwn(device);
        _requireActive(Roles.PROVIDER);
        if (!SigningKeys.isValid(suite, publicKey)) revert DevicesKeyInvalid(suite, publicKey.length);
        own.suite = suite;
        own.publicKey = publicKey;
        own.overlapUntil = uint64(block.timestamp) + overlapSeconds;
        _recordOf(
            DeviceId.unwrap(device),
            abi.encode(DeviceRotated.selector, device),
            abi.encode(
                _nextSeq(),
                _nextSeqOf(DeviceId.unwrap(device)),
                suite,
                publicKey,
                own.overlapUntil,
                distrustedFrom
            )
        );
    }

    /// @inheritdoc IDevices
    function retire(DeviceId device) external {
        _requireOwn(device).status = DeviceStatus.Retired;
        _recordOf(
            DeviceId.unwrap(device),
            abi.encode(DeviceRetired.selector, device),
            abi.encode(_nextSeq(), _nextSeqOf(DeviceId.unwrap(device)))
        );
    }

    /// @inheritdoc IDevices
    function anchor(Batch calldata batch) external {
        _requireActive(Roles.GATEWAY);
        LastBatch storage last = _lastBatches[msg.sender];
        if (batch.number == 0 || batch.number - 1 != last.number) {
            revert DevicesBatchNumber(msg.sender, batch.number, last.number + 1);
        }
        if (batch.predecessor != last.framesRoot) {
            revert DevicesBatchPredecessor(msg.sender, batch.predecessor, last.framesRoot);
        }
        if (batch.size == 0 || batch.framesRoot == 0) revert DevicesBatchEmpty(msg.sender, batch.number);
        (last.number, last.framesRoot) = (batch.number, batch.framesRoot);
        _record(
            abi.encode(BatchAnchored.selector, msg.sender, batch.number), abi.encode(_nextSeq(), batch)
        );
    }

    /// @inheritdoc IDevices
    function deviceOf(DeviceId device) external view returns (Device memory) {
        return _devices[device];
    }

    /// @inheritdoc IDevices
    function fleetOf(FleetId fleet) external view returns (Fleet memory) {
        return _fleets[fleet];
    }

    /// @inheritdoc IDevices
    function lastBatchOf(address gateway) external view returns (uint64 number, bytes32 framesRoot) {
        LastBatch storage last = _lastBatches[gateway];
        return (last.number, last.framesRoot);
    }

    function participants() external view returns (IParticipants) {
        return _participants;
    }

    function _enroll(
        DeviceId device,
        address owner,
        uint8 suite,
        bytes calldata publicKey,
        bytes32 modelHash,
        FleetId fleet
    ) private {
        Device storage own = _devices[device];
        if (own.status != DeviceStatus.None) revert DevicesTaken(device);
        if (!SigningKeys.isValid(suite, publicKey)) revert DevicesKeyInvalid(suite, publicKey.length);
        own.owner = owner;
        own.status = DeviceStatus.Enrolled;
        own.suite = suite;
        own.publicKey = publicKey;
        own.modelHash = modelHash;
        _recordOf(
            DeviceId.unwrap(device),
            abi.encode(DeviceEnrolled.selector, device, owner),
            abi.encode(_nextSeq(), _nextSeqOf(DeviceId.unwrap(device)), suite, publicKey, modelHash, fleet)
        );
    }

    function _requireActive(uint32 role) private view {
        if (!_participants.isActive(msg.sender, role)) revert DevicesParticipantNotActive(msg.sender, role);
    }

    /// @dev The device is the caller's and not retired.
    function _requireOwn(DeviceId device) private view returns (Device storage own) {
        own = _devices[device];
        if (own.status == DeviceStatus.None) revert DevicesUnknown(device);
        if (own.owner != msg.sender) revert DevicesNotOwner(device, msg.sender);
        if (own.status == DeviceStatus.Retired) revert DevicesRetired(device);
    }
}
