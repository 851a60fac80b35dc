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

#: kinds of stages whose agent follows from LiveKit's history
_AGENTS_WORK = {attr.KIND_STT, attr.KIND_EOU, attr.KIND_LLM, attr.KIND_TTS, attr.KIND_PLAYBACK, attr.KIND_TOOL}


def _agents(name: str) -> list[tuple[float, str]]:
    """When each agent became active, by the history in LiveKit's own report; empty for calls of several sessions."""
    if len(record(name).outcomes) != 1:
        return []
    items = record(name).outcomes[0].report["chat_history"]["items"]
    return [(item["created_at"], item["new_agent_id"]) for item in items if item["type"] == "agent_handoff"]


@pytest.mark.parametrize("name", names())
def test_a_stage_says_its_turn_and_agent(name: str) -> None:
    """In every scripted session a stage has the index of the turn that it lies in, also through a tool, and an agent;
    a stage of no turn, and the spans of the session's bookkeeping, have neither."""
    spans = {span.span_id: span for span in record(name).pipeline}
    agents = {agent for _, agent in _agents(name)}
    for span in spans.values():
        if span.kind in (attr.KIND_TURN, attr.KIND_SESSION):
            continue
        above = spans.get(span.parent_id or "")
        while above is not None and above.kind != attr.KIND_TURN:
            above = spans.get(above.parent_id or "")
        agent = span.attributes.get(attr.AGENT_NAME)
        assert span.attributes.get(attr.TURN_INDEX) == (above.attributes[attr.TURN_INDEX] if above else None), span.kind
        if above is None:
            assert agent is None
        elif len(agents) == 1:
            assert agent == above.attributes.get(attr.AGENT_NAME), span.kind


@pytest.mark.parametrize(
    "name",
    [
        "handoff",
        "handoff_with_words",
        "handoff_to_an_agent_that_loads",
        "task_inside_a_tool",
        "handoff_to_a_slow_colleague",
    ],
)
def test_a_stage_names_the_agent_that_did_its_work(name: str) -> None:
    """After a handoff within a turn the later stages name the later agent, by LiveKit's own history; a tool names the
    agent whose model called it, the turn the agent that the user spoke to."""
    active, spans = _agents(name), record(name).pipeline
    assert len({agent for _, agent in active}) > 1
    named = [one for one in spans if attr.TURN_INDEX in one.attributes and one.kind in _AGENTS_WORK]
    requests = [one for one in named if one.kind == attr.KIND_LLM]
    for one in named:
        at = one.start_ns
        if one.kind == attr.KIND_TOOL:
            speech = one.attributes[attr.SPEECH_ID]
            at = max(
                ask.start_ns for ask in requests if ask.start_ns <= at and ask.attributes[attr.SPEECH_ID] == speech
            )
        expected = [agent for since, agent in active if since <= at / 1e9 + 1e-6][-1]
        assert one.attributes[attr.AGENT_NAME] == expected, (one.kind, one.start_ns)
    turns = {one.attributes[attr.TURN_INDEX]: one for one in spans if one.kind == attr.KIND_TURN}
    spoken_to = {one.attributes[attr.TURN_INDEX]: one.attributes[attr.AGENT_NAME] for one in named if one.kind == "eou"}
    assert all(turns[index].attributes[attr.AGENT_NAME] == agent for index, agent in spoken_to.items())
    mixed = {
        index
        for index in turns
        if len({one.attributes[attr.AGENT_NAME] for one in named if one.attributes[attr.TURN_INDEX] == index}) > 1
    }
    assert mixed, "no turn of this call has stages of two agents"


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
