"""Two jobs at the same time in one process: ids, turns and journals stay with the call that they belong to."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from livekit import rtc
from livekit.agents.testing import fake_job_context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import livekit_otel
from livekit_otel import SpanRecord
from livekit_otel import attributes as attr
from livekit_otel.spans import from_sdk, outcome
from tests.kit import clock
from tests.kit.run import SCENARIOS, Call, Outcome, as_json, quiet
from tests.kit.trace import switch_off

#: what goes on in the two jobs; the first one's words and numbers are nothing like the second one's
PAIRS = [
    ("question_and_answer", "one_tool"),
    ("barge_in", "failing_tools"),
    ("two_sessions_in_one_job", "handoff"),
    ("realtime_tool", "typed_questions"),
]


async def job(name: str, number: int) -> list[Outcome]:
    """One job with a room, an id and a caller of its own; it begins a little later than the one before."""
    await asyncio.sleep(0.37 * number)
    with fake_job_context(room=rtc.Room(), agent_identity=f"agent-{number}") as ctx:
        ctx.job.id, ctx.job.room.sid, ctx.job.room.name = f"job-{number}", f"RM_{number}", f"room-{number}"
        call = Call(ctx)
        await SCENARIOS[name].function(call)
        return call.outcomes


def run(names: dict[int, str], *, native: bool) -> tuple[list[list[Outcome]], list[SpanRecord]]:
    """Run jobs together, each with ``user.id`` from its own job; what LiveKit reports, and the spans."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    switch_off()
    livekit_otel.set_tracer_provider(
        provider,
        native_spans=native,
        session_attributes=lambda job, session: {attr.USER_ID: f"user of {job.job.id}"},
        flush_timeout=0,
    )

    async def together() -> list[list[Outcome]]:
        return await asyncio.gather(*(job(name, number) for number, name in names.items()))

    try:
        with quiet():
            return clock.run(together()), [from_sdk(span) for span in memory.get_finished_spans()]
    finally:
        switch_off()


def comparable(report: dict[str, Any]) -> dict[str, Any]:
    """A report without when it was made: LiveKit makes its own a moment later."""
    return {key: value for key, value in as_json(report).items() if key not in ("timestamp", "duration_ms")}


def shape(spans: list[SpanRecord]) -> list[Any]:
    """What a session's spans say, without ids and absolute times."""
    begin = min(span.start_ns for span in spans)
    found = [
        (
            span.kind,
            round((span.start_ns - begin) / 1e6),
            round((span.end_ns - begin) / 1e6),
            span.attributes.get(attr.TURN_INDEX),
            span.attributes.get(attr.TURN_USER_TEXT),
            span.attributes.get(attr.TURN_AGENT_TEXT),
            outcome(span.attributes),
        )
        for span in spans
        if not (span.kind or "").startswith("session.")
    ]
    return sorted(found, key=str)


@pytest.mark.parametrize("native", [True, False], ids=["native", "pipeline"])
@pytest.mark.parametrize("names", PAIRS, ids="+".join)
def test_jobs_do_not_mix(names: tuple[str, str], native: bool) -> None:
    """Beside another job, a job's sessions have their own ids, LiveKit's own report, and the spans of a job alone."""
    import tests.scenarios  # noqa: F401  (registers them)

    outcomes, spans = run(dict(enumerate(names)), native=native)
    ours = [span for span in spans if span.scope == attr.SCOPE]
    reports = sorted(livekit_otel.build_reports(ours), key=lambda report: report.started_at or 0.0)
    assert len({report.session_id for report in reports}) == sum(len(one) for one in outcomes)
    for number in range(2):
        own = [report for report in reports if report.job_id == f"job-{number}"]
        assert [comparable(report.to_dict()) for report in own] == [comparable(one.report) for one in outcomes[number]]
        for report in own:
            assert report.complete
            assert report.warnings == []
            assert report.conversation_id == report.room_id == f"RM_{number}"
            mine = [span for span in ours if span.session_id == report.session_id]
            assert {span.attributes[attr.USER_ID] for span in mine} == {f"user of job-{number}"}
            assert [turn.index for turn in report.turns] == list(range(len(report.turns)))
            assert len({span.trace_id for span in mine}) == 1
            text = str([span.attributes for span in mine])
            assert not re.search(rf"\b(job-{1 - number}|RM_{1 - number}|room-{1 - number})\b", text)
        alone = run({number: names[number]}, native=native)[1]
        ids = dict.fromkeys(span.session_id for span in alone if span.scope == attr.SCOPE)
        for report, session_id in zip(own, ids, strict=True):
            beside = [span for span in ours if span.session_id == report.session_id]
            assert shape(beside) == shape([span for span in alone if span.session_id == session_id])
