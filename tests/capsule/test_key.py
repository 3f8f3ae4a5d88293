"""Data keys come apart and together again; nothing less than enough of it does."""

import itertools

import pytest

from capsule.crypto.provider import provider
from capsule.errors import InputError, VerificationError
from capsule.key import (
    NO_PROVIDER_PART,
    DataKey,
    combine,
    deal_parts,
    key_commitment,
    verify_key_commitment,
)
from tests.capsule.reference import quorum_part
from tests.capsule.samples import DATA_KEY, OTHER_DATA_KEY, entropy_of


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (1, 3), (2, 2), (2, 3), (3, 5), (16, 32), (32, 32), (1, 32)])
@pytest.mark.parametrize("required", [True, False])
def test_enough_shares_make_the_key(threshold: int, count: int, required: bool) -> None:
    parts = deal_parts(DATA_KEY, threshold, count, required, entropy_of(1))
    shares = dict(enumerate(parts.shares, start=1))
    assert len(shares) == count
    assert (parts.provider_part == NO_PROVIDER_PART) == (not required)
    highest = {index: shares[index] for index in range(count - threshold + 1, count + 1)}
    assert combine(parts.provider_part, highest, threshold) == DATA_KEY
    assert combine(parts.provider_part, shares, threshold) == DATA_KEY


def test_an_independent_interpolation_agrees() -> None:
    parts = deal_parts(DATA_KEY, 3, 5, True, entropy_of(1))
    shares = {index: parts.shares[index - 1] for index in (2, 4, 5)}
    quorum = quorum_part(shares)
    assert bytes(a ^ b for a, b in zip(quorum, parts.provider_part, strict=True)) == DATA_KEY.secret


def test_every_quorum_makes_the_key_and_no_smaller_set_is_taken() -> None:
    parts = deal_parts(DATA_KEY, 3, 5, True, entropy_of(1))
    shares = dict(enumerate(parts.shares, start=1))
    for chosen in itertools.combinations(shares, 3):
        assert combine(parts.provider_part, {index: shares[index] for index in chosen}, 3) == DATA_KEY
    for chosen in itertools.combinations(shares, 2):
        with pytest.raises(InputError):
            combine(parts.provider_part, {index: shares[index] for index in chosen}, 3)
        assert combine(parts.provider_part, {index: shares[index] for index in chosen}, 2) != DATA_KEY


def test_provider_part_is_needed() -> None:
    parts = deal_parts(DATA_KEY, 1, 1, True, entropy_of(1))
    shares = {1: parts.shares[0]}
    assert parts.shares[0] != DATA_KEY.secret
    assert combine(NO_PROVIDER_PART, shares, 1) != DATA_KEY
    assert combine(parts.provider_part, shares, 1) == DATA_KEY


def test_one_of_n_without_provider_hands_every_custodian_the_key() -> None:
    parts = deal_parts(DATA_KEY, 1, 4, False, entropy_of(1))
    assert set(parts.shares) == {DATA_KEY.secret}


def test_each_deal_is_new() -> None:
    first, second = (deal_parts(DATA_KEY, 2, 3, False, entropy_of(1)) for _ in range(2))
    assert not set(first.shares) & set(second.shares)


def test_wrong_share_gives_another_key_which_its_commitment_shows() -> None:
    parts = deal_parts(DATA_KEY, 2, 3, False, entropy_of(1))
    rebuilt = combine(NO_PROVIDER_PART, {1: parts.shares[0], 3: parts.shares[1]}, 2)
    with pytest.raises(VerificationError):
        verify_key_commitment(rebuilt, key_commitment(DATA_KEY))


@pytest.mark.parametrize(("threshold", "count"), [(0, 1), (2, 1), (1, 33), (-1, 3), (1, 0)])
def test_impossible_thresholds_are_refused(threshold: int, count: int) -> None:
    with pytest.raises(InputError):
        deal_parts(DATA_KEY, threshold, count, True, entropy_of(1))


@pytest.mark.parametrize(
    ("part", "shares", "threshold"),
    [
        (bytes(16), {0: bytes(16)}, 1),
        (bytes(16), {33: bytes(16)}, 1),
        (bytes(16), {-1: bytes(16)}, 1),
        (bytes(16), {}, 0),
        (bytes(16), {1: bytes(15)}, 1),
        (bytes(15), {1: bytes(16)}, 1),
        (bytes(16), {1: bytes(16)}, 2),
    ],
)
def test_shares_that_cannot_be_are_refused(part: bytes, shares: dict[int, bytes], threshold: int) -> None:
    with pytest.raises(InputError):
        combine(part, shares, threshold)


def test_commitment_is_hmac_sm3_and_binds_the_key() -> None:
    assert key_commitment(DATA_KEY) == provider().hmac_sm3(DATA_KEY.secret, b"dsc1 commit")
    assert verify_key_commitment(DATA_KEY, key_commitment(DATA_KEY)) is DATA_KEY
    for commitment in (key_commitment(OTHER_DATA_KEY), b"", bytes(32)):
        with pytest.raises(VerificationError):
            verify_key_commitment(DATA_KEY, commitment)


def test_secrets_are_masked() -> None:
    parts = deal_parts(DATA_KEY, 2, 3, True, entropy_of(1))
    assert repr(DATA_KEY) == "DataKey()"
    assert repr(parts) == "Parts()"
    with pytest.raises(InputError):
        DataKey(bytes(15))
    with pytest.raises(InputError):
        DataKey.generate(lambda _: b"")
    with pytest.raises(InputError):
        deal_parts(DATA_KEY, 1, 1, True, lambda _: b"")
