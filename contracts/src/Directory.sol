// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

import {Sequenced} from "./Sequenced.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";

/// @title Directory of one contract set
contract Directory is Sequenced, Ownable2Step, IDirectory {
    bytes32 private immutable _genesisHash;
    uint32 private immutable _confirmations;
    bool private immutable _finalizedTag;

    mapping(bytes32 name => address) private _entries;

    constructor(bytes32 genesisHash_, uint32 confirmations_, bool finalizedTag_) Ownable(msg.sender) {
        _genesisHash = genesisHash_;
        _confirmations = confirmations_;
        _finalizedTag = finalizedTag_;
    }

    /// @inheritdoc IDirectory
    function setEntry(bytes32 name, address entry) external onlyOwner {
        if (entry == address(0)) revert DirectoryEntryEmpty(name);
        if (_entries[name] != address(0)) revert DirectoryEntryTaken(name, _entries[name]);
        _entries[name] = entry;
        _record(abi.encode(EntrySet.selector, name), abi.encode(_nextSeq(), entry));
    }

    /// @inheritdoc IDirectory
    function entryOf(bytes32 name) external view returns (address) {
        return _entries[name];
    }

    /// @inheritdoc IDirectory
    function genesisHash() external view returns (bytes32) {
        return _genesisHash;
    }

    /// @inheritdoc IDirectory
    function finality() external view returns (uint32 confirmations, bool finalizedTag) {
        return (_confirmations, _finalizedTag);
    }
}
