"""The process dies while the agent speaks: what it was saying, and how long the user had waited for it, is known."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from livekit.agents.testing import fake_job_context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import livekit_otel
from livekit_otel import SessionReport, SpanRecord, build_report
from livekit_otel import attributes as attr
from livekit_otel.instrumentation import closing
from livekit_otel.report.render_json import to_document
from livekit_otel.report.render_text import to_text
from livekit_otel.spans import from_sdk
from tests.kit import clock
from tests.kit.run import Call, quiet
from tests.kit.trace import Trace, play, switch_off

QUESTION, ANSWER = (
    "tell me a story",
    "once upon a time there was a bird that sang all day and all night and never slept at all",
)


async def _reply(stream: Any, items: list[Any]) -> None:
    await stream.text(ANSWER)
    stream.usage()


async def _story(call: Call) -> None:
    """A question, and a long answer that is heard to its end."""
    call.caller.says(QUESTION, 1.0)
    session = call.session(reply=_reply)
    await call.start(session)
    await call.until(30.0)
    await call.close(session)


@cache
def told() -> tuple[Trace, SpanRecord]:
    """That call, and the playback of its answer."""
    trace = play(_story)
    (playback,) = trace.of(attr.KIND_PLAYBACK)
    assert playback.end_ns - playback.start_ns > 2e9
    return trace, playback


def killed(after: float) -> list[SpanRecord]:
    """What had been exported ``after`` seconds of the answer."""
    trace, playback = told()
    moment = playback.start_ns + round(after * 1e9)
    return [span for span in trace.pipeline if span.end_ns <= moment]


def test_a_killed_process_has_its_last_words() -> None:
    """Killed while the agent speaks: the answer is what its voice was given, and is marked as unfinished."""
    report = build_report(killed(after=1.0))
    turn = report.turns[-1]
    assert (turn.user_text, turn.agent_text, turn.unfinished, turn.end_reason) == (QUESTION, ANSWER, True, None)
    assert f"{ANSWER}  [unfinished]" in " ".join(to_text(report).split()).replace(" [", "  [")
    (document,) = to_document(report, full=True)["livekit_otel"]["turns"]
    assert (document["agent_text"], document["unfinished"]) == (ANSWER, True)
    assert not any(item.get("role") == "assistant" for item in report.history), "the conversation does not have it"
    assert not report.complete


def test_the_wait_for_it_is_known() -> None:
    """The user's wait is the same as that of the whole call: the journal says when the agent began to speak."""
    whole = build_report(told()[0].pipeline).turns[-1]
    turn = build_report(killed(after=1.0)).turns[-1]
    assert turn.latency.e2e_latency == pytest.approx(whole.latency.e2e_latency, abs=1e-6)
    assert turn.silence == pytest.approx(dict(whole.silence), abs=1e-6)
    assert sum(turn.silence.values()) == pytest.approx(turn.latency.e2e_latency, abs=1e-9)


def test_what_was_not_heard_is_not_said() -> None:
    """Killed just before the agent is heard, the turn has no words of the agent, and no wait that was over."""
    turn = build_report(killed(after=-0.001)).turns[-1]
    assert (turn.user_text, turn.agent_text, turn.unfinished) == (QUESTION, "", False)
    assert turn.latency.e2e_latency is None


def torn_down(**options: Any) -> list[SpanRecord]:
    """The process ends in the ordinary way, while the agent speaks, and nobody closes the session."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    switch_off()
    livekit_otel.set_tracer_provider(provider, native_spans=False, **options)

    arrived: list[ReadableSpan] = []

    async def main() -> None:
        with fake_job_context() as ctx:
            call = Call(ctx)
            call.caller.says(QUESTION, 1.0)
            session = call.session(reply=_reply)
            await call.start(session)
            ctx.tagger.add("in time")
            while session.agent_state != "speaking":
                await call.until(clock.elapsed() + 0.05)
            await call.until(clock.elapsed() + 1.0)
            closing.finish_open()
            arrived.extend(exporter.get_finished_spans())
            await session.aclose()

    try:
        with quiet():
            clock.run(main())
    finally:
        switch_off()
    return [from_sdk(span) for span in arrived]


def test_a_process_that_ends_without_a_close() -> None:
    """A session that nobody closed has the words under way, its tags and its length; it is not complete."""
    report = build_report(torn_down())
    turn = report.turns[-1]
    assert (turn.agent_text, turn.unfinished, turn.end_reason) == (ANSWER, True, "session_closed")
    shown = report.to_dict()
    if "tags" in shown:  # LiveKit 1.8.9
        assert (shown["tags"], shown["close_reason"]) == (["in time"], None)
        _check_length(report)
    assert not report.complete
    assert report.warnings == [
        "the trace ended before LiveKit closed the session: the process ended; what happened after is unknown"
    ]


def test_its_words_are_content() -> None:
    """Without content the words under way are on no span; with redact they go through it."""
    assert ANSWER not in json.dumps([dict(span.attributes) for span in torn_down(allow_pii=False)], default=str)
    spans = torn_down(redact=lambda text, kind: text.replace("bird", "[animal]"))
    assert "bird" not in json.dumps([dict(span.attributes) for span in spans], default=str)
    assert "[animal]" in build_report(spans).turns[-1].agent_text


def _check_length(report: SessionReport) -> None:
    lasted = ((report.ended_at or 0) - (report.started_at or 0)) * 1000
    assert report.to_dict()["duration_ms"] == pytest.approx(lasted, abs=50)
    assert lasted > 2_000
