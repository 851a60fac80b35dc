"""Who hears the user: recognizers that end turns, VAD that is flushed, servers, and recognizers beside a server."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from livekit_otel import attributes as attr
from livekit_otel import build_report
from livekit_otel.turns.model_usage import LLMUsage

from .kit.clock import EPOCH
from .kit.plugins import CountingServer, FlushedVAD, TurnSTT
from .kit.realtime import Answer, FakeRealtimeModel, Step
from .kit.run import CANARY, Call, ScenarioFunction
from .kit.story import Line, script_name, story_of
from .kit.trace import play
from .kit.voice import Caller, FakeSTT
from .scenarios.interruptions import LONG, long_reply
from .scenarios.realtime import _asked
from .scenarios.tools import Clerk

DONE = "completed"
BY_STT = {"turn_detection": "stt"}
BY_SERVER = {"turn_detection": "realtime_llm"}


async def _heard(call: Call, recognizer: TurnSTT, reply: Any = long_reply, **changes: Any) -> None:
    session = call.session(reply, stt=recognizer, turn_handling=BY_STT, **changes)
    await call.start(session)
    await call.until(16.0)
    await call.close(session)


def _story_and_stop(call: Call) -> None:
    call.caller.says("tell me a story", 1.0, 2.0).says("stop it now", 6.5)


async def recognizer_alone(call: Call) -> None:
    """No VAD: the recognizer says when the user begins and ends, also over the agent's voice."""
    _story_and_stop(call)
    await _heard(call, TurnSTT(call.caller), vad=None)


async def recognizer_alone_without_interims(call: Call) -> None:
    """The same, and the first words come with the end."""
    _story_and_stop(call)
    await _heard(call, TurnSTT(call.caller, interims=False), vad=None)


async def recognizer_beside_a_vad(call: Call) -> None:
    """The recognizer ends the turns, and VAD heard the user stop well before."""
    _story_and_stop(call)
    await _heard(call, TurnSTT(call.caller))


async def recognizer_that_is_faster_than_vad(call: Call) -> None:
    """The recognizer ends the turn while VAD still waits: LiveKit flushes VAD, which never says that speech ended."""
    call.caller.says("tell me", 1.0, 2.0).says("and then", 8.0)
    await _heard(call, TurnSTT(call.caller, end_after=0.1), None, vad=FlushedVAD(call.caller))


async def words_after_their_turn(call: Call) -> None:
    """The second half of what was said comes 0.9 s after the speech, when the first half is being answered."""
    words = Caller()
    words.truth = call.truth
    words.says("the first part", 1.0, 1.0).says("and the second", 1.5, 0.5, final_after=0.9, interim_after=None)
    call.caller.says("one breath", 1.0, 1.0)
    session = call.session(stt=FakeSTT(words))
    await call.start(session)
    await call.until(9.0)
    await call.close(session)


async def committed_while_the_user_speaks(call: Call) -> None:
    """Push to talk: the button is let go while VAD still hears the user; what is heard after that is nobody's."""
    call.caller.says("push to talk", 1.0, 3.0, final_after=-1.5).says("later words", 8.0)
    session = call.session(turn_handling={"turn_detection": "manual"})
    await call.start(session)
    for at in (3.0, 9.5):
        await call.until(at)
        await session.commit_user_turn(transcript_timeout=0.2)
    await call.until(14.0)
    await call.close(session)


async def committed_in_the_second_sentence(call: Call) -> None:
    """Push to talk: one sentence is over, and the button is let go in the middle of the next."""
    call.caller.says("one", 1.0).says("two", 2.4, 2.0, final_after=-1.2)
    session = call.session(turn_handling={"turn_detection": "manual"})
    await call.start(session)
    await call.until(3.5)
    await session.commit_user_turn(transcript_timeout=0.2)
    await call.until(9.0)
    await call.close(session)


async def _recognized(call: Call, answer: Answer) -> None:
    """A realtime model that neither ends turns nor transcribes: the session's recognizer and VAD do."""
    model = FakeRealtimeModel([], reply=answer, truth=call.truth)
    model.capabilities.turn_detection = model.capabilities.user_transcription = False
    session = call.session(llm=model, tts=None)
    await call.start(session, Clerk())
    await call.until(13.0)
    await call.close(session)


async def own_recognizer_beside_a_server(call: Call) -> None:
    """Two questions to such a model."""
    call.caller.says("first", 1.0).says("second", 6.0, final_after=0.2)
    await _recognized(call, Answer("An answer"))


async def own_recognizer_with_late_words(call: Call) -> None:
    """The words come after the time in which the turn would have been over."""
    call.caller.says("first", 1.0, final_after=0.8, interim_after=None).says("second", 6.0, final_after=0.5)
    await _recognized(call, Answer("An answer"))


async def own_recognizer_and_a_barge_in(call: Call) -> None:
    """The second question cuts off the first answer."""
    call.caller.says("first", 1.0).says("stop it now", 4.0)
    await _recognized(call, Answer("A long answer", 5.0))


async def _served(call: Call, model: FakeRealtimeModel, **changes: Any) -> None:
    session = call.session(llm=model, tts=None, stt=None, turn_handling=BY_SERVER, **changes)
    await call.start(session, Clerk())
    await call.until(11.0)
    await call.close(session)


def _two_questions(first: Answer, second: Answer) -> list[Step]:
    return _asked(1.0, first, "hello") + _asked(6.0, second, "again")


async def server_hears_what_vad_misses(call: Call) -> None:
    """A VAD beside the server hears only a part of the second question, and nothing of the first."""
    call.caller.noise(6.1, 0.6)
    steps = _two_questions(Answer("Hi"), Answer("Yes"))
    await _served(call, FakeRealtimeModel(steps, reply=Answer("never"), truth=call.truth))


def server_that_counts(parts: int, own_ids: bool, named: bool) -> ScenarioFunction:
    """A server whose usage comes in parts, under its own ids or those of the response, on a monotonic clock."""

    async def script(call: Call) -> None:
        steps = _two_questions(Answer("Hi"), Answer("Yes"))
        model = CountingServer(
            steps, reply=Answer("never"), truth=call.truth, parts=parts, own_ids=own_ids, named=named
        )
        await _served(call, model, vad=None)

    return script


STORY_AND_STOP: list[Line] = [("tell me a story", LONG, "interrupted", 0.6), ("stop it now", LONG, DONE, 0.6)]
STORIES: dict[ScenarioFunction, list[Line]] = {
    recognizer_alone: STORY_AND_STOP,
    recognizer_alone_without_interims: STORY_AND_STOP,
    # the recognizer's end comes 0.6 s after VAD's: that is wait
    recognizer_beside_a_vad: [("tell me a story", LONG, "interrupted", 1.2), ("stop it now", LONG, DONE, 1.2)],
    # the second time VAD last heard the user within a frame of 50 ms
    recognizer_that_is_faster_than_vad: [
        ("tell me", f"You said 7 letters, dear {CANARY}.", DONE, 0.82),
        ("and then", f"You said 8 letters, dear {CANARY}.", DONE, 0.87),
    ],
    words_after_their_turn: [
        ("the first part", f"You said 14 letters, dear {CANARY}.", "interrupted", 0.72),
        ("and the second", f"You said 14 letters, dear {CANARY}.", DONE, 1.62),
    ],
    own_recognizer_beside_a_server: [("first", "An answer", DONE, 0.32), ("second", "An answer", DONE, 0.32)],
    own_recognizer_with_late_words: [("first", "An answer", DONE, 0.82), ("second", "An answer", DONE, 0.52)],
    own_recognizer_and_a_barge_in: [
        ("first", "A long answer", "interrupted", 0.32),
        ("stop it now", "A long answer", DONE, 0.32),
    ],
    server_hears_what_vad_misses: [("hello", "Hi", DONE, 0.22), ("again", "Yes", DONE, 0.32)],
}


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
@pytest.mark.parametrize("script", STORIES, ids=script_name)
def test_the_turns_are_those_of_the_script(script: ScenarioFunction, native: bool) -> None:
    """Whoever heard the user, each turn has its words, its answer and its wait."""
    assert story_of(script, native_spans=native) == STORIES[script]


@pytest.mark.parametrize(
    ("script", "begins", "source"),
    [
        (recognizer_alone, [1.1, 6.6], "stt"),
        (recognizer_alone_without_interims, [1.1, 6.6], "stt"),
        (recognizer_beside_a_vad, [1.0, 6.5], "vad"),
        (recognizer_that_is_faster_than_vad, [1.0, 8.0], "vad"),
        # they were said before the end that VAD heard
        (words_after_their_turn, [1.0, 2.0], "vad"),
        (own_recognizer_beside_a_server, [1.0, 6.0], "vad"),
        (own_recognizer_with_late_words, [1.0, 6.0], "vad"),
        (own_recognizer_and_a_barge_in, [1.0, 4.0], "vad"),
    ],
    ids=script_name,
)
def test_a_turn_begins_where_somebody_heard_the_user(
    script: ScenarioFunction, begins: list[float], source: str
) -> None:
    """It begins where VAD, else the recognizer, heard the user begin, and says who heard the user stop."""
    turns = build_report(play(script).pipeline).turns
    assert [turn.start_ns / 1e9 - EPOCH for turn in turns] == pytest.approx(begins, abs=0.001)
    assert [(turn.span or turn).attributes[attr.TURN_SPEECH_END_SOURCE] for turn in turns] == [source] * 2  # type: ignore[union-attr]


def test_a_turn_that_is_committed_while_the_user_speaks() -> None:
    """The user stops where the turn is committed, and what VAD hears after that is below the session."""
    trace = play(committed_while_the_user_speaks)
    turns = build_report(trace.pipeline).turns
    assert [turn.user_text for turn in turns] == ["push to talk", "later words"]
    assert [turn.span.attributes[attr.TURN_SPEECH_END_SOURCE] for turn in turns if turn.span] == ["commit", "vad"]
    first, second = [turn.latency.stopped_speaking_at for turn in turns]
    (commit, _) = sorted(span.end_ns / 1e9 for span in trace.of("eou"))
    assert (first, second) == pytest.approx((commit, EPOCH + 8.8), abs=0.001)
    (session,) = trace.of("session")
    heard = sorted(
        (span for span in trace.of("vad") if span.attributes[attr.VAD_SPEECH]), key=lambda span: span.start_ns
    )
    assert [span.start_ns / 1e9 for span in heard] == pytest.approx([EPOCH + 1.0, commit, EPOCH + 8.0], abs=0.001)
    assert [span.parent_id == session.span_id for span in heard] == [False, True, False]


def test_the_floor_is_the_users_until_the_commit() -> None:
    """Both sentences are the turn's, from the first one's begin to the commit, where the user still spoke."""
    trace = play(committed_in_the_second_sentence)
    (turn,) = build_report(trace.pipeline).turns
    (commit,) = [span.end_ns / 1e9 for span in trace.of("eou")]
    assert turn.user_text == "one two"
    assert turn.start_ns / 1e9 == pytest.approx(EPOCH + 1.0, abs=0.001)
    assert turn.latency.stopped_speaking_at == pytest.approx(commit, abs=0.001)
    assert turn.span is not None
    assert turn.span.attributes[attr.TURN_SPEECH_END_SOURCE] == "commit"


def test_the_recognizers_lateness_is_transcription() -> None:
    """Where VAD heard the user stop, what the recognizer takes to say so belongs to ``transcription``."""
    for turn in build_report(play(recognizer_beside_a_vad).pipeline).turns:
        expected = {"transcription": 0.6, "eou": 0.3, "llm": 0.2, "tts": 0.1}
        assert turn.silence == pytest.approx({**dict.fromkeys(attr.SILENCE_STAGES, 0.0), **expected}, abs=1e-6)


def test_a_flushed_vad_segment_ends_with_its_speech() -> None:
    """It ends where VAD last heard the user, and there is no segment beyond the speech."""
    segments = [span for span in play(recognizer_that_is_faster_than_vad).of("vad") if span.attributes[attr.VAD_SPEECH]]
    found = [(span.start_ns / 1e9 - EPOCH, span.end_ns / 1e9 - EPOCH) for span in segments]
    assert [one for pair in sorted(found) for one in pair] == pytest.approx([1.0, 3.0, 8.0, 8.75], abs=0.001)


@pytest.mark.parametrize(
    "script",
    [own_recognizer_beside_a_server, own_recognizer_with_late_words, own_recognizer_and_a_barge_in],
    ids=script_name,
)
def test_a_recognizer_beside_a_server_has_its_spans(script: ScenarioFunction) -> None:
    """Each transcript of the session's own recognizer is an ``stt`` span of its turn, with its model."""
    turns = build_report(play(script).pipeline).turns
    for turn in turns:
        (stage,) = [one for one in turn.stages if one.kind == attr.KIND_STT]
        assert (stage.attributes[attr.STT_TEXT], stage.attributes[attr.REQUEST_MODEL]) == (turn.user_text, "fake-stt")


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize(("own_ids", "named"), [(False, True), (True, False), (True, True)])
def test_a_servers_usage_is_its_responses(parts: int, own_ids: bool, named: bool) -> None:
    """All parts of a response's usage add up on its turn, whatever ids and times they have; the call keeps its own."""
    trace = play(partial(server_that_counts(parts, own_ids, named)))
    report = build_report(trace.pipeline)
    tokens = [[one.input_tokens for one in turn.usage if isinstance(one, LLMUsage)] for turn in report.turns]
    assert tokens == [[40 * parts], [40 * parts]]
    assert (report.started_at, report.complete) == (EPOCH, True)
    assert all(EPOCH <= span.start_ns / 1e9 <= span.end_ns / 1e9 <= EPOCH + 12 for span in trace.pipeline)
    assert len(trace.of("realtime")) == 2
