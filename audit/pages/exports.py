"""Lists and trails to take away: /export/NAME.csv, .json and .pdf, for readers with the role auditor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from audit.abouts import trail_abouts
from audit.errors import RequestError
from audit.pages.desk import Desk, View
from audit.pages.drawing import say
from audit.pages.facts import status_of
from audit.pages.filing import TRAILED
from audit.pages.readers import Readers, language_of
from audit.pages.report_pdf import MOST_ROWS, as_pdf
from audit.pages.routes import filters_of, resolved, seen
from audit.pages.series import FLEET, USES
from audit.pages.sheets import (
    Sheet,
    as_csv,
    as_json,
    event_sheet,
    finding_sheet,
    incident_sheet,
    series_sheet,
    subject_sheet,
)
from audit.pages.text import short, time
from audit.questions import Page

__all__ = ["build_exports"]

Form = Literal["csv", "json", "pdf"]
Text = Annotated[str, Query(max_length=100)]
_STEP: Final = 1_000
# Columns of a report, with their share of its width.
_EVENTS: Final = {"time": 3.0, "block": 1.4, "uscc": 3.2, "what": 6.0, "kind": 2.0, "id": 6.5, "transaction": 6.5}
_FINDINGS: Final = {"rule": 3.0, "severity": 1.5, "label": 1.5, "section": 1.0, "subject": 6.0, "message": 8.0}
_SUBJECTS: Final = {"kind": 1.5, "id": 6.0, "uscc": 3.0, "parent": 6.0, "status": 2.0}
_INCIDENTS: Final = {
    "time": 3.0,
    "incident": 2.0,
    "device": 6.0,
    "first": 1.5,
    "last": 1.5,
    "gateway": 4.5,
    "batch": 1.2,
}


def build_exports(desk: Desk, readers: Readers) -> APIRouter:
    """All exports."""
    router = APIRouter(include_in_schema=False, prefix="/export")
    questions = desk.questions

    def begin(request: Request) -> tuple[View, str]:
        readers.auditor(request)
        return seen(desk), language_of(request)

    @router.get("/trail/{kind}/{named}.{form}")
    def trail(request: Request, kind: str, named: str, form: Form) -> Response:
        view, language = begin(request)
        about = resolved(view, kind, named)
        abouts = trail_abouts(view.state, about.kind, about.id)
        if not questions.trail(abouts, 0, 1).total:
            raise RequestError(f"the ledger knows no {about}")
        title = f"{say(language)(f'kind.{kind}')} {about.id}"
        sheet = event_sheet(title, questions.every(abouts), say(language), language, coded=form == "json")
        return _sent(view, language, sheet, form, _EVENTS, f"trail-{kind}-{short(about.id).replace('…', '-')}")

    @router.get("/events.{form}")
    def events(request: Request, form: Form) -> Response:
        view, language = begin(request)
        sheet = event_sheet(
            say(language)("events.title"), questions.every(), say(language), language, coded=form == "json"
        )
        return _sent(view, language, sheet, form, _EVENTS, "events")

    @router.get("/findings.{form}")
    def findings(
        request: Request,
        form: Form,
        rule: Text = "",
        severity: Text = "",
        label: Text = "",
        about: Annotated[str, Query(alias="subject", max_length=100)] = "",
    ) -> Response:
        view, language = begin(request)
        chosen = view.filing.chosen(filters_of(rule, severity, label, about))
        sheet = finding_sheet(say(language)("findings.title"), chosen, say(language), language, coded=form == "json")
        return _sent(view, language, sheet, form, _FINDINGS, "findings")

    @router.get("/finding/{key}.{form}")
    def finding(request: Request, key: str, form: Form) -> Response:
        view, language = begin(request)
        filed = view.filing.by_key.get(key)
        if filed is None:
            raise RequestError("there is no such finding now; it may have been resolved since")
        columns = {**_FINDINGS, "accused": 4.0, "evidence": 8.0}
        sheet = finding_sheet(say(language)("finding.title"), [filed], say(language), language, coded=form == "json")
        return _sent(view, language, sheet, form, columns, f"finding-{key}")

    @router.get("/subjects/{kind}.{form}")
    def subjects(request: Request, kind: str, form: Form) -> Response:
        view, language = begin(request)
        if kind not in TRAILED:
            raise RequestError(f"there is no list of {kind}")
        words = say(language)

        def status(row: Any) -> str:
            word = status_of(view.state, row.kind, row.id)
            return words(word) if word else ""

        rows = _all(lambda offset: questions.subjects(kind, offset, _STEP))
        sheet = subject_sheet(words(f"kinds.{kind}"), rows, status, words)
        return _sent(view, language, sheet, form, _SUBJECTS, kind)

    @router.get("/uses.{form}")
    def uses(request: Request, form: Form) -> Response:
        view, language = begin(request)
        sheet = series_sheet(say(language)("uses.title"), view.series, USES, say(language))
        return _sent(view, language, sheet, form, dict.fromkeys(sheet.names, 1.0), "uses")

    @router.get("/fleet.{form}")
    def fleet(request: Request, form: Form) -> Response:
        view, language = begin(request)
        sheet = series_sheet(say(language)("fleet.title"), view.series, FLEET, say(language))
        return _sent(view, language, sheet, form, dict.fromkeys(sheet.names, 1.0), "fleet")

    @router.get("/incidents.{form}")
    def incidents(request: Request, form: Form) -> Response:
        view, language = begin(request)
        rows = _all(lambda offset: questions.incidents(offset, _STEP))
        sheet = incident_sheet(say(language)("fleet.incidents"), rows, say(language))
        return _sent(view, language, sheet, form, _INCIDENTS, "incidents")

    return router


def _all(ask: Any) -> Iterator[Any]:
    """The rows of all pages of a list."""
    offset = 0
    while True:
        page: Page[Any] = ask(offset)
        yield from page.rows
        offset += _STEP
        if offset >= page.total:
            return


def _sent(view: View, language: str, sheet: Sheet, form: Form, columns: dict[str, float], name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}.{form}"'}
    if form == "csv":
        return StreamingResponse(as_csv(sheet), media_type="text/csv; charset=utf-8", headers=headers)
    if form == "json":
        return StreamingResponse(as_json(sheet), media_type="application/json", headers=headers)
    words, report = say(language), view.report
    tip = report.summary.tip
    lines = (
        words("pdf.ledger", report.identity.domain.chain_id, report.identity.domain.directory),
        words("pdf.block", tip.number, time(tip.time), tip.hash),
        words("pdf.digest", report.summary.digest),
        f"{words('overview.completeness')}: {words(f'completeness.{report.completeness}')}",
    )
    return Response(
        as_pdf(sheet, columns, lines, words("pdf.more", MOST_ROWS)), media_type="application/pdf", headers=headers
    )
