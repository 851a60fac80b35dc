"""Content goes where the user allows it to go, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

import livekit_otel
from tests.kit.run import CANARY, as_json
from tests.kit.trace import names, record


@pytest.mark.parametrize("native_spans", [False, True], ids=["pipeline only", "with native spans"])
@pytest.mark.parametrize("name", names())
def test_no_content_leaves_when_it_is_not_allowed(name: str, native_spans: bool) -> None:
    """With allow_pii=False the canary of every content field is nowhere in the exported bytes."""
    assert CANARY not in record(name, native_spans=native_spans, allow_pii=False).text


@pytest.mark.parametrize("name", names())
def test_a_report_without_content_keeps_its_shape(name: str) -> None:
    """Without content the report has the same events and items, times and usage; only the words are empty."""
    trace = record(name, allow_pii=False)
    reports = sorted(livekit_otel.build_reports(trace.records), key=lambda one: one.started_at or 0.0)
    for report, outcome in zip(reports, trace.outcomes, strict=True):
        assert any("redacted" in warning for warning in report.warnings)
        ours, theirs = as_json(report.to_dict()), outcome.report
        assert _shape(ours["events"]) == _shape(theirs["events"])
        assert _shape(ours["chat_history"]) == _shape(theirs["chat_history"])
        assert ours["usage"] == theirs["usage"]
        assert ours["options"] == theirs["options"]


def _shape(value: Any) -> Any:
    """Everything but text."""
    if isinstance(value, str):
        return ""
    if isinstance(value, dict):
        return {key: _shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_shape(one) for one in value]
    return value


def test_the_environment_variable_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """LIVEKIT_TELEMETRY_ALLOW_PII withholds content when the argument does not say otherwise; the argument wins."""
    from tests.kit.trace import _record

    monkeypatch.setenv("LIVEKIT_TELEMETRY_ALLOW_PII", "off")
    assert CANARY not in _record("question_and_answer", False, {}).text
    assert CANARY in _record("question_and_answer", False, {"allow_pii": True}).text


@pytest.mark.parametrize("native_spans", [False, True], ids=["pipeline only", "with native spans"])
def test_a_session_marked_for_redaction_records_no_content(native_spans: bool) -> None:
    """LiveKit's redaction wins over allow_pii=True."""
    trace = record("redacted_session", native_spans=native_spans, allow_pii=True)
    assert CANARY not in trace.text
    assert trace.of("session.start")[0].attributes["livekit_otel.session.redacted"] is True


def test_content_is_there_when_it_is_allowed() -> None:
    """By default the words are on the trace: in GenAI content keys and in pii keys."""
    trace = record("one_tool")
    keys = {key for span in trace.pipeline for key, value in span.attributes.items() if CANARY in str(value)}
    assert keys >= {
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "livekit_otel.pii.session.room",
        "livekit_otel.pii.stt.text",
        "livekit_otel.pii.tts.text",
        "livekit_otel.pii.turn.agent_text",
        "livekit_otel.pii.turn.user_text",
    }
    for key in keys:
        assert "pii" in key.split(".") or key.startswith("gen_ai.")


def test_a_tool_name_that_a_model_made_up_is_content() -> None:
    """A call of a tool that no agent has is `_OTHER` by name, and the name stands under a pii key, or nowhere."""
    for allowed in (True, False):
        tools = record("failing_tools", allow_pii=allowed).of("tool")
        found = [(s.attributes["gen_ai.tool.name"], s.attributes.get("livekit_otel.pii.tool.name")) for s in tools]
        made_up = ("_OTHER", "no_such_tool" if allowed else None)
        assert found == [("broken", None), ("crashing", None), made_up, ("weather", None)]
    assert "no_such_tool" not in record("failing_tools", allow_pii=False).text
