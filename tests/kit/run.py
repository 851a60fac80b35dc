"""Runs a scripted session to its end on the virtual clock and returns what LiveKit itself says of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from livekit.agents import Agent, AgentSession, JobContext
from livekit.agents.testing import fake_job_context

from . import clock
from .voice import Caller, FakeAudioOutput, FakeLLM, FakeSTT, FakeTextOutput, FakeTTS, FakeVAD, Reply, Truth, last_text

#: a word that is in everything people say, write and own; privacy tests look for it
CANARY = "kanarienvogel"
#: LiveKit's own default, which the kit leaves off
AHEAD = {"preemptive_generation": {"enabled": True}}
INSTRUCTIONS = f"You are a {CANARY} of few words."


@dataclass
class Outcome:
    """One session as LiveKit reports it: ``report`` is JSON-ready, ``usage`` has also the fields that are left out
    of it for being zero, ``metrics`` are all metrics it emitted, in order."""

    report: dict[str, Any]
    usage: list[dict[str, Any]]
    metrics: list[Any]
    truth: Truth


@dataclass
class Call:
    """What a scenario gets: the job, the caller, and a way to make a session with everything faked."""

    ctx: JobContext
    caller: Caller = field(default_factory=Caller)
    outcomes: list[Outcome] = field(default_factory=list)
    _metrics: list[Any] = field(default_factory=list)

    @property
    def truth(self) -> Truth:
        return self.caller.truth

    def session(self, reply: Reply | None = None, **changes: Any) -> AgentSession[Any]:
        """A session on the fakes; keyword arguments replace any of ``AgentSession``'s, and ``audio`` the output."""
        audio = changes.pop("audio", FakeAudioOutput(truth=self.truth))
        delay = changes.pop("llm_delay", 0.2)
        handling = {
            "turn_detection": "vad",
            "endpointing": {"min_delay": 0.3, "max_delay": 1.0},
            "preemptive_generation": {"enabled": False},
            **changes.pop("turn_handling", {}),
        }
        options: dict[str, Any] = {
            "vad": FakeVAD(self.caller),
            "stt": FakeSTT(self.caller),
            "llm": FakeLLM(reply or plain_reply, truth=self.truth, delay=delay),
            "tts": FakeTTS(truth=self.truth),
            "turn_handling": handling,
            "aec_warmup_duration": None,
            "session_close_transcript_timeout": 0.2,
        }
        options.update(changes)
        session: AgentSession[Any] = AgentSession(**options)
        if audio is not None:
            session.output.audio = audio
        session.output.transcription = FakeTextOutput()
        with quiet():
            session.on("metrics_collected", lambda event: self._metrics.append(event.metrics))
        session.on("close", lambda _: asyncio.get_running_loop().call_later(0.3, self._report, session))
        return session

    def _report(self, session: AgentSession[Any]) -> None:
        """What LiveKit says a moment after the close, whoever closed it."""
        report = self.ctx.make_session_report(session)
        usage = [one.model_dump() for one in report.model_usage or []]
        self.outcomes.append(Outcome(as_json(report.to_dict()), usage, list(self._metrics), self.truth))
        self._metrics.clear()

    async def start(self, session: AgentSession[Any], agent: Agent | None = None, **kwargs: Any) -> None:
        await session.start(agent or Agent(instructions=INSTRUCTIONS), **kwargs)

    async def until(self, at: float) -> None:
        """Sleep until ``at`` seconds of the run."""
        await asyncio.sleep(max(0.0, at - clock.elapsed()))

    async def close(self, session: AgentSession[Any], close: Callable[[], Awaitable[Any]] | None = None) -> None:
        """Close the session (``close()`` instead of ``aclose()``) and let it settle; LiveKit's report is kept."""
        await (close or session.aclose)()
        await asyncio.sleep(0.5)


ScenarioFunction = Callable[[Call], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """A scripted session. ``says`` is one sentence; ``canary`` is whether its words contain the canary."""

    name: str
    says: str
    function: ScenarioFunction
    #: LiveKit versions before this one lack what the script needs
    since: tuple[int, ...] = (1, 8, 3)
    #: one more call of a kind that others stand for: only the tests that compare whole calls play it
    variant: bool = False


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    *, since: tuple[int, ...] = (1, 8, 3), variant: bool = False
) -> Callable[[ScenarioFunction], ScenarioFunction]:
    """Register a scripted session under its function's name; its docstring says what happens."""

    def register(function: ScenarioFunction) -> ScenarioFunction:
        name = function.__name__
        SCENARIOS[name] = Scenario(name, (function.__doc__ or "").strip(), function, since, variant)
        return function

    return register


def run_scenario(name: str, before: Callable[[], None] | None = None) -> list[Outcome]:
    """Run a scenario, ``before()`` inside its job before the first session is made. One outcome per session."""

    import tests.scenarios  # noqa: F401  (registers them)

    async def main() -> list[Outcome]:
        from livekit import rtc

        room = rtc.Room()
        with fake_job_context(room=room, agent_identity=f"agent {CANARY}") as ctx:
            ctx.job.room.name = f"room {CANARY}"
            if before is not None:
                before()
            call = Call(ctx)
            await SCENARIOS[name].function(call)
            return call.outcomes

    with quiet():
        return clock.run(main())


async def plain_reply(stream: Any, items: list[Any]) -> None:
    """Answers a question in one sentence and counts tokens."""
    await stream.text(f"You said {len(last_text(items))} letters, dear {CANARY}.", chunk_delay=0.02)
    stream.usage()


def as_json(report: dict[str, Any]) -> dict[str, Any]:
    """A report as JSON has it; what JSON cannot hold (audio arrays) is null."""
    return json.loads(json.dumps(report, default=lambda _: None))  # type: ignore[no-any-return]


def assert_same_report(report: dict[str, Any], theirs: dict[str, Any]) -> None:
    """A report is LiveKit's as JSON, key order included; only when it was made may differ, by a second."""
    ours, theirs = as_json(report), dict(theirs)
    assert list(ours) == list(theirs)
    for key, tolerance in (("timestamp", 1.0), ("duration_ms", 1000)):
        if key in theirs:  # older LiveKit reports have no duration
            assert abs(ours.pop(key) - theirs.pop(key)) <= tolerance
    assert json.dumps(ours) == json.dumps(theirs)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """LiveKit logs what the scripts provoke on purpose."""
    logger = logging.getLogger("livekit.agents")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
