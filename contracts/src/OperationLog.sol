// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Sequenced} from "./Sequenced.sol";
import {IOperationLog} from "./interfaces/IOperationLog.sol";
import {IParticipants} from "./interfaces/IParticipants.sol";

/// @title Heads of each participant's own operation log
contract OperationLog is Sequenced, IOperationLog {
    struct LogHead {
        uint64 size;
        bytes32 root;
    }

    IParticipants private immutable _participants;

    mapping(address account => LogHead) private _heads;

    constructor(IParticipants participants_) {
        _participants = participants_;
    }

    /// @inheritdoc IOperationLog
    function anchorHead(uint64 size, bytes32 root, bytes32 previous) external {
        if (!_participants.isActive(msg.sender, 0)) revert OperationLogNotActive(msg.sender);
        LogHead storage last = _heads[msg.sender];
        if (size <= last.size) revert OperationLogSizeNotGrown(msg.sender, size, last.size);
        if (previous != last.root) revert OperationLogPreviousMismatch(msg.sender, previous, last.root);
        (last.size, last.root) = (size, root);
        _record(
            abi.encode(LogHeadAnchored.selector, msg.sender), abi.encode(_nextSeq(), size, root, previous)
        );
    }

    /// @inheritdoc IOperationLog
    function lastHeadOf(address account) external view returns (uint64 size, bytes32 root) {
        LogHead storage last = _heads[account];
        return (last.size, last.root);
    }

    function participants() external view returns (IParticipants) {
        return _participants;
    }
}
