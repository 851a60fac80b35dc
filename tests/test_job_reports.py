"""LiveKit's report of a job whose session has closed: the report that is rebuilt is the last one that it made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession, JobContext
from livekit.agents.testing import fake_job_context
from livekit.agents.voice.report import SessionReport as LiveKitReport
from opentelemetry.sdk.trace import TracerProvider

import livekit_otel
from livekit_otel import SessionReport, SessionSpans, SpanRecord
from livekit_otel import attributes as attr
from tests.kit import clock
from tests.kit.run import as_json
from tests.kit.trace import switch_off
from tests.kit.voice import FakeLLM

pytestmark = pytest.mark.skipif(
    "tags" not in LiveKitReport.__dataclass_fields__, reason="reports of this LiveKit have no tags and no duration"
)


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    switch_off()
    yield
    switch_off()


@dataclass
class Job:
    """A job that is over. ``theirs`` are the reports that LiveKit made, in order; ``at_the_end`` is what the job itself
    had of its session in ``on_session_end``."""

    theirs: list[dict[str, Any]] = field(default_factory=list)
    spans: list[SpanRecord] = field(default_factory=list)
    at_the_end: list[SpanRecord] = field(default_factory=list)

    @property
    def report(self) -> SessionReport:
        return livekit_otel.build_report(self.spans)


async def _reply(stream: Any, items: list[Any]) -> None:
    await stream.text("an answer")


def hold(at_the_end: Callable[[JobContext], object], **options: Any) -> Job:
    """A typed call in a job that LiveKit runs: close, ``on_session_end`` after a while, LiveKit's report."""
    kept, job = SessionSpans(), Job()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(kept)
    livekit_otel.set_tracer_provider(provider, **options)

    async def main() -> None:
        with fake_job_context() as ctx:
            ctx._info.worker_id = "AW_of_a_worker"
            _keep(ctx, job.theirs)
            session: AgentSession[None] = AgentSession(
                llm=FakeLLM(_reply), vad=None, turn_handling={"turn_detection": None}
            )
            ctx.tagger.add("early")
            await session.start(Agent(instructions="Answer."))
            await session.run(user_input="a question")
            await session.aclose()
            await asyncio.sleep(15.0)  # the room is deleted, or the server gives up on it
            job.at_the_end = await kept.when_ended(ctx.job.id)
            at_the_end(ctx)
            await ctx._on_session_end()
            job.spans = kept.of(ctx.job.id)

    clock.run(main())
    return job


def _keep(ctx: JobContext, made: list[dict[str, Any]]) -> None:
    """Keep every report of a job."""
    make = ctx.make_session_report

    def kept(session: Any = None) -> Any:
        report = make(session)
        made.append(as_json(report.to_dict()))
        return report

    ctx.make_session_report = kept  # type: ignore[method-assign]


def _outcome(ctx: JobContext) -> None:
    ctx.tagger.success(reason="all is well")
    ctx.make_session_report()
    ctx.tagger.add("later still")


def test_the_last_report_wins() -> None:
    """Tags of on_session_end, timestamp and duration are those of the report that LiveKit made last, to the digit."""
    job = hold(_outcome)
    assert [one["tags"] for one in job.theirs] == [["early", "lk.success"], ["early", "later still", "lk.success"]]
    assert as_json(job.report.to_dict()) == job.theirs[-1]
    assert job.report.to_dict()["duration_ms"] > 15_000
    assert (job.report.complete, job.report.warnings) == (True, [])
    assert [one.attributes[attr.REPORT_FINAL] for one in job.spans if one.kind == attr.KIND_SESSION_REPORT] == [
        False,
        True,
    ]


def test_the_last_outcome_wins() -> None:
    """The job's outcome with its reason, and each tag, are those of on_session_end, too."""
    report = hold(_outcome).report
    assert (report.outcome, report.outcome_reason) == ("success", "all is well")
    assert set(report.tags) == {"early", "later still", "lk.success"}


def test_a_stream_of_reports_waits_for_it() -> None:
    """A reader that yields each session as soon as it is whole waits for LiveKit's own report, which comes last."""
    job = hold(_outcome)
    session_id = job.report.session_id
    for spans in (job.spans, job.spans[::-1]):
        (streamed,) = livekit_otel.build_reports(iter(spans))
        assert as_json(streamed.to_dict()) == job.theirs[-1]
        named = livekit_otel.build_report(iter(spans), session_id)
        assert as_json(named.to_dict()) == job.theirs[-1]


def test_without_it_the_report_says_so() -> None:
    """Where the last report is not there, tags are those of the one before it, and the report is not complete."""
    job = hold(_outcome)
    last = job.spans[-1]
    assert last.kind == attr.KIND_SESSION_REPORT
    report = livekit_otel.build_report(job.spans[:-1])
    assert report.to_dict()["tags"] == ["early", "lk.success"]
    assert not report.complete
    (warning,) = report.warnings
    assert warning.startswith("session.report is missing")


def test_in_on_session_end_nothing_is_missing() -> None:
    """In the job itself the report is complete before LiveKit has made its own: what is yet to come is not missing."""
    job = hold(lambda _: None)
    report = livekit_otel.build_report(job.at_the_end)
    assert (report.complete, report.warnings) == (True, [])
    assert report.to_dict()["tags"] == ["early"]


def test_tags_are_content() -> None:
    """Without content no tag is on any span, whenever it was set."""
    job = hold(_outcome, allow_pii=False)
    assert "later still" not in repr(job.spans)
    assert job.report.complete
    assert job.report.to_dict()["duration_ms"] == job.theirs[-1]["duration_ms"]
