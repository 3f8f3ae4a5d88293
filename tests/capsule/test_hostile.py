"""Random capsules and shares in hostile hands: whatever was changed, nothing opens, and errors tell no more."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule.errors import FormatError, OpenError, ShareError, ShareSealedError, VerificationError
from capsule.layout import Layout, read_layout
from capsule.opening import CapsuleReader, verify
from capsule.share import ShareSecret, open_share, rebuild_key, seal_share
from tests.capsule.samples import DATA_KEY, PLAN, Capsule, Dealt, box_of, capsule_of, dealt, digest

SEEDS = st.integers(1, 2**32)


@st.composite
def capsules(draw: Callable[[st.SearchStrategy[object]], object]) -> Capsule:
    """Any capsule of a few chunks, under the one data key."""
    plan = replace(PLAN, chunk_size=draw(st.integers(1, 40)), policy_hash=digest(draw(st.integers(1, 99))))  # type: ignore[arg-type]
    return capsule_of(draw(st.binary(max_size=120)), plan=plan, seed=draw(SEEDS))  # type: ignore[arg-type]


def layout_of(capsule: Capsule) -> Layout:
    return read_layout(capsule.stream)


def chunks_of(capsule: Capsule) -> list[bytes]:
    layout = layout_of(capsule)
    return [
        capsule.data[layout.offset(index) :][: layout.sealed_length(index)]
        for index in range(capsule.sealed.header.chunk_count)
    ]


def assert_stays_shut(capsule: Capsule, data: bytes, *, unsigned: bool = False) -> None:
    """Nothing but documented errors, and no wrong plaintext before them.

    `unsigned`: only the signature was changed, which nobody checks who has neither root nor the provider's key.
    """
    assert data != capsule.data
    root, leaves = capsule.sealed.root, capsule.sealed.leaves
    for checks in ({}, {"root": root}, {"root": root, "leaves": leaves}):
        if unsigned and not checks:
            assert CapsuleReader(io.BytesIO(data), DATA_KEY).read_all() == capsule.plaintext
            continue
        out: list[bytes] = []
        with pytest.raises((FormatError, OpenError, VerificationError)) as refused:
            out.extend(CapsuleReader(io.BytesIO(data), DATA_KEY, **checks).chunks())
        assert type(refused.value) in {FormatError, OpenError, *([VerificationError] if checks else [])}
        if isinstance(refused.value, OpenError):
            assert str(refused.value) == str(OpenError())
            assert refused.value.__cause__ is None
        if "root" in checks and "leaves" not in checks:
            assert out == []
        assert all(chunk in capsule.plaintext for chunk in out)
    with pytest.raises((FormatError, VerificationError)):
        verify(io.BytesIO(data), root=root)


@given(capsules(), st.data())
def test_any_one_byte_changed_anywhere(capsule: Capsule, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(capsule.data) - 1))
    change = data.draw(st.integers(1, 255))
    first, signature, _ = layout_of(capsule).pieces
    changed = capsule.data[:at] + bytes([capsule.data[at] ^ change]) + capsule.data[at + 1 :]
    assert_stays_shut(capsule, changed, unsigned=in_signature(at - len(first), signature, changed[len(first) :]))


def in_signature(at: int, signature: bytes, changed: bytes) -> bool:
    """Whether only suite or signature differ, and the length is as it was."""
    return 0 <= at < len(signature) and changed[1:3] == signature[1:3]


@given(capsules(), st.data())
def test_any_truncation_and_any_growth(capsule: Capsule, data: st.DataObject) -> None:
    assert_stays_shut(capsule, capsule.data[: data.draw(st.integers(0, len(capsule.data) - 1))])
    assert_stays_shut(capsule, capsule.data + data.draw(st.binary(min_size=1, max_size=40)))


@given(capsules().filter(lambda each: each.sealed.header.chunk_count > 1), st.data())
def test_any_two_chunks_swapped_and_any_dropped_or_doubled(capsule: Capsule, data: st.DataObject) -> None:
    chunks, body = chunks_of(capsule), capsule.data[: layout_of(capsule).body]
    places = st.integers(0, len(chunks) - 1)
    one, other = data.draw(st.tuples(places, places).filter(lambda pair: pair[0] != pair[1]))
    swapped = list(chunks)
    swapped[one], swapped[other] = swapped[other], swapped[one]
    assert_stays_shut(capsule, body + b"".join(swapped))
    assert_stays_shut(capsule, body + b"".join(chunks[:one] + chunks[one + 1 :]))
    assert_stays_shut(capsule, body + b"".join([*chunks[:one], chunks[one], *chunks[one:]]))


@given(capsules(), SEEDS, st.data())
def test_pieces_of_another_capsule_under_the_same_key(capsule: Capsule, seed: int, data: st.DataObject) -> None:
    """Also of one that has the same plaintext, sizes and policy: only its id and content key are others."""
    header = capsule.sealed.header
    plan = replace(PLAN, chunk_size=header.chunk_size, policy_hash=header.policy_hash)
    twin = capsule_of(capsule.plaintext, plan=plan, seed=seed + 2**33)
    # two capsules never share an id and a content key, which the same seed would give them
    others = capsules().filter(lambda each: each.sealed.header.capsule_id != header.capsule_id)
    other = data.draw(st.one_of(st.just(twin), others))
    mine, theirs = layout_of(capsule).pieces, layout_of(other).pieces
    own, foreign = chunks_of(capsule), chunks_of(other)
    for place in (0, 2):
        spliced = [*mine[:place], theirs[place], *mine[place + 1 :], *own]
        if spliced != [*mine, *own]:
            assert_stays_shut(capsule, b"".join(spliced))
    assert_stays_shut(capsule, b"".join((mine[0], theirs[1], mine[2], *own)), unsigned=True)
    assert_stays_shut(capsule, b"".join((*mine, *foreign)))
    at = data.draw(st.integers(0, len(own) - 1))
    taken = foreign[at % len(foreign)]
    assert_stays_shut(capsule, b"".join((*mine, *own[:at], taken, *own[at + 1 :])))


DEALT = dealt(3, 4)
OTHER = dealt(3, 4, seed=9)


def gathered(made: Dealt, *indexes: int) -> tuple[ShareSecret, ...]:
    return tuple(made.secrets[index] for index in indexes)


@settings(max_examples=60)
@given(st.integers(0, 4), st.data())
def test_a_share_with_one_byte_changed_is_refused(index: int, data: st.DataObject) -> None:
    """What is sealed is changed: nobody's doing that could be shown. Or the part is, which names its holder."""
    good = seal_share(DEALT.secrets[index], DEALT.deal, box_of(index).public)
    at = data.draw(st.integers(0, len(good.sealed) - 1))
    change = data.draw(st.integers(1, 255))
    spoilt = good.sealed[:at] + bytes([good.sealed[at] ^ change]) + good.sealed[at + 1 :]
    with pytest.raises(ShareSealedError) as sealed:
        open_share(replace(good, sealed=spoilt), DEALT.deal, box_of(index))
    assert (sealed.value.holder, sealed.value.index) == (None, index)
    secret = DEALT.secrets[index]
    place = at % 16
    part = secret.share[:place] + bytes([secret.share[place] ^ change]) + secret.share[place + 1 :]
    with pytest.raises(ShareError) as refused:
        rebuild_key(DEALT.deal, [replace(secret, share=part), *gathered(DEALT, *({0, 1, 2, 3, 4} - {index}))])
    assert refused.value.holder == DEALT.deal.holders[index].account


@pytest.mark.parametrize("index", range(5))
def test_shares_of_another_capsule_given_twice_or_under_another_index(index: int) -> None:
    holder = DEALT.deal.holders[index].account
    other = seal_share(OTHER.secrets[index], OTHER.deal, box_of(index).public)
    elsewhere = (index + 1) % 5
    mine = seal_share(DEALT.secrets[index], DEALT.deal, box_of(index).public)
    for sealed in (other, replace(other, deal=DEALT.deal.hash), replace(mine, index=elsewhere)):
        with pytest.raises(ShareError) as refused:
            open_share(sealed, DEALT.deal, box_of(index))
        assert (refused.value.holder, refused.value.index) == (None, sealed.index)
    rest = gathered(DEALT, *(each for each in range(5) if each != index))
    for secrets in ((OTHER.secrets[index], *rest), (*DEALT.secrets, DEALT.secrets[index])):
        with pytest.raises(ShareError) as refused:
            rebuild_key(DEALT.deal, secrets)
        assert refused.value.holder == holder


def test_index_zero_is_the_provider_s_and_fills_no_threshold() -> None:
    stolen = replace(DEALT.secrets[2], index=0)
    with pytest.raises(ShareError) as refused:
        rebuild_key(DEALT.deal, (stolen, *gathered(DEALT, 1, 3, 4)))
    assert refused.value.holder == DEALT.deal.provider
    with pytest.raises(ShareError, match="2 of 3 came"):
        rebuild_key(DEALT.deal, gathered(DEALT, 0, 1, 2))
    free = dealt(3, 4, provider_required=False)
    with pytest.raises(ShareError, match="2 of 3 came"):
        rebuild_key(free.deal, gathered(free, 0, 1, 2))
    assert rebuild_key(free.deal, gathered(free, 1, 2, 3)) == DATA_KEY


def test_a_share_of_no_position_names_its_index() -> None:
    good = seal_share(DEALT.secrets[4], DEALT.deal, box_of(4).public)
    with pytest.raises(ShareError) as refused:
        open_share(replace(good, index=5), DEALT.deal, box_of(4))
    assert (refused.value.holder, refused.value.index) == (None, 5)


@given(st.integers(0, 3))
def test_too_few_shares_open_nothing(count: int) -> None:
    with pytest.raises(ShareError):
        rebuild_key(DEALT.deal, DEALT.secrets[:count])
