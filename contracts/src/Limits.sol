// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Longest lists and texts that the contracts take
library Limits {
    /// each list of terms, a Merkle proof, live grants of one buyer on one asset
    uint256 internal constant LIST = 64;
    /// the provider and 32 custodians
    uint256 internal constant HOLDERS = 33;
    uint256 internal constant ORDER_GRANTS = 16;
    /// after the first keys
    uint256 internal constant KEY_ROTATIONS = 64;
    /// bytes
    uint256 internal constant TEXT = 256;
    uint256 internal constant KEY_SIGNATURE = 128;
    uint256 internal constant ORDER_SIGNATURE = 1024;
    uint256 internal constant SEALED_SHARE = 1024;
}
