"""docs/policies.md says who enforces each term as the code does, and each of its cells has a test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from capsule.policy.vocabulary import OPERANDS, Label
from tests.contracts.solidity import test_policy_terms as chain
from tests.node import test_policy_terms as holder
from tests.node.runtime import test_policy_terms as runtime

PAGE: Final = Path(__file__).parents[1] / "docs" / "policies.md"
ROOT: Final = PAGE.parents[1]
PARTIES: Final = (Label.CHAIN, Label.HOLDER, Label.RUNTIME)
ROWS: Final = {
    name: (declared, cells)
    for name, declared, cells in (
        (found[1], bool(found[2]), dict(zip(PARTIES, found[3].split("|")[1:], strict=True)))
        for found in re.finditer(r"^\| `([\w:]+)`( \(declared\))? \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    )
}
TRIALS: Final[Mapping[Label, Mapping[str, object]]] = {
    Label.CHAIN: chain.TRIALS,
    Label.HOLDER: holder.TRIALS,
    Label.RUNTIME: runtime.TRIALS,
}


def test_every_term_has_its_row_in_the_vocabularys_order() -> None:
    assert list(ROWS) == list(OPERANDS)


def test_the_cells_are_those_of_the_parties_that_enforce_the_term() -> None:
    for term, (declared, cells) in ROWS.items():
        said = [label for label, cell in cells.items() if cell.strip()]
        assert declared == (OPERANDS[term].label is Label.DECLARED), term
        if not declared:
            assert said == list(OPERANDS[term].label), term


def test_every_cell_has_a_test_and_every_test_a_cell() -> None:
    for label, trials in TRIALS.items():
        assert set(trials) == {term for term, (_, cells) in ROWS.items() if cells[label].strip()}, label


def test_the_tests_that_the_page_names_are_there() -> None:
    text = PAGE.read_text("utf-8")
    modules = [ROOT / path for path in re.findall(r"`(tests/[\w/]+\.py)`", text)]
    sources = "".join(module.read_text("utf-8") for module in modules)
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(modules) == 3
    assert named
    assert all(f"def {name}(" in sources for name in named)
