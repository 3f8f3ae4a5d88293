"""The committed bindings are what the committed ABI gives, and cover all of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from contracts import bindings, structs
from contracts.events import DECODERS
from contracts.generate import CONTRACTS, generate
from contracts.kinds import ENUMS, enum_name, snake_case
from contracts.reverts import REVERTS

_ROOT = Path(__file__).parents[2]
_ABI = _ROOT / "contracts/abi"


def test_committed_files_are_current() -> None:
    for path, text in generate(_ABI, _ROOT / "contracts").items():
        assert path.read_text("utf-8") == text, f"{path} is stale: run python -m scripts.build_contracts"


def test_no_binding_is_left_over() -> None:
    made = {path for path in generate(_ABI, _ROOT / "contracts") if path.parent.name == "bindings"}
    assert set((_ROOT / "contracts/bindings").glob("*.py")) == made


def test_same_abi_same_bytes(tmp_path: Path) -> None:
    assert generate(_ABI, tmp_path) == generate(_ABI, tmp_path)


def test_formatter_leaves_it_alone(tmp_path: Path) -> None:
    for path, text in generate(_ABI, tmp_path).items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "120", "--diff", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_function_event_and_error_is_there(contract: str) -> None:
    abi = json.loads((_ABI / f"{contract}.json").read_text("utf-8"))["abi"]
    binding = getattr(bindings, contract)
    names = {name for name, _ in REVERTS.values()}
    decoded = {decoder.__self__.__name__ for decoder in DECODERS[contract].values()}  # type: ignore[attr-defined]
    for item in abi:
        if item["type"] == "function":
            assert callable(getattr(binding, snake_case(item["name"])))
        elif item["type"] == "error":
            assert item["name"] in names
        elif item["type"] == "event":
            assert item["name"] in decoded


def test_enums_are_those_of_the_sources() -> None:
    found = {}
    for path in (_ROOT / "contracts/src/interfaces").glob("*.sol"):
        for name, members in re.findall(r"enum (\w+) \{([^}]*)\}", path.read_text("utf-8")):
            found[f"{path.stem}.{name}"] = tuple(member.strip() for member in members.split(","))
    assert found == dict(ENUMS)
    for internal, members in ENUMS.items():
        made = getattr(structs, enum_name(internal))
        assert [member.name for member in made] == [member.upper() for member in members]
