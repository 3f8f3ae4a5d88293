// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Merkle trees of RFC 9162 over SHA-256
library Rfc9162 {
    /// @dev Section 2.1.1: leaves and nodes are told apart by their prefix.
    function leafHash(bytes memory data) internal pure returns (bytes32) {
        return sha256(bytes.concat(hex"00", data));
    }

    /// @dev Section 2.1.3.2.
    function isIncluded(bytes32 leaf, uint64 index, uint64 size, bytes32[] calldata proof, bytes32 root)
        internal
        pure
        returns (bool)
    {
        if (index >= size) return false;
        uint64 node = index;
        uint64 last = size - 1;
        bytes32 hash = leaf;
        for (uint256 i = 0; i < proof.length; ++i) {
            if (last == 0) return false;
            if (node & 1 == 1 || node == last) {
                hash = sha256(abi.encodePacked(hex"01", proof[i], hash));
                while (node & 1 == 0 && node != 0) {
                    node >>= 1;
                    last >>= 1;
                }
            } else {
                hash = sha256(abi.encodePacked(hex"01", hash, proof[i]));
            }
            node >>= 1;
            last >>= 1;
        }
        return last == 0 && hash == root;
    }
}
