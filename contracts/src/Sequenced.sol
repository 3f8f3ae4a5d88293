// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ISequenced} from "./interfaces/ISequenced.sol";

/// @title The one place where events of the data space are logged
/// @notice Logs an event and carries the heads forward over exactly the bytes that were logged.
/// @dev Must be the first base of a contract: slots 0, 1 and 2 are part of ISequenced. Callers encode an event themselves,
/// `topics` as abi.encode(selector, indexed arguments) and `data` as abi.encode(all other arguments), with `_nextSeq()` and,
/// for a subject, `_nextSeqOf(subject)` in their places.
abstract contract Sequenced is ISequenced {
    struct Head {
        bytes32 head;
        uint64 seq;
    }

    bytes32 private _head;
    uint64 private _seq;
    mapping(bytes32 subject => Head) private _subjects;

    /// @inheritdoc ISequenced
    function head() external view returns (bytes32 head_, uint64 seq_) {
        return (_head, _seq);
    }

    /// @inheritdoc ISequenced
    function headOf(bytes32 subject) external view returns (bytes32 head_, uint64 seq_) {
        Head storage own = _subjects[subject];
        return (own.head, own.seq);
    }

    function _nextSeq() internal view returns (uint64) {
        return _seq + 1;
    }

    function _nextSeqOf(bytes32 subject) internal view returns (uint64) {
        return _subjects[subject].seq + 1;
    }

    /// @dev An event that is about no asset and no device.
    function _record(bytes memory topics, bytes memory data) internal {
        _log(topics, data);
    }

    /// @dev An event about one asset or device.
    function _recordOf(bytes32 subject, bytes memory topics, bytes memory data) internal {
        bytes32 eventHash = _log(topics, data);
        Head storage own = _subjects[subject];
        uint64 seq = own.seq + 1;
        (own.head, own.seq) = (keccak256(abi.encode(own.head, seq, eventHash)), seq);
    }

    function _log(bytes memory topics, bytes memory data) private returns (bytes32 eventHash) {
        eventHash = keccak256(bytes.concat(topics, data));
        uint64 seq = _seq + 1;
        (_head, _seq) = (keccak256(abi.encode(_head, seq, eventHash)), seq);
        assembly ("memory-safe") {
            let start := add(data, 32)
            let size := mload(data)
            switch mload(topics)
            case 32 { log1(start, size, mload(add(topics, 32))) }
            case 64 { log2(start, size, mload(add(topics, 32)), mload(add(topics, 64))) }
            case 96 { log3(start, size, mload(add(topics, 32)), mload(add(topics, 64)), mload(add(topics, 96))) }
            default {
                log4(
                    start,
                    size,
                    mload(add(topics, 32)),
                    mload(add(topics, 64)),
                    mload(add(topics, 96)),
                    mload(add(topics, 128))
                )
            }
        }
    }
}
