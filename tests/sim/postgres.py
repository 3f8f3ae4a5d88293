"""A real PostgreSQL server for tests, in a folder of its own, on a Unix socket; it can be stopped and started again.

Without the Debian package the test is skipped, or fails where CI=true.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["Postgres", "postgres"]

_USER = "postgres"


class Postgres:
    """One server; `database()` makes an empty database in it."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder = folder
        self._programs = programs
        self._run("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", _USER, "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        options = f"-k {self._folder} -c listen_addresses='' -c max_connections=60 -c shared_buffers=16MB"
        log = str(self._folder / "log")
        self._run("pg_ctl", "-w", "-D", str(self._folder / "data"), "-l", log, "-o", options, "start")

    def stop(self, how: str = "immediate") -> None:
        """`immediate` is as bad as a power cut of the server's process."""
        self._run("pg_ctl", "-w", "-D", str(self._folder / "data"), "-m", how, "stop")

    def database(self) -> str:
        """The URL of a new database."""
        name = f"t{secrets.token_hex(6)}"
        self._run("createdb", "-h", str(self._folder), "-U", _USER, name)
        return f"postgresql+psycopg://{_USER}@/{name}?host={self._folder}"

    def _run(self, program: str, *arguments: str) -> None:
        as_user = ["runuser", "-u", _USER, "--"] if os.geteuid() == 0 else []
        command = [*as_user, str(self._programs / program), *arguments]
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/", check=False
        )
        if done.returncode:
            pytest.fail(f"{program} failed: {done.stderr[-1000:]}")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running server, gone at the end."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        reason = "PostgreSQL is not installed: run `apt-get install postgresql`"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, _USER)
        folder.chmod(0o755)
        server = Postgres(folder, found[-1].parent)
        server.start()
        try:
            yield server
        finally:
            subprocess.run(
                [
                    *(["runuser", "-u", _USER, "--"] if os.geteuid() == 0 else []),
                    str(found[-1].parent / "pg_ctl"),
                    *("-D", str(folder / "data"), "-m", "immediate", "stop"),
                ],
                capture_output=True,
                cwd="/",
                check=False,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
