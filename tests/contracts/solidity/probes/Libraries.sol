// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Rfc9162} from "../../../../contracts/src/Rfc9162.sol";
import {Uscc} from "../../../../contracts/src/Uscc.sol";

/// @title Opens internal libraries to published vectors
contract Libraries {
    function isIncluded(bytes32 leaf, uint64 index, uint64 size, bytes32[] calldata proof, bytes32 root)
        external
        pure
        returns (bool)
    {
        return Rfc9162.isIncluded(leaf, index, size, proof, root);
    }

    function leafHash(bytes calldata data) external pure returns (bytes32) {
        return Rfc9162.leafHash(data);
    }

    function isCode(bytes18 uscc) external pure returns (bool) {
        return Uscc.isValid(uscc);
    }
}
