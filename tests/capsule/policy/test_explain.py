"""Every term gets a verdict, in two languages; what is not known is never allowed."""

from dataclasses import replace

import pytest

from capsule.attestation import Level
from capsule.policy.compiler import compile_policy
from capsule.policy.explain import AccessFacts, Outcome, TermVerdict, explain
from capsule.policy.offer import offer
from capsule.policy.vocabulary import OPERANDS, Label
from capsule.privacy import NO_EPSILON, Epsilon
from tests.capsule.policy.test_compiler import constraint, policy
from tests.capsule.samples import ASSET, PROVIDER, account, digest

FULL = compile_policy(
    offer(
        asset=ASSET,
        provider=PROVIDER,
        not_before=1_000,
        not_after=2_000,
        seconds_per_grant=100,
        seconds_per_use=10,
        uses_per_grant=3,
        uses_per_buyer=5,
        uses_total=50,
        rows_per_buyer=1_000,
        purposes=["research"],
        buyers=[account(1)],
        buyer_roles=["regulator"],
        algorithms=[digest(1)],
        output_rows=100,
        output_bytes=65_536,
        group_size=5,
        suppress_small_groups=True,
        groups_per_buyer=20,
        epsilon_per_use=Epsilon.parse("0.5"),
        epsilon_per_buyer=Epsilon.parse("2"),
        declared_groups=False,
        columns=["soc", "power"],
        compute_nodes=[account(2), account(1), account(4)],
        custodians=[account(4), account(5), account(6)],
        least_threshold=2,
        provider_share=True,
        automatic_grant=False,
        measurements=[digest(7)],
        attestation=[Level.HARDWARE],
        compute_by_buyer=False,
        compute_by_custodian=False,
    )
)
GOOD = AccessFacts(
    time=1_500,
    buyer=account(1),
    buyer_roles=2,
    purpose="research",
    algorithm=digest(1),
    compute_node=account(2),
    granted_at=1_450,
    grant_uses=2,
    buyer_uses=4,
    total_uses=49,
    buyer_rows=900,
    custodians=(account(4), account(5)),
    threshold=2,
    provider_required=True,
    measurement=digest(7),
    attestation=Level.HARDWARE,
    rows_out=100,
    smallest_group=5,
    result_bytes=65_536,
    buyer_groups=15,
    groups_out=5,
    epsilon=Epsilon.parse("0.5"),
    buyer_epsilon=Epsilon.parse("1.5"),
)


def verdicts(facts: AccessFacts) -> dict[str, TermVerdict]:
    return {verdict.term: verdict for verdict in explain(FULL, facts)}


def test_every_enforceable_term_has_its_own_verdict() -> None:
    told = verdicts(GOOD)
    assert set(told) == set(OPERANDS)
    for term, verdict in told.items():
        assert verdict.outcome is Outcome.ALLOWED
        assert verdict.label is OPERANDS[term].label
        assert verdict.english.isprintable()
        assert any("\u4e00" <= letter <= "\u9fff" for letter in verdict.chinese)


@pytest.mark.parametrize(
    ("changes", "term"),
    [
        ({"time": 999}, "dateTime"),
        ({"time": 2_000, "granted_at": 1_950}, "dateTime"),
        ({"granted_at": 1_400}, "elapsedTime"),
        ({"grant_uses": 3}, "count"),
        ({"buyer_uses": 5}, "ds:usesPerBuyer"),
        ({"total_uses": 50}, "ds:usesTotal"),
        ({"buyer_rows": 901}, "ds:rowsPerBuyer"),
        ({"purpose": "resale"}, "purpose"),
        ({"buyer": account(9)}, "recipient"),
        ({"algorithm": digest(2)}, "product"),
        ({"rows_out": 101, "buyer_rows": 0}, "ds:outputRows"),
        ({"smallest_group": 4}, "ds:groupSize"),
        ({"result_bytes": 65_537}, "ds:outputBytes"),
        ({"buyer_groups": 15, "groups_out": 6}, "ds:groupsPerBuyer"),
        ({"epsilon": Epsilon.parse("0.500001"), "buyer_epsilon": NO_EPSILON}, "ds:epsilonPerUse"),
        ({"buyer_epsilon": Epsilon.parse("1.500001")}, "ds:epsilonPerBuyer"),
        ({"compute_node": account(9)}, "ds:computeNode"),
        ({"custodians": (account(4), account(9))}, "ds:custodian"),
        ({"threshold": 1}, "ds:leastThreshold"),
        ({"provider_required": False}, "ds:providerShare"),
        ({"measurement": digest(8)}, "ds:measurement"),
        ({"attestation": Level.SOFTWARE}, "ds:attestation"),
        ({"compute_node": account(1)}, "ds:computeByBuyer"),
        ({"compute_node": account(4)}, "ds:computeByCustodian"),
    ],
)
def test_the_term_in_the_way_is_refused_and_no_other(changes: dict[str, object], term: str) -> None:
    told = verdicts(replace(GOOD, **changes))  # type: ignore[arg-type]
    assert [verdict.term for verdict in told.values() if verdict.outcome is not Outcome.ALLOWED] == [term]
    assert told[term].outcome is Outcome.REFUSED


def test_answer_without_noise_is_refused_by_any_privacy_budget() -> None:
    told = verdicts(replace(GOOD, epsilon=NO_EPSILON, buyer_epsilon=NO_EPSILON))
    refused = {term for term, verdict in told.items() if verdict.outcome is Outcome.REFUSED}
    assert refused == {"ds:epsilonPerUse", "ds:epsilonPerBuyer"}


def test_what_is_not_known_is_not_allowed() -> None:
    told = verdicts(AccessFacts(time=1_500, buyer=account(1), buyer_roles=2, grant_uses=None))
    known = {"dateTime", "elapsedTime", "recipient", "ds:secondsPerUse"}
    known |= {"ds:columns", "ds:declaredGroups", "ds:suppressSmallGroups"}
    assert {term for term, verdict in told.items() if verdict.outcome is Outcome.ALLOWED} == known
    assert {verdict.outcome for term, verdict in told.items() if term not in known} == {Outcome.UNKNOWN}


def test_role_opens_where_the_name_is_not_listed() -> None:
    told = verdicts(replace(GOOD, buyer=account(9), buyer_roles=32 | 2))
    assert told["recipient"].outcome is Outcome.ALLOWED


def test_declared_terms_say_that_nobody_enforces_them() -> None:
    compiled = compile_policy(policy(constraint("spatial", "eq", "CN-35", **{"ds:label": "declared"})))
    (spatial, *implied) = explain(compiled, GOOD)
    assert (spatial.term, spatial.label, spatial.outcome) == ("spatial", Label.DECLARED, Outcome.DECLARED)
    assert {verdict.term for verdict in implied} == {
        "recipient",
        "ds:computeByBuyer",
        "ds:computeByCustodian",
        "ds:automaticGrant",
    }


def test_automatic_grant_and_exceptions_are_told() -> None:
    compiled = compile_policy(
        offer(
            asset=ASSET,
            provider=PROVIDER,
            automatic_grant=True,
            provider_share=False,
            compute_by_buyer=True,
            compute_by_custodian=True,
        )
    )
    facts = replace(GOOD, granted_at=None, compute_node=account(1), custodians=(account(1),), provider_required=None)
    assert {verdict.outcome for verdict in explain(compiled, facts)} == {Outcome.ALLOWED}


def test_declared_rules_are_told_in_both_languages() -> None:
    compiled = compile_policy(
        offer(asset=ASSET, provider=PROVIDER, prohibited=["ds:reidentify"], obliged=["attribute"])
    )
    told = {verdict.term: verdict for verdict in explain(compiled, GOOD)}
    for term, chinese in (
        ("prohibition ds:reidentify", "禁止 ds:reidentify"),
        ("obligation attribute", "义务 attribute"),
    ):
        assert (told[term].label, told[term].outcome) == (Label.DECLARED, Outcome.DECLARED)
        assert term in told[term].english
        assert told[term].chinese.startswith(chinese)
