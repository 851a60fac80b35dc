"""Calls as LiveKit's own examples and tests have them: what their agents do that the scripted sessions do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import Agent, FlushSentinel, StopResponse, function_tool

from livekit_otel import attributes as attr
from livekit_otel import build_report

from .kit.realtime import Answer, FakeRealtimeModel, Step
from .kit.run import INSTRUCTIONS, Call, plain_reply
from .kit.trace import play
from .turns_live import assert_live_equals_rebuilt


class SpeaksWhileItWorks(Agent):
    """Says some words of its own after the model's, works, and says what it found: each is synthesised by itself."""

    def __init__(self, *works: float) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self.works = works

    async def llm_node(self, chat_ctx: Any, tools: Any, model_settings: Any) -> AsyncIterator[Any]:
        async for chunk in Agent.default.llm_node(self, chat_ctx, tools, model_settings):
            yield chunk
        for number, seconds in enumerate(self.works):
            yield FlushSentinel()
            await asyncio.sleep(seconds)
            yield f"This is what I have found in place {number}."


class LosesItsVoice(Agent):
    """Fails at the first audio; the default node has another sentence to synthesise, and does."""

    async def tts_node(self, text: AsyncIterable[str], model_settings: Any) -> AsyncIterator[rtc.AudioFrame]:
        audio = Agent.default.tts_node(self, text, model_settings)  # the error's frame keeps it
        async for _ in audio:
            raise ValueError("no such voice")
        yield


async def speaks_while_it_works(call: Call) -> None:
    """The model's sentence lasts 2 s; the node works for 4 s, then for another 3 s."""
    call.caller.says("what is in your documents", 1.0)
    session = call.session()
    await call.start(session, SpeaksWhileItWorks(4.0, 5.0))
    await call.until(20.0)
    await call.close(session)


async def loses_its_voice(call: Call) -> None:
    """The synthesis of the first sentence is there; that of the second begins when the node has failed."""
    call.caller.says("what is in your documents", 1.0).says("hello", 8.0)

    async def reply(stream: Any, items: list[Any]) -> None:
        await stream.text("Here is a first sentence of mine. And here is a second one of mine.", chunk_delay=0.03)
        stream.usage()

    session = call.session(reply)
    await call.start(session, LosesItsVoice(instructions=INSTRUCTIONS))
    await call.until(12.0)
    await call.close(session)


class Colleague(Agent):
    """Greets when it takes over."""

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Greet.")


class Front(Agent):
    """Hands over, and asks the model what to say about it."""

    @function_tool
    async def hand_over(self) -> tuple[Agent, str]:
        """Hand over."""
        return Colleague(instructions=INSTRUCTIONS), "handed over"


def _hands_over(word: str) -> Any:
    """A model that says ``word`` about the handoff, and greets as the colleague."""

    async def reply(stream: Any, items: list[Any]) -> None:
        if stream.tools and items[-1].type == "message" and items[-1].role == "user":
            stream.call("hand_over")
        elif stream.tools:
            await stream.text(word)
        else:
            await stream.text("Hello, this is the colleague.")
        stream.usage()

    return reply


async def hands_over_without_a_word(call: Call) -> None:
    """The model has nothing to say about the handoff, which takes it 0.2 s; then the colleague's greeting begins."""
    call.caller.says("the other one please", 1.0)
    session = call.session(_hands_over(""))
    await call.start(session, Front(instructions=INSTRUCTIONS))
    await call.until(9.0)
    await call.close(session)


async def spoken_into_while_it_hands_over(call: Call) -> None:
    """The user speaks into the words about the handoff: they are paused, and cut off when the user's are there."""
    call.caller.says("the other one please", 1.0).says("no wait", 3.0, 0.8, final_after=0.9, interim_after=None)
    session = call.session(_hands_over("I will now hand you over to my colleague, who knows more."))
    await call.start(session, Front(instructions=INSTRUCTIONS))
    await call.until(12.0)
    await call.close(session)


async def closed_before_the_words_were_final(call: Call) -> None:
    """The recognizer has only interim words when the session is closed, at 8.0 s; LiveKit commits these."""
    call.caller.says("what is in your documents", 1.0, final_after=60.0)
    session = call.session()
    await call.start(session)
    await call.until(8.0)
    await call.close(session)


async def closed_before_the_end_of_turn(call: Call) -> None:
    """The session is closed while LiveKit still waits whether the user has more to say."""
    call.caller.says("what is in your documents", 1.0)
    session = call.session(turn_handling={"endpointing": {"min_delay": 5.0, "max_delay": 6.0}})
    await call.start(session)
    await call.until(3.0)
    await call.close(session)


async def pushed_to_talk_and_said_nothing(call: Call) -> None:
    """The user's button commits their turns: the first has no words, and the agent's hook declines it."""

    class Listens(Agent):
        async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
            if not new_message.text_content:
                raise StopResponse

    call.caller.says("what is in your documents", 6.0)
    session = call.session(turn_handling={"turn_detection": "manual"})
    await call.start(session, Listens(instructions=INSTRUCTIONS))
    await call.until(2.0)
    await session.commit_user_turn(transcript_timeout=0.5)
    await call.until(7.5)
    await session.commit_user_turn(transcript_timeout=0.5)
    await call.until(14.0)
    await call.close(session)


async def a_server_that_answers_nothing(call: Call) -> None:
    """The server's response, 0.7 s after the user's words, is empty; the user speaks again at 6.0 s."""
    steps = [Step(1.0, "start"), Step(1.8, "stop"), Step(1.9, "transcript", "hello")]
    steps.append(Step(2.5, "answer", answer=Answer()))
    steps += [Step(6.0, "start"), Step(6.5, "stop"), Step(6.6, "transcript", "are you there")]
    steps.append(Step(6.8, "answer", answer=Answer("Yes", 1.0)))
    model = FakeRealtimeModel(steps, reply=Answer("Yes"), truth=call.truth)
    session = call.session(llm=model, stt=None, vad=None, tts=None, turn_handling={"turn_detection": "realtime_llm"})
    await call.start(session)
    await call.until(10.0)
    await call.close(session)


def test_what_a_node_does_between_its_words_is_its_own_work() -> None:
    """Where a node has its words synthesised piece by piece, a silence between them is its work and the synthesis."""
    spans = play(speaks_while_it_works).pipeline
    (turn,) = build_report(spans).turns
    assert turn.silence["node"] == 0.0
    heard = [one.end_ns - one.start_ns for one in turn.stages if one.kind == attr.KIND_PLAYBACK]
    # the node works on while its words are heard; a synthesis takes 0.1 s
    words, found = heard[0] / 1e9, heard[1] / 1e9
    assert [gap.stages for gap in turn.gaps] == [
        pytest.approx({"node": 4.0 - words - 0.1, "tts": 0.1}, abs=1e-3),
        pytest.approx({"node": 5.0 - found - 0.1, "tts": 0.1}, abs=1e-3),
    ]
    assert_live_equals_rebuilt(spans)


def test_work_after_the_last_words_of_a_node_is_nobodys_wait() -> None:
    """A node that hands the model's words on and works afterwards has no stage of its own."""

    async def logs_afterwards(call: Call) -> None:
        class Logs(Agent):
            async def llm_node(self, chat_ctx: Any, tools: Any, model_settings: Any) -> AsyncIterator[Any]:
                async for chunk in Agent.default.llm_node(self, chat_ctx, tools, model_settings):
                    yield chunk
                await asyncio.sleep(1.0)

        call.caller.says("what is in your documents", 1.0)
        session = call.session(plain_reply)
        await call.start(session, Logs(instructions=INSTRUCTIONS))
        await call.until(9.0)
        await call.close(session)

    trace = play(logs_afterwards)
    (turn,) = build_report(trace.pipeline).turns
    assert (turn.answered, turn.silence["node"], trace.of(attr.KIND_NODE)) == ("yes", 0.0, [])


def test_a_voice_that_is_lost_fails_the_turn() -> None:
    """A failed ``tts_node`` left the user without an answer, though a synthesis that it began still ends well."""
    spans = play(loses_its_voice).pipeline
    turn = build_report(spans).turns[0]
    assert (turn.end_reason, turn.answered, turn.why_not) == ("failed", "no", "failed")
    assert "failed" in {flag.name for flag in turn.flags}
    assert turn.span is not None
    assert (turn.span.status, turn.span.attributes[attr.ERROR_TYPE]) == ("error", "ValueError")
    assert_live_equals_rebuilt(spans)


@pytest.mark.parametrize(
    ("script", "stages"),
    [
        (closed_before_the_words_were_final, {"transcription": 6.2}),
        (closed_before_the_end_of_turn, {"transcription": 0.1, "eou": 1.1}),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_words_that_only_the_close_committed(script: Any, stages: dict[str, float]) -> None:
    """The session was closed before anybody answered; until then the user waited for the words or for the decision."""
    spans = play(script).pipeline
    (turn,) = build_report(spans).turns
    assert (turn.user_text != "", turn.answered, turn.why_not) == (True, "no", "session_closed")
    assert [gap.stages for gap in turn.gaps] == [pytest.approx(stages, abs=1e-3)]
    assert_live_equals_rebuilt(spans)


def test_a_response_without_a_word_was_waited_for() -> None:
    """The time until a realtime model responds is the model's, also where its response is empty."""
    spans = play(a_server_that_answers_nothing).pipeline
    turn = build_report(spans).turns[0]
    assert (turn.user_text, turn.answered, turn.why_not) == ("hello", "no", "no_reply")
    first = turn.gaps[0].path[0]
    assert (first.stage, first.end_ns - first.start_ns >= 700_000_000) == ("llm", True)
    assert_live_equals_rebuilt(spans)


def test_a_greeting_waits_for_the_words_before_it() -> None:
    """The time that the first agent's model took for an empty answer is the model's; something explains it."""
    spans = play(hands_over_without_a_word).pipeline
    turn = build_report(spans).turns[0]
    assert (turn.silence["other"], turn.answered) == (0.0, "yes")
    # the call of the tool, the empty answer, the greeting
    assert turn.silence["llm"] == pytest.approx(0.6, abs=1e-3)
    assert_live_equals_rebuilt(spans)


def test_a_voice_that_was_paused_and_cut_off_was_held_back() -> None:
    """From the end of the user's words until LiveKit has them, it holds the agent's voice back: that is playback."""
    spans = play(spoken_into_while_it_hands_over).pipeline
    turn = build_report(spans).turns[0]
    (gap,) = turn.gaps
    assert gap.stages == pytest.approx({"playback": 0.9, "llm": 0.2, "tts": 0.1}, abs=1e-3)
    assert_live_equals_rebuilt(spans)


def test_a_silence_that_code_commits_is_no_turn() -> None:
    """Where the user pushed the button and said nothing, nobody is to be answered."""
    trace = play(pushed_to_talk_and_said_nothing)
    (turn,) = build_report(trace.pipeline).turns
    assert (turn.user_text, turn.answered, turn.flags) == ("what is in your documents", "yes", ())
    assert_live_equals_rebuilt(trace.pipeline)
