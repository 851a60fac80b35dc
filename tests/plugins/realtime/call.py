"""One call: a session with a real plugin, its server, and what came of both."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentSession, RunContext, function_tool
from livekit.agents.testing import fake_job_context

from tests.kit.run import quiet

from .devices import Captions, Loudspeaker, Microphone
from .gemini_server import GeminiServer
from .openai_server import OpenAIServer
from .standins import speech


class Clerk(Agent):
    """Has tools, and is asked things."""

    def __init__(self, **options: Any) -> None:
        super().__init__(instructions="You are a clerk.", **options)

    @function_tool
    async def weather(self, ctx: RunContext[Any], city: str) -> str:
        """Tells the weather."""
        await asyncio.sleep(0.4)
        return f"It rains in {city}."


@dataclass
class Call:
    """``error``: what the close of the session raised, if it did."""

    name: str
    tls: Any
    server: Any = None
    session: Any = None
    speaker: Loudspeaker = field(default_factory=Loudspeaker)
    microphone: Any = None
    report: dict[str, Any] = field(default_factory=dict)
    metrics: list[Any] = field(default_factory=list)
    error: Exception | None = None
    began: float = 0.0
    #: what a recognizer of the session is going to hear
    heard_words: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    #: what the user said into the microphone, and when that was over
    spoken: list[tuple[str, float]] = field(default_factory=list)

    async def openai(self, agent: Agent | None = None, *, model: dict[str, Any] | None = None, **options: Any) -> None:
        from livekit.plugins import openai

        self.server = OpenAIServer()
        await self.server.start()
        llm = openai.realtime.RealtimeModel(api_key="none", base_url=self.server.url, **(model or {}))
        await self._start(llm, agent, 24_000, options)

    async def azure(self, **options: Any) -> None:
        from livekit.plugins import openai

        self.server = OpenAIServer()
        await self.server.start()
        address = {"azure_deployment": "loopback", "azure_endpoint": f"http://127.0.0.1:{self.server.port}"}
        llm = openai.realtime.RealtimeModel.with_azure(api_key="none", **address)
        await self._start(llm, None, 24_000, options)

    async def xai(self, **options: Any) -> None:
        from livekit.plugins import xai

        self.server = OpenAIServer()
        await self.server.start()
        await self._start(xai.realtime.RealtimeModel(api_key="none", base_url=self.server.url), None, 24_000, options)

    async def gemini(self, *, model: dict[str, Any] | None = None, **options: Any) -> None:
        from google.genai import types
        from livekit.plugins import google

        self.server = GeminiServer(self.tls)
        await self.server.start()
        http = types.HttpOptions(base_url=self.server.url)
        llm = google.realtime.RealtimeModel(api_key="none", http_options=http, **(model or {}))
        await self._start(llm, None, 16_000, options)

    async def _start(self, llm: Any, agent: Agent | None, rate: int, options: dict[str, Any]) -> None:
        self.session = session = AgentSession(llm=llm, aec_warmup_duration=None, **options)
        with quiet():
            session.on("metrics_collected", lambda event: self.metrics.append(event.metrics))
        self.microphone = Microphone(rate)
        session.input.audio, session.output.audio = self.microphone, self.speaker
        session.output.transcription = Captions()
        await session.start(agent or Clerk())
        await self.connected()

    def says(self, text: str) -> float:
        """The user says something into the microphone; returns how long that takes, in seconds."""
        sound = speech(text, self.microphone.rate)
        self.spoken.append((text, time.time() + len(sound) / 2 / self.microphone.rate))
        return float(self.microphone.hears(sound))

    async def recognized(self, text: str, after: float) -> None:
        """The session's recognizer has a transcript in a moment."""
        await asyncio.sleep(after)
        self.server.log.note("recognized")
        self.heard_words.put_nowait(text)

    def background(self, work: Any) -> None:
        self.server.background(work)

    async def connected(self) -> None:
        """The plugin has connected, and set its session up."""
        await self.until(lambda: bool(self.server.log.times("connected")))
        await asyncio.sleep(0.3)

    async def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait for something, at most so long."""
        end = time.time() + seconds
        while not condition():
            assert time.time() < end, f"{self.name}: waited in vain"
            await asyncio.sleep(0.02)

    async def silent(self, after: float = 0.3) -> None:
        """The agent has spoken, and nothing is played any more."""
        begun = len(self.speaker.started)
        with contextlib.suppress(AssertionError):
            await self.until(lambda: len(self.speaker.started) > begun, 3.0)
        await self.until(lambda: not self.speaker.playing and self.session.agent_state == "listening")
        await asyncio.sleep(after)

    async def close(self) -> None:
        try:
            await self.session.aclose()
        except Exception as error:
            self.error = error
        await asyncio.sleep(0.3)
        await self.server.stop()


Script = Callable[[Call], Awaitable[None]]
CALLS: dict[str, Script] = {}


def call(script: Script) -> Script:
    """Register a call under its function's name."""
    CALLS[script.__name__] = script
    return script


async def play(name: str, tls: Any) -> Call:
    """Play one call in a job of its own; LiveKit's own report of it is kept."""
    with fake_job_context(room=rtc.Room()) as context:
        one = Call(name, tls, began=time.time())
        await asyncio.wait_for(CALLS[name](one), 60)
        report = context.make_session_report(one.session).to_dict()
        one.report = json.loads(json.dumps(report, default=lambda _: None))
    return one
