"""What we ask of LiveKit Agents: all reads of private names go through here, with a neutral value where one is gone.

The names themselves are listed in :mod:`livekit_otel.instrumentation.livekit_names`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

from ..containment import contained

if TYPE_CHECKING:
    from livekit.agents import AgentSession, AgentTask, JobContext, SpeechHandle
    from livekit.agents.llm import RealtimeModel, RealtimeModelError
    from livekit.agents.stt import STT, RecognizeStream
    from livekit.agents.tts import ChunkedStream, SynthesizeStream
    from livekit.agents.utils.aio import Chan
    from livekit.agents.voice.agent_activity import AgentActivity
    from livekit.agents.voice.audio_recognition import AudioRecognition


@cache
def _context_variable(name: str) -> ContextVar[Any] | None:
    from livekit.agents.voice import agent_activity

    return getattr(agent_activity, name, None)


def speech_handle() -> SpeechHandle | None:
    """The SpeechHandle that the current task works for."""
    variable = _context_variable("_SpeechHandleContextVar")
    return variable.get(None) if variable is not None else None


def activity_session() -> AgentSession[Any] | None:
    """The session whose activity created the current task."""
    variable = _context_variable("_AgentActivityContextVar")
    activity = variable.get(None) if variable is not None else None
    return activity.session if activity is not None else None


@cache
def realtime_model() -> type:
    from livekit.agents.llm import RealtimeModel

    return RealtimeModel


def current_speech(session: AgentSession[Any] | None) -> SpeechHandle | None:
    """The speech that the agent is at; inside code that works for one, that one."""
    speech = session.current_speech if session is not None else None
    return speech if speech is not None else speech_handle()


def turn_detection(activity: AgentActivity) -> object:
    """What ends the user's turns: ``vad``, ``stt``, ``manual``, ``realtime_llm``, or a model."""
    return getattr(activity, "_turn_detection", None)


def endpointing_delays(activity: AgentActivity) -> tuple[float, float] | None:
    """The shortest and the longest endpointing delay as they are now, seconds; None where LiveKit has none."""
    endpointing = getattr(getattr(activity, "_audio_recognition", None), "_endpointing", None)
    return (float(endpointing.min_delay), float(endpointing.max_delay)) if endpointing is not None else None


def activity_of(recognition: AudioRecognition) -> AgentActivity:
    """The activity that a session's recognition reports to."""
    return cast("AgentActivity", recognition._hooks)


def recognizer(stream: RecognizeStream) -> STT[Any]:
    """The recognizer that a stream is of."""
    return stream._stt


def hook_task(activity: AgentActivity) -> asyncio.Task[object] | None:
    """The task that runs ``on_user_turn_completed`` and asks for the reply."""
    return getattr(activity, "_user_turn_completed_atask", None)


def on_enter_task(activity: AgentActivity) -> asyncio.Task[Any] | None:
    """The task in which the agent's ``on_enter`` runs."""
    task = getattr(activity, "_on_enter_task", None)
    return task if isinstance(task, asyncio.Task) else None


def handoff_task(session: AgentSession[Any]) -> asyncio.Task[Any] | None:
    """The task that puts another agent in charge."""
    task = getattr(session, "_update_activity_atask", None)
    return task if isinstance(task, asyncio.Task) else None


def last_speaking_time(activity: AgentActivity) -> float | None:
    """When VAD last heard the user, unix seconds."""
    recognition = getattr(activity, "_audio_recognition", None)
    last = getattr(recognition, "_last_speaking_time", None)
    return float(last) if isinstance(last, int | float) else None


def realtime_llm(activity: AgentActivity) -> RealtimeModel:
    """The realtime model of an activity that uses one."""
    model: Any = activity.llm
    return cast("RealtimeModel", model)


def is_realtime(session: AgentSession[Any]) -> bool:
    """Whether the session, or the agent in charge, uses a speech-to-speech model."""
    agent_llm = getattr(getattr(session, "_agent", None), "llm", None)
    realtime = realtime_model()
    return isinstance(session.llm, realtime) or isinstance(agent_llm, realtime)


def transcribes_itself(session: AgentSession[Any] | None) -> bool:
    """Whether the user's words come from a realtime model's server, not from a recognizer of the session."""
    if session is None or not is_realtime(session):
        return False
    model = getattr(getattr(session, "_agent", None), "llm", None)
    if not isinstance(model, realtime_model()):
        model = session.llm
    return bool(getattr(getattr(model, "capabilities", None), "user_transcription", False))


@cache
def realtime_error() -> type[RealtimeModelError]:
    from livekit.agents.llm import RealtimeModelError

    return RealtimeModelError


def job_context() -> JobContext | None:
    from livekit.agents import get_job_context

    return get_job_context(required=False)


@cache
def fallback_adapters() -> tuple[type, ...]:
    """Models that ask others in turn, until one answers."""
    from livekit.agents import llm, stt, tts

    return llm.FallbackAdapter, tts.FallbackAdapter, stt.FallbackAdapter


def on_first_audio(stream: ChunkedStream | SynthesizeStream, callback: Callable[[float | None], None]) -> None:
    """Call ``callback`` once, when the stream's first audio leaves it: nothing is done for the frames after that.

    It gets the moment of ``time.perf_counter()`` at which the first text reached the provider, if LiveKit knows it.
    """
    channel: Chan[Any] | None = getattr(stream, "_event_ch", None)
    on_first_sent(channel, "tts.first_audio", lambda: callback(getattr(stream, "_started_time", None) or None))


def on_first_sent(channel: Chan[Any] | None, fault: str, callback: Callable[[], None]) -> None:
    """Call ``callback`` once, when the first item enters a channel of LiveKit's: nothing is done for later ones."""
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
    """The list that LiveKit's report is made of."""
    events = getattr(session, "_recorded_events", None)
    return events if isinstance(events, list) else None


def speaks(session: AgentSession[Any] | None) -> bool:
    """Whether answers are played, not only written."""
    return session is not None and session.output.audio is not None and session.output.audio_enabled


def is_started(session: AgentSession[Any]) -> bool:
    return bool(getattr(session, "_started", False))


def redaction_enabled(session: AgentSession[Any]) -> bool:
    """Whether LiveKit marked the session, its job or its project for redaction."""
    if getattr(session, "_redaction_enabled", False):
        return True
    context = job_context()
    if context is None:
        return False
    return bool(getattr(context, "_redaction_enabled", False) or getattr(context.job, "enable_redaction", False))


def delegates_metrics(stream: object, base: type) -> bool:
    """Whether a stream only passes work on (fallback and stream adapters): such a stream is no request of its own.

    Adapters say so by replacing the base class's metrics task; the streams they wrap report for themselves.
    """
    owner = next((cls for cls in type(stream).__mro__ if "_metrics_monitor_task" in vars(cls)), base)
    return owner is not base


def delegates_recognition(stt: object) -> bool:
    """Whether a non-streaming recognizer only passes work on (fallback and stream adapters): those it asks report."""
    return getattr(stt, "_recognize_metrics_needed", True) is False or hasattr(stt, "wrapped_stt")


def task_done(agent: AgentTask[Any]) -> Callable[[], bool]:
    """Asks whether a task is done. Not ``agent.done``: it may have a tool of that name."""
    from livekit.agents import AgentTask

    return partial(AgentTask.done, agent)
