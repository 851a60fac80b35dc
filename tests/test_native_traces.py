"""Native traces as they are found: cut, joined, retyped, renamed, among others, and out of servers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

import livekit_otel
from livekit_otel import SessionReport, SpanRecord, build_report, build_reports
from livekit_otel import attributes as attr
from livekit_otel.cli import main
from livekit_otel.dialects import collect
from livekit_otel.spans import from_sdk

from . import report_kit
from .jaeger_double import Jaeger
from .json_server import serving
from .kit.trace import record
from .langfuse_double import PUBLIC, SECRET
from .native.recordings import Recording, path_of, recordings
from .phoenix_double import Phoenix
from .test_readers_langfuse import stored, url

RELEASES = ("python-1.8.9", "python-1.7.0", "python-1.5.18")
CALLS = ("one_tool", "barge_in", "handoff", "realtime_conversation", "preemptive_generation_used", "redacted_session")
each_release = pytest.mark.parametrize("release", RELEASES)
each_call = pytest.mark.parametrize("name", CALLS)


def call(release: str, name: str) -> Recording:
    return recordings(release)[name]


def changed(span: SpanRecord, **changes: Any) -> SpanRecord:
    return msgspec.structs.replace(span, **changes)


def outline(report: SessionReport, digits: int = 9) -> dict[str, Any]:
    """What a report says, with numbers to so many digits."""
    turns = [
        {
            "words": (turn.user_text, turn.agent_text),
            "end": turn.end_reason,
            "latency": {name: _rounded(getattr(turn.latency, name), digits) for name in attr.DERIVED_LATENCIES},
            "silence": {stage: round(seconds, digits) for stage, seconds in turn.silence.items()},
            "models": turn.models,
        }
        for turn in report.turns
    ]
    document = report.to_dict()
    items = [{name: one for name, one in item.items() if name != "created_at"} for item in report.history]
    return {**document, "chat_history": items, "turns": turns, "warnings": report.warnings}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


@each_call
def test_out_of_jaeger_comes_what_went_in(name: str) -> None:
    """A search for a service without livekit_otel finds the call, and its report is the file's."""
    kept = call("python-1.8.9", name)

    class Stored:
        text = kept.line

    for texts_only in (False, True):
        with serving(Jaeger(Stored(), texts_only=texts_only)) as server:
            source = f"jaeger://127.0.0.1:{server.port}?since=2023-01-01"
            found = build_report(livekit_otel.read_spans(source))
            one = build_report(livekit_otel.read_spans(f"{source}&session={kept.ours[0].conversation_id}"))
        assert outline(found) == outline(one) == outline(kept.ours[0])


@each_call
def test_out_of_phoenix_comes_what_went_in(name: str) -> None:
    """Without scope and resource, to the microsecond: the report is the file's."""
    kept = call("python-1.8.9", name)
    with serving(Phoenix(kept.spans)) as server:
        source = f"phoenix://127.0.0.1:{server.port}/default?since=2023-01-01"
        found = build_report(livekit_otel.read_spans(source))
    assert outline(found, 5) == outline(kept.ours[0], 5)


@pytest.mark.parametrize("version", [3, 4])
def test_out_of_langfuse_comes_what_went_in(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """LiveKit's own spans, sent to Langfuse by a plain exporter: words, waits and usage come back."""
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", PUBLIC)
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", SECRET)
    exported = [
        span
        for span in record("one_tool", native_spans=True).exported
        if span.instrumentation_scope is not None and span.instrumentation_scope.name == attr.NATIVE_SCOPE
    ]
    with serving(stored(exported, version=version, plain=True)) as server:
        found = build_report(livekit_otel.read_spans(url(server)))
    expected = build_report([from_sdk(span) for span in exported])
    assert found.provenance == "native python"
    assert found.usage == expected.usage
    assert found.close_reason == expected.close_reason
    for one, other in zip(found.turns, expected.turns, strict=True):
        assert (one.user_text, one.agent_text, one.end_reason) == (other.user_text, other.agent_text, other.end_reason)
        assert one.latency.e2e_latency == pytest.approx(other.latency.e2e_latency, abs=0.002)


@each_release
@each_call
def test_values_that_became_texts(release: str, name: str) -> None:
    """A store that keeps texts only (ClickHouse, Langfuse) changes nothing."""
    kept = call(release, name)
    spans = [
        changed(span, attributes={key: _text(value) for key, value in span.attributes.items()}) for span in kept.spans
    ]
    assert outline(build_report(spans)) == outline(kept.ours[0])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@each_release
@each_call
def test_order_and_duplicates_do_not_count(release: str, name: str) -> None:
    """Spans in reverse order, each twice, with those of another service between and above: the same report."""
    kept = call(release, name)
    others = [
        SpanRecord(
            trace_id=span.trace_id, span_id=f"{number:016x}", parent_id=span.span_id, name="agent_turn", scope="http",
            start_ns=span.start_ns, end_ns=span.end_ns, attributes={"lk.pii.response.text": "not LiveKit's"},
        )
        for number, span in enumerate(kept.spans)
    ]  # fmt: skip
    found = build_report([*reversed([*kept.spans, *others]), *kept.spans])
    assert outline(found) == outline(kept.ours[0])


@each_release
@each_call
def test_without_the_scope(release: str, name: str) -> None:
    """Spans whose scope a store lost are known by their names."""
    kept = call(release, name)
    found = build_report([changed(span, scope="", resource={}) for span in kept.spans])
    assert outline(found) == outline(kept.ours[0])


@each_release
@pytest.mark.parametrize("name", [one for one in CALLS if one != "realtime_conversation"])
def test_a_call_whose_root_is_missing(release: str, name: str) -> None:
    """It runs, or its process died: what was said and how long it took is there, and a warning says what is not."""
    kept = call(release, name)
    found = build_report([span for span in kept.spans if span.name != "agent_session"])
    whole = kept.ours[0]
    assert [turn.latency for turn in found.turns] == [turn.latency for turn in whole.turns]
    assert [(turn.user_text, turn.agent_text) for turn in found.turns] == [
        (turn.user_text, turn.agent_text) for turn in whole.turns
    ]
    assert any("the session's own span is missing" in one for one in found.warnings)
    assert found.to_dict()["duration_ms"] is found.to_dict()["user_turns"] is None


@each_release
def test_sessions_of_one_job_in_one_trace(release: str) -> None:
    """Sessions below one job's span are one report each, with what they have alone, and the job's name."""
    calls = [call(release, name) for name in ("one_tool", "barge_in", "handoff")]
    spans = [
        changed(span, trace_id="ab" * 16, parent_id=span.parent_id or "cd" * 8)
        for kept in calls
        for span in _later(kept.spans, 60 * calls.index(kept))
    ]
    job = changed(
        spans[0], name="job_entrypoint", span_id="cd" * 8, parent_id=None, start_ns=0, attributes={"lk.job_id": "J_1"}
    )
    found = sorted(build_reports([job, *spans]), key=lambda one: one.started_at or 0.0)
    assert len({one.session_id for one in found}) == 3
    for report, kept in zip(found, calls, strict=True):
        alone = outline(kept.ours[0])
        waits = [turn["latency"]["e2e_latency"] for turn in alone["turns"]]
        assert [turn.latency.e2e_latency for turn in report.turns] == pytest.approx(waits)
        assert outline(report)["chat_history"] == alone["chat_history"]
        assert report.job_id


def _later(spans: Sequence[SpanRecord], seconds: int) -> list[SpanRecord]:
    moved = seconds * 1_000_000_000
    return [changed(span, start_ns=span.start_ns + moved, end_ns=span.end_ns + moved) for span in spans]


@each_release
@each_call
def test_cut_traces_claim_nothing_new(release: str, name: str) -> None:
    """With any one span missing there is a report that is not complete, and no wait in it is longer than the call."""
    kept = call(release, name)
    for missing in kept.spans:
        rest = [span for span in kept.spans if span is not missing]
        report = build_report(rest)
        assert not report.complete
        for turn in report.turns:
            waits = [turn.latency.e2e_latency, turn.latency.dead_air, turn.latency.wait, *turn.silence.values()]
            assert all(0 <= one <= 30 for one in waits if one is not None), (missing.name, turn)
        json.dumps(report.to_dict(), allow_nan=False)


def test_calls_of_both_kinds_in_one_file() -> None:
    """Calls that livekit_otel traced and calls that it did not are all there; without an id the former is meant."""
    own = report_kit.records(report_kit.call("S-own").spans)
    other = call("python-1.8.9", "one_tool")
    spans = [*other.spans, *own]
    assert {one.provenance for one in build_reports(spans)} == {"pipeline", "native python"}
    assert build_report(spans).session_id == "S-own"
    assert outline(build_report(spans, other.ours[0].session_id)) == outline(other.ours[0])
    assert outline(build_report(spans, other.ours[0].conversation_id)) == outline(other.ours[0])


def test_whole_sessions_are_yielded_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session whose own span has come is not kept until the source ends."""
    monkeypatch.setattr(collect, "_QUIET", 300)
    monkeypatch.setattr(collect, "_LOOK", 16)
    spans = livekit_otel.read_spans(path_of("python-1.8.9"))
    reports = build_reports(spans)
    first = next(reports)
    assert spans.bytes_total is not None
    assert first.provenance == "native python"
    assert len(list(reports)) == sum(len(one.ours) for one in recordings("python-1.8.9").values()) - 1


def test_the_commands_read_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``report``, ``turns`` and ``sessions`` read a native file without options; the report says whose trace it is."""
    path = tmp_path / "trace.jsonl"
    path.write_text(call("python-1.8.9", "one_tool").line)

    def shown(*arguments: str) -> str:
        assert main([arguments[0], str(path), *arguments[1:]]) == 0
        return capsys.readouterr().out

    assert "MOSTLY" in shown("turns")
    assert "CR_USER_INITIATED" in shown("sessions", "--format", "json")
    text = shown("report")
    assert "traced by LiveKit alone (native python)" in text
    assert "wait   " in text
    assert text.count("traced by LiveKit alone (native python): usage of STT") == 2
    document = json.loads(shown("report", "--format", "json", "--full"))
    assert document["events"] is None
    assert document["livekit_otel"]["provenance"] == "native python"
    assert document["livekit_otel"]["basis"]["e2e_latency"] == "derived"
    assert document["livekit_otel"]["basis"]["end_of_turn_delay"] == "reported"
    assert document["livekit_otel"]["backchannels"] is None
