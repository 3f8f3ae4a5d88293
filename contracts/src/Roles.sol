// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Roles of an organisation, as bits
library Roles {
    uint32 internal constant PROVIDER = 1;
    uint32 internal constant BUYER = 2;
    uint32 internal constant CUSTODIAN = 4;
    uint32 internal constant COMPUTE = 8;
    uint32 internal constant GATEWAY = 16;
    uint32 internal constant REGULATOR = 32;
    uint32 internal constant ALL = 63;
}
