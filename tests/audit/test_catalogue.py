"""The catalogue of rules, and the public surface of the package."""

import ast
import importlib
import string
from pathlib import Path

import pytest

import audit
from audit.findings import RULES, Label, Rule, Severity, Subject, found
from audit.remedies import ACCUSED_ZH
from scripts.build_findings import PAGE, build_page, main

PACKAGE = Path(audit.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def names_in(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_rule_says_the_same_in_both_languages(rule: Rule) -> None:
    assert names_in(rule.text_en) == names_in(rule.text_zh)
    assert rule.severity in Severity
    assert rule.label in Label
    assert rule.section.isdecimal()
    assert any("\u4e00" <= letter <= "\u9fff" for letter in rule.text_zh)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_rule_says_what_it_means_whom_it_accuses_and_what_to_do(rule: Rule) -> None:
    assert names_in(rule.text_en) <= set(rule.evidence)
    assert rule.accused in ACCUSED_ZH
    for english, chinese in ((rule.means_en, rule.means_zh), (rule.remedy_en, rule.remedy_zh)):
        assert english.endswith(".")
        assert chinese.endswith("。")
        assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)


def test_page_of_findings_is_the_catalogue() -> None:
    page = PAGE.read_text("utf-8")

    assert page == build_page()
    for rule in RULES.values():
        assert page.count(f"\n## {rule.id}\n") == 1
        assert rule.means_en in page
        assert rule.means_zh in page


def test_check_names_a_page_that_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("scripts.build_findings.PAGE", tmp_path / "findings.md")

    assert main(["--check"]) == 1
    assert not (tmp_path / "findings.md").exists()
    assert main([]) == 0
    assert main(["--check"]) == 0
    assert capsys.readouterr().out == "docs/findings.md differs\ndocs/findings.md written\n"


def test_finding_carries_what_its_text_names() -> None:
    with pytest.raises(KeyError):
        found("seq-gap", Subject("contract", "Access"), contract="Access")
    with pytest.raises(KeyError, match="block"):
        found("grant-while-live", Subject("grant", "0x00"), buyer="0x00", live="0x01")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_module_has_a_docstring_and_lists_what_it_exports(path: Path) -> None:
    name = ".".join(("audit", *path.relative_to(PACKAGE).with_suffix("").parts))
    module = importlib.import_module(name)

    assert module.__doc__
    assert all(hasattr(module, exported) for exported in module.__all__)
    assert len(path.read_text("utf-8").splitlines()) <= 500


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_packages_import_nothing_by_themselves(path: Path) -> None:
    assert not [
        node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Import | ast.ImportFrom)
    ]
