"""SessionSpans hands out the spans of a process's own sessions, and holds no more than it says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession
from livekit.agents.testing import fake_job_context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, set_span_in_context

import livekit_otel
from livekit_otel import OptionError, SessionSpans
from livekit_otel import attributes as attr
from livekit_otel.demo.compare import differences
from livekit_otel.processor import in_memory as module
from tests.kit import clock
from tests.kit.run import run_scenario
from tests.kit.trace import switch_off
from tests.kit.voice import FakeLLM


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    switch_off()
    yield
    switch_off()


class Calls:
    """Sessions of few spans, made with the SDK alone."""

    def __init__(self, kept: SessionSpans) -> None:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(kept)
        self.tracer = provider.get_tracer(attr.SCOPE)

    def open(self, name: str, job: str = "") -> Span:
        ids = {attr.SESSION_ID: name, attr.BACKEND_SESSION_ID: f"room of {name}", attr.SESSION_JOB_ID: job}
        return self.tracer.start_span(attr.KIND_SESSION, attributes={attr.KIND: attr.KIND_SESSION, **ids})

    def add(self, session: Span, name: str, kind: str = attr.KIND_LLM, **more: Any) -> None:
        attributes = {attr.KIND: kind, attr.SESSION_ID: name, **more}
        self.tracer.start_span(kind, set_span_in_context(session), attributes=attributes).end()

    def hold(self, name: str, job: str = "", spans: int = 1) -> None:
        session = self.open(name, job)
        for _ in range(spans):
            self.add(session, name)
        session.end()


def test_the_report_is_livekits_own() -> None:
    """What was kept of a scripted call gives LiveKit's own report, by the id of the job, without any exporter."""
    kept = SessionSpans()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(kept)
    outcomes = run_scenario("question_and_answer", before=lambda: livekit_otel.set_tracer_provider(provider))
    report = livekit_otel.build_report(kept.of("fake-job"))
    assert report.complete
    assert not list(differences(report.to_dict(), outcomes[0].report))
    assert kept.of(report.session_id) == kept.of(report.room_id) == kept.of("fake-job")
    assert {span.scope for span in kept.of("fake-job")} == {attr.SCOPE}


def test_a_job_that_ends_while_its_session_still_does() -> None:
    """``on_session_end`` runs before a longer call's last span has ended, and gets the whole report all the same."""
    kept = SessionSpans()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(kept)
    livekit_otel.set_tracer_provider(provider)

    async def reply(stream: Any, items: list[Any]) -> None:
        await stream.text("an answer")

    async def main() -> tuple[Any, Any]:
        with fake_job_context() as context:
            session: AgentSession[None] = AgentSession(
                llm=FakeLLM(reply), vad=None, turn_handling={"turn_detection": None}
            )
            await session.start(Agent(instructions="Answer."))
            for number in range(40):
                await session.run(user_input=f"question {number}")
            ending: list[asyncio.Task[Any]] = []

            async def end_of_job() -> Any:
                await session.aclose()  # as LiveKit does before on_session_end
                return await kept.when_ended(context.job.id)

            session.on("close", lambda _: ending.append(asyncio.create_task(end_of_job())))
            await session.aclose()
            return await ending[0], context.make_session_report(session).to_dict()

    spans, theirs = clock.run(main())
    report = livekit_otel.build_report(spans)
    assert report.complete
    assert report.to_dict()["chat_history"] == theirs["chat_history"]


def test_sessions_of_one_job_come_together() -> None:
    """A job's id stands for all of its sessions, a session's own id for that one; an unknown id for none."""
    kept = SessionSpans()
    calls = Calls(kept)
    calls.hold("first", job="job")
    calls.hold("second", job="job")
    calls.hold("other")
    assert [span.session_id for span in kept.of("job")] == ["first", "first", "second", "second"]
    assert [span.session_id for span in kept.of("second")] == ["second", "second"]
    assert [span.session_id for span in kept.of("room of other")] == ["other", "other"]
    assert kept.of("unknown") == kept.of("") == []


def test_memory_does_not_follow_the_number_of_calls() -> None:
    """After hundreds of calls only the last ended ones are held, and a session that still runs is not given up."""
    kept = SessionSpans(max_ended=3)
    calls = Calls(kept)
    running = calls.open("running")
    calls.add(running, "running")
    for number in range(300):
        calls.hold(f"call {number}", spans=5)
    assert [len(kept.of(f"call {number}")) for number in range(295, 300)] == [0, 0, 6, 6, 6]
    calls.add(running, "running")
    running.end()
    assert len(kept.of("running")) == 3
    assert len(kept._open) == 0
    assert len(kept._ended) == 3


def test_sessions_that_never_end_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where sessions begin and never end, the oldest are given up."""
    monkeypatch.setattr(module, "MAX_OPEN", 5)
    kept = SessionSpans()
    calls = Calls(kept)
    for number in range(9):
        session = calls.open(f"call {number}")
        calls.add(session, f"call {number}")
    assert [len(kept.of(f"call {number}")) for number in range(9)] == [0, 0, 0, 0, 1, 1, 1, 1, 1]


def test_a_session_with_too_many_spans(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond the limit only the end is kept, the log says so once, and the report how many spans are missing."""
    kept = SessionSpans(max_spans=10)
    calls = Calls(kept)
    session = calls.open("long")
    with caplog.at_level(logging.WARNING, logger="livekit_otel"):
        for _ in range(25):
            calls.add(session, "long")
        calls.add(session, "long", attr.KIND_SESSION_END, **{attr.SESSION_SPAN_COUNT: 27})
        session.end()
    assert len(caplog.messages) == 1
    assert "a session has more than 10 spans" in caplog.messages[0]
    assert [span.name for span in kept.of("long")] == [attr.KIND_LLM] * 10 + [attr.KIND_SESSION_END]
    report = livekit_otel.build_report(kept.of("long"))
    assert not report.complete
    assert "16 of 27 spans are missing" in report.warnings


def test_waiting_is_over_when_the_session_is() -> None:
    """The spans come at the moment when the session ends, all of them."""
    kept = SessionSpans()
    calls = Calls(kept)
    session = calls.open("call")

    async def main() -> tuple[int, float]:
        asyncio.get_running_loop().call_later(1.0, calls.add, session, "call")
        asyncio.get_running_loop().call_later(1.5, session.end)
        return len(await kept.when_ended("call")), clock.elapsed()

    assert clock.run(main()) == (2, pytest.approx(1.5, abs=0.05))


def test_waiting_has_a_limit() -> None:
    """A session that does not end is waited for as long as was asked, then what is there comes back."""
    kept = SessionSpans()
    calls = Calls(kept)
    session = calls.open("open")
    calls.add(session, "open")

    async def main() -> tuple[int, float]:
        return len(await kept.when_ended("open", timeout=2.0)), clock.elapsed()

    assert clock.run(main()) == (1, pytest.approx(2.0, abs=0.05))


def test_limits_must_make_sense() -> None:
    """A limit below one is an error that names it."""
    with pytest.raises(OptionError, match="max_ended=0"):
        SessionSpans(max_ended=0)
