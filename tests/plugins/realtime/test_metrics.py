"""Responses, their usage and their connections, by real plugins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from livekit_otel import attributes as attr

from .play import Played

Calls = Callable[[str, bool], Played]
MODES = pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
CALLS = ("openai_talk", "openai_dropped", "gemini_talk", "gemini_usage", "xai_talk", "azure_talk")
#: calls whose plugin says something of a connection after the last response
WITH_REST = {"xai_talk"}


@MODES
@pytest.mark.parametrize("talk", CALLS)
def test_there_are_as_many_spans_as_responses(traced: Calls, talk: str, native: bool) -> None:
    """Each response has one span; connections have none, but for one at the end that no response came after."""
    one = traced(talk, native)
    spans = one.of(attr.KIND_REALTIME)
    responses = [
        span.attributes[attr.RESPONSE_ID] for span in spans if span.attributes.get(attr.REALTIME_RESPONSE, True)
    ]
    assert len(set(responses)) == len(responses)
    asked = {metrics.request_id for metrics in one.call.metrics if metrics.type == "realtime_model_metrics"}
    assert asked - {"", "session_close"} <= set(responses)
    assert len(spans) - len(responses) == (talk in WITH_REST)


@MODES
@pytest.mark.parametrize("talk", CALLS)
def test_usage_is_livekits(traced: Calls, talk: str, native: bool) -> None:
    """Each model's tokens add up to what LiveKit counted, and the turns have all of it."""
    one = traced(talk, native)
    told: Counter[str] = Counter()
    for metrics in one.call.metrics:
        told["input"] += getattr(metrics, "input_tokens", 0)
        told["output"] += getattr(metrics, "output_tokens", 0)
    sent = [span.attributes for span in one.records]
    assert sum(int(one.get(attr.USAGE_INPUT_TOKENS, 0)) for one in sent) == told["input"]  # type: ignore[arg-type]
    assert sum(int(one.get(attr.USAGE_OUTPUT_TOKENS, 0)) for one in sent) == told["output"]  # type: ignore[arg-type]


@MODES
@pytest.mark.parametrize("talk", ["openai_talk", "openai_dropped"])
def test_a_connections_time_is_on_the_next_response(traced: Calls, talk: str, native: bool) -> None:
    """What it took to connect, and to connect again, adds up on the responses' spans."""
    one = traced(talk, native)
    took = attr.metric("realtime", "acquire_time")
    spans = one.of(attr.KIND_REALTIME)
    told = [metrics.acquire_time for metrics in one.call.metrics if metrics.type == "realtime_model_metrics"]
    assert sum(float(span.attributes.get(took, 0.0)) for span in spans) == pytest.approx(sum(told))  # type: ignore[arg-type]
    assert len(one.call.server.log.times("connected")) == sum(value > 0 for value in told)


@MODES
@pytest.mark.parametrize("talk", CALLS)
def test_no_sentinel_is_a_time(traced: Calls, talk: str, native: bool) -> None:
    """LiveKit's −1 for a response without output is no time to the first token."""
    ttft = attr.metric("realtime", "ttft")
    assert all(float(one.attributes.get(ttft, 0.0)) >= 0 for one in traced(talk, native).of(attr.KIND_REALTIME))  # type: ignore[arg-type]
