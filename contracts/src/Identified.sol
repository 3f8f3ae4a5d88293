// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Ids that a reorganisation cannot point at something else
abstract contract Identified {
    mapping(address sender => uint256) private _counters;

    /// @dev One counter per sender serves all kinds of ids, so that no two ids of a contract are equal.
    function _newId() internal returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), msg.sender, _counters[msg.sender]++));
    }
}
