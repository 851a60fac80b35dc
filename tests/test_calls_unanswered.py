"""Words that nobody answers, and speech that answers nobody: no wait is made of them, whatever came before."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.agents import Agent
from livekit.agents import __version__ as livekit_version

from livekit_otel import attributes as attr
from livekit_otel import build_report

from .kit.plugins import DeafVAD
from .kit.run import AHEAD, CANARY, Call, ScenarioFunction
from .kit.story import Line, script_name, story_of
from .kit.trace import play
from .kit.voice import Caller, FakeSTT
from .scenarios.interruptions import LONG, long_reply
from .scenarios.turns import Hooked

DONE = "completed"
SAID = f"You said {{}} letters, dear {CANARY}."
FEW_WORDS = {"interruption": {"min_words": 3}}
MANUAL = {"turn_detection": "manual"}


async def _then_say(call: Call, session: Any, words: str, at: float = 20.0, agent: Agent | None = None) -> None:
    await call.start(session, agent)
    await call.until(at)
    await session.say(words)
    await call.until(at + 5.0)
    await call.close(session)


async def backchannel_then_reminder(call: Call) -> None:
    """The user mumbles too little to interrupt; much later nobody has spoken, and the agent checks in by its model."""
    call.caller.says("a long story", 1.0).says("uh huh", 4.0, 0.4)
    session = call.session(long_reply, user_away_timeout=10.0, turn_handling=FEW_WORDS)

    def away(event: Any) -> None:
        if event.new_state == "away":
            session.generate_reply(instructions="check in")

    session.on("user_state_changed", away)
    await call.start(session)
    await call.until(30.0)
    await call.close(session)


async def backchannels_then_words(call: Call) -> None:
    """Two mumbles while the agent speaks, and fixed words of code long after."""
    call.caller.says("a long story", 1.0).says("uh", 3.6, 0.3).says("hm", 5.0, 0.3)
    await _then_say(call, call.session(long_reply, turn_handling=FEW_WORDS), "Are you still there?")


async def interims_without_a_final(call: Call) -> None:
    """The recognizer hears something and never says what it was."""
    call.caller.says("mumble mumble words", 1.0)
    call.caller.speeches[0].final_at = None
    await _then_say(call, call.session(), "Hello?")


async def cleared_then_words(call: Call) -> None:
    """Push to talk: what was said is discarded, and code speaks much later."""
    call.caller.says("forget these words", 1.0)
    session = call.session(turn_handling=MANUAL)
    await call.start(session)
    await call.until(3.0)
    session.clear_user_turn()
    await call.until(20.0)
    await session.say("Hello?")
    await call.until(25.0)
    await call.close(session)


async def stop_response_then_words(call: Call) -> None:
    """The hook answers the user's words with nothing, and code speaks much later."""
    call.caller.says("stay silent", 1.0)
    await _then_say(call, call.session(), "Hello?", agent=Hooked())


async def dropped_then_words(call: Call) -> None:
    """The user speaks while the agent may not be interrupted, and code speaks much later."""
    call.caller.says("tell me", 1.0).says("what about me now", 4.0, 0.6)
    session = call.session(long_reply, turn_handling={"interruption": {"enabled": False}})
    await _then_say(call, session, "Are you still there?")


async def muted_then_words(call: Call) -> None:
    """The user is muted right after the words, which are answered; code speaks much later."""
    call.caller.says("hold the line", 1.0)
    session = call.session(turn_handling={"endpointing": {"min_delay": 2.0, "max_delay": 3.0}})
    await call.start(session)
    await call.until(2.0)
    session.input.set_audio_enabled(False)
    await call.until(20.0)
    await session.say("I am back.")
    await call.until(25.0)
    await call.close(session)


async def typed_then_words(call: Call) -> None:
    """The user writes and is answered; code speaks much later."""
    session = call.session()
    await call.start(session)
    await call.until(1.0)
    session.generate_reply(user_input="hello")
    await call.until(20.0)
    await session.say("Are you still there?")
    await call.close(session)


async def cleared_after_a_reply_made_ahead(call: Call) -> None:
    """An answer was made ahead to words that are discarded; other words are answered later."""
    call.caller.says("forget these words", 1.0).says("these are kept", 8.0)
    session = call.session(turn_handling={**AHEAD, "endpointing": {"min_delay": 1.5, "max_delay": 2.0}})
    await call.start(session)
    await call.until(2.5)
    session.clear_user_turn()
    await call.until(15.0)
    await call.close(session)


async def cleared_within_a_breath(call: Call) -> None:
    """The user speaks on without a pause while the first words are discarded."""
    words = Caller()
    words.truth = call.truth
    words.says("forget these words", 1.0).says("keep these", 2.2)
    call.caller.says("one breath", 1.0, 2.0)
    session = call.session(stt=FakeSTT(words), turn_handling=MANUAL)
    await call.start(session)
    await call.until(2.0)
    session.clear_user_turn()
    await call.until(3.5)
    await session.commit_user_turn(transcript_timeout=0.5)
    await call.until(9.0)
    await call.close(session)


async def _whispered(call: Call, *speeches: tuple[str, float]) -> None:
    for words, at in speeches:
        call.caller.says(words, at)
    session = call.session(vad=DeafVAD(call.caller))
    await call.start(session)
    await call.until(speeches[-1][1] + 6.0)
    await call.close(session)


async def whisper_between(call: Call) -> None:
    """VAD misses the second of three questions."""
    await _whispered(call, ("hello there", 1.0), ("whisper this please", 20.0), ("and once more", 30.0))


async def whisper_at_first(call: Call) -> None:
    """VAD misses the first question of the call."""
    await _whispered(call, ("whisper this please", 1.0), ("and once more", 10.0))


async def whispers_twice(call: Call) -> None:
    """VAD misses two questions in a row."""
    await _whispered(call, ("hello there", 1.0), ("whisper this please", 10.0), ("whisper it again", 20.0))


STORIES: dict[ScenarioFunction, list[Line]] = {
    backchannel_then_reminder: [("a long story", LONG, DONE, 0.6), ("", LONG, DONE, None)],
    backchannels_then_words: [("a long story", LONG, DONE, 0.6), ("", "Are you still there?", DONE, None)],
    interims_without_a_final: [("", "Hello?", DONE, None)],
    cleared_then_words: [("", "Hello?", DONE, None)],
    stop_response_then_words: [("stay silent", "", "no_reply", None), ("", "Hello?", DONE, None)],
    dropped_then_words: [("tell me", LONG, DONE, 0.6), ("", "Are you still there?", DONE, None)],
    muted_then_words: [("hold the line", SAID.format(13), DONE, 2.47), ("", "I am back.", DONE, None)],
    typed_then_words: [("hello", SAID.format(5), DONE, 0.42), ("", "Are you still there?", DONE, None)],
    # the turn without words is that of the answer that was made ahead, and nobody heard
    cleared_after_a_reply_made_ahead: [("", "", "no_reply", None), ("these are kept", SAID.format(14), DONE, 1.6)],
    cleared_within_a_breath: [("keep these", SAID.format(10), DONE, 0.92)],
    whisper_between: [
        ("hello there", SAID.format(11), DONE, 0.72),
        ("whisper this please", SAID.format(19), DONE, None),
        ("and once more", SAID.format(13), DONE, 0.72),
    ],
    whisper_at_first: [
        ("whisper this please", SAID.format(19), DONE, None),
        ("and once more", SAID.format(13), DONE, 0.72),
    ],
    whispers_twice: [
        ("hello there", SAID.format(11), DONE, 0.72),
        ("whisper this please", SAID.format(19), DONE, None),
        ("whisper it again", SAID.format(16), DONE, None),
    ],
}


if tuple(int(part) for part in livekit_version.split(".")[:3]) < (1, 8, 9):
    # a decision that is under way continues without its words, and LiveKit answers nothing at all
    del STORIES[cleared_after_a_reply_made_ahead]


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
@pytest.mark.parametrize("script", STORIES, ids=script_name)
def test_nothing_is_made_of_what_was_not_answered(script: ScenarioFunction, native: bool) -> None:
    """Speech that answers nobody has no user and no wait, nor has a turn whose end of speech nobody knows."""
    assert story_of(script, native_spans=native) == STORIES[script]


@pytest.mark.parametrize("script", [whisper_between, whisper_at_first, whispers_twice], ids=script_name)
def test_an_unknown_end_of_speech_is_in_no_percentile(script: ScenarioFunction) -> None:
    """A turn whose end of speech nobody heard has no delay at all, and the session's count leaves it out."""
    trace = play(script)
    report = build_report(trace.pipeline)
    waits = [wait for _, _, _, wait in STORIES[script] if wait is not None]
    assert report.latency["e2e_latency"].count == len(waits)
    for name, delay in (("transcription_delay", 0.1), ("end_of_turn_delay", 0.3)):
        found = report.latency[name]
        assert (found.count, found.p50, found.max) == (len(waits), pytest.approx(delay), pytest.approx(delay))
    for turn in report.turns:
        known = "whisper" not in turn.user_text
        assert turn.span is not None
        assert turn.span.attributes[attr.TURN_SPEECH_END_SOURCE] == ("vad" if known else "unknown")
        assert (turn.latency.stopped_speaking_at is not None) == known


def test_words_that_were_cleared_are_below_the_session() -> None:
    """Also where the user spoke on in the same breath, the discarded words are no part of the turn."""
    trace = play(cleared_within_a_breath)
    kinds = {span.span_id: span.kind for span in trace.pipeline}
    assert [(span.attributes[attr.STT_TEXT], kinds[span.parent_id or ""]) for span in trace.of("stt")] == [
        ("forget these words", "session"),
        ("keep these", "turn"),
    ]
