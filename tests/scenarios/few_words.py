"""Words too few to interrupt with: LiveKit keeps them, and joins them with what the user says next."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import Agent, RunContext, function_tool
from livekit.agents import stt as lk_stt

from tests.kit.run import AHEAD, CANARY, INSTRUCTIONS, Call, scenario
from tests.kit.voice import FakeBatchSTT
from tests.scenarios.interruptions import long_reply
from tests.scenarios.plain import call_vad

FEW: dict[str, Any] = {"interruption": {"min_words": 3}}


def _calls(call: Call) -> None:
    """A question, two words over its answer, and another question."""
    call.caller.says(f"a long story {CANARY}", 1.0).says("uh huh", 4.0, 0.4).says("thanks that is enough", 9.0)


@scenario()
async def few_words_and_a_reply_made_ahead(call: Call) -> None:
    """The reply to what comes next is made before that is committed."""
    _calls(call)
    session = call.session(long_reply, turn_handling={**FEW, **AHEAD})
    await call.start(session)
    await call.until(17.0)
    await call.close(session)


@scenario(variant=True)
async def few_words_and_a_batch_recognizer(call: Call) -> None:
    """The recognizer cannot stream: LiveKit commits the few words before it has those that came next."""
    _calls(call)
    recognizer = lk_stt.StreamAdapter(stt=FakeBatchSTT(call.caller), vad=call_vad(call))
    session = call.session(long_reply, turn_handling=FEW, stt=recognizer)
    await call.start(session)
    await call.until(17.0)
    await call.close(session)


@scenario(variant=True)
async def few_words_noise_and_more_words(call: Call) -> None:
    """Noise, then a long question with many interim transcripts."""
    call.caller.says(f"a long story {CANARY}", 1.0).says("uh huh", 3.5, 0.4).noise(6.0)
    call.caller.says("thanks that is really quite enough now", 9.0, 4.0, interim_after=0.2, interims=90)
    session = call.session(long_reply, turn_handling=FEW)
    await call.start(session)
    await call.until(20.0)
    await call.close(session)


@scenario()
async def few_words_that_add_up(call: Call) -> None:
    """Twice too few words, with noise between: together they are enough to interrupt."""
    call.caller.says(f"a long story {CANARY}", 1.0).says("uh huh", 3.5, 0.4).noise(4.6).says("oh", 5.6, 0.3)
    session = call.session(long_reply, turn_handling=FEW)
    await call.start(session)
    await call.until(14.0)
    await call.close(session)


@scenario(variant=True)
async def few_words_and_the_end_of_the_call(call: Call) -> None:
    """The user says more as the call ends: LiveKit commits it all."""
    call.caller.says(f"a long story {CANARY}", 1.0).says("uh huh", 4.0, 0.4).says("goodbye then my friend", 9.0)
    session = call.session(long_reply, turn_handling=FEW)
    await call.start(session)
    await call.until(9.95)
    await call.close(session)


@scenario(variant=True)
async def few_words_and_the_agent_speaks_on(call: Call) -> None:
    """The agent says something of itself before the user says more."""
    call.caller.says(f"a long story {CANARY}", 1.0).says("uh huh", 4.0, 0.4).says("thanks that is enough", 14.0)
    session = call.session(long_reply, turn_handling=FEW)
    await call.start(session)
    await call.until(10.0)
    session.say(f"Are you still there, {CANARY}?")
    await call.until(22.0)
    await call.close(session)


@scenario(variant=True)
async def few_words_that_are_cleared(call: Call) -> None:
    """Code discards what the user said before more is said."""
    _calls(call)
    session = call.session(long_reply, turn_handling=FEW)
    await call.start(session)
    await call.until(8.5)
    session.clear_user_turn()
    await call.until(17.0)
    await call.close(session)


class Teller(Agent):
    """Speaks for long, then hands over, or works in the background."""

    def __init__(self) -> None:
        super().__init__(instructions=INSTRUCTIONS)

    @function_tool
    async def background(self, ctx: RunContext[Any]) -> str:
        """Goes to the background at once, and is done much later."""
        await ctx.update(f"started, {CANARY}")
        await asyncio.sleep(9.0)
        return f"late result, {CANARY}"


@scenario(variant=True)
async def few_words_before_a_handoff(call: Call) -> None:
    """Another agent is in charge when the user says more: LiveKit has forgotten the few words, or not."""
    _calls(call)
    session = call.session(long_reply, turn_handling=FEW)
    await call.start(session)
    await call.until(8.0)
    session.update_agent(Teller())
    await call.until(17.0)
    await call.close(session)


@scenario()
async def few_words_while_a_tool_runs(call: Call) -> None:
    """A tool of the turn before works in the background, from before the few words until after the next ones."""
    call.caller.says(f"a long story {CANARY}", 1.0).says("uh huh", 4.0, 0.4).says("thanks that is enough", 10.0)

    async def reply(stream: Any, items: list[Any]) -> None:
        if items[-1].type == "message" and "story" in (items[-1].raw_text_content or ""):
            stream.call("background", "{}")
            stream.usage()
        else:
            await long_reply(stream, items)

    session = call.session(reply, turn_handling=FEW)
    await call.start(session, Teller())
    await call.until(26.0)
    await call.close(session)
