"""Typed input, and sessions without a voice."""

from __future__ import annotations

from typing import Any

from livekit.agents import llm

from tests.kit.run import CANARY, Call, scenario
from tests.scenarios.interruptions import long_reply
from tests.scenarios.tools import Clerk, calls


@scenario()
async def typed_questions(call: Call) -> None:
    """Text in, text out, with a tool: no audio at all."""
    session = call.session(calls(("weather", "weather", '{"city": "Rome"}')), stt=None, vad=None, tts=None, audio=None)
    await call.start(session, Clerk())
    await session.run(user_input=f"weather please {CANARY}")
    await session.run(user_input="thanks")
    await call.close(session)


@scenario()
async def typed_while_the_agent_speaks(call: Call) -> None:
    """A typed question interrupts a spoken answer."""
    call.caller.says(f"a long story {CANARY}", 1.0)
    session = call.session(long_reply)
    await call.start(session)
    await call.until(4.0)
    session.interrupt()
    session.generate_reply(user_input=f"typed by the {CANARY}")
    await call.until(11.0)
    await call.close(session)


@scenario()
async def told_what_to_say(call: Call) -> None:
    """Code makes the agent speak: fixed words, a stream of words, and generated ones."""
    from tests.kit.voice import stream_of

    session = call.session()
    await call.start(session)
    await session.say(f"Fixed words, {CANARY}.")
    await session.say(stream_of("Words ", "in a ", "stream."), add_to_chat_ctx=False)
    await session.generate_reply(instructions=f"Say something nice about the {CANARY}.")
    await call.until(9.0)
    await call.close(session)


@scenario()
async def picture_in_the_conversation(call: Call) -> None:
    """The user sends a picture with a question."""
    session = call.session(stt=None, vad=None, tts=None, audio=None)
    await call.start(session)
    message = llm.ChatMessage(
        role="user",
        content=[f"What is on it, {CANARY}?", llm.ImageContent(image="data:image/png;base64," + "A" * 3000)],
    )
    await session.generate_reply(user_input=message)
    await call.close(session)


@scenario()
async def history_that_is_edited(call: Call) -> None:
    """Code removes, changes and reorders what was said; the report shows the result."""
    session = call.session(stt=None, vad=None, tts=None, audio=None)
    await call.start(session)
    for number in range(4):
        await session.run(user_input=f"message {number} {CANARY}")
    items: list[Any] = session.history.items
    messages = [item for item in items if item.type == "message"]
    messages[0].content = [f"edited {CANARY}"]
    items.remove(messages[2])
    items.reverse()
    await call.close(session)


@scenario()
async def hostile_words(call: Call) -> None:
    """Words that would be markup, a template or a comment if anybody took them for that."""
    hostile = (
        "<script>alert(1)</script> </script><img src=x onerror=alert(2)> {{7*7}} <!-- \" ' & \u2028 \u202eRTL 👩‍👧"
    )

    async def reply(stream: Any, items: list[Any]) -> None:
        await stream.text(f"{hostile} {CANARY}")
        stream.usage()

    session = call.session(reply, stt=None, vad=None, tts=None, audio=None)
    await call.start(session)
    await session.run(user_input=f"{hostile} {CANARY}")
    await call.close(session)
