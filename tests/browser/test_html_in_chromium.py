"""The HTML report in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import livekit_otel
from livekit_otel.report.render_html import to_html
from tests.kit.trace import record

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium"),
]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """The pages; made before Playwright's own event loop runs in this thread."""
    return {name: to_html(report_of(name)) for name in ("one_tool", "several_turns", "hostile_words")}


@pytest.fixture(scope="module")
def browser(pages: dict[str, str]) -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser
        browser.close()


class Page:
    """An opened report and everything that must not happen on it."""

    def __init__(self, browser: Any, file: Path, **context: Any) -> None:
        self.problems: list[str] = []
        self.page = browser.new_context(**context).new_page()
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.problems.append("dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self._request(request.url, file))
        begin = time.perf_counter()
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("html[data-ready=true]")
        self.seconds = time.perf_counter() - begin

    def _request(self, url: str, file: Path) -> None:
        if url != file.as_uri():
            self.problems.append(f"request to {url}")


def write(tmp_path: Path, html: str) -> Path:
    file = tmp_path / "report.html"
    file.write_text(html, encoding="utf-8")
    return file


def report_of(name: str) -> livekit_otel.SessionReport:
    return next(iter(livekit_otel.build_reports(record(name).records)))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
def test_it_opens_cleanly(browser: Any, pages: dict[str, str], tmp_path: Path, width: int, scheme: str) -> None:
    """No console message, no request leaves the page, and nothing is wider than the screen."""
    file = write(tmp_path, pages["one_tool"])
    opened = Page(browser, file, viewport={"width": width, "height": 850}, color_scheme=scheme)
    assert opened.problems == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_words_stay_words(browser: Any, pages: dict[str, str], tmp_path: Path) -> None:
    """Nothing that people said runs: no dialog, no element, and the words are shown as they were said."""
    opened = Page(browser, write(tmp_path, pages["hostile_words"]))
    assert opened.problems == []
    assert opened.page.locator("img").count() == 0
    assert "<script>alert(1)</script>" in opened.page.locator("#detail").inner_text()
    assert "{{7*7}}" in opened.page.locator("#detail").inner_text()


def test_the_keyboard_is_enough(browser: Any, pages: dict[str, str], tmp_path: Path) -> None:
    """Tab reaches every control, arrows walk through the turns, plus zooms the time line."""
    opened = Page(browser, write(tmp_path, pages["several_turns"]))
    page = opened.page
    reached = set()
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"theme", "in", "out", "all", "timeline", "order", "turns"} <= reached
    page.focus("#turns")
    first = page.locator("#detail h3").inner_text()
    page.keyboard.press("ArrowDown")
    assert page.locator("#detail h3").inner_text() != first
    page.keyboard.press("End")
    chosen = page.locator("#turns li[aria-selected=true]")
    assert chosen.count() == 1
    before = page.locator("#timeline").screenshot()
    page.focus("#timeline")
    page.keyboard.press("+")
    assert page.locator("#timeline").screenshot() != before
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") in ("light", "dark")
    assert opened.problems == []


def test_two_hours_open_at_once(browser: Any, pages: dict[str, str], tmp_path: Path) -> None:
    """A call of 1,500 turns is a file under 4 MB, and can be used within two seconds."""
    html = pages["several_turns"]
    found = re.search(r'(<script type="application/json" id="data">)(.*?)(</script>)', html, re.DOTALL)
    assert found is not None
    data = json.loads(found.group(2))
    one = data["turns"][2]
    length = 4_800
    data["turns"] = [
        {**one, "i": number, "a": number * length, "b": number * length + 4_000, "u": f"question {number} " * 8}
        for number in range(1_500)
    ]
    data["length"] = 1_500 * length
    html = html.replace(found.group(2), json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"))
    assert len(html.encode()) < 4_000_000
    opened = Page(browser, write(tmp_path, html))
    print(f"{len(html.encode()) / 1e6:.2f} MB, ready after {opened.seconds:.2f} s")
    assert opened.seconds < 2.0
    begin = time.perf_counter()
    opened.page.click("#in")
    opened.page.focus("#turns")
    opened.page.keyboard.press("End")
    assert opened.page.locator("#turns li[aria-selected=true]").count() == 1
    assert time.perf_counter() - begin < 2.0
    assert opened.problems == []
