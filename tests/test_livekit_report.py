"""LiveKit's own session reports as a source: conversation, latencies, usage, verdict and pages, without a trace."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from livekit_otel import SessionReport, SourceError, build_report, build_reports, read_spans
from livekit_otel import attributes as attr
from livekit_otel.cli import main
from livekit_otel.report.render_html import to_html
from livekit_otel.report.verdict import verdict

from .kit.trace import names, record
from .native.recordings import FOLDER

#: for the fast suite
SAMPLE = (
    *("one_tool", "handoff", "barge_in", "llm_fails_for_good", "realtime_conversation", "typed_questions"),
    *("words_of_the_world", "two_sessions_in_one_job", "closed_while_speaking", "picture_in_the_conversation"),
)
NODE = ("1.9.0", "1.6.4")

each_release = pytest.mark.parametrize("release", NODE)


@cache
def node(release: str) -> dict[str, tuple[dict[str, Any], str]]:
    """agents-js's whole reports, and the line of the same call's native spans, by scenario."""
    with gzip.open(FOLDER / f"reports-node-{release}.jsonl.gz", "rt", encoding="utf-8") as file:
        calls = [(json.loads(line), line) for line in file]
    return {call["scenario"]: (call["reports"][0], line) for call, line in calls}


def read(report: dict[str, Any], folder: Path, **layout: Any) -> SessionReport:
    """What a file with this report reads to."""
    path = folder / "call.json"
    path.write_text(json.dumps(report, **layout))
    return build_report(read_spans(path))


def sample() -> list[str]:
    return [name for name in SAMPLE if name in names()]


@pytest.mark.parametrize("layout", [{}, {"indent": 2}], ids=["one line", "indented"])
def test_a_report_of_python_reads_to_itself(layout: dict[str, Any], tmp_path: Path) -> None:
    """to_dict() is the file's content, key order included, and says what the trace's report says."""
    for name in sample():
        trace = record(name)
        for theirs, ours in zip(trace.outcomes, build_reports(trace.pipeline), strict=True):
            found = read(theirs.report, tmp_path, **layout)
            assert json.dumps(found.to_dict()) == json.dumps(theirs.report)
            assert found.history == ours.history
            assert found.events == ours.events
            assert found.usage == theirs.usage == ours.usage
            assert found.close_reason == ours.close_reason
            assert (found.job_id, found.room_id, found.room) == (ours.job_id, ours.room_id, ours.room)
            assert found.started_at == pytest.approx(ours.started_at, abs=0.001)


def test_turns_have_the_reported_latencies(tmp_path: Path) -> None:
    """Turns and what LiveKit reported of each are those of the trace; nothing of them is derived, and nothing is 0."""
    for name in ("one_tool", "handoff"):
        trace = record(name)
        (ours,) = build_reports(trace.pipeline)
        found = read(trace.outcomes[0].report, tmp_path)
        assert [turn.reported for turn in found.turns] == [turn.reported for turn in ours.turns]
        assert [(turn.user_text, turn.agent_text) for turn in found.turns] == [
            (turn.user_text, turn.agent_text) for turn in ours.turns
        ]
        assert [turn.models for turn in found.turns if turn.models]
        for turn, other in zip(found.turns, ours.turns, strict=True):
            assert turn.latency.e2e_latency == other.reported["e2e_latency"]
            assert (turn.latency.dead_air, turn.latency.wait, turn.backchannels) == (None, None, None)
            assert turn.silence == {}
            assert turn.answered == other.answered
        assert set(found.basis.values()) == {"reported"}
        assert found.silence == {}


def test_a_report_says_what_it_cannot_hold(tmp_path: Path) -> None:
    """Provenance, one warning, and a verdict that a reader can trust; the page and the text have it."""
    found = read(record("one_tool").outcomes[0].report, tmp_path)
    assert found.provenance == "livekit report"
    assert not found.complete
    assert ["without a trace" in one for one in found.warnings] == [True]
    kinds = [one.kind for one in verdict(found).sentences]
    assert kinds == ["end", "wait", "lost", "usage"]
    assert "CR_USER_INITIATED" in verdict(found).sentences[0].text
    assert "own report, no trace" in to_html(found)


def test_the_commands_take_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """report, turns, sessions and tree work on the file, on a directory of such files, and on gzip."""
    first, second = record("one_tool").outcomes[0].report, record("handoff").outcomes[0].report
    (tmp_path / "a.json").write_text(json.dumps(first))
    (tmp_path / "b.json").write_text(json.dumps(second, indent=1))
    packed = tmp_path / "c.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(first).encode()))
    assert main(["report", str(packed)]) == 0
    out = capsys.readouterr().out
    assert "LiveKit's own report, no trace" in out
    assert "weather please" in out
    assert main(["turns", str(tmp_path / "a.json")]) == 0
    assert "1.18" in capsys.readouterr().out
    assert main(["turns", str(tmp_path / "b.json"), "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert main(["sessions", str(tmp_path), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    # c is a copy of a
    assert sorted(row["turns"] for row in rows) == [1, 2]
    assert main(["tree", str(tmp_path / "a.json")]) == 0
    assert "turn.index=0" in capsys.readouterr().out


def test_a_report_has_nothing_to_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """replay says so in one error; beside a trace it is a note, and the trace is what counts."""
    trace = record("one_tool")
    (tmp_path / "report.json").write_text(json.dumps(trace.outcomes[0].report, indent=1))
    replay = ["--to", "http://127.0.0.1:9", "--dry-run"]
    assert main(["replay", str(tmp_path / "report.json"), *replay]) == 1
    error = capsys.readouterr().err
    assert "a session report of LiveKit, which has no spans to send" in error
    assert error.count("\n") == 1
    (tmp_path / "trace.jsonl").write_text(trace.text)
    assert main(["replay", str(tmp_path), *replay]) == 0
    assert f"{len(trace.exported)} spans of 1 file to send" in capsys.readouterr().out


@each_release
def test_reports_of_node_are_in_pythons_units(release: str, tmp_path: Path) -> None:
    """agents-js's report has LiveKit's keys, seconds for milliseconds, a reason for the close, null for the unknown."""
    for name, (theirs, _) in node(release).items():
        found = read(theirs, tmp_path)
        document = found.to_dict()
        assert document["timestamp"] == theirs["timestamp"] / 1000
        assert document["options"]["min_endpointing_delay"] == theirs["options"]["min_endpointing_delay"] / 1000
        assert document["options"]["preemptive_generation"]["max_speech_duration"] == 10
        assert document["close_reason"] == ("CR_ERROR" if name == "closed_by_an_error" else "CR_USER_INITIATED")
        assert document["duration_ms"] is document["agent_name"] is document["tags"] is None
        assert document["user_turns"] == sum(item.get("role") == "user" for item in theirs["chat_history"]["items"])
        assert found.duration is not None
        assert 1 < found.duration < 30
        times = [one["created_at"] for one in (*found.history, *found.events)]
        assert all(found.started_at <= at <= theirs["timestamp"] / 1000 for at in times)  # type: ignore[operator]
        for turn in found.turns:
            assert all(0 <= value < 10 for name, value in turn.reported.items() if not name.endswith("_at"))


@each_release
def test_reports_of_node_say_what_their_traces_say(release: str, tmp_path: Path) -> None:
    """Words, LLM usage and reported latencies are those that the native spans of the same call give."""
    compared = 0
    for name in ("question_and_answer", "tool_with_preamble", "handoff"):
        theirs, line = node(release)[name]
        trace = tmp_path / "trace.jsonl"
        trace.write_text(line)
        native, found = build_report(read_spans(trace)), read(theirs, tmp_path)
        assert native.provenance == "native node"
        assert [turn.user_text for turn in found.turns] == [turn.user_text for turn in native.turns]
        assert _tokens(found) == _tokens(native)
        for turn, other in zip(found.turns, native.turns, strict=True):
            for what in ("transcription_delay", "end_of_turn_delay", "e2e_latency"):
                compared += 1
                assert turn.reported[what] == pytest.approx(other.reported[what], abs=1e-6)
    assert compared >= 12


def _tokens(report: SessionReport) -> Any:
    return [(one["model"], one["input_tokens"], one["output_tokens"]) for one in report.usage if "output_tokens" in one]


@each_release
def test_attempts_of_one_request_are_one_failure(release: str, tmp_path: Path) -> None:
    """Error events of a request that failed for good are its attempts, not retries that worked."""
    found = read(node(release)["closed_by_an_error"][0], tmp_path)
    failures = verdict(found).failures
    assert [(one.stage, one.attempts, one.saved, one.turn) for one in failures] == [("llm", 4, "", n) for n in range(4)]


DAMAGED = {
    "cut off": (
        '{"job_id": "x", "chat_history": {"items": [{"type": "mess',
        "not a trace (line 1: the last line is cut",
    ),
    "no items": ('{"job_id": "x", "chat_history": {"items": 3}}', "chat_history holds no list of items"),
    "items of another type": ('{"chat_history": {"items": ["a"]}}', "chat_history holds no list of items"),
    "an item without a type": ('{"chat_history": {"items": [{"type": 5}]}}', "chat_history holds no list of items"),
    "foreign": ('{"name": "x", "dependencies": {}}', "not a trace (line 1: JSON without resourceSpans"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_and_foreign_files_get_one_error(case: str, tmp_path: Path) -> None:
    """What is no report is one SourceError that says why and what is read."""
    text, reason = DAMAGED[case]
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(SourceError) as caught:
        list(read_spans(path))
    assert reason in str(caught.value)
    assert "session reports" in str(caught.value)


def test_odd_values_are_no_crash(tmp_path: Path) -> None:
    """Values of other types than LiveKit writes are unknown, and the rest is read."""
    items = [
        {"type": "message", "role": "user", "content": "no list", "created_at": "soon", "metrics": [1]},
        {
            "type": "message",
            "role": "assistant",
            "content": ["hi"],
            "metrics": {"e2e_latency": "x"},
            "created_at": 1e300,
        },
        {"type": "message", "role": ["x"], "id": {}, "metrics": {"llm_metadata": {"model_name": [1]}}},
    ]
    odd = {"events": "none", "options": 3, "usage": [1, {"type": "new_usage", "n": 1}], "tags": 1, "timestamp": None}
    found = read({"chat_history": {"items": items}, **odd}, tmp_path)
    assert [turn.agent_text for turn in found.turns] == ["hi"]
    assert found.turns[0].latency.e2e_latency is None
    assert found.close_reason is None
    assert found.to_dict()["events"] is None
    assert "does not say why" in verdict(found).sentences[0].text


def test_a_trace_wins_over_a_report_beside_it(tmp_path: Path) -> None:
    """A directory with a trace and its report: report shows the trace's session."""
    trace = record("one_tool")
    (tmp_path / "trace.jsonl").write_text(trace.text)
    (tmp_path / "report.json").write_text(json.dumps(trace.outcomes[0].report))
    assert build_report(read_spans(tmp_path)).provenance == "pipeline"


def test_the_record_of_a_report_is_one(tmp_path: Path) -> None:
    """read_spans gives one record, which carries the report as JSON."""
    report = record("one_tool").outcomes[0].report
    (tmp_path / "x.json").write_text(json.dumps(report))
    (span,) = read_spans(tmp_path / "x.json")
    assert span.scope == attr.REPORT_SCOPE
    assert json.loads(str(span.attributes[attr.REPORT_DOCUMENT])) == report
