// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Events that can be shown to be complete
/// @notice Every event of a contract of the data space carries `seq`, which starts at 1 and has no gaps. The contract keeps
/// head' = keccak256(abi.encode(head, seq, eventHash)), where eventHash = keccak256(topic 0 .. topic n || data) of the log as
/// emitted and the first head is zero. An event about an asset or a device carries a second counter of that subject, and
/// the same head is kept for the subject within this contract.
/// @dev Storage layout is part of this interface, so that heads can be proven by `eth_getProof`: slot 0 head, slot 1 seq
/// (uint64), slot 2 mapping(bytes32 subject => {bytes32 head; uint64 seq}).
interface ISequenced {
    /// @return head_ running head over all events of this contract
    /// @return seq_ number of events so far
    function head() external view returns (bytes32 head_, uint64 seq_);

    /// @return head_ running head over the events of one asset or device
    /// @return seq_ number of its events so far
    function headOf(bytes32 subject) external view returns (bytes32 head_, uint64 seq_);
}
