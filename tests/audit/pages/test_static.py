"""Vendored files are those of the packages that package.json pins, and licences come along."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from audit.pages import drawing

ROOT = Path(__file__).parents[3]
VENDOR = drawing.STATIC / "vendor"
RECORDS = json.loads((VENDOR / "vendored.json").read_text("utf-8"))


@pytest.mark.parametrize("record", RECORDS, ids=[record["file"] for record in RECORDS])
def test_vendored_file_is_the_packages(record: dict[str, str]) -> None:
    content = (VENDOR / record["file"]).read_bytes()
    pinned = json.loads((ROOT / "package.json").read_text("utf-8"))["devDependencies"]
    installed = ROOT / "node_modules" / record["package"] / record["path"]

    assert hashlib.sha256(content).hexdigest() == record["sha256"]
    assert pinned[record["package"]] == record["version"]
    if installed.exists():
        assert installed.read_bytes() == content


def test_every_vendored_file_is_recorded_with_a_permissive_licence() -> None:
    assert {path.name for path in VENDOR.iterdir()} == {"vendored.json", *(record["file"] for record in RECORDS)}
    assert {record["licence"] for record in RECORDS} <= {"0BSD", "MIT"}
    licensed = {record["package"] for record in RECORDS if "LICENSE" in record["file"]}
    assert licensed == {record["package"] for record in RECORDS}


def test_pages_ask_nobody_else_for_anything() -> None:
    own = [*drawing.STATIC.glob("*.*"), *(drawing.STATIC.parent / "templates").glob("*.html")]

    for path in own:
        text = path.read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "http://" not in text, path
        assert "https://" not in text, path
