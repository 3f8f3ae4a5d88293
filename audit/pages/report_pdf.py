"""A sheet as a PDF report on A4, in the font STSong-Light of Adobe's Chinese pack (GB 1), which readers bring along."""

from __future__ import annotations

import io
from itertools import islice
from typing import Any, Final
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.pdfmetrics import registerFont
from reportlab.platypus import LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle

from audit.pages.sheets import Sheet
from audit.pages.text import shown

__all__ = ["MOST_ROWS", "as_pdf"]

MOST_ROWS: Final = 2_000
_MOST_CELL: Final = 400
_FONT: Final = "STSong-Light"
_MARGIN: Final = 14 * mm
_INK: Final = colors.HexColor("#17324d")
_LINE: Final = colors.HexColor("#c5ced8")


def as_pdf(sheet: Sheet, columns: dict[str, float], lines: tuple[str, ...], more: str) -> bytes:
    """The sheet's `columns` (by name, with their share of the width) under its title and `lines`.

    At most MOST_ROWS rows; `more` is said where there are others.
    """
    registerFont(UnicodeCIDFont(_FONT))
    base = ParagraphStyle("cell", fontName=_FONT, fontSize=7.5, leading=10, wordWrap="CJK")
    head = ParagraphStyle("head", parent=base, textColor=colors.white)
    title = ParagraphStyle("title", parent=base, fontSize=16, leading=22, textColor=_INK)
    note = ParagraphStyle("note", parent=base, fontSize=9, leading=13)
    places = [sheet.names.index(name) for name in columns]
    rows = list(islice(sheet.rows, MOST_ROWS + 1))
    table: list[list[Any]] = [[Paragraph(_text(sheet.heads[place]), head) for place in places]]
    table += [[Paragraph(_text(row[place]), base) for place in places] for row in rows[:MOST_ROWS]]

    page = landscape(A4)
    width = page[0] - 2 * _MARGIN
    whole = sum(columns.values())
    drawn = LongTable(table, colWidths=[width * share / whole for share in columns.values()], repeatRows=1)
    drawn.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, 0), _INK),
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 4),
                ("RIGHTPADDING", (0, 0), (-1, -1), 4),
            ]
        )
    )
    story: list[Any] = [Paragraph(_text(sheet.title), title)]
    story += [Paragraph(_text(line), note) for line in lines]
    story += [Spacer(1, 4 * mm), drawn]
    if len(rows) > MOST_ROWS:
        story += [Spacer(1, 3 * mm), Paragraph(_text(more), note)]
    sink = io.BytesIO()
    document = SimpleDocTemplate(
        sink,
        pagesize=page,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN,
        title=shown(sheet.title),
        author="dataspace audit",
        invariant=1,
    )
    document.build(story, onFirstPage=_numbered, onLaterPages=_numbered)
    return sink.getvalue()


def _numbered(canvas: Any, document: Any) -> None:
    canvas.setFont(_FONT, 8)
    canvas.drawRightString(landscape(A4)[0] - _MARGIN, 8 * mm, str(document.page))


def _text(value: str | int) -> str:
    """Nothing is read as the report's own markup."""
    text = shown(value)
    return escape(text if len(text) <= _MOST_CELL else f"{text[:_MOST_CELL]}…")
