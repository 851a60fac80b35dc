"""Speech-to-speech models: one model hears, thinks and speaks."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import Agent, APIError, RunContext, function_tool

from tests.kit.realtime import Answer, FakeRealtimeModel, Step
from tests.kit.run import CANARY, INSTRUCTIONS, Call, scenario
from tests.scenarios.plain import GeneratingGreeter
from tests.scenarios.tools import Clerk, calls

REPLY = Answer(f"Generated for the {CANARY}")


async def _talk(call: Call, steps: list[Step], *, until: float, greet: bool = False, delay: float = 0.0) -> None:
    model = FakeRealtimeModel(steps, reply=REPLY, truth=call.truth, delay=delay)
    session = call.session(llm=model, stt=None, vad=None, tts=None, turn_handling={"turn_detection": "realtime_llm"})
    await call.start(session, GeneratingGreeter() if greet else Clerk())
    await call.until(until)
    await call.close(session)


def _asked(at: float, answer: Answer, words: str | None = None, words_after: float = 0.1) -> list[Step]:
    steps = [Step(at, "start"), Step(at + 0.8, "stop"), Step(at + 1.0, "answer", answer=answer)]
    if words is not None:
        steps.append(Step(at + 0.8 + words_after, "transcript", words))
    return sorted(steps, key=lambda step: step.at)


@scenario()
async def realtime_conversation(call: Call) -> None:
    """A greeting and two questions, transcripts in time."""
    steps = _asked(3.0, Answer("First answer"), f"first {CANARY}") + _asked(7.0, Answer("Second answer"), "second")
    await _talk(call, steps, until=11.0, greet=True)


@scenario()
async def realtime_late_words(call: Call) -> None:
    """The transcript of the question comes while the answer is played, and once after it."""
    steps = _asked(1.0, Answer("An answer", 2.0), f"late {CANARY}", 1.2)
    steps += _asked(6.0, Answer("Another answer", 0.5), "very late", 2.5)
    await _talk(call, steps, until=11.0)


@scenario()
async def realtime_without_words(call: Call) -> None:
    """The model never transcribes the user."""
    steps = _asked(1.0, Answer(f"I heard you {CANARY}")) + _asked(5.0, Answer("Again"))
    await _talk(call, steps, until=9.0)


@scenario()
async def realtime_late_usage(call: Call) -> None:
    """Usage arrives seconds after the turn has ended, once it never does."""
    steps = _asked(1.0, Answer("An answer", usage_after=4.0), f"one {CANARY}")
    steps += _asked(7.0, Answer("No usage", usage_after=None), "two")
    await _talk(call, steps, until=11.0)


@scenario()
async def realtime_tool(call: Call) -> None:
    """The model calls a tool and answers with its result."""
    await _talk(call, _asked(1.0, Answer(call="weather"), f"weather {CANARY}"), until=8.0)


@scenario(variant=True)
async def realtime_tool_and_a_slow_server(call: Call) -> None:
    """The server takes half a second to begin the answer to what a tool gave."""
    await _talk(call, _asked(1.0, Answer(call="weather"), f"weather {CANARY}"), until=8.0, delay=0.5)


@scenario()
async def realtime_barge_in(call: Call) -> None:
    """The user talks over the model's answer."""
    steps = _asked(1.0, Answer(f"A very long answer for the {CANARY}", 5.0), "tell me")
    steps += _asked(4.0, Answer("All right"), "stop")
    await _talk(call, steps, until=9.0)


class Switchboard(Agent):
    """Hands the caller to an agent that speaks through a realtime model."""

    def __init__(self, model: FakeRealtimeModel) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self.model = model

    @function_tool
    async def connect(self, ctx: RunContext[Any]) -> Agent:
        """Connects the caller."""
        return Voice(self.model)


class Voice(Agent):
    def __init__(self, model: FakeRealtimeModel) -> None:
        super().__init__(instructions=INSTRUCTIONS, llm=model, tts=None, turn_detection="realtime_llm")

    async def on_enter(self) -> None:
        self.session.generate_reply()

    @function_tool
    async def weather(self, ctx: RunContext[Any], city: str) -> None:
        """Interrupts what is being said, and says something else."""
        ctx.session.interrupt()
        await ctx.session.generate_reply(allow_interruptions=False)


@scenario()
async def handoff_to_a_realtime_model(call: Call) -> None:
    """A pipeline agent hands over to a realtime one; a tool of that one says something else and returns nothing."""
    steps = _asked(7.0, Answer("I hear you"), "hello") + _asked(11.0, Answer(call="weather"), "goodbye")
    model = FakeRealtimeModel(steps, reply=REPLY, truth=call.truth)
    call.caller.says("connect me", 1.0)
    session = call.session(calls(("connect", "connect", "{}")))
    await call.start(session, Switchboard(model))
    await call.until(16.0)
    await call.close(session)


@scenario()
async def realtime_false_start(call: Call) -> None:
    """The server hears something that was nothing; the user speaks much later, and pauses within a sentence."""
    steps = [Step(1.0, "start"), Step(1.3, "stop"), Step(9.0, "start"), Step(9.5, "stop"), Step(9.9, "start")]
    steps += [
        Step(10.6, "stop"),
        Step(10.8, "transcript", "what time is it"),
        Step(11.0, "answer", answer=Answer("Noon")),
    ]
    await _talk(call, steps, until=15.0)


class Thoughtful(Agent):
    """Works for a while before each answer."""

    def __init__(self) -> None:
        super().__init__(instructions=INSTRUCTIONS)

    async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
        await asyncio.sleep(0.4)


async def _decided_here(call: Call, agent: Agent | None = None, **changes: Any) -> None:
    """One question; the session decides when it is over, and the server begins to answer half a second later."""
    model = FakeRealtimeModel([], reply=REPLY, truth=call.truth, decides=False, delay=0.5)
    call.caller.says(f"what is a {CANARY}", 1.0)
    session = call.session(llm=model, tts=None, **changes)
    await call.start(session, agent)
    await call.until(8.0)
    await call.close(session)


@scenario()
async def realtime_with_turns_of_the_session(call: Call) -> None:
    """The session's VAD ends the turn, without words; the server takes half a second to begin its answer."""
    await _decided_here(call, stt=None)


@scenario(variant=True)
async def realtime_with_a_recognizer_and_a_hook(call: Call) -> None:
    """The session's recognizer and VAD end the turn, and a hook works before the answer is asked for."""
    await _decided_here(call, Thoughtful())


@scenario(variant=True)
async def realtime_beside_a_vad(call: Call) -> None:
    """The server ends the turn, a VAD in the session hears when the user stopped, and the response begins late."""
    steps = [Step(1.0, "start"), Step(2.0, "stop"), Step(2.1, "transcript", f"hello {CANARY}")]
    steps.append(Step(3.0, "answer", answer=Answer("Hello yourself")))
    call.caller.says("", 1.0)
    model = FakeRealtimeModel(steps, reply=REPLY, truth=call.truth)
    session = call.session(llm=model, stt=None, tts=None, turn_handling={"turn_detection": "realtime_llm"})
    await call.start(session)
    await call.until(7.0)
    await call.close(session)


@scenario(variant=True)
async def realtime_asked_in_writing(call: Call) -> None:
    """The user writes to a realtime model, which takes half a second to begin its answer."""
    model = FakeRealtimeModel([], reply=REPLY, truth=call.truth, delay=0.5)
    session = call.session(llm=model, stt=None, vad=None, tts=None, turn_handling={"turn_detection": "realtime_llm"})
    await call.start(session)
    await call.until(1.0)
    session.generate_reply(user_input=f"written by the {CANARY}")
    await call.until(5.0)
    await call.close(session)


@scenario()
async def realtime_committed_by_hand(call: Call) -> None:
    """Push to talk: the model is asked at once, and the words come from the session's recognizer after that."""
    model = FakeRealtimeModel([], reply=REPLY, truth=call.truth)
    model.capabilities.turn_detection = model.capabilities.user_transcription = False
    call.caller.says(f"first {CANARY}", 1.0).says("second", 6.0, final_after=0.6)
    session = call.session(llm=model, tts=None, turn_handling={"turn_detection": "manual"})
    await call.start(session, Clerk())
    for at in (2.2, 7.1):
        await call.until(at)
        await session.commit_user_turn(transcript_timeout=0.5)
    await call.until(12.0)
    await call.close(session)


@scenario()
async def realtime_failed_response(call: Call) -> None:
    """The server ends an answer as failed when half of it is heard; the next question is answered."""
    steps = _asked(1.0, Answer(f"Half an answer for the {CANARY}", 2.0), "hello") + _asked(
        6.0, Answer("Here I am"), "two"
    )
    model = FakeRealtimeModel(steps, reply=REPLY, truth=call.truth)
    session = call.session(llm=model, stt=None, vad=None, tts=None, turn_handling={"turn_detection": "realtime_llm"})
    await call.start(session, Clerk())
    await call.until(2.7)
    model.server.ends(1, "failed")
    model.server.errs(APIError(f"refused for the {CANARY}"))
    await call.until(10.0)
    await call.close(session)


@scenario()
async def realtime_usage_of_no_response(call: Call) -> None:
    """Connections say how long they took, and more usage of an answer comes when its turn is over."""
    steps = _asked(1.0, Answer(f"An answer for the {CANARY}"), "hello") + _asked(6.0, Answer("Yes"), "again")
    model = FakeRealtimeModel(steps, reply=REPLY, truth=call.truth)
    session = call.session(llm=model, stt=None, vad=None, tts=None, turn_handling={"turn_detection": "realtime_llm"})
    await call.start(session, Clerk())
    model.server.connects(0.25)
    await call.until(4.0)
    model.server._usage("response_1")
    model.server.connects(0.5)
    await call.until(10.0)
    model.server.connects(0.125)
    await call.close(session)
