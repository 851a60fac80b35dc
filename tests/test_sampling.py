"""Who samples decides once, at the root of a trace: a session and LiveKit's own spans follow their parent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession
from livekit.agents.telemetry import tracer as native_tracer
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased

import livekit_otel
from livekit_otel import attributes as attr
from tests.kit import clock
from tests.kit.trace import switch_off
from tests.kit.voice import FakeLLM

CALLS = 40


async def _answer(stream: Any, items: list[Any]) -> None:
    await stream.text("an answer")


async def call() -> None:
    session: AgentSession[None] = AgentSession(llm=FakeLLM(_answer), vad=None, turn_handling={"turn_detection": None})
    await session.start(Agent(instructions="Answer."))
    await session.run(user_input="a question")
    await session.aclose()


def spans_of(
    sampler: Sampler, parents: Sequence[AbstractContextManager[Any]], *, native: bool
) -> Sequence[ReadableSpan]:
    """What is exported of one call below each of the parents, each in a task of its own."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    switch_off()
    livekit_otel.set_tracer_provider(provider, native_spans=native)

    async def below(parent: AbstractContextManager[Any]) -> None:
        with parent:
            await call()

    async def main() -> None:
        for parent in parents:
            await asyncio.create_task(below(parent))

    try:
        clock.run(main())
    finally:
        switch_off()
    return exporter.get_finished_spans()


@contextmanager
def job_root(seen: list[bool]) -> Iterator[None]:
    """LiveKit's own root span of a job."""
    with native_tracer.start_as_current_span("job_entrypoint", context=Context()) as span:
        seen.append(span.is_recording())
        yield


@contextmanager
def unsampled(*, remote: bool, sampled: bool = False) -> Iterator[None]:
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if sampled else trace.TraceFlags.DEFAULT)
    context = trace.SpanContext(0x1234, 0x5678, is_remote=remote, trace_flags=flags)
    token = attach(trace.set_span_in_context(trace.NonRecordingSpan(context), Context()))
    yield
    detach(token)


@contextmanager
def nothing() -> Iterator[None]:
    token = attach(Context())
    yield
    detach(token)


def of_kind(spans: Sequence[ReadableSpan], name: str) -> list[ReadableSpan]:
    return [span for span in spans if span.name == name]


def test_as_many_sessions_as_sampled_roots() -> None:
    """Below job roots of which a share is sampled, exactly the sessions below these are there, in both layers."""
    seen: list[bool] = []
    spans = spans_of(ParentBased(TraceIdRatioBased(0.4)), [job_root(seen) for _ in range(CALLS)], native=True)
    assert 0 < sum(seen) < CALLS
    roots = {span.context.trace_id for span in of_kind(spans, "job_entrypoint")}
    for name in (attr.KIND_SESSION, "agent_session"):
        found = of_kind(spans, name)
        assert len(found) == sum(seen)
        assert {span.context.trace_id for span in found} == roots
    assert {span.context.trace_id for span in spans} == roots


def test_without_a_root_both_layers_share_one_lottery() -> None:
    """Where the session is the root, LiveKit's spans are there exactly where it is."""
    spans = spans_of(ParentBased(TraceIdRatioBased(0.4)), [nothing() for _ in range(CALLS)], native=True)
    sessions = {span.context.trace_id for span in of_kind(spans, attr.KIND_SESSION)}
    assert 0 < len(sessions) < CALLS
    assert {span.context.trace_id for span in of_kind(spans, "agent_session")} == sessions
    assert {span.context.trace_id for span in spans} == sessions


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("remote", [False, True])
def test_a_parent_that_was_not_sampled(remote: bool, native: bool) -> None:
    """Below a parent that was not sampled nothing is, be it of this process or another."""
    assert not spans_of(ParentBased(ALWAYS_ON), [unsampled(remote=remote)], native=native)


def test_a_remote_parent_that_was_sampled() -> None:
    """Below a sampled remote parent the session is there, in the parent's trace, whatever roots would get."""
    spans = spans_of(ParentBased(ALWAYS_OFF), [unsampled(remote=True, sampled=True)], native=True)
    assert len(of_kind(spans, attr.KIND_SESSION)) == len(of_kind(spans, "agent_session")) == 1
    assert {span.context.trace_id for span in spans} == {0x1234}
    assert (
        of_kind(spans, attr.KIND_SESSION)[0].parent
        == trace.get_current_span(
            trace.set_span_in_context(
                trace.NonRecordingSpan(trace.SpanContext(0x1234, 0x5678, True, trace.TraceFlags(1)))
            )
        ).get_span_context()
    )
