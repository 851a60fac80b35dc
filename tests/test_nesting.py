"""A user's own spans nest below ours where LiveKit's do not record, and the two layers never mix where they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from livekit.agents import Agent, RunContext, function_tool
from livekit.agents import stt as lk_stt
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import livekit_otel
from livekit_otel import attributes as attr
from tests.kit.run import INSTRUCTIONS, SCENARIOS, Call, Scenario, run_scenario
from tests.kit.trace import switch_off
from tests.kit.voice import FakeBatchSTT, FakeTTS
from tests.scenarios.plain import call_vad
from tests.scenarios.tools import calls


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    switch_off()
    yield
    switch_off()


def spans_of(function: Any, *, native_spans: bool) -> tuple[list[ReadableSpan], Callable[[ReadableSpan], str]]:
    """Run a session in which ``function(call, tracer)`` makes spans of its own; returns them and "name of parent"."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("user")

    async def script(call: Call) -> None:
        await function(call, tracer)

    SCENARIOS["own"] = Scenario("own", "", script)
    try:
        run_scenario("own", before=lambda: livekit_otel.set_tracer_provider(provider, native_spans=native_spans))
    finally:
        del SCENARIOS["own"]
    spans = memory.get_finished_spans()
    by_id = {span.context.span_id: span for span in spans if span.context is not None}

    def parent(span: ReadableSpan) -> str:
        return by_id[span.parent.span_id].name if span.parent is not None else ""

    return [span for span in spans if span.instrumentation_scope.name == "user"], parent  # type: ignore[union-attr]


async def everything(call: Call, tracer: trace.Tracer) -> None:
    """A call in which the user's code makes a span inside the recognizer, the model, a tool and the voice."""

    class Own(Agent):
        @function_tool
        async def weather(self, ctx: RunContext[Any], city: str) -> str:
            """Weather."""
            with tracer.start_as_current_span("own tool") as span:
                trace.get_current_span(None).set_attribute("seen", True)
                span.set_attribute("city", city)
            return "sunny"

    reply = calls(("weather", "weather", '{"city": "Oslo"}'))

    async def traced_reply(stream: Any, items: list[Any]) -> None:
        with tracer.start_as_current_span("own llm"):
            await reply(stream, items)

    class OwnTTS(FakeTTS):
        def synthesize(self, text: str, *, conn_options: Any = None) -> Any:
            stream = super().synthesize(text, conn_options=conn_options)
            run = stream._run

            async def traced(emitter: Any) -> None:
                with tracer.start_as_current_span("own tts"):
                    await run(emitter)

            stream._run = traced  # type: ignore[assignment, method-assign]
            return stream

    def recognizing() -> None:
        with tracer.start_as_current_span("own stt"):
            pass

    recognizer = lk_stt.StreamAdapter(stt=FakeBatchSTT(call.caller, hook=recognizing), vad=call_vad(call))
    call.caller.says("weather please", 1.0)
    session = call.session(traced_reply, stt=recognizer, tts=OwnTTS(truth=call.truth))
    await call.start(session, Own(instructions=INSTRUCTIONS))
    await call.until(8.0)
    await call.close(session)


def test_own_spans_nest_below_the_stage_that_runs() -> None:
    """Without native spans, spans made inside stt, llm, tool and tts are children of these spans."""
    own, parent = spans_of(everything, native_spans=False)
    assert {(span.name, parent(span)) for span in own} == {
        ("own stt", "stt"),
        ("own llm", "llm"),
        ("own tool", "tool"),
        ("own tts", "tts"),
    }


def test_own_spans_nest_below_livekits_where_those_record() -> None:
    """With native spans, LiveKit's are current and ours never are."""
    own, parent = spans_of(everything, native_spans=True)
    for span in own:
        assert parent(span) not in attr.SPAN_KINDS


def test_a_live_recognition_is_in_its_turn() -> None:
    """A recognizer runs before anyone knows of a turn; its span is below the turn all the same."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    run_scenario("batch_recognizer", before=lambda: livekit_otel.set_tracer_provider(provider, native_spans=False))
    spans = memory.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans if span.context is not None}
    parents = [names[span.parent.span_id] for span in spans if span.name == "stt" and span.parent is not None]
    assert sorted(parents) == ["session", "turn", "turn"]
