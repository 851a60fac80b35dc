"""Everything of LiveKit Agents that is not public and that we touch, in one place.

``PRIVATE_NAMES`` lists each such name with the versions it was verified on; a test fails when an installed version
lacks one. All reads go through the functions below, which return a neutral value when the name is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from .. import attributes as attr

if TYPE_CHECKING:
    from livekit.agents import AgentSession, JobContext

VERIFIED = ("1.8.3", "1.8.6", "1.8.7", "1.8.9")

#: (module, dotted name, why)
PRIVATE_NAMES: tuple[tuple[str, str, str], ...] = (
    ("livekit.agents.voice.agent_session", "AgentSession._aclose_impl", "the one way in which a session closes"),
    ("livekit.agents.voice.agent_activity", "AgentActivity.on_start_of_speech", "a VAD segment begins"),
    ("livekit.agents.voice.agent_activity", "AgentActivity.on_end_of_speech", "a VAD segment ends"),
    ("livekit.agents.voice.agent_activity", "AgentActivity.on_end_of_turn", "the user's turn is committed or not"),
    (
        "livekit.agents.voice.agent_activity",
        "AgentActivity._user_turn_completed_task",
        "the hook ran and a reply was asked for, or not",
    ),
    (
        "livekit.agents.voice.agent_activity",
        "AgentActivity._realtime_generation_task",
        "one response of a realtime model",
    ),
    ("livekit.agents.voice.agent_activity", "_AgentActivityContextVar", "the session that a stream works for"),
    ("livekit.agents.voice.agent_activity", "_SpeechHandleContextVar", "the speech that a stream works for"),
    ("livekit.agents.voice.tool_executor", "_ToolExecutor.execute", "one function call"),
    ("livekit.agents.llm.llm", "LLMStream._main_task", "one LLM request, whatever the plugin"),
    ("livekit.agents.llm.llm", "LLMStream._metrics_monitor_task", "its chunks and its metrics"),
    ("livekit.agents.llm.llm", "LLMStream._emit_error", "a failed attempt"),
    ("livekit.agents.tts.tts", "ChunkedStream._main_task", "one TTS request"),
    ("livekit.agents.tts.tts", "ChunkedStream._metrics_monitor_task", "its metrics"),
    ("livekit.agents.tts.tts", "ChunkedStream._emit_error", "a failed attempt"),
    ("livekit.agents.tts.tts", "SynthesizeStream._main_task", "one TTS request"),
    ("livekit.agents.tts.tts", "SynthesizeStream._metrics_monitor_task", "its metrics"),
    ("livekit.agents.tts.tts", "SynthesizeStream._emit_error", "a failed attempt"),
    ("livekit.agents.stt.stt", "RecognizeStream._main_task", "STT failures"),
    ("livekit.agents.telemetry.traces", "_DynamicTracer.set_provider", "LiveKit's own spans go somewhere else now"),
    ("livekit.agents.telemetry.traces", "tracer._tracer_provider", "where LiveKit's own spans go"),
    ("livekit.agents.telemetry.traces", "tracer._tracer", "what begins them"),
    ("livekit.agents.telemetry.traces", "_pii_redaction_installed", "providers that LiveKit's tracer was given"),
    ("livekit.agents.telemetry.traces", "_MetadataSpanProcessor", "metadata that a provider's spans already get"),
)


@cache
def _context_variable(name: str) -> ContextVar[Any] | None:
    from livekit.agents.voice import agent_activity

    return getattr(agent_activity, name, None)


def speech_handle() -> Any | None:
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


def job_context() -> JobContext | None:
    from livekit.agents import get_job_context

    return get_job_context(required=False)


def cloud_stamp() -> Mapping[str, Any]:
    """What LiveKit puts on each span of a job that LiveKit Cloud records, and uploads spans by; else nothing."""
    state = getattr(job_context(), "_telemetry_state", None)
    attributes = getattr(state, "attributes", None)
    return attributes if isinstance(attributes, Mapping) else {}


@cache
def fallback_adapters() -> tuple[type, ...]:
    """Models that ask others in turn, until one answers."""
    from livekit.agents import llm, stt, tts

    return llm.FallbackAdapter, tts.FallbackAdapter, stt.FallbackAdapter


@cache
def native_tracer() -> Any:
    """LiveKit's own tracer, whose provider can be set."""
    from livekit.agents.telemetry import tracer

    return tracer


def native_provider() -> trace.TracerProvider:
    """The provider that LiveKit's own spans go to; a proxy stands for OpenTelemetry's global one."""
    provider: trace.TracerProvider | None = getattr(native_tracer(), "_tracer_provider", None)
    return provider if provider is not None else trace.get_tracer_provider()


def was_given(provider: object) -> bool:
    """Whether LiveKit's ``set_tracer_provider`` was called with this SDK provider (or its Cloud recording uses it)."""
    from livekit.agents.telemetry import traces

    try:
        return provider in getattr(traces, "_pii_redaction_installed", ())
    except TypeError:
        return False


def stamps(processor: object, metadata: Mapping[str, Any]) -> bool:
    """Whether a processor is LiveKit's, for this very metadata."""
    if type(processor).__name__ != "_MetadataSpanProcessor":
        return False
    found = getattr(processor, "_provider_metadata", None) or getattr(processor, "_metadata", None)
    return bool(found == dict(metadata))


def is_native(span: trace.Span) -> bool:
    """Whether a span is one of LiveKit's own, and records."""
    scope = getattr(span, "instrumentation_scope", None)
    return scope is not None and scope.name == attr.NATIVE_SCOPE and span.is_recording()


def may_be_native(span: trace.Span) -> bool:
    """The same where a provider's spans do not say who made them: then they may be LiveKit's."""
    return span.is_recording() and (getattr(span, "instrumentation_scope", None) is None or is_native(span))


def recorded_events(session: Any) -> list[Any] | None:
    """The list that LiveKit's report is made of."""
    events = getattr(session, "_recorded_events", None)
    return events if isinstance(events, list) else None


def is_started(session: Any) -> bool:
    return bool(getattr(session, "_started", False))


def redaction_enabled(session: Any) -> bool:
    """Whether LiveKit marked the session, its job or its project for redaction."""
    if getattr(session, "_redaction_enabled", False):
        return True
    context = job_context()
    if context is None:
        return False
    return bool(getattr(context, "_redaction_enabled", False) or getattr(context.job, "enable_redaction", False))


def report_head(session: Any, context: JobContext | None) -> dict[str, Any]:
    """LiveKit's report of the session without events and history, made by LiveKit's own class."""
    import time

    from livekit.agents.llm import ChatContext
    from livekit.agents.voice import report

    recorder = getattr(session, "_recorder_io", None)
    path = getattr(recorder, "output_path", None)
    recording_since = getattr(recorder, "recording_started_at", None)
    now = time.time()
    since = recording_since or getattr(session, "_started_at", None)
    job = context.job if context is not None else None
    fields: dict[str, Any] = {
        "job_id": job.id if job else "",
        "room_id": job.room.sid if job else "",
        "room": job.room.name if job else "",
        "options": session.options,
        "events": [],
        "chat_history": ChatContext.empty(),
        "audio_recording_path": path,
        "audio_recording_started_at": recording_since,
        "started_at": getattr(session, "_started_at", None),
        "duration": now - since if since else None,
        "timestamp": now,
        "model_usage": session.usage.model_usage,
    }
    known = report.SessionReport.__dataclass_fields__
    if "agent_name" in known and job is not None and context is not None:
        fields["agent_name"] = job.agent_name
        fields["tags"] = sorted(context.tagger.tags)
    head: dict[str, Any] = report.SessionReport(**fields).to_dict()
    return {key: None if key in ("events", "chat_history") else part for key, part in head.items()}


def delegates_metrics(stream: object, base: type) -> bool:
    """Whether a stream only passes work on (fallback and stream adapters): such a stream is no request of its own.

    Adapters say so by replacing the base class's metrics task; the streams they wrap report for themselves.
    """
    owner = next((cls for cls in type(stream).__mro__ if "_metrics_monitor_task" in vars(cls)), base)
    return owner is not base


def delegates_recognition(stt: object) -> bool:
    """Whether a non-streaming recognizer only passes work on (fallback and stream adapters): those it asks report."""
    return getattr(stt, "_recognize_metrics_needed", True) is False or hasattr(stt, "wrapped_stt")
