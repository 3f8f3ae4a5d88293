"""The parent's side: it believes nothing, waits for nobody, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from capsule.algorithm import Column, ColumnType
from capsule.errors import InputError
from node.errors import RuntimeFailedError
from node.runtime.launch import probe, run
from node.runtime.protocol import Job, Limits, Outcome, Refused
from tests.node.runtime.world import Buyer, SealedFile, job

ROOT = Path(__file__).parents[3]


@pytest.fixture
def work(buyer: Buyer, small: SealedFile) -> Job:
    return job(buyer, [small.input()], "SELECT count(*) AS n FROM readings", [Column("n", ColumnType.INTEGER)])


def lied(work: Job, small: SealedFile, limits: Limits, behaviour: str) -> Outcome:
    entry = (sys.executable, "-m", "tests.node.runtime.hooks.liar", behaviour)
    return run(work, [small.path], limits, entry=entry)


class TestWhatItBelieves:
    @pytest.mark.parametrize(
        "behaviour",
        [
            "stranger",
            "other holder",
            "index alone",
            "far capsule",
            "reason",
            "wrong hash",
            "other epsilon",
            "other measurement",
            "unprotected",
            "afterthought",
            "ready twice",
            "outcome first",
            "babble",
        ],
    )
    def test_no_outcome_that_contradicts_its_job(
        self, work: Job, small: SealedFile, limits: Limits, behaviour: str
    ) -> None:
        with pytest.raises(RuntimeFailedError) as failed:
            lied(work, small, limits, behaviour)
        assert "stole" not in str(failed.value)

    @pytest.mark.parametrize(
        ("behaviour", "kind", "reason"),
        [
            ("killed", "limits", "memory"),
            ("aborted", "algorithm", "crashed"),
            ("processor", "limits", "cpu"),
            ("endless", "limits", "output"),
            ("mute", "limits", "time"),
        ],
    )
    def test_an_end_without_outcome_by_its_kind(
        self, work: Job, small: SealedFile, limits: Limits, behaviour: str, kind: str, reason: str
    ) -> None:
        # enough for a busy machine to start it
        outcome = lied(work, small, replace(limits, wall_seconds=8.0 if reason == "time" else 60.0), behaviour)
        assert isinstance(outcome, Refused)
        assert (outcome.kind, outcome.reason) == (kind, reason)

    @pytest.mark.parametrize(
        ("behaviour", "said"),
        [
            ("silent", "no outcome"),
            ("gone", "before it started"),
            ("late", "did not start in time"),
            ("broken", "node/runtime/engine.py:1 KeyError"),
            ("broken first", "capsule/key.py:1 KeyError"),
        ],
    )
    def test_a_failure_says_where(
        self, work: Job, small: SealedFile, limits: Limits, behaviour: str, said: str
    ) -> None:
        with pytest.raises(RuntimeFailedError, match=said):
            lied(work, small, replace(limits, wall_seconds=2.0 if behaviour == "late" else 60.0), behaviour)

    def test_a_program_that_is_not_there(self, work: Job, small: SealedFile, limits: Limits) -> None:
        with pytest.raises(RuntimeFailedError, match="can't be started"):
            run(work, [small.path], limits, entry=("/nowhere/python",))


class TestWhatItIsGiven:
    def test_as_many_files_as_capsules(self, work: Job, small: SealedFile, limits: Limits) -> None:
        with pytest.raises(InputError):
            run(work, [small.path, small.path], limits)


class TestWhatItLeaves:
    def test_descriptors_are_closed_again(self, work: Job, small: SealedFile, limits: Limits) -> None:
        lied(work, small, limits, "aborted")
        before = len(os.listdir("/proc/self/fd"))
        lied(work, small, limits, "aborted")
        assert len(os.listdir("/proc/self/fd")) == before

    def test_the_runtime_gets_no_environment_and_no_other_descriptor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECRET_OF_THE_NODE", "1")
        # 0 to 2, and the one that lists them
        program = (
            "import os\n"
            "found = os.listdir('/proc/self/fd')\n"
            "os._exit(7 if len(found) == 4 and not {'SECRET_OF_THE_NODE', 'HOME', 'PATH'} & set(os.environ) else 8)"
        )
        with Path(os.devnull).open("rb"), pytest.raises(RuntimeFailedError, match="status 7"):
            probe(entry=(sys.executable, "-c", program))

    def test_a_killed_parent_takes_its_runtime_along(self, tmp_path: Path) -> None:
        sign = tmp_path / "pid"
        program = (
            "import os, pathlib, time\n"
            "from node.runtime.confine import bind_to_parent\n"
            "bind_to_parent(os.getppid())\n"
            f"pathlib.Path({str(sign)!r}).write_text(str(os.getpid()) + '.')\n"
            "time.sleep(120)"
        )
        parent = subprocess.Popen([sys.executable, "-m", "tests.node.runtime.hooks.parent", program], cwd=ROOT)
        try:
            child = int(_eventually(lambda: sign.read_text() if sign.exists() else "")[:-1])
            assert os.path.exists(f"/proc/{child}")
        finally:
            parent.send_signal(signal.SIGKILL)
            parent.wait()
        _eventually(lambda: "" if _alive(child) else ".")


def _eventually(look: Callable[[], str]) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if (found := look()).endswith("."):
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
