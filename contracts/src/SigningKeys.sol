// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Forms of public signing keys
library SigningKeys {
    uint8 internal constant ED25519 = 1;
    uint8 internal constant SM2 = 2;

    /// @dev An uncompressed SM2 point (04 || x || y), and the longest user id behind it.
    uint256 private constant SM2_POINT = 65;
    uint256 private constant SM2_USER_ID = 64;

    /// @return True for 32 bytes of Ed25519, or for an uncompressed SM2 point followed by its user id of 1 to 64 bytes.
    function isValid(uint8 suite, bytes calldata key) internal pure returns (bool) {
        if (suite == ED25519) return key.length == 32;
        return suite == SM2 && key.length > SM2_POINT && key.length <= SM2_POINT + SM2_USER_ID && key[0] == 0x04;
    }
}
