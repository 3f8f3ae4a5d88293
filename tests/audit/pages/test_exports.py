"""What is taken away: CSV that no spreadsheet runs, JSON that reads back, PDF with both scripts."""

from __future__ import annotations

import csv
import io
import json

import httpx
import pytest

from audit.pages.report_pdf import MOST_ROWS, as_pdf
from audit.pages.sheets import Sheet, as_csv, as_json
from contracts import events as ev
from tests.audit.pages.reading import HOSTILE, Reading

LISTS = ("events", "findings", "uses", "fleet", "incidents", "subjects/use", "subjects/participant")


def rows_of(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize("name", LISTS)
def test_every_list_comes_in_three_forms(client: httpx.Client, name: str) -> None:
    table = rows_of(client.get(f"/export/{name}.csv"))
    objects = client.get(f"/export/{name}.json").json()
    report = client.get(f"/export/{name}.pdf")

    assert len(table) == len(objects["rows"])
    assert report.content.startswith(b"%PDF-")
    assert report.headers["content-disposition"] == f'attachment; filename="{name.rsplit("/", maxsplit=1)[-1]}.pdf"'


def test_trail_is_taken_away_whole(open_site: Reading, client: httpx.Client) -> None:
    use = str(next(iter(open_site.desk.view.state.uses)))
    page = open_site.desk.questions

    objects = client.get(f"/export/trail/use/{use}.json").json()
    table = rows_of(client.get(f"/export/trail/use/{use}.csv"))

    assert [row["event"] for row in objects["rows"]][:2] == ["AssetRegistered", "CapsulePublished"]
    assert [int(row["Number"]) for row in table] == [row["number"] for row in objects["rows"]]
    opened = next(row for row in objects["rows"] if row["event"] == "UseOpened")
    assert json.loads(opened["body"])["use"] == use
    assert page.newest(1)[0].number >= objects["rows"][-1]["number"]


def test_findings_are_taken_away_as_they_were_narrowed_down(open_site: Reading, client: httpx.Client) -> None:
    objects = client.get("/export/findings.json?severity=medium").json()

    wanted = {filed.key for filed in open_site.desk.view.filing.all if filed.finding.severity.value == "medium"}
    assert wanted
    assert {row["finding"] for row in objects["rows"]} == wanted
    assert client.get("/export/findings.json?severity=grave").status_code == 404


def test_export_speaks_the_readers_language(client: httpx.Client) -> None:
    chinese = client.get("/export/findings.csv", headers={"accept-language": "zh"})

    assert {row["严重程度"] for row in rows_of(chinese)} == {"高", "中"}
    assert rows_of(chinese)[0]["对象"].startswith("机构 0x")


def test_text_of_others_is_no_formula_and_hides_nothing(open_site: Reading, client: httpx.Client) -> None:
    event = open_site.history.first(ev.EndpointSet, lambda event: event.endpoint == HOSTILE)

    answer = client.get(f"/export/trail/participant/{event.account}.csv")

    assert "\u202e" not in answer.content.decode("utf-8-sig")
    assert "\\u202egpj\\x07\\x0a=cmd" in answer.content.decode("utf-8-sig")


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1", "\n@a"])
def test_cells_that_begin_as_formulas_are_text(cell: str) -> None:
    written = b"".join(as_csv(Sheet("t", ("a",), ("A",), [(cell,), (-1,)]))).decode("utf-8-sig")

    (first,), (second,) = list(csv.reader(io.StringIO(written, newline="")))[1:]
    assert first.startswith("'")
    assert second == "-1"


def test_json_reads_back_what_was_said() -> None:
    texts = ['"', "\\", "\u2028", HOSTILE, "数据", "\ud800"]

    content = json.loads(b"".join(as_json(Sheet("标题", ("a", "b"), ("A", "B"), [(text, 1) for text in texts]))))

    assert content == {"title": "标题", "rows": [{"a": text, "b": 1} for text in texts]}


def test_large_lists_are_streamed_in_parts() -> None:
    sheet = Sheet("t", ("a",), ("A",), ((number,) for number in range(2_001)))

    parts = list(as_csv(sheet))

    assert len(parts) > 4
    assert b"".join(parts).count(b"\r\n") == 2_002


def test_report_reads_no_markup_and_says_what_it_leaves_out() -> None:
    rows = [("<b>bold</b> & <img src='file:///etc/passwd'>", "数据空间")] * (MOST_ROWS + 1)

    report = as_pdf(Sheet("审计", ("a", "b"), ("A", "B"), rows), {"a": 1.0, "b": 1.0}, ("<para>",), "more")
    again = as_pdf(Sheet("审计", ("a", "b"), ("A", "B"), rows), {"a": 1.0, "b": 1.0}, ("<para>",), "more")

    assert b"STSong-Light" in report
    assert report == again
