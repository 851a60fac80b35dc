"""What failed is named by what failed: recognizers inside a fallback adapter, and turns that got no answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from livekit.agents import llm as lk_llm
from livekit.agents import stt as lk_stt
from livekit.agents import tts as lk_tts
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import livekit_otel
from livekit_otel import attributes as attr
from livekit_otel.spans import outcome
from tests.kit.realtime import Answer, FakeRealtimeModel, Step
from tests.kit.run import SCENARIOS, Call, Scenario, ScenarioFunction, plain_reply, run_scenario
from tests.kit.trace import record, switch_off
from tests.kit.voice import Caller, FakeBatchSTT, FakeLLM, FakeSTT, FakeTTS, failure
from tests.scenarios.failures import NO_PATIENCE, fails
from tests.scenarios.plain import call_vad

DOWN = failure("the recognizer is down", retryable=False)


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    switch_off()
    yield
    switch_off()


def spans_of(script: ScenarioFunction, *, native_spans: bool = False) -> list[ReadableSpan]:
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    SCENARIOS["own"] = Scenario("own", "", script)
    try:
        run_scenario("own", before=lambda: livekit_otel.set_tracer_provider(provider, native_spans=native_spans))
    finally:
        del SCENARIOS["own"]
    ours = [span for span in memory.get_finished_spans() if span.instrumentation_scope.name == attr.SCOPE]  # type: ignore[union-attr]
    return sorted(ours, key=lambda span: span.start_time or 0)


def named(spans: list[ReadableSpan], kind: str) -> list[ReadableSpan]:
    return [span for span in spans if span.name == kind]


def recognitions(spans: list[ReadableSpan]) -> list[tuple[Any, str, float, float]]:
    """Model, outcome, start and end (seconds of the call) of each recognition."""
    (session,) = named(spans, "session")
    zero = session.start_time or 0
    return [
        (
            (span.attributes or {}).get(attr.REQUEST_MODEL),
            outcome(span.attributes or {}),
            round(((span.start_time or 0) - zero) / 1e9, 1),
            round(((span.end_time or 0) - zero) / 1e9, 1),
        )
        for span in named(spans, "stt")
        if (span.attributes or {}).get(attr.STT_TEXT) or span.status.status_code is StatusCode.ERROR
    ]


def broken(call: Call, at: float) -> FakeSTT:
    """A recognizer that hears nothing and fails at this second of the call."""
    caller = Caller().recognizer_fails(at, DOWN)
    caller.truth = call.truth
    return FakeSTT(caller, model="broken-stt")


async def _asked(call: Call, recognizer: Any, **changes: Any) -> None:
    call.caller.says("are you there", 3.0, 1.0)
    session = call.session(stt=recognizer, **changes)
    await call.start(session)
    await call.until(9.0)
    await call.close(session)


@pytest.mark.parametrize("native_spans", [True, False])
@pytest.mark.parametrize(
    ("at", "begins"),
    [(0.5, 0.0), (3.5, 3.0)],
    ids=["before anybody speaks", "in the middle of an utterance"],
)
def test_a_recognizer_that_fails_in_an_adapter_is_named(at: float, begins: float, native_spans: bool) -> None:
    """The failed stream's span has its model and its own bounds; the healthy one's has the utterance."""

    async def script(call: Call) -> None:
        healthy = FakeSTT(call.caller, model="healthy-stt")
        await _asked(call, lk_stt.FallbackAdapter([broken(call, at), healthy], max_retry_per_stt=0))

    spans = spans_of(script, native_spans=native_spans)
    assert recognitions(spans) == [
        ("broken-stt", "error", begins, at),
        ("healthy-stt", "completed", 3.0, 4.1),
    ]
    (turn,) = named(spans, "turn")
    assert (turn.attributes or {})[attr.END_REASON] == "completed"


@pytest.mark.parametrize("outside", [True, False], ids=["adapter around", "adapters inside"])
@pytest.mark.parametrize("native_spans", [True, False])
def test_a_batch_recognizer_that_fails_in_an_adapter_is_named(native_spans: bool, outside: bool) -> None:
    """A recognition that an adapter gives to the next recognizer leaves one span for each that was asked."""

    class Broken(FakeBatchSTT):
        @property
        def model(self) -> str:
            return "broken-stt"

        async def _recognize_impl(self, *args: Any, **kwargs: Any) -> Any:
            raise DOWN

    async def script(call: Call) -> None:
        both: lk_stt.STT = lk_stt.FallbackAdapter(
            [Broken(call.caller), FakeBatchSTT(call.caller)], vad=call_vad(call), max_retry_per_stt=0
        )
        if outside:
            both = lk_stt.StreamAdapter(stt=both, vad=call_vad(call))
        call.caller.says("once more", 6.0, 1.0)
        await _asked(call, both)

    spans = spans_of(script, native_spans=native_spans)
    found = {(model, outcome) for model, outcome, *_ in recognitions(spans)}
    assert found == {("broken-stt", "error"), ("fake-batch-stt", "completed")}
    assert sum(outcome == "completed" for _, outcome, *_ in recognitions(spans)) == (2 if outside else 1)


def test_recognizers_that_all_fail_are_each_named() -> None:
    """Each recognizer of an adapter has its failure; the adapter, which recognizes nothing, has none."""

    async def script(call: Call) -> None:
        other = broken(call, 3.6)
        other._model = "other-stt"
        both = lk_stt.FallbackAdapter([broken(call, 3.5), other], max_retry_per_stt=0)
        await _asked(call, both, conn_options=NO_PATIENCE)

    assert [model for model, outcome, *_ in recognitions(spans_of(script)) if outcome == "error"][:2] == [
        "broken-stt",
        "other-stt",
    ]
    assert None not in [model for model, *_ in recognitions(spans_of(script))]


# --- how turns end ------------------------------------------------------------------------------------

ENDS = {
    "question_and_answer": ["completed"],
    "llm_recovers": ["completed"],
    "llm_fails_for_good": ["failed"],
    "llm_falls_back": ["completed"],
    "tts_fails": ["failed"],
    "tts_falls_back": ["completed"],
    "stt_fails": ["completed"],
    "barge_in": ["interrupted", "completed"],
    "closed_while_speaking": ["session_closed"],
    "user_turn_without_reply": ["no_reply", "completed"],
    "preemptive_user_turn_without_reply": ["no_reply", "completed"],
    "one_tool": ["completed"],
    "realtime_conversation": ["completed"] * 3,
}


@pytest.mark.parametrize("native_spans", [True, False])
@pytest.mark.parametrize("name", ENDS)
def test_a_turn_says_why_it_ended(name: str, native_spans: bool) -> None:
    """Answered, cut off, closed, failed or left without a reply; ERROR where it failed and nothing was heard."""
    turns = record(name, native_spans=native_spans).of(attr.KIND_TURN)
    turns.sort(key=lambda turn: int(turn.attributes[attr.TURN_INDEX]))  # type: ignore[arg-type]
    assert [turn.attributes[attr.END_REASON] for turn in turns] == ENDS[name]
    for turn, reason in zip(turns, ENDS[name], strict=True):
        ended, error = outcome(turn.attributes), turn.attributes.get(attr.ERROR_TYPE)
        expected = ("error", "error", "APIConnectionError") if reason == "failed" else ("completed", "unset", None)
        assert (ended, turn.status, error) == expected


def ends(script: ScenarioFunction) -> list[tuple[Any, StatusCode]]:
    return [
        ((span.attributes or {})[attr.END_REASON], span.status.status_code) for span in named(spans_of(script), "turn")
    ]


def test_a_failure_that_ends_no_session_fails_its_turn_alone() -> None:
    """The model fails once, LiveKit goes on: that turn failed, the next is answered."""

    async def script(call: Call) -> None:
        call.caller.says("first question", 1.0).says("second question", 6.0)
        session = call.session(fails(1, retryable=False))
        await call.start(session)
        await call.until(11.0)
        await call.close(session)

    assert ends(script) == [("failed", StatusCode.ERROR), ("completed", StatusCode.UNSET)]


def test_a_fallback_adapter_fails_its_turn_when_every_model_has() -> None:
    """Each model of the adapter fails, and so does the turn; probing them again later changes nothing."""

    async def script(call: Call) -> None:
        models: list[lk_llm.LLM[Any]] = [
            FakeLLM(fails(99, retryable=False), truth=call.truth, model=name) for name in ("one", "two")
        ]
        call.caller.says("anybody", 1.0)
        session = call.session(llm=lk_llm.FallbackAdapter(models, max_retry_per_llm=0))
        await call.start(session)
        await call.until(8.0)
        await call.close(session)

    assert ends(script) == [("failed", StatusCode.ERROR)]


def test_a_fallback_adapter_that_answers_when_it_is_asked_once_more() -> None:
    """Every model of the adapter fails once, code asks for another answer, and gets it: the turn was answered."""

    async def script(call: Call) -> None:
        models: list[lk_llm.LLM[Any]] = [
            FakeLLM(fails(1, retryable=False), truth=call.truth, model=name) for name in ("one", "two")
        ]
        call.caller.says("anybody", 1.0)
        session = call.session(llm=lk_llm.FallbackAdapter(models, max_retry_per_llm=0))
        session.on("error", lambda event: event.error.recoverable or (session.generate_reply() and None))
        await call.start(session)
        await call.until(8.0)
        await call.close(session)

    assert ends(script) == [("completed", StatusCode.UNSET)]


def test_voices_that_all_fail_fail_the_turn() -> None:
    """There is an answer in writing, and no voice of the adapter can say it: nothing was heard."""

    async def script(call: Call) -> None:
        voices: list[lk_tts.TTS[Any]] = [FakeTTS(truth=call.truth, error=DOWN, model=name) for name in ("one", "two")]
        call.caller.says("anybody", 1.0)
        session = call.session(plain_reply, tts=lk_tts.FallbackAdapter(voices, max_retry_per_tts=0))
        await call.start(session)
        await call.until(8.0)
        await call.close(session)

    assert ends(script) == [("failed", StatusCode.ERROR)]


def test_a_model_that_fails_after_words_were_heard_leaves_the_status() -> None:
    """What was heard was heard: the turn's end says that it failed, its status stays unset."""

    async def half(stream: Any, items: list[Any]) -> None:
        await stream.text("This much can be said, and it is a whole sentence. ")
        await call_later.wait()
        raise DOWN

    import asyncio

    call_later = asyncio.Event()

    async def script(call: Call) -> None:
        asyncio.get_running_loop().call_later(5.0, call_later.set)
        call.caller.says("tell me", 1.0)
        session = call.session(half)
        await call.start(session)
        await call.until(10.0)
        await call.close(session)

    assert ends(script) == [("failed", StatusCode.UNSET)]


def test_a_silent_tool_is_no_reply() -> None:
    """The user asked, a tool ran, and nothing was said."""
    from livekit.agents import Agent, StopResponse, function_tool

    class Silent(Agent):
        @function_tool
        async def weather(self) -> None:
            """Weather."""
            raise StopResponse

    async def reply(stream: Any, items: list[Any]) -> None:
        stream.call("weather", "{}")
        stream.usage()

    async def script(call: Call) -> None:
        call.caller.says("weather please", 1.0)
        session = call.session(reply)
        await call.start(session, Silent(instructions="x"))
        await call.until(14.0)
        await call.close(session)

    assert ends(script) == [("no_reply", StatusCode.UNSET)]


def test_a_realtime_model_that_fails_fails_the_turn() -> None:
    """The server refuses the response: no voice, an error, and the turn says so."""
    from livekit.agents.llm import RealtimeModelError

    async def script(call: Call) -> None:
        steps = [Step(1.0, "start"), Step(1.8, "stop"), Step(2.0, "transcript", "hello")]
        model = FakeRealtimeModel(steps, reply=Answer("never"), truth=call.truth)
        session = call.session(
            llm=model, stt=None, vad=None, tts=None, turn_handling={"turn_detection": "realtime_llm"}
        )
        await call.start(session)
        await call.until(3.0)
        error = RealtimeModelError(
            type="realtime_model_error", timestamp=0.0, label="kit", error=failure("rate limit"), recoverable=True
        )
        session._activity._rt_session.emit("error", error)  # type: ignore[union-attr]
        await call.until(6.0)
        await call.close(session)

    assert ends(script) == [("failed", StatusCode.ERROR)]
