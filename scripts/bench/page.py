"""docs/benchmarks.md, where benchmarks write what they measured between markers of their own."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["MACHINE", "say", "write_part"]

MACHINE: Final = (
    f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}"
)
_PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


def write_part(name: str, lines: Sequence[str]) -> None:
    """Puts lines between the markers of this name, in place of what was there. They stand in the page already."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, rest = _PAGE.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    _PAGE.write_text("\n".join((f"{before}{begin}", *lines, f"{end}{after}")), encoding="utf-8")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
