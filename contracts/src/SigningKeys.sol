// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Forms of public signing keys
library SigningKeys {
    uint8 internal constant ED25519 = 1;
    uint8 internal constant SM2 = 2;

    /// @return True for 32 bytes of Ed25519 or 65 bytes of SM2, uncompressed (04 || x || y).
    function isValid(uint8 suite, bytes calldata key) internal pure returns (bool) {
        if (suite == ED25519) return key.length == 32;
        return suite == SM2 && key.length == 65 && key[0] == 0x04;
    }
}
