"""A real Mosquitto for tests, on a free loopback port, that can be killed and started again on the same port.

Without the Debian package the test is skipped, or fails where CI=true.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["Mosquitto", "mosquitto"]


class Mosquitto:
    """One broker; what it keeps is in `folder`. It saves as rarely as by default, so that a kill loses messages."""

    def __init__(self, folder: Path, lines: Sequence[str] = ()) -> None:
        self.folder = folder
        self.port = _free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = (
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {folder}/",
            "max_queued_messages 0",
            "user root",
            *(lines or ("allow_anonymous true",)),
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        binary = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if binary is None:
            reason = "mosquitto is not installed: run `apt-get install mosquitto`"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        (self.folder / "mosquitto.conf").write_text("\n".join(self._lines) + "\n")
        command = [binary, "-c", str(self.folder / "mosquitto.conf")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                pytest.fail(f"mosquitto ended at once: {(self.folder / 'log').read_text()[-500:]}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        pytest.fail("mosquitto did not listen within 10 s")

    def kill(self) -> None:
        """As a power cut does: nothing more is saved."""
        self._end("kill")

    def stop(self) -> None:
        self._end("terminate")

    def _end(self, how: str) -> None:
        if self._process is not None:
            getattr(self._process, how)()
            self._process.wait(timeout=10)
            self._process = None


@contextmanager
def mosquitto(folder: Path, lines: Sequence[str] = ()) -> Iterator[Mosquitto]:
    """Starts a broker and stops it at the end. `lines`: configuration instead of anonymous access."""
    broker = Mosquitto(folder, lines)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
