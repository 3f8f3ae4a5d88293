// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ISequenced} from "./ISequenced.sol";

/// @title Heads of each participant's own operation log (RFC 9162); may stand on a second chain
interface IOperationLog is ISequenced {
    error OperationLogNotActive(address account);
    error OperationLogSizeNotGrown(address account, uint64 size, uint64 last);
    error OperationLogPreviousMismatch(address account, bytes32 previous, bytes32 expected);

    event LogHeadAnchored(address indexed account, uint64 seq, uint64 size, bytes32 root, bytes32 previous);

    /// @param size leaves in the log; only grows
    /// @param root over those leaves
    /// @param previous the root anchored before, zero for the first
    function anchorHead(uint64 size, bytes32 root, bytes32 previous) external;

    /// @return size of the last anchored head (0: none)
    /// @return root of the last anchored head
    function lastHeadOf(address account) external view returns (uint64 size, bytes32 root);
}
