"""The call: an agent with a tool, and a caller who asks, listens, interrupts and says goodbye."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Protocol

from livekit.agents import Agent, AgentSession, JobContext, RunContext, function_tool, inference, stt
from livekit.agents.testing import fake_job_context

from ..errors import LiveKitOtelError
from . import script
from .devices import Loudspeaker, Microphone
from .espeak import Engine, EspeakTTS
from .rules import RuleLLM
from .sphinx import SphinxSTT

__all__ = ["Caller", "Echo", "FlowerShop", "make_session", "run_call", "talk"]

Echo = Callable[[str], None]
_PATIENCE = 20.0
#: seconds that the whole call may take
_LONGEST = 75.0


class Voice(Protocol):
    """What the caller speaks into."""

    def play(self, samples: bytes) -> None:
        """Say these 16-bit mono samples."""


class FlowerShop(Agent):
    """Greets callers, and can look orders up."""

    def __init__(self) -> None:
        super().__init__(instructions=script.INSTRUCTIONS)

    async def on_enter(self) -> None:
        self.session.say(script.GREETING)

    @function_tool
    async def order_status(self, context: RunContext[None], number: int) -> str:
        """Tell where an order is.

        Args:
            number: the number of the order
        """
        await asyncio.sleep(0.3)
        return f"Order number {number} is on its way."


class Caller:
    """Speaks into the microphone when it is the caller's turn, according to the session's public events."""

    def __init__(self, session: AgentSession[None], microphone: Voice) -> None:
        self._session = session
        self._microphone = microphone
        self._engine = Engine.shared()

    async def agent(self, state: str) -> None:
        """Wait until the agent is in this state."""
        async with asyncio.timeout(_PATIENCE) if hasattr(asyncio, "timeout") else _NoTimeout():
            while self._session.agent_state != state:  # noqa: ASYNC110 (the state is not awaitable)
                await asyncio.sleep(0.05)

    async def say(self, sentence: str) -> None:
        self._microphone.play(await asyncio.to_thread(self._engine.speak, sentence))

    async def talk(self) -> None:
        """Speak the whole script."""
        await self._listen()
        await self.say(script.QUESTION)
        await self._listen()
        await self.say(script.STORY)
        await self.agent("speaking")
        await asyncio.sleep(3.0)
        await self.say(script.BARGE_IN)
        await self.agent("listening")
        await self._listen()
        await self.say(script.GOODBYE)
        await self._listen()

    async def _listen(self) -> None:
        """Wait until the agent has spoken and fallen silent."""
        await self.agent("speaking")
        await self.agent("listening")
        await asyncio.sleep(0.6)


class _NoTimeout:
    """Stands in for ``asyncio.timeout`` on Python 3.10, where only the demo as a whole has a limit."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


def make_session(echo: Echo | None = None) -> AgentSession[None]:
    """The agent's session, with local models that are warm. ``echo`` is called with each line of the conversation."""
    ears = inference.VAD(model="silero")
    recognizer = SphinxSTT(script.SENTENCES)
    recognizer.transcribe(b"\0\0" * 1600, 16_000)
    session: AgentSession[None] = AgentSession(
        vad=ears,
        stt=stt.StreamAdapter(stt=recognizer, vad=ears),
        llm=RuleLLM(),
        tts=EspeakTTS(),
        turn_handling={
            "turn_detection": inference.TurnDetector(version="v1-mini"),
            "endpointing": {"min_delay": 0.4, "max_delay": 1.5},
            "interruption": {"mode": "vad", "resume_false_interruption": False},
        },
        aec_warmup_duration=None,
    )
    if echo is not None:
        session.on("conversation_item_added", lambda event: _echo_item(event.item, echo))
    return session


async def run_call(echo: Echo) -> dict[str, Any]:
    """Hold the call; returns LiveKit's own session report as JSON has it."""
    rate = Engine.shared().sample_rate
    microphone = Microphone(rate)
    with fake_job_context() as context:
        session = make_session(echo)
        session.input.audio = microphone
        session.output.audio = Loudspeaker(rate)
        await session.start(FlowerShop())
        return await talk(context, session, microphone)


async def talk(context: JobContext, session: AgentSession[None], microphone: Voice) -> dict[str, Any]:
    """The caller's side of a session that has started, to its end; returns LiveKit's own report as JSON has it.

    Raises:
        LiveKitOtelError: the agent did not speak in time.
    """
    try:
        await asyncio.wait_for(Caller(session, microphone).talk(), timeout=_LONGEST)
    except asyncio.TimeoutError:
        why = "the call did not get to its end: this machine is too busy for a call in real time; try again"
        raise LiveKitOtelError(why) from None
    await session.aclose()
    report = context.make_session_report(session).to_dict()
    return json.loads(json.dumps(report, default=lambda _: None))  # type: ignore[no-any-return]


def _echo_item(item: Any, echo: Echo) -> None:
    if item.type == "message" and item.text_content:
        who = "caller" if item.role == "user" else "agent "
        echo(f"  {who}: {item.text_content}{' (cut off)' if item.interrupted else ''}")
