"""`dataspace policy` on files: what people see, in both syntaxes, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from capsule.policy.compiler import compile_policy
from scripts.cli.policy import app
from tests.capsule.samples import ASSET, PROVIDER

ODRL = "@prefix odrl: <http://www.w3.org/ns/odrl/2/>. @prefix ds: <https://dataspace.example/odrl/1#>.\n"
POLICY = f"""{ODRL}
<urn:p> a odrl:Offer; odrl:profile <https://dataspace.example/odrl/1>; odrl:assigner <eip155:{PROVIDER}>;
  odrl:conflict odrl:prohibit; odrl:prohibition [odrl:action ds:reidentify; ds:label "declared"];
  odrl:permission [odrl:action odrl:use; odrl:target <urn:dataspace:asset:{ASSET}>; odrl:constraint
    [odrl:leftOperand odrl:count; odrl:operator odrl:lteq; odrl:rightOperand 3],
    [odrl:leftOperand odrl:purpose; odrl:operator odrl:eq; odrl:rightOperand "credit scoring"]].
"""
REQUEST = f"""{ODRL}
<urn:r> a odrl:Request; odrl:permission [odrl:action odrl:use; odrl:assignee <urn:bank>;
  odrl:target <urn:dataspace:asset:{ASSET}>; odrl:constraint
    [odrl:leftOperand odrl:purpose; odrl:operator odrl:eq; odrl:rightOperand "credit scoring"]].
"""
WORLD = f"""{ODRL}
<urn:bank> odrl:partOf <role:buyer>. <urn:w> ds:fact [odrl:leftOperand odrl:count; odrl:rightOperand NUMBER].
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "policy.ttl").write_text(POLICY, "utf-8")
    (tmp_path / "request.ttl").write_text(REQUEST, "utf-8")
    for name, number in (("few", "2"), ("many", "4")):
        (tmp_path / f"{name}.ttl").write_text(WORLD.replace("NUMBER", number), "utf-8")
    return tmp_path


def run(files: Path, status: int, *words: str) -> Any:
    result = CliRunner().invoke(app, [str(files / word) if "." in word else word for word in words] + ["--json"])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if result.stdout else None


def test_policy_in_turtle_is_compiled_to_the_document_for_the_chain(files: Path) -> None:
    told = run(files, 0, "compile", "policy.ttl", "--out", "policy.json")
    assert told["labels"]["prohibition ds:reidentify"] == ["declared"]
    assert told["labels"]["count"] == ["chain", "holder"]
    assert told["terms"]["uses_per_grant"] == 3
    assert (told["holders"]["asset"], told["runtime"]["min_group"]) == (str(ASSET), 1)
    document = json.loads((files / "policy.json").read_bytes())
    assert str(compile_policy(document).policy_hash) == told["policy_hash"]
    assert run(files, 0, "compile", "policy.json") == told


@pytest.mark.parametrize("syntax", ["policy.ttl", "policy.json"])
def test_request_is_explained_term_by_term_in_two_languages(files: Path, syntax: str) -> None:
    run(files, 0, "compile", "policy.ttl", "--out", "policy.json")
    permitted = run(files, 0, "explain", syntax, "request.ttl", "--world", "few.ttl")
    terms = {line["term"]: line for line in permitted["terms"] if line["rule"] == permitted["rules"][0]["rule"]}
    assert (permitted["decision"], permitted["enforced"]) == ("permitted", True)
    assert (terms["count"]["by"], terms["count"]["state"]) == (["chain", "holder"], "Satisfied")
    assert "at most 3" in terms["count"]["en"]
    assert "不超过 3" in terms["count"]["zh"]
    for world, state in (("many.ttl", "Unsatisfied"), (None, "Unknown")):
        more = () if world is None else ("--world", world)
        refused = run(files, 3, "explain", syntax, "request.ttl", *more)
        assert refused["decision"] == "not permitted"
        assert {line["state"] for line in refused["terms"] if line["term"] == "count"} == {state}


def test_meet_of_a_policy_and_a_template_can_be_published(files: Path) -> None:
    ours = ("--asset", str(ASSET), "--provider", str(PROVIDER))
    run(files, 0, "template", "credit-scoring", *ours, "--out", "offer.json")
    told = run(files, 0, "meet", "policy.ttl", "offer.json", *ours)
    assert told["publishable"]
    assert told == run(files, 0, "meet", "offer.json", "policy.ttl", *ours)
    assert compile_policy(told["policy"]).terms.uses_per_grant == 3
    compared = run(files, 0, "compare", "policy.ttl", "offer.json")
    relations = {line["term"]: line["relation"] for line in compared["terms"]}
    assert (compared["relation"], relations["count"], relations["elapsedTime"]) == ("overlapping", "narrower", "wider")
    run(files, 0, "template", "trial", *ours, "--out", "trial.json")
    assert run(files, 1, "compare", "policy.ttl", "trial.json")["relation"] == "conflict"
    run(files, 3, "meet", "policy.ttl", "trial.json")


def test_people_see_tables_and_one_sentence_for_an_error(files: Path) -> None:
    policy, request, world = (str(files / name) for name in ("policy.ttl", "request.ttl", "few.ttl"))
    for words, seen in (
        (["compile", policy], "enforced on chain"),
        (["compare", policy, policy], "equal"),
        (["template"], "credit-scoring"),
        (["explain", policy, request, "--world", world], "decision: permitted"),
    ):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        assert seen in result.stdout
    (files / "bad.ttl").write_text(POLICY.replace("odrl:count", "odrl:cuont"), "utf-8")
    for word in ("bad.ttl", "missing.ttl"):
        result = CliRunner().invoke(app, ["compile", str(files / word)])
        assert result.exit_code in {2, 3}
        assert result.stderr.count("\n") == 1
    assert CliRunner().invoke(app, ["template", "nothing"]).exit_code == 2
    assert CliRunner().invoke(app, ["template", "trial"]).exit_code == 2
