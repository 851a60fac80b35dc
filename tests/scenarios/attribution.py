"""Calls in which it is easy to take one turn's work for another's."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import Agent, RunContext, function_tool
from livekit.agents import llm as lk_llm

from tests.kit.plugins import DeafVAD
from tests.kit.run import CANARY, Call, scenario
from tests.kit.voice import FakeLLM, failure
from tests.scenarios.interruptions import long_reply

ANSWER = f"That is the answer, {CANARY}."


def calls(preamble: str | None = None, **tools: str) -> Any:
    """A reply that calls the tool whose word the user says (``word=tool``), else answers."""

    async def reply(stream: Any, items: list[Any]) -> None:
        last = items[-1]
        if last.type == "message" and last.role == "user":
            for word, tool in tools.items():
                if word in (last.raw_text_content or ""):
                    if preamble is not None:
                        await stream.text(preamble)
                    stream.call(tool, "{}", f"call_{len(items)}")
                    stream.usage()
                    return
        await stream.text(ANSWER)
        stream.usage()

    return reply


class Helper(Agent):
    """Tools of every kind."""

    def __init__(self) -> None:
        super().__init__(instructions=f"Help the {CANARY}.")

    @function_tool
    async def slow(self, ctx: RunContext[Any]) -> str:
        """Takes five seconds."""
        await asyncio.sleep(5.0)
        return f"done, {CANARY}"

    @function_tool
    async def speaking(self, ctx: RunContext[Any]) -> None:
        """Says its result itself."""
        await asyncio.sleep(1.0)
        await self.session.say(f"The tool says it all, {CANARY}.")

    @function_tool
    async def progress(self, ctx: RunContext[Any]) -> str:
        """Says how far it is."""
        await asyncio.sleep(1.0)
        await ctx.update(f"working, {CANARY}")
        await asyncio.sleep(3.0)
        return f"result, {CANARY}"

    @function_tool
    async def late(self, ctx: RunContext[Any]) -> str:
        """Goes to the background at once, and ends after the user has spoken again."""
        await ctx.update(f"started, {CANARY}")
        await asyncio.sleep(8.0)
        return f"late result, {CANARY}"

    @function_tool
    async def filled(self, ctx: RunContext[Any]) -> str:
        """Says something while it works."""
        async with ctx.with_filler(f"One moment, {CANARY}.", delay=0.5):
            await asyncio.sleep(5.0)
        return f"done, {CANARY}"

    @function_tool
    async def transfer(self, ctx: RunContext[Any]) -> Any:
        """Hands over, and says so."""
        return Other(), f"transferred, {CANARY}"

    @function_tool
    async def asking(self, ctx: RunContext[Any]) -> str:
        """Asks a model of its own."""
        await _ask_aside()
        return f"summary, {CANARY}"


class Other(Agent):
    def __init__(self) -> None:
        super().__init__(instructions=f"Another {CANARY}.", id="other")

    async def on_enter(self) -> None:
        await asyncio.sleep(2.0)
        await self.session.say(f"Hello from the other {CANARY}.")


async def _ask_aside() -> None:
    """Asks a model that is none of the session's."""
    model = FakeLLM(_aside, model="own-llm", delay=1.0)
    chat_ctx = lk_llm.ChatContext.empty()
    chat_ctx.add_message(role="user", content=f"summarise the {CANARY}")
    async with model.chat(chat_ctx=chat_ctx) as stream:
        async for _ in stream:
            pass


async def _aside(stream: Any, items: list[Any]) -> None:
    await stream.text(f"an aside of the {CANARY}")
    stream.usage(100, 10)


async def _talk(call: Call, reply: Any, *, until: float, agent: Agent | None = None, **changes: Any) -> None:
    session = call.session(reply, **changes)
    await call.start(session, agent or Helper())
    await call.until(until)
    await call.close(session)


@scenario()
async def barge_in_without_interims(call: Call) -> None:
    """The agent pauses when the user speaks over it, and is cut off when the first words come, much later."""
    call.caller.says(f"tell me a story {CANARY}", 1.0).says("stop it please now", 4.0, 1.2, interim_after=None)
    await _talk(call, long_reply, until=14.0)


@scenario()
async def barge_in_over_a_tools_answer(call: Call) -> None:
    """The user speaks over the answer that a tool gave."""
    call.caller.says(f"weather please {CANARY}", 1.0).says("stop it please now", 8.0, 1.2, interim_after=0.9)

    async def reply(stream: Any, items: list[Any]) -> None:
        last = items[-1]
        if last.type == "message" and "weather" in (last.raw_text_content or ""):
            stream.call("slow", "{}")
            stream.usage()
        else:
            await long_reply(stream, items)

    await _talk(call, reply, until=20.0)


@scenario()
async def barge_in_over_a_greeting(call: Call) -> None:
    """The user speaks over a long greeting."""

    class Greeter(Agent):
        def __init__(self) -> None:
            super().__init__(instructions=f"Greet the {CANARY}.")

        async def on_enter(self) -> None:
            self.session.say(f"Welcome to this very long greeting of the {CANARY}, which has no end at all, really.")

    call.caller.says("stop it please now", 1.0, 1.2, interim_after=0.9)
    await _talk(call, None, until=12.0, agent=Greeter())


@scenario()
async def speaks_again_during_the_hook(call: Call) -> None:
    """The user asks again while ``on_user_turn_completed`` still works on the first question."""

    class Slow(Agent):
        def __init__(self) -> None:
            super().__init__(instructions=f"Think about the {CANARY}.")

        async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
            await asyncio.sleep(2.0)

    call.caller.says(f"first question {CANARY}", 1.0).says("second question", 2.5)
    await _talk(call, None, until=14.0, agent=Slow())


@scenario()
async def speaks_while_a_tool_runs(call: Call) -> None:
    """The user speaks while a tool runs; LiveKit holds the reply back until the tool is done."""
    call.caller.says(f"slow one please {CANARY}", 1.0).says("are you there", 5.0)
    await _talk(call, calls("Let me look.", slow="slow"), until=16.0)


@scenario()
async def tool_with_progress_and_result(call: Call) -> None:
    """A tool reports its progress, which is said, and its result, which is said later."""
    call.caller.says(f"progress please {CANARY}", 1.0)
    await _talk(call, calls(progress="progress"), until=16.0)


@scenario()
async def tool_outlives_its_turn(call: Call) -> None:
    """A tool runs in the background; its result is said after the user has had another question answered."""
    call.caller.says(f"the late one please {CANARY}", 1.0).says("another question", 5.0)
    await _talk(call, calls(late="late"), until=20.0)


@scenario()
async def tool_with_filler(call: Call) -> None:
    """Something is said while a tool works."""
    call.caller.says(f"the filled one please {CANARY}", 1.0)
    await _talk(call, calls(filled="filled"), until=14.0)


@scenario()
async def closed_while_a_tool_runs(call: Call) -> None:
    """The session is closed while a tool runs and nobody speaks."""
    call.caller.says(f"slow one please {CANARY}", 1.0)
    await _talk(call, calls("Let me look.", slow="slow"), until=5.0)


@scenario()
async def apology_for_a_failed_request(call: Call) -> None:
    """The model fails, and code says so to the user."""

    async def reply(stream: Any, items: list[Any]) -> None:
        raise failure(f"the {CANARY} model is down", retryable=False)

    call.caller.says(f"hello {CANARY}", 1.0)
    session = call.session(reply)
    session.on("error", lambda _: session.say(f"Sorry, {CANARY}.") and None)
    await call.start(session)
    await call.until(8.0)
    await call.close(session)


@scenario()
async def handoff_with_words(call: Call) -> None:
    """A tool hands over and says so; the next agent greets two seconds after."""
    call.caller.says(f"transfer please {CANARY}", 1.0)
    await _talk(call, calls(transfer="transfer"), until=12.0)


@scenario()
async def words_that_are_cleared(call: Call) -> None:
    """Push to talk: what was said first is discarded, what is said later is answered."""
    call.caller.says(f"forget these words {CANARY}", 1.0).says("these are kept", 12.0)
    session = call.session(turn_handling={"turn_detection": "manual"})
    await call.start(session)
    await call.until(3.0)
    session.clear_user_turn()
    await call.until(13.5)
    await session.commit_user_turn(transcript_timeout=0.5)
    await call.until(20.0)
    await call.close(session)


@scenario()
async def tool_with_a_model_of_its_own(call: Call) -> None:
    """A tool asks another model than the session's."""
    call.caller.says(f"asking please {CANARY}", 1.0)
    await _talk(call, calls(asking="asking"), until=10.0)


@scenario()
async def words_that_come_late(call: Call) -> None:
    """The final transcript comes 0.8 s after the speech."""
    call.caller.says(f"tell me {CANARY}", 1.0, 1.0, final_after=0.8, interim_after=None)
    await _talk(call, None, until=8.0)


@scenario()
async def speech_that_answers_nobody(call: Call) -> None:
    """The user mumbles something too short to interrupt; much later the agent asks whether anybody is there."""
    call.caller.says(f"a long story {CANARY}", 1.0).says("uh huh", 4.0, 0.4)
    session = call.session(long_reply, turn_handling={"interruption": {"min_words": 3}})
    await call.start(session)
    await call.until(20.0)
    await session.say(f"Are you still there, {CANARY}?")
    await call.until(24.0)
    await call.close(session)


@scenario()
async def words_that_nobody_may_interrupt_with(call: Call) -> None:
    """The user speaks while the agent may not be interrupted: LiveKit drops the words."""
    call.caller.says(f"tell me {CANARY}", 1.0).says("what about me now", 4.0, 0.6)
    await _talk(call, long_reply, until=12.0, turn_handling={"interruption": {"enabled": False}})


@scenario()
async def speech_that_vad_misses(call: Call) -> None:
    """VAD does not hear the second question; the recognizer does."""

    call.caller.says(f"hello {CANARY}", 1.0).says("whisper this please", 8.0)
    await _talk(call, None, until=16.0, vad=DeafVAD(call.caller))


@scenario()
async def typed_while_the_agent_speaks_on(call: Call) -> None:
    """The user writes while the agent speaks; the answer comes after what it is saying."""
    call.caller.says(f"a long story {CANARY}", 1.0)
    session = call.session(long_reply)
    await call.start(session)
    await call.until(4.0)
    session.generate_reply(user_input=f"written by the {CANARY}")
    await call.until(16.0)
    await call.close(session)


@scenario(variant=True)
async def reply_that_waits_for_silence(call: Call) -> None:
    """Code asks for a reply while VAD hears noise: LiveKit plays it when that is over."""
    call.caller.noise(1.0, 2.0)
    session = call.session()
    await call.start(session)
    await call.until(1.5)
    session.generate_reply(instructions=f"Ask who is there, {CANARY}.")
    await call.until(8.0)
    await call.close(session)


@scenario()
async def hook_with_a_model_of_its_own(call: Call) -> None:
    """``on_user_turn_completed`` asks another model than the session's."""

    class Thoughtful(Agent):
        def __init__(self) -> None:
            super().__init__(instructions=f"Think about the {CANARY}.")

        async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
            await _ask_aside()

    call.caller.says(f"hello {CANARY}", 1.0)
    await _talk(call, None, until=8.0, agent=Thoughtful())


@scenario(variant=True)
async def preamble_and_a_quick_tool(call: Call) -> None:
    """The model says something and calls a tool, which is done long before that has been said."""

    class Quick(Agent):
        def __init__(self) -> None:
            super().__init__(instructions=f"Help the {CANARY}.")

        @function_tool
        async def quick(self, ctx: RunContext[Any]) -> str:
            """Takes no time."""
            return f"done, {CANARY}"

    call.caller.says(f"quick one please {CANARY}", 1.0)
    await _talk(call, calls("Let me look at that for you.", quick="quick"), until=8.0, agent=Quick())


@scenario(variant=True)
async def interrupted_by_code_after_noise(call: Call) -> None:
    """Something is heard between the user's words and their commit; code interrupts the answer, and nobody speaks."""
    call.caller.says(f"hello {CANARY}", 1.0).noise(2.02, 0.06)
    session = call.session(long_reply)
    await call.start(session)
    await call.until(5.0)
    session.interrupt()
    await call.until(7.0)
    await call.close(session)
