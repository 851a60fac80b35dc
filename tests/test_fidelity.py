"""The flagship: a report rebuilt from the trace file equals LiveKit's own, in every scripted session."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import livekit_otel
from livekit_otel import SessionReport
from tests.kit.run import as_json, assert_same_report
from tests.kit.trace import Trace, every_name, record

OPEN = [name for name in every_name() if name != "redacted_session"]


def assert_equal_reports(rebuilt: list[SessionReport], trace: Trace) -> None:
    """Every report is LiveKit's own, and nothing of it is missing."""
    assert len(rebuilt) == len(trace.outcomes)
    for report, outcome in zip(rebuilt, trace.outcomes, strict=True):
        assert report.complete
        assert report.warnings == []
        assert_same_report(report.to_dict(), outcome.report)


def rebuild(source: Any) -> list[SessionReport]:
    reports = list(livekit_otel.build_reports(livekit_otel.read_spans(source)))
    return sorted(reports, key=lambda report: report.started_at or 0.0)


@pytest.mark.parametrize("native_spans", [False, True], ids=["pipeline only", "with native spans"])
@pytest.mark.parametrize("name", OPEN)
def test_rebuilt_report_is_livekits_own(name: str, native_spans: bool, tmp_path: Path) -> None:
    """The report rebuilt from the exporter's file equals make_session_report(), with and without native spans."""
    trace = record(name, native_spans=native_spans)
    file = tmp_path / "trace.jsonl"
    file.write_text(trace.text, encoding="utf-8")
    assert_equal_reports(rebuild(file), trace)


@pytest.mark.parametrize("name", OPEN)
def test_order_copies_and_files_do_not_matter(name: str, tmp_path: Path) -> None:
    """Spans in random order, some twice, split over several files, give the same report."""
    trace = record(name)
    lines = trace.text.splitlines()
    rng = random.Random(name)
    lines += rng.sample(lines, len(lines) // 2)
    rng.shuffle(lines)
    for number in range(3):
        part = "\n".join(lines[number::3]) + "\n"
        (tmp_path / f"part{number}.jsonl").write_text(part, encoding="utf-8")
    assert_equal_reports(rebuild(tmp_path), trace)


@pytest.mark.parametrize("name", OPEN)
def test_spans_of_a_killed_process_give_what_they_hold(name: str) -> None:
    """Without what a kill would have kept back (open spans and the end), all that was flushed is in the report."""
    trace = record(name)
    if len(trace.outcomes) != 1:
        pytest.skip("one session is enough")
    survivors = [span for span in trace.pipeline if span.kind not in ("session", "session.end")]
    report = livekit_otel.build_report(survivors)
    assert not report.complete
    assert report.warnings
    theirs = trace.outcomes[0].report
    ours = as_json(report.to_dict())
    emitted, told = theirs["events"], ours["events"]
    assert len(told) >= len(emitted) - 3
    assert [_identity(event) for event in told] == [_identity(event) for event in emitted[: len(told)]]
    assert ours["usage"] == theirs["usage"]
    if name != "history_that_is_edited":
        ids = [item["id"] for item in theirs["chat_history"]["items"]]
        known = [item["id"] for item in ours["chat_history"]["items"]]
        assert known == [one for one in ids if one in known]
        # a tool that ends while the session closes leaves its call and its result, and no event after them
        assert len(known) >= len(ids) - (2 if name == "closed_while_a_tool_runs" else 1)


def _identity(event: dict[str, Any]) -> tuple[str, float]:
    """What cannot change after the event was emitted."""
    return event["type"], event["created_at"]
