// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @dev Ids are keccak256(abi.encode(chain id, contract, sender, sender's counter)), never bare counters, so that a
/// reorganisation cannot point an id at something else. Device ids are random and chosen by the owner.
type AssetId is bytes32;
type OpeningId is bytes32;
type RequestId is bytes32;
type GrantId is bytes32;
type UseId is bytes32;
type DeviceId is bytes32;
type FleetId is bytes32;

/// @notice What the chain enforces of a policy. `type(uintN).max` means without limit, zero means none; an empty list
/// means anyone (for `buyers`: anyone who has a role in `buyerRoles`). No list is longer than 64.
struct Terms {
    /// version of the compiler that derived these terms from the policy
    uint16 compiler;
    /// unix seconds; access is open from `notBefore` (inclusive) until `notAfter` (exclusive)
    uint64 notBefore;
    uint64 notAfter;
    string[] purposes;
    bytes32[] algorithms;
    address[] buyers;
    /// a buyer not in `buyers` passes when it has one of these roles; zero closes this way in
    uint32 buyerRoles;
    address[] computeNodes;
    /// custodians that a deal may name
    address[] holders;
    uint8 leastThreshold;
    bool providerShareRequired;
    uint64 secondsPerGrant;
    uint64 secondsPerUse;
    uint32 usesPerGrant;
    uint32 usesPerBuyer;
    uint32 usesTotal;
    uint64 rowsPerBuyer;
    /// a fitting request is granted in the same transaction
    bool automaticGrant;
    /// exceptions: the compute node may be the grant's buyer, or a custodian of the deal
    bool computeByBuyer;
    bool computeByCustodian;
}
