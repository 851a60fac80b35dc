"""All reads of LiveKit Agents' private names, each with a neutral value if the name is gone.

The names are listed in :mod:`livekit_otel.instrumentation.livekit_names`; those of realtime models are read in
:mod:`livekit_otel.instrumentation.livekit_realtime`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

from ..containment import contained

if TYPE_CHECKING:
    from livekit.agents import Agent, AgentSession, AgentTask, JobContext, RunContext, SpeechHandle
    from livekit.agents.stt import STT, RecognizeStream
    from livekit.agents.tts import ChunkedStream, SynthesizeStream
    from livekit.agents.utils.aio import Chan
    from livekit.agents.voice.agent_activity import AgentActivity
    from livekit.agents.voice.audio_recognition import AudioRecognition
    from livekit.agents.voice.tool_executor import _ToolExecutor


@cache
def _context_variable(name: str) -> ContextVar[Any] | None:
    from livekit.agents.voice import agent_activity

    return getattr(agent_activity, name, None)


def _in_context(name: str) -> Any:
    """Return the value of a context variable of LiveKit's in the current task; None without variable or value."""
    variable = _context_variable(name)
    return variable.get(None) if variable is not None else None


def speech_handle() -> SpeechHandle | None:
    """Return the SpeechHandle that the current task works for."""
    handle: SpeechHandle | None = _in_context("_SpeechHandleContextVar")
    return handle


def activity_session() -> AgentSession[Any] | None:
    """Return the session whose activity created the current task."""
    activity = _in_context("_AgentActivityContextVar")
    return activity.session if activity is not None else None


def agent_at_work(session: AgentSession[Any] | None) -> Agent | None:
    """Return the agent whose activity created the current task, if that is an activity of this session."""
    activity = _in_context("_AgentActivityContextVar")
    return activity.agent if activity is not None and activity.session is session else None


def current_speech(session: AgentSession[Any] | None) -> SpeechHandle | None:
    """Return the session's current speech; without one, the speech that the current task works for."""
    speech = session.current_speech if session is not None else None
    return speech if speech is not None else speech_handle()


def interrupted_by(speech: SpeechHandle | None) -> str | None:
    """Return LiveKit's cause of an interruption: ``audio_activity``, ``user_turn`` or ``programmatic``."""
    source = getattr(speech, "_interrupt_source", None)
    return source if isinstance(source, str) else None


def turn_detection(activity: AgentActivity) -> object:
    """Return the detection that ends the user's turns: ``vad``, ``stt``, ``manual``, ``realtime_llm``, or a model."""
    return getattr(activity, "_turn_detection", None)


def endpointing_delays(activity: AgentActivity) -> tuple[float, float] | None:
    """Return the current minimum and maximum endpointing delay in seconds; None if LiveKit has none."""
    endpointing = getattr(recognition_of(activity), "_endpointing", None)
    return (float(endpointing.min_delay), float(endpointing.max_delay)) if endpointing is not None else None


def activity_of(recognition: AudioRecognition) -> AgentActivity:
    """Return the activity that a session's recognition reports to."""
    return cast("AgentActivity", recognition._hooks)


def recognition_of(activity: AgentActivity) -> AudioRecognition | None:
    """Return the recognition that reports to an activity."""
    return getattr(activity, "_audio_recognition", None)


def recognizer(stream: RecognizeStream) -> STT[Any]:
    """Return the recognizer of a stream; for a fallback adapter, the one that is serving."""
    stt = stream._stt
    while (active := getattr(stt, "_active_instance", None)) is not None:
        stt = active
    return stt


def hook_task(activity: AgentActivity) -> asyncio.Task[object] | None:
    """Return the task that runs ``on_user_turn_completed`` and requests the reply."""
    return getattr(activity, "_user_turn_completed_atask", None)


def on_enter_task(activity: AgentActivity) -> asyncio.Task[Any] | None:
    """Return the task that runs the agent's ``on_enter``."""
    task = getattr(activity, "_on_enter_task", None)
    return task if isinstance(task, asyncio.Task) else None


def handoff_task(session: AgentSession[Any]) -> asyncio.Task[Any] | None:
    """Return the task that activates another agent."""
    task = getattr(session, "_update_activity_atask", None)
    return task if isinstance(task, asyncio.Task) else None


def is_reply_pending(executor: _ToolExecutor, run_ctx: RunContext[Any]) -> bool:
    """Whether a result of this call waits until the agent is idle and can speak of it."""
    return any(one.ctx is run_ctx for one in getattr(executor, "_pending_updates", ()))


def last_speaking_time(recognition: AudioRecognition | None) -> float | None:
    """Return when VAD last heard the user or the recognizer's latest event came, the later of the two; unix seconds."""
    last = getattr(recognition, "_last_speaking_time", None)
    return float(last) if isinstance(last, int | float) else None


def job_context() -> JobContext | None:
    from livekit.agents import get_job_context

    return get_job_context(required=False)


@cache
def fallback_adapters() -> tuple[type, ...]:
    """Return the adapter classes that ask several models in turn until one of them answers."""
    from livekit.agents import llm, stt, tts

    return llm.FallbackAdapter, tts.FallbackAdapter, stt.FallbackAdapter


def on_first_audio(stream: ChunkedStream | SynthesizeStream, callback: Callable[[float | None], None]) -> None:
    """Call ``callback`` once, when the stream emits its first audio: there is no work for later frames.

    Its argument is the ``time.perf_counter()`` at which the first text reached the provider, if LiveKit knows it.
    """
    channel: Chan[Any] | None = getattr(stream, "_event_ch", None)
    on_first_sent(channel, "tts.first_audio", lambda: callback(getattr(stream, "_started_time", None) or None))


def on_first_sent(channel: Chan[Any] | None, fault: str, callback: Callable[[], None]) -> None:
    """Call ``callback`` once, when the first item enters a channel of LiveKit's: there is no work for later items."""
    if channel is None:
        return
    channel_, send = cast("Any", channel), channel.send_nowait

    def first(item: object) -> None:
        del channel_.send_nowait
        with contained(fault):
            callback()
        send(item)

    channel_.send_nowait = first


def recorded_events(session: AgentSession[Any]) -> list[Any] | None:
    """Return the list of events that LiveKit's report uses."""
    events = getattr(session, "_recorded_events", None)
    return events if isinstance(events, list) else None


def speaks(session: AgentSession[Any] | None) -> bool:
    """Whether answers are played, not only written."""
    return session is not None and session.output.audio is not None and session.output.audio_enabled


def is_started(session: AgentSession[Any]) -> bool:
    return bool(getattr(session, "_started", False))


def redaction_enabled(session: AgentSession[Any]) -> bool:
    """Whether LiveKit has marked the session, its job or its project for redaction."""
    if getattr(session, "_redaction_enabled", False):
        return True
    context = job_context()
    if context is None:
        return False
    return bool(getattr(context, "_redaction_enabled", False) or getattr(context.job, "enable_redaction", False))


def delegates_metrics(stream: object, base: type) -> bool:
    """Whether a stream only delegates work (fallback and stream adapters): such a stream is not a request.

    Adapters override the base class's metrics task; the streams that they wrap report metrics themselves.
    """
    owner = next((cls for cls in type(stream).__mro__ if "_metrics_monitor_task" in vars(cls)), base)
    return owner is not base


def delegates_recognition(stt: object) -> bool:
    """Whether a non-streaming recognizer only delegates work (fallback and stream adapters)."""
    return getattr(stt, "_recognize_metrics_needed", True) is False or hasattr(stt, "wrapped_stt")


def task_done(agent: AgentTask[Any]) -> Callable[[], bool]:
    """Return a function that checks if a task is done. It avoids ``agent.done``, which may be one of its tools."""
    from livekit.agents import AgentTask

    return partial(AgentTask.done, agent)
