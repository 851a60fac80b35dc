"""Replies that are made before the user's turn is committed, which is LiveKit's default."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import Agent, RunContext, function_tool
from livekit.agents.llm import ChatContext

from tests.kit.run import AHEAD, INSTRUCTIONS, Call, scenario
from tests.kit.voice import FakeLLM, last_text
from tests.scenarios.interruptions import long_reply
from tests.scenarios.tools import calls


@scenario()
async def noise_before_a_reply_made_ahead(call: Call) -> None:
    """Noise pauses the agent, which resumes; the next reply is made before VAD has heard the user stop."""
    call.caller.says("tell me", 1.0).noise(4.0, 0.7).says("and then", 14.0)
    session = call.session(long_reply, turn_handling=AHEAD)
    await call.start(session)
    await call.until(22.0)
    await call.close(session)


@scenario()
async def words_over_what_may_not_be_interrupted(call: Call) -> None:
    """The agent says something that may not be interrupted: LiveKit drops the words that end meanwhile."""
    call.caller.says("hello there", 1.5, 0.5).says("who are you", 3.3)
    session = call.session(turn_handling=AHEAD)
    await call.start(session)
    await call.until(1.0)
    session.say("Please hold the line, and listen to this.", allow_interruptions=False)
    await call.until(12.0)
    await call.close(session)


async def _aside(stream: Any, items: list[Any]) -> None:
    await stream.text("Thoughts.")
    stream.usage(100, 10)


class Thinker(Agent):
    def __init__(self) -> None:
        super().__init__(instructions=INSTRUCTIONS)

    @function_tool
    async def think(self, ctx: RunContext[Any]) -> str | None:
        """Asks the model on the side, and has nothing to say when the user has spoken since."""
        notes = ChatContext.empty()
        notes.add_message(role="user", content="slowly")
        await FakeLLM(_aside, model="own-llm", delay=1.6).chat(chat_ctx=notes).collect()
        return None if ctx.speech_handle.interrupted else "thought"


@scenario()
async def tool_that_thinks_while_the_user_speaks(call: Call) -> None:
    """A tool asks a model on the side; the user speaks meanwhile, and the tool is done a moment after that."""
    call.caller.says("think", 1.0).says("never mind", 4.0)
    session = call.session(calls(("think", "think", "{}")), llm_delay=1.5)
    await call.start(session, Thinker())
    await call.until(12.0)
    await call.close(session)


class Leaver(Agent):
    """Takes a while to leave."""

    def __init__(self) -> None:
        super().__init__(instructions=INSTRUCTIONS)

    async def on_exit(self) -> None:
        await asyncio.sleep(2.0)

    @function_tool
    async def leave(self, ctx: RunContext[Any]) -> Agent:
        """Hands over."""
        return Newcomer()


class Newcomer(Agent):
    def __init__(self) -> None:
        super().__init__(instructions=INSTRUCTIONS)

    async def on_enter(self) -> None:
        self.session.generate_reply()


async def _leave(stream: Any, items: list[Any]) -> None:
    if last_text(items) == "hand over":
        stream.call("leave")
    else:
        await stream.text("I am new here.")
    stream.usage()


@scenario()
async def words_while_an_agent_leaves(call: Call) -> None:
    """The user says something while one agent takes a while to leave for another: LiveKit drops it."""
    call.caller.says("hand over", 1.0).says("are you there", 2.6, 0.5).says("who are you", 9.0)
    session = call.session(_leave)
    await call.start(session, Leaver())
    await call.until(13.0)
    await call.close(session)
