"""One call: the session with its plugins, and what a script makes the caller do."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from livekit.agents import Agent, AgentSession, JobContext, llm, stt, tts
from livekit.plugins import assemblyai, cartesia, deepgram, elevenlabs, openai, silero

from livekit_otel.demo.espeak import Engine

from .devices import Loudspeaker, Microphone, Subtitles, trimmed, witnessed
from .servers import Timing, World

GREETING = "Hello, this is the flower shop. How can I help you?"
#: from the end of an answer to the next thing that the caller does
_BREATH = 0.7
#: the silence in a text with a bar
_PAUSE = 0.45
_PATIENCE = 15.0

STTS: dict[str, Callable[[str], stt.STT[Any]]] = {
    "nova": lambda host: deepgram.STT(api_key="key", base_url=f"http://{host}/v1/listen"),
    "flux": lambda host: deepgram.STTv2(api_key="key", base_url=f"ws://{host}/v2/listen", eager_eot_threshold=0.4),
    "ink": lambda host: cartesia.STT(api_key="key", base_url=f"http://{host}"),
    "assembly": lambda host: assemblyai.STT(api_key="key", base_url=f"ws://{host}"),
}
TTSS: dict[str, Callable[[str], tts.TTS[Any]]] = {
    "aura": lambda host: deepgram.TTS(api_key="key", base_url=f"http://{host}/v1/speak"),
    "sonic": lambda host: cartesia.TTS(api_key="key", base_url=f"http://{host}"),
    "eleven": lambda host: elevenlabs.TTS(api_key="key", base_url=f"http://{host}/v1", encoding="pcm_24000"),
}


@dataclass(frozen=True)
class Setup:
    """What a call is made of.

    Attributes:
        stt: a name of ``STTS``; with ``fallback_stt`` the other one takes over.
        tts: a name of ``TTSS``, likewise.
        detect: what ends the user's turns.
        has_vad: whether the session has Silero's VAD.
        ahead: replies are made before the turn is committed.
        agent: makes the agent.
    """

    stt: str = "nova"
    tts: str = "sonic"
    fallback_stt: str = ""
    fallback_tts: str = ""
    detect: str = "vad"
    has_vad: bool = True
    timing: Timing = field(default_factory=Timing)
    ahead: bool = False
    agent: Callable[[], Agent] | None = None


class Shop(Agent):
    """Greets, and answers."""

    def __init__(self, **options: Any) -> None:
        super().__init__(instructions="You answer for a flower shop.", **options)

    async def on_enter(self) -> None:
        self.session.say(GREETING)


class Caller:
    """What a script can do, and what it waits for."""

    def __init__(self, world: World, session: AgentSession[Any], mic: Microphone, host: str) -> None:
        self.world = world
        self.session = session
        self.host = host
        self._mic = mic
        self._answers = 0
        session.on("close", lambda _: setattr(self, "closed", True))
        self.closed = False

    async def say(self, text: str) -> None:
        """Say a text; a bar in it is a pause of the voice, a slash where its first final transcript ends."""
        engine, samples = Engine.shared(), b""
        for number, part in enumerate(text.split("|")):
            spoken = part.replace("/", " ").strip()
            voice = trimmed(await asyncio.to_thread(engine.speak, spoken))
            if number:
                samples += b"\0\0" * int(engine.sample_rate * _PAUSE)
            samples += voice
            self.world.pieces.append(part.strip())
        self._mic.play(samples)
        await self._mic.silent.wait()

    async def ask(self, text: str) -> None:
        """Say a text and listen to the answer."""
        await self.say(text)
        await self.answered()

    async def speaking(self) -> None:
        """Until the agent speaks."""
        await self._until("speaking")

    async def answered(self) -> None:
        """Until the agent has spoken, and a breath longer."""
        await self._until("speaking")
        await self._until("listening", 2 * _PATIENCE)
        await asyncio.sleep(_BREATH)

    async def _until(self, state: str, patience: float = _PATIENCE) -> None:
        until = time.perf_counter() + patience
        while self.session.agent_state != state:
            if self.closed or time.perf_counter() > until:
                self.world.note("gave up", state=state, now=self.session.agent_state)
                return
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def session_of(setup: Setup, world: World, host: str) -> AsyncIterator[tuple[AgentSession[Any], Microphone]]:
    """The session of a call, with its devices; what listens beside it is closed in the end."""
    voice = _voice(setup, host)
    options: dict[str, Any] = {
        "stt": _recognizer(setup, host),
        "tts": voice,
        "llm": _model(host),
        "vad": witnessed(silero.VAD.load(), world) if setup.has_vad else None,
        "turn_handling": {
            "turn_detection": setup.detect,
            "endpointing": {"min_delay": 0.5, "max_delay": 2.0},
            "preemptive_generation": {"enabled": setup.ahead},
        },
        "aec_warmup_duration": None,
        "session_close_transcript_timeout": 0.5,
    }
    session: AgentSession[Any] = AgentSession(**options)
    mic = Microphone(Engine.shared().sample_rate, world)
    session.input.audio = mic
    session.output.audio = Loudspeaker(world)
    session.output.transcription = Subtitles()
    try:
        yield session, mic
    finally:
        await voice.aclose()


def _recognizer(setup: Setup, host: str) -> stt.STT[Any]:
    first = STTS[setup.stt](host)
    if not setup.fallback_stt:
        return first
    return stt.FallbackAdapter([first, STTS[setup.fallback_stt](host)], max_retry_per_stt=0, retry_interval=1)


def _voice(setup: Setup, host: str) -> tts.TTS[Any]:
    first = TTSS[setup.tts](host)
    if not setup.fallback_tts:
        return first
    return tts.FallbackAdapter([first, TTSS[setup.fallback_tts](host)], max_retry_per_tts=0)


def _model(host: str) -> llm.LLM[Any]:
    return openai.LLM(model="gpt-4o-mini", api_key="key", base_url=f"http://{host}/v1")


def job_of(context: JobContext, name: str) -> None:
    """Name the job's room after the call."""
    context.job.room.name = name
