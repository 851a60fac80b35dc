"""A session's trace is whole, whoever closes the session, and however often."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import livekit_otel
from livekit_otel import SessionReport
from livekit_otel import attributes as attr
from livekit_otel.spans import from_sdk
from tests.kit import clock
from tests.kit.trace import switch_off
from tests.kit.voice import FakeLLM

TURNS = 40


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    switch_off()
    livekit_otel.set_tracer_provider(provider, native_spans=False)
    yield exporter
    switch_off()


async def long_call() -> AgentSession[None]:
    """A session whose end takes several rounds of the event loop to write."""

    async def reply(stream: Any, items: list[Any]) -> None:
        await stream.text("an answer")

    session: AgentSession[None] = AgentSession(llm=FakeLLM(reply), vad=None, turn_handling={"turn_detection": None})
    await session.start(Agent(instructions="Answer."))
    for number in range(TURNS):
        await session.run(user_input=f"question {number}")
    return session


def report_of(exporter: InMemorySpanExporter) -> SessionReport:
    return livekit_otel.build_report([from_sdk(span) for span in exporter.get_finished_spans()])


def kinds(exporter: InMemorySpanExporter) -> list[str]:
    return [span.name for span in exporter.get_finished_spans()]


def test_a_second_close_waits_for_the_first(exporter: InMemorySpanExporter) -> None:
    """Whoever closes a session a second time finds its trace complete when the close returns."""

    async def main() -> list[bool]:
        session = await long_call()
        closers: list[asyncio.Task[bool]] = []

        async def close_again() -> bool:
            await session.aclose()
            return report_of(exporter).complete

        session.on("close", lambda _: closers.append(asyncio.create_task(close_again())))
        await session.aclose()
        return [await each for each in closers]

    assert clock.run(main()) == [True]
    assert kinds(exporter).count(attr.KIND_SESSION_END) == kinds(exporter).count(attr.KIND_SESSION) == 1


def test_a_cancelled_close_ends_the_trace(exporter: InMemorySpanExporter) -> None:
    """A close that is cancelled while the end of the trace is written still writes all of it."""

    async def main() -> bool:
        session = await long_call()
        closed = asyncio.Event()
        session.on("close", lambda _: closed.set())
        close = asyncio.create_task(session.aclose())
        await closed.wait()
        while attr.KIND_SESSION_END not in kinds(exporter) and not close.done():
            if session._started:
                await asyncio.sleep(0)
                continue
            close.cancel()
            await asyncio.wait([close])
        return close.cancelled()

    assert clock.run(main())
    report = report_of(exporter)
    assert report.complete
    assert len(report.turns) == TURNS
