"""Organisations as processes: each its own home, its own `dataspace` commands, its own service."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from capsule.ids import Uscc

__all__ = ["Organisation", "code", "free_port", "wait_until"]

PASSPHRASE = "e2e passphrase"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(what: str, is_so: Callable[[], Any], seconds: float = 180.0) -> Any:
    """Polls until `is_so` answers something true; fails naming what did not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = is_so()
        if answer:
            return answer
        time.sleep(0.3)
    raise AssertionError(f"{what} did not happen within {seconds} s")


@dataclass
class Organisation:
    """One organisation of the trip, driven only through its command line."""

    name: str
    home: Path
    port: int = field(default_factory=free_port)
    account: str = ""
    service: subprocess.Popen[bytes] | None = None
    program: str = "scripts.main"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, *words: str, status: int = 0) -> dict[str, Any]:
        """A command on this home with --json; returns its object, or its error sentence where `status` is not 0."""
        ended = subprocess.run(
            self._command(*words, "--json"), capture_output=True, text=True, env=self._environment(), check=False
        )
        told = f"{self.name}: dataspace {' '.join(words)}\n{ended.stdout}\n{ended.stderr}"
        assert ended.returncode == status, told
        if status not in (0, 1):
            assert len(ended.stderr.strip().splitlines()) == 1, told
            return {"error": ended.stderr.strip()}
        content: dict[str, Any] = json.loads(ended.stdout)
        return content

    def run_offline(self, *words: str) -> dict[str, Any]:
        """A command that has no home."""
        ended = subprocess.run(
            [sys.executable, "-m", "scripts.main", *words, "--json"],
            capture_output=True,
            text=True,
            env=self._environment(),
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        content: dict[str, Any] = json.loads(ended.stdout)
        return content

    def init(self, chain_url: str, *words: str) -> None:
        told = self.run(
            "org", "init", "--chain-url", chain_url, "--endpoint", self.endpoint, "--port", str(self.port),
            "--trust-single-endpoint", *words,
        )  # fmt: skip
        self.account = told["account"]

    def serve(self, kind: str = "node") -> None:
        with (self.home / f"{kind}.log").open("ab") as log:
            self.service = subprocess.Popen(
                self._command(kind, "serve"), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._environment()
            )
        wait_until(f"service of {self.name}", self._listens)

    def kill(self) -> None:
        """`kill -9`: nothing of the process gets a word in."""
        assert self.service is not None
        self.service.send_signal(signal.SIGKILL)
        self.service.wait()
        self.service = None

    def stop(self) -> None:
        if self.service is not None:
            self.service.terminate()
            try:
                self.service.wait(20)
            except subprocess.TimeoutExpired:
                self.service.kill()
                self.service.wait()
            self.service = None

    def _listens(self) -> bool:
        assert self.service is not None
        if self.service.poll() is not None:
            pytest.fail(f"{self.name} ended: {self._log()}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _log(self) -> str:
        return "".join(path.read_text() for path in self.home.glob("*.log"))

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", self.program, *words, "--home", str(self.home)]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "DATASPACE_PASSPHRASE": PASSPHRASE, "PYTHONWARNINGS": "default"}


def code() -> str:
    """A well-formed unified social credit code of no real organisation."""
    return str(Uscc.make("9" + "".join(str(secrets.randbelow(10)) for _ in range(16))))
