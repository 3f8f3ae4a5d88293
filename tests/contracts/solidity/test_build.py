"""The committed ABI, bytecode and bindings are what the sources compile to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_the_committed_build_is_that_of_the_sources() -> None:
    if not (ROOT / "node_modules" / "solc" / "solc.js").is_file():
        reason = "node_modules/solc is missing; `npm ci` brings it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    command = [sys.executable, "-m", "scripts.build_contracts", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
