"""The attacker's table of the threat model: what it names is there, and no rule is missing from it."""

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

from audit.findings import RULES
from audit.steps import TITLES
from tests.audit.plants import PLANTS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "threat-model.md"
WHO = {
    "provider",
    "buyer",
    "custodian",
    "compute node",
    "gateway",
    "device owner",
    "operator",
    "RPC server",
    "regulator's database administrator",
}
STEP = re.compile(r"step `(?P<title>[a-z ]+)` fails")
TEST = re.compile(r"(?P<path>tests/[a-z_/]+\.py)::(?P<name>\w+)(?:\[(?P<case>[a-z-]+)\])?")
PLANTED = "test_planted_violation_is_exactly_what_is_found"


def rows() -> list[list[str]]:
    section = PAGE.read_text("utf-8").split("## What a lie looks like", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


ROWS = rows()
IDS = [f"{row[0]}: {row[1]}"[:80] for row in ROWS]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def is_loud_stop(name: str) -> bool:
    modules = (importlib.import_module(f"{package}.errors") for package in ("capsule", "contracts", "audit"))
    return any(isinstance(getattr(module, name, None), type) for module in modules)


def test_every_participant_lies_and_every_rule_finds() -> None:
    assert {row[0] for row in ROWS} == WHO
    named = {name for row in ROWS for name in quoted(row[2])}
    assert set(RULES) <= named


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_row_names_rules_or_stops_and_tests_that_are_there(row: list[str]) -> None:
    _, lie, finds, told = row
    step = STEP.fullmatch(finds)
    finders = [step["title"]] if step else quoted(finds)
    assert lie
    assert finders
    assert quoted(told)
    for name in finders:
        assert name in RULES or name in TITLES or is_loud_stop(name), name
    for test in quoted(told):
        found = TEST.fullmatch(test)
        assert found is not None, test
        assert found["name"] in functions(found["path"]), test
        if found["name"] == PLANTED:
            assert found["case"] in PLANTS
            assert found["case"] in finders
        else:
            assert found["case"] is None
    planted = {found["case"] for test in quoted(told) if (found := TEST.fullmatch(test)) and found["case"]}
    rules = set(finders) & set(RULES)
    assert planted == rules or len(quoted(told)) > len(planted)
