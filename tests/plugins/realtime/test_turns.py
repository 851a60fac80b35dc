"""Whose the words are, and who spoke at all, by real plugins."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from livekit_otel import attributes as attr
from tests.kit.run import assert_same_report
from tests.kit.turn_checker import check_reports, check_turns

from .calls import STORY
from .play import Played

Calls = Callable[[str, bool], Played]
#: what has come of the story at least when a call is closed in the middle of it
BEGUN = "Once upon a time"
#: the user's words, the agent's, why the turn ended, whether the user said anything
Line = tuple[str, str, str, bool]
STORIES: dict[str, list[Line]] = {
    "openai_talk": [
        ("", "Hello from the shop.", "completed", False),
        ("what is the time", "It is noon.", "completed", True),
        ("weather in lima", "It rains in Lima.", "completed", True),
        ("tell me a story", STORY, "interrupted", True),
        ("stop", "All right.", "completed", True),
    ],
    "gemini_talk": [
        ("", "Hello from Gemini.", "completed", False),
        ("what is the time", "It is noon now.", "completed", True),
        ("in the middle", "It is noon now.", "completed", True),
        ("after all", "It is noon now.", "completed", True),
        ("weather in lima", "It rains in Lima.", "completed", True),
        ("tell me a story", STORY, "interrupted", True),
        ("stop it", "All right.", "completed", True),
    ],
    # speech that nobody made
    "openai_noise": [("", "Are you still there?", "completed", False), ("yes I am", "Good.", "completed", True)],
    "gemini_proactive": [
        ("", "Are you still there?", "completed", False),
        ("yes I am", BEGUN, "session_closed", True),
    ],
    "openai_own_stt": [
        ("what is the time", "It is noon.", "completed", True),
        ("thank you", "You are welcome.", "completed", True),
    ],
    "openai_half_cascade": [
        ("what is the time", "It is noon. Anything else?", "completed", True),
        ("weather in lima", "It rains in Lima.", "completed", True),
        ("tell me a story", STORY, "interrupted", True),
        ("stop", "All right.", "completed", True),
    ],
    "openai_half_cascade_own_stt": [
        ("What is the time please?", "It is noon.", "completed", True),
        ("Thank you very much for that.", "You are welcome.", "completed", True),
    ],
    "openai_turns_of_the_session": [
        ("what is the time please", "It is noon.", "completed", True),
        ("thank you very much", "You are welcome.", "completed", True),
    ],
    "gemini_turns_of_the_session": [
        ("what is the time", "It is noon.", "completed", True),
        ("thank you", "You are welcome.", "completed", True),
    ],
    "openai_reconnect": [("one", "Answer one.", "completed", True), ("two", "Answer two.", "completed", True)],
    "openai_closed": [("tell me a story", BEGUN, "session_closed", True)],
    "openai_written": [("a written question", "Written answer.", "completed", True)],
    "openai_messages": [("hello", "Hello there. How are you?", "completed", True)],
    "xai_talk": [
        ("what is the time", "It is noon.", "completed", True),
        ("weather in lima", "It rains in Lima.", "completed", True),
    ],
    "azure_talk": [
        ("what is the time", "It is noon.", "completed", True),
        ("weather in lima", "It rains in Lima.", "completed", True),
    ],
    # late words
    "openai_late_words": [
        ("while it speaks", "An answer it is.", "completed", True),
        ("after it spoke", "An answer it is.", "completed", True),
        ("in time", "An answer it is.", "completed", True),
        ("the slow one", "One.", "completed", True),
        ("the quick one", "Two.", "completed", True),
    ],
}
MODES = pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])


@MODES
@pytest.mark.parametrize("talk", STORIES)
def test_the_turns_are_those_of_the_call(traced: Calls, talk: str, native: bool) -> None:
    """Each turn has its own words and its own answer, and a user side where the user spoke."""
    found = []
    for turn in traced(talk, native).report.turns:
        assert turn.span is not None
        has_user = turn.span.attributes[attr.TURN_HAS_USER]
        said = " ".join(turn.agent_text.split())
        if turn.end_reason == "session_closed" and said.startswith(BEGUN):
            said = BEGUN  # how much of it had come is LiveKit's to say, whose report is the one that is rebuilt
        found.append((turn.user_text, said, turn.end_reason, has_user))
    assert found == STORIES[talk]


@MODES
@pytest.mark.parametrize("talk", ["openai_failed", "openai_rejected", "openai_dropped", "gemini_dropped", *STORIES])
def test_turns_are_whole_and_reports_are_livekits(traced: Calls, talk: str, native: bool) -> None:
    """Turns hold the checker's rules, and the report that is rebuilt equals LiveKit's own."""
    one = traced(talk, native)
    check_turns(one.pipeline)
    check_reports(one.pipeline, [one.call.report])
    assert one.report.complete, one.report.warnings
    assert_same_report(one.report.to_dict(), one.call.report)


@MODES
def test_a_servers_noise_is_no_speech(traced: Calls, native: bool) -> None:
    """The question after the noise begins with its own speech, by the server's log."""
    one = traced("openai_noise", native)
    (spoken,) = one.call.server.log.times("speech started")
    assert one.report.turns[1].start_ns / 1e9 == pytest.approx(spoken, abs=0.05)


@MODES
@pytest.mark.parametrize("talk", ["openai_talk", "gemini_talk"])
def test_a_barge_in_is_the_users(traced: Calls, talk: str, native: bool) -> None:
    """The user's speech over the answer is what interrupts it, as LiveKit has it."""
    causes = [span.attributes[attr.INTERRUPTION_CAUSE] for span in traced(talk, native).of(attr.KIND_INTERRUPTION)]
    assert causes == ["user"]


#: calls in which each question is transcribed, and who says so
TRANSCRIBED = {
    "openai_talk": "gpt-4o-mini-transcribe",
    "openai_late_words": "gpt-4o-mini-transcribe",
    "openai_turns_of_the_session": "gpt-4o-mini-transcribe",
    "openai_own_stt": "own-stt",
    "openai_half_cascade_own_stt": "own-stt",
}


@MODES
@pytest.mark.parametrize("talk", TRANSCRIBED)
def test_each_question_has_its_transcript(traced: Calls, talk: str, native: bool) -> None:
    """Whoever transcribes: each turn of the user has one ``stt`` stage with its words, its model and its usage."""
    one = traced(talk, native)
    asked = [turn for turn in one.report.turns if turn.user_text]
    for turn in asked:
        (stage,) = [stage for stage in turn.stages if stage.kind == attr.KIND_STT]
        assert (stage.attributes[attr.STT_TEXT], stage.attributes[attr.REQUEST_MODEL]) == (
            turn.user_text,
            TRANSCRIBED[talk],
        )
        assert stage.attributes[attr.STT_METRICS_COUNT] == 1
    assert len(one.of(attr.KIND_STT)) == len(asked)


@MODES
def test_an_own_recognizers_delay_is_known(traced: Calls, native: bool) -> None:
    """What the session's recognizer takes after the user stopped is the turn's ``transcription_delay``."""
    for turn in traced("openai_half_cascade_own_stt", native).report.turns:
        assert turn.latency.transcription_delay is not None
        assert turn.latency.transcription_delay == pytest.approx(turn.silence["transcription"], abs=1e-6)


@MODES
def test_when_the_user_began_is_reported_whenever_words_come(traced: Calls, native: bool) -> None:
    """LiveKit's own time of it is on the turn, also where the words come after the voice began."""
    one = traced("openai_late_words", native)
    began = one.call.server.log.times("speech started")[0]
    assert one.report.turns[0].reported["started_speaking_at"] == pytest.approx(began, abs=0.05)
