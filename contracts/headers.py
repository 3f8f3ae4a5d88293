"""Block headers: their RLP, their hash, and the seals of QBFT validators in Besu's format. Pure.

A QBFT header's extra data is RLP of [vanity, validators, vote, round, commit seals]. The block's hash leaves out seals
and round; a validator seals the hash of the header with its round and without seals. `verify_*` return what was
verified or raise ChainIntegrityError.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import rlp
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException

from capsule.errors import InputError
from capsule.ids import Address, Digest
from contracts.errors import ChainIntegrityError
from contracts.nesting import read_nested

__all__ = [
    "QBFT_MIX_HASH",
    "Extra",
    "Header",
    "Sealed",
    "follow_seals",
    "quorum",
    "read_extra",
    "seal_digest",
    "verify_seals",
]

# Besu writes this where other chains have randomness: the block is sealed by BFT validators.
QBFT_MIX_HASH: Final = Digest(bytes.fromhex("63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"))

_LEAST_FIELDS: Final = 15
_EXTRA: Final = 12
_MIX_HASH: Final = 13
_MAX_VALIDATORS: Final = 1_000
_HEADER_DEPTH: Final = 1
_EXTRA_DEPTH: Final = 2


@dataclass(frozen=True, slots=True)
class Header:
    """A block's header: `encoded` is its RLP with all seals, the rest is read from it."""

    encoded: bytes
    number: int
    hash: Digest
    parent_hash: Digest
    timestamp: int
    state_root: Digest
    receipts_root: Digest
    mix_hash: bytes

    @classmethod
    def read(cls, encoded: bytes) -> Header:
        """Raises ChainIntegrityError for bytes that are no header, or not its only encoding."""
        fields = _fields(encoded)
        try:
            return cls(
                encoded=encoded,
                number=_number(fields[8]),
                hash=_hash(fields),
                parent_hash=Digest(fields[0]),
                timestamp=_number(fields[11]),
                state_root=Digest(fields[3]),
                receipts_root=Digest(fields[5]),
                mix_hash=fields[_MIX_HASH],
            )
        except (InputError, TypeError) as error:
            raise ChainIntegrityError("a header has fields of the wrong length") from error


@dataclass(frozen=True, slots=True)
class Extra:
    """A QBFT header's extra data. `vote` is empty, or a proposed validator and whether to add it."""

    vanity: bytes
    validators: tuple[Address, ...]
    vote: tuple[Address, bool] | None
    round: int
    seals: tuple[bytes, ...]

    def encode(self, *, with_round: bool = True, with_seals: bool = True) -> bytes:
        """As Besu writes it; without round and seals as the block's hash covers it."""
        vote = [] if self.vote is None else [bytes(self.vote[0]), b"\xff" if self.vote[1] else b""]
        number = self.round if with_round else 0
        encoded: bytes = rlp.encode(
            [
                self.vanity,
                [bytes(validator) for validator in self.validators],
                vote,
                number.to_bytes((number.bit_length() + 7) // 8, "big"),
                list(self.seals) if with_seals else [],
            ]
        )
        return encoded


@dataclass(frozen=True, slots=True)
class Sealed:
    """Who sealed a header, and the validators of its block, who count for what comes after it."""

    sealers: tuple[Address, ...]
    validators: frozenset[Address]


def quorum(validators: int) -> int:
    """Seals that a block needs: two thirds of its validators, rounded up."""
    return (2 * validators + 2) // 3


def read_extra(header: Header) -> Extra:
    """The extra data of a QBFT header. Raises ChainIntegrityError for any other header."""
    if header.mix_hash != QBFT_MIX_HASH:
        raise ChainIntegrityError(f"block {header.number} is not sealed by QBFT validators")
    return _extra(_fields(header.encoded)[_EXTRA])


def seal_digest(header: Header) -> Digest:
    """What validators sign: the hash of the header with its round and without seals."""
    fields = _fields(header.encoded)
    fields[_EXTRA] = read_extra(header).encode(with_seals=False)
    return Digest(bytes(keccak(rlp.encode(fields))))


def verify_seals(header: Header, trusted: frozenset[Address]) -> Sealed:
    """A header that two thirds of `trusted` sealed, and two thirds of the validators that it names itself.

    The second set is `trusted` again where the header names none (validators kept in a contract). As in Besu, a seal
    given twice or by a stranger spoils the header. Raises ChainIntegrityError.
    """
    extra = read_extra(header)
    named = frozenset(extra.validators) or trusted
    digest = seal_digest(header)
    sealers = tuple(_sealer(seal, digest, header.number) for seal in extra.seals)
    if len(set(sealers)) != len(sealers):
        raise ChainIntegrityError(f"block {header.number} has a validator's seal twice")
    strangers = [str(sealer) for sealer in sealers if sealer not in named]
    if strangers:
        raise ChainIntegrityError(f"block {header.number} has seals of {', '.join(strangers)}, no validators of it")
    for who, members in (("trusted validators", trusted), ("validators that it names", named)):
        count, needed = len(members.intersection(sealers)), quorum(len(members))
        if not members or count < needed:
            raise ChainIntegrityError(
                f"block {header.number} is sealed by {count} of the {len(members)} {who}, {needed} are needed"
            )
    return Sealed(sealers, named)


def follow_seals(steps: Iterable[Header], trusted: frozenset[Address]) -> tuple[frozenset[Address], ...]:
    """Validator sets from the trusted one on: each step, a later header, is sealed under the set before it.

    Raises ChainIntegrityError.
    """
    sets, last = [trusted], -1
    for header in steps:
        if header.number <= last:
            raise ChainIntegrityError(f"block {header.number} does not come after block {last}")
        sets.append(verify_seals(header, sets[-1]).validators)
        last = header.number
    return tuple(sets)


def _fields(encoded: bytes) -> list[Any]:
    try:
        fields = read_nested(encoded, _HEADER_DEPTH)
    except (RLPException, RecursionError) as error:
        raise ChainIntegrityError("a header is not RLP") from error
    if not isinstance(fields, list) or len(fields) < _LEAST_FIELDS or not all(isinstance(one, bytes) for one in fields):
        raise ChainIntegrityError("a header is not a list of its fields")
    if rlp.encode(fields) != encoded:
        raise ChainIntegrityError("a header is not in its only encoding")
    return fields


def _hash(fields: list[Any]) -> Digest:
    hashed = list(fields)
    # Block 0 is hashed as it stands, as in Besu.
    if fields[_MIX_HASH] == QBFT_MIX_HASH and _number(fields[8]):
        hashed[_EXTRA] = _extra(fields[_EXTRA]).encode(with_round=False, with_seals=False)
    return Digest(bytes(keccak(rlp.encode(hashed))))


def _extra(encoded: bytes) -> Extra:
    try:
        vanity, validators, vote, number, seals = read_nested(encoded, _EXTRA_DEPTH)
        if len(validators) > _MAX_VALIDATORS or len(seals) > _MAX_VALIDATORS:
            raise ChainIntegrityError(f"a header names more than {_MAX_VALIDATORS} validators or seals")
        extra = Extra(
            vanity=bytes(vanity),
            validators=tuple(Address(validator) for validator in validators),
            vote=(Address(vote[0]), vote[1] == b"\xff") if vote else None,
            round=_number(number),
            seals=tuple(bytes(seal) for seal in seals),
        )
    except (RLPException, InputError, ValueError, TypeError, IndexError, RecursionError) as error:
        raise ChainIntegrityError("a header's extra data is not QBFT's") from error
    if extra.encode() != encoded:
        raise ChainIntegrityError("a header's extra data is not in its only encoding")
    return extra


def _sealer(seal: bytes, digest: Digest, number: int) -> Address:
    try:
        key = Signature(seal).recover_public_key_from_msg_hash(bytes(digest))
    except (BadSignature, ValidationError) as error:
        raise ChainIntegrityError(f"block {number} has a seal that is no signature") from error
    return Address(key.to_canonical_address())


def _number(field: Any) -> int:
    if not isinstance(field, bytes) or field[:1] == b"\x00":
        raise ChainIntegrityError("a header has a number that is none")
    return int.from_bytes(field, "big")
