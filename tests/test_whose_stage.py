"""Every stage says whose it is: the turn's index and agent, so that a question by agent or turn needs no join."""

from __future__ import annotations

import pytest

from livekit_otel import attributes as attr
from tests.kit.trace import names, record

_MODELS = {
    attr.KIND_LLM: attr.TURN_LLM_MODEL,
    attr.KIND_REALTIME: attr.TURN_LLM_MODEL,
    attr.KIND_STT: attr.TURN_STT_MODEL,
    attr.KIND_TTS: attr.TURN_TTS_MODEL,
}


@pytest.mark.parametrize("name", names())
def test_a_stage_says_its_turn_and_agent(name: str) -> None:
    """In every scripted session a stage has the index and the agent of the turn that it lies in, also through a tool;
    a stage of no turn, and the spans of the session's bookkeeping, have no index."""
    spans = {span.span_id: span for span in record(name).pipeline}
    for span in spans.values():
        if span.kind == attr.KIND_TURN:
            continue
        above = spans.get(span.parent_id or "")
        while above is not None and above.kind != attr.KIND_TURN:
            above = spans.get(above.parent_id or "")
        expected = (above.attributes[attr.TURN_INDEX], above.attributes.get(attr.AGENT_NAME)) if above else (None, None)
        found = (span.attributes.get(attr.TURN_INDEX), span.attributes.get(attr.AGENT_NAME))
        assert found == expected or (span.kind == attr.KIND_SESSION and found[0] is None), span.kind


@pytest.mark.parametrize("name", names())
def test_a_turn_says_which_models_served(name: str) -> None:
    """A turn names an LLM, a recognizer and a voice exactly where it has such a stage with a model: one of its own."""
    spans = record(name).pipeline
    for turn in (span for span in spans if span.kind == attr.KIND_TURN):
        used: dict[str, set[str]] = {key: set() for key in _MODELS.values()}
        for span in spans:
            own = span.kind in _MODELS and span.attributes.get(attr.TURN_INDEX) == turn.attributes[attr.TURN_INDEX]
            if own and span.trace_id == turn.trace_id and span.session_id == turn.session_id:
                used[_MODELS[span.kind]].add(str(span.attributes.get(attr.REQUEST_MODEL)))
        for key, models in used.items():
            model = turn.attributes.get(key)
            assert model in models or (model is None and models <= {"None"}), (key, model, models)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llm_falls_back", ("second-llm", "fake-stt", "fake-tts")),
        ("tts_falls_back", ("fake-llm", "fake-stt", "second-tts")),
        ("providers_refuse", ("second-llm", "fake-stt", "second-tts")),
    ],
)
def test_of_several_models_the_last_that_served_is_named(name: str, expected: tuple[str, ...]) -> None:
    """Where a model failed and another one took over, the turn names the one whose answer it got, also where an adapter
    tried the first one again after that."""
    (turn,) = record(name).of(attr.KIND_TURN)
    found = (turn.attributes.get(key) for key in (attr.TURN_LLM_MODEL, attr.TURN_STT_MODEL, attr.TURN_TTS_MODEL))
    assert tuple(found) == expected
