"""A key is dealt for its own capsule, within its policy's terms, and anew each time."""

from dataclasses import replace

import pytest

from capsule.dealing import DealPlan, Dealt, deal_key
from capsule.errors import InputError, ShareError, VerificationError
from capsule.key import combine, key_commitment
from capsule.share import rebuild_key
from tests.capsule.samples import DATA_KEY, OTHER_DATA_KEY, PROVIDER, TERMS, account, capsule_of, entropy_of

CAPSULE = capsule_of(b"plaintext").sealed
PLAN = DealPlan(
    chain_id=1337,
    access=account(0xAC),
    version=1,
    number=1,
    custodians=(account(1), account(2), account(3)),
    threshold=2,
    waiting_seconds=60,
)


def dealt(seed: int = 1, *, required: bool = True, **changes: object) -> Dealt:
    terms = replace(TERMS, provider_share_required=required)
    plan = replace(PLAN, **changes)  # type: ignore[arg-type]
    return deal_key(DATA_KEY, CAPSULE.header, CAPSULE.root, plan, terms, entropy_of(seed))


def test_deal_says_what_the_capsule_and_the_terms_say() -> None:
    made = dealt()
    deal, header = made.deal, CAPSULE.header
    assert (deal.capsule_id, deal.capsule_root, deal.asset) == (header.capsule_id, CAPSULE.root, header.asset)
    assert (deal.policy_hash, deal.terms_hash, deal.provider) == (header.policy_hash, TERMS.hash, PROVIDER)
    assert [holder.account for holder in deal.holders] == [PROVIDER, *PLAN.custodians]
    assert rebuild_key(deal, made.secrets[:3]) == DATA_KEY


def test_parts_of_two_deals_make_nothing_together() -> None:
    old, new = dealt(1), dealt(2, number=2, threshold=2)
    shares = [{each.index: each.share for each in made.secrets[1:]} for made in (old, new)]
    for provider, custodians in ((old, shares[1]), (new, shares[0])):
        mixed = combine(provider.secrets[0].share, custodians, 2)
        assert key_commitment(mixed) != CAPSULE.header.key_commitment
    for deal, provider, rest in ((old, new, old), (new, old, new)):
        with pytest.raises(ShareError) as refused:
            rebuild_key(deal.deal, (provider.secrets[0], *rest.secrets[1:]))
        assert refused.value.holder == PROVIDER


def test_without_the_provider_s_part_old_shares_stay_good() -> None:
    old, new = dealt(1, required=False), dealt(2, required=False, number=2)
    assert rebuild_key(old.deal, old.secrets[1:3]) == rebuild_key(new.deal, new.secrets[1:3]) == DATA_KEY


def test_plans_outside_the_terms_and_other_keys_are_refused() -> None:
    with pytest.raises(InputError, match="threshold 1 is below"):
        dealt(threshold=1)
    with pytest.raises(InputError, match=str(account(3))):
        deal_key(
            DATA_KEY,
            CAPSULE.header,
            CAPSULE.root,
            PLAN,
            replace(TERMS, holders=(account(1), account(2))),
            entropy_of(1),
        )
    with pytest.raises(InputError):
        dealt(threshold=4)
    with pytest.raises(VerificationError):
        deal_key(OTHER_DATA_KEY, CAPSULE.header, CAPSULE.root, PLAN, TERMS, entropy_of(1))
