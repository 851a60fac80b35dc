"""The page in a real browser: what is on it, how it is found, by pointer and keyboard alone, and that nothing runs."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from livekit_otel import SessionReport
from livekit_otel.report.failures import failures, reason_of
from livekit_otel.report.one_line import one_line
from livekit_otel.report.said import message_text
from livekit_otel.report.tool_calls import tool_calls
from tests.golden import golden_names

from . import kit
from .kit import Opened, written

pytestmark = pytest.mark.browser
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "</script><script>document.title='taken'</script>",
    "javascript:alert(3) {{7*7}} ${alert(4)}",
    "\x1b]52;c;x\x07 \u202eevil\u202c \u2066hidden\u2069",
)


def everything(report: SessionReport) -> list[str]:
    """All words, tools, errors and flags of a call, each on one line."""
    found = [message_text(item) for item in report.history if item.get("role") in ("user", "assistant")]
    for call in tool_calls(report).values():
        found += [call.name, call.arguments, call.given, call.raised]
    found += [reason_of(one) for one in failures(report)]
    found += [flag.name.replace("_", " ") for turn in report.turns for flag in turn.flags]
    return [one_line(one, None) for one in found if one]


def test_everything_of_every_call_is_on_its_page(browser: Any, tmp_path: Path) -> None:
    """All words, tools, errors, flags and waits of each stored call are on its page, without a click."""
    opened: Opened | None = None
    for name in (one for one in golden_names() if not one.endswith(".native")):
        report = kit.stored(name)
        file = written(tmp_path, report)
        opened = Opened(browser, file) if opened is None else opened.again(file)
        opened.page.wait_for_selector("html[data-filled=true]")
        text = opened.text()
        assert [one for one in everything(report) if one not in text] == [], name
        shown = opened.page.locator(".row.wait b, .row.gap b").all_inner_texts()
        assert len(shown) == sum(bool(turn.silence) + len(turn.gaps) for turn in report.turns), name
        assert opened.problems == [], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1400])
def test_nothing_is_wider_than_the_screen(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    """No overflow at the width of phones and of a desk, whatever the call; no message, no request."""
    many = kit.said(*kit.SENTENCES.values(), "long" * 200, *HOSTILE)
    for report in (kit.demo(), kit.stored("providers_refuse"), kit.stored("long_tool_result"), kit.killed(), many):
        file = written(tmp_path, report)
        opened = Opened(browser, file, "#turn-1", viewport={"width": width, "height": 850}, color_scheme=scheme)
        opened.page.wait_for_selector("html[data-filled=true]")
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        for part in ("article", ".bubble", ".row", "#timeline", ".find", ".verdict li"):
            boxes = opened.page.locator(part).evaluate_all("all => all.map(one => one.getBoundingClientRect().right)")
            assert max(boxes, default=0) <= width, part
        assert opened.problems == []
        opened.page.context.close()


@pytest.mark.parametrize("name", kit.FAILING)
def test_each_failure_leads_to_its_place(browser: Any, tmp_path: Path, name: str) -> None:
    """Every sentence about a failure has a link, and each link makes its place visible."""
    opened = Opened(browser, written(tmp_path, kit.stored(name)))
    page = opened.page
    sentences = page.locator(".verdict li.bad, .verdict li.warn")
    assert sentences.count() > 0
    links = page.locator(".verdict .places a")
    assert links.count() >= len({one.turn for one in failures(kit.stored(name))})
    for number in range(links.count()):
        target = links.nth(number).get_attribute("href")
        links.nth(number).click()
        page.wait_for_function("target => document.querySelector(target)?.checkVisibility()", arg=target)
        box = page.locator(target).bounding_box()
        assert box is not None
        assert -10 <= box["y"] < page.viewport_size["height"]
    assert opened.problems == []


def test_a_killed_call(browser: Any, tmp_path: Path) -> None:
    """A call that broke off says so first, what is lost, and shows what was said until then."""
    report = kit.killed()
    opened = Opened(browser, written(tmp_path, report))
    first = opened.page.locator(".verdict li").first
    assert first.get_attribute("class") == "bad"
    assert "how the call ended is unknown" in first.inner_text()
    assert "Incomplete: session.end is missing" in opened.text()
    turn = opened.page.locator("#turn-1").inner_text()
    assert "where is my order number seven" in turn
    assert "the trace broke off in these words; the user heard a part of them" in turn
    assert "end missing" in turn
    assert opened.problems == []


def test_a_redacted_call(browser: Any, tmp_path: Path) -> None:
    """Without words the page keeps shape, waits and tools, and says that words were withheld."""
    report = kit.stored("redacted_session")
    opened = Opened(browser, written(tmp_path, report))
    text = opened.text()
    assert "content was redacted" in text
    assert opened.page.locator(".bubble").all_inner_texts() != []
    assert all("words withheld" in one for one in opened.page.locator(".bubble").all_inner_texts())
    assert opened.page.locator(".row.wait").count() == sum(bool(turn.silence) for turn in report.turns)
    assert "kanarienvogel" not in text
    assert opened.problems == []


def test_every_script_reads_as_it_was_said(browser: Any, tmp_path: Path) -> None:
    """Right-to-left words run from the right, joiners and emoji stay, in bubbles, tools, search and the copied text."""
    opened = Opened(browser, written(tmp_path, kit.said(*kit.SENTENCES.values())))
    page = opened.page
    for language, sentence in kit.SENTENCES.items():
        bubbles = page.locator(".said", has_text=sentence)
        assert bubbles.count() == 2, language
        wanted = "rtl" if language in ("arabic", "hebrew", "persian") else "ltr"
        assert bubbles.first.evaluate("one => getComputedStyle(one).direction") == wanted, language
        page.fill("#search", sentence.replace("\u200c", ""))
        # one failure says the first sentence, too
        assert page.locator("article:not([hidden])", has_text=sentence).count() == (2 if language == "arabic" else 1)
    page.fill("#search", "سلام سلام")
    assert page.locator("article:not([hidden])").count() == 0
    assert opened.problems == []


def test_hostile_words_stay_words(browser: Any, tmp_path: Path) -> None:
    """Nothing that people, tools or servers said runs or becomes an element; controls are shown as such."""
    report = kit.said(*HOSTILE)
    file = written(tmp_path, report, trace_url="https://x.example/{session_id}")
    opened = Opened(browser, file)
    opened.page.wait_for_selector("html[data-filled=true]")
    text = opened.text()
    assert HOSTILE[0] in text
    assert "{{7*7}}" in text
    assert not re.search("[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert opened.page.locator("img, iframe, object, embed, form").count() == 0
    assert opened.page.title().startswith("Call S-said")
    assert opened.page.locator("script").count() == 2
    assert opened.problems == []


def test_the_policy_forbids_what_the_page_does_not_need(browser: Any, tmp_path: Path) -> None:
    """Scripts, styles, pictures, requests, forms and markup from text are refused by the page's own policy."""
    opened = Opened(browser, written(tmp_path, kit.demo()))
    refused = opened.page.evaluate("""async () => {
        const found = [];
        document.addEventListener("securitypolicyviolation", (event) => found.push(event.violatedDirective));
        const add = (tag, fields) => document.body.append(Object.assign(document.createElement(tag), fields));
        try { add("script", { textContent: "document.title = 'taken'" }); } catch { found.push("script"); }
        add("style", { textContent: "body { color: red }" });
        add("img", { src: "https://x.example/a.png" });
        try { await fetch("https://x.example/"); } catch { found.push("fetch"); }
        try { document.body.insertAdjacentHTML("beforeend", "<b id=taken></b>"); } catch { found.push("markup"); }
        await new Promise((done) => setTimeout(done, 200));
        return found;
    }""")
    assert {"img-src", "fetch", "markup", "style-src-elem"} <= set(refused)
    assert {"script", "script-src-elem", "require-trusted-types-for"} & set(refused)
    assert opened.page.title() != "taken"
    assert opened.page.locator("#taken").count() == 0


def test_search_filters_and_order(browser: Any, tmp_path: Path) -> None:
    """Search finds words of any turn and tools, filters show what is flagged, what never came is first by wait."""
    opened = Opened(browser, written(tmp_path, kit.stored("failing_tools")))
    page = opened.page
    page.fill("#search", "NOT FOUND")
    assert page.locator("article:not([hidden])").evaluate_all("all => all.map(one => one.id)") == ["turn-1"]
    assert page.locator("#found").inner_text() == "1 of 4 turns"
    page.keyboard.press("Escape")
    assert page.locator("article:not([hidden])").count() == 4
    page.click("#filters [data-name=failed]")
    assert page.locator("article:not([hidden])").count() == 4
    assert page.locator("#filters [data-name=slow]").is_disabled()
    opened = Opened(browser, written(tmp_path, kit.stored("barge_in_before_the_voice")))
    page = opened.page
    page.click("#filters [data-name=never_answered]")
    assert page.locator("article:not([hidden])").evaluate_all("all => all.map(one => one.id)") == ["turn-0"]
    page.click("#filters [data-name=never_answered]")
    page.select_option("#order", "wait")
    assert page.locator("article").evaluate_all("all => all.map(one => one.id)") == ["turn-0", "turn-1"]
    assert opened.problems == []


def test_the_keyboard_reaches_everything(browser: Any, tmp_path: Path) -> None:
    """Tab reaches every control and the chosen turn, arrows go from turn to turn, Enter unfolds and opens."""
    opened = Opened(browser, written(tmp_path, kit.demo()), viewport={"width": 1400, "height": 900})
    page = opened.page
    page.wait_for_selector("html[data-filled=true]")
    reached: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.innerText || ''"))
    assert {"theme", "in", "out", "all", "timeline", "search", "order", "turn-0", "details", "copy"} <= set(reached)
    assert any("Glossary" in one for one in reached)
    page.focus("#turn-0")
    for wanted in ("turn-1", "turn-2"):
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.id") == wanted
    page.keyboard.press("Enter")
    assert page.locator("#turn-2 .detail").is_visible()
    assert "end_of_turn_delay" in page.locator("#turn-2 .detail").inner_text()
    page.keyboard.press("Enter")
    assert page.locator("#turn-2 .detail").is_hidden()
    page.focus("#timeline")
    page.keyboard.press("ArrowRight")
    assert "turn 3" in page.locator("#tip").inner_text()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#turn-3"
    assert page.locator("#turn-3 .detail").is_visible()
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") in ("light", "dark")
    assert opened.problems == []


def test_the_pointer_gives_details(browser: Any, tmp_path: Path) -> None:
    """Hovering over the time line names the turn below the pointer, a click opens it, a click on a wait unfolds it."""
    opened = Opened(browser, written(tmp_path, kit.demo()), viewport={"width": 1400, "height": 900})
    page = opened.page
    box = page.locator("#timeline").bounding_box()
    x = box["x"] + 84 + (box["width"] - 92) * 5 / 30.2
    page.mouse.move(x, box["y"] + 60)
    assert "where is my order number seven" in page.locator("#tip").inner_text()
    page.mouse.click(x, box["y"] + 60)
    assert page.locator("#turn-1 .detail").is_visible()
    page.locator("#turn-2 .row.wait").click()
    assert page.locator("#turn-2 .detail").is_visible()
    assert page.locator("#turn-2 .bar i").nth(1).get_attribute("title").startswith("eou 1.20 s: End of utterance")
    assert opened.problems == []


def test_a_turn_is_copied_as_text(browser: Any, tmp_path: Path) -> None:
    """The copy button puts the turn's words, wait and tools on the clipboard."""
    opened = Opened(browser, written(tmp_path, kit.demo()), permissions=["clipboard-read", "clipboard-write"])
    page = opened.page
    page.locator("#turn-1 button", has_text="copy").click()
    page.wait_for_function("() => document.querySelector('#turn-1 .buttons').innerText.includes('copied')")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("Turn 1 at 0:03 (08:17:4")
    for words in (
        "user: where is my order number seven",
        "wait: 2.03 s (eou 1.21 s",
        'tool: order_status({"number": 7})',
    ):
        assert words in copied


def test_links_to_the_trace(browser: Any, tmp_path: Path) -> None:
    """With a template each turn and failure links to its span in the backend, and sends no referrer."""
    report = kit.stored("providers_refuse")
    url = "https://jaeger.example/trace/{trace_id}?span={span_id}"
    opened = Opened(browser, written(tmp_path, report, trace_url=url))
    links = opened.page.locator("a.trace").evaluate_all("all => all.map(one => [one.href, one.rel])")
    spans = {f"https://jaeger.example/trace/{one.trace_id}?span={one.span_id}" for one in report.spans}
    assert len(links) == 1 + len(failures(report))
    assert {href for href, _ in links} <= spans
    assert {rel for _, rel in links} == {"noreferrer noopener"}


def test_print_has_the_whole_conversation(browser: Any, tmp_path: Path) -> None:
    """Printed to PDF, also while a filter hides turns, the page has all words, and bars in their colours."""
    pypdf = pytest.importorskip("pypdf")
    report = kit.demo()
    opened = Opened(browser, written(tmp_path, report), color_scheme="dark")
    opened.page.fill("#search", "seven")
    document = pypdf.PdfReader(_stream(opened.page.pdf()))
    # letters that touch are one glyph in print
    text = " ".join(unicodedata.normalize("NFKC", " ".join(page.extract_text() for page in document.pages)).split())
    for item in report.history:
        if item.get("role") in ("user", "assistant"):
            assert message_text(item) in text
    assert "order_status" in text
    assert "2.03 s" in text
    drawn = b" ".join(page.get_contents().get_data() for page in document.pages)
    for red, green, blue in ((0xC2, 0x8A, 0x1C), (0x2F, 0x7D, 0x5B), (0x6B, 0x7B, 0xB8)):
        colour = rf"{red / 255:.4f}".rstrip("0")[:5]
        assert colour.lstrip("0").encode() in drawn, (red, green, blue)


def _stream(data: bytes) -> Any:
    import io

    return io.BytesIO(data)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The page of 1,500 turns, and the bytes of what was said in it."""
    report, spoken = kit.long_call()
    return written(tmp_path_factory.mktemp("long"), report), spoken


def test_1500_turns_are_small_and_open_at_once(browser: Any, long: tuple[Path, int]) -> None:
    """At most 2 KB a turn beyond its words, open under 1.5 s, every redraw, search and sorting under 50 ms."""
    file, spoken = long
    size = (file.stat().st_size - spoken) / 1_500
    assert size <= 2_000
    opened = min((Opened(browser, file) for _ in range(3)), key=lambda one: one.seconds)
    assert opened.seconds < 1.5
    page = opened.page
    page.wait_for_selector("html[data-filled=true]")
    took = page.evaluate("""() => {
        const timed = (action) => { const begin = performance.now(); action(); return performance.now() - begin; };
        const best = (action, undo = () => {}) => Math.min(...Array.from({ length: 15 }, (_, n) => n).map(() => {
            undo();
            return timed(action);
        }));
        const set = (id, value, type) => {
            const one = document.getElementById(id);
            one.value = value;
            one.dispatchEvent(new Event(type));
        };
        return {
            zoom: best(() => document.getElementById("in").click()),
            whole: best(() => document.getElementById("all").click()),
            search: best(() => set("search", "question 1234", "input"), () => set("search", "", "input")),
            clear: best(() => set("search", "", "input"), () => set("search", "question 1234", "input")),
            sort: best(() => set("order", "wait", "change"), () => set("order", "time", "change")),
            unsort: best(() => set("order", "time", "change"), () => set("order", "wait", "change")),
        };
    }""")
    print(f"{size:.0f} bytes a turn, open after {opened.seconds:.2f} s, in ms: {took}")
    assert {name: ms for name, ms in took.items() if ms >= 50} == {}
    assert opened.problems == []


def test_1500_turns_can_be_found(browser: Any, long: tuple[Path, int]) -> None:
    """A link opens turn 700, search finds a word of any turn, the strip gives way to lanes, sorting keeps the place."""
    file, _ = long
    opened = Opened(browser, file, "#turn-700", viewport={"width": 1400, "height": 900})
    page = opened.page
    page.wait_for_selector("html[data-filled=true]")
    assert page.locator("#turn-700 .detail").is_visible()
    assert 0 <= page.locator("#turn-700").bounding_box()["y"] < 900
    for number in (0, 699, 1499):
        page.fill("#search", f"question {number} ")
        assert page.locator("article:not([hidden])").evaluate_all("all => all.map(one => one.id)") == [f"turn-{number}"]
    page.fill("#search", "")
    assert page.locator("#timeline").get_attribute("data-view") == "strip"
    while page.locator("#timeline").get_attribute("data-view") == "strip":
        page.click("#in")
    page.click("#all")
    assert page.locator("#timeline").get_attribute("data-view") == "strip"
    page.evaluate("location.hash = '#turn-901'")
    page.wait_for_function("() => document.querySelector('#turn-901 .detail')?.checkVisibility()")
    page.select_option("#order", "wait")
    time.sleep(0.5)
    assert 0 <= page.locator("#turn-901").bounding_box()["y"] < 900
    assert opened.problems == []


def test_the_pictures_of_the_docs_are_made(tmp_path: Path) -> None:
    """The script that makes the pictures in README and docs works, and makes each in its size."""
    made = subprocess.run(
        [sys.executable, "docs/make_screenshots.py", "--output", str(tmp_path)], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    sizes = {}
    for file in tmp_path.iterdir():
        # the head of a PNG: width and height
        sizes[file.name] = struct.unpack(">II", file.read_bytes()[16:24])
        assert file.stat().st_size > 30_000
    assert sizes == {"report.png": (1160, 1240), "report-dark.png": (1160, 900), "report-phone.png": (780, 1688)}
    for name in sizes:
        assert Path("docs", name).is_file()
