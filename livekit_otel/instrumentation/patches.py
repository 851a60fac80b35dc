"""The single table of wrapped functions; ``instrument()`` and ``uninstrument()`` both use it."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import wrapt

from .hooks import agent_task, amd, eou, job, llm, native, node, own_nodes, realtime, session, speech, stt, tool, tts

logger = logging.getLogger("livekit_otel")


@dataclass(frozen=True)
class Patch:
    """Wraps ``cls.name`` of ``module`` with ``wrapper``; ``cls`` may also be a module that ``module`` imports."""

    module: str
    cls: str
    name: str
    wrapper: Callable[..., Any]


_VOICE = "livekit.agents.voice"
_SESSION = "livekit.agents.voice.agent_session"
_ACTIVITY = "livekit.agents.voice.agent_activity"
_JOB = "livekit.agents.job"
_RECOGNITION = "livekit.agents.voice.audio_recognition"
_LLM = "livekit.agents.llm.llm"
_TTS = "livekit.agents.tts.tts"
_STT = "livekit.agents.stt.stt"

PATCHES: tuple[Patch, ...] = (
    Patch(_SESSION, "AgentSession", "start", session.start),
    Patch(_SESSION, "AgentSession", "emit", session.emit),
    Patch(_SESSION, "AgentSession", "_aclose_impl", session.aclose_impl),
    Patch(_SESSION, "AgentSession", "generate_reply", session.generate_reply),
    Patch(_SESSION, "AgentSession", "update_agent", session.update_agent),
    Patch(_JOB, "JobContext", "_on_setup", job.on_setup),
    Patch(_JOB, "JobContext", "connect", job.connect),
    Patch(_JOB, "JobContext", "make_session_report", job.make_session_report),
    Patch(_JOB, "JobContext", "_on_session_end", job.on_session_end),
    Patch(_ACTIVITY, "AgentActivity", "on_start_of_speech", speech.on_start_of_speech),
    Patch(_ACTIVITY, "AgentActivity", "on_end_of_speech", speech.on_end_of_speech),
    Patch(_ACTIVITY, "AgentActivity", "start", speech.start_activity),
    Patch(_ACTIVITY, "AgentActivity", "on_end_of_turn", eou.on_end_of_turn),
    Patch(_ACTIVITY, "AgentActivity", "on_eot_prediction", eou.on_eot_prediction),
    Patch(_RECOGNITION, "AudioRecognition", "_run_eou_detection", eou.run_eou_detection),
    Patch(_RECOGNITION, "AudioRecognition", "_process_stt_event", speech.process_stt_event),
    Patch(_ACTIVITY, "AgentActivity", "on_preemptive_generation", eou.on_preemptive_generation),
    Patch(_ACTIVITY, "AgentActivity", "clear_user_turn", eou.clear_user_turn),
    Patch(_ACTIVITY, "AgentActivity", "commit_user_turn", eou.commit_user_turn),
    Patch(_ACTIVITY, "AgentActivity", "_user_turn_completed_task", eou.user_turn_completed_task),
    Patch(_ACTIVITY, "AgentActivity", "_create_speech_task", node.create_speech_task),
    Patch(_VOICE, "agent_activity", "perform_llm_inference", node.perform_llm_inference),
    Patch(_VOICE, "agent_activity", "perform_tts_inference", node.perform_tts_inference),
    Patch(_ACTIVITY, "trace_utils", "record_exception", eou.record_exception),
    Patch(_ACTIVITY, "AgentActivity", "_on_input_speech_started", realtime.input_speech_started),
    Patch(_ACTIVITY, "AgentActivity", "_on_input_speech_stopped", realtime.input_speech_stopped),
    Patch(_ACTIVITY, "AgentActivity", "_on_remote_item_added", realtime.remote_item_added),
    Patch(_ACTIVITY, "AgentActivity", "_on_generation_created", realtime.generation_created),
    Patch(_ACTIVITY, "AgentActivity", "_realtime_generation_task", realtime.generation_task),
    Patch(_ACTIVITY, "AgentActivity", "_pause_authorization", amd.pause_authorization),
    Patch(_ACTIVITY, "AgentActivity", "_resume_authorization", amd.resume_authorization),
    Patch("livekit.agents.voice.speech_handle", "SpeechHandle", "_clear_authorization", amd.clear_authorization),
    Patch("livekit.agents.voice.amd.detector", "AMD", "_run", amd.run),
    Patch("livekit.agents.voice.amd.classifier", "_AMDClassifier", "_classify_user_speech", amd.classify),
    Patch("livekit.agents.voice.agent", "AgentTask", "__await__", agent_task.await_task),
    Patch("livekit.agents.voice.agent", "AgentTask", "complete", agent_task.complete),
    Patch("livekit.agents.voice.tool_executor", "_ToolExecutor", "execute", tool.execute),
    Patch("livekit.agents.voice.tool_executor", "_ToolExecutor", "_enqueue_reply", tool.enqueue_reply),
    Patch("livekit.agents.voice.tool_executor", "_ToolExecutor", "_deliver_reply", tool.deliver_reply),
    Patch(_LLM, "LLMStream", "_main_task", llm.main_task),
    Patch(_LLM, "LLMStream", "_metrics_monitor_task", llm.metrics_monitor_task),
    Patch(_LLM, "LLMStream", "_emit_error", llm.emit_error),
    Patch(_TTS, "ChunkedStream", "_main_task", tts.main_task),
    Patch(_TTS, "ChunkedStream", "_metrics_monitor_task", tts.metrics_monitor_task),
    Patch(_TTS, "ChunkedStream", "_emit_error", tts.emit_error),
    Patch(_TTS, "SynthesizeStream", "_main_task", tts.main_task),
    Patch(_TTS, "SynthesizeStream", "_metrics_monitor_task", tts.metrics_monitor_task),
    Patch(_TTS, "SynthesizeStream", "_emit_error", tts.emit_error),
    Patch("livekit.agents.telemetry.traces", "_DynamicTracer", "set_provider", native.set_provider),
    Patch(_STT, "STT", "recognize", stt.recognize),
    Patch(_STT, "RecognizeStream", "_main_task", stt.stream_main_task),
    Patch(_STT, "RecognizeStream", "_emit_error", stt.emit_error),
    Patch(_STT, "RecognizeStream", "__anext__", own_nodes.next_event),
    Patch(_ACTIVITY, "AgentActivity", "on_final_transcript", stt.heard),
)


@dataclass
class Applied:
    """An applied patch, with the original object to restore."""

    owner: type
    name: str
    original: Any
    wrapper: Any = None
    active: bool = True

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            return function(wrapped, instance, args, kwargs) if self.active else wrapped(*args, **kwargs)

        return wrapper


def apply(patches: tuple[Patch, ...] = PATCHES) -> list[Applied]:
    """Apply every patch. A name that this version of LiveKit lacks is logged and skipped."""
    applied: list[Applied] = []
    for patch in patches:
        owner = getattr(importlib.import_module(patch.module), patch.cls, None)
        original = vars(owner).get(patch.name) if owner is not None else None
        if owner is None or original is None:
            logger.warning(
                "livekit_otel: livekit-agents has no %s.%s.%s; its data will be missing from the trace",
                patch.module,
                patch.cls,
                patch.name,
            )
            continue
        one = Applied(owner, patch.name, original)
        one.wrapper = wrapt.FunctionWrapper(original, one.around(patch.wrapper))
        setattr(owner, patch.name, one.wrapper)
        applied.append(one)
    return applied


def restore(applied: list[Applied]) -> None:
    """Restore the originals, unless someone else has wrapped the wrapper, which then only delegates."""
    for one in reversed(applied):
        one.active = False
        if vars(one.owner).get(one.name) is one.wrapper:
            setattr(one.owner, one.name, one.original)
    applied.clear()
