"""One installation, one measurement; any change, another."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from capsule.crypto import sm2
from capsule.crypto.provider import PROVIDERS, choose, provider
from capsule.errors import CipherUnavailableError
from node.errors import RuntimeFailedError
from node.runtime.launch import probe
from node.runtime.measurement import DEPENDENCIES, measure

ROOT = Path(__file__).parents[3]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "capsule", tmp_path / "capsule", ignore=ignored)
    shutil.copytree(ROOT / "node", tmp_path / "node", ignore=ignored)
    return tmp_path


def test_the_same_code_elsewhere_measures_the_same(copy: Path) -> None:
    assert measure(allow_unprotected=False, root=copy) == measure(allow_unprotected=False, root=copy)
    shutil.copytree(copy, copy / "again")
    assert measure(allow_unprotected=False, root=copy / "again") == measure(allow_unprotected=False, root=copy)


def test_another_process_and_environment_measure_the_same() -> None:
    program = "from node.runtime.measurement import measure; print(measure(allow_unprotected=False).digest)"
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {f"{measure(allow_unprotected=False).digest}\n"}


@pytest.mark.parametrize("name", ["capsule/key.py", "node/runtime/guard.py", "node/errors.py"])
def test_a_changed_file_measures_otherwise(copy: Path, name: str) -> None:
    before = measure(allow_unprotected=False, root=copy)
    with (copy / name).open("a") as file:
        file.write("\n")
    assert measure(allow_unprotected=False, root=copy).digest != before.digest


def test_other_rooms_of_the_node_are_no_part_of_it(copy: Path) -> None:
    before = measure(allow_unprotected=False, root=copy)
    (copy / "node" / "elsewhere.py").write_text("x = 1\n")
    assert measure(allow_unprotected=False, root=copy) == before


def test_the_document_says_what_was_measured() -> None:
    document = measure(allow_unprotected=True).document
    assert isinstance(document, dict)
    assert document["allow_unprotected"] is True
    assert set(document["dependencies"]) == set(DEPENDENCIES)  # type: ignore[arg-type]
    assert document["wasm"]["target"] == "pulley64"  # type: ignore[index, call-overload]
    assert "node/runtime/confine.py" in document["files"]  # type: ignore[operator]
    assert "open" not in document["confinement"]["seccomp"]  # type: ignore[index, call-overload, operator]


def test_the_cipher_provider_is_part_of_it() -> None:
    before = provider()
    try:
        found = {}
        for name in PROVIDERS:
            with contextlib.suppress(CipherUnavailableError):
                cipher = choose(name)
                measured = measure(allow_unprotected=False)
                assert measured.document["cipher"] == f"{name} {cipher.version}"  # type: ignore[index, call-overload]
                assert probe().measurement == measured.digest
                found[name] = measured.digest
    finally:
        choose(before.name)
    assert len(set(found.values())) == len(found) > 0


def test_the_sm2_library_is_part_of_it_and_the_runtime_takes_the_same() -> None:
    before = sm2.library()
    try:
        for name in ("gmssl", before.name):
            found = sm2.choose(name)
            measured = measure(allow_unprotected=False)
            assert measured.document["sm2"] == f"{name} {found.version}"  # type: ignore[index, call-overload]
            assert probe().measurement == measured.digest
    finally:
        sm2.choose(before.name)


def test_an_installation_with_a_part_missing_is_said(copy: Path) -> None:
    (copy / "node" / "errors.py").unlink()
    with pytest.raises(RuntimeFailedError):
        measure(allow_unprotected=False, root=copy)
