"""The pages in a real browser: both languages, wide and narrow, by keyboard, and without JavaScript.

Screenshots land in the test's folder (pytest --basetemp names it).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from audit.pages.users import Role
from tests.audit.pages.reading import PASSWORD, Reading, reading
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]

# Every element that takes part must have a name, as a screen reader computes it in short.
UNNAMED = """() => [
    ...document.querySelectorAll('a, button, input:not([type=hidden]), select, svg, [role=region], nav')
  ].filter((e) => !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.textContent.trim()
    || (e.labels && e.labels.length))).map((e) => e.outerHTML.slice(0, 80))"""
# Contrast as in WCAG 2.2, 1.4.3, of all visible text on its nearest painted ground.
PALE = """() => {
  const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
  const part = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
  const pale = [];
  for (const e of document.querySelectorAll('main *, header *, footer *')) {
    if (e.closest('svg') || e.closest('.uplot') || !e.checkVisibility() || e.closest('.hidden')) continue;
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const a = light(parse(getComputedStyle(e).color)), b = light(ground(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) pale.push(`${e.tagName}.${e.className} ${ratio.toFixed(2)} ${e.textContent.trim().slice(0, 30)}`);
  }
  return pale;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        if os.environ.get("CI"):
            pytest.fail("CI needs chromium: apt-get install chromium fonts-noto-cjk")
        pytest.skip("chromium is not here: apt-get install chromium fonts-noto-cjk")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, space: DataSpace, crooked_history: History
) -> Iterator[tuple[Reading, str]]:
    """A site with two users on a free port."""
    site = reading(tmp_path_factory.mktemp("served"), space, crooked_history)
    site.add_user("li.na", Role.VIEWER)
    site.add_user("zhang.wei", Role.AUDITOR)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(site.app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield site, f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()
    site.desk.close()


def log_in(page: Page, base: str, name: str = "zhang.wei") -> None:
    page.goto(f"{base}/login")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("main button[type=submit]")
    page.wait_for_url(f"{base}/")


def addresses(site: Reading) -> dict[str, str]:
    state = site.desk.view.state
    use = next(use for use in state.uses.values() if use.closing and use.closing.completed)
    return {
        "overview": "/",
        "search": "/search?q=0x",
        "organisations": "/subjects/participant",
        "asset": f"/trails/asset/{use.asset}",
        "use": f"/trails/use/{use.id}",
        "device": f"/trails/device/{next(iter(state.devices))}",
        "events": "/events",
        "findings": "/findings",
        "finding": f"/findings/{site.desk.view.filing.all[0].key}",
        "usage": "/uses",
        "fleet": "/fleet",
        "missing": "/nowhere",
    }


@pytest.mark.parametrize(
    ("locale", "width", "scheme"),
    [("en-GB", 1280, "light"), ("en-GB", 390, "dark"), ("zh-CN", 1280, "dark"), ("zh-CN", 390, "light")],
)
def test_pages_show_whole_named_and_legible(
    browser: Browser, served: tuple[Reading, str], tmp_path: Path, locale: str, width: int, scheme: str
) -> None:
    site, base = served
    troubles: list[str] = []
    context = browser.new_context(locale=locale, viewport={"width": width, "height": 860}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda said: troubles.append(said.text) if said.type in {"error", "warning"} else None)
    log_in(page, base)

    for name, address in addresses(site).items():
        page.goto(base + address)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
        assert page.evaluate(UNNAMED) == [], name
        assert page.evaluate(PALE) == [], name
        drawn = page.locator("figure.chart .uplot canvas").count()
        assert drawn == page.locator("figure.chart table.series").count()
        page.screenshot(path=tmp_path / f"{name}-{locale[:2]}-{width}.png", full_page=True)
    context.close()

    # The one page that is not there says so in the console.
    assert [trouble for trouble in troubles if "404" not in trouble] == []
    assert len(troubles) <= 1


def test_whole_trip_by_keyboard(browser: Browser, served: tuple[Reading, str]) -> None:
    site, base = served
    use = next(iter(site.desk.view.state.uses))
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(base)

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "name"
    page.keyboard.type("li.na")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{base}/")

    order = []
    for _ in range(12):
        page.keyboard.press("Tab")
        order.append(page.evaluate("(document.activeElement.textContent || document.activeElement.id).trim()"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", order
    assert order[0] == "Skip to content"
    assert order[4:9] == ["Overview", "Findings", "Live events", "Usage", "Devices"]
    assert order[9] == "q"

    page.focus("#q")
    page.keyboard.type(str(use)[:14])
    page.keyboard.press("Enter")
    page.wait_for_url(f"{base}/trails/use/{use}")
    page.focus("ol.timeline details summary >> nth=0")
    page.keyboard.press("Enter")
    assert page.locator("ol.timeline details[open]").count() == 1
    page.focus("svg a >> nth=0")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{base}/trails/device/*")
    context.close()


def test_essentials_without_javascript(browser: Browser, served: tuple[Reading, str], tmp_path: Path) -> None:
    site, base = served
    context = browser.new_context(java_script_enabled=False, locale="zh-CN")
    page = context.new_page()
    log_in(page, base)

    assert page.locator("figure.chart details[open] table.series tbody tr").first.is_visible()
    page.click("nav >> text=审计发现")
    page.select_option("#severity", "medium")
    page.click("form.filter button")
    assert page.locator("table tbody tr").count() == site.desk.view.filing.severities["medium"]
    page.click("table tbody tr >> nth=0 >> a >> nth=0")
    assert page.locator("h1 code").inner_text() == "document-not-served"
    page.click("ul.links a >> nth=0")
    assert page.locator("svg .node.focus").count() == 1
    with page.expect_download() as taken:
        page.click("text=CSV")
    assert taken.value.suggested_filename.endswith(".csv")
    page.goto(f"{base}/events")
    page.click("text=刷新")
    page.screenshot(path=tmp_path / "events-without-javascript.png")
    page.click("text=English")
    assert page.locator("html").get_attribute("lang") == "en"
    page.click("text=Log out")
    page.wait_for_url(f"{base}/login")
    page.goto(f"{base}/events")
    assert page.url.startswith(f"{base}/login?next=")
    context.close()


def test_feed_renews_itself_and_says_so(browser: Browser, served: tuple[Reading, str]) -> None:
    site, base = served
    newest = site.desk.questions.newest(1)[0].number
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    log_in(page, base)
    page.goto(f"{base}/events")
    page.evaluate(
        "(after) => { const feed = document.getElementById('feed'); "
        "feed.setAttribute('hx-get', `/events/rows?after=${after}`); htmx.process(feed); }",
        newest - 2,
    )

    expect(page.locator("#news")).to_have_text("2 new events", timeout=20_000)
    assert page.locator("#feed").get_attribute("hx-get") == f"/events/rows?after={newest}"
    assert page.locator("#news").get_attribute("aria-live") == "polite"
    context.close()
