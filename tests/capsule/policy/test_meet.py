"""The meet is what both policies let through, and a comparison claims nothing that a request disproves."""

from itertools import product
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from capsule.canonical import Json, encode
from capsule.errors import PolicyError
from capsule.policy.compare import Relation, compare_scopes
from capsule.policy.compiler import compile_policy
from capsule.policy.evaluation import Decision, evaluate
from capsule.policy.meet import meet
from capsule.policy.model import Policy, Request, World
from capsule.policy.offer import offer
from capsule.policy.rdf import Syntax
from capsule.policy.reading import read_policy
from capsule.policy.scope import Scope, scope_of
from capsule.policy.values import iri, literal, moment
from capsule.policy.vocabulary import ODRL_CONTEXT, PROFILE
from capsule.policy.writing import profile_document, write_scope
from tests.capsule.policy.graphs import constraint, permission, policy
from tests.capsule.samples import ASSET, PROVIDER, account, digest

XSD = "http://www.w3.org/2001/XMLSchema#"


def scope(*constraints: str, more: str = "", action: str = "odrl:use") -> Scope:
    return scope_of(policy(permission(*constraints, action=action), more, profiled=True))


def count(operator: str, number: int) -> str:
    return constraint("odrl:count", operator, str(number))


def epsilon(operator: str, most: str) -> str:
    return constraint("ds:epsilonPerBuyer", operator, most)


def purpose(operator: str, *names: str) -> str:
    return constraint("odrl:purpose", operator, ", ".join(f'"{name}"' for name in names))


def relation(one: Scope, other: Scope) -> Relation:
    return compare_scopes(one, other).relation


def again(found: Scope) -> Scope:
    return scope_of(read_policy(encode(write_scope(found, uid="urn:again")), Syntax.JSON_LD))


OR = f"[odrl:or {count('lt', 3)}, {purpose('eq', 'a')}]"
FORBIDDEN = 'odrl:prohibition [odrl:action ds:reidentify; ds:label "declared"];'
LATE = f"odrl:prohibition [odrl:action odrl:use; odrl:constraint {count('gt', 2)}];"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (scope(count("lteq", 3)), scope(count("lt", 4)), Relation.EQUAL),
        (scope(count("lteq", 3)), scope(), Relation.NARROWER),
        (scope(), scope(count("lteq", 3)), Relation.WIDER),
        (scope(count("lteq", 3)), scope(count("gt", 3)), Relation.CONFLICT),
        (scope(count("lteq", 5)), scope(count("gteq", 3)), Relation.OVERLAPPING),
        (scope(purpose("isAnyOf", "a", "b")), scope(purpose("isAnyOf", "b", "c")), Relation.OVERLAPPING),
        (scope(purpose("isNoneOf", "a")), scope(purpose("eq", "a")), Relation.CONFLICT),
        (scope(purpose("eq", "b")), scope(purpose("isNoneOf", "a")), Relation.NARROWER),
        (scope(f"[odrl:and {count('lt', 3)}, {purpose('eq', 'a')}]"), scope(count("lt", 3)), Relation.NARROWER),
        (scope(action="odrl:read"), scope(action="odrl:use"), Relation.NARROWER),
        (scope(action="odrl:sell"), scope(action="odrl:use"), Relation.CONFLICT),
        (scope(OR), scope(), Relation.NARROWER),
        (scope(OR), scope(count("lt", 3)), Relation.UNDECIDED),
        (scope(OR, count("lt", 2)), scope(OR, count("lt", 5)), Relation.NARROWER),
        (scope(OR, purpose("eq", "b")), scope(OR, purpose("eq", "c")), Relation.CONFLICT),
        (scope(more=FORBIDDEN), scope(), Relation.NARROWER),
        (scope(more=LATE), scope(count("lteq", 2)), Relation.UNDECIDED),
        (scope(more="odrl:conflict odrl:perm; " + LATE), scope(), Relation.EQUAL),
        (scope(more="odrl:prohibition [odrl:action odrl:use];"), scope(), Relation.NARROWER),
        (scope(more="odrl:prohibition [odrl:action odrl:transfer];"), scope(), Relation.EQUAL),
        (scope(more="odrl:obligation [odrl:action odrl:inform];"), scope(), Relation.NARROWER),
        (scope(constraint("ds:automaticGrant", "eq", "true")), scope(), Relation.WIDER),
        (scope(constraint("ds:automaticGrant", "eq", "false")), scope(), Relation.EQUAL),
        (scope(constraint("ds:providerShare", "eq", "true")), scope(), Relation.NARROWER),
        (
            scope(constraint("odrl:recipient", "eq", "<role:regulator>")),
            scope(constraint("odrl:recipient", "eq", f"<eip155:{account(1)}>")),
            Relation.UNDECIDED,
        ),
        (
            scope(constraint("odrl:recipient", "eq", f"<eip155:{str(account(0xAB)).lower()}>")),
            scope(constraint("odrl:recipient", "eq", f"<eip155:{account(0xAB)}>")),
            Relation.EQUAL,
        ),
        (scope(constraint("odrl:spatial", "isPartOf", "ex:CN")), scope(), Relation.NARROWER),
        (scope(epsilon("lteq", "0.5")), scope(), Relation.NARROWER),
        (scope(epsilon("lteq", "0.5")), scope(epsilon("lt", "0.5")), Relation.WIDER),
        # an epsilon is no count: between 3 and 4 there is more
        (scope(epsilon("lteq", "3")), scope(epsilon("lt", "4")), Relation.NARROWER),
    ],
)
def test_relation_of_two_policies(one: Scope, other: Scope, expected: Relation) -> None:
    mirrored = {Relation.NARROWER: Relation.WIDER, Relation.WIDER: Relation.NARROWER}
    assert relation(one, other) is expected
    assert relation(other, one) is mirrored.get(expected, expected)


def test_comparison_names_each_term() -> None:
    one = scope(count("lteq", 3), purpose("isAnyOf", "a", "b"), more=FORBIDDEN)
    other = scope(count("lteq", 9), purpose("isAnyOf", "b", "c"), constraint("ds:groupSize", "gteq", "5"))
    assert {each.term: each.relation for each in compare_scopes(one, other).terms} == {
        "action": Relation.EQUAL,
        "count": Relation.NARROWER,
        "ds:groupSize": Relation.WIDER,
        "purpose": Relation.OVERLAPPING,
        "recipient": Relation.EQUAL,
        "prohibition ds:reidentify": Relation.NARROWER,
    }


@pytest.mark.parametrize(
    ("one", "other", "term"),
    [
        (scope(purpose("eq", "a")), scope(purpose("eq", "b")), "purpose"),
        (scope(count("lteq", 3)), scope(count("gt", 3)), "count"),
        (scope(action="odrl:sell"), scope(), "action"),
        (
            scope(constraint("odrl:recipient", "eq", "<role:regulator>")),
            scope(constraint("odrl:recipient", "eq", f"<eip155:{account(1)}>")),
            "recipient",
        ),
        (scope_of(policy("odrl:prohibition [odrl:action odrl:use]", profiled=True)), scope(), "permission"),
    ],
)
def test_meet_of_policies_with_nothing_in_common_names_the_term(one: Scope, other: Scope, term: str) -> None:
    for first, second in ((one, other), (other, one)):
        with pytest.raises(PolicyError) as conflict:
            meet(first, second)
        assert conflict.value.term == term


def test_policy_that_leaves_nothing_is_refused_by_its_term() -> None:
    with pytest.raises(PolicyError) as refused:
        scope(count("lt", 3), count("gt", 3))
    assert refused.value.term == "count"


def test_meet_of_offers_compiles_to_the_narrowest_of_each_term() -> None:
    one = offer(
        asset=ASSET,
        provider=PROVIDER,
        not_before=1_000,
        not_after=9_000,
        seconds_per_grant=86_400,
        uses_per_grant=100,
        purposes=["credit scoring", "audit"],
        algorithms=[digest(1), digest(2)],
        automatic_grant=True,
        output_rows=50,
        prohibited=["ds:reidentify"],
    )
    other = offer(
        asset=ASSET,
        provider=account(7),
        not_before=2_000,
        seconds_per_grant=90_061,
        uses_total=5,
        purposes=["credit scoring"],
        algorithms=[digest(2), digest(3)],
        automatic_grant=False,
        provider_share=True,
        group_size=10,
        obliged=["attribute"],
    )
    scopes = [scope_of(read_policy(encode(document), Syntax.JSON_LD)) for document in (one, other)]
    compiled = compile_policy(write_scope(meet(*scopes), uid="urn:meet", asset=ASSET, provider=PROVIDER))
    terms = compiled.terms
    assert (terms.not_before, terms.not_after, terms.seconds_per_grant) == (2_000, 9_000, 86_400)
    assert (terms.uses_per_grant, terms.uses_total) == (100, 5)
    assert (terms.purposes, terms.algorithms) == (("credit scoring",), (digest(2),))
    assert (terms.automatic_grant, terms.provider_share_required, terms.buyer_roles) == (False, True, 2)
    assert (compiled.runtime.max_rows, compiled.runtime.min_group) == (50, 10)
    assert {"prohibition ds:reidentify", "obligation attribute"} <= set(compiled.labels)
    assert compiled.holder.asset == ASSET


def test_bounds_of_results_meet_and_compare_as_bounds() -> None:
    def box(**terms: Any) -> Scope:
        document = offer(asset=ASSET, provider=PROVIDER, group_size=5, **terms)
        return scope_of(read_policy(encode(document), Syntax.JSON_LD))

    one = box(output_bytes=1_000, groups_per_buyer=50, suppress_small_groups=True, columns=["power", "soc"])
    other = box(output_bytes=2_000, groups_per_buyer=20, columns=["soc"])
    assert {each.term: each.relation for each in compare_scopes(one, other).terms if "ds:" in each.term} == {
        "ds:columns": Relation.WIDER,
        "ds:groupSize": Relation.EQUAL,
        "ds:groupsPerBuyer": Relation.WIDER,
        "ds:outputBytes": Relation.NARROWER,
        "ds:suppressSmallGroups": Relation.WIDER,
    }
    for second, suppress in ((other, False), (one, True)):
        met = compile_policy(write_scope(meet(one, second), uid="urn:meet", asset=ASSET, provider=PROVIDER)).runtime
        groups = 20 if second is other else 50
        assert (met.max_bytes, met.groups_per_buyer, met.suppress_groups) == (1_000, groups, suppress)
        assert met.columns == (("soc",) if second is other else ("power", "soc"))


few = st.none() | st.integers(1, 10**6)
some = st.lists(st.integers(1, 9), max_size=3, unique=True)


@given(
    window=st.tuples(st.integers(0, 10**9), st.integers(10**9 + 1, 2**32)),
    numbers=st.tuples(few, few, few, few, few, few, few, few),
    lists=st.tuples(some, some, some, some, some),
    roles=st.lists(st.sampled_from(["buyer", "regulator"]), max_size=2, unique=True),
    flags=st.tuples(*[st.none() | st.booleans()] * 4),
    threshold=st.none() | st.integers(1, 32),
)
@settings(max_examples=40, deadline=None)
def test_offer_read_as_a_graph_means_what_it_compiles_to(
    window: tuple[int, int],
    numbers: tuple[int | None, ...],
    lists: tuple[list[int], ...],
    roles: list[str],
    flags: tuple[bool | None, ...],
    threshold: int | None,
) -> None:
    """Two readers of one document: the strict one that holders compile with, and the one for any ODRL."""
    document = offer(
        asset=ASSET,
        provider=PROVIDER,
        not_before=window[0],
        not_after=window[1],
        seconds_per_grant=numbers[0],
        seconds_per_use=numbers[1],
        uses_per_grant=numbers[2],
        uses_per_buyer=numbers[3],
        uses_total=numbers[4],
        rows_per_buyer=numbers[5],
        output_rows=numbers[6],
        group_size=numbers[7],
        purposes=[f"用途 {number}" for number in lists[0]],
        buyers=[*map(account, lists[1])],
        buyer_roles=roles,
        algorithms=[*map(digest, lists[2])],
        compute_nodes=[*map(account, lists[3])],
        custodians=[*map(account, lists[4])],
        least_threshold=threshold,
        provider_share=flags[0],
        automatic_grant=flags[1],
        compute_by_buyer=flags[2],
        compute_by_custodian=flags[3],
        prohibited=["ds:reidentify"],
        obliged=["attribute"],
    )
    strict = compile_policy(document)
    read = compile_policy(profile_document(read_policy(encode(document), Syntax.JSON_LD)))
    assert read.terms == strict.terms
    assert (read.holder, read.runtime) == (strict.holder, strict.runtime)


def test_policy_in_turtle_becomes_the_document_that_says_the_same() -> None:
    read = policy(
        permission(count("lteq", 3), purpose("isAnyOf", "b", "a")), "odrl:conflict odrl:prohibit; " + FORBIDDEN
    )
    document = profile_document(read)
    assert compile_policy(document).terms.uses_per_grant == 3
    assert scope_of(read_policy(encode(document), Syntax.JSON_LD)) == scope_of(read)
    for rules, term in (
        (permission() + "; odrl:prohibition [odrl:action odrl:sell]", "prohibition"),
        (permission(more="odrl:duty [odrl:action odrl:inform];"), "duty"),
        (permission() + "; " + permission(action="odrl:read"), "permission"),
        (permission(more="odrl:target ex:x;"), "target"),
    ):
        with pytest.raises(PolicyError) as refused:
            profile_document(policy(rules))
        assert refused.value.term == term


# Small worlds and small policies over them, so that every request can be tried.
COUNTS = (0, 1, 2, 3)
PURPOSES = ("a", "b", "c")
ACTIONS = ("use", "play", "display", "sell")

counts = st.builds(
    lambda operator, number: {"leftOperand": "count", "operator": operator, "rightOperand": number},
    st.sampled_from(["lt", "lteq", "gt", "gteq", "eq", "neq"]),
    st.integers(0, 3),
)
purposes = st.builds(
    lambda operator, names: {"leftOperand": "purpose", "operator": operator, "rightOperand": names},
    st.sampled_from(["eq", "isAnyOf", "isNoneOf", "neq", "isAllOf"]),
    st.lists(st.sampled_from(PURPOSES), min_size=1, max_size=2, unique=True),
)
times = st.builds(
    lambda operator, hour: {
        "leftOperand": "dateTime",
        "operator": operator,
        "rightOperand": {"@value": f"1970-01-01T0{hour}:00:00Z", "@type": "xsd:dateTime"},
    },
    st.sampled_from(["lt", "lteq", "gt", "gteq"]),
    st.integers(0, 3),
)
atoms = counts | purposes | times
conditions = atoms | st.builds(
    lambda joined, parts: {joined: {"@list": parts}},
    st.sampled_from(["and", "or", "xone"]),
    st.lists(atoms, min_size=1, max_size=2),
)


def rule(kind: str) -> st.SearchStrategy[dict[str, Json]]:
    return st.builds(
        lambda action, held: {"action": action, "constraint": held} if action else {"constraint": held},
        st.sampled_from([*ACTIONS, None]),
        st.lists(conditions, max_size=2 if kind == "permission" else 1),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    document: dict[str, Json] = {
        "@context": ODRL_CONTEXT,
        "@type": "Set",
        "uid": "urn:p",
        "profile": PROFILE,
        "conflict": draw(st.sampled_from(["perm", "prohibit", "invalid"])),
        "permission": draw(st.lists(rule("permission"), min_size=1, max_size=2)),
    }
    forbidden = draw(st.lists(rule("prohibition"), max_size=1))
    if forbidden:
        document["prohibition"] = forbidden
    return read_policy(encode(document), Syntax.JSON_LD)


CASES = [
    (
        Request("urn:r", "urn:q", action, None, "urn:alice"),
        World(
            {"count": (literal(str(number), XSD + "integer"),), "purpose": (iri(name),), "dateTime": (moment(at),)},
            {"urn:alice": frozenset({"role:buyer"})},
        ),
    )
    for action, number, name, at in product(ACTIONS, COUNTS, PURPOSES, (0, 3600, 5400))
]


def permitted(judged: Policy) -> list[bool]:
    return [evaluate(judged, request, known).decision is Decision.PERMITTED for request, known in CASES]


def try_scope(judged: Policy) -> Scope:
    try:
        return scope_of(judged)
    except PolicyError:
        assume(False)
        raise


@given(policies(), policies())
@settings(max_examples=60, deadline=None)
def test_meet_and_comparison_agree_with_every_request(first: Policy, second: Policy) -> None:
    one, other = try_scope(first), try_scope(second)
    in_first, in_second = permitted(first), permitted(second)
    pairs = list(zip(in_first, in_second, strict=True))
    found = relation(one, other)
    if found in {Relation.NARROWER, Relation.EQUAL}:
        assert all(there or not here for here, there in pairs)
    if found in {Relation.WIDER, Relation.EQUAL}:
        assert all(here or not there for here, there in pairs)
    if found is Relation.CONFLICT:
        assert not any(here and there for here, there in pairs)
    try:
        both = meet(one, other)
    except PolicyError:
        assert not any(here and there for here, there in pairs)
        return
    assert both == meet(other, one)
    assert meet(both, both) == both
    assert meet(one, one) == one
    for narrower in (one, other):
        assert relation(both, narrower) in {Relation.NARROWER, Relation.EQUAL}
    try:
        rewritten = read_policy(encode(write_scope(both, uid="urn:meet")), Syntax.JSON_LD)
    except PolicyError:
        return
    assert permitted(rewritten) == [here and there for here, there in pairs]


@given(policies())
@settings(max_examples=40, deadline=None)
def test_written_scope_is_read_back_as_the_same(judged: Policy) -> None:
    found = try_scope(judged)
    assume(found.boxes)
    assert again(found) == found


def test_a_modules_word_for_its_groups_is_taken_only_where_both_take_it() -> None:
    taking = scope(constraint("ds:declaredGroups", "eq", "true"))
    assert meet(taking, scope()) == scope()
    assert meet(taking, taking) == taking


def test_the_smaller_privacy_budget_is_the_common_one() -> None:
    one, other = scope(epsilon("lteq", "0.5")), scope(epsilon("lteq", "0.25"), count("lteq", 3))
    assert meet(one, other) == other == meet(other, one)
    assert again(meet(one, other)) == other
