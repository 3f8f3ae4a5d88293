"""Templates compile, and have enforced what their text promises."""

import re

import pytest

from capsule.canonical import encode
from capsule.policy.compare import Relation, compare_scopes
from capsule.policy.compiler import compile_policy
from capsule.policy.rdf import Syntax
from capsule.policy.reading import read_policy
from capsule.policy.scope import scope_of
from capsule.policy.templates import TEMPLATES, offer_from
from capsule.policy.vocabulary import Label
from tests.capsule.samples import ASSET, PROVIDER, account, digest


def test_credit_scoring_is_enforced_as_far_as_it_can_be() -> None:
    compiled = compile_policy(offer_from(TEMPLATES["credit-scoring"], asset=ASSET, provider=PROVIDER))
    assert compiled.terms.purposes == ("credit scoring",)
    assert (compiled.terms.seconds_per_grant, compiled.terms.uses_per_grant) == (30 * 86_400, 100)
    assert (compiled.runtime.max_rows, compiled.runtime.min_group) == (1_000, 10)
    assert compiled.labels == {
        "elapsedTime": Label.CHAIN | Label.HOLDER,
        "count": Label.CHAIN | Label.HOLDER,
        "purpose": Label.DECLARED,
        "ds:outputRows": Label.RUNTIME,
        "ds:groupSize": Label.RUNTIME,
        "ds:providerShare": Label.CHAIN | Label.HOLDER,
        "ds:automaticGrant": Label.CHAIN | Label.HOLDER,
        "prohibition ds:reidentify": Label.DECLARED,
    }


def test_statistics_let_out_nothing_without_noise() -> None:
    runtime = compile_policy(offer_from(TEMPLATES["statistics"], asset=ASSET, provider=PROVIDER)).runtime
    assert (str(runtime.epsilon_per_use), str(runtime.epsilon_per_buyer)) == ("1", "10")


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_says_its_days_and_uses_and_marks_what_is_declared(name: str) -> None:
    template = TEMPLATES[name]
    compiled = compile_policy(offer_from(template, asset=ASSET, provider=PROVIDER))
    numbers = {int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*", template.english)}
    assert numbers <= {compiled.terms.seconds_per_grant // 86_400, compiled.terms.uses_per_grant}
    assert any("\u4e00" <= letter <= "\u9fff" for letter in template.chinese)
    assert compiled.terms.provider_share_required
    assert {label for term, label in compiled.labels.items() if " " in term} <= {Label.DECLARED}


def test_template_is_narrowed_by_algorithms_and_buyers() -> None:
    template = TEMPLATES["supervision"]
    plain = offer_from(template, asset=ASSET, provider=PROVIDER)
    named = offer_from(
        template, asset=ASSET, provider=PROVIDER, algorithms=[digest(1)], buyers=[account(1)], not_after=9_000
    )
    terms = compile_policy(named).terms
    assert (terms.algorithms, terms.buyers, terms.buyer_roles, terms.not_after) == (
        (digest(1),),
        (account(1),),
        0,
        9_000,
    )
    assert compile_policy(plain).terms.buyer_roles == 32
    scopes = [scope_of(read_policy(encode(document), Syntax.JSON_LD)) for document in (named, plain)]
    assert compare_scopes(*scopes).relation is Relation.UNDECIDED
