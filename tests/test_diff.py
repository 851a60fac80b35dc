"""livekit-otel diff: two sources of one call are equal, or each field that differs is named with both values."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from livekit_otel import attributes as attr
from livekit_otel import build_report
from livekit_otel.cli import main
from livekit_otel.report.diff import compare

from .kit.trace import open_names, record
from .test_livekit_report import NODE, node, sample

Capture = pytest.CaptureFixture[str]


def files(name: str, folder: Path) -> list[tuple[Path, Path]]:
    """For each session of a scripted call the trace and LiveKit's own report, as files."""
    trace = record(name)
    (folder / "trace.jsonl").write_text(trace.text)
    found = []
    for number, outcome in enumerate(trace.outcomes):
        report = folder / f"report-{number}.json"
        report.write_text(json.dumps(outcome.report))
        found.append((folder / "trace.jsonl", report))
    return found


def outcome(capsys: Capture, *arguments: Any) -> tuple[int, dict[str, Any]]:
    """Exit code and document of a comparison."""
    code = main(["diff", *map(str, arguments), "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


def _equal(name: str, folder: Path, capsys: Capture) -> None:
    for trace, report in files(name, folder):
        code, document = outcome(capsys, trace, report)
        assert (code, document["equal"], document["differences"]) == (0, True, []), (name, document["differences"])
        assert document["not_compared"] == []


def test_a_trace_equals_livekits_report_of_the_call(tmp_path: Path, capsys: Capture) -> None:
    """Of scripted sessions trace and report are equal, nothing is left out, and sessions of one trace find theirs."""
    for name in sample():
        _equal(name, tmp_path, capsys)


@pytest.mark.slow
def test_every_trace_equals_livekits_report_of_the_call(tmp_path: Path, capsys: Capture) -> None:
    """The same of every scripted session whose content was recorded."""
    for name in open_names():
        _equal(name, tmp_path, capsys)


def test_words_that_were_withheld_are_not_compared(tmp_path: Path, capsys: Capture) -> None:
    """A trace without content is no different for its empty texts, which are named; a number still is."""
    trace, report = files("redacted_session", tmp_path)[0]
    code, document = outcome(capsys, trace, report)
    assert (code, document["differences"]) == (0, [])
    assert document["not_compared"] == ["content that was withheld"]
    changed_report = json.loads(report.read_text())
    changed_report["usage"][0]["output_tokens"] += 1
    report.write_text(json.dumps(changed_report))
    code, document = outcome(capsys, trace, report)
    assert (code, len(document["differences"])) == (1, 1)


def changed(name: str, folder: Path, change: Any) -> tuple[Path, Path]:
    """The trace, and LiveKit's report of it as ``change`` left it."""
    trace, path = files(name, folder)[0]
    report = copy.deepcopy(json.loads(path.read_text()))
    change(report)
    path.write_text(json.dumps(report))
    return trace, path


def _word(report: dict[str, Any]) -> None:
    report["chat_history"]["items"][2]["content"] = ["weather, please kanarienvogel"]


def _item(report: dict[str, Any]) -> None:
    del report["chat_history"]["items"][4]


def _usage(report: dict[str, Any]) -> None:
    report["usage"][0]["input_tokens"] += 1
    del report["usage"][1]


def _latency(report: dict[str, Any]) -> None:
    report["chat_history"]["items"][5]["metrics"]["e2e_latency"] += 0.01


def _event(report: dict[str, Any]) -> None:
    del report["events"][0]
    report["close_reason"] = "CR_ERROR"


CHANGES = {
    "a word": (_word, ["conversation[2].content[0]"]),
    "a missing item": (_item, ["conversation[4]"]),
    "usage": (_usage, ["usage[llm_usage kit/fake-llm].input_tokens", "usage[tts_usage kit/fake-tts]"]),
    "a latency": (_latency, ["conversation[5].metrics.e2e_latency"]),
    "an event and the head": (_event, ["close_reason", "events[0]"]),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_differs_is_named(case: str, tmp_path: Path, capsys: Capture) -> None:
    """Exit code 1, and of each field that differs its path and both values, whichever source comes first."""
    change, paths = CHANGES[case]
    trace, report = changed("one_tool", tmp_path, change)
    code, document = outcome(capsys, trace, report)
    assert (code, document["equal"]) == (1, False)
    assert [one["path"] for one in document["differences"]] == paths
    code, swapped = outcome(capsys, report, trace)
    assert code == 1
    turned = [{key: one[key] for key in ("path", *({"a", "b"} & one.keys()))} for one in document["differences"]]
    mirrored = [{{"a": "b", "b": "a"}.get(key, key): value for key, value in one.items()} for one in turned]
    assert swapped["differences"] == mirrored


def test_a_missing_item_has_no_value_on_its_side(tmp_path: Path, capsys: Capture) -> None:
    """JSON has no key for what a source does not have."""
    trace, report = changed("one_tool", tmp_path, _item)
    _, document = outcome(capsys, trace, report)
    (one,) = document["differences"]
    assert one["a"]["type"] == "function_call_output"
    assert "b" not in one


def test_the_text_is_for_people(tmp_path: Path, capsys: Capture) -> None:
    """Lines of less than 80 columns, path and both values, the part of a long text that differs, a count."""
    long = "so many words " * 40

    def words(report: dict[str, Any]) -> None:
        report["chat_history"]["items"][2]["content"] = [long + "left \x1b[31m"]

    trace, report = changed("one_tool", tmp_path, words)
    other = tmp_path / "other.json"
    other.write_text(report.read_text().replace("left", "right"))
    assert main(["diff", str(other), str(report)]) == 1
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) < 80
    assert "conversation[2].content[0]\n" in out
    assert "words right" in out
    assert "words left" in out
    assert "\x1b" not in out
    assert out.endswith("\n1 difference\n")
    assert main(["diff", str(trace), str(report)]) == 1
    assert main(["diff", str(report), str(report)]) == 0
    assert capsys.readouterr().out.endswith("\nequal\n")


@pytest.mark.parametrize("release", NODE)
def test_a_trace_of_node_equals_its_report(release: str, tmp_path: Path, capsys: Capture) -> None:
    """Native spans and agents-js's report agree in all that both hold; what one of them lacks is named."""
    for name in ("question_and_answer", "tool_with_preamble", "barge_in", "realtime", "closed_by_an_error"):
        theirs, line = node(release)[name]
        report, trace = tmp_path / "report.json", tmp_path / "trace.jsonl"
        report.write_text(json.dumps(theirs))
        trace.write_text(line)
        code, document = outcome(capsys, report, trace)
        assert (code, document["differences"]) == (0, []), name
        assert {"events", "options", "close_reason"} <= set(document["not_compared"])
        assert {"conversation", "usage"}.isdisjoint(document["not_compared"])
    line = line.replace("are you there 2", "are you here 2")
    trace.write_text(line)
    code, document = outcome(capsys, report, trace)
    assert code == 1
    assert "conversation[4].content[0]" in [one["path"] for one in document["differences"]]


def test_the_layers_of_a_call_are_compared() -> None:
    """LiveKit's own spans of a call beside the pipeline's: equal in all that both hold, and the rest is named."""
    for name in ("one_tool", "handoff", "barge_in", "realtime_conversation"):
        spans = record(name, native_spans=True).records
        layers = [[span for span in spans if (span.scope == attr.SCOPE) is ours] for ours in (True, False)]
        pipeline, native = map(build_report, layers)
        found = compare(pipeline, native)
        assert found.differences == (), name
        assert {"events", "options", "tags"} <= set(found.not_compared)
        assert compare(native, pipeline).differences == ()


def test_a_latency_of_a_native_trace_that_differs(tmp_path: Path, capsys: Capture) -> None:
    """Where spans have LiveKit's numbers of a turn, another number in the report is named by the turn."""
    theirs, line = node("1.9.0")["question_and_answer"]
    theirs = copy.deepcopy(theirs)
    item = next(one for one in theirs["chat_history"]["items"] if "e2e_latency" in one.get("metrics", {}))
    item["metrics"]["e2e_latency"] += 0.5
    report, trace = tmp_path / "report.json", tmp_path / "trace.jsonl"
    report.write_text(json.dumps(theirs))
    trace.write_text(line)
    code, document = outcome(capsys, report, trace)
    assert code == 1
    assert [one["path"] for one in document["differences"]] == ["latencies[0].e2e_latency"]


def test_what_cannot_be_compared(tmp_path: Path, capsys: Capture) -> None:
    """A source that cannot be read, or of which no session is chosen, is one line and exit code 2."""
    (trace, report), *_ = files("two_sessions_in_one_job", tmp_path)
    assert main(["diff", str(trace), str(tmp_path / "none")]) == 2
    assert "no such file" in capsys.readouterr().err
    (tmp_path / "one").mkdir()
    _, other = files("one_tool", tmp_path / "one")[0]
    assert main(["diff", str(trace), str(other)]) == 2
    assert "choose one with --session-a" in capsys.readouterr().err
    _, document = outcome(capsys, trace, report)
    chosen = document["a"]["session_id"]
    assert main(["diff", str(trace), str(other), "--session-a", chosen[:12]]) == 1
    assert main(["diff", str(trace), str(report), "--session-a", chosen]) == 0
