"""Nothing twice, nothing missing: every occurrence of a stage is one span, and every metric is on one of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from livekit_otel import SpanRecord
from livekit_otel import attributes as attr
from tests.kit.trace import Trace, names, record

#: metrics type -> stage prefix of its attributes
STAGES = {
    "eou_metrics": "eou",
    "eot_inference_metrics": "eot",
    "llm_metrics": "llm",
    "tts_metrics": "tts",
    "realtime_model_metrics": "realtime",
    "interruption_metrics": "interruption",
    "avatar_metrics": "avatar",
    "decision_metrics": "decision",
}
#: what a span has that was made for the metrics of a small model alone
DECISION = attr.metric("decision", "timestamp")
#: fields that a span has under a name of its own
ELSEWHERE = {
    **{(stage, "speech_id"): attr.SPEECH_ID for stage in ("eou", "llm", "tts")},
    ("llm", "request_id"): attr.RESPONSE_ID,
}
#: LiveKit writes 0 in these where it does not know when the user stopped; the span then has none
DELAYS = ("end_of_utterance_delay", "transcription_delay")


def traces(name: str) -> list[Trace]:
    return [record(name), record(name, native_spans=True)]


#: what a model counts that a scenario asks beside the conversation
OWN_REQUEST_TOKENS = 100


def own(span: SpanRecord) -> bool:
    """Whether the span is a request to a model that no session listens to: LiveKit emits no metrics for it."""
    return bool(span.attributes.get(attr.LLM_OWN)) and attr.metric("llm", "duration") not in span.attributes


def of_connection(metrics: Any) -> bool:
    """Whether the metrics are of a realtime model's connection: the next response's span has its time."""
    return metrics.type == "realtime_model_metrics" and not metrics.request_id


def connection(span: SpanRecord) -> bool:
    """Whether the span is there for a connection after which no response came."""
    return span.attributes.get(attr.REALTIME_RESPONSE) is False and attr.RESPONSE_ID not in span.attributes


def all_metrics(trace: Trace) -> list[Any]:
    return [one for outcome in trace.outcomes for one in outcome.metrics]


@pytest.mark.parametrize("name", names())
def test_each_metrics_event_is_on_exactly_one_span(name: str) -> None:
    """Each metrics object that LiveKit emitted is on one stage span, every field with its value, be it under a name of
    the span's own; a field that is left out has LiveKit's default."""
    for trace in traces(name):
        spans = trace.pipeline
        for kind, stage in STAGES.items():
            key = attr.metric(stage, "timestamp")
            carrying = [span for span in spans if key in span.attributes and not own(span) and not connection(span)]
            emitted = [one for one in all_metrics(trace) if one.type == kind and not of_connection(one)]
            assert len(carrying) == len(emitted), kind
            for metrics in emitted:
                matching = [span for span in carrying if _carries(span, stage, metrics)]
                assert matching, metrics
                carrying.remove(matching[0])


def _carries(span: SpanRecord, stage: str, metrics: Any) -> bool:
    for name, value in metrics.model_dump().items():
        if name == "type" or value is None or isinstance(value, dict):
            continue
        if (stage, name) == ("realtime", "acquire_time"):
            continue  # of the connection that was made before the response
        if name in DELAYS and span.attributes.get(attr.EOU_SOURCE) == "unknown":
            value = None
        if name == "label":
            continue  # the plugin's class, of which the span has provider and model
        key = ELSEWHERE.get((stage, name), attr.metric(stage, name))
        default = type(metrics).model_fields[name].default
        left_out = default if type(default) in (bool, int, float) and not default else None
        if span.attributes.get(key, left_out) != value:
            return False
    return True


@pytest.mark.parametrize("name", names())
def test_vad_and_stt_metrics_are_summed(name: str) -> None:
    """Counts and durations of VADMetrics and STTMetrics add up over the spans that aggregate them."""
    sums = {
        "vad": ("inference_count", "inference_duration_total"),
        "stt": ("audio_duration", "input_tokens", "output_tokens", "duration", "acquire_time"),
    }
    for trace in traces(name):
        for stage, fields in sums.items():
            emitted = [one for one in all_metrics(trace) if one.type == f"{stage}_metrics"]
            assert _sum(trace, f"livekit_otel.{stage}.metrics_count") == len(emitted)
            for field in fields:
                expected = sum(getattr(one, field) for one in emitted)
                assert _sum(trace, attr.metric(stage, field)) == pytest.approx(expected), (stage, field)


def _sum(trace: Trace, key: str) -> float:
    return sum(float(span.attributes.get(key, 0)) for span in trace.pipeline)  # type: ignore[arg-type]


def test_a_connection_is_on_the_response_that_comes_next() -> None:
    """A realtime model's connections have no span, but for one after which no response came; their times add up."""
    for trace in traces("realtime_usage_of_no_response"):
        took, of = attr.metric("realtime", "acquire_time"), attr.RESPONSE_ID
        found = [(span.attributes.get(of), span.attributes.get(took, 0.0)) for span in trace.of("realtime")]
        assert sorted(found, key=str) == [
            ("response_1", 0.0),
            ("response_1", 0.25),
            ("response_2", 0.5),
            (None, 0.125),
        ]
        later = [span for span in trace.of("realtime") if span.attributes.get(attr.REALTIME_RESPONSE) is False]
        assert [span.start_ns <= span.end_ns for span in later] == [True, True]


@pytest.mark.parametrize("name", names())
def test_every_occurrence_has_one_span(name: str) -> None:
    """Speech segments, requests, calls and playouts that the fakes counted are as many as their spans."""
    for trace in traces(name):
        truth = trace.outcomes[-1].truth
        heard = [span for span in trace.of("vad") if span.attributes[attr.VAD_SPEECH]]
        segments = [span for span in heard if attr.VAD_SERVER not in span.attributes]
        assert len(segments) == len(truth.vad_segments)
        models = [span for span in trace.of("llm") + trace.of("realtime") if not own(span)]
        requests = [
            span
            for span in models
            if DECISION not in span.attributes and span.attributes.get(attr.REALTIME_RESPONSE, True)
        ]
        assert len(requests) == truth.llm_requests
        attempts = [span.attributes.get(attr.TTS_ATTEMPTS, 1) for span in trace.of("tts")]
        assert sum(map(int, attempts)) == truth.tts_requests or name == "tts_fails"  # type: ignore[arg-type]
        playouts = [span for span in trace.of("playback") if attr.PLAYBACK_POSITION in span.attributes]
        assert len(playouts) == truth.playouts
        calls = Counter(
            call["call_id"]
            for outcome in trace.outcomes
            for event in outcome.report["events"]
            if event["type"] == "function_tools_executed"
            for call in event["function_calls"]
        )
        assert Counter(span.attributes[attr.TOOL_CALL_ID] for span in trace.of("tool")) == calls


@pytest.mark.parametrize("name", names())
def test_the_tree_is_whole(name: str) -> None:
    """Every parent exists, stages are below a turn or the session, and no span ends before it starts."""
    for trace in traces(name):
        by_id = {span.span_id: span for span in trace.records}
        assert len(by_id) == len(trace.records)
        for span in trace.pipeline:
            assert 0 < span.start_ns <= span.end_ns
            assert span.trace_id == trace.pipeline[0].trace_id or len(trace.outcomes) > 1
            if span.kind == "session":
                assert span.parent_id is None
                continue
            parent = by_id[span.parent_id or ""]
            assert parent.scope == attr.SCOPE
            above = {"session", "turn"} if span.kind in attr.STAGE_KINDS else {"session"}
            assert parent.kind in above | ({"tool"} if span.attributes.get(attr.LLM_OWN) else set())
            assert parent.session_id == span.session_id
            assert parent.start_ns - 10**9 <= span.start_ns
        for native in (span for span in trace.records if span.scope == attr.NATIVE_SCOPE):
            parent = by_id[native.parent_id or ""]
            assert parent.scope == attr.NATIVE_SCOPE or parent.kind == "session"


@pytest.mark.parametrize("name", names())
def test_tokens_of_a_request_are_told_once(name: str) -> None:
    """In the whole export gen_ai.usage.* sums to what LiveKit counted, whether its own spans are there or not."""
    for trace in traces(name):
        models = [one for one in all_metrics(trace) if one.type in ("llm_metrics", "realtime_model_metrics")]
        expected = sum(getattr(one, "prompt_tokens", 0) or getattr(one, "input_tokens", 0) for one in models)
        voice = [one for one in all_metrics(trace) if one.type in ("tts_metrics", "stt_metrics")]
        expected += sum(one.input_tokens for one in voice)
        expected += sum(OWN_REQUEST_TOKENS for span in trace.pipeline if own(span))
        told = sum(int(span.attributes.get(attr.USAGE_INPUT_TOKENS, 0)) for span in trace.records)  # type: ignore[arg-type]
        assert told == expected


@pytest.mark.parametrize("name", names())
def test_identity_is_on_every_span(name: str) -> None:
    """Kind, schema, session id and the id that backends group by are on every pipeline span, equal under both names."""
    for trace in traces(name):
        for span in trace.pipeline:
            assert span.attributes[attr.KIND] == span.name
            assert span.attributes[attr.SCHEMA] == attr.SCHEMA_VERSION
            assert span.attributes[attr.SESSION_ID]
            assert span.attributes[attr.BACKEND_SESSION_ID] == span.attributes[attr.CONVERSATION_ID]
            assert str(span.attributes[attr.BACKEND_SESSION_ID]).startswith("RM_")


@pytest.mark.parametrize("name", names())
def test_values_stay_within_what_backends_keep(name: str) -> None:
    """At most 128 attributes, no value over 2,000 bytes but GenAI content, no number as a key segment."""
    for trace in traces(name):
        for span in trace.pipeline:
            assert len(span.attributes) <= 128
            for key, value in span.attributes.items():
                assert not any(segment.isdigit() for segment in key.split("."))
                if isinstance(value, str) and key not in attr.GENAI_CONTENT:
                    assert len(value.encode()) <= attr.MAX_VALUE_BYTES, key
