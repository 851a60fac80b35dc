"""Agents that hand over and ask in tasks: the wait for who comes next belongs to the turn that led there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from livekit.agents import Agent, AgentTask, RunContext, function_tool
from livekit.agents.llm import ChatContext

from livekit_otel import build_report

from .kit.clock import EPOCH
from .kit.run import CANARY, INSTRUCTIONS, Call, ScenarioFunction
from .kit.story import Line, script_name, story_of
from .kit.trace import play
from .kit.voice import FakeLLM
from .scenarios.tools import calls

DONE = "completed"
HERE = f"Here you are, {CANARY}."
HELLO = "Hello from the next one."


class Name(AgentTask[str]):
    """Asks for the name, after a second."""

    def __init__(self) -> None:
        super().__init__(instructions=INSTRUCTIONS)

    async def on_enter(self) -> None:
        await asyncio.sleep(1.0)
        self.session.generate_reply(instructions="Ask for the name.")

    @function_tool
    async def record_name(self, ctx: RunContext[Any], name: str) -> None:
        """Records the name."""
        self.complete(name)


class Next(Agent):
    """Takes seven seconds before it says hello: by its model, or with words of code, or after an aside."""

    def __init__(self, way: str) -> None:
        super().__init__(instructions=INSTRUCTIONS, id="next")
        self.way = way

    async def on_enter(self) -> None:
        await asyncio.sleep(7.0)
        if self.way == "aside":
            notes = ChatContext.empty()
            notes.add_message(role="user", content="aside")
            await FakeLLM(_aside, delay=1.0).chat(chat_ctx=notes).collect()
        if self.way == "model":
            self.session.generate_reply()
        else:
            await self.session.say(HELLO)


async def _aside(stream: Any, items: list[Any]) -> None:
    await stream.text("an aside")
    stream.usage()


class Desk(Agent):
    def __init__(self, way: str = "model") -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self.way = way

    @function_tool
    async def ask(self, ctx: RunContext[Any]) -> str:
        """Asks for the name in a task."""
        return f"name {await Name()}"

    @function_tool
    async def hand_over(self, ctx: RunContext[Any]) -> Agent:
        """Hands over."""
        return Next(self.way)

    @function_tool
    async def switch(self, ctx: RunContext[Any]) -> None:
        """Puts another agent in charge by code."""
        self.session.update_agent(Next(self.way))


STEPS = (
    ("ask me", "ask", "{}"),
    ("Ada", "record_name", '{"name": "Ada"}'),
    ("hand over", "hand_over", "{}"),
    ("switch", "switch", "{}"),
)


async def _talk(call: Call, agent: Agent, until: float) -> None:
    session = call.session(calls(*STEPS))
    await call.start(session, agent)
    await call.until(until)
    await call.close(session)


async def task_and_slow_handoff(call: Call) -> None:
    """A tool asks in a task that takes a second to speak; later a handoff takes seven."""
    call.caller.says("ask me", 1.0).says("I am Ada", 8.0).says("hand over please", 16.0)
    await _talk(call, Desk(), 30.0)


async def slow_handoff_with_words_of_code(call: Call) -> None:
    """The next agent says fixed words after seven seconds."""
    call.caller.says("hand over please", 1.0)
    await _talk(call, Desk("words"), 16.0)


async def slow_handoff_with_an_aside(call: Call) -> None:
    """Before its words it asks a model something, outside of any speech."""
    call.caller.says("hand over please", 1.0)
    await _talk(call, Desk("aside"), 16.0)


async def slow_switch_by_code(call: Call) -> None:
    """A tool puts the next agent in charge and returns nothing."""
    call.caller.says("switch please", 1.0).says("thank you", 16.0)
    await _talk(call, Desk("words"), 22.0)


STORIES: dict[ScenarioFunction, list[Line]] = {
    task_and_slow_handoff: [
        ("ask me", HERE, DONE, 1.88),
        ("I am Ada", HERE, DONE, 0.88),
        ("hand over please", HERE, DONE, 7.88),
    ],
    slow_handoff_with_words_of_code: [("hand over please", HELLO, DONE, 7.6)],
    slow_handoff_with_an_aside: [("hand over please", HELLO, DONE, 8.6)],
    slow_switch_by_code: [("switch please", HELLO, DONE, 7.6), ("thank you", HERE, DONE, 0.68)],
}


#: where that is not the first second of the call
BEGINS: dict[ScenarioFunction, list[float]] = {
    task_and_slow_handoff: [1.0, 8.0, 16.0],
    slow_switch_by_code: [1.0, 16.0],
}


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
@pytest.mark.parametrize("script", STORIES, ids=script_name)
def test_the_turns_are_those_of_the_script(script: ScenarioFunction, native: bool) -> None:
    """What ``on_enter`` says, however late, is the answer to the words that led to its agent."""
    assert story_of(script, native_spans=native) == STORIES[script]


@pytest.mark.parametrize("script", STORIES, ids=script_name)
def test_no_stage_is_a_turn_of_its_own(script: ScenarioFunction) -> None:
    """Each turn begins with the user's words, and its stages sum to the wait."""
    report = build_report(play(script).pipeline)
    begins = BEGINS.get(script, [1.0])
    assert [turn.start_ns / 1e9 - EPOCH for turn in report.turns] == pytest.approx(begins, abs=0.001)
    for turn in report.turns:
        assert sum(turn.silence.values()) == pytest.approx(turn.latency.e2e_latency)
