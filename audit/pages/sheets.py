"""Tables that leave the house: what each list and trail holds, a row at a time, and how CSV and JSON write it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from audit.pages.filing import Filed
from audit.pages.series import Series
from audit.pages.text import shown, time
from audit.questions import EventRow, IncidentRow, SubjectRow

__all__ = [
    "Sheet",
    "as_csv",
    "as_json",
    "event_sheet",
    "finding_sheet",
    "incident_sheet",
    "series_sheet",
    "subject_sheet",
]

Say = Callable[..., str]
# Spreadsheets take a cell that begins so for a formula (OWASP, CSV injection), in full width too.
_FORMULA: Final = frozenset("=+-@\t\r\n＝＋－＠")
_FLUSH_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class Sheet:
    """A title, columns by name, and rows that are made as they are read. `heads` are the columns' words for people."""

    title: str
    names: tuple[str, ...]
    heads: tuple[str, ...]
    rows: Iterable[Sequence[str | int]]


def as_csv(sheet: Sheet) -> Iterator[bytes]:
    """RFC 4180 in UTF-8 with a mark at the beginning, which spreadsheets need for Chinese."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    yield b"\xef\xbb\xbf"
    writer.writerow(sheet.heads)
    for number, row in enumerate(sheet.rows, 1):
        writer.writerow([cell if isinstance(cell, int) else _harmless(cell) for cell in row])
        if number % _FLUSH_ROWS == 0:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def as_json(sheet: Sheet) -> Iterator[bytes]:
    """One object: the title, and rows as objects. Text is as it was, with escapes for unseen characters."""
    yield b'{"title":' + json.dumps(sheet.title).encode() + b',"rows":['
    part: list[str] = []
    lead = ""
    for row in sheet.rows:
        part.append(lead + json.dumps(dict(zip(sheet.names, row, strict=True)), separators=(",", ":")))
        lead = ","
        if len(part) == _FLUSH_ROWS:
            yield "".join(part).encode()
            part = []
    yield "".join(part).encode() + b"]}\n"


def event_sheet(title: str, rows: Iterable[EventRow], say: Say, language: str, *, coded: bool) -> Sheet:
    """`coded`: kinds as programs know them, not as the reader calls them."""
    names = ("number", "block", "time", "who", "uscc", "what", "kind", "id", "contract", "event", "transaction", "body")

    def cells() -> Iterator[Sequence[str | int]]:
        for row in rows:
            yield (
                row.number,
                row.block,
                time(row.time),
                row.who,
                row.uscc,
                row.what(language),
                row.kind if coded or not row.kind else say(f"kind.{row.kind}"),
                row.id,
                row.contract,
                row.event,
                row.transaction,
                row.body,
            )

    return Sheet(title, names, _heads(say, names), cells())


def finding_sheet(title: str, rows: Iterable[Filed], say: Say, language: str, *, coded: bool) -> Sheet:
    """`coded`: severity, label and kind as programs know them, not as the reader calls them."""
    names = (
        "finding",
        "rule",
        "severity",
        "label",
        "section",
        "subject",
        "accused",
        "tentative",
        "message",
        "evidence",
    )

    def cells() -> Iterator[Sequence[str | int]]:
        for filed in rows:
            finding = filed.finding
            yield (
                filed.key,
                finding.rule,
                finding.severity.value if coded else say(f"severity.{finding.severity.value}"),
                finding.label.value if coded else say(f"label.{finding.label.value}"),
                filed.section,
                str(finding.subject) if coded else f"{say(f'kind.{finding.subject.kind}')} {finding.subject.id}",
                "" if finding.accused is None else str(finding.accused),
                "yes" if filed.tentative else "no",
                filed.message(language),
                "; ".join(f"{exhibit.name}: {exhibit.value}" for exhibit in finding.evidence),
            )

    return Sheet(title, names, _heads(say, names), cells())


def subject_sheet(title: str, rows: Iterable[SubjectRow], status: Callable[[SubjectRow], str], say: Say) -> Sheet:
    names = ("kind", "id", "uscc", "parent", "status")
    cells = ((row.kind, row.id, row.label, row.parent, status(row)) for row in rows)
    return Sheet(title, names, _heads(say, names), cells)


def series_sheet(title: str, series: Series, names: tuple[str, ...], say: Say) -> Sheet:
    heads = (say("column.from"), *(say(f"series.{name}") for name in names))
    cells: Iterator[tuple[str | int, ...]] = (
        (time(point.start), *(point.values[name] for name in names)) for point in series.points
    )
    return Sheet(title, ("from", *names), heads, cells)


def incident_sheet(title: str, rows: Iterable[IncidentRow], say: Say) -> Sheet:
    names = ("time", "incident", "device", "first", "last", "gateway", "batch")
    cells: Any = (
        (time(row.time), say(f"incident.{row.kind}"), row.device, row.first, row.last, row.gateway, row.batch)
        for row in rows
    )
    return Sheet(title, names, _heads(say, names), cells)


def _heads(say: Say, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(say(f"column.{name}") for name in names)


def _harmless(text: str) -> str:
    """A cell that no spreadsheet runs, and in which nothing hides."""
    plain = shown(text)
    return f"'{plain}" if text[:1] in _FORMULA or plain.lstrip()[:1] in _FORMULA else plain
