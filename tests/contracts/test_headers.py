"""Headers of every chain hash to their hash; QBFT seals in Besu's format, by test validators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from capsule.ids import Address
from contracts.errors import ChainIntegrityError
from contracts.headers import QBFT_MIX_HASH, Header, follow_seals, quorum, read_extra, seal_digest, verify_seals
from tests.sim.sealed_chain import Validator, sealed, validators
from tests.sim.trip import Space

# Besu's own example (QbftExtraDataCodecTest): vanity 1 to 32, two validators, a vote to add, round 0xfedcba, two seals.
BESU_EXTRA = bytes.fromhex(
    "f8f0a00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20ea940000000000000000"
    "000000000000000000000001940000000000000000000000000000000000000002d7940000000000000000"
    "00000000000000000000000181ff83fedcbaf886b841000000000000000000000000000000000000000000"
    "0000000000000000000001000000000000000000000000000000000000000000000000000000000000000a"
    "00b841000000000000000000000000000000000000000000000000000000000000000a0000000000000000"
    "00000000000000000000000000000000000000000000000100"
)
FIELDS = [
    *(bytes([one]) * 32 for one in (1, 2)),
    bytes(20),
    *(bytes([one]) * 32 for one in (3, 4, 5)),
    bytes(256),
    b"\x01",
    b"\x07",
    b"\x98\x96\x80",
    b"",
    b"\x66",
    BESU_EXTRA,
    bytes(QBFT_MIX_HASH),
    bytes(8),
]
FOUR = validators(4)
TRUSTED = frozenset(one.address for one in FOUR)


def at(number: int) -> list[bytes]:
    return [*FIELDS[:8], bytes([number]), *FIELDS[9:]]


def addresses(members: Sequence[Validator]) -> frozenset[Address]:
    return frozenset(one.address for one in members)


def test_header_of_each_chain_hashes_to_its_hash(space: Space) -> None:
    chain = space.operator.chain
    for number in (0, 1, chain.head().number):
        block, header = chain.block(number), chain.header(number)
        assert (header.hash, header.parent_hash, header.number) == (block.hash, block.parent_hash, number)
        assert (header.state_root, header.receipts_root) == (block.state_root, block.receipts_root)
        assert header.timestamp == block.timestamp
        assert Header.read(header.encoded) == header


def test_besus_own_example_reads_and_writes() -> None:
    extra = read_extra(Header.read(rlp.encode(FIELDS)))

    one, two = (Address(number.to_bytes(20, "big")) for number in (1, 2))
    assert extra.vanity == bytes(range(1, 33))
    assert (extra.validators, extra.vote, extra.round, len(extra.seals)) == ((one, two), (one, True), 0xFEDCBA, 2)
    assert extra.encode() == BESU_EXTRA
    without = rlp.decode(BESU_EXTRA)
    assert rlp.decode(extra.encode(with_seals=False)) == [*without[:4], []]
    assert rlp.decode(extra.encode(with_round=False, with_seals=False)) == [*without[:3], b"", []]
    dropping = replace(extra, vote=(one, False), seals=())
    assert rlp.decode(dropping.encode())[2] == [bytes(one), b""]


def test_hash_leaves_out_round_and_seals_and_seals_cover_the_round() -> None:
    first, second = sealed(FIELDS, FOUR, FOUR, number=0), sealed(FIELDS, FOUR, FOUR[:3], number=3)

    assert first.hash == second.hash
    assert seal_digest(first) != seal_digest(second)
    assert set(verify_seals(second, TRUSTED).sealers) == addresses(FOUR[:3])


@pytest.mark.parametrize(("size", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5)])
def test_two_thirds_seal_and_one_fewer_do_not(size: int, needed: int) -> None:
    members = validators(size)

    assert quorum(size) == needed
    verify_seals(sealed(FIELDS, members, members[:needed]), addresses(members))
    with pytest.raises(ChainIntegrityError, match="are needed"):
        verify_seals(sealed(FIELDS, members, members[: needed - 1]), addresses(members))


def test_seals_of_strangers_twice_or_of_none_are_refused() -> None:
    others = validators(4, first=90)

    for header, why in (
        (sealed(FIELDS, FOUR, (*FOUR[:3], FOUR[0])), "twice"),
        (sealed(FIELDS, FOUR, (*FOUR[:3], others[0])), "no validators"),
        (sealed(FIELDS, others, others), "are needed"),
        (sealed(FIELDS, (), ()), "are needed"),
    ):
        with pytest.raises(ChainIntegrityError, match=why):
            verify_seals(header, TRUSTED)
    with pytest.raises(ChainIntegrityError, match="not sealed by QBFT"):
        verify_seals(Header.read(rlp.encode([*FIELDS[:13], bytes(32), bytes(8)])), TRUSTED)
    with pytest.raises(ChainIntegrityError, match="are needed"):
        verify_seals(sealed(FIELDS, FOUR, FOUR), frozenset())


def test_validators_of_a_contract_are_not_named_and_the_trusted_set_stays() -> None:
    assert verify_seals(sealed(FIELDS, (), FOUR), TRUSTED).validators == TRUSTED


def test_changes_are_followed_while_the_set_before_seals() -> None:
    five, moved = validators(5), validators(5, first=2)
    steps = (sealed(at(8), five, five), sealed(at(9), moved, moved))

    assert follow_seals(steps, TRUSTED) == (TRUSTED, addresses(five), addresses(moved))
    with pytest.raises(ChainIntegrityError, match="does not come after"):
        follow_seals(steps[::-1], addresses(five))
    # Four new ones at once: the old set's own seals are too few.
    with pytest.raises(ChainIntegrityError, match="trusted validators"):
        follow_seals((sealed(at(8), validators(5, first=4), validators(5, first=4)),), TRUSTED)


@given(st.data())
def test_any_changed_byte_of_a_sealed_header_is_found(data: st.DataObject) -> None:
    header = sealed(FIELDS, FOUR, FOUR[:3])
    position = data.draw(st.integers(0, len(header.encoded) - 1))
    changed = bytearray(header.encoded)
    changed[position] ^= data.draw(st.integers(1, 255))

    with pytest.raises(ChainIntegrityError):
        verify_seals(Header.read(bytes(changed)), TRUSTED)
