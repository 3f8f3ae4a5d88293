"""Policies, requests and worlds in Turtle, as short as the tests need them."""

from capsule.policy.evaluation import DutyMode, PolicyReport, evaluate
from capsule.policy.model import Policy, World
from capsule.policy.rdf import Syntax
from capsule.policy.reading import read_policy
from capsule.policy.situation import read_request, read_world

PREFIXES = """
@prefix odrl: <http://www.w3.org/ns/odrl/2/>.
@prefix ds: <https://dataspace.example/odrl/1#>.
@prefix ex: <http://example.org/>.
@prefix xsd: <http://www.w3.org/2001/XMLSchema#>.
@prefix dct: <http://purl.org/dc/terms/>.
@prefix temp: <http://example.com/request/>.
@prefix report: <https://w3id.org/force/compliance-report#>.
@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#>.
"""


def ttl(text: str) -> bytes:
    return (PREFIXES + text).encode()


def constraint(left: str, operator: str, right: str, more: str = "") -> str:
    return f"[odrl:leftOperand {left}; odrl:operator odrl:{operator}; odrl:rightOperand {right} {more}]"


def policy(rules: str, more: str = "", *, profiled: bool = False) -> Policy:
    """A Set with these rules, with our profile where its terms are used."""
    profile = "odrl:profile <https://dataspace.example/odrl/1>;" if profiled or "ds:" in rules + more else ""
    return read_policy(ttl(f"ex:policy a odrl:Set; {profile} {more} {rules} ."), Syntax.TURTLE)


def permission(*constraints: str, action: str = "odrl:use", more: str = "") -> str:
    joined = f"odrl:constraint {', '.join(constraints)};" if constraints else ""
    return f"odrl:permission [odrl:action {action}; {more} {joined}]"


def world(*facts: tuple[str, str], more: str = "") -> World:
    told = " ".join(f"ex:world ds:fact [odrl:leftOperand {left}; odrl:rightOperand {right}]." for left, right in facts)
    member = "" if "role:buyer" in more else " ex:alice odrl:partOf <role:buyer>."
    return read_world(ttl(told + more + member), Syntax.TURTLE)


def judge(
    judged: Policy,
    known: World | None = None,
    *,
    action: str = "odrl:use",
    claims: str = "",
    more: str = "odrl:assignee ex:alice; odrl:target ex:x;",
    duties: DutyMode = DutyMode.FULFILLED,
) -> PolicyReport:
    asked = f"odrl:constraint {claims};" if claims else ""
    text = f"ex:request a odrl:Request; odrl:permission [odrl:action {action}; {more} {asked}]."
    return evaluate(judged, read_request(ttl(text), Syntax.TURTLE), known or world(), duties=duties)
