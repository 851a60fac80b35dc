"""The calls of the tier: each a script, with the plugins that it is played on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from livekit.agents import Agent, function_tool
from livekit.plugins import deepgram

from .caller import Caller, Setup, Shop
from .servers import Timing, ToolCall

Script = Callable[[Caller], Awaitable[None]]

STORY = (
    "We began with a small cart on the market square. Then the whole town came to buy our flowers. "
    "After that we opened a shop with a glass house. Today we have five of them."
)
ANSWERS: tuple[tuple[str, str | ToolCall], ...] = (
    ("open", "We open at nine."),
    ("history", STORY),
    ("stop", "Of course, I stop."),
    ("seven", "Your order is on its way."),
    ("roses", "Yes we have red roses."),
    ("price", "They cost five euros."),
    ("stock", ToolCall("look_up", {"what": "tulips"})),
    ("colleague", ToolCall("hand_over")),
)


@dataclass(frozen=True)
class Call:
    """A script on its plugins."""

    name: str
    script: Script
    setup: Setup


async def two_questions(caller: Caller) -> None:
    """A greeting, and two questions."""
    await caller.answered()
    await caller.ask("when do you open")
    await caller.ask("do you have red roses")


async def barge_in(caller: Caller) -> None:
    """The user interrupts a long answer."""
    await caller.answered()
    await caller.say("tell me the history again")
    await caller.speaking()
    await asyncio.sleep(2.5)
    await caller.say("please stop it now")
    await caller.answered()


async def in_pieces(caller: Caller) -> None:
    """Words with a pause in them, and a final transcript in two pieces."""
    await caller.answered()
    await caller.ask("my order number is | seven five three")
    await caller.ask("what is the price / of the yellow tulips today please")


def struck_by(*faults: str, question: str = "do you have red roses", wait: float = 0.0) -> Script:
    """One question that goes well, and one in which servers fail; with ``wait`` nobody waits for an answer."""

    async def script(caller: Caller) -> None:
        await caller.answered()
        await caller.ask("when do you open")
        caller.world.arm(*faults)
        if not wait:
            await caller.ask(question)
            return
        await caller.say(question)
        await asyncio.sleep(wait)
        if not caller.closed:
            await caller.ask("what is the price of them")

    return script


async def closes_in_mid_answer(caller: Caller) -> None:
    """The session is closed while the agent speaks."""
    await caller.answered()
    await caller.say("tell me the history again")
    await caller.speaking()
    await asyncio.sleep(1.5)


async def tool_and_colleague(caller: Caller) -> None:
    """A tool of a second, and a handoff."""
    await caller.answered()
    await caller.ask("do you have that in stock")
    await caller.ask("let me talk to your colleague")
    await caller.ask("when do you open")


async def other_models(caller: Caller) -> None:
    """Recognizer and voice get another model between two questions."""
    await caller.answered()
    await caller.ask("when do you open")
    assert isinstance(caller.session.stt, deepgram.STT)
    assert isinstance(caller.session.tts, deepgram.TTS)
    caller.session.stt.update_options(model="nova-2")
    caller.session.tts.update_options(model="aura-2-thalia-en")
    await caller.ask("do you have red roses")


async def early_barge_in(caller: Caller) -> None:
    """The user interrupts the first words of an answer."""
    await caller.answered()
    await caller.say("tell me the history again")
    await caller.speaking()
    await asyncio.sleep(0.2)
    await caller.say("please stop it now")
    await caller.answered()


class Colleague(Agent):
    """Takes over."""

    def __init__(self) -> None:
        super().__init__(instructions="You are the colleague.")

    async def on_enter(self) -> None:
        self.session.say("You speak with the colleague now.")


class Clerk(Shop):
    """Has tools."""

    @function_tool
    async def look_up(self, what: str) -> str:
        """Look something up.

        Args:
            what: what to look up.
        """
        await asyncio.sleep(1.0)
        return f"{what} are there"

    @function_tool
    async def hand_over(self) -> Any:
        """Hand the caller over to a colleague."""
        return Colleague()


CALLS: tuple[Call, ...] = (
    Call("nova and sonic", two_questions, Setup("nova", "sonic")),
    Call("nova and aura, in pieces", in_pieces, Setup("nova", "aura")),
    Call("nova and eleven", two_questions, Setup("nova", "eleven")),
    Call("flux and aura, the STT ends turns", two_questions, Setup("flux", "aura", detect="stt")),
    Call("nova, the STT ends turns", two_questions, Setup("nova", "aura", detect="stt")),
    Call("ink and sonic without VAD", two_questions, Setup("ink", "sonic", detect="stt", has_vad=False)),
    Call("assembly and sonic", in_pieces, Setup("assembly", "sonic")),
    Call("a barge-in with a late interim", barge_in, Setup("nova", "aura", timing=Timing(interim=0.8))),
    Call("a barge-in while the voice streams", barge_in, Setup("nova", "sonic", timing=Timing(speed=1.2))),
    Call("an early barge-in, aura streams", early_barge_in, Setup("flux", "aura", timing=Timing(speed=1.2))),
    Call("a barge-in, eleven streams", barge_in, Setup("assembly", "eleven", timing=Timing(speed=1.2))),
    Call("very late finals", two_questions, Setup("nova", "sonic", timing=Timing(final=1.7))),
    Call("late finals", two_questions, Setup("nova", "sonic", timing=Timing(final=0.8))),
    Call("other models", other_models, Setup("nova", "aura")),
    Call("replies made ahead", two_questions, Setup("flux", "sonic", ahead=True)),
    Call("a tool and a handoff", tool_and_colleague, Setup("nova", "sonic", agent=Clerk)),
    Call("closed in mid-answer", closes_in_mid_answer, Setup("nova", "sonic")),
    Call("the recognizer's socket drops", struck_by("stt dropped"), Setup("nova", "sonic")),
    Call("the model refuses", struck_by("llm refused", wait=3.0), Setup("nova", "eleven")),
    Call("the model is overloaded once", struck_by("llm overloaded"), Setup("nova", "sonic")),
    Call(
        "the model dies in its answer",
        struck_by("llm dies", question="tell me the history again", wait=9.0),
        Setup("nova", "sonic"),
    ),
    Call(
        "the voice dies in its answer",
        struck_by("tts dies", question="tell me the history again", wait=7.0),
        Setup("nova", "aura"),
    ),
    Call("the voice is refused once", struck_by("tts dropped"), Setup("nova", "aura")),
    Call(
        "the voice gives up",
        struck_by("tts dropped", "tts refused", "tts refused", "tts refused", wait=8.0),
        Setup("nova", "eleven"),
    ),
    Call("the voice falls back", struck_by("tts error"), Setup("nova", "sonic", fallback_tts="eleven")),
    Call("the recognizer falls back", struck_by("stt dropped"), Setup("nova", "sonic", fallback_stt="assembly")),
)
BY_NAME = {call.name: call for call in CALLS}
