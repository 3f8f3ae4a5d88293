"""What readers see: every page in both languages, what is escaped, and what a wrong address gets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest

from audit.pages.filing import TRAILED
from contracts import events as ev
from tests.audit.pages.reading import HOSTILE, Reading

PAGES = ("/", "/search", "/events", "/findings", "/uses", "/fleet", *(f"/subjects/{kind}" for kind in TRAILED))
VOID = {"meta", "link", "input", "br", "img", "hr"}


class Checked(HTMLParser):
    """A page's structure: whether tags nest, and what a screen reader needs of them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.inputs: set[str] = set()
        self.headings: list[int] = []
        self.heads_without_scope = 0
        self.handlers: list[str] = []
        self.referred: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self.open.append(tag)
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "label":
            self.labelled.add(given["for"])
        if tag in {"input", "select"} and given.get("type") != "hidden":
            self.inputs.add(given["id"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "th" and "scope" not in given:
            self.heads_without_scope += 1
        self.referred |= set(given.get("aria-labelledby", "").split())
        self.handlers += [name for name in given if name.startswith("on") or name == "style"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def addresses(site: Reading) -> Iterator[str]:
    yield from PAGES
    state, filing = site.desk.view.state, site.desk.view.filing
    tables = (state.participants, state.assets, state.requests, state.grants, state.uses, state.devices)
    for kind, table in zip(TRAILED, tables, strict=True):
        for named in table:
            yield f"/trails/{kind}/{named}"
    for filed in filing.all:
        yield f"/findings/{filed.key}"


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_page_is_whole_and_readable_by_machine(open_site: Reading, language: str) -> None:
    with open_site.client(**{"accept-language": language}) as client:
        for address in (*addresses(open_site), "/search?q=0x", "/login", "/nowhere"):
            answer = client.get(address)
            assert answer.status_code == (404 if address == "/nowhere" else 200), address
            assert f'<html lang="{language}">' in answer.text
            page = Checked(answer.text)
            assert page.open == []
            assert len(page.ids) == len(set(page.ids)), address
            assert page.inputs <= page.labelled, address
            assert page.headings[0] == 1
            assert page.headings.count(1) == 1
            assert all(later <= earlier + 1 for earlier, later in zip(page.headings, page.headings[1:], strict=False))
            assert page.heads_without_scope == 0
            assert page.referred <= set(page.ids)
            assert page.handlers == []


def test_text_of_others_is_shown_and_never_obeyed(open_site: Reading, client: httpx.Client) -> None:
    event = open_site.history.first(ev.EndpointSet, lambda event: event.endpoint == HOSTILE)

    page = client.get(f"/trails/participant/{event.account}").text

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202egpj\\x07\\x0a=cmd|" in page
    assert not re.search("[\u202e\u0007]", page)


def test_overview_says_what_was_found(open_site: Reading, client: httpx.Client) -> None:
    view = open_site.desk.view

    page = client.get("/").text

    assert f"{view.report.summary.tip.number:,}" in page
    assert "unproven" in page
    assert view.filing.severities["high"] > 0
    assert re.search(rf'severity=high"><span class="big">{view.filing.severities["high"]}<', page)
    assert "box-key-signature-invalid" in page


def test_search_leads_to_the_one_and_lists_the_many(open_site: Reading, client: httpx.Client) -> None:
    state = open_site.desk.view.state
    who, use = next(iter(state.participants.values())), str(next(iter(state.uses)))

    by_code = client.get("/search", params={"q": f" {str(who.uscc).lower()} "})
    by_id = client.get("/search", params={"q": use[2:14].upper()})
    many = client.get("/search", params={"q": str(who.uscc)[:2]})
    none = client.get("/search", params={"q": "0xffffffffffffffffff"})

    assert by_code.headers["location"] == f"/trails/participant/{who.account}"
    assert by_id.headers["location"] == f"/trails/use/{use}"
    assert many.text.count("<tr><td>Organisation</td>") == len(state.participants)
    assert "Nothing begins with" in none.text


def test_organisation_is_found_by_its_code_in_the_address(open_site: Reading, client: httpx.Client) -> None:
    who = next(iter(open_site.desk.view.state.participants.values()))

    answer = client.get(f"/trails/participant/{who.uscc}")

    assert (answer.status_code, answer.headers["location"]) == (303, f"/trails/participant/{who.account}")


def test_findings_are_narrowed_down(open_site: Reading, client: httpx.Client) -> None:
    filing = open_site.desk.view.filing
    one = next(filed for filed in filing.all if filed.finding.rule == "document-not-served")
    use = one.finding.subject

    def keys(**filters: str) -> set[str]:
        return set(re.findall(r"/findings/([0-9a-f]{24})", client.get("/findings", params=filters).text))

    assert keys() == {filed.key for filed in filing.all}
    assert keys(severity="medium") == {f.key for f in filing.all if f.finding.severity.value == "medium"}
    assert keys(rule="document-not-served", subject=use.id[:10]) == {one.key}
    assert keys(rule="order-reused") == set()
    assert keys(subject="use 0x") == {f.key for f in filing.all if any(one.kind == "use" for one in f.trails)}
    assert keys(subject="(?:") == set()
    assert client.get("/findings", params={"severity": "grave"}).status_code == 404


def test_finding_shows_evidence_and_whose_it_is(open_site: Reading, client: httpx.Client) -> None:
    filed = next(f for f in open_site.desk.view.filing.all if f.finding.rule == "document-not-served")

    english = client.get(f"/findings/{filed.key}").text
    chinese = client.get(f"/findings/{filed.key}?lang=zh").text

    for page, message in ((english, filed.finding.message_en), (chinese, filed.finding.message_zh)):
        assert message in page
        for exhibit in filed.finding.evidence:
            assert exhibit.value in page
        assert f"/trails/{filed.finding.subject.kind}/{filed.finding.subject.id}" in page


def test_finding_stands_on_the_trails_that_it_belongs_to(open_site: Reading, client: httpx.Client) -> None:
    filed = next(f for f in open_site.desk.view.filing.all if f.finding.rule == "document-not-served")

    assert {trail.kind for trail in filed.trails} == {"use", "grant", "request", "asset", "participant"}
    for trail in filed.trails:
        assert f"/findings/{filed.key}" in client.get(f"/trails/{trail.kind}/{trail.id}").text
        listed = client.get("/findings", params={"subject": f"{trail.kind} {trail.id}"}).text
        assert f"/findings/{filed.key}" in listed


def test_graph_goes_from_device_to_result(open_site: Reading, client: httpx.Client) -> None:
    use = next(use for use in open_site.desk.view.state.uses.values() if use.closing and use.closing.completed)

    page = client.get(f"/trails/use/{use.id}").text
    drawing = page[page.index("<svg") : page.index("</svg>")]

    assert 'aria-labelledby="graph-title graph-means"' in drawing
    for column in ("device", "batch", "capsule", "deal", "request", "grant", "use focus", "result"):
        assert f'class="node {column}"' in drawing
    assert drawing.count('class="node batch"') == 3
    # capsule to result are five; three batches join it, the station is in each of them, the vehicle in one
    assert drawing.count('class="edge"') == 5 + 3 + 4
    assert f'href="/trails/grant/{use.grant}"' in drawing


def test_graph_of_a_device_leads_on_to_what_its_readings_became(open_site: Reading, client: httpx.Client) -> None:
    device = open_site.history.first(ev.DeviceEnrolled).device

    page = client.get(f"/trails/device/{device}").text
    drawing = page[page.index("<svg") : page.index("</svg>")]

    assert 'class="node device focus"' in drawing
    assert 'aria-current="page"' in drawing
    for column in ("batch", "capsule", "deal", "request", "grant", "use", "result"):
        assert f'class="node {column}' in drawing


def test_feed_renews_only_what_is_new(open_site: Reading, client: httpx.Client) -> None:
    newest = open_site.desk.questions.newest(1)[0].number

    assert client.get(f"/events/rows?after={newest}").status_code == 204
    part = client.get(f"/events/rows?after={newest - 3}").text
    assert 'data-news="3 new events"' in part
    assert "<html" not in part
    older = client.get("/events?before=10").text
    assert older.count("<tr><td") == 9


def test_language_is_kept_when_it_was_chosen(open_site: Reading) -> None:
    with open_site.client(**{"accept-language": "en"}) as client:
        assert '<html lang="zh-CN">' in client.get("/?lang=zh").text
        assert '<html lang="zh-CN">' in client.get("/findings").text
        assert '<html lang="en">' in client.get("/findings?lang=en").text


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/nowhere", 404),
        ("/trails/use/0x12", 404),
        ("/trails/use/0x" + "00" * 32, 404),
        ("/trails/grape/0x" + "00" * 32, 404),
        ("/trails/participant/91350100M000100Y43", 404),
        ("/trails/device/..%2f..%2fetc%2fpasswd", 404),
        ("/subjects/grape", 404),
        ("/subjects/use?page=99", 404),
        ("/subjects/use?page=0", 400),
        ("/subjects/use?page=" + "9" * 400, 400),
        ("/findings?page=x", 400),
        ("/findings/" + "0" * 24, 404),
        ("/search?q=" + "a" * 101, 400),
        ("/search?q=" + "a" * 4000, 414),
        ("/events?before=99999999999999999999", 400),
        ("/static/../words_en.py", 404),
        ("/static/%2e%2e/words_en.py", 404),
        ("/static/vendor/vendored.json", 404),
        ("/export/trail/use/0x12.csv", 404),
        ("/export/events.xls", 400),
    ],
)
def test_wrong_addresses_get_a_page_in_the_readers_language(open_site: Reading, address: str, status: int) -> None:
    with open_site.client(**{"accept-language": "zh"}) as client:
        answer = client.get(address)

    assert answer.status_code == status
    assert '<html lang="zh-CN">' in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_programs_get_problems_and_no_pages(client: httpx.Client) -> None:
    for address in ("/v1/nowhere", "/v1/trails/use/0x12"):
        answer = client.get(address)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_are_read_only(client: httpx.Client) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/").status_code == 405
        assert client.request(method, "/findings").status_code == 405


def test_browsers_are_bound_by_headers(client: httpx.Client) -> None:
    page = client.get("/")
    style = client.get(re.findall(r'href="(/static/pages.css[^"]*)"', page.text)[0])

    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"
    assert "immutable" in style.headers["cache-control"]
    assert not re.search(r"<script(?![^>]*src=)", page.text)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8460", 200),
        ("[::1]:8460", 200),
        ("localhost", 200),
        ("audit.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ],
)
def test_only_names_that_are_meant_are_served(client: httpx.Client, host: str, status: int) -> None:
    assert client.get("/", headers={"host": host}).status_code == status
