// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Terms} from "./interfaces/Types.sol";

/// @title Hash, sizes and order of terms
library TermsLibrary {
    /// @dev See IAssets.Version.
    function hash(Terms calldata terms) internal pure returns (bytes32) {
        return sha256(abi.encodePacked("dataspace/terms/1", bytes1(0), abi.encode(terms)));
    }

    /// @return longest Items of the longest list.
    function longestList(Terms calldata terms) internal pure returns (uint256 longest) {
        longest = terms.purposes.length;
        if (terms.algorithms.length > longest) longest = terms.algorithms.length;
        if (terms.buyers.length > longest) longest = terms.buyers.length;
        if (terms.computeNodes.length > longest) longest = terms.computeNodes.length;
        if (terms.holders.length > longest) longest = terms.holders.length;
    }

    /// @return longest Bytes of the longest purpose.
    function longestText(Terms calldata terms) internal pure returns (uint256 longest) {
        for (uint256 i = 0; i < terms.purposes.length; ++i) {
            if (bytes(terms.purposes[i]).length > longest) longest = bytes(terms.purposes[i]).length;
        }
    }

    /// @return field Name of the first field in which `granted` allows what `terms` does not; empty when there is none.
    /// @dev A listed buyer is no wider where the terms list nobody and go by role alone; that it has the role is checked
    /// where the buyer is.
    function widerField(Terms calldata granted, Terms calldata terms) internal pure returns (string memory field) {
        if (granted.compiler != terms.compiler) return "compiler";
        if (granted.notBefore < terms.notBefore) return "notBefore";
        if (granted.notAfter > terms.notAfter) return "notAfter";
        if (!_purposesWithin(granted.purposes, terms.purposes)) return "purposes";
        if (!_listWithin(granted.algorithms, terms.algorithms)) return "algorithms";
        if (
            (terms.buyers.length != 0 || terms.buyerRoles == 0)
                && !_within(_words(granted.buyers), _words(terms.buyers))
        ) return "buyers";
        if (granted.buyerRoles & ~terms.buyerRoles != 0) return "buyerRoles";
        if (!_listWithin(_words(granted.computeNodes), _words(terms.computeNodes))) return "computeNodes";
        if (!_listWithin(_words(granted.holders), _words(terms.holders))) return "holders";
        if (granted.leastThreshold < terms.leastThreshold) return "leastThreshold";
        if (!granted.providerShareRequired && terms.providerShareRequired) return "providerShareRequired";
        if (granted.secondsPerGrant > terms.secondsPerGrant) return "secondsPerGrant";
        if (granted.secondsPerUse > terms.secondsPerUse) return "secondsPerUse";
        if (granted.usesPerGrant > terms.usesPerGrant) return "usesPerGrant";
        if (granted.usesPerBuyer > terms.usesPerBuyer) return "usesPerBuyer";
        if (granted.usesTotal > terms.usesTotal) return "usesTotal";
        if (granted.rowsPerBuyer > terms.rowsPerBuyer) return "rowsPerBuyer";
        if (granted.automaticGrant && !terms.automaticGrant) return "automaticGrant";
        if (granted.computeByBuyer && !terms.computeByBuyer) return "computeByBuyer";
        if (granted.computeByCustodian && !terms.computeByCustodian) return "computeByCustodian";
    }

    /// @dev True when the list is empty or has the item.
    function allows(bytes32[] calldata list, bytes32 item) internal pure returns (bool) {
        return list.length == 0 || _has(list, item);
    }

    /// @dev True when the list is empty or has the account.
    function allows(address[] calldata list, address account) internal pure returns (bool) {
        return list.length == 0 || has(list, account);
    }

    /// @dev True when the list is empty or has a text of this hash.
    function allows(string[] calldata list, bytes32 textHash) internal pure returns (bool) {
        return list.length == 0 || _hasText(list, textHash);
    }

    function has(address[] calldata list, address account) internal pure returns (bool) {
        return _has(_words(list), bytes32(uint256(uint160(account))));
    }

    function _listWithin(bytes32[] calldata inner, bytes32[] calldata outer) private pure returns (bool) {
        return outer.length == 0 || (inner.length != 0 && _within(inner, outer));
    }

    function _within(bytes32[] calldata inner, bytes32[] calldata outer) private pure returns (bool) {
        for (uint256 i = 0; i < inner.length; ++i) {
            if (!_has(outer, inner[i])) return false;
        }
        return true;
    }

    function _purposesWithin(string[] calldata inner, string[] calldata outer) private pure returns (bool) {
        if (outer.length == 0) return true;
        for (uint256 i = 0; i < inner.length; ++i) {
            if (!_hasText(outer, keccak256(bytes(inner[i])))) return false;
        }
        return inner.length != 0;
    }

    function _has(bytes32[] calldata list, bytes32 item) private pure returns (bool) {
        for (uint256 i = 0; i < list.length; ++i) {
            if (list[i] == item) return true;
        }
        return false;
    }

    function _hasText(string[] calldata list, bytes32 textHash) private pure returns (bool) {
        for (uint256 i = 0; i < list.length; ++i) {
            if (keccak256(bytes(list[i])) == textHash) return true;
        }
        return false;
    }

    /// @dev Accounts as words. Terms were hashed before, which refuses an address with dirty upper bits.
    function _words(address[] calldata list) private pure returns (bytes32[] calldata words) {
        assembly ("memory-safe") {
            words.offset := list.offset
            words.length := list.length
        }
    }
}
