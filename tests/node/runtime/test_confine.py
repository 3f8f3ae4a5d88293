"""The confined process, and what happens where it can't be confined."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from node.errors import UnprotectedError
from node.runtime.launch import probe, run
from node.runtime.measurement import measure
from node.runtime.protocol import Completed, Limits
from tests.node.runtime.world import Buyer, Column, ColumnType, SealedFile, job

ROOT = Path(__file__).parents[3]
COUNT = "SELECT count(*) AS n FROM readings"
COUNT_OUTPUT = [Column("n", ColumnType.INTEGER)]


def without(library: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.node.runtime.hooks.without", library)


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.node.runtime.hooks.attempts"],
        cwd=ROOT,
        env={"JE_ARROW_MALLOC_CONF": "background_thread:false"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    attempts: dict[str, str] = json.loads(ended.stdout)
    return attempts


class TestWhatTheProcessCanDo:
    def test_it_is_protected(self, found: dict[str, str]) -> None:
        assert found["protected"] == "True"

    def test_it_can_start_threads(self, found: dict[str, str]) -> None:
        assert found["a thread"] == "done"

    def test_it_can_do_nothing_else(self, found: dict[str, str]) -> None:
        expected = {
            "memory": {"MemoryError"},
            "engine reads a file": {"ENOENT", "IOException", "PermissionException"},
            "engine writes a file": {"IOException", "PermissionException"},
            "engine loads an extension": {"IOException", "PermissionException", "InvalidInputException"},
            "clone3": {"ENOSYS"},
            "openat2": {"ENOSYS"},
            "pidfd_open": {"ENOSYS"},
            "statx": {"ENOSYS"},
            "load a library": {"unnamed"},
            "raise a limit": {"ValueError"},
        }
        for name, result in found.items():
            if name not in ("protected", "a thread"):
                assert result in expected.get(name, {"EPERM"}), f"{name}: {result}"

    def test_no_file_was_left(self, found: dict[str, str]) -> None:
        assert found
        folder = Path(tempfile.gettempdir())
        assert not list(folder.glob("runtime-attempt*"))
        assert (folder / "runtime-victim").read_text() == "still here"
        (folder / "runtime-victim").unlink()


class TestWhereItCannotBeConfined:
    @pytest.mark.parametrize("library", ["pyseccomp", "landlock"])
    def test_it_refuses_to_run(self, buyer: Buyer, small: SealedFile, limits: Limits, library: str) -> None:
        work = job(buyer, [small.input()], COUNT, COUNT_OUTPUT)
        with pytest.raises(UnprotectedError) as refused:
            run(work, [small.path], limits, entry=without(library))
        assert refused.value.missing == (library,)
        assert library in str(refused.value)

    def test_a_library_that_only_pretends_is_found_out(self, buyer: Buyer, small: SealedFile, limits: Limits) -> None:
        work = job(buyer, [small.input()], COUNT, COUNT_OUTPUT)
        with pytest.raises(UnprotectedError) as refused:
            run(work, [small.path], limits, entry=without("pretend"))
        assert set(refused.value.missing) == {"open", "socket", "execve", "fork"}

    def test_the_operator_may_allow_it_and_the_outcome_says_so(
        self, buyer: Buyer, small: SealedFile, limits: Limits
    ) -> None:
        work = job(buyer, [small.input()], COUNT, COUNT_OUTPUT)
        outcome = run(work, [small.path], limits, allow_unprotected=True, entry=without("pyseccomp"))
        assert isinstance(outcome, Completed)
        assert not outcome.protected
        assert buyer.read(outcome)["rows"] == [[20]]

    def test_where_it_is_confined_allowing_changes_nothing_but_the_measurement(
        self, buyer: Buyer, small: SealedFile, limits: Limits
    ) -> None:
        work = job(buyer, [small.input()], COUNT, COUNT_OUTPUT)
        strict = run(work, [small.path], limits)
        lax = run(work, [small.path], limits, allow_unprotected=True)
        assert strict.protected
        assert lax.protected
        assert strict.measurement != lax.measurement

    def test_probe_says_what_is_missing(self) -> None:
        assert probe().protected
        assert probe(entry=without("landlock")).missing == ("landlock",)
        assert probe().measurement == measure(allow_unprotected=False).digest
