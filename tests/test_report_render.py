"""The renderers: JSON in LiveKit's shape, and plain text."""

from __future__ import annotations

from livekit_otel.report import build_report
from livekit_otel.report.render_json import to_document
from livekit_otel.report.render_text import to_text
from tests import report_kit as kit


def small() -> kit.Call:
    call = kit.Call("S-small")
    call.message("assistant", "Hello, how can I help?")
    call.now = 4.0
    call.message("user", "What is the\nweather?")
    call.item(type="function_call", call_id="c1", name="weather", arguments=kit.Pii('{"city": "Zürich"}'), extra={})
    call.item(type="function_call_output", call_id="c1", name="weather", output=kit.Pii("no such city"), is_error=True)
    call.item(type="agent_handoff", old_agent_id="clerk", new_agent_id="expert")
    call.now = 65.5
    call.message("assistant", "It is \x1b[31mred", interrupted=True)
    call.add_usage(0, input_tokens=1_200, output_tokens=34)
    call.add_usage(1, audio_duration=2.5)
    call.event("error", error={"type": "tts_error", "label": "acme.TTS", "error": kit.Pii("timed out")})
    return call


TEXT = """\
Session S-small
  started   2026-09-21 14:13:20 UTC, 1 min 6 s
  room      room of S-small (RM_S-small)
  job       AJ_S-small
  agent     clerk
  turns     0
  closed    CR_ERROR
  complete  yes

Verdict
  ! LiveKit ended the call because of an error after 65.5 s and 0 turns: the speech synthesis
    acme.TTS failed (CR_ERROR). [at 1:05]
  ! The speech synthesis acme.TTS failed (timed out). [at 1:05]
  ! The tool weather failed (no such city). [at 0:04]
  - Used: llm acme/llm-1 1,200 input tokens, 34 output tokens; stt stt-1 2.50 s of audio.

Conversation
    0:00  agent   Hello, how can I help?
    0:04  user    What is the weather?
    0:04  tool    weather({"city": "Zürich"})
                  -> failed: no such city
    0:04  handoff from clerk to expert
    1:05  agent   It is \ufffd[31mred  [interrupted]
    1:05  failed  speech synthesis acme.TTS: timed out

Usage
  llm  acme/llm-1  1,200 input tokens, 34 output tokens
  stt  stt-1       2.50 s of audio
"""


def test_text() -> None:
    """The text begins with what went wrong, then who said what when, tools, failures, usage; no control characters."""
    assert to_text(build_report(kit.records(small().close("error").spans))) == TEXT


def test_text_of_a_redacted_session() -> None:
    """Without content the text keeps times and figures."""
    call = kit.Call("S-small", content=False)
    call.message("user", "secret")
    text = to_text(build_report(kit.records(call.close().spans)))
    assert "secret" not in text
    assert "  content   redacted\n" in text
    assert "    0:00  user    (redacted)\n" in text
    assert text.endswith(
        "Warnings\n  - content was redacted: it was withheld by the session's settings; texts are empty\n"
    )


def test_text_of_a_crash() -> None:
    """A call that broke off says that it did not close, and what is missing."""
    call = small()
    call.flush(call.span("session.checkpoint"))
    text = to_text(build_report(kit.records(call.spans)))
    assert "  closed    not closed\n  complete  no (see the warnings)\n" in text
    assert "  llm  acme/llm-1  1,200 input tokens, 34 output tokens\n" in text
    assert "\nWarnings\n  - session.end is missing: " in text


def test_text_of_nothing() -> None:
    """A span that says nothing but its session still makes a page."""
    span = {**kit.Call().spans[0], "attributes": {"livekit_otel.session.id": "S"}}
    assert to_text(build_report(kit.records([span]))).startswith(
        "Session S\n  started   2026-09-21 14:13:20 UTC, 0.0 s\n"
    )


def test_document() -> None:
    """The plain document is LiveKit's report; the full one adds one key of ours."""
    call = kit.call(turns=1)
    report = build_report(kit.records(call.spans))
    assert to_document(report) == call.report
    full = to_document(report, full=True)
    ours = full.pop("livekit_otel")
    assert full == call.report
    assert set(ours) == {
        "session_id", "conversation_id", "started_at", "ended_at", "complete", "redacted", "redacted_in_part",
        "warnings", "usage", "turns", "latency", "silence", "gap_stages", "discarded", "interruptions",
        "false_interruptions", "backchannels", "interruption_rate", "false_cutoffs",
        "thresholds", "flags", "flagged", "verdict", "failures", "room", "startup",
        "outcome", "outcome_reason", "tags", "evaluations",
    }  # fmt: skip
    (turn,) = ours["turns"]
    assert (turn["index"], turn["end_reason"], turn["reported"]) == (0, "completed", {"e2e_latency": 1.234})
    assert sorted(stage["kind"] for stage in turn["stages"]) == ["eou", "llm", "llm", "playback", "stt", "tts", "vad"]
