"""What the tests of the page share: a browser, an opened page and all that must not happen on it, and made-up calls."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from livekit_otel import SessionReport, SpanRecord, build_report, build_reports, read_spans
from livekit_otel import attributes as attr
from livekit_otel.report.render_html import to_html
from tests import report_kit
from tests.golden import FOLDER, SUFFIX
from tests.turns_kit import Script, llm_metrics, stt_metrics, tts_metrics

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DEMO = Path(__file__).parent.parent / "data" / "demo-trace.jsonl.gz"
#: the stored calls in which something failed
FAILING = (
    "apology_for_a_failed_request", "failing_tools", "llm_fails_for_good", "llm_falls_back", "llm_node_that_raises",
    "llm_recovers", "providers_refuse", "stt_fails", "tts_fails", "tts_falls_back",
)  # fmt: skip
SENTENCES = {
    "arabic": "مرحبا، أين طلبي رقم سبعة؟",
    "hebrew": "שלום, איפה ההזמנה שלי?",
    "persian": "سلام، می\u200cخواهم سفارشم را پیگیری کنم",
    "hindi": "नमस्ते, मेरा ऑर्डर कहाँ है?",
    "chinese": "你好，我的订单在哪里？",
    "emoji": "👩\u200d🚀 and 🏳️\u200d🌈",
}


def launch(playwright: Any) -> Any:
    return playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)


class Opened:
    """An opened page: what it logged, asked for or raised is a problem."""

    def __init__(self, browser: Any, file: Path, fragment: str = "", **context: Any) -> None:
        self.problems: list[str] = []
        self.file = file
        self.page = browser.new_context(**context).new_page()
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.problems.append("dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self._request(request.url))
        self.seconds = 0.0
        self.again(file, fragment)

    def again(self, file: Path, fragment: str = "") -> Opened:
        """Open another page in its place."""
        self.file = file
        begin = time.perf_counter()
        self.page.goto(file.as_uri() + fragment)
        self.page.wait_for_selector("html[data-ready=true]")
        self.seconds = time.perf_counter() - begin
        return self

    def _request(self, url: str) -> None:
        if url.partition("#")[0] != self.file.as_uri():
            self.problems.append(f"request to {url}")

    def text(self) -> str:
        """All that is on the page, white space aside."""
        return " ".join(self.page.evaluate("document.body.textContent").split())


def written(folder: Path, report: SessionReport, **options: Any) -> Path:
    """The page of a report, in a file."""
    file = folder / f"{report.session_id[:24]}.html"
    file.write_text(to_html(report, **options), encoding="utf-8")
    return file


def stored(name: str) -> SessionReport:
    return next(iter(build_reports(read_spans(FOLDER / f"{name}{SUFFIX}"))))


def demo() -> SessionReport:
    return build_report(read_spans(DEMO))


def killed() -> SessionReport:
    """The demo call whose process was killed in its second turn: nothing of the last 18 seconds was exported."""
    spans = list(read_spans(DEMO))
    begin = min(span.start_ns for span in spans)
    return next(iter(build_reports(span for span in spans if span.end_ns < begin + 9_000_000_000)))


def said(*sentences: str) -> SessionReport:
    """A call in which these sentences are said, by both sides, and are a tool's arguments and result."""
    call = report_kit.Call("S-said")
    for number, sentence in enumerate(sentences):
        call.now += 1.0
        call.message("user", report_kit.Pii(sentence))
        call_id = f"c{number}"
        item: dict[str, Any] = {"call_id": call_id, "name": "look_up"}
        call.item(type="function_call", arguments=report_kit.Pii(sentence), extra={}, **item)
        call.item(type="function_call_output", output=report_kit.Pii(sentence), is_error=True, **item)
        call.message("assistant", report_kit.Pii(sentence))
    call.event("error", error={"type": "llm_error", "label": sentences[0], "error": report_kit.Pii(sentences[0])})
    return build_report(report_kit.records(call.close("error").spans))


def long_call(turns: int = 1_500) -> tuple[SessionReport, int]:
    """A call of many turns with waits, tools, dead air, failures and flags; and how many bytes of words it has."""
    script = Script()
    spoken = 0
    for number in range(turns):
        at = 9.0 * number
        user, agent = f"question {number} about order {number * 7} please", f"answer {number}: it is on its way to you"
        said: dict[str, Any] = {attr.TURN_USER_TEXT: user, attr.TURN_AGENT_TEXT: agent, attr.END_REASON: "completed"}
        turn = script.turn(at + 1.0, at + 8.5, **said)
        _stages(turn, number, at)
        spoken += len(user) + len(agent)
    return build_report(script.spans), spoken


def _stages(turn: Any, number: int, at: float) -> None:
    wait = 0.6 + 0.002 * (number % 500) + (3.0 if number % 97 == 0 else 0.0)
    turn.vad(at + 1.0, at + 2.0)
    turn.stt(at + 1.0, at + 2.1, **stt_metrics(1.0, at + 2.1))
    turn.eou(at + 2.0, at + 2.3)
    if number % 50 == 7:
        failed = {attr.OUTCOME: attr.OUTCOME_ERROR, attr.ERROR_TYPE: "APIStatusError", attr.HTTP_STATUS: 429}
        turn.llm(at + 2.3, at + 2.4, None, **{**llm_metrics(10, 0, at + 2, model="first"), **failed})
    text = at + 2.0 + wait - 0.1
    turn.llm(at + 2.4, text + 0.2, text - at - 2.4, **llm_metrics(100, 10, at + 4))
    tool: dict[str, SpanRecord | str] = {attr.TOOL_NAME: "order_status", attr.TOOL_CALL_ARGUMENTS: f'{{"n":{number}}}'}
    turn.tool(at + 2.35, at + 2.39, **tool)
    turn.tts(text, text + 0.3, 0.1, ttfb=0.1, **tts_metrics(6, 1.0, at + 4))
    turn.playback(text + 0.1, text + 2.0)
    if number % 40 == 3:
        turn.verdict(text + 1.0, text + 2.0, attr.VERDICT_INTERRUPTION)
