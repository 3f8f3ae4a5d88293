"""The house stands as it was drawn: imports run one way, each library has one owner, modules have the size and names
agreed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("capsule", "contracts", "gateway", "node", "audit", "scripts")
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
MOST_LINES = 500
GENERATED_OR_TABLES = {
    *("contracts/events.py", "contracts/records.py", "contracts/structs.py", "contracts/reverts.py"),
    "audit/catalogue.py",
}


def test_imports_run_one_way() -> None:
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout


def test_modules_are_nouns_of_the_domain() -> None:
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert [path for path in modules if path.stem in SAYS_NOTHING] == []


def test_modules_stay_small() -> None:
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    large = {
        path.relative_to(ROOT).as_posix(): lines
        for path in modules
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert {name: lines for name, lines in large.items() if name not in GENERATED_OR_TABLES} == {}
