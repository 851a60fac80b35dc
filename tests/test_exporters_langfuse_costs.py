"""Costs that Langfuse computes of our spans, by its prices: right by hand, in every mode of the preset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from livekit.agents import Agent
from livekit.agents.metrics import RealtimeModelMetrics
from opentelemetry.sdk.trace import TracerProvider

from livekit_otel.exporters.langfuse_preset.prices import Prices

from .kit import realtime
from .kit.realtime import Answer, FakeRealtimeModel
from .kit.run import Call
from .kit.voice import FakeLLM
from .langfuse_kit import Script, bare, cost, named, observed, total
from .scenarios.realtime import _asked, _talk

PRICES = json.loads((Path(__file__).parent / "fixtures" / "langfuse_prices.json").read_text())["models"]
#: the preset's modes: with LiveKit's spans off, left out, and kept
MODES: dict[str, dict[str, Any]] = {
    "pipeline": {"native_spans": False},
    "drop": {"native_spans": True, "native": "drop"},
    "keep": {"native_spans": True, "native": "keep"},
}
mode = pytest.mark.parametrize("options", MODES.values(), ids=MODES)


def asks(model: str, prompt: int, completion: int, **more: int) -> Script:
    """One question to an LLM, which reports this usage."""

    async def reply(stream: Any, items: list[Any]) -> None:
        await stream.text("Here is your answer, all of it.")
        stream.usage(prompt, completion, **{"cached": 0, **more})

    async def script(call: Call, _: TracerProvider) -> None:
        session = call.session(llm=FakeLLM(reply, truth=call.truth, model=model), tts=None)
        await call.start(session, Agent(instructions="Answer."))
        await session.run(user_input="a question of some words")
        await call.close(session)

    return script


#: 1,000 tokens in and 1,000 out; dollars by hand
BY_HAND = {
    "plain": ("gpt-4", {}, 0.03 + 0.06),
    "plain, no price for what is cached": ("gpt-5-pro", {"cached": 400}, 0.015 + 0.12),
    "cached": ("gpt-4.1-mini", {"cached": 400}, 600 * 0.4e-6 + 400 * 0.1e-6 + 1000 * 1.6e-6),
    "cached, with the vendor": ("openai/gpt-4o-mini", {"cached": 400}, 600 * 0.15e-6 + 400 * 0.075e-6 + 1000 * 0.6e-6),
    "reasoning": ("gpt-5-mini", {"reasoning_tokens": 800}, 1000 * 0.25e-6 + 1000 * 2e-6),
    "reasoning, no price for it": ("gpt-5.4-mini", {"reasoning_tokens": 800}, 1000 * 0.75e-6 + 1000 * 4.5e-6),
    "cache written": (
        "claude-sonnet-4-5",
        {"cached": 300, "cache_creation_tokens": 200},
        500 * 3e-6 + 300 * 0.3e-6 + 200 * 3.75e-6 + 1000 * 15e-6,
    ),
    "cache written, no price for it": ("gpt-4o", {"cache_creation_tokens": 200}, 1000 * 2.5e-6 + 1000 * 10e-6),
    "Gemini": (
        "google/gemini-2.5-flash",
        {"cached": 400, "reasoning_tokens": 800},
        600 * 0.3e-6 + 400 * 0.03e-6 + 0.0025,
    ),
    "an audio model asked for text": ("gpt-4o-audio-preview", {}, 1000 * 2.5e-6 + 1000 * 10e-6),
}


@mode
@pytest.mark.parametrize("kind", BY_HAND)
def test_a_request_costs_what_its_tokens_cost(
    kind: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum of Langfuse's costs over a call is its tokens times the price of each."""
    model, details, dollars = BY_HAND[kind]
    found = observed(monkeypatch, asks(model, 1000, 1000, **details), **options)
    assert total(found) == 2000
    assert cost(found) == pytest.approx(dollars)


def test_reasoning_without_a_price_is_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 % of an answer's tokens do not become free because the list has no name for them."""
    found = observed(monkeypatch, asks("gpt-5.4-mini", 460, 1000, reasoning_tokens=800))
    assert cost(found) == pytest.approx(0.004845)


@pytest.mark.parametrize("native_spans", [False, True], ids=["pipeline", "both"])
@pytest.mark.parametrize("kind", ["plain", "cached", "reasoning", "cache written"])
def test_without_the_preset_a_request_costs_once(
    kind: str, native_spans: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spans sent as they are cost what they should as well: Langfuse does not count the words of the other layer."""
    model, details, dollars = BY_HAND[kind]
    found = observed(monkeypatch, asks(model, 1000, 1000, **details), native_spans=native_spans, setup=bare)
    if (kind, native_spans) == ("cache written", True):
        # LiveKit's own name of what was written is a bucket that Langfuse adds, unpriced
        assert named(found, "llm")["usageDetails"] == {"input": 0, "output": 0, "total": 0}
        return
    assert named(found, "llm")["usageDetails"]["total"] == (0 if native_spans else 2000)
    assert cost(found) == pytest.approx(dollars)


@pytest.mark.parametrize("options", [*MODES.values(), {"setup": bare}], ids=[*MODES, "bare"])
def test_a_cancelled_request_is_not_estimated(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that never said its usage has none: no words of ours are counted instead."""

    async def reply(stream: Any, items: list[Any]) -> None:
        await stream.text("words without a number")

    async def script(call: Call, _: TracerProvider) -> None:
        session = call.session(llm=FakeLLM(reply, truth=call.truth, model="gpt-4.1-mini"), tts=None)
        await call.start(session, Agent(instructions="Answer."))
        await session.run(user_input="a question of some words")
        await call.close(session)

    found = observed(monkeypatch, script, **options)
    assert named(found, "llm")["usageDetails"].get("total", 0) == 0


def speaks(model: str, monkeypatch: pytest.MonkeyPatch) -> Script:
    """One answer of a speech-to-speech model: 1,000 in (800 audio; 300 cached, 200 of it audio), 500 out (400)."""
    details = RealtimeModelMetrics
    monkeypatch.setattr(FakeRealtimeModel, "model", property(lambda self: model))
    given = {
        "input_tokens": 1000,
        "output_tokens": 500,
        "total_tokens": 1500,
        "input_token_details": details.InputTokenDetails(
            audio_tokens=800,
            text_tokens=200,
            image_tokens=0,
            cached_tokens=300,
            cached_tokens_details=details.CachedTokenDetails(audio_tokens=200, text_tokens=100, image_tokens=0),
        ),
        "output_token_details": details.OutputTokenDetails(text_tokens=100, audio_tokens=400),
    }

    class Metrics(RealtimeModelMetrics):
        def __init__(self, **fields: Any) -> None:
            super().__init__(**{**fields, **given})

    monkeypatch.setattr(realtime, "RealtimeModelMetrics", Metrics)

    async def script(call: Call, _: TracerProvider) -> None:
        await _talk(call, _asked(1.0, Answer("An answer")), until=5.0)

    return script


REALTIME = {
    "realtime": (
        "gpt-4o-realtime-preview",
        (100 * 5 + 100 * 2.5 + 600 * 100 + 200 * 20 + 100 * 20 + 400 * 200) / 1e6,
    ),
    "realtime, no price for what is cached": (
        "gemini-live-2.5-flash-native-audio",
        (200 * 0.5 + 800 * 3 + 100 * 2 + 400 * 12) / 1e6,
    ),
    "realtime, no price for audio": (
        "gemini-3.5-flash",
        (100 * 1.5 + 600 * 1.5 + 300 * 0.15 + 500 * 9) / 1e6,
    ),
    "audio in, no price for audio out": (
        "gemini-2.5-flash",
        (100 * 0.3 + 600 * 1 + 300 * 0.03 + 500 * 2.5) / 1e6,
    ),
}


@mode
@pytest.mark.parametrize("kind", REALTIME)
def test_a_spoken_answer_costs_what_each_modality_costs(
    kind: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text and audio, fresh and cached, each at the price of that name, also on the spans of LiveKit."""
    model, dollars = REALTIME[kind]
    found = observed(monkeypatch, speaks(model, monkeypatch), **options)
    assert total(found) == 1500
    assert cost(found) == pytest.approx(dollars)


def test_prices_of_a_project_decide_over_its_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that only the project prices has the buckets that its owner names, without it only totals."""
    script = asks("house-model-2", 1000, 1000, cached=400, reasoning_tokens=300)
    found = named(observed(monkeypatch, script), "llm")["usageDetails"]
    assert found == {"input": 1000, "output": 1000, "total": 2000}
    own = {"house-*": ["input", "output", "input_cached_tokens"]}
    found = named(observed(monkeypatch, script, price_buckets=own), "llm")["usageDetails"]
    assert found == {"input": 600, "input_cached_tokens": 400, "output": 1000, "total": 2000}


@pytest.mark.parametrize("one", PRICES, ids=lambda one: one["model"])
def test_no_bucket_is_used_that_has_no_price(one: dict[str, Any]) -> None:
    """For a model on the list, each bucket that its tokens are split into has a price."""
    buckets = Prices().of(one["model"])
    if buckets is None:
        assert set(one["prices"]) == {"input", "output"}
    else:
        assert buckets == set(one["prices"])
