"""The worker of the room tests: README's set-up, the demo's models, and LiveKit's own report beside the trace.

``python -m tests.rooms start`` runs it as its user would. The environment says what differs between tests:
``ROOMS_FOLDER`` (where files go), ``ROOMS_AGENT`` (what it is dispatched as), ``ROOMS_EXECUTOR`` (forkserver, spawn,
thread), ``ROOMS_NATIVE`` and ``ROOMS_PII`` (0 switches off), ``ROOMS_ATTRIBUTES`` (1: with ``session_attributes``),
``ROOMS_CONNECT`` (1: the entrypoint connects before the session starts). The schedule of exports is OpenTelemetry's own
variable.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import time
from pathlib import Path
from typing import Any

from livekit import rtc
from livekit.agents import (
    AgentServer,
    AgentSession,
    JobContext,
    JobExecutorType,
    get_job_context,
)
from livekit.agents.voice.agent_activity import AgentActivity
from livekit.agents.voice.room_io import RoomOptions
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import livekit_otel
from livekit_otel.demo.call import FlowerShop, make_session
from livekit_otel.exporters import rotating_files

from .sound import loud_samples

#: metadata of dispatches: the agent stays when its caller leaves; the entrypoint fails
STAY, CRASH = "stay", "crash"
FOLDER = Path(os.environ.get("ROOMS_FOLDER", "."))


def _on(name: str, default: str = "1") -> bool:
    return os.environ.get(name, default) == "1"


def log(name: str, what: str, **more: Any) -> None:
    """One line of what really happened, in a file of the room."""
    with (FOLDER / f"{name}.log").open("a") as file:
        file.write(json.dumps({"what": what, "at": time.time(), **more}) + "\n")


def _session_attributes(job: JobContext | None, session: AgentSession[Any]) -> dict[str, str]:
    """Who is in the room when the session's attributes are asked for."""
    callers = list(job.room.remote_participants.values()) if job is not None and job.room.isconnected() else []
    return {"callers": str(len(callers)), **({"user.id": callers[0].identity} if callers else {})}


def set_up() -> None:
    """README's lines, with files for the endpoint."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(rotating_files(FOLDER / "traces")))
    livekit_otel.set_tracer_provider(
        provider,
        native_spans=_on("ROOMS_NATIVE"),
        allow_pii=_on("ROOMS_PII"),
        session_attributes=_session_attributes if _on("ROOMS_ATTRIBUTES", "0") else None,
    )


if "ROOMS_FOLDER" in os.environ:
    set_up()


class Shop(FlowerShop):
    """Greets with the room's name, so that words of one call are told from another's."""

    def __init__(self, room: str) -> None:
        super().__init__()
        self._room_name = room

    async def on_enter(self) -> None:
        self.session.say(f"Hello, this is {self._room_name}.")


async def entrypoint(ctx: JobContext) -> None:
    """One call."""
    name = ctx.job.room.name
    log(name, "entrypoint", pid=os.getpid(), job=ctx.job.id, room=ctx.job.room.sid)
    if _on("ROOMS_CONNECT", "0"):
        await ctx.connect()
    ctx.tagger.add("early")
    session = make_session()
    session.on("agent_state_changed", lambda event: log(name, event.new_state))
    stays = ctx.job.metadata == STAY
    await session.start(Shop(name), room=ctx.room, room_options=RoomOptions(close_on_disconnect=not stays))
    log(name, "started")
    if ctx.job.metadata == CRASH:
        await asyncio.sleep(3.0)
        raise RuntimeError("a bug of the user")


async def on_session_end(ctx: JobContext) -> None:
    """The outcome, as users set it, and LiveKit's own report."""
    ctx.tagger.add("late")
    ctx.tagger.success(reason="the caller has an answer")
    _write(ctx, "user", ctx.make_session_report())


def _write(ctx: JobContext, who: str, report: Any) -> None:
    file = FOLDER / f"{ctx.job.room.name}.{who}.json"
    file.write_text(json.dumps(report.to_dict(), default=lambda _: None))


def _keep_every_report() -> None:
    """LiveKit makes one more report when ``on_session_end`` is done: that one is the truth."""
    made = JobContext.make_session_report

    def make(ctx: JobContext, *args: Any, **kwargs: Any) -> Any:
        report = made(ctx, *args, **kwargs)
        _write(ctx, "livekit", report)
        return report

    JobContext.make_session_report = make  # type: ignore[method-assign, assignment]


#: quiet for so long, speech is over, seconds
_PAUSE = 0.5


class _Sound:
    """Notes when a stream of audio becomes loud and when it was loud last, to the sample."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last = 0.0
        self._open = False

    def frame(self, frame: rtc.AudioFrame, *, starts_now: bool) -> None:
        """A frame passes now; its first sample is of this moment (it is about to be played), or its last one."""
        now = time.time() - (0.0 if starts_now else frame.duration)
        job = get_job_context(required=False)
        if job is None:
            return
        loud = loud_samples(frame.data.cast("b"))
        if self._open and (now + loud[0] / frame.sample_rate if loud else now) - self._last > _PAUSE:
            self._open = False
            log(job.job.room.name, f"{self._name} ends", sample=self._last)
        if loud:
            if not self._open:
                log(job.job.room.name, f"{self._name} starts", sample=now + loud[0] / frame.sample_rate)
            self._open, self._last = True, now + loud[1] / frame.sample_rate


def _keep_times_of_sound() -> None:
    """What the track is handed, and what the session hears, as it passes."""
    capture, push = rtc.AudioSource.capture_frame, AgentActivity.push_audio
    sounds: dict[int, _Sound] = {}

    async def capture_frame(source: Any, frame: rtc.AudioFrame) -> None:
        sounds.setdefault(id(source), _Sound("agent")).frame(frame, starts_now=True)
        await capture(source, frame)

    def push_audio(activity: Any, frame: rtc.AudioFrame, *args: Any, **kwargs: Any) -> Any:
        sounds.setdefault(id(activity), _Sound("user")).frame(frame, starts_now=False)
        return push(activity, frame, *args, **kwargs)

    rtc.AudioSource.capture_frame = capture_frame  # type: ignore[method-assign, assignment]
    AgentActivity.push_audio = push_audio  # type: ignore[method-assign, assignment]


if "ROOMS_FOLDER" in os.environ:
    _keep_every_report()
    _keep_times_of_sound()


def make_server() -> AgentServer:
    """A server that takes every job, however busy the machine is."""
    executor = os.environ.get("ROOMS_EXECUTOR", "forkserver")
    server = AgentServer(
        job_executor_type=JobExecutorType.THREAD if executor == "thread" else JobExecutorType.PROCESS,
        multiprocessing_context="spawn" if executor == "thread" else executor,  # type: ignore[arg-type]
        load_fnc=lambda: 0.0,
        load_threshold=math.inf,  # several jobs that are offered at once count as load, too
        host="127.0.0.1",
        port=0,
        num_idle_processes=1,
        initialize_process_timeout=60.0,
        drain_timeout=60,
    )
    server.rtc_session(entrypoint, agent_name=os.environ["ROOMS_AGENT"], on_session_end=on_session_end)
    return server
