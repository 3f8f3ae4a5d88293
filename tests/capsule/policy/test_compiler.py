"""Policies compile to exactly what they say, or are refused by the name of the term in the way."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.attestation import Level
from capsule.canonical import Json, decode, encode
from capsule.digest import document_digest
from capsule.errors import PolicyError
from capsule.ids import Address, AssetId, Digest
from capsule.policy.compiler import COMPILER_VERSION, Compiled, RuntimeChecks, compile_policy
from capsule.policy.offer import offer
from capsule.policy.vocabulary import DECLARABLE, OPERANDS, PROFILE, Label
from capsule.privacy import Epsilon
from capsule.terms import UNLIMITED_U32, UNLIMITED_U64, Terms
from tests.capsule.samples import ASSET, PROVIDER, account, digest

OPEN_TERMS = Terms(
    compiler=COMPILER_VERSION,
    not_before=0,
    not_after=UNLIMITED_U64,
    purposes=(),
    algorithms=(),
    buyers=(),
    buyer_roles=2,
    compute_nodes=(),
    holders=(),
    least_threshold=1,
    provider_share_required=False,
    seconds_per_grant=UNLIMITED_U64,
    seconds_per_use=UNLIMITED_U64,
    uses_per_grant=UNLIMITED_U32,
    uses_per_buyer=UNLIMITED_U32,
    uses_total=UNLIMITED_U32,
    rows_per_buyer=UNLIMITED_U64,
    automatic_grant=False,
    compute_by_buyer=False,
    compute_by_custodian=False,
)
ACCOUNT = f"eip155:{account(1)}"


def constraint(term: str, operator: str, value: Json, **more: Json) -> dict[str, Json]:
    return {"leftOperand": term, "operator": operator, "rightOperand": value, **more}


def policy(*constraints: Json, permission: dict[str, Json] | None = None, **members: Json) -> dict[str, Json]:
    return {
        "@context": ["http://www.w3.org/ns/odrl.jsonld", {"ds": PROFILE + "#"}],
        "@type": "Set",
        "uid": "urn:example:policy",
        "profile": PROFILE,
        "permission": [{"action": "use", "constraint": list(constraints), **(permission or {})}],
        **members,
    }


def terms_of(*constraints: Json, **members: Json) -> Terms:
    return compile_policy(policy(*constraints, **members)).terms


def assert_refused(document: Json, term: str) -> None:
    with pytest.raises(PolicyError) as refused:
        compile_policy(document)
    assert refused.value.term == term
    assert term in str(refused.value)


def test_what_a_policy_does_not_say_is_open() -> None:
    compiled = compile_policy(policy())
    assert compiled.terms == OPEN_TERMS
    assert compiled.runtime == RuntimeChecks(max_rows=UNLIMITED_U64, min_group=1, declared_groups=False)
    assert (compiled.holder.asset, compiled.holder.measurements) == (None, ())
    assert not compiled.labels


@pytest.mark.parametrize(
    ("written", "field", "value"),
    [
        (constraint("dateTime", "gteq", "2024-01-01T00:00:00Z"), "not_before", 1_704_067_200),
        (constraint("dateTime", "gt", "2024-01-01T00:00:00Z"), "not_before", 1_704_067_201),
        (constraint("dateTime", "lt", "2024-01-01T08:00:00+08:00"), "not_after", 1_704_067_200),
        (constraint("dateTime", "lteq", "2024-01-01T00:00:00Z"), "not_after", 1_704_067_201),
        (constraint("elapsedTime", "lteq", "P30D"), "seconds_per_grant", 2_592_000),
        (constraint("elapsedTime", "lt", "P1DT1H1M1S"), "seconds_per_grant", 90_060),
        (constraint("ds:secondsPerUse", "lteq", "PT10M"), "seconds_per_use", 600),
        (constraint("count", "lteq", 3), "uses_per_grant", 3),
        (constraint("count", "lt", 3), "uses_per_grant", 2),
        (constraint("count", "lteq", {"@value": "3", "@type": "xsd:integer"}), "uses_per_grant", 3),
        (constraint("ds:usesPerBuyer", "lteq", 4), "uses_per_buyer", 4),
        (constraint("ds:usesTotal", "lteq", 5), "uses_total", 5),
        (constraint("ds:rowsPerBuyer", "lteq", str(2**63)), "rows_per_buyer", 2**63),
        (constraint("purpose", "eq", "research"), "purposes", ("research",)),
        (constraint("purpose", "isAnyOf", ["b", "a", "b"]), "purposes", ("a", "b")),
        (constraint("purpose", "isAnyOf", {"@list": ["b", "a"]}), "purposes", ("a", "b")),
        (constraint("recipient", "isAnyOf", [ACCOUNT]), "buyers", (account(1),)),
        (constraint("recipient", "eq", "role:regulator"), "buyer_roles", 32),
        (constraint("product", "eq", str(digest(1))), "algorithms", (digest(1),)),
        (constraint("ds:computeNode", "isAnyOf", [ACCOUNT]), "compute_nodes", (account(1),)),
        (constraint("ds:custodian", "isAnyOf", [ACCOUNT]), "holders", (account(1),)),
        (constraint("ds:leastThreshold", "gteq", 2), "least_threshold", 2),
        (constraint("ds:leastThreshold", "gt", 2), "least_threshold", 3),
        (constraint("ds:providerShare", "eq", True), "provider_share_required", True),
        (constraint("ds:automaticGrant", "eq", True), "automatic_grant", True),
        (constraint("ds:computeByBuyer", "eq", True), "compute_by_buyer", True),
        (constraint("ds:computeByCustodian", "eq", True), "compute_by_custodian", True),
    ],
)
def test_chain_terms_say_what_the_policy_says(written: dict[str, Json], field: str, value: object) -> None:
    terms = terms_of(written)
    changed = {name for name in Terms.__slots__ if getattr(terms, name) != getattr(OPEN_TERMS, name)}
    assert getattr(terms, field) == value
    assert changed <= {field, "buyer_roles"}


def test_recipients_are_accounts_and_roles() -> None:
    terms = terms_of(constraint("recipient", "isAnyOf", [ACCOUNT, "role:buyer", "role:compute"]))
    assert (terms.buyers, terms.buyer_roles) == ((account(1),), 10)
    assert terms_of(constraint("recipient", "isAnyOf", [ACCOUNT])).buyer_roles == 0


def test_holders_and_runtime_get_their_checks() -> None:
    compiled = compile_policy(
        policy(
            constraint("ds:measurement", "isAnyOf", [str(digest(2)), str(digest(1))]),
            constraint("ds:outputRows", "lteq", 100),
            constraint("ds:groupSize", "gteq", 5),
            constraint("ds:outputBytes", "lt", 65_536),
            constraint("ds:suppressSmallGroups", "eq", True),
            constraint("ds:groupsPerBuyer", "lteq", 1_000),
            constraint("ds:epsilonPerUse", "lteq", {"@value": "0.50", "@type": "xsd:decimal"}),
            constraint("ds:epsilonPerBuyer", "lt", 10),
            constraint("ds:declaredGroups", "eq", True),
            constraint("ds:attestation", "isAnyOf", ["hardware", "software"]),
            target=f"urn:dataspace:asset:{ASSET}",
        )
    )
    assert compiled.holder.measurements == (digest(1), digest(2))
    assert compiled.holder.attestation == (Level.HARDWARE, Level.SOFTWARE)
    assert compiled.holder.asset == ASSET
    assert compiled.runtime == RuntimeChecks(
        max_rows=100,
        min_group=5,
        declared_groups=True,
        max_bytes=65_535,
        suppress_groups=True,
        groups_per_buyer=1_000,
        epsilon_per_use=Epsilon.parse("0.5"),
        epsilon_per_buyer=Epsilon.parse("9.999999"),
    )
    for term in (
        "ds:epsilonPerUse",
        "ds:epsilonPerBuyer",
        "ds:outputBytes",
        "ds:suppressSmallGroups",
        "ds:groupsPerBuyer",
    ):
        assert compiled.labels[term] is Label.RUNTIME
    assert compiled.terms == OPEN_TERMS
    assert set(compiled.labels.values()) == {Label.HOLDER | Label.RUNTIME, Label.RUNTIME, Label.DECLARED}


def test_several_constraints_of_a_term_hold_together() -> None:
    terms = terms_of(
        constraint("count", "lteq", 5),
        constraint("count", "lt", 4),
        constraint("dateTime", "gteq", "2024-01-01T00:00:00Z"),
        constraint("dateTime", "gteq", "2025-01-01T00:00:00Z"),
        constraint("dateTime", "lt", "2026-01-01T00:00:00Z"),
        constraint("purpose", "isAnyOf", ["a", "b", "c"]),
        constraint("purpose", "isAnyOf", ["b", "c", "d"]),
        constraint("ds:providerShare", "eq", True),
        constraint("ds:providerShare", "eq", True),
    )
    assert (terms.uses_per_grant, terms.not_before, terms.not_after) == (3, 1_735_689_600, 1_767_225_600)
    assert (terms.purposes, terms.provider_share_required) == (("b", "c"), True)


@pytest.mark.parametrize(
    ("constraints", "term"),
    [
        ([constraint("purpose", "eq", "a"), constraint("purpose", "eq", "b")], "purpose"),
        ([constraint("recipient", "eq", ACCOUNT), constraint("recipient", "eq", ACCOUNT)], "recipient"),
        (
            [
                constraint("dateTime", "gteq", "2025-01-01T00:00:00Z"),
                constraint("dateTime", "lt", "2024-01-01T00:00:00Z"),
            ],
            "dateTime",
        ),
        (
            [constraint("ds:automaticGrant", "eq", True), constraint("ds:automaticGrant", "eq", False)],
            "ds:automaticGrant",
        ),
    ],
)
def test_conflicts_mean_no(constraints: list[Json], term: str) -> None:
    assert_refused(policy(*constraints), term)


def test_constraints_joined_by_and_hold_together_like_any_others() -> None:
    parts: list[Json] = [constraint("count", "lteq", 3), constraint("purpose", "eq", "a")]
    plain = terms_of(*parts)
    for joined in ({"and": {"@list": parts}}, {"odrl:and": [{"and": parts[:1]}, parts[1]]}):
        assert terms_of(joined) == plain
    deep: Json = parts[0]
    for _ in range(20):
        deep = {"and": [deep]}
    for written in ({"and": []}, {"and": "count"}, {"and": parts, "uid": "urn:c"}, {"and": parts, "or": parts}, deep):
        with pytest.raises(PolicyError):
            compile_policy(policy(written))


def declared(action: str) -> Json:
    return [{"action": action, "ds:label": "declared"}]


def test_rules_that_nobody_enforces_are_taken_only_as_declared() -> None:
    compiled = compile_policy(
        policy(
            permission={"duty": declared("compensate")},
            prohibition=declared("ds:reidentify"),
            obligation=declared("attribute"),
            conflict="prohibit",
        )
    )
    assert compiled.terms == OPEN_TERMS
    assert dict(compiled.labels) == dict.fromkeys(
        ("prohibition ds:reidentify", "duty compensate", "obligation attribute"), Label.DECLARED
    )


@pytest.mark.parametrize(
    ("members", "term"),
    [
        ({"prohibition": declared("ds:reidentify")}, "conflict"),
        ({"prohibition": declared("ds:reidentify"), "conflict": "perm"}, "conflict"),
        ({"prohibition": declared("ds:reidentify"), "conflict": "prohibit", "profile": "x"}, "profile"),
        ({"prohibition": declared("use"), "conflict": "prohibit"}, "prohibition"),
        ({"prohibition": declared("raed"), "conflict": "prohibit"}, "action"),
        ({"prohibition": [{"action": "sell"}], "conflict": "prohibit"}, "prohibition"),
        ({"obligation": [{"action": "inform", "ds:label": "enforced"}]}, "obligation"),
        ({"obligation": [{"action": "inform", "ds:label": "declared", "target": "urn:x"}]}, "target"),
        ({"obligation": [{"ds:label": "declared"}]}, "action"),
        ({"obligation": []}, "obligation"),
        ({"permission": [{"action": "use", "duty": [{"action": "inform"}]}]}, "duty"),
        ({"conflict": "invalid"}, "conflict"),
    ],
)
def test_rules_that_would_be_enforced_are_refused_by_name(members: dict[str, Json], term: str) -> None:
    assert_refused({**policy(), **members}, term)


def test_every_term_is_labelled() -> None:
    samples: dict[str, Json] = {
        "dateTime": constraint("dateTime", "lt", "2030-01-01T00:00:00Z"),
        "elapsedTime": constraint("elapsedTime", "lteq", "P1D"),
        "ds:secondsPerUse": constraint("ds:secondsPerUse", "lteq", "PT5M"),
        "purpose": constraint("purpose", "eq", "research"),
        "recipient": constraint("recipient", "eq", "role:buyer"),
        "product": constraint("product", "eq", str(digest(1))),
        "ds:measurement": constraint("ds:measurement", "eq", str(digest(1))),
        "ds:attestation": constraint("ds:attestation", "eq", "hardware"),
        "ds:computeNode": constraint("ds:computeNode", "eq", ACCOUNT),
        "ds:custodian": constraint("ds:custodian", "eq", ACCOUNT),
        **{
            name: constraint(name, "eq", False)
            for name in (
                "ds:providerShare",
                "ds:automaticGrant",
                "ds:computeByBuyer",
                "ds:computeByCustodian",
                "ds:declaredGroups",
                "ds:suppressSmallGroups",
            )
        },
        **{name: constraint(name, "gteq", 2) for name in ("ds:leastThreshold", "ds:groupSize")},
        **{
            name: constraint(name, "lteq", 2)
            for name in (
                "count",
                "ds:usesPerBuyer",
                "ds:usesTotal",
                "ds:rowsPerBuyer",
                "ds:outputRows",
                "ds:outputBytes",
                "ds:groupsPerBuyer",
                "ds:epsilonPerUse",
                "ds:epsilonPerBuyer",
            )
        },
        "ds:columns": constraint("ds:columns", "isAnyOf", ["power", "soc"]),
        **{name: constraint(name, "eq", "x", **{"ds:label": "declared"}) for name in DECLARABLE},
    }
    assert set(samples) == set(OPERANDS) | set(DECLARABLE)
    labels = compile_policy(policy(*samples.values())).labels
    assert set(labels) == set(samples)
    assert all(labels[term] is OPERANDS[term].label for term in OPERANDS)
    assert all(labels[term] is Label.DECLARED for term in DECLARABLE)
    assert labels["purpose"] is Label.DECLARED


@pytest.mark.parametrize("term", sorted(DECLARABLE))
def test_term_that_nobody_enforces_is_refused_by_name_unless_declared(term: str) -> None:
    assert_refused(policy(constraint(term, "eq", "x")), term)
    assert terms_of(constraint(term, "eq", "x", **{"ds:label": "declared"})) == OPEN_TERMS


@pytest.mark.parametrize(
    ("written", "term"),
    [
        (constraint("cuont", "lteq", 3), "cuont"),
        (constraint("cuont", "lteq", 3, **{"ds:label": "declared"}), "cuont"),
        (constraint("ds:rowsPerMonth", "lteq", 3), "ds:rowsPerMonth"),
        (constraint("ds:rowsPerMonth", "lteq", 3, **{"ds:label": "declared"}), "ds:rowsPerMonth"),
        (constraint("https://example.org/mood", "eq", "good"), "https://example.org/mood"),
        (constraint("count", "lteq", 3, **{"ds:label": "declared"}), "count"),
        (constraint("count", "lteq", 3, **{"ds:label": "chain"}), "count"),
        (constraint("count", "atMost", 3), "count"),
        (constraint("count", "gteq", 3), "count"),
        (constraint("count", "eq", 3), "count"),
        (constraint("ds:groupSize", "lteq", 3), "ds:groupSize"),
        *(
            (constraint("ds:epsilonPerUse", "lteq", value), "ds:epsilonPerUse")
            for value in (
                "0.0000001",
                "-1",
                "1e3",
                -0.5,
                True,
                "9007199254.740992",
                {"@value": "1", "@type": "xsd:double"},
            )
        ),
        (constraint("ds:epsilonPerBuyer", "gteq", "1"), "ds:epsilonPerBuyer"),
        (constraint("ds:epsilonPerBuyer", "lt", 0), "ds:epsilonPerBuyer"),
        (constraint("ds:attestation", "gteq", "software"), "ds:attestation"),
        (constraint("ds:attestation", "isAnyOf", ["hardware", "none"]), "ds:attestation"),
        (constraint("purpose", "isNoneOf", ["a"]), "purpose"),
        (constraint("purpose", "neq", "a"), "purpose"),
        (constraint("ds:providerShare", "neq", True), "ds:providerShare"),
        ({"leftOperand": "count", "operator": "lteq"}, "count"),
        ({"operator": "lteq", "rightOperand": 3}, "leftOperand"),
        ({"leftOperand": "count", "rightOperand": 3}, "operator"),
        ({"and": {"@list": []}}, "and"),
        ({"or": {"@list": []}}, "or"),
        ({"xone": {"@list": []}}, "xone"),
        (constraint("count", "lteq", 3, unit="day"), "unit"),
        (constraint("count", "lteq", 3, rightOperandReference="x"), "rightOperandReference"),
        ("count <= 3", "constraint"),
        (constraint("https://example.org/mood", "likes", "x", **{"ds:label": "declared"}), "https://example.org/mood"),
    ],
)
def test_what_is_not_understood_is_not_allowed(written: Json, term: str) -> None:
    assert_refused(policy(written), term)


@pytest.mark.parametrize(
    ("term", "operator", "values"),
    [
        (
            "count",
            "lteq",
            [True, -1, 1.5, "x", "-1", None, [], {}, {"@value": 3, "@type": "xsd:string"}, 2**32, "9" * 21],
        ),
        ("count", "lt", [0]),
        ("ds:leastThreshold", "gteq", [256]),
        ("ds:leastThreshold", "gt", [255]),
        ("ds:rowsPerBuyer", "lteq", [str(2**64)]),
        (
            "dateTime",
            "lt",
            [
                "tomorrow",
                "2024-01-01T00:00:00",
                "2024-01-01",
                "2024-01-01T00:00:00.5Z",
                "2024-01-01 00:00:00Z",
                "2024-W01-1T00:00:00Z",
                "20240101T000000Z",
                "2024-02-30T00:00:00Z",
                "2024-01-01T24:00:00Z",
                "0001-01-01T00:00:00+23:59",
                "２０24-01-01T00:00:00Z",
                "1969-12-31T00:00:00Z",
                1_704_067_200,
                {"@value": "2024-01-01T00:00:00Z", "@type": "xsd:date"},
                {"@value": "2024-01-01T00:00:00Z", "@language": "en"},
            ],
        ),
        ("elapsedTime", "lteq", ["P1M", "P1Y", "PT", "P", "", "P1W", "-P1D", "PT1.5S", "P１D", 86_400, "P1DT"]),
        ("purpose", "isAnyOf", [[], [""], [1], "", None, "x" * 257, {"a": "b"}, ["ok", None]]),
        ("purpose", "eq", [["a", "b"]]),
        ("recipient", "isAnyOf", [["role:admin"], [str(account(1))], ["eip155:0x00"], ["did:web:a"], [[ACCOUNT]]]),
        ("product", "isAnyOf", [["sha256:00"], ["0x00"], [ACCOUNT]]),
        ("ds:computeNode", "isAnyOf", [["role:compute"], ["0x00"]]),
        ("ds:providerShare", "eq", ["true", 1, None, {"@value": True, "@type": "xsd:string"}]),
    ],
)
def test_values_that_mean_nothing_are_refused(term: str, operator: str, values: Sequence[Json]) -> None:
    for value in values:
        assert_refused(policy(constraint(term, operator, value)), term)


def test_lists_longer_than_the_chain_takes_are_refused() -> None:
    assert_refused(policy(constraint("purpose", "isAnyOf", [f"p{n}" for n in range(65)])), "policy")
    many: list[Json] = [constraint("count", "lteq", 3)] * 257
    assert_refused(policy(*many), "constraint")


@pytest.mark.parametrize(
    ("changes", "term"),
    [
        ({"prohibition": [{"action": "use"}]}, "prohibition"),
        ({"prohibition": []}, "prohibition"),
        ({"odrl:prohibition": []}, "prohibition"),
        ({"obligation": [{"action": "delete"}]}, "obligation"),
        ({"duty": []}, "duty"),
        ({"conflict": "perm"}, "conflict"),
        ({"inheritFrom": "urn:x"}, "inheritFrom"),
        ({"@type": "Ticket"}, "@type"),
        ({"@type": None}, "@type"),
        ({"@type": "Offer"}, "assigner"),
        ({"@type": "Agreement", "assigner": ACCOUNT}, "assignee"),
        ({"@context": "https://schema.org"}, "@context"),
        ({"@context": ["http://www.w3.org/ns/odrl.jsonld", {"ds": "https://evil.example/"}]}, "@context"),
        ({"@context": ["http://www.w3.org/ns/odrl.jsonld", {"use": "http://www.w3.org/ns/odrl/2/read"}]}, "@context"),
        ({"@context": []}, "@context"),
        ({"profile": "https://other.example"}, "profile"),
        ({"uid": ""}, "uid"),
        ({"uid": None}, "uid"),
        ({"target": "urn:other"}, "target"),
        ({"target": {"@type": "AssetCollection"}}, "target"),
        ({"assigner": "Alice"}, "assigner"),
        ({"permission": []}, "permission"),
        ({"permission": [{"action": "use"}, {"action": "use"}]}, "permission"),
        ({"permission": None}, "permission"),
        ({"permission": {}}, "action"),
        ({"permission": {"action": "play"}}, "action"),
        ({"permission": {"action": "odrl:read"}}, "action"),
        ({"permission": {"action": {"rdf:value": {"@id": "use"}, "refinement": []}}}, "action"),
        ({"permission": {"action": ["use"]}}, "action"),
        ({"permission": {"action": "use", "duty": [{"action": "compensate"}]}}, "duty"),
        ({"permission": {"action": "use", "refinement": []}}, "refinement"),
        ({"permission": {"action": "use", "constraint": 5}}, "constraint"),
    ],
)
def test_policies_outside_the_subset_are_refused_by_name(changes: dict[str, Json], term: str) -> None:
    assert_refused({**policy(), **changes}, term)


def test_missing_members_are_refused_by_name() -> None:
    for name, term in (("@context", "@context"), ("@type", "@type"), ("uid", "uid"), ("permission", "permission")):
        assert_refused({key: value for key, value in policy().items() if key != name}, term)
    without = {key: value for key, value in policy(constraint("ds:usesTotal", "lteq", 1)).items() if key != "profile"}
    assert_refused(without, "profile")
    for document in (None, [], "policy", 5):
        assert_refused(document, "policy")


def test_prefixed_and_full_names_mean_the_same() -> None:
    plain = terms_of(constraint("count", "lteq", 3), constraint("ds:usesTotal", "lteq", 4))
    for left, operator, ours in (
        ("odrl:count", "odrl:lteq", f"{PROFILE}#usesTotal"),
        ("http://www.w3.org/ns/odrl/2/count", "http://www.w3.org/ns/odrl/2/lteq", "ds:usesTotal"),
    ):
        assert terms_of(constraint(left, operator, 3), constraint(ours, operator, 4)) == plain
        by_id: Json = {"leftOperand": {"@id": left}, "operator": {"@id": operator}, "rightOperand": 3}
        assert terms_of(by_id, constraint("ds:usesTotal", "lteq", 4)) == plain
    assert_refused(policy({**constraint("count", "lteq", 3), "odrl:operator": "gt"}), "constraint")


def test_parties_and_target_may_stand_at_policy_or_permission_but_not_differ() -> None:
    target = f"urn:dataspace:asset:{ASSET}"
    at_rule = compile_policy(policy(permission={"target": target}))
    assert at_rule.holder.asset == compile_policy(policy(target=target)).holder.asset == ASSET
    assert compile_policy(policy(permission={"target": target}, target=target)).holder.asset == ASSET
    assert_refused(policy(permission={"target": target}, target=str(digest(1))), "target")


def test_agreement_is_for_its_assignee() -> None:
    members: dict[str, Json] = {"@type": "Agreement", "assigner": f"eip155:{PROVIDER}", "assignee": ACCOUNT}
    terms = terms_of(**members)
    assert (terms.buyers, terms.buyer_roles) == ((account(1),), 0)
    both = constraint("recipient", "isAnyOf", [ACCOUNT, f"eip155:{account(2)}", "role:buyer"])
    terms = terms_of(both, **members)
    assert (terms.buyers, terms.buyer_roles) == ((account(1),), 0)
    assert_refused(policy(constraint("recipient", "eq", f"eip155:{account(2)}"), **members), "assignee")


def test_compiling_is_deterministic_and_hashes_the_document() -> None:
    document = policy(constraint("purpose", "isAnyOf", ["b", "a"]), constraint("count", "lteq", 3))
    first, second = compile_policy(document), compile_policy(decode(encode(document)))
    assert isinstance(first, Compiled)
    assert (first.policy_hash, first.terms.hash) == (second.policy_hash, second.terms.hash)
    assert first.policy_hash == document_digest("policy", document)
    assert first.terms.compiler == COMPILER_VERSION == 1


accounts = st.lists(st.integers(1, 9).map(account), max_size=3, unique=True)
digests = st.lists(st.integers(1, 9).map(digest), max_size=3, unique=True)
u32 = st.none() | st.integers(0, 2**32 - 1)
u64 = st.none() | st.integers(0, 2**64 - 1)


@given(
    window=st.none() | st.tuples(st.integers(0, 2**32), st.integers(1, 2**32)),
    seconds=st.tuples(st.none() | st.integers(1, 10**10), st.none() | st.integers(1, 10**10)),
    uses=st.tuples(u32, u32, u32),
    rows=st.tuples(u64, u64),
    purposes=st.lists(st.text(min_size=1, max_size=20), max_size=3, unique=True),
    buyers=accounts,
    roles=st.lists(st.sampled_from(["buyer", "regulator"]), max_size=2, unique=True),
    algorithms=digests,
    nodes=accounts,
    custodians=accounts,
    threshold=st.none() | st.integers(1, 32),
    flags=st.tuples(*[st.none() | st.booleans()] * 4),
)
def test_offer_compiles_to_what_was_passed_in(
    window: tuple[int, int] | None,
    seconds: tuple[int | None, int | None],
    uses: tuple[int | None, int | None, int | None],
    rows: tuple[int | None, int | None],
    purposes: list[str],
    buyers: list[Address],
    roles: list[str],
    algorithms: list[Digest],
    nodes: list[Address],
    custodians: list[Address],
    threshold: int | None,
    flags: tuple[bool | None, ...],
) -> None:
    begin, end = (None, None) if window is None else (window[0], window[0] + window[1])
    document = offer(
        asset=ASSET,
        provider=PROVIDER,
        not_before=begin,
        not_after=end,
        seconds_per_grant=seconds[0],
        seconds_per_use=seconds[1],
        uses_per_grant=uses[0],
        uses_per_buyer=uses[1],
        uses_total=uses[2],
        rows_per_buyer=rows[0],
        output_rows=rows[1],
        purposes=purposes,
        buyers=buyers,
        buyer_roles=roles,
        algorithms=algorithms,
        compute_nodes=nodes,
        custodians=custodians,
        least_threshold=threshold,
        provider_share=flags[0],
        automatic_grant=flags[1],
        compute_by_buyer=flags[2],
        compute_by_custodian=flags[3],
    )
    compiled = compile_policy(decode(encode(document)))

    def given(value: int | None, otherwise: int) -> int:
        return otherwise if value is None else value

    open_to = {"buyer": 2, "regulator": 32}
    assert compiled.terms == Terms(
        compiler=1,
        not_before=given(begin, 0),
        not_after=given(end, UNLIMITED_U64),
        purposes=tuple(sorted(purposes)),
        algorithms=tuple(sorted(algorithms)),
        buyers=tuple(sorted(buyers)),
        buyer_roles=sum(open_to[role] for role in roles) if buyers or roles else 2,
        compute_nodes=tuple(sorted(nodes)),
        holders=tuple(sorted(custodians)),
        least_threshold=given(threshold, 1),
        provider_share_required=bool(flags[0]),
        seconds_per_grant=given(seconds[0], UNLIMITED_U64),
        seconds_per_use=given(seconds[1], UNLIMITED_U64),
        uses_per_grant=given(uses[0], UNLIMITED_U32),
        uses_per_buyer=given(uses[1], UNLIMITED_U32),
        uses_total=given(uses[2], UNLIMITED_U32),
        rows_per_buyer=given(rows[0], UNLIMITED_U64),
        automatic_grant=bool(flags[1]),
        compute_by_buyer=bool(flags[2]),
        compute_by_custodian=bool(flags[3]),
    )
    assert compiled.runtime.max_rows == given(rows[1], UNLIMITED_U64)
    assert compiled.holder.asset == AssetId(ASSET)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.sampled_from(["count", "lteq", "use"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["@id", "@value", "@type", "leftOperand", "operator", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(
    json_values,
    st.sampled_from(
        [
            "@context",
            "@type",
            "uid",
            "profile",
            "target",
            "assigner",
            "permission",
            "constraint",
            "rightOperand",
            "operator",
        ]
    ),
)
def test_fuzz_compiler_raises_nothing_but_policy_errors(value: Json, place: str) -> None:
    document = policy(constraint("count", "lteq", 3))
    if place == "constraint":
        document = policy(value)
    elif place in ("rightOperand", "operator"):
        document = policy({**constraint("count", "lteq", 3), place: value})
    else:
        document[place] = value
    try:
        compile_policy(document)
    except PolicyError:
        return
    assert compile_policy(document).terms.compiler == COMPILER_VERSION
