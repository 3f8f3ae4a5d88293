"""The pages for reading: overview, search, lists, trails, the feed, findings, fleet and usage."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from audit.abouts import MAKERS, trail_abouts
from audit.catalogue import RULES, Label, Severity
from audit.errors import RequestError
from audit.findings import Subject
from audit.pages.desk import Desk, View
from audit.pages.drawing import draw
from audit.pages.facts import facts_of, status_of
from audit.pages.filing import TRAILED, Filed
from audit.pages.graph import graph_of
from audit.pages.readers import Reader, Readers, language_of
from audit.pages.series import FLEET, USES
from audit.questions import EventRow, Page
from audit.store import LogRow
from audit.trail import subject
from capsule.ids import Address

__all__ = ["FEED_ROWS", "PAGE_ROWS", "TRAIL_ROWS", "Unchecked", "build_routes", "filters_of", "resolved", "seen"]

PAGE_ROWS: Final = 50
TRAIL_ROWS: Final = 25
FEED_ROWS: Final = 40
_FOUND: Final = 50
_MAX_QUERY: Final = 100
_SHOWN_FINDINGS: Final = 20
_MARKED: Final = 3
_HEX: Final = re.compile(r"(0x)?[0-9a-f]+")
PageNumber = Annotated[int, Query(alias="page", ge=1, le=10**6)]
Unchecked = Callable[[int], tuple[LogRow, ...]]
Text = Annotated[str, Query(max_length=_MAX_QUERY)]


def seen(desk: Desk) -> View:
    """The last look; 503 before the first, which browsers try again."""
    if not desk.is_ready:
        raise HTTPException(503)
    return desk.view


def filters_of(rule: str, severity: str, label: str, about: str) -> dict[str, str]:
    """What a findings list is narrowed to. Raises RequestError for a value that is none of the catalogue's."""
    known: dict[str, Collection[str]] = {"rule": RULES, "severity": tuple(Severity), "label": tuple(Label)}
    chosen = {"rule": rule, "severity": severity, "label": label, "subject": about.strip()}
    for name, values in known.items():
        if chosen[name] and chosen[name] not in values:
            raise RequestError(f"there is no {name} {chosen[name]}")
    return chosen


def resolved(view: View, kind: str, written: str) -> Subject:
    """The subject of a trail; an organisation may be named by its code. Raises RequestError."""
    about = subject(kind, written)
    if kind != "participant" or about.id.startswith("0x"):
        return about
    for who in view.state.participants.values():
        if who.uscc == about.id:
            return Subject(kind, str(who.account))
    raise RequestError(f"the ledger knows no organisation {about.id}")


def build_routes(desk: Desk, readers: Readers, unchecked: Unchecked) -> APIRouter:
    """All pages for reading."""
    pages = _Pages(desk, readers, unchecked)
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/", pages.overview)
    router.add_api_route("/search", pages.search)
    router.add_api_route("/subjects/{kind}", pages.subjects)
    router.add_api_route("/trails/{kind}/{named}", pages.trail)
    router.add_api_route("/events", pages.events)
    router.add_api_route("/events/rows", pages.feed)
    router.add_api_route("/events/unchecked", pages.unchecked)
    router.add_api_route("/findings", pages.findings)
    router.add_api_route("/findings/{key}", pages.finding)
    router.add_api_route("/uses", pages.uses)
    router.add_api_route("/fleet", pages.fleet)
    return router


@dataclass(frozen=True, slots=True)
class _Reading:
    """One request of somebody who may read, and the look that all of its page is from."""

    request: Request
    reader: Reader
    view: View
    readers: Readers

    def page(self, template: str, **values: Any) -> Response:
        session = self.reader.session
        form = "" if session is None else self.readers.sessions.form_token("logout", session.id)
        common = {"view": self.view, "logout_form": form, "organisation": _organisation(self.view)}
        return draw(self.request, template, self.reader, {**common, **values})


class _Pages:
    """One method for each page; each first asks who reads."""

    def __init__(self, desk: Desk, readers: Readers, unchecked: Unchecked) -> None:
        self._unchecked = unchecked
        self._desk = desk
        self._readers = readers

    def _begin(self, request: Request) -> _Reading:
        return _Reading(request, self._readers.reader(request), seen(self._desk), self._readers)

    def overview(self, request: Request) -> Response:
        reading = self._begin(request)
        view = reading.view
        worst = sorted(view.filing.rules.items(), key=lambda item: (-item[1], item[0]))[:8]
        return reading.page(
            "overview.html",
            newest=self._desk.questions.newest(8),
            worst=worst,
            uses=USES,
            fleet=FLEET,
            rules=RULES,
        )

    def search(self, request: Request, q: Text = "") -> Response:
        reading = self._begin(request)
        view = reading.view
        text = q.strip()
        prefixes, code = _wanted(text)
        found = self._desk.questions.find(prefixes, code, _FOUND + 1)
        if len(found) == 1:
            return RedirectResponse(f"/trails/{found[0].kind}/{found[0].id}", 303)
        statuses = {(row.kind, row.id): status_of(view.state, row.kind, row.id) for row in found}
        return reading.page("search.html", q=text, found=found[:_FOUND], many=len(found) > _FOUND, statuses=statuses)

    def subjects(self, request: Request, kind: str, page_: PageNumber = 1) -> Response:
        reading = self._begin(request)
        view = reading.view
        if kind not in TRAILED:
            raise RequestError(f"there is no list of {kind}")
        rows = self._desk.questions.subjects(kind, (page_ - 1) * PAGE_ROWS, PAGE_ROWS)
        statuses = {row.id: status_of(view.state, row.kind, row.id) for row in rows.rows}
        owners = {row.id: _owner(view, row.kind, row.id) for row in rows.rows}
        return reading.page(
            "subjects.html", kind=kind, rows=rows, statuses=statuses, owners=owners, pages=_pages(rows, page_)
        )

    def trail(self, request: Request, kind: str, named: str, page_: PageNumber = 1) -> Response:
        reading = self._begin(request)
        view = reading.view
        about = resolved(view, kind, named)
        if about.id != named:
            return RedirectResponse(f"/trails/{kind}/{about.id}", 303)
        abouts = trail_abouts(view.state, about.kind, about.id)
        rows = self._desk.questions.trail(abouts, (page_ - 1) * TRAIL_ROWS, TRAIL_ROWS)
        if not rows.total:
            raise RequestError(f"the ledger knows no {about}")
        filed = view.filing.by_trail.get(about, ())
        return reading.page(
            "trail.html",
            about=about,
            facts=facts_of(view.state, about, language_of(request)),
            rows=rows,
            filed=filed[:_SHOWN_FINDINGS],
            filed_total=len(filed),
            marks=_marks(view, rows),
            graph=graph_of(view.state, self._desk.questions, about),
            pages=_pages(rows, page_, TRAIL_ROWS),
        )

    def events(self, request: Request, before: Annotated[int | None, Query(ge=1, le=2**53)] = None) -> Response:
        reading = self._begin(request)
        rows = self._desk.questions.newest(FEED_ROWS, before)
        return reading.page(
            "events.html", rows=rows, before=before, fresh=0, unchecked=() if before else self._unchecked(FEED_ROWS)
        )

    def unchecked(self, request: Request) -> Response:
        return self._begin(request).page("unchecked.html", unchecked=self._unchecked(FEED_ROWS))

    def feed(self, request: Request, after: Annotated[int, Query(ge=0, le=2**53)] = 0) -> Response:
        reading = self._begin(request)
        rows = self._desk.questions.newest(FEED_ROWS)
        newest = rows[0].number if rows else 0
        if newest <= after:
            return Response(status_code=204)
        return reading.page("feed.html", rows=rows, fresh=newest - after)

    def findings(
        self,
        request: Request,
        rule: Text = "",
        severity: Text = "",
        label: Text = "",
        about: Annotated[str, Query(alias="subject", max_length=_MAX_QUERY)] = "",
        page_: PageNumber = 1,
    ) -> Response:
        reading = self._begin(request)
        view = reading.view
        chosen = filters_of(rule, severity, label, about)
        filed = view.filing.chosen(chosen)
        first = (page_ - 1) * PAGE_ROWS
        rows = Page(tuple(filed[first : first + PAGE_ROWS]), first, len(filed))
        return reading.page(
            "findings.html",
            chosen=chosen,
            rows=rows,
            rules=RULES,
            severities=tuple(Severity),
            labels=tuple(Label),
            pages=_pages(rows, page_),
        )

    def finding(self, request: Request, key: str) -> Response:
        reading = self._begin(request)
        filed = reading.view.filing.by_key.get(key)
        if filed is None:
            raise RequestError("there is no such finding now; it may have been resolved since")
        return reading.page("finding.html", filed=filed, rule=RULES[filed.finding.rule], trailed=TRAILED)

    def uses(self, request: Request) -> Response:
        reading = self._begin(request)
        return reading.page(
            "uses.html", names=USES, closed=self._desk.questions.of_kind(("UseClosed", "UseExpired"), 0, 20)
        )

    def fleet(self, request: Request, page_: PageNumber = 1) -> Response:
        reading = self._begin(request)
        view = reading.view
        incidents = self._desk.questions.incidents((page_ - 1) * PAGE_ROWS, PAGE_ROWS)
        return reading.page(
            "fleet.html",
            names=FLEET,
            incidents=incidents,
            anchors=self._desk.questions.of_kind(("BatchAnchored",), 0, 15),
            devices=self._desk.questions.subjects("device", 0, 15),
            gateways=_gateways(view),
            found=[one for one in view.filing.all if one.finding.subject.kind == "device"][:_SHOWN_FINDINGS],
            pages=_pages(incidents, page_),
        )


def _wanted(text: str) -> tuple[tuple[str, ...], str]:
    """What a search looks for: beginnings of ids, and the beginning of a code. Nothing for less than two characters."""
    low = text.lower()
    if len(text.removeprefix("0x")) < 2:
        return (), ""
    prefixes = (low if low.startswith("0x") else f"0x{low}",) if _HEX.fullmatch(low) else ()
    return prefixes, "" if low.startswith("0x") else text.upper()


def _pages(rows: Page[Any], number: int, size: int = PAGE_ROWS) -> tuple[int, int]:
    """This page's number and the last one's."""
    last = max(1, -(-rows.total // size))
    if number > last:
        raise RequestError(f"there is no page {number}; the last one is {last}")
    return number, last


def _marks(view: View, rows: Page[EventRow]) -> dict[int, tuple[Filed, ...]]:
    """The findings that belong to each event of a page: at the event which made the finding's subject."""
    marks = {}
    for row in rows.rows:
        if row.event in MAKERS:
            own = view.filing.by_subject.get(Subject(row.kind, row.id), ())
            if own:
                marks[row.number] = own[:_MARKED]
    return marks


def _organisation(view: View) -> Any:
    """From an account to its code, empty where it is nobody's."""

    def code(account: str) -> str:
        known = view.state.participants.get(Address.parse(account))
        return "" if known is None else str(known.uscc)

    return code


def _owner(view: View, kind: str, named: str) -> str:
    """The account behind a subject: provider, buyer or owner."""
    for fact in facts_of(view.state, Subject(kind, named), "en"):
        if fact.word in {"fact.provider", "fact.buyer", "fact.owner"} and fact.about is not None:
            return fact.about.id
    return ""


def _gateways(view: View) -> list[tuple[str, int, int, int]]:
    """Of each gateway its account, batches, frames, and the time of its last anchor; the latest first."""
    rows = [
        (str(account), len(anchors), sum(anchor.batch.size for anchor in anchors), anchors[-1].place.time)
        for account, anchors in view.state.anchors.items()
        if anchors
    ]
    return sorted(rows, key=lambda row: (-row[3], row[0]))
