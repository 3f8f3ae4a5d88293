// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Unified social credit codes (GB 32100)
library Uscc {
    bytes private constant ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY";

    /// @return True when all 18 characters are of the alphabet and the last one checks the 17 before it.
    function isValid(bytes18 code) internal pure returns (bool) {
        uint256 sum;
        uint256 weight = 1;
        for (uint256 i = 0; i < 17; ++i) {
            uint256 value = _value(code[i]);
            if (value == 31) return false;
            sum += value * weight;
            weight = (weight * 3) % 31;
        }
        return _value(code[17]) == (31 - (sum % 31)) % 31;
    }

    /// @return Position in the alphabet, 31 for a character outside.
    function _value(bytes1 character) private pure returns (uint256) {
        bytes memory alphabet = ALPHABET;
        for (uint256 i = 0; i < 31; ++i) {
            if (alphabet[i] == character) return i;
        }
        return 31;
    }
}
