"""Greetings, questions and answers."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from livekit.agents import Agent, CloseReason, MetricsCollectedEvent
from livekit.agents import stt as lk_stt
from livekit.agents import tts as lk_tts
from livekit.agents.evals import JudgeGroup, JudgmentResult
from livekit.agents.metrics.base import AvatarMetrics, Metadata

from tests.kit.run import CANARY, INSTRUCTIONS, Call, plain_reply, scenario
from tests.kit.voice import FakeAudioOutput, FakeBatchSTT, FakeLLM, FakeTTS


class Greeter(Agent):
    def __init__(self) -> None:
        super().__init__(instructions=INSTRUCTIONS)

    async def on_enter(self) -> None:
        self.session.say(f"Hello, this is {CANARY}.")


class GeneratingGreeter(Agent):
    def __init__(self) -> None:
        super().__init__(instructions=INSTRUCTIONS)

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions=f"Greet the {CANARY}.")


@scenario()
async def greeting_by_say(call: Call) -> None:
    """The agent greets with fixed words and nobody answers."""
    session = call.session()
    await call.start(session, Greeter())
    await call.until(4.0)
    await call.close(session)


@scenario()
async def greeting_by_generate_reply(call: Call) -> None:
    """The agent lets its model greet."""
    session = call.session()
    await call.start(session, GeneratingGreeter())
    await call.until(4.0)
    await call.close(session)


@scenario()
async def question_and_answer(call: Call) -> None:
    """One question, one answer."""
    call.caller.says(f"what is a {CANARY}", 1.0)
    session = call.session()
    await call.start(session)
    await call.until(6.0)
    await call.close(session)


@scenario()
async def several_turns(call: Call) -> None:
    """A greeting and four questions."""
    for number in range(4):
        call.caller.says(f"question number {number} of the {CANARY}", 3.0 + 5.0 * number)
    session = call.session()
    await call.start(session, Greeter())
    await call.until(24.0)
    await call.close(session)


@scenario()
async def batch_recognizer(call: Call) -> None:
    """The recognizer cannot stream: LiveKit gives it each speech segment as a whole, noise included."""
    call.caller.says(f"tell me about the {CANARY}", 1.0).noise(6.0).says("and once more", 9.0)
    session = call.session(stt=lk_stt.StreamAdapter(stt=FakeBatchSTT(call.caller), vad=call_vad(call)))
    await call.start(session)
    await call.until(14.0)
    await call.close(session)


def call_vad(call: Call) -> Any:
    """A second VAD beside the session's, which hears the same."""
    from tests.kit.voice import Caller, FakeVAD

    other = Caller()
    other.speeches = call.caller.speeches
    return FakeVAD(other)


@scenario()
async def streaming_voice(call: Call) -> None:
    """The voice streams, and is paid by tokens."""
    call.caller.says(f"read it to me {CANARY}", 1.0)
    session = call.session(tts=FakeTTS(truth=call.truth, streaming=True))
    await call.start(session)
    await call.until(6.0)
    await call.close(session)


@scenario()
async def sentence_by_sentence(call: Call) -> None:
    """A chunked voice speaks an answer of three sentences, each a request of its own."""

    async def reply(stream: Any, items: list[Any]) -> None:
        text = f"This is the first sentence of the {CANARY}. Here comes the second one for you. And the third ends it."
        await stream.text(text, chunk_delay=0.05)
        stream.usage()

    call.caller.says("three sentences please", 1.0)
    session = call.session(reply, tts=lk_tts.StreamAdapter(tts=FakeTTS(truth=call.truth)))
    await call.start(session)
    await call.until(10.0)
    await call.close(session)


@scenario()
async def slow_voice(call: Call) -> None:
    """The voice needs 1.5 s for its first audio."""
    call.caller.says(f"slowly {CANARY}", 1.0)
    session = call.session(tts=FakeTTS(truth=call.truth, ttfb=1.5))
    await call.start(session)
    await call.until(8.0)
    await call.close(session)


@scenario()
async def avatar_starts_late(call: Call) -> None:
    """The audio output starts playing 0.4 s after it got the first frame, as an avatar does."""
    call.caller.says(f"show me the {CANARY}", 1.0)
    session = call.session(audio=FakeAudioOutput(truth=call.truth, start_delay=0.4))
    await call.start(session)
    await call.until(8.0)
    await call.close(session)


@scenario()
async def words_of_the_world(call: Call) -> None:
    """Umlauts, emoji, right-to-left text, a control character and a lone surrogate."""
    odd = "Grüße 👩‍👩‍👧 שלום \u0007 \ud83d end"

    async def reply(stream: Any, items: list[Any]) -> None:
        await stream.text(f"{odd} {CANARY}")
        stream.usage()

    call.caller.says(f"日本語 {odd}", 1.0)
    session = call.session(reply)
    await call.start(session)
    await call.until(7.0)
    await call.close(session)


@scenario()
async def closed_by_the_job(call: Call) -> None:
    """The job shuts down in the middle of an answer."""
    call.caller.says(f"talk to me {CANARY}", 1.0)
    session = call.session()
    await call.start(session)
    await call.until(3.0)
    await call.close(session, lambda: session._aclose_impl(reason=CloseReason.JOB_SHUTDOWN))


@scenario()
async def closed_when_the_caller_hangs_up(call: Call) -> None:
    """The participant leaves after the answer."""
    call.caller.says(f"good bye {CANARY}", 1.0)
    session = call.session()
    await call.start(session)
    await call.until(6.0)
    await call.close(session, lambda: session._aclose_impl(reason=CloseReason.PARTICIPANT_DISCONNECTED))


@scenario()
async def closed_when_the_task_is_done(call: Call) -> None:
    """The session ends because its task is completed."""
    call.caller.says(f"that was all {CANARY}", 1.0)
    session = call.session()
    await call.start(session)
    await call.until(6.0)
    await call.close(session, lambda: session._aclose_impl(reason=CloseReason.TASK_COMPLETED))


@scenario()
async def shut_down_by_code(call: Call) -> None:
    """Code calls shutdown(drain=True) while the agent speaks: the words are played to their end."""
    session = call.session()
    await call.start(session, Greeter())

    async def shutdown() -> None:
        session.shutdown(drain=True)
        await asyncio.sleep(4.0)

    await call.until(0.5)
    await call.close(session, shutdown)


@scenario()
async def two_sessions_in_one_job(call: Call) -> None:
    """One session after the other in the same job, and the second object is started twice."""
    call.caller.says(f"first {CANARY}", 1.0).says(f"second {CANARY}", 8.0).says("third", 15.0)
    session = call.session()
    await call.start(session)
    await call.until(6.0)
    await call.close(session)
    other = call.session()
    await call.start(other)
    await call.until(12.0)
    await call.close(other)
    await call.start(other)
    await call.until(19.0)
    await call.close(other)


@scenario()
async def redacted_session(call: Call) -> None:
    """The session is started with redaction on."""
    call.caller.says(f"this is secret {CANARY}", 1.0)
    session = call.session()
    await call.start(session, Greeter(), record={"redaction": True})
    await call.until(6.0)
    await call.close(session)


@scenario()
async def avatar_tells_its_times(call: Call) -> None:
    """An avatar joins, and reports with each answer how long its picture took."""
    call.caller.says(f"show me the {CANARY}", 1.0)
    session = call.session(audio=FakeAudioOutput(truth=call.truth, start_delay=0.2))
    avatar = Metadata(model_name="avatar-model", model_provider="kit")
    await call.start(session)
    joined = AvatarMetrics(
        timestamp=time.time(), session_started_time=time.time(), avatar_joined_time=time.time(), metadata=avatar
    )
    session.emit("metrics_collected", MetricsCollectedEvent(metrics=joined))

    def answered(event: Any) -> None:
        if getattr(event.item, "role", None) == "assistant":
            times = AvatarMetrics(timestamp=event.created_at, playback_latency=0.2, metadata=avatar)
            session.emit("metrics_collected", MetricsCollectedEvent(metrics=times))

    session.on("conversation_item_added", answered)
    await call.until(7.0)
    await call.close(session)


@scenario(since=(1, 8, 9))
async def decided_on_the_side(call: Call) -> None:
    """While the user's turn is completed, the agent asks a small model what the user wants."""
    from livekit.agents.metrics import DecisionMetrics

    class Decider(Agent):
        async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
            await asyncio.sleep(0.15)
            decided = DecisionMetrics(
                label="kit.Decider",
                request_id="decision",
                timestamp=time.time(),
                duration=0.15,
                input_tokens=30,
                output_tokens=2,
                metadata=Metadata(model_name="decision-model", model_provider="kit"),
            )
            self.session.emit("metrics_collected", MetricsCollectedEvent(metrics=decided))

    call.caller.says(f"what is a {CANARY}", 1.0)
    session = call.session()
    await call.start(session, Decider(instructions=INSTRUCTIONS))
    await call.until(6.0)
    await call.close(session)


@scenario()
async def job_that_is_tagged(call: Call) -> None:
    """The job is tagged before the call and during it, a judge looks at it, and it was a success."""
    tagger = call.ctx.tagger
    tagger.add("language:en", metadata={"said": f"hello {CANARY}", "confidence": 0.9})
    call.caller.says(f"book me in {CANARY}", 1.0)
    session = call.session()
    await call.start(session)
    await call.until(6.0)
    tagger.add("appointment:booked")
    judges = JudgeGroup(llm=FakeLLM(plain_reply, truth=call.truth), judges=[Judge()])
    await judges.evaluate(session.history)
    tagger.success(reason=f"booked for {CANARY}")
    await call.close(session)


class Judge:
    """Finds every call good."""

    name = "politeness"

    async def evaluate(self, *, chat_ctx: Any, reference: Any = None, llm: Any = None) -> JudgmentResult:
        said = [item.text_content for item in chat_ctx.items if item.type == "message"]
        return JudgmentResult(verdict="pass", reasoning=f"nobody was rude in {said}", instructions=f"ask {CANARY}")
