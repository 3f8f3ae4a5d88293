"""The data key of a capsule and how it is cut into parts.

The data key is the provider part XOR the quorum part. The quorum part is shared k of n over GF(2^128); indexes run from
1 to n. Where the provider is not required, its part is 16 zero bytes. With k = 1 every share is the quorum part
itself: one custodian alone (and the provider, where required) then opens the capsule.

Shares have no integrity of their own: a wrong one gives a wrong key in silence. Check each against its commitment
before, and the key against its commitment after.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from Crypto.Protocol.SecretSharing import Shamir

from capsule.crypto.provider import provider
from capsule.errors import InputError, VerificationError

__all__ = [
    "KEY_SIZE",
    "MAX_CUSTODIANS",
    "NO_PROVIDER_PART",
    "DataKey",
    "Parts",
    "combine",
    "deal_parts",
    "key_commitment",
    "verify_key_commitment",
]

KEY_SIZE: Final = 16
MAX_CUSTODIANS: Final = 32
NO_PROVIDER_PART: Final = bytes(KEY_SIZE)

_COMMIT: Final = b"dsc1 commit"


@dataclass(frozen=True, slots=True)
class DataKey:
    """16 bytes that open one capsule. Lives in memory only."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.secret, bytes) or len(self.secret) != KEY_SIZE:
            raise InputError(f"a data key has {KEY_SIZE} bytes")

    @classmethod
    def generate(cls, entropy: Callable[[int], bytes]) -> DataKey:
        return cls(entropy(KEY_SIZE))


@dataclass(frozen=True, slots=True)
class Parts:
    """A data key cut for its holders: the provider's part, and the shares of custodians 1 to n in order."""

    provider_part: bytes = field(repr=False)
    shares: tuple[bytes, ...] = field(repr=False)


def deal_parts(
    data_key: DataKey, threshold: int, count: int, provider_required: bool, entropy: Callable[[int], bytes]
) -> Parts:
    """Cuts a key for `count` custodians of whom `threshold` suffice; each call cuts it anew.

    The polynomial's coefficients come from the sharing library's own generator, the provider part from `entropy`.
    """
    if not 1 <= threshold <= count <= MAX_CUSTODIANS:
        raise InputError(f"threshold {threshold} of {count} custodians is not 1 <= k <= n <= {MAX_CUSTODIANS}")
    provider_part = entropy(KEY_SIZE) if provider_required else NO_PROVIDER_PART
    if len(provider_part) != KEY_SIZE:
        raise InputError(f"entropy gave {len(provider_part)} bytes instead of {KEY_SIZE}")
    quorum_part = _xor(data_key.secret, provider_part)
    return Parts(provider_part, tuple(share for _, share in Shamir.split(threshold, count, quorum_part, ssss=False)))


def combine(provider_part: bytes, shares: Mapping[int, bytes], threshold: int) -> DataKey:
    """The data key from the provider part and at least `threshold` shares by index.

    Takes the lowest `threshold` indexes. The result is unchecked: see `verify_key_commitment`. Raises InputError for
    too few shares, an index outside 1 to 32 and parts that have not 16 bytes.
    """
    if threshold < 1 or len(shares) < threshold:
        raise InputError(f"{len(shares)} shares where {threshold} are needed")
    if any(not 1 <= index <= MAX_CUSTODIANS for index in shares):
        raise InputError(f"share indexes run from 1 to {MAX_CUSTODIANS}")
    if len(provider_part) != KEY_SIZE or any(len(share) != KEY_SIZE for share in shares.values()):
        raise InputError(f"parts and shares have {KEY_SIZE} bytes")
    chosen = [(index, shares[index]) for index in sorted(shares)[:threshold]]
    return DataKey(_xor(provider_part, Shamir.combine(chosen, ssss=False)))


def key_commitment(data_key: DataKey) -> bytes:
    """HMAC-SM3(data key, "dsc1 commit"): binds a capsule to one key, which GCM alone does not."""
    return provider().hmac_sm3(data_key.secret, _COMMIT)


def verify_key_commitment(data_key: DataKey, commitment: bytes) -> DataKey:
    """Returns the key when it is the committed one; VerificationError otherwise."""
    if not hmac.compare_digest(key_commitment(data_key), commitment):
        raise VerificationError("data key is not the one committed to", f"commitment 0x{commitment.hex()}")
    return data_key


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(left, right, strict=True))
