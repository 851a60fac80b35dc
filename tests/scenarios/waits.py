"""Calls in which the user waits on after the agent's first words. Words are as long as the waits need them."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import Agent, RunContext, function_tool

from tests.kit.run import CANARY, Call, scenario
from tests.scenarios.attribution import ANSWER

#: 0.62 s, 0.92 s, 0.77 s and 1.27 s of speech
PREAMBLE, FILLER, TRANSFER, PROGRESS = (
    "Let me look.",
    "One moment please.",
    "Let me connect.",
    "I am still working on it.",
)


class Desk(Agent):
    """Takes its time, in every way."""

    def __init__(self) -> None:
        super().__init__(instructions=f"Take your time, {CANARY}.")

    @function_tool
    async def six(self, ctx: RunContext[Any]) -> str:
        """Takes six seconds."""
        await asyncio.sleep(6.0)
        return f"done, {CANARY}"

    @function_tool
    async def filled(self, ctx: RunContext[Any]) -> str:
        """Says something while it works."""
        async with ctx.with_filler(FILLER, delay=0.0):
            await asyncio.sleep(5.0)
        return f"done, {CANARY}"

    @function_tool
    async def speaking(self, ctx: RunContext[Any]) -> None:
        """Says its result itself, and wants no reply."""
        await asyncio.sleep(1.0)
        await self.session.say(f"That is all, {CANARY}.")

    @function_tool
    async def transfer(self, ctx: RunContext[Any]) -> Agent:
        """Hands over."""
        return Colleague()

    @function_tool
    async def progress(self, ctx: RunContext[Any]) -> str:
        """Says at once that it works on it."""
        await ctx.update(f"working, {CANARY}")
        await asyncio.sleep(4.0)
        return f"result, {CANARY}"


class Colleague(Agent):
    def __init__(self) -> None:
        super().__init__(instructions=f"The colleague of the {CANARY}.", id="colleague")

    async def on_enter(self) -> None:
        await asyncio.sleep(2.0)
        self.session.generate_reply(instructions="Greet.")


def replies(*said: str, tools: tuple[str, ...] = ()) -> Any:
    """The first reply calls ``tools``; replies say ``said`` in turn, then the answer. An empty one says nothing."""
    left = list(said)
    wanted = list(tools)

    async def reply(stream: Any, items: list[Any]) -> None:
        words = left.pop(0) if left else ANSWER
        if words:
            await stream.text(words)
        while wanted:
            stream.call(wanted.pop(0), "{}", f"call_{len(wanted)}")
        stream.usage()

    return reply


async def _ask(call: Call, reply: Any, *, until: float = 14.0, **changes: Any) -> None:
    session = call.session(reply, **changes)
    await call.start(session, Desk())
    await call.until(until)
    await call.close(session)


@scenario(variant=True)
async def preamble_before_a_slow_tool(call: Call) -> None:
    """The agent says that it looks, and looks for six seconds."""
    call.caller.says(f"look please {CANARY}", 1.0)
    await _ask(call, replies(PREAMBLE, tools=("six",)))


@scenario(variant=True)
async def filler_before_a_slow_answer(call: Call) -> None:
    """The tool itself says something, and works for five seconds."""
    call.caller.says(f"look please {CANARY}", 1.0)
    await _ask(call, replies("", tools=("filled",)))


@scenario(variant=True)
async def tool_that_says_it_all(call: Call) -> None:
    """The tool speaks and returns nothing: that is the answer."""
    call.caller.says(f"look please {CANARY}", 1.0)
    await _ask(call, replies("", tools=("speaking",)))


@scenario()
async def preamble_and_filler(call: Call) -> None:
    """Two tools at once, the faster one with a filler, after a preamble."""
    call.caller.says(f"look please {CANARY}", 1.0)
    await _ask(call, replies(PREAMBLE, tools=("six", "filled")))


@scenario(variant=True)
async def handoff_to_a_slow_colleague(call: Call) -> None:
    """The next agent needs two seconds before it says its first words."""
    call.caller.says(f"connect me please {CANARY}", 1.0)
    await _ask(call, replies(TRANSFER, tools=("transfer",)))


@scenario(variant=True)
async def progress_before_the_result(call: Call) -> None:
    """The tool's word on its progress is said, and its result four seconds later."""
    call.caller.says(f"look please {CANARY}", 1.0)
    await _ask(call, replies("", PROGRESS, tools=("progress",)))


@scenario(variant=True)
async def noise_in_the_wait(call: Call) -> None:
    """Somebody coughs while the user waits for a tool."""
    call.caller.says(f"look please {CANARY}", 1.0).noise(5.0, 0.5)
    await _ask(call, replies(PREAMBLE, tools=("six",)))


@scenario()
async def preamble_that_is_paused(call: Call) -> None:
    """A cough pauses the agent's preamble; the agent resumes it, and answers later."""
    call.caller.says(f"look please {CANARY}", 1.0).noise(2.6, 0.8)
    await _ask(call, replies(f"{PREAMBLE} It will take a while, {CANARY}.", tools=("six",)), until=20.0)


@scenario()
async def cut_off_while_waiting(call: Call) -> None:
    """The hook fails to answer, and so does the agent: the session is closed three seconds later."""

    class Lost(Desk):
        async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
            await asyncio.sleep(30.0)

    call.caller.says(f"look please {CANARY}", 1.0)
    session = call.session(replies())
    await call.start(session, Lost())
    await call.until(5.0)
    await call.close(session)


def _resumes(at: float) -> None:
    async def resumes(call: Call) -> None:
        """The user pauses, is taken for done at 2.1 and answered at 2.4, and speaks on."""
        call.caller.says(f"I would like {CANARY}", 1.0).says("to order a large pizza", at, 1.2, interim_after=0.4)
        await _ask(call, replies("That is a longer answer than anybody wants to hear."))

    resumes.__name__ = f"resumes_{round(at * 1000)}_ms"
    scenario(variant=True)(resumes)


for _at in (2.45, 3.0):
    _resumes(_at)
