"""OpenTelemetry metrics of turns: off by default, complete, linked to the turn, and never counted twice."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

import livekit_otel
from livekit_otel import TurnSpanProcessor
from livekit_otel import attributes as attr
from livekit_otel.processor import metrics as module
from livekit_otel.processor.metrics import BUCKETS, TurnMetrics
from livekit_otel.processor.unmeasured import Unmeasured

from .kit.trace import trace_scenario
from .test_turns_session import answered
from .turns_kit import Script, llm_metrics
from .turns_live import Live

VERDICT = "interruption"
NOTHING = dict.fromkeys(attr.SILENCE_STAGES, 0.0)


@pytest.fixture
def meter() -> tuple[MeterProvider, InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], exemplar_filter=AlwaysOnExemplarFilter(), shutdown_on_exit=False)
    return provider, reader


def script() -> Script:
    out = Script()
    turn = out.turn(1.0, 9.0, **{attr.AGENT_NAME: "clerk", attr.END_REASON: "completed"})  # type: ignore[arg-type]
    answered(turn)
    turn.verdict(4.0, 4.1, VERDICT)
    turn.llm(2.0, 2.1, 0.05, "P", **{attr.OUTCOME: "discarded"}, **llm_metrics(7, 3, 2.1))
    return out


def points(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    data = reader.get_metrics_data()
    if data is None:
        return {}
    return {
        metric.name: list(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def sums(found: list[Any]) -> dict[tuple[Any, ...], float]:
    return {
        tuple(sorted(str(v) for name, v in one.attributes.items() if name != attr.METER_VERSION)): (
            one.sum if hasattr(one, "sum") else one.value
        )
        for one in found
    }


def test_all_that_is_measured(meter: tuple[MeterProvider, InMemoryMetricReader]) -> None:
    """Latencies, silence by stage, turns, interruptions and usage are recorded, by agent and model."""
    provider, reader = meter
    Live(TurnSpanProcessor(meter_provider=provider)).play(script().spans)
    found = points(reader)
    llm, tts = ("clerk", "gpt", "openai"), ("cartesia", "clerk", "voice")
    assert sums(found["livekit_otel.turn.e2e_latency"]) == {llm: 1.4}
    assert sums(found["livekit_otel.turn.llm_node_ttft"]) == {llm: 0.3}
    assert sums(found["livekit_otel.turn.tts_node_ttfb"]) == {tts: 0.5}
    assert sums(found["livekit_otel.turn.silence"]) == {
        tuple(sorted((*llm, stage))): value
        for stage, value in {**NOTHING, "transcription": 0.2, "eou": 0.3, "hook": 0.1, "llm": 0.3, "tts": 0.5}.items()
    }
    assert sums(found["livekit_otel.turn.gap"]) == {tuple(sorted((*llm, stage))): 0.0 for stage in NOTHING}
    assert sums(found["livekit_otel.turns"]) == {("clerk", "completed", "gpt", "openai", "yes"): 1}
    assert sums(found["livekit_otel.flags"]) == {
        tuple(sorted((*llm, name))): int(name == "interrupted") for name in attr.FLAG_NAMES
    }
    versions = {one.attributes[attr.METER_VERSION] for of_one in found.values() for one in of_one}
    assert versions == {livekit_otel.__version__}
    assert sums(found["livekit_otel.interruptions"]) == {("clerk", VERDICT): 1}
    assert sums(found["livekit_otel.usage.tokens"]) == {
        ("clerk", "gpt", "input", "openai"): 107,
        ("clerk", "gpt", "openai", "output"): 23,
    }
    assert sums(found["livekit_otel.usage.discarded_tokens"]) == {
        ("clerk", "gpt", "input", "openai"): 7,
        ("clerk", "gpt", "openai", "output"): 3,
    }
    assert sums(found["livekit_otel.usage.cached_input_tokens"]) == {llm: 40}
    assert sums(found["livekit_otel.usage.characters"]) == {tts: 17}
    assert sum(sums(found["livekit_otel.usage.audio_duration"]).values()) == pytest.approx(1.4)
    assert sums(found["gen_ai.client.token.usage"])[("clerk", "gpt", "input", "openai")] == 107


def test_buckets_and_exemplars(meter: tuple[MeterProvider, InMemoryMetricReader]) -> None:
    """Histograms of seconds have buckets from 0.05 to 10 s, and exemplars name the turn's span."""
    provider, reader = meter
    runner = Live(TurnSpanProcessor(meter_provider=provider))
    records = runner.play(script().spans)
    turn = next(one for one in records if one.kind == attr.KIND_TURN)
    (point,) = points(reader)["livekit_otel.turn.e2e_latency"]
    assert tuple(point.explicit_bounds) == BUCKETS
    assert (BUCKETS[0], BUCKETS[-1]) == (0.05, 10.0)
    assert {format(one.span_id, "016x") for one in point.exemplars} == {turn.span_id}


def test_no_genai_metric_that_livekit_records(
    meter: tuple[MeterProvider, InMemoryMetricReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the global provider LiveKit records the GenAI metrics of LLMs; ours has only what it leaves out."""
    provider, reader = meter
    monkeypatch.setattr(module, "get_meter_provider", lambda: provider)
    Live(TurnSpanProcessor()).play(script().spans)
    found = points(reader)
    assert "livekit_otel.turn.e2e_latency" in found
    assert "gen_ai.client.token.usage" not in found
    assert [one.attributes[attr.REQUEST_MODEL] for one in found["gen_ai.client.operation.duration"]] == ["voice"]
    assert "gen_ai.client.operation.time_to_first_chunk" not in found


def test_off_without_a_provider() -> None:
    """Without a meter provider of the SDK nothing is recorded."""
    assert not TurnMetrics().enabled


def measured(name: str, meter: tuple[MeterProvider, InMemoryMetricReader]) -> dict[str, list[Any]]:
    """The metrics of a scripted session."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(TurnSpanProcessor(meter[0]))
    trace_scenario(name, provider, native_spans=False, options={})
    return points(meter[1])


def of(found: list[Any], **wanted: str) -> list[Any]:
    names = {"stage": attr.METER_STAGE, "flag": attr.METER_FLAG, "verdict": attr.METER_VERDICT}
    return [one for one in found if all(one.attributes.get(names[key]) == value for key, value in wanted.items())]


@pytest.mark.parametrize(
    ("name", "waited", "stage"),
    [
        ("cut_off_while_waiting", 3.2, "hook"),
        ("closed_while_a_tool_runs", 1.98, "tool"),
        ("user_turn_without_reply", 3.2, "hook"),
    ],
)
def test_the_wait_of_who_is_not_answered(
    name: str, waited: float, stage: str, meter: tuple[MeterProvider, InMemoryMetricReader]
) -> None:
    """A turn's metrics wait until it is known how long its user did: until they spoke again, or hung up."""
    found = measured(name, meter)
    (point,) = found["livekit_otel.turn.dead_air"] if len(found["livekit_otel.turn.dead_air"]) == 1 else of_max(found)
    assert point.max == pytest.approx(waited, abs=1e-3)
    assert max(one.max for one in of(found["livekit_otel.turn.gap"], stage=stage)) > 1.0
    assert sum(one.value for one in of(found["livekit_otel.flags"], flag="never_answered")) == 1


def of_max(found: dict[str, list[Any]]) -> list[Any]:
    """The point of the longest dead air: turns without a request have no model."""
    return [max(found["livekit_otel.turn.dead_air"], key=lambda one: one.max)]


def test_a_false_cutoff_is_measured_as_none_of_an_interruption(
    meter: tuple[MeterProvider, InMemoryMetricReader],
) -> None:
    """What looks like an interruption of a user who had only paused is counted under a verdict of its own."""
    script = Script()
    first = script.turn(1.0, 2.6, **{attr.END_REASON: "interrupted"})  # type: ignore[arg-type]
    first.vad(1.0, 2.0)
    first.eou(2.0, 2.1)
    first.llm(2.1, 2.3, 0.1)
    first.tts(2.2, 2.4, 0.1)
    first.playback(2.4, 2.6)
    first.verdict(2.5, 2.55, VERDICT)
    second = script.turn(2.7, 6.0, **{attr.END_REASON: "completed"})  # type: ignore[arg-type]
    second.vad(2.7, 3.0)
    second.eou(3.0, 3.1)
    second.playback(3.5, 6.0)
    provider, reader = meter
    Live(TurnSpanProcessor(meter_provider=provider)).play(script.spans)
    found = points(reader)
    assert sums(found["livekit_otel.interruptions"]) == {("false_cutoff",): 1}
    assert sum(one.value for one in of(found["livekit_otel.flags"], flag="false_cutoff")) == 1
    assert sum(one.value for one in of(found["livekit_otel.flags"], flag="interrupted")) == 0


@pytest.mark.parametrize("name", ["llm_fails_for_good", "tts_fails"])
def test_errors_have_their_type(name: str, meter: tuple[MeterProvider, InMemoryMetricReader]) -> None:
    """A turn that failed is counted with the type of the error, and so is the request that did; others have none."""
    found = measured(name, meter)
    turns = {
        (one.attributes[attr.END_REASON], one.attributes.get(attr.ERROR_TYPE)) for one in found["livekit_otel.turns"]
    }
    assert ("failed", "APIConnectionError") in turns
    assert {error for reason, error in turns if reason != "failed"} <= {None}
    requests = found["gen_ai.client.operation.duration"]
    assert "APIConnectionError" in {one.attributes.get(attr.ERROR_TYPE) for one in requests}


def test_metrics_that_wait_are_bounded(meter: tuple[MeterProvider, InMemoryMetricReader]) -> None:
    """Of more turns without an answer than are held back, the oldest are measured as they are; each once."""
    provider, reader = meter
    live, script = Live(TurnSpanProcessor(meter_provider=provider)), Script()
    session = live.open()
    for number in range(100):
        script.turn(number * 10.0, number * 10.0 + 2.5, has_user=False, **{attr.END_REASON: "interrupted"})  # type: ignore[arg-type]
        live.start(script.spans[-1], session).end(script.spans[-1].end_ns)
    assert sum(one.value for one in points(reader)["livekit_otel.turns"]) == 100 - Unmeasured.LIMIT
    live.close(session)
    assert sum(one.value for one in points(reader)["livekit_otel.turns"]) == 100


def test_metrics_that_wait_are_recorded_at_shutdown(meter: tuple[MeterProvider, InMemoryMetricReader]) -> None:
    """Where the process ends within a call, what is held back is recorded as it is."""
    provider, reader = meter
    live = Live(TurnSpanProcessor(meter_provider=provider))
    script = Script()
    turn = script.turn(1.0, 3.0, **{attr.END_REASON: "interrupted"})  # type: ignore[arg-type]
    turn.vad(1.0, 2.0)
    session = live.open()
    span = live.start(script.spans[0], session)
    span.end(script.spans[0].end_ns)
    assert "livekit_otel.turns" not in points(reader)
    live.processor.shutdown()
    assert sum(one.value for one in points(reader)["livekit_otel.turns"]) == 1
