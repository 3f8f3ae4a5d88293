"""A policy is understood whole, in either syntax, or refused by the name of what is not."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule.canonical import Json, encode
from capsule.errors import FormatError, PolicyError
from capsule.policy.actions import PARENTS
from capsule.policy.model import Conflict, Constraint, Logical, Policy, RuleKind
from capsule.policy.offer import offer
from capsule.policy.rdf import MAX_BYTES, Syntax
from capsule.policy.reading import read_policy
from capsule.policy.scope import scope_of
from capsule.policy.situation import read_request, read_world
from capsule.policy.vocabulary import DECLARABLE, OPERANDS, OPERATORS
from tests.capsule.policy.graphs import constraint, permission, ttl
from tests.capsule.samples import ASSET, PROVIDER, account, digest

CONTEXT = "http://www.w3.org/ns/odrl.jsonld"
PROFILE = "https://dataspace.example/odrl/1"
COUNT = constraint("odrl:count", "lteq", "3")
SET = "ex:p a odrl:Set; "


def from_json(document: Json) -> Policy:
    return read_policy(json.dumps(document).encode(), Syntax.JSON_LD)


def written(**members: Json) -> Json:
    return {"@context": CONTEXT, "@type": "Set", "uid": "urn:p", "permission": [{"action": "use"}], **members}


def test_both_syntaxes_are_read_alike() -> None:
    turtle = read_policy(
        ttl(
            f"<urn:p> a odrl:Offer; odrl:profile <{PROFILE}>; odrl:conflict odrl:prohibit; odrl:assigner ex:a;"
            "odrl:permission <urn:r>; odrl:prohibition <urn:f>; odrl:obligation <urn:o>. <urn:r> odrl:action odrl:read;"
            "odrl:target ex:x; odrl:duty <urn:d>; odrl:constraint <urn:c>. <urn:d> odrl:action odrl:compensate."
            "<urn:c> odrl:or (<urn:c1> <urn:c2>). <urn:c1> odrl:leftOperand odrl:count; odrl:operator odrl:neq;"
            "odrl:rightOperand 3. <urn:c2> odrl:leftOperand ds:columns; odrl:operator odrl:isAnyOf; odrl:rightOperand"
            ' "a", "b". <urn:f> odrl:action ds:reidentify; ds:label "declared". <urn:o> odrl:action odrl:inform.'
        ),
        Syntax.TURTLE,
    )
    json_ld = from_json(
        {
            "@context": [CONTEXT, {"ds": PROFILE + "#", "ex": "http://example.org/"}],
            "@type": "Offer",
            "uid": "urn:p",
            "profile": PROFILE,
            "conflict": "prohibit",
            "assigner": "ex:a",
            "permission": {
                "uid": "urn:r",
                "action": "read",
                "target": "http://example.org/x",
                "duty": [{"@id": "urn:d", "@type": "Duty", "action": "compensate"}],
                "constraint": {
                    "uid": "urn:c",
                    "@type": "LogicalConstraint",
                    "or": {
                        "@list": [
                            {"uid": "urn:c1", "leftOperand": "count", "operator": "neq", "rightOperand": 3},
                            {
                                "uid": "urn:c2",
                                "leftOperand": "ds:columns",
                                "operator": "isAnyOf",
                                "rightOperand": ["a", {"@value": "b", "@type": "xsd:string"}],
                            },
                        ]
                    },
                },
            },
            "prohibition": [{"uid": "urn:f", "action": "ds:reidentify", "ds:label": "declared"}],
            "obligation": [{"uid": "urn:o", "action": "inform"}],
        }
    )
    assert turtle == json_ld
    assert (turtle.type, turtle.conflict, turtle.profiled) == ("Offer", Conflict.PROHIBIT, True)
    (read,) = turtle.rules_of(RuleKind.PERMISSION)
    assert isinstance(read.constraints[0], Logical)
    assert (read.targets, read.assigners) == (("http://example.org/x",), ("http://example.org/a",))
    assert [rule.declared for rule in turtle.rules] == [False, True, False]


def test_our_own_offers_are_read() -> None:
    document = offer(
        asset=ASSET,
        provider=PROVIDER,
        not_after=2_000,
        uses_per_grant=3,
        purposes=["研究", "b"],
        buyers=[account(1)],
        algorithms=[digest(1)],
        provider_share=True,
        prohibited=["ds:reidentify"],
        obliged=["attribute"],
    )
    policy = read_policy(encode(document), Syntax.JSON_LD)
    (rule,) = policy.rules_of(RuleKind.PERMISSION)
    assert [each.left for each in rule.constraints if not isinstance(each, Logical)] == [
        "dateTime",
        "count",
        "purpose",
        "recipient",
        "product",
        "ds:providerShare",
    ]
    assert len(policy.rules) == 3


def test_contexts_are_vendored_and_nothing_is_fetched() -> None:
    assert from_json(written()).rules[0].actions[0].name == "use"
    for context in ("https://example.org/context", [CONTEXT, "http://www.w3.org/ns/odrl.jsonld?"], {"@vocab": "urn:x"}):
        with pytest.raises(FormatError, match=r"^@context"):
            from_json(written(**{"@context": context}))


def test_vendored_context_has_every_word_that_is_known_here() -> None:
    words = [name for name in {*OPERATORS, *OPERANDS, *DECLARABLE, *PARENTS} if not name.startswith("ds:")]
    known = from_json(
        written(permission=[{"action": each} for each in PARENTS if each in words and each != "synchronize"])
    )
    assert {rule.actions[0].name for rule in known.rules} == set(PARENTS) - {"ds:reidentify", "synchronize"}
    for left in {*OPERANDS, *DECLARABLE} & {*words} - {"system"}:
        for operator in OPERATORS:
            held: Json = {"leftOperand": left, "operator": operator, "rightOperand": "x"}
            (rule,) = from_json(written(permission=[{"action": "use", "constraint": held}])).rules
            assert isinstance(rule.constraints[0], Constraint)
            assert (rule.constraints[0].left, rule.constraints[0].operator) == (left, operator)


@pytest.mark.parametrize(
    ("members", "term"),
    [
        ("odrl:inheritFrom ex:parent; " + permission(), "inheritFrom"),
        ("odrl:profile ex:other; " + permission(), "profile"),
        ("odrl:conflict odrl:maybe; " + permission(), "conflict"),
        ("odrl:conflict odrl:perm, odrl:prohibit; " + permission(), "conflict"),
        ("odrl:uid ex:other; " + permission(), "uid"),
        ("odrl:permision [odrl:action odrl:use]", "permision"),
        ("ex:note 5; " + permission(), "http://example.org/note"),
        ("odrl:target ex:a; " + permission(more="odrl:target ex:b;"), "target"),
        ("", "permission"),
        (permission(action="odrl:raed"), "action"),
        (permission(action="ex:read"), "action"),
        (permission(action='"use"'), "IRI"),
        (permission(action="[odrl:refinement " + COUNT + "]"), "action"),
        (permission(action="ds:reidentify"), "profile"),
        (permission(more="odrl:target [];"), "target"),
        (permission(more='odrl:target "x";'), "target"),
        (permission(more="odrl:assignee ex:a. ex:a odrl:refinement " + COUNT) + "]", "FormatError"),
        (permission(more="odrl:prohibition [];"), "prohibition"),
        (permission(more='ds:label "maybe";'), "permission"),
        (permission('"count"'), "constraint"),
        (permission("ex:nothing"), "leftOperand"),
        (permission(COUNT.replace("odrl:count", "odrl:cuont")), "cuont"),
        (permission(COUNT.replace("odrl:count", "ex:mood")), "http://example.org/mood"),
        (permission(COUNT.replace("odrl:count", "ds:usesTotal")), "profile"),
        (permission(COUNT.replace("odrl:lteq", "odrl:neg")), "count"),
        (permission(COUNT.replace("odrl:lteq", "ex:lteq")), "count"),
        (permission(COUNT.replace("3", "[]")), "count"),
        (permission("[odrl:leftOperand odrl:count; odrl:operator odrl:eq]"), "count"),
        (permission(constraint("odrl:count", "eq", "3", "; odrl:rightOperandReference ex:r")), "rightOperandReference"),
        (permission(constraint("odrl:count", "eq", "3", "; odrl:status 1")), "status"),
        (permission(constraint("odrl:count", "eq", "3", '; ds:label "declared"')), "count"),
        (permission(constraint("odrl:count", "eq", "3", f"; odrl:and {COUNT}")), "and"),
        (permission(f"[odrl:and {COUNT}; odrl:or {COUNT}]"), "and"),
        (permission(f"[odrl:andSequence ({COUNT})]"), "andSequence"),
        (
            permission() + ". ex:stray a odrl:Prohibition; odrl:action odrl:use",
            "http://www.w3.org/1999/02/22-rdf-syntax-ns#type",
        ),
        (permission() + ". ex:x odrl:hasPolicy ex:p", "hasPolicy"),
        (permission() + ". ex:q a odrl:Offer", "@type"),
        (permission(more="a odrl:Prohibition;"), "@type"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(members: str, term: str) -> None:
    with pytest.raises((PolicyError, FormatError)) as refused:
        read_policy(ttl(SET + members + " ."), Syntax.TURTLE)
    if term != "FormatError":
        assert isinstance(refused.value, PolicyError)
        assert refused.value.term == term


@pytest.mark.parametrize("kind", ["Policy", "Ticket", "Request", "Privacy", "Assertion"])
def test_other_policies_are_not_read(kind: str) -> None:
    with pytest.raises(PolicyError, match="@type"):
        read_policy(ttl(f"ex:p a odrl:{kind}; {permission()} ."), Syntax.TURTLE)


@pytest.mark.parametrize(
    ("kind", "members", "term"),
    [("Offer", "", "assigner"), ("Agreement", "odrl:assigner ex:a;", "assignee"), ("Agreement", "", "assigner")],
)
def test_offers_and_agreements_name_their_parties(kind: str, members: str, term: str) -> None:
    with pytest.raises(PolicyError) as refused:
        read_policy(ttl(f"ex:p a odrl:{kind}; {members} {permission()} ."), Syntax.TURTLE)
    assert refused.value.term == term


@pytest.mark.parametrize(
    "document",
    [
        written(permission=[{"action": "use", "constriant": []}]),
        written(permission=[{"action": "use", "constriant": [{"leftOperand": "count"}]}]),
        written(permission=[{"action": "raed"}]),
        written(permission=[{"action": "use", "target": "station"}]),
        written(permission=[{"action": "use", "target": "http://example.org/a b"}]),
        written(permission=[{"action": "use", "target": None}]),
        written(permission=[{"action": "use", "target": []}]),
        written(permission=[{"action": "use", "assignee": {"@list": []}}]),
        written(permission=[{"action": "use", "assignee": {"@id": "urn:a", "@reverse": {"target": "urn:b"}}}]),
        written(permission=[{"action": "use", "_:target": "urn:a"}]),
        written(permission=[{"action": "use", "@nest": {"target": "urn:a"}}]),
        written(permission=[{"action": "use", "@context": {"target": None}, "target": "urn:a"}]),
        written(permission={"@graph": [{"action": "use"}]}),
        written(permission={"action": "use", "assignee": ["a b", "c d"]}, **{"dct:description": {"@list": [["x"]]}}),
        written(permission=[{"action": "use", "constraint": {"@set": [None]}}]),
        written(**{"@context": [CONTEXT, {"constraint": "urn:nothing"}]}),
        written(**{"@context": [CONTEXT, {"mine": "@type"}]}),
        written(**{"@context": [CONTEXT, {"@base": "http://example.org/"}]}),
        written(**{"@context": [CONTEXT, None]}),
        written(**{"@type": ["Set", "Offer"]}),
        [],
        [[]],
        {},
        None,
        "policy",
        7,
    ],
)
def test_nothing_that_json_ld_would_drop_is_dropped(document: Json) -> None:
    with pytest.raises((PolicyError, FormatError)):
        from_json(document)


def test_documents_are_bounded() -> None:
    deep = COUNT
    for _ in range(20):
        deep = f"[odrl:and {deep}]"
    with pytest.raises(PolicyError, match="nested deeper"):
        read_policy(ttl(SET + permission(deep) + " ."), Syntax.TURTLE)
    loop = permission("ex:c") + ". ex:c odrl:and ex:d. ex:d odrl:or ex:c ."
    with pytest.raises(PolicyError, match="nested deeper"):
        read_policy(ttl(SET + loop), Syntax.TURTLE)
    doubling = "".join(f"ex:c{n} odrl:and ex:c{n + 1}, ex:d{n}. ex:d{n} odrl:or ex:c{n + 1}. " for n in range(15))
    with pytest.raises(PolicyError):
        read_policy(ttl(SET + permission("ex:c0") + ". " + doubling + "ex:c15 odrl:and ex:c15."), Syntax.TURTLE)
    many = ", ".join(f'"{number}"' for number in range(1025))
    with pytest.raises(PolicyError, match="more than 1024"):
        read_policy(ttl(SET + permission(constraint("odrl:purpose", "isAnyOf", many)) + " ."), Syntax.TURTLE)
    shared = ", ".join(
        f"[odrl:leftOperand odrl:purpose; odrl:operator odrl:eq; odrl:rightOperand _:{n}]" for n in "l" * 70
    )
    cells = "".join(f"_:l{n or ''} rdf:first {n}; rdf:rest {f'_:l{n + 1}' if n < 999 else '()'}. " for n in range(1000))
    with pytest.raises(PolicyError, match="more than 65536"):
        read_policy(ttl(SET + f"odrl:permission [odrl:constraint {shared}]. {cells}"), Syntax.TURTLE)
    rules = "; ".join(permission(constraint("odrl:count", "eq", str(number))) for number in range(17))
    with pytest.raises(PolicyError, match="more than 16"):
        scope_of(read_policy(ttl(SET + rules + " ."), Syntax.TURTLE))
    for syntax in Syntax:
        with pytest.raises(FormatError, match="more than"):
            read_policy(b" " * (MAX_BYTES + 1), syntax)
    with pytest.raises(FormatError):
        read_policy(ttl("ex:a ex:b " + "(" * 100_000), Syntax.TURTLE)
    broken = permission("ex:l") + ". ex:l odrl:and _:l. _:l rdf:first " + COUNT + "; rdf:rest _:l ."
    with pytest.raises(FormatError, match="broken"):
        read_policy(ttl(SET + broken), Syntax.TURTLE)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("odrl:permission [odrl:action odrl:use], [odrl:action odrl:read]", "permission"),
        ("odrl:prohibition [odrl:action odrl:use]", "prohibition"),
        ("odrl:permission [odrl:action ex:look]", "action"),
        ("odrl:permission [odrl:target ex:a, ex:b]", "target"),
        (f"odrl:permission [odrl:constraint {constraint('odrl:count', 'eq', '0')}]", "count"),
        (f"odrl:permission [odrl:constraint {constraint('odrl:purpose', 'neq', 'ex:a')}]", "purpose"),
        (f"odrl:permission [odrl:duty {COUNT}]", "duty"),
    ],
)
def test_request_asks_for_one_thing_and_claims_only_what_is_its_own(text: str, term: str) -> None:
    with pytest.raises(PolicyError) as refused:
        read_request(ttl(f"ex:r a odrl:Request; {text} ."), Syntax.TURTLE)
    assert refused.value.term == term


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("ex:w ds:fact [odrl:leftOperand odrl:cuont; odrl:rightOperand 3].", "cuont"),
        ("ex:w ds:fact [odrl:leftOperand odrl:count].", "count"),
        ("ex:w ds:fact [odrl:leftOperand odrl:count; odrl:rightOperand 3; odrl:unit ex:u].", "unit"),
        (
            "ex:w ds:fact [odrl:leftOperand odrl:count; odrl:rightOperand 3],"
            "[odrl:leftOperand odrl:count; odrl:rightOperand 4].",
            "count",
        ),
        ("ex:x odrl:partOff ex:y.", "partOff"),
        ("ex:r report:rule ex:d; report:deonticState report:Done.", "deonticState"),
        ("ex:r report:deonticState report:Fulfilled.", "deonticState"),
    ],
)
def test_world_says_only_what_is_understood(text: str, term: str) -> None:
    with pytest.raises(PolicyError) as refused:
        read_world(ttl(text), Syntax.TURTLE)
    assert refused.value.term == term


NAMES = [
    "odrl:permission",
    "odrl:prohibition",
    "odrl:duty",
    "odrl:action",
    "odrl:constraint",
    "odrl:leftOperand",
    "odrl:and",
    "odrl:operator",
    "odrl:rightOperand",
    "odrl:target",
    "odrl:profile",
    "odrl:conflict",
    "rdf:first",
    "rdf:rest",
    "a",
]
THINGS = ["ex:p", "ex:r", "ex:c", "_:b", "_:d", "odrl:use", "odrl:count", "odrl:eq", "odrl:Set", "rdf:nil", "3", '"x"']
MEMBERS = ["@id", "@value", "@type", "@list", "@set", "@graph", "uid", "leftOperand", "operator", "action", "and", "x"]
PLACES = ["@context", "@type", "uid", "profile", "permission", "target", "constraint", "@id"]
triples = st.lists(st.tuples(st.sampled_from(THINGS[:5]), st.sampled_from(NAMES), st.sampled_from(THINGS)), max_size=12)


@given(triples)
@settings(max_examples=150, deadline=None)
def test_fuzz_graphs_end_in_a_policy_or_in_an_error_of_ours(found: list[tuple[str, str, str]]) -> None:
    text = SET + permission("ex:c") + ". ex:c odrl:leftOperand odrl:count. "
    data = ttl(text + " ".join(f"{subject} {name} {value}." for subject, name, value in found))
    for read in (read_policy, read_request, read_world):
        try:
            read(data, Syntax.TURTLE)
        except (PolicyError, FormatError):
            continue


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5) | st.just("urn:a"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, st.sampled_from(PLACES))
@settings(max_examples=150, deadline=None)
def test_fuzz_documents_end_in_a_policy_or_in_an_error_of_ours(value: Json, place: str) -> None:
    document = written(**{place: value})
    if place == "constraint":
        document = written(permission=[{"action": "use", "constraint": value}])
    try:
        from_json(document)
    except (PolicyError, FormatError):
        return


@given(st.binary(max_size=200), st.sampled_from(Syntax))
@settings(max_examples=100, deadline=None)
def test_fuzz_bytes_end_in_an_error_of_ours(data: bytes, syntax: Syntax) -> None:
    with pytest.raises((PolicyError, FormatError)):
        read_policy(data, syntax)
