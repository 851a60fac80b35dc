"""Function tools, agents that hand over, and tasks inside tasks."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import Agent, AgentTask, RunContext, ToolError, function_tool

from tests.kit.run import CANARY, INSTRUCTIONS, Call, scenario
from tests.kit.voice import last_text


class Clerk(Agent):
    """Has tools of every kind."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(instructions=INSTRUCTIONS, **kwargs)

    @function_tool
    async def weather(self, ctx: RunContext[Any], city: str) -> str:
        """Weather of a city."""
        await asyncio.sleep(0.35 if city == "Bergen" else 0.3)
        return f"It is sunny in {city}, says the {CANARY}."

    @function_tool
    async def broken(self, ctx: RunContext[Any]) -> str:
        """Fails on purpose."""
        await asyncio.sleep(0.1)
        raise ToolError(f"the {CANARY} is out of order")

    @function_tool
    async def crashing(self, ctx: RunContext[Any]) -> str:
        """Fails by accident."""
        raise ValueError(f"{CANARY} not found")

    @function_tool
    async def report(self, ctx: RunContext[Any]) -> str:
        """Takes long, tells its progress."""
        await asyncio.sleep(0.2)
        await ctx.update(f"searching for the {CANARY}")
        await asyncio.sleep(3.0)
        await ctx.update("half of it is done")
        await asyncio.sleep(3.0)
        return f"found the {CANARY}"

    @function_tool
    async def patient(self, ctx: RunContext[Any]) -> str:
        """Says something while it works."""
        await ctx.session.say(f"One moment, {CANARY}.")
        await asyncio.sleep(0.4)
        return "done"

    @function_tool
    async def archive(self, ctx: RunContext[Any]) -> str:
        """Returns a lot."""
        return f"{CANARY} " + "x" * 100_000

    @function_tool
    async def transfer(self, ctx: RunContext[Any]) -> Agent:
        """Hands over to the specialist."""
        return Specialist()

    @function_tool
    async def ask_name(self, ctx: RunContext[Any]) -> str:
        """Asks for the user's name in a task of its own."""
        name = await AskName()
        return f"The name is {name}"


class Specialist(Agent):
    def __init__(self) -> None:
        super().__init__(instructions=f"A specialist for every {CANARY}.", id="specialist")

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Say who you are.")


class AskName(AgentTask[str]):
    def __init__(self) -> None:
        super().__init__(instructions=f"Ask for the name of the {CANARY}.")

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Ask for the name.")

    @function_tool
    async def record_name(self, ctx: RunContext[Any], name: str) -> None:
        """Records the name."""
        self.complete(name)


def calls(*steps: tuple[str, str, str]) -> Any:
    """A reply that calls tools when the user's words contain a step's first word, and else speaks."""
    numbers = iter(range(1, 1000))

    async def reply(stream: Any, items: list[Any]) -> None:
        last = items[-1]
        words = last_text(items) if last.type == "message" and last.role == "user" else ""
        wanted = [step for step in steps if step[0] in words]
        for _, name, arguments in wanted:
            stream.call(name, arguments, f"call_{next(numbers)}")
        if not wanted:
            await stream.text(f"Here you are, {CANARY}.", chunk_delay=0.02)
        stream.usage(30, 8, cached=10, cache_creation_tokens=3, reasoning_tokens=2)

    return reply


async def _ask(call: Call, reply: Any, *, until: float, agent: Agent | None = None, **changes: Any) -> None:
    session = call.session(reply, **changes)
    await call.start(session, agent or Clerk())
    await call.until(until)
    await call.close(session)


@scenario()
async def one_tool(call: Call) -> None:
    """The answer needs a tool."""
    call.caller.says(f"weather please {CANARY}", 1.0)
    await _ask(call, calls(("weather", "weather", f'{{"city": "{CANARY}ville"}}')), until=7.0)


@scenario()
async def two_tools_at_once(call: Call) -> None:
    """The model asks for two cities in one go."""
    call.caller.says(f"weather of both {CANARY}", 1.0)
    steps = (("weather", "weather", '{"city": "Oslo"}'), ("both", "weather", '{"city": "Bergen"}'))
    await _ask(call, calls(*steps), until=7.0)


@scenario()
async def one_tool_after_the_other(call: Call) -> None:
    """The result of the first tool makes the model call a second one."""

    async def reply(stream: Any, items: list[Any]) -> None:
        outputs = [item for item in items if item.type == "function_call_output"]
        if len(outputs) < 2:
            stream.call("weather", f'{{"city": "city {len(outputs)}"}}', f"chain_{len(outputs)}")
        else:
            await stream.text(f"Both are sunny, {CANARY}.")
        stream.usage()

    call.caller.says(f"compare two cities {CANARY}", 1.0)
    await _ask(call, reply, until=8.0)


@scenario()
async def failing_tools(call: Call) -> None:
    """One tool fails on purpose, one by accident, one does not exist, one gets arguments that are no JSON."""
    call.caller.says(f"try the broken {CANARY}", 1.0).says("crash it", 6.0).says("unknown one", 11.0)
    call.caller.says("garbled", 16.0)
    steps = (
        ("broken", "broken", "{}"),
        ("crash", "crashing", "{}"),
        ("unknown", "no_such_tool", f'{{"a": "{CANARY}"}}'),
        ("garbled", "weather", "city is not json ["),
    )
    await _ask(call, calls(*steps), until=22.0)


@scenario()
async def slow_tool_with_progress(call: Call) -> None:
    """A tool runs on in the background and tells its progress."""
    call.caller.says(f"report on the {CANARY}", 1.0)
    await _ask(call, calls(("report", "report", "{}")), until=16.0)


@scenario()
async def tool_that_speaks(call: Call) -> None:
    """A tool says something before it returns."""
    call.caller.says(f"be patient {CANARY}", 1.0)
    await _ask(call, calls(("patient", "patient", "{}")), until=9.0)


@scenario()
async def long_tool_result(call: Call) -> None:
    """A tool returns 100 KB."""
    call.caller.says(f"open the archive {CANARY}", 1.0)
    await _ask(call, calls(("archive", "archive", "{}")), until=7.0)


@scenario()
async def handoff(call: Call) -> None:
    """A tool hands over to another agent, who goes on."""
    call.caller.says(f"transfer me {CANARY}", 1.0).says("thank you", 7.0)
    await _ask(call, calls(("transfer", "transfer", "{}")), until=12.0)


@scenario()
async def handoff_by_code(call: Call) -> None:
    """Code replaces the agent."""
    session = call.session()
    call.caller.says(f"hello {CANARY}", 4.0)
    await call.start(session, Clerk())
    await call.until(1.0)
    session.update_agent(Specialist())
    await call.until(9.0)
    await call.close(session)


@scenario()
async def task_inside_a_tool(call: Call) -> None:
    """A tool runs a task of its own, with questions and answers, and returns its result."""
    call.caller.says(f"name please {CANARY}", 1.0).says("call me Ada", 6.0)
    steps = (("name please", "ask_name", "{}"), ("Ada", "record_name", '{"name": "Ada"}'))
    await _ask(call, calls(*steps), until=14.0)
