"""One call in several files: its traces, of one layer or of both, and LiveKit's own report of it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from livekit_otel import attributes as attr
from livekit_otel import build_report, build_reports, read_spans
from livekit_otel.cli import main

from .kit.trace import Trace, record
from .native.recordings import FOLDER

OTHER_TRACE = "ab" * 16


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """What a command writes as JSON."""
    assert main([*map(str, arguments), "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def layer(trace: Trace, scope: str, trace_id: str = "") -> str:
    """The spans of one scope as a file's text, with another trace id if it is given."""
    lines = []
    for line in trace.text.splitlines():
        document = json.loads(line)
        for resource in document["resourceSpans"]:
            resource["scopeSpans"] = [one for one in resource["scopeSpans"] if one["scope"]["name"] == scope]
            for span in (span for one in resource["scopeSpans"] for span in one["spans"]):
                span["traceId"] = trace_id or span["traceId"]
        lines.append(json.dumps(document))
    return "\n".join(lines)


def write_reports(folder: Path, trace: Trace) -> None:
    for number, outcome in enumerate(trace.outcomes):
        (folder / f"report-{number}.json").write_text(json.dumps(outcome.report))


@pytest.mark.parametrize("name", ["one_tool", "two_sessions_in_one_job"])
@pytest.mark.parametrize("scope", [attr.SCOPE, attr.NATIVE_SCOPE])
def test_a_trace_and_livekits_report_of_a_call_are_one(
    scope: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each session of a directory with traces and their reports is listed once, as its trace has it."""
    trace = record(name, native_spans=True)
    (tmp_path / "trace.jsonl").write_text(layer(trace, scope))
    alone = {row["session_id"] for row in shown(capsys, "sessions", tmp_path)}
    turns = shown(capsys, "turns", tmp_path)
    write_reports(tmp_path, trace)
    assert {row["session_id"] for row in shown(capsys, "sessions", tmp_path)} == alone
    assert shown(capsys, "turns", tmp_path) == turns
    assert len(list(build_reports(read_spans(tmp_path)))) == 2 * len(trace.outcomes)
    if len(trace.outcomes) == 1:
        shown(capsys, "report", tmp_path)
        assert build_report(read_spans(tmp_path)).provenance != "livekit report"
        room = trace.outcomes[0].report["room_id"]
        assert build_report(read_spans(tmp_path), room).provenance != "livekit report"


def test_the_latest_session_is_its_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--latest shows the trace of the newest call, though its report begins at the same moment."""
    trace = record("one_tool", native_spans=True)
    (tmp_path / "trace.jsonl").write_text(layer(trace, attr.NATIVE_SCOPE))
    write_reports(tmp_path, trace)
    found = shown(capsys, "report", tmp_path, "--latest", "--full")
    assert found["livekit_otel"]["provenance"] == "native python"


def test_both_layers_in_traces_of_their_own_are_one_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """LiveKit's spans that went to another provider, and so to another trace, do not make a second session."""
    trace = record("one_tool", native_spans=True)
    (tmp_path / "a.jsonl").write_text(layer(trace, attr.NATIVE_SCOPE, OTHER_TRACE))
    (tmp_path / "b.jsonl").write_text(layer(trace, attr.SCOPE))
    (own,) = build_reports(trace.pipeline)
    assert [row["session_id"] for row in shown(capsys, "sessions", tmp_path)] == [own.session_id]
    assert {row["session_id"] for row in shown(capsys, "turns", tmp_path)} == {own.session_id}
    assert build_report(read_spans(tmp_path)).session_id == own.session_id


def test_reports_of_node_are_one_with_their_traces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same of agents-js: a call without words is recognized by its room and time, all others by their items."""
    traces, reports = tmp_path / "traces", tmp_path / "reports"
    traces.mkdir()
    reports.mkdir()
    with gzip.open(FOLDER / "reports-node-1.9.0.jsonl.gz", "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            (traces / f"{number}.jsonl").write_text(line)
            (reports / f"{number}.json").write_text(json.dumps(json.loads(line)["reports"][0]))
    rows = shown(capsys, "sessions", tmp_path)
    assert rows == shown(capsys, "sessions", traces)
    assert len(shown(capsys, "sessions", reports)) == len(rows)


def test_other_calls_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A report of another call, of the same job and room at another time, is a session of its own."""
    trace = record("two_sessions_in_one_job")
    first, second = (outcome.report for outcome in trace.outcomes[:2])
    own = next(build_reports(trace.pipeline)).session_id
    (tmp_path / "trace.jsonl").write_text(_of_session(trace, own))
    (tmp_path / "second.json").write_text(json.dumps(second))
    rows = shown(capsys, "sessions", tmp_path)
    assert [row["session_id"] == own for row in rows] == [True, False]
    (tmp_path / "first.json").write_text(json.dumps(first))
    assert shown(capsys, "sessions", tmp_path) == rows


def _of_session(trace: Trace, session_id: str) -> str:
    """The spans of one session of a trace, as a file's text."""
    lines = []
    for line in trace.text.splitlines():
        document = json.loads(line)
        for resource in document["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                scope["spans"] = [one for one in scope["spans"] if session_id in json.dumps(one["attributes"])]
        lines.append(json.dumps(document))
    return "\n".join(lines)
