"""JSON that people hand to commands, by file or in the words themselves."""

import json
from pathlib import Path
from typing import Any

import typer

__all__ = ["json_file", "json_object"]


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
