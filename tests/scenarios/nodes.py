"""Agents that override nodes, and agents whose ``on_enter`` or ``on_exit`` takes its time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from livekit import rtc
from livekit.agents import Agent, RunContext, function_tool

from tests.kit.run import CANARY, INSTRUCTIONS, Call, scenario

QUESTION = f"what is in your documents {CANARY}"


class LooksUp(Agent):
    """Searches before each request (RAG): ``before`` seconds; keeps the answer back for ``after`` seconds."""

    def __init__(self, before: float = 0.0, after: float = 0.0) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self.before, self.after = before, after

    async def llm_node(self, chat_ctx: Any, tools: Any, model_settings: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(self.before)
        chunks: list[Any] | None = [] if self.after else None
        async for chunk in Agent.default.llm_node(self, chat_ctx, tools, model_settings):
            if chunks is None:
                yield chunk
            else:
                chunks.append(chunk)
        await asyncio.sleep(self.after)
        for chunk in chunks or ():
            yield chunk


class Writes(Agent):
    """Makes its words without a model: after 0.8 s, the second half of the sentence after another 0.4 s."""

    async def llm_node(self, chat_ctx: Any, tools: Any, model_settings: Any) -> AsyncIterator[str]:
        await asyncio.sleep(0.8)
        yield f"Our documents, dear {CANARY}, "
        await asyncio.sleep(0.4)
        yield "say nothing."


class Returns(Agent):
    """A coroutine that returns its words at once."""

    async def llm_node(self, chat_ctx: Any, tools: Any, model_settings: Any) -> str:  # type: ignore[override]
        await asyncio.sleep(0.6)
        return f"Nothing at all, {CANARY}."


class Raises(Agent):
    """Fails in its own code before it asks a model."""

    async def llm_node(self, chat_ctx: Any, tools: Any, model_settings: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(0.3)
        raise ValueError(f"no index for {CANARY}")
        yield


class OwnVoice(Agent):
    """Takes all of the text, works for 0.7 s, and makes audio without a TTS."""

    async def tts_node(self, text: AsyncIterable[str], model_settings: Any) -> AsyncIterator[rtc.AudioFrame]:
        said = "".join([part async for part in text])
        await asyncio.sleep(0.7)
        for _ in range(max(10, len(said))):
            yield rtc.AudioFrame(b"\0\0" * 1200, 24_000, 1, 1200)


class SlowVoice(Agent):
    """Prepares the voice for 0.5 s before it asks the TTS, and keeps the first audio back for 0.2 s."""

    async def tts_node(self, text: AsyncIterable[str], model_settings: Any) -> AsyncIterator[rtc.AudioFrame]:
        await asyncio.sleep(0.5)
        first = True
        async for frame in Agent.default.tts_node(self, text, model_settings):
            if first:
                await asyncio.sleep(0.2)
                first = False
            yield frame


class HandsOn(Agent):
    """Overrides every node, and only hands on."""

    async def llm_node(self, chat_ctx: Any, tools: Any, model_settings: Any) -> AsyncIterator[Any]:
        async for chunk in Agent.default.llm_node(self, chat_ctx, tools, model_settings):
            yield chunk

    async def tts_node(self, text: AsyncIterable[str], model_settings: Any) -> AsyncIterator[rtc.AudioFrame]:
        async for frame in Agent.default.tts_node(self, text, model_settings):
            yield frame

    async def on_enter(self) -> None:
        pass


class SlowEntry(Agent):
    """Loads for some seconds when it is entered, and then speaks."""

    def __init__(self, seconds: float) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self.seconds = seconds

    async def on_enter(self) -> None:
        await asyncio.sleep(self.seconds)
        self.session.generate_reply(instructions="Greet the caller.")


async def _call_of(call: Call, agent: Agent, until: float = 9.0, **options: Any) -> None:
    call.caller.says(QUESTION, 1.0)
    session = call.session(**options)
    await call.start(session, agent)
    await call.until(until)
    await call.close(session)


@scenario()
async def llm_node_that_searches_first(call: Call) -> None:
    """RAG: the llm_node works for 0.8 s before it asks the model."""
    await _call_of(call, LooksUp(0.8))


@scenario()
async def llm_node_that_searches_ahead(call: Call) -> None:
    """The same in a reply that is made ahead, 0.2 s of which hide behind endpointing."""
    await _call_of(call, LooksUp(0.8), turn_handling={"preemptive_generation": {"enabled": True}})


@scenario()
async def llm_node_that_searches_after_a_tool(call: Call) -> None:
    """It searches before each request, and so again after a tool that was called with a preamble."""

    class Tooled(LooksUp):
        @function_tool
        async def status(self, context: RunContext[Any]) -> str:
            """Looks the status up."""
            return "on its way"

    asked = iter((True,))

    async def reply(stream: Any, items: list[Any]) -> None:
        if next(asked, False):
            await stream.text(f"One moment, {CANARY}.")
            stream.call("status", "{}", "call_1")
        else:
            await stream.text("It is on its way.")
        stream.usage()

    await _call_of(call, Tooled(2.0), until=10.0, reply=reply)


@scenario()
async def llm_node_that_checks_the_answer(call: Call) -> None:
    """A guardrail: the llm_node keeps the whole answer back, and looks at it for 0.4 s."""
    await _call_of(call, LooksUp(0.0, 0.4))


@scenario()
async def llm_node_that_writes(call: Call) -> None:
    """The llm_node yields its own strings, and asks no model."""
    await _call_of(call, Writes(instructions=INSTRUCTIONS))


@scenario()
async def llm_node_that_returns_words(call: Call) -> None:
    """The llm_node is a coroutine that returns a string."""
    await _call_of(call, Returns(instructions=INSTRUCTIONS))


@scenario()
async def llm_node_that_raises(call: Call) -> None:
    """The llm_node fails in its own code: nobody answers."""
    call.caller.says("and now", 4.0)
    await _call_of(call, Raises(instructions=INSTRUCTIONS))


@scenario()
async def llm_node_cut_off(call: Call) -> None:
    """The user speaks on while the llm_node still searches."""
    call.caller.says(f"the new ones {CANARY}", 3.5)
    await _call_of(call, LooksUp(3.0), until=13.0)


@scenario()
async def tts_node_of_its_own(call: Call) -> None:
    """The tts_node makes audio without a TTS."""
    await _call_of(call, OwnVoice(instructions=INSTRUCTIONS), until=12.0)


@scenario()
async def tts_node_that_starts_slowly(call: Call) -> None:
    """The tts_node works before it asks the TTS, and after it has the first audio."""
    await _call_of(call, SlowVoice(instructions=INSTRUCTIONS))


@scenario()
async def nodes_that_hand_on(call: Call) -> None:
    """Overridden nodes that do nothing themselves."""
    await _call_of(call, HandsOn(instructions=INSTRUCTIONS))


@scenario()
async def first_agent_loads(call: Call) -> None:
    """The first agent's on_enter takes a second before it greets."""
    call.caller.says(QUESTION, 5.0)
    session = call.session()
    await call.start(session, SlowEntry(1.0))
    await call.until(10.0)
    await call.close(session)


class Reception(Agent):
    """Transfers the caller to an agent that loads; takes 0.4 s to leave where it is asked to."""

    def __init__(self, seconds: float, leaving: float = 0.0) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self.seconds, self.leaving = seconds, leaving

    @function_tool
    async def transfer(self, context: RunContext[Any]) -> Agent:
        """Transfers the caller."""
        await asyncio.sleep(0.3)
        return SlowEntry(self.seconds)

    async def on_exit(self) -> None:
        await asyncio.sleep(self.leaving)


async def _handoff(call: Call, agent: Reception, words: str = "") -> None:
    asked = iter((True,))

    async def reply(stream: Any, items: list[Any]) -> None:
        if next(asked, False):
            if words:
                await stream.text(words)
            stream.call("transfer", "{}", "call_1")
        else:
            await stream.text(f"Here I am, {CANARY}.")
        stream.usage()

    call.caller.says(f"give me somebody else {CANARY}", 1.0)
    session = call.session(reply)
    await call.start(session, agent)
    await call.until(8.0 + agent.seconds)
    await call.close(session)


@scenario()
async def handoff_to_an_agent_that_loads(call: Call) -> None:
    """The agent before takes 0.4 s to leave, the next one's on_enter 2 s before it speaks."""
    await _handoff(call, Reception(2.0, 0.4))


@scenario()
async def handoff_to_an_agent_that_loads_long(call: Call) -> None:
    """It takes 7 s, after the words of the agent before."""
    await _handoff(call, Reception(7.0), "I transfer you.")
