"""Whole calls, turn by turn: each table was written from its script, before the call."""

from __future__ import annotations

import pytest

from livekit_otel import attributes as attr
from livekit_otel import build_report

from .kit.clock import EPOCH
from .kit.run import CANARY
from .kit.story import Line, story
from .kit.trace import record
from .kit.turn_checker import check_turns
from .scenarios.interruptions import LONG

DONE = "completed"
ANSWER = f"Here you are, {CANARY}."
PAUSED = f"the first half the second half {CANARY}"

STORIES: dict[str, list[Line]] = {
    # the tool waits for the user: its turn is over with the question, and the answer's turn gets its result
    "task_after_a_reply_made_ahead": [
        ("register me", "What is your name?", DONE, 0.4),
        ("", "Are you still there?", DONE, None),
        ("Ada", "You are in.", DONE, 0.5),
    ],
    # what on_enter does once its task is answered is the answer
    "tasks_in_on_enter": [
        ("", "Who are you?", DONE, None),
        ("I am Ada", "Where do you live?", DONE, 0.4),
        ("in Lima", "Goodbye then.", DONE, 0.6),
    ],
    "tool_in_the_background_asks": [
        ("order it", "One moment. Which colour?", DONE, 0.5),
        ("blue", "It is on its way.", DONE, 5.5),
    ],
    # the tool is over a moment after the user took the floor: it outlives its turn, and the turn has to say so
    "tool_that_thinks_while_the_user_speaks": [
        ("think", "", "interrupted", None),
        ("never mind", ANSWER, DONE, 2.08),
    ],
    "noise_before_a_reply_made_ahead": [("tell me", LONG, DONE, 0.4), ("and then", LONG, DONE, 0.4)],
    # LiveKit drops the words that end while it says that: they are nobody's
    "words_over_what_may_not_be_interrupted": [
        ("", "Please hold the line, and listen to this.", DONE, None),
        ("who are you", f"You said 11 letters, dear {CANARY}.", DONE, 0.52),
    ],
    "words_while_an_agent_leaves": [
        ("hand over", "I am new here.", DONE, 2.8),
        ("who are you", "I am new here.", DONE, 0.6),
    ],
    # the wait begins when the user stopped for good
    "user_resumes": [(PAUSED, f"You said {len(PAUSED)} letters, dear {CANARY}.", DONE, 1.22)],
    "realtime_conversation": [
        ("", f"Generated for the {CANARY}", DONE, None),
        (f"first {CANARY}", "First answer", DONE, 0.22),
        ("second", "Second answer", DONE, 0.22),
    ],
    "realtime_false_start": [("what time is it", "Noon", DONE, 0.42)],
    # code interrupts what has nothing to say, and says something else: the user got an answer
    "handoff_to_a_realtime_model": [
        ("connect me", f"Generated for the {CANARY}", DONE, 0.52),
        ("hello", "I hear you", DONE, 0.22),
        ("goodbye", f"Generated for the {CANARY}", DONE, 0.22),
    ],
}


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
@pytest.mark.parametrize("name", STORIES)
def test_the_turns_are_those_of_the_script(name: str, native: bool) -> None:
    """Each turn has its own words, its own answer, why it ended, and how long the user waited for it."""
    trace = record(name, native_spans=native)
    assert story(trace) == STORIES[name]
    check_turns(trace.pipeline)


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("noise_before_a_reply_made_ahead", 14.0),
        ("words_over_what_may_not_be_interrupted", 3.3),
        ("realtime_false_start", 9.0),
        ("user_resumes", 1.0),
    ],
)
def test_a_turn_begins_with_its_own_words(name: str, begins: float) -> None:
    """Noise, and words that LiveKit dropped, are no part of the turn that comes after them."""
    turn = build_report(record(name).pipeline).turns[-1]
    assert turn.start_ns / 1e9 - EPOCH == pytest.approx(begins, abs=0.001)


@pytest.mark.parametrize("name", ["realtime_conversation", "handoff_to_a_realtime_model"])
def test_the_servers_end_of_speech_is_where_the_wait_begins(name: str) -> None:
    """Where no VAD of the session heard the user, the turn says that the server did, and so does the speech's span."""
    turns = build_report(record(name).pipeline).turns[1:]
    for turn in turns:
        assert turn.span is not None
        assert turn.span.attributes[attr.TURN_SPEECH_END_SOURCE] == "server"
        (speech,) = [stage for stage in turn.stages if stage.kind == attr.KIND_VAD]
        assert speech.attributes[attr.VAD_SERVER]
        assert turn.latency.stopped_speaking_at == pytest.approx(speech.end_ns / 1e9)
