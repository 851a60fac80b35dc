"""OpenTelemetry metrics of turns: off by default, complete, linked to the turn, and never counted twice."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from livekit_otel import TurnSpanProcessor
from livekit_otel import attributes as attr
from livekit_otel.processor import metrics as module
from livekit_otel.processor.metrics import BUCKETS, TurnMetrics

from .test_turns_session import answered
from .turns_kit import Script, llm_metrics
from .turns_live import Live

VERDICT = "interruption"


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
        tuple(sorted(str(v) for v in one.attributes.values())): getattr(one, "sum", None) or getattr(one, "value", 0)
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
        for stage, value in {"transcription": 0.2, "eou": 0.3, "hook": 0.1, "llm": 0.3, "tts": 0.5}.items()
    }
    assert sums(found["livekit_otel.turns"]) == {("clerk", "completed", "yes"): 1}
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
