"""Writes docs/findings.md from the catalogue of rules.

`python -m scripts.build_findings` writes; with `--check` it names the page and exits with 1 where it is not what the
catalogue gives.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from audit.catalogue import RULES, Label, Rule, Severity
from audit.remedies import ACCUSED_ZH

__all__ = ["PAGE", "build_page", "main"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "findings.md"
SEVERITIES = {Severity.CRITICAL: "严重", Severity.HIGH: "高", Severity.MEDIUM: "中"}
LABELS = {Label.PROVEN: "已证明", Label.CHECKED: "已核查", Label.ATTESTED: "单方签名"}
HEAD = """# Findings

All {count} rules of the audit, made from `audit/catalogue.py` by `python -m scripts.build_findings`; change it there.
For each a test plants the violation and expects this finding and no other (`tests/audit/plants.py`); honest histories
give none (`tests/audit/test_random.py`). Who lies how, and which rule finds it:
[threat model](threat-model.md#what-a-lie-looks-like).

| label | rests on |
| --- | --- |
| `proven` 已证明 | chain events alone 仅凭链上事件 |
| `checked` 已核查 | also documents and logs that their owner must serve 另凭责任方须提供的文件与日志 |
| `attested` 单方签名 | one party's signature 单方签名 |

Where the record itself is broken, findings of other rules are `tentative` and accuse nobody.

| severity | means |
| --- | --- |
| `critical` 严重 | the record can't be trusted, or data was opened against its terms 记录不可信,或数据被违约打开 |
| `high` 高 | somebody broke a promise that others rely on 违反他人所依赖的承诺 |
| `medium` 中 | somebody is silent, late, or contradicts itself 沉默、迟延或自相矛盾 |

Section is the one of the design that the rule enforces; evidence names the values that every finding carries.

| rule | severity | label | section |
| --- | --- | --- | --- |
{rows}
"""


def build_page() -> str:
    """The page, as it must stand in docs."""
    rows = "\n".join(
        f"| [`{rule.id}`](#{rule.id}) | {rule.severity} | {rule.label} | {rule.section} |" for rule in RULES.values()
    )
    page = HEAD.format(count=len(RULES), rows=rows)
    return page + "".join(f"\n{line}\n" for rule in RULES.values() for line in _entry(rule))


def _entry(rule: Rule) -> Iterable[str]:
    evidence = ", ".join(f"`{name}`" for name in rule.evidence)
    yield f"## {rule.id}"
    yield f"{rule.means_en}\n\n{rule.means_zh}"
    yield (
        "| | |\n| --- | --- |\n"
        f"| severity 级别 | {rule.severity} {SEVERITIES[rule.severity]} |\n"
        f"| label 依据 | {rule.label} {LABELS[rule.label]} |\n"
        f"| section 设计章节 | {rule.section} |\n"
        f"| accused 责任方 | {rule.accused}; {ACCUSED_ZH[rule.accused]} |\n"
        f"| evidence 证据 | {evidence} |\n"
        f"| says | {rule.text_en} |\n"
        f"| 表述 | {rule.text_zh} |\n"
        f"| to do | {rule.remedy_en} |\n"
        f"| 处置 | {rule.remedy_zh} |"
    )


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.build_findings", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the page differs")
    check: bool = parser.parse_args(arguments).check
    page = build_page()
    if PAGE.is_file() and PAGE.read_text("utf-8") == page:
        return 0
    if not check:
        PAGE.write_text(page, "utf-8")
    sys.stdout.write(f"docs/{PAGE.name} {'differs' if check else 'written'}\n")
    return 1 if check else 0


if __name__ == "__main__":
    sys.exit(main())
