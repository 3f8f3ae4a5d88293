"""Shares reach their reader only, for their deal and use only; whoever breaks that is named."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.box import seal_to
from capsule.canonical import Json, encode
from capsule.errors import FormatError, InputError, ShareError, ShareSealedError, VerificationError
from capsule.ids import Bytes32, OpeningId, UseId
from capsule.share import (
    MAX_RELEASE_BYTES,
    Release,
    ReleaseContext,
    SealedShare,
    ShareSecret,
    open_release,
    open_share,
    rebuild_key,
    seal_release,
    seal_share,
    verify_share,
)
from tests.capsule.samples import DATA_KEY, OTHER_DATA_KEY, account, box_of, dealt, digest

DEALT = dealt()
DEAL = DEALT.deal
OTHER = dealt(seed=3)
USE = UseId(digest(0x05E))
CONTEXT = ReleaseContext(chain_id=DEAL.chain_id, access=DEAL.access, use=USE, index=2)
RELEASE = Release(
    chain_id=DEAL.chain_id,
    access=DEAL.access,
    use=USE,
    deal=DEAL.hash,
    index=2,
    share=DEALT.secrets[2].share,
    blinding=DEALT.secrets[2].blinding,
)


@pytest.mark.parametrize("index", range(4))
def test_holder_opens_its_share(index: int) -> None:
    sealed = seal_share(DEALT.secrets[index], DEAL, box_of(index).public)
    stored = SealedShare.from_json(sealed.to_json())
    assert stored == sealed
    assert open_share(stored, DEAL, box_of(index)) == DEALT.secrets[index]


def assert_share_refused(sealed: SealedShare, index: int, box: int, error: type[ShareError] = ShareError) -> None:
    """Refused without naming anybody: label, deal and sealing may be the doing of whoever sent it."""
    with pytest.raises(ShareError) as refused:
        open_share(sealed, DEAL, box_of(box))
    assert type(refused.value) is error
    assert (refused.value.index, refused.value.holder) == (index, None)
    assert not any(str(holder.account) in str(refused.value) for holder in DEAL.holders)
    assert str(DEAL.hash) in refused.value.evidence


def test_shares_that_do_not_open_here_accuse_nobody() -> None:
    good = seal_share(DEALT.secrets[1], DEAL, box_of(1).public)
    assert_share_refused(good, 1, 2, ShareSealedError)
    assert_share_refused(replace(good, sealed=good.sealed[:-1]), 1, 1, ShareSealedError)
    assert_share_refused(replace(good, index=2), 2, box=1)
    assert_share_refused(replace(good, deal=OTHER.deal.hash), 1, box=1)
    other_deals = seal_share(OTHER.secrets[1], OTHER.deal, box_of(1).public)
    assert_share_refused(other_deals, 1, box=1)
    assert_share_refused(replace(other_deals, deal=DEAL.hash), 1, box=1)


def test_dealer_cannot_seal_what_it_did_not_commit_to() -> None:
    for secret in (OTHER.secrets[1], replace(DEALT.secrets[1], index=2), replace(DEALT.secrets[1], blinding=bytes(32))):
        with pytest.raises(ShareError):
            seal_share(secret, DEAL, box_of(1).public)


def test_share_sealed_by_hand_with_another_part_names_its_holder() -> None:
    inside: dict[str, Json] = {
        "kind": "dataspace/share-opened",
        "version": 1,
        "deal": str(DEAL.hash),
        "index": 1,
        "share": "0x" + "00" * 16,
        "blinding": "0x" + "00" * 32,
    }
    wrong: tuple[dict[str, Json], ...] = ({"kind": "dataspace/release"}, {"index": 2}, {"share": "0x00"})
    for changes in wrong:
        sealed = seal_to(box_of(1).public, encode({**inside, **changes}))
        assert_share_refused(SealedShare(DEAL.hash, 1, sealed), 1, box=1)
    with pytest.raises(ShareError) as refused:
        open_share(SealedShare(DEAL.hash, 1, seal_to(box_of(1).public, encode(inside))), DEAL, box_of(1))
    assert (refused.value.index, refused.value.holder) == (1, DEAL.holders[1].account)


def test_release_opens_for_its_use() -> None:
    sealed = seal_release(RELEASE, box_of(9).public)
    assert len(sealed) <= MAX_RELEASE_BYTES
    assert open_release(sealed, box_of(9), CONTEXT, DEAL) == DEALT.secrets[2]


def test_largest_release_fits_the_chain() -> None:
    largest = replace(RELEASE, chain_id=2**256 - 1, index=32)
    assert len(seal_release(largest, box_of(9).public)) <= MAX_RELEASE_BYTES


@pytest.mark.parametrize(
    "changes",
    [
        {"chain_id": 1},
        {"access": account(1)},
        {"use": OpeningId(digest(0x0FF))},
        {"deal": OTHER.deal.hash},
        {"index": 1},
        {"share": bytes(16)},
        {"share": OTHER.secrets[2].share, "blinding": OTHER.secrets[2].blinding},
        {"blinding": bytes(32)},
        {"index": 1, "share": DEALT.secrets[1].share, "blinding": DEALT.secrets[1].blinding},
    ],
)
def test_release_for_anything_else_names_its_holder(changes: dict[str, object]) -> None:
    sealed = seal_release(replace(RELEASE, **changes), box_of(9).public)  # type: ignore[arg-type]
    with pytest.raises(ShareError) as refused:
        open_release(sealed, box_of(9), CONTEXT, DEAL)
    assert (refused.value.holder, refused.value.index) == (DEAL.holders[2].account, 2)
    assert sealed.hex() in refused.value.evidence


@given(st.integers(0, 2000), st.integers(0, 255))
def test_fuzz_changed_release_opens_nothing(at: int, value: int) -> None:
    sealed = seal_release(RELEASE, box_of(9).public)
    changed = sealed[: at % len(sealed)] + bytes([value]) + sealed[at % len(sealed) + 1 :]
    if changed != sealed:
        with pytest.raises(ShareError):
            open_release(changed, box_of(9), CONTEXT, DEAL)


def test_release_past_the_limit_is_refused() -> None:
    padded = seal_to(box_of(9).public, b" " * MAX_RELEASE_BYTES + encode({"kind": "dataspace/release"}))
    for sealed in (padded, b""):
        with pytest.raises(ShareError):
            open_release(sealed, box_of(9), CONTEXT, DEAL)


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (2, 3), (16, 32)])
@pytest.mark.parametrize("required", [True, False])
def test_releases_rebuild_the_key(threshold: int, count: int, required: bool) -> None:
    made = dealt(threshold, count, provider_required=required)
    provider = made.secrets[:1] if required else ()
    assert rebuild_key(made.deal, (*provider, *made.secrets[count - threshold + 1 :])) == DATA_KEY
    assert rebuild_key(made.deal, made.secrets) == DATA_KEY
    with pytest.raises(ShareError):
        rebuild_key(made.deal, (*provider, *made.secrets[count - threshold + 2 :]))


def test_rebuilding_names_the_wrong_the_missing_and_the_repeated() -> None:
    with pytest.raises(ShareError, match="missing and required") as refused:
        rebuild_key(DEAL, DEALT.secrets[1:])
    assert (refused.value.holder, refused.value.index) == (DEAL.provider, 0)
    with pytest.raises(ShareError, match="twice") as refused:
        rebuild_key(DEAL, (*DEALT.secrets, DEALT.secrets[1]))
    assert refused.value.holder == DEAL.holders[1].account
    with pytest.raises(ShareError) as refused:
        rebuild_key(DEAL, (*DEALT.secrets[:3], OTHER.secrets[3]))
    assert refused.value.holder == DEAL.holders[3].account


def test_provider_who_dealt_another_key_is_named() -> None:
    cheat = dealt(key=OTHER_DATA_KEY)
    deal = cheat.with_deal(key_commitment=DEAL.key_commitment)
    with pytest.raises(VerificationError, match=str(deal.provider)) as refused:
        rebuild_key(deal, cheat.secrets)
    assert not isinstance(refused.value, ShareError)


def test_positions_outside_the_deal_are_the_callers_fault() -> None:
    for secret in (replace(DEALT.secrets[1], index=4), replace(DEALT.secrets[1], index=32)):
        with pytest.raises(InputError):
            verify_share(secret, DEAL)
    with pytest.raises(InputError):
        open_release(b"", box_of(9), replace(CONTEXT, index=4), DEAL)
    for index, share, blinding in ((33, bytes(16), bytes(32)), (1, b"", bytes(32)), (1, bytes(16), b"")):
        with pytest.raises(InputError):
            ShareSecret(index, share, blinding)


def test_malformed_sealed_shares_are_format_errors() -> None:
    good = seal_share(DEALT.secrets[1], DEAL, box_of(1).public).to_json()
    for changes in ({"kind": "dataspace/deal"}, {"index": 33}, {"sealed": "0x" + "00" * 1025}, {"deal": "0x00"}):
        with pytest.raises(FormatError):
            SealedShare.from_json({**good, **changes})


def test_secrets_are_masked() -> None:
    assert repr(DEALT.secrets[1]) == "ShareSecret(index=1)"
    assert RELEASE.share.hex() not in repr(RELEASE)
    assert repr(RELEASE.share) not in repr(RELEASE)
    assert isinstance(CONTEXT.use, Bytes32)
