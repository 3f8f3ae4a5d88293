"""What the chain enforces of a policy: the struct `Terms` of the contracts, with the same hash.

Invariant: `Terms.hash` equals what the contracts compute, SHA-256 over "dataspace/terms/1", a zero byte and
`abi.encode(terms)`. A value of UNLIMITED_U32 or UNLIMITED_U64 means without limit, zero means none; an empty list
means anyone, but an empty `buyers` means anyone who has a role in `buyer_roles`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from capsule.canonical import Json
from capsule.digest import tagged
from capsule.errors import InputError
from capsule.ids import Address, Digest

__all__ = ["MAX_LIST", "MAX_PURPOSE_BYTES", "UNLIMITED_U32", "UNLIMITED_U64", "Terms"]

UNLIMITED_U32: Final = 2**32 - 1
UNLIMITED_U64: Final = 2**64 - 1
MAX_LIST: Final = 64
MAX_PURPOSE_BYTES: Final = 256

_ABI_TYPE: Final = (
    "(uint16,uint64,uint64,string[],bytes32[],address[],uint32,address[],address[],uint8,bool,"
    "uint64,uint64,uint32,uint32,uint32,uint64,bool,bool,bool)"
)
_BITS: Final = {
    "compiler": 16,
    "not_before": 64,
    "not_after": 64,
    "buyer_roles": 32,
    "least_threshold": 8,
    "seconds_per_grant": 64,
    "seconds_per_use": 64,
    "uses_per_grant": 32,
    "uses_per_buyer": 32,
    "uses_total": 32,
    "rows_per_buyer": 64,
}
_LISTS: Final = ("purposes", "algorithms", "buyers", "compute_nodes", "holders")
_CEILINGS: Final = (
    "not_after",
    "seconds_per_grant",
    "seconds_per_use",
    "uses_per_grant",
    "uses_per_buyer",
    "uses_total",
    "rows_per_buyer",
    "automatic_grant",
    "compute_by_buyer",
    "compute_by_custodian",
)
_FLOORS: Final = ("not_before", "least_threshold", "provider_share_required")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """One version's or grant's terms. Times in unix seconds: open from `not_before` until before `not_after`."""

    compiler: int
    not_before: int
    not_after: int
    purposes: tuple[str, ...]
    algorithms: tuple[Digest, ...]
    buyers: tuple[Address, ...]
    buyer_roles: int
    compute_nodes: tuple[Address, ...]
    holders: tuple[Address, ...]
    least_threshold: int
    provider_share_required: bool
    seconds_per_grant: int
    seconds_per_use: int
    uses_per_grant: int
    uses_per_buyer: int
    uses_total: int
    rows_per_buyer: int
    automatic_grant: bool
    compute_by_buyer: bool
    compute_by_custodian: bool

    def __post_init__(self) -> None:
        for name, bits in _BITS.items():
            if not 0 <= getattr(self, name) < 2**bits:
                raise InputError(f"terms: {name} is not a uint{bits}")
        for name in _LISTS:
            if len(getattr(self, name)) > MAX_LIST:
                raise InputError(f"terms: {name} lists more than {MAX_LIST}")
        try:
            longest = max((len(purpose.encode()) for purpose in self.purposes), default=0)
        except UnicodeEncodeError as exc:
            raise InputError("terms: a purpose holds half of a surrogate pair") from exc
        if longest > MAX_PURPOSE_BYTES:
            raise InputError(f"terms: a purpose is longer than {MAX_PURPOSE_BYTES} bytes")

    @property
    def hash(self) -> Digest:
        """As the contracts' `hashTerms`."""
        # here, since eth-abi costs 0.15 s of the start of runtimes, which compile policies and hash no terms
        from eth_abi.abi import encode as abi_encode  # noqa: PLC0415

        return tagged("terms", abi_encode([_ABI_TYPE], [self._values()]))

    def _values(self) -> tuple[object, ...]:
        return (
            self.compiler,
            self.not_before,
            self.not_after,
            self.purposes,
            self.algorithms,
            tuple(bytes(account) for account in self.buyers),
            self.buyer_roles,
            tuple(bytes(account) for account in self.compute_nodes),
            tuple(bytes(account) for account in self.holders),
            self.least_threshold,
            self.provider_share_required,
            self.seconds_per_grant,
            self.seconds_per_use,
            self.uses_per_grant,
            self.uses_per_buyer,
            self.uses_total,
            self.rows_per_buyer,
            self.automatic_grant,
            self.compute_by_buyer,
            self.compute_by_custodian,
        )

    def wider_than(self, other: Terms) -> tuple[str, ...]:
        """Names of the fields in which these terms allow what `other` does not; empty when they only narrow it.

        A buyer listed here is within `other` when `other` lists it, or lists nobody and goes by role alone; that it
        has the role is the ledger's to check.
        """
        wider = [name for name in _CEILINGS if getattr(self, name) > getattr(other, name)]
        wider += [name for name in _FLOORS if getattr(self, name) < getattr(other, name)]
        wider += [
            name
            for name in ("purposes", "algorithms", "compute_nodes", "holders")
            if getattr(other, name)
            and not (getattr(self, name) and set(getattr(self, name)) <= set(getattr(other, name)))
        ]
        by_role_alone = not other.buyers and other.buyer_roles
        if not by_role_alone and not set(self.buyers) <= set(other.buyers):
            wider.append("buyers")
        if self.buyer_roles & ~other.buyer_roles:
            wider.append("buyer_roles")
        if self.compiler != other.compiler:
            wider.append("compiler")
        return tuple(wider)

    def narrows(self, other: Terms) -> bool:
        """Whether these terms allow nothing that `other` does not; equal terms do."""
        return not self.wider_than(other)

    def to_json(self) -> dict[str, Json]:
        """For people and for documents that travel: 64-bit numbers as decimal text, ids as hex."""
        document: dict[str, Json] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            if name in _LISTS:
                document[name] = [str(item) for item in value]
            else:
                document[name] = str(value) if _BITS.get(name) == 64 else value
        return document
