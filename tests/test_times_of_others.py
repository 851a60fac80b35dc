"""Times that LiveKit, plugins and the machine's clock report: a span lies where it happened, inside its session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import Any

import pytest
from livekit.agents import MetricsCollectedEvent, metrics
from livekit.agents.metrics import base
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from livekit_otel import attributes as attr
from livekit_otel import build_report

from .kit import clock
from .kit.clock import EPOCH
from .kit.plugins import BusyTTS
from .kit.run import CANARY, Call, ScenarioFunction
from .kit.story import story_of
from .kit.trace import play
from .kit.voice import FakeTTS

MODEL = base.Metadata(model_name="other", model_provider="kit")
LLM: dict[str, Any] = {
    "label": "kit",
    "request_id": "request",
    "ttft": 0.1,
    "cancelled": False,
    "completion_tokens": 5,
    "prompt_tokens": 20,
    "prompt_cached_tokens": 0,
    "total_tokens": 25,
    "tokens_per_second": 10.0,
}
SPEECH: dict[str, Any] = {"label": "kit", "request_id": "request", "audio_duration": 1.0}
REALTIME: dict[str, Any] = {
    "request_id": "request",
    "ttft": 0.1,
    "input_tokens": 1,
    "output_tokens": 1,
    "total_tokens": 2,
    "tokens_per_second": 1.0,
    "input_token_details": metrics.RealtimeModelMetrics.InputTokenDetails(),
    "output_token_details": metrics.RealtimeModelMetrics.OutputTokenDetails(),
}
EOT: dict[str, Any] = {"detection_delay": 0.0, "prediction_duration": 0.0, "num_requests": 1}
EOU: dict[str, Any] = {"end_of_utterance_delay": 0.4, "transcription_delay": 0.1, "on_user_turn_completed_delay": 0.0}
VOICE: dict[str, Any] = {**SPEECH, "ttfb": 0.1, "cancelled": False, "characters_count": 5, "streamed": True}
OVERLAP: dict[str, Any] = {"prediction_duration": 0.0, "num_interruptions": 0, "num_backchannels": 1, "num_requests": 1}
HEARD: dict[str, Any] = {"label": "kit", "idle_time": 0.0, "inference_duration_total": 0.1, "inference_count": 1}
#: metrics of something that no stage of the call explains, by what they say besides when that was
MADE: dict[str, Callable[[float, float], Any]] = {
    "llm": lambda at, took: metrics.LLMMetrics(timestamp=at, duration=took, metadata=MODEL, **LLM),
    "stt": lambda at, took: metrics.STTMetrics(timestamp=at, duration=took, streamed=False, metadata=MODEL, **SPEECH),
    "stt that streams": lambda at, took: metrics.STTMetrics(
        timestamp=at, duration=took, streamed=True, metadata=MODEL, **SPEECH
    ),
    "tts": lambda at, took: metrics.TTSMetrics(timestamp=at, duration=took, metadata=MODEL, **VOICE),
    "realtime": lambda at, took: metrics.RealtimeModelMetrics(timestamp=at, duration=took, metadata=MODEL, **REALTIME),
    "eot": lambda at, took: metrics.EOTInferenceMetrics(timestamp=at, total_duration=took, metadata=MODEL, **EOT),
    "eou": lambda at, took: metrics.EOUMetrics(timestamp=at, metadata=MODEL, **EOU),
    "interruption": lambda at, took: metrics.InterruptionMetrics(
        timestamp=at, total_duration=took, detection_delay=took, metadata=MODEL, **OVERLAP
    ),
    "avatar": lambda at, took: base.AvatarMetrics(timestamp=at, playback_latency=took, metadata=MODEL),
    "vad": lambda at, took: metrics.VADMetrics(timestamp=at, metadata=MODEL, **HEARD),
}
if hasattr(metrics, "DecisionMetrics"):  # LiveKit 1.8.9
    MADE["decision"] = lambda at, took: metrics.DecisionMetrics(
        label="kit", request_id="request", timestamp=at, duration=took, input_tokens=30, output_tokens=2, metadata=MODEL
    )
#: these are on a span that is there anyway, or wait for one
ON_OTHERS = ("stt that streams", "vad", "eot")
#: no stamp, a monotonic clock's, one before time began, and milliseconds instead of seconds
NO_TIMES = (0.0, 12345.6, -1.0, EPOCH * 1000)


@cache
def reporting(kind: str, at: float, took: float, after: float) -> ScenarioFunction:
    """One question and answer; ``after`` its end metrics arrive whose times say nothing."""

    async def script(call: Call) -> None:
        call.caller.says("hello", 1.0)
        session = call.session()
        await call.start(session)
        await call.until(after)
        session.emit("metrics_collected", MetricsCollectedEvent(metrics=MADE[kind](at, took)))
        await call.until(6.0)
        await call.close(session)

    return script


@pytest.mark.parametrize(("at", "after"), [*((at, 0.1) for at in NO_TIMES), (0.0, 5.9)])
@pytest.mark.parametrize("kind", MADE)
def test_metrics_without_a_time_stay_inside_the_session(kind: str, at: float, after: float) -> None:
    """No span begins before its session or ends after it, what has no time ends when its metrics arrived, the exporter
    takes them all, and turns are as they were."""
    script = reporting(kind, at, 0.4, after)
    assert story_of(script) == [("hello", f"You said 5 letters, dear {CANARY}.", "completed", 0.72)]
    trace = play(script)
    (session,) = trace.of("session")
    for span in trace.pipeline:
        assert session.start_ns <= span.start_ns <= span.end_ns <= session.end_ns
    if kind not in ON_OTHERS:
        (made,) = [one for one in trace.pipeline if one.attributes.get(attr.metric(kind, "timestamp")) == at]
        assert made.end_ns / 1e9 - EPOCH == pytest.approx(after, abs=0.001)
    assert encode_spans(trace.exported)
    report = build_report(trace.pipeline)
    assert (report.started_at, report.complete, report.warnings) == (EPOCH, True, [])
    assert report.to_dict().get("duration_ms", 6_000) == pytest.approx(6_000, abs=300)


@cache
def stepped(seconds: float, at: float = 2.2) -> ScenarioFunction:
    """Two questions; the wall clock is moved while the first one is being answered."""

    async def script(call: Call) -> None:
        call.caller.says("hello", 1.0).says("again", 8.0)
        session = call.session(_in_one_word)
        await call.start(session)
        await call.until(at)
        clock.set_wall_clock(seconds)
        await call.until(13.0)
        await call.close(session)

    return script


async def _in_one_word(stream: Any, items: list[Any]) -> None:
    await stream.text("Yes.")
    stream.usage()


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
@pytest.mark.parametrize("seconds", [86_400.0, 3_600.0, 0.2, -0.2, -86_400.0])
def test_a_step_of_the_wall_clock_moves_nothing(seconds: float, native: bool) -> None:
    """Waits, turns and stages are as without it; the report says by how much, and LiveKit's own numbers stay."""
    script = stepped(seconds)
    assert story_of(script, native_spans=native) == [
        ("hello", "Yes.", "completed", 0.6),
        ("again", "Yes.", "completed", 0.6),
    ]
    trace = play(script, native_spans=native)
    report = build_report(trace.pipeline)
    found = [(turn.start_ns / 1e9 - EPOCH, turn.end_ns / 1e9 - EPOCH) for turn in report.turns]
    assert [one for pair in found for one in pair] == pytest.approx([1.0, 2.62, 8.0, 9.62], abs=0.001)
    (end,) = trace.of("session.end")
    assert end.attributes[attr.SESSION_CLOCK_STEP] == pytest.approx(seconds, abs=0.001)
    assert (report.complete, [one.loss for one in report.findings]) == (True, [False])
    waits = [
        item["metrics"].get("e2e_latency")
        for item in trace.outcomes[0].report["chat_history"]["items"]
        if item["type"] == "message" and item["role"] == "assistant"
    ]
    assert any(wait == pytest.approx(0.6 + seconds, abs=0.001) for wait in waits)


@pytest.mark.parametrize(("busy_after", "wait"), [(0.0, 0.177), (0.05, 0.127)])
def test_the_first_byte_is_counted_from_the_request(busy_after: float, wait: float) -> None:
    """A loop that is busy while a chunked voice works takes nothing off the time to the first byte, which the playback
    would report else."""

    async def script(call: Call) -> None:
        call.caller.says("hello", 1.0)
        session = call.session(_in_one_word, tts=BusyTTS(busy_after, truth=call.truth))
        await call.start(session)
        await call.until(6.0)
        await call.close(session)

    trace = play(script)
    (turn,) = build_report(trace.pipeline).turns
    (voice,) = trace.of("tts")
    assert voice.attributes[attr.TTS_FIRST_BYTE] == pytest.approx(wait)
    assert turn.latency.tts_node_ttfb == pytest.approx(wait)
    expected = {"transcription": 0.1, "eou": 0.2, "llm": 0.2, "tts": wait}
    assert turn.silence == pytest.approx({**dict.fromkeys(attr.SILENCE_STAGES, 0.0), **expected}, abs=1e-6)


async def _slow_words() -> AsyncIterator[str]:
    await asyncio.sleep(0.4)
    yield "Hello "
    await asyncio.sleep(0.3)
    yield "there."


def test_a_voice_is_waited_for_when_its_words_are_there() -> None:
    """The first byte is counted from the request, the wait for the voice from the first words that it was given."""

    async def script(call: Call) -> None:
        session = call.session(tts=FakeTTS(truth=call.truth, streaming=True))
        await call.start(session)
        await session.say(_slow_words())
        await call.close(session)

    trace = play(script)
    (voice,) = trace.of("tts")
    assert voice.attributes[attr.TTS_FIRST_BYTE] == pytest.approx(0.8)
    assert voice.attributes[attr.TTS_FIRST_TEXT] == pytest.approx(0.4)
    (turn,) = build_report(trace.pipeline).turns
    assert (turn.latency.tts_node_ttfb, turn.latency.playback_latency) == pytest.approx((0.4, 0.0), abs=1e-6)


#: what LiveKit reports of a request that gave nothing
NOTHING: dict[str, Callable[[], Any]] = {
    "llm": lambda: metrics.LLMMetrics(timestamp=EPOCH + 5.9, duration=0.4, metadata=MODEL, **{**LLM, "ttft": -1.0}),
    "tts": lambda: metrics.TTSMetrics(timestamp=EPOCH + 5.9, duration=0.4, metadata=MODEL, **{**VOICE, "ttfb": -1.0}),
    "realtime": lambda: metrics.RealtimeModelMetrics(
        timestamp=EPOCH + 5.5, duration=0.4, metadata=MODEL, **{**REALTIME, "ttft": -1.0}
    ),
}


@pytest.mark.parametrize("kind", NOTHING)
def test_a_request_that_gave_nothing_has_no_first_token(kind: str) -> None:
    """LiveKit's -1 stands for none: no time to a first token or byte is made of it; the request's times are its own."""

    async def script(call: Call) -> None:
        session = call.session()
        await call.start(session)
        await call.until(5.9)
        session.emit("metrics_collected", MetricsCollectedEvent(metrics=NOTHING[kind]()))
        await call.close(session)

    (span,) = play(script).of(kind)
    times = (attr.TIME_TO_FIRST_CHUNK, attr.TTS_FIRST_BYTE, attr.REALTIME_FIRST_AUDIO, attr.metric("realtime", "ttft"))
    assert not set(times) & span.attributes.keys()
    assert (span.start_ns / 1e9 - EPOCH, span.end_ns / 1e9 - EPOCH) == pytest.approx((5.5, 5.9), abs=0.001)
