"""Text that others wrote is shown as it is: nothing of it is markup, moves the cursor, hides, or is cropped."""

from __future__ import annotations

import ast
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import typer
from rich.console import Console

from audit.entries import Place
from audit.findings import Subject
from audit.trail import Trail, TrailRow
from capsule.ids import Digest
from scripts.cli import custody, printing
from scripts.cli.audit import TRAIL_COLUMNS
from scripts.cli.console import fail, show
from scripts.composition import Api

CLI = Path(__file__).parents[2] / "scripts" / "cli"
LONG = "0x" + "5f" * 32
HOSTILE = "x[/y] [bold]me[/bold] :smile: \x1b[31m \x1b]0;t\x07 \n\t \x9b2J \u202e\u200b\u2028 \ud800 \U000e0041"
SEEN = r"x[/y] [bold]me[/bold] :smile: \x1b[31m \x1b]0;t\x07 \x0a\x09 \x9b2J \u202e\u200b\u2028 \ud800 \U000e0041"


@contextmanager
def answering(content: object) -> Iterator[str]:
    """The address of a service that answers every question with one object."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keeps silent."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("terminal", [True, False])
def test_hostile_text_is_shown_in_answers_tables_and_errors(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing, "out", Console(force_terminal=terminal, width=200, color_system=None))
    show({"reason": HOSTILE, "all": [HOSTILE], HOSTILE: {"deep": [{"x": HOSTILE}, {}]}}, as_json=False)
    printing.tabulate(("who", HOSTILE), [(1, HOSTILE)], HOSTILE)
    printing.say(HOSTILE)
    printing.note(HOSTILE)
    with pytest.raises(typer.Exit):
        fail(HOSTILE, 3)
    told = capsys.readouterr()
    assert told.out.count(SEEN) == 8
    assert told.err.count(SEEN) == 2
    for text in (told.out, told.err):
        assert not [one for one in text if printing.shown(one) != one and one not in "\n\t"]


def test_json_with_hostile_text_reads_back_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    show({"reason": HOSTILE, "中": "文"}, as_json=True)
    told = capsys.readouterr().out
    assert told.isascii() is False
    assert json.loads(told) == {"reason": HOSTILE, "中": "文"}
    assert not [one for one in told.rstrip("\n") if printing.shown(one) != one]


@pytest.mark.parametrize("width", [None, 80])
def test_ids_are_never_cropped(
    width: int | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe has no width; a terminal of 80 columns wraps a table's cells and leaves an answer's lines whole."""
    monkeypatch.setattr(printing, "out", Console(force_terminal=width is not None, width=width, color_system=None))
    show({"opening": LONG, "none": None, "no": [], "yes": True}, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        f"opening  {LONG}",
        "none     none",
        "no       none",
        "yes      yes",
    ]
    printing.tabulate(("time", "first", "second"), [("1", LONG, LONG)])
    told = capsys.readouterr().out
    assert "…" not in told
    if width is None:
        assert told.splitlines() == ["time\tfirst\tsecond", f"1\t{LONG}\t{LONG}"]
    else:
        columns = list(zip(*(line.split("│")[1:-1] for line in told.splitlines() if "│" in line), strict=True))
        assert ["".join(cell.strip() for cell in column) for column in columns] == ["1", LONG, LONG]
        assert max(map(len, told.splitlines())) <= 80


def test_a_custodian_reads_openings_with_hostile_reasons_and_copies_the_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opening = {"opening": LONG, "state": "pending", "provider": "0x" + "0a" * 20, "reason": HOSTILE, "version": 1}
    with answering({"openings": [opening, opening]}) as url:
        Api.fresh(url).write(tmp_path / "api.json")
        custody.openings(tmp_path, None, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert [line.split() for line in lines[:3]] == [
        ["openings", "1", "of", "2"],
        ["opening", LONG],
        ["state", "pending"],
    ]
    assert [line for line in lines if SEEN in line] == [f"  reason    {SEEN}"] * 2


def test_a_trail_with_a_hostile_event_is_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    row = TrailRow(Place(1, 0, 0, Digest(bytes(32))), "assets", "DealOpened", None, "", HOSTILE, {})
    found = Trail(Subject("asset", LONG), (row,))
    printing.tabulate(TRAIL_COLUMNS, [row.cells() for row in found.rows], str(found.subject))
    title, names, line = capsys.readouterr().out.splitlines()
    assert title == f"asset {LONG}"
    assert line.split("\t")[names.split("\t").index("what")] == SEEN


def test_commands_print_by_way_of_one_module() -> None:
    """Whatever else could print text of others as markup: Rich's console and tables, typer.echo, print."""
    found = [
        f"{path.name}:{node.lineno}"
        for path in sorted(CLI.glob("*.py"))
        if path.name != "printing.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and node.module in {"rich", "rich.console", "rich.table", "rich.text"})
        or (isinstance(node, ast.Attribute) and node.attr in {"echo", "add_row", "print"})
        or (isinstance(node, ast.Name) and node.id == "print")
    ]
    assert found == []
