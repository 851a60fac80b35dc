"""Agent tasks: awaited by a tool, by an agent's ``on_enter``, and by a tool that works in the background."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import Agent, AgentTask, RunContext, function_tool
from livekit.agents.llm import ChatContext, ToolFlag

from tests.kit.run import AHEAD, INSTRUCTIONS, Call, scenario
from tests.kit.voice import last_text


class Question(AgentTask[str]):
    """Asks one thing; the answer completes it without another word."""

    def __init__(self, words: str) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self.words = words

    async def on_enter(self) -> None:
        await self.session.say(self.words)

    @function_tool
    async def note(self, ctx: RunContext[Any], answer: str) -> None:
        """Takes the answer down."""
        self.complete(answer)


class Desk(Agent):
    def __init__(self) -> None:
        super().__init__(instructions=INSTRUCTIONS)

    @function_tool
    async def register(self, ctx: RunContext[Any]) -> str:
        """Registers the caller."""
        return f"registered {await Question('What is your name?')}"

    @function_tool(flags=ToolFlag.CANCELLABLE)
    async def order(self, ctx: RunContext[Any]) -> str:
        """Orders in the background."""
        await ctx.update("looking it up")
        await asyncio.sleep(4.0)
        async with ctx.foreground():
            await Question("Which colour?")
        await asyncio.sleep(5.0)
        return "ordered"


class Interviewer(Agent):
    """Its ``on_enter`` is the whole conversation."""

    def __init__(self) -> None:
        super().__init__(instructions=INSTRUCTIONS)

    async def on_enter(self) -> None:
        await Question("Who are you?")
        await Question("Where do you live?")
        notes = ChatContext.empty()
        notes.add_message(role="user", content="sum it up")
        model: Any = self.session.llm
        await model.chat(chat_ctx=notes).collect()
        self.session.generate_reply(instructions="Say goodbye.")


async def _notes(stream: Any, items: list[Any]) -> None:
    """Registers, orders, takes every other word of the user down as the answer, and says what a tool returned."""
    last = items[-1]
    words = last_text(items)
    if last.type == "message" and last.role == "user" and words not in ("sum it up", "thanks"):
        name = {"register me": "register", "order it": "order"}.get(words, "note")
        arguments = f'{{"answer": "{words}"}}' if name == "note" else "{}"
        stream.call(name, arguments, f"call_{len(items)}")
    else:
        said = {"registered Ada": "You are in.", "ordered": "It is on its way.", "looking": "One moment."}
        outputs = " ".join(item.output for item in items if item.type == "function_call_output")
        await stream.text(next((answer for result, answer in said.items() if result in outputs), "Goodbye then."))
    stream.usage()


async def _play(call: Call, agent: Agent, until: float) -> None:
    session = call.session(_notes, turn_handling=AHEAD, llm_delay=0.1)
    await call.start(session, agent)
    await call.until(until)
    await call.close(session)


@scenario()
async def task_after_a_reply_made_ahead(call: Call) -> None:
    """A reply that was made ahead calls a tool, the tool asks in a task, and a reminder comes before the answer."""
    call.caller.says("register me", 1.0).says("Ada", 12.0)
    session = call.session(_notes, turn_handling=AHEAD, llm_delay=0.1)
    await call.start(session, Desk())
    await call.until(8.0)
    session.say("Are you still there?")
    await call.until(17.0)
    await call.close(session)


@scenario()
async def tasks_in_on_enter(call: Call) -> None:
    """An agent's on_enter awaits two tasks one after the other, asks a model on the side, and says goodbye."""
    call.caller.says("I am Ada", 3.0).says("in Lima", 8.0)
    await _play(call, Interviewer(), 14.0)


@scenario()
async def tool_in_the_background_asks(call: Call) -> None:
    """A tool says how far it is, asks in a task some time later, and ends some time after the answer."""
    call.caller.says("order it", 1.0).says("blue", 12.0)
    await _play(call, Desk(), 24.0)
