"""What people hand to commands: JSON, by file or in the words themselves, and where answers are to be written."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from node.errors import InputRefusedError

__all__ = ["json_file", "json_object", "moment", "within_a_folder"]


def json_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} can't be read") from error
    return json_object(text, str(path))


def json_object(text: str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{where} is no JSON") from error
    if not isinstance(content, dict):
        raise typer.BadParameter(f"{where} is no JSON object")
    return content


def within_a_folder(out: Path) -> Path:
    """A file to write whose folder is there: a mistyped one would be made anywhere. Raises InputRefusedError."""
    if not out.parent.is_dir():
        raise InputRefusedError(f"there is no folder {out.parent}; make it, or choose another --out")
    return out


def moment(text: str) -> int:
    """Unix seconds of a time in ISO 8601, in UTC where it names no zone, or of such seconds; empty is 0."""
    if not text or text.isdecimal():
        return int(text or 0)
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputRefusedError(f"{text!r} is no time; write ISO 8601 or unix seconds") from error
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
