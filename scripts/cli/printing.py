"""What people see on a terminal or in a pipe: lines and tables whose text comes from others.

Nothing is read as markup. Characters that would move the cursor, hide or turn text round are shown as their escapes.
On a terminal tables wrap; in a pipe lines have no width, and tabs part the cells of a table. Nothing is cropped.
"""

import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["err", "note", "print_answer", "print_json", "say", "shown", "tabulate"]

# controls, formats (with the bidirectional ones), surrogates, private use, line and paragraph separators
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})

out = Console(markup=False, highlight=False, emoji=False)
err = Console(stderr=True, markup=False, highlight=False, emoji=False)


def shown(text: object) -> str:
    """What others wrote, in one line: newlines and unseen characters become \\xNN, \\uNNNN or \\UNNNNNNNN."""
    return "".join(_escape(one) if unicodedata.category(one) in HIDDEN else one for one in str(text))


def say(text: object) -> None:
    """One line on standard output, of any length."""
    sys.stdout.write(shown(text) + "\n")


def note(text: object, style: str = "") -> None:
    """One line on standard error."""
    err.print(Text(shown(text), style=style), soft_wrap=True)


def tabulate(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """A table on standard output, with the cells' text as it is shown."""
    cells = [[shown(cell) for cell in row] for row in rows]
    if not out.is_terminal:
        if title:
            say(title)
        for line in (map(shown, columns), *cells):
            sys.stdout.write("\t".join(line) + "\n")
        return
    table = Table(title=Text(shown(title)) if title else None)
    for column in columns:
        table.add_column(Text(shown(column)), overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    out.print(table)


def print_answer(content: Mapping[str, Any]) -> None:
    """An answer as lines of a name and a value; the fields of what lies in it are indented, for each of a list."""
    rows = list(_rows(content))
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        sys.stdout.write(f"{name:{width}}  {value}".rstrip() + "\n")


def print_json(content: object, indent: int | None = 2) -> None:
    """JSON with unseen characters as its own escapes, so that it reads back the same; in one line without `indent`."""
    for line in json.dumps(content, ensure_ascii=False, indent=indent).split("\n"):
        parts = (json.dumps(one)[1:-1] if unicodedata.category(one) in HIDDEN else one for one in line)
        sys.stdout.write("".join(parts) + "\n")


def _rows(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        name = shown(key).replace("_", " ")
        if isinstance(value, Mapping):
            yield name, "" if value else "none"
            yield from _indented(value)
        elif isinstance(value, list) and any(isinstance(one, Mapping | list) for one in value):
            for number, one in enumerate(value, 1):
                yield name, f"{number} of {len(value)}"
                yield from _indented(one if isinstance(one, Mapping) else {"": one})
        elif isinstance(value, list):
            yield name, ", ".join(map(_written, value)) or "none"
        else:
            yield name, _written(value)


def _indented(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in _rows(content):
        yield f"  {name}", value


def _written(value: object) -> str:
    if value is None:
        return "none"
    return ("yes" if value else "no") if isinstance(value, bool) else shown(value)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
