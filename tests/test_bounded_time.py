"""Time follows the input: no shape of a session takes more than its length, and none is too deep."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from livekit_otel import SpanRecord, build_reports, read_spans
from livekit_otel import attributes as attr
from livekit_otel.cli import main
from livekit_otel.report.render_html import to_html
from livekit_otel.report.render_json import to_document
from livekit_otel.report.render_text import to_text
from tests import report_kit as kit

TRACE = "a" * 32
SECOND = 1_000_000_000


def _span(number: int, kind: str, start: float, end: float, parent: int | None = 1, more: Any = None) -> SpanRecord:
    attributes = {attr.SESSION_ID: "S", attr.KIND: kind, **(more or {})}
    return SpanRecord(
        trace_id=TRACE,
        span_id=format(number, "016x"),
        parent_id=None if parent is None else format(parent, "016x"),
        name=kind,
        start_ns=round(start * SECOND),
        end_ns=round(end * SECOND),
        attributes=attributes,
    )


def tool_rounds(rounds: int) -> list[SpanRecord]:
    """A turn whose answer waited for so many requests and tools, one after the other."""
    spoken = {attr.SPEECH_ID: "sp"}
    spans = [_span(1, "session", 0, rounds + 10, None)]
    turn = _span(2, "turn", 0, rounds + 9, 1, {attr.TURN_HAS_USER: True, attr.TURN_SPEECH_IDS: ["sp"]})
    spans += [turn, _span(3, "eou", 0.5, 1, 2, {attr.EOU_COMMITTED: True, **spoken})]
    for number in range(rounds):
        begin = 1 + number
        spans.append(_span(100 + 2 * number, "llm", begin, begin + 0.4, 2, spoken))
        spans.append(_span(101 + 2 * number, "tool", begin + 0.4, begin + 1, 2, spoken))
    begin = 1 + rounds
    spans.append(_span(4, "llm", begin, begin + 0.4, 2, {attr.TIME_TO_FIRST_CHUNK: 0.1, **spoken}))
    spans.append(_span(5, "tts", begin + 0.2, begin + 0.5, 2, spoken))
    return [*spans, _span(6, "playback", begin + 0.5, begin + 2, 2, spoken)]


@pytest.mark.parametrize("rounds", [2, 494, 10_000])
def test_a_turn_of_many_tool_rounds(rounds: int) -> None:
    """Each round of tools is in the silence before the answer, however many there are; the parts sum to the whole."""
    [report] = build_reports(tool_rounds(rounds))
    [turn] = report.turns
    assert turn.silence["tool"] == pytest.approx(0.6 * rounds)
    assert sum(turn.silence.values()) == pytest.approx(turn.latency.e2e_latency)
    assert len(turn.path) > 2 * rounds


def _nested() -> list[SpanRecord]:
    return [_span(n, "tool", n, n + 1, n - 1) for n in range(2, 20_000)]


def _loose() -> list[SpanRecord]:
    named = {attr.TURN_SPEECH_IDS: ["sp"]}
    turns = [_span(n, "turn", n, n + 1, 1, named) for n in range(2, 8_000)]
    return [*turns, *(_span(n, "llm", n, n + 1, 1, {attr.SPEECH_ID: "sp"}) for n in range(8_000, 28_000))]


def _masked() -> list[SpanRecord]:
    sessions = [_span(n, "session", n, n + 1, None, {attr.SESSION_ID: "****"}) for n in range(1, 3_000)]
    return [
        *sessions,
        *(_span(n, "tool", n, n + 1, n - 1, {attr.SESSION_ID: "****"}) for n in range(3_000, 9_000)),
    ]


def _decisions() -> list[SpanRecord]:
    turn = _span(2, "turn", 0, 9, 1, {attr.TURN_HAS_USER: True})
    decided = {attr.EOU_COMMITTED: True}
    eous = [_span(n, "eou", n, n, 2, decided) for n in range(10, 9_000)]
    return [turn, *eous, *(_span(n, "vad", n - 9_000, n - 8_999, 2) for n in range(9_010, 18_000))]


def _playouts() -> list[SpanRecord]:
    turn = _span(2, "turn", 0, 9)
    voices = [_span(n, "tts", 1, 2, 2, {attr.TTS_FIRST_BYTE: 0.1}) for n in range(10, 4_000)]
    return [turn, *voices, *(_span(n, "playback", n, n + 1, 2) for n in range(4_000, 8_000))]


def _long_words() -> list[SpanRecord]:
    words = "long words " * 172
    return [_span(n, "turn", n, n + 1, 1, {attr.TURN_USER_TEXT: f"{n} {words}"}) for n in range(2, 4_000)]


def _silences() -> list[SpanRecord]:
    turns = range(10, 60_000, 10)
    ended = {attr.END_REASON: attr.END_COMPLETED}
    spans = [_span(n, "turn", n, n + 9, 1, ended) for n in turns]
    for n in turns:
        spans += [_span(n + 1, "tool", n, n + 5, n), _span(n + 2, "vad", n, n + 1, n)]
        spans += [_span(n + at, "playback", n + at, n + at + 1, n, {attr.PLAYBACK_INTERRUPTED: False}) for at in (3, 7)]
    return spans


def _own_work() -> list[SpanRecord]:
    work = {attr.NODE_NAME: "llm_node", attr.SPEECH_ID: "sp", attr.NODE_OWN_WORK: [0.1, 0.2, 0.3, 0.4]}
    return [
        *tool_rounds(5_000)[1:],
        *(_span(n, "node", n - 29_999, n - 29_998, 2, work) for n in range(30_000, 35_000)),
    ]


@pytest.mark.parametrize(
    "make",
    [_nested, _own_work, _loose, _masked, _decisions, _playouts, _long_words, _silences],
    ids=lambda make: make.__name__.strip("_"),
)
def test_time_follows_the_spans(make: Callable[[], list[SpanRecord]]) -> None:
    """Thousands of spans in the worst relation to each other make a report in a moment."""
    spans = make()
    begin = time.process_time()
    for report in build_reports(spans):
        if len(report.spans) > 10:
            report.history.extend({"type": "message", "role": "user", "content": ["words"]} for _ in range(4_000))
        to_document(report, full=True)
        to_text(report)
    assert time.process_time() - begin < 4.0


def test_pages_of_many_sessions() -> None:
    """A page costs what stands on it: a thousand sessions of a source are shown in a moment."""
    spans = [_span(n, "session", n, n + 1, None, {attr.SESSION_ID: f"S{n}"}) for n in range(1, 1_001)]
    begin = time.process_time()
    pages = [to_html(report) for report in build_reports(spans)]
    assert time.process_time() - begin < 2.5
    assert all(f"S{n}" in page for n, page in enumerate(pages, start=1))


def test_batches_that_a_piece_claims() -> None:
    """A piece of batch 999,999 costs no list of a million numbers, and what is missing is said."""
    begin = time.process_time()
    for _ in range(200):
        call = kit.Call()
        call.spans[0]["attributes"]["livekit_otel.journal.p039"] = "999999.0.1.2|[]"
        [report] = build_reports(kit.records(call.spans))
        assert any("-999998 are missing" in warning for warning in report.warnings)
    assert time.process_time() - begin < 2.0


@pytest.mark.parametrize("piece", ["\\udc00", "\\ud800", "\\ud83d\\ude00", "\\\\", "\\\\\\udc00"])
def test_halves_of_pairs(piece: str, tmp_path: Path) -> None:
    """A value of millions of escapes, halves of surrogate pairs among them, is read in a moment."""
    path = tmp_path / "trace.jsonl"
    call = kit.call(turns=1)
    lines = kit.lines(call.spans)
    words = piece * (18_000_000 // len(piece)) + "\\ud800"
    lines[-1] = lines[-1].replace('"key"', f'"note": "{words}", "key"', 1)
    path.write_text("\n".join(lines), encoding="utf-8")
    begin = time.process_time()
    [report] = build_reports(read_spans(path))
    assert time.process_time() - begin < 1.5
    assert len(report.spans) == len(call.spans)


def test_long_session_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ids of many characters that differ at their end are told apart at once."""
    path = tmp_path / "two.jsonl"
    texts = [kit.lines(kit.call("S" * 600_000 + end, turns=1).spans) for end in ("a", "b")]
    path.write_text("\n".join(line for lines in texts for line in lines), encoding="utf-8")
    begin = time.process_time()
    assert main(["turns", str(path)]) == 0
    assert time.process_time() - begin < 4.0
    capsys.readouterr()
