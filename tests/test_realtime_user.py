"""What a realtime model's server says of the user: speech that was none, and words that come late."""

from __future__ import annotations

import pytest

from livekit_otel import attributes as attr
from livekit_otel import build_report
from tests.kit.clock import EPOCH
from tests.kit.realtime import Answer, FakeRealtimeModel, Step
from tests.kit.run import Call, ScenarioFunction
from tests.kit.story import Line, script_name, story_of
from tests.kit.trace import play

DONE = "completed"


async def _served(call: Call, *steps: Step, auto: bool = False, until: float = 12.0) -> None:
    model = FakeRealtimeModel(sorted(steps, key=lambda step: step.at), reply=Answer("never"), truth=call.truth)
    model.capabilities.auto_tool_reply_generation = auto
    from tests.scenarios.tools import Clerk

    session = call.session(llm=model, stt=None, vad=None, tts=None, turn_handling={"turn_detection": "realtime_llm"})
    await call.start(session, Clerk())
    await call.until(until)
    await call.close(session)


def _asks(at: float, item: str, answer: str, words: str, words_at: float) -> list[Step]:
    """The user speaks for 0.8 s, the server makes an item of that, and answers 0.2 s after they stopped."""
    return [
        Step(at, "start"),
        Step(at + 0.8, "stop"),
        Step(at + 0.8, "item", item=item),
        Step(at + 1.0, "answer", answer=Answer(answer)),
        Step(words_at, "transcript", words, item=item),
    ]


async def noise_without_an_item(call: Call) -> None:
    """A server that makes items of speech hears noise twice, speaks of itself, and hears noise before a question."""
    first = _asks(1.0, "one", "Hello", "hi", 1.9)
    noise = [Step(4.0, "start"), Step(4.5, "start"), Step(4.9, "stop")]
    proactive = [Step(6.0, "answer", answer=Answer("Are you still there?")), Step(8.0, "start")]
    await _served(call, *first, *noise, *proactive, *_asks(9.0, "two", "Good", "yes", 9.9))


async def beginning_without_an_end(call: Call) -> None:
    """A server without items says that the user began before each of its answers, and never that they stopped."""
    spoken = [Step(1.0, "start"), Step(1.0, "answer", answer=Answer("Hello")), Step(1.1, "transcript", "hi")]
    proactive = [Step(5.0, "start"), Step(5.0, "answer", answer=Answer("Are you still there?"))]
    await _served(call, *spoken, *proactive)


async def tools_that_the_server_answers(call: Call) -> None:
    """Such a server answers what a tool gave of itself."""
    asked = [Step(1.0, "start"), Step(1.0, "answer", answer=Answer(call="weather")), Step(1.1, "transcript", "weather")]
    reply = [Step(4.5, "start"), Step(4.5, "answer", answer=Answer("It rains"))]
    await _served(call, *asked, *reply, auto=True)


async def words_in_another_order(call: Call) -> None:
    """The first question's words come after the second's, when its turn is long over."""
    first, second = _asks(1.0, "one", "One", "the slow one", 6.0), _asks(4.0, "two", "Two", "the quick one", 4.9)
    await _served(call, *first, *second)


async def words_before_the_answer(call: Call) -> None:
    """The words are there before the server begins to answer, and those of an item that has no answer, too."""
    unanswered = [Step(1.0, "start"), Step(1.5, "stop"), Step(1.5, "item", item="zero")]
    unanswered.append(Step(1.6, "transcript", "to myself", item="zero"))
    await _served(call, *unanswered, *_asks(5.0, "one", "Yes", "and to you", 5.9))


STORIES: dict[ScenarioFunction, list[Line]] = {
    noise_without_an_item: [
        ("hi", "Hello", DONE, 0.22),
        ("", "Are you still there?", DONE, None),
        ("yes", "Good", DONE, 0.22),
    ],
    beginning_without_an_end: [("hi", "Hello", DONE, None), ("", "Are you still there?", DONE, None)],
    tools_that_the_server_answers: [("weather", "It rains", DONE, None)],
    words_in_another_order: [("the slow one", "One", DONE, 0.22), ("the quick one", "Two", DONE, 0.22)],
    words_before_the_answer: [("and to you", "Yes", DONE, 0.22)],
}
#: when each turn begins, and whether it has a user side
BEGINS: dict[ScenarioFunction, list[tuple[float, bool]]] = {
    noise_without_an_item: [(1.0, True), (6.0, False), (9.0, True)],
    beginning_without_an_end: [(1.0, True), (5.0, False)],
    tools_that_the_server_answers: [(1.0, True)],
    words_in_another_order: [(1.0, True), (4.0, True)],
    words_before_the_answer: [(5.0, True)],
}


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
@pytest.mark.parametrize("script", STORIES, ids=script_name)
def test_the_turns_are_those_of_the_script(script: ScenarioFunction, native: bool) -> None:
    """Each turn has the words of its own item, and what the server took for speech is nobody's."""
    assert story_of(script, native_spans=native) == STORIES[script]


@pytest.mark.parametrize("script", BEGINS, ids=script_name)
def test_a_turn_has_a_user_side_where_the_user_spoke(script: ScenarioFunction) -> None:
    """It begins with its own speech, and not with what was taken for speech before."""
    found = []
    for turn in build_report(play(script).pipeline).turns:
        assert turn.span is not None
        found.append((round(turn.start_ns / 1e9 - EPOCH, 2), turn.span.attributes[attr.TURN_HAS_USER]))
    assert found == BEGINS[script]


@pytest.mark.parametrize("script", STORIES, ids=script_name)
def test_a_servers_transcripts_have_their_spans(script: ScenarioFunction) -> None:
    """Each item that a server transcribes is an ``stt`` span, from the beginning of its turn to its words."""
    trace = play(script)
    texts = sorted(str(one.attributes[attr.STT_TEXT]) for one in trace.of("stt"))
    (outcome,) = trace.outcomes
    said = [item for item in outcome.report["chat_history"]["items"] if item["type"] == "message"]
    assert texts == sorted("".join(item["content"]) for item in said if item["role"] == "user" and item["content"])


def test_late_words_stand_below_the_session() -> None:
    """A turn that has ended keeps its bounds: words that come then name the answer to them."""
    trace = play(words_in_another_order)
    (session,) = trace.of("session")
    late, in_time = sorted(trace.of("stt"), key=lambda one: -one.end_ns)
    turns = build_report(trace.pipeline).turns
    assert (late.parent_id, in_time.parent_id) == (session.span_id, turns[1].span_id)
    assert late.attributes[attr.SPEECH_ID] in turns[0].speech_ids
    assert late.end_ns / 1e9 == pytest.approx(EPOCH + 6.0, abs=0.01)


async def own_recognizer(call: Call) -> None:
    """The server ends the turns and makes items; the session's recognizer hears the words, once when all is over."""
    model = FakeRealtimeModel([], reply=Answer("never"), truth=call.truth)
    model.capabilities.user_transcription = False
    for at, item, answer in ((1.0, "one", "One"), (5.0, "two", "Two")):
        model.steps += [step for step in _asks(at, item, answer, "", at + 0.9) if step.what != "transcript"]
    call.caller.says("in time", 1.0, final_after=0.05).says("too late", 5.0, final_after=2.5)
    detection = {"turn_detection": "realtime_llm"}
    session = call.session(llm=model, vad=None, tts=None, turn_handling=detection)
    await call.start(session)
    await call.until(12.0)
    await call.close(session)


async def late_words_of_no_answer(call: Call) -> None:
    """What the user says to themselves becomes an item without an answer; its words come within the next answer."""
    alone = [Step(1.0, "start"), Step(1.5, "stop"), Step(1.5, "item", item="zero")]
    alone.append(Step(5.0, "transcript", "to myself", item="zero"))
    await _served(call, *alone, *_asks(4.0, "one", "Yes", "and to you", 5.2))


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
def test_an_own_recognizer_beside_a_server_that_decides(native: bool) -> None:
    """Its words are of the turns that the server answers, and make none of their own."""
    assert story_of(own_recognizer, native_spans=native) == [
        ("in time", "One", DONE, 0.22),
        ("too late", "Two", DONE, 0.22),
    ]


def test_words_that_nobody_answered_are_no_turns() -> None:
    """They stand below the session."""
    assert story_of(late_words_of_no_answer) == [("and to you", "Yes", DONE, 0.22)]
    trace = play(late_words_of_no_answer)
    (session,) = trace.of("session")
    below = [one.attributes[attr.STT_TEXT] for one in trace.of("stt") if one.parent_id == session.span_id]
    assert below == ["to myself"]
