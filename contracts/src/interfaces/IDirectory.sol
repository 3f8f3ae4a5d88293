// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ISequenced} from "./ISequenced.sol";

/// @title Directory of one contract set
/// @notice Names are written once. A node pins chain id, genesis hash and the address of this contract. The admin is
/// replaced in two steps (Ownable2Step).
interface IDirectory is ISequenced {
    error DirectoryEntryTaken(bytes32 name, address entry);
    error DirectoryEntryEmpty(bytes32 name);

    event EntrySet(bytes32 indexed name, uint64 seq, address entry);

    /// @notice Writes an entry, once. Names: "Participants", "Assets", "Access", "Devices", "OperationLog" (ASCII, right padded).
    function setEntry(bytes32 name, address entry) external;

    function entryOf(bytes32 name) external view returns (address);

    /// @notice Hash of block 0 as the deployer saw it.
    function genesisHash() external view returns (bytes32);

    /// @notice The finality rule: a block is final with this many blocks on top of it, or, where `finalizedTag`, when the
    /// endpoint's `finalized` block has reached it.
    function finality() external view returns (uint32 confirmations, bool finalizedTag);
}
