"""Every private name of LiveKit Agents that livekit_otel uses, with the reason, and the versions that have it.

A test fails if an installed version lacks one. The other ``livekit_`` modules of this package and the wrappers read
them, with a neutral value if a name is gone; the patch table wraps them.
"""

from __future__ import annotations

__all__ = ["FIELDS", "PLUGIN_FIELDS", "PRIVATE_NAMES", "VERIFIED"]

VERIFIED = ("1.8.3", "1.8.6", "1.8.7", "1.8.9")

#: (module, dotted name, reason)
PRIVATE_NAMES: tuple[tuple[str, str, str], ...] = (
    ("livekit.agents.voice.agent_session", "AgentSession._aclose_impl", "the only way to close a session"),
    ("livekit.agents.job", "JobContext._on_setup", "the entrypoint is about to be called"),
    ("livekit.agents.job", "JobContext._on_session_end", "LiveKit makes its own report, the last one"),
    ("livekit.agents.voice.agent_activity", "AgentActivity.on_start_of_speech", "a VAD segment begins"),
    ("livekit.agents.voice.agent_activity", "AgentActivity.on_end_of_speech", "a VAD segment ends"),
    ("livekit.agents.voice.agent_activity", "AgentActivity.start", "an agent is entered"),
    ("livekit.agents.voice.agent_activity", "AgentActivity.on_end_of_turn", "the user's turn is committed or not"),
    ("livekit.agents.voice.agent_activity", "AgentActivity.on_eot_prediction", "the end-of-turn detector's prediction"),
    ("livekit.agents.voice.audio_recognition", "AudioRecognition._run_eou_detection", "a check for the end begins"),
    (
        "livekit.agents.voice.audio_recognition",
        "AudioRecognition._process_stt_event",
        "it overwrites the moment at which VAD last heard the user",
    ),
    ("livekit.agents.voice.agent_activity", "AgentActivity.on_preemptive_generation", "a preemptive reply begins"),
    ("livekit.agents.voice.agent_activity", "AgentActivity.clear_user_turn", "the user's words are discarded"),
    ("livekit.agents.voice.agent_activity", "AgentActivity.commit_user_turn", "the user's turn is committed by code"),
    (
        "livekit.agents.voice.agent_activity",
        "AgentActivity._user_turn_completed_task",
        "the hook ran, with or without a request for a reply",
    ),
    ("livekit.agents.voice.agent_activity", "AgentActivity._create_speech_task", "on_enter and on_exit run"),
    ("livekit.agents.voice", "agent_activity.perform_llm_inference", "an llm_node runs"),
    ("livekit.agents.voice", "agent_activity.perform_tts_inference", "a tts_node runs"),
    ("livekit.agents.voice.agent_activity", "trace_utils.record_exception", "the hook raised"),
    ("livekit.agents.voice.agent_activity", "AgentActivity._on_input_speech_started", "a server hears the user"),
    ("livekit.agents.voice.agent_activity", "AgentActivity._on_input_speech_stopped", "a server hears the user stop"),
    ("livekit.agents.voice.agent_activity", "AgentActivity._on_remote_item_added", "a server made an item of speech"),
    ("livekit.agents.voice.agent_activity", "AgentActivity._on_generation_created", "a server created a response"),
    (
        "livekit.agents.voice.agent_activity",
        "AgentActivity._realtime_generation_task",
        "one response of a realtime model",
    ),
    ("livekit.agents.voice.agent_activity", "AgentActivity._pause_authorization", "speech is not played for now"),
    ("livekit.agents.voice.agent_activity", "AgentActivity._resume_authorization", "speech is played again"),
    ("livekit.agents.voice.speech_handle", "SpeechHandle._clear_authorization", "this speech may be played"),
    ("livekit.agents.voice.amd.detector", "AMD._run", "tasks that it starts work for its session"),
    (
        "livekit.agents.voice.amd.classifier",
        "_AMDClassifier._classify_user_speech",
        "its requests are not part of the conversation",
    ),
    ("livekit.agents.voice.agent_activity", "_AgentActivityContextVar", "the session that a stream works for"),
    ("livekit.agents.voice.agent_activity", "_SpeechHandleContextVar", "the speech that a stream works for"),
    ("livekit.agents.voice.tool_executor", "_ToolExecutor.execute", "one function call"),
    ("livekit.agents.voice.tool_executor", "_ToolExecutor._enqueue_reply", "a late result waits to be spoken"),
    ("livekit.agents.voice.tool_executor", "_ToolExecutor._deliver_reply", "the reply to late results is requested"),
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
    ("livekit.agents.stt.stt", "RecognizeStream._emit_error", "a stream reconnects"),
    ("livekit.agents.voice.agent_activity", "AgentActivity.on_final_transcript", "metadata of a transcript"),
    ("livekit.agents.telemetry.traces", "_DynamicTracer.set_provider", "LiveKit's own spans change their provider"),
    ("livekit.agents.telemetry.traces", "tracer._tracer_provider", "where LiveKit's own spans go"),
    ("livekit.agents.telemetry.traces", "tracer._tracer", "what starts them"),
    ("livekit.agents.telemetry.traces", "_pii_redaction_installed", "providers that were set on LiveKit's tracer"),
    ("livekit.agents.telemetry.traces", "_MetadataSpanProcessor", "metadata that a provider already puts on spans"),
)

#: fields that objects of LiveKit's get when they are created: (module, class, field, reason)
FIELDS: tuple[tuple[str, str, str, str], ...] = (
    ("livekit.agents.llm.llm", "LLMStream", "_llm", "the model of a request"),
    ("livekit.agents.llm.llm", "LLMStream", "_chat_ctx", "its input"),
    ("livekit.agents.stt.fallback_adapter", "FallbackAdapter", "_active_instance", "the recognizer that is serving"),
    ("livekit.agents.stt.stt", "RecognizeStream", "_stt", "the recognizer of a stream"),
    ("livekit.agents.stt.stt", "STT", "_recognize_metrics_needed", "whether a recognizer delegates its work"),
    ("livekit.agents.tts.tts", "ChunkedStream", "_tts", "the voice of a synthesis"),
    ("livekit.agents.tts.tts", "ChunkedStream", "_input_text", "its text"),
    ("livekit.agents.tts.tts", "ChunkedStream", "_event_ch", "its first audio"),
    ("livekit.agents.tts.tts", "SynthesizeStream", "_tts", "the voice of a synthesis"),
    ("livekit.agents.tts.tts", "SynthesizeStream", "_pushed_text", "its text"),
    ("livekit.agents.tts.tts", "SynthesizeStream", "_event_ch", "its first audio"),
    ("livekit.agents.tts.tts", "SynthesizeStream", "_metrics_task", "whether it reports metrics"),
    ("livekit.agents.tts.tts", "SynthesizeStream", "_started_time", "when its first text reached the provider"),
    ("livekit.agents.inference.tts", "TTS", "_opts", "the voice's name"),
    ("livekit.agents.voice.agent_activity", "AgentActivity", "_audio_recognition", "the endpointing delays"),
    ("livekit.agents.voice.agent_activity", "AgentActivity", "_on_enter_task", "whether on_enter is running"),
    ("livekit.agents.voice.agent_activity", "AgentActivity", "_rt_turn_detection_enabled", "who ends a turn"),
    ("livekit.agents.voice.agent_activity", "AgentActivity", "_turn_detection", "what ends a turn"),
    ("livekit.agents.voice.agent_activity", "AgentActivity", "_user_turn_completed_atask", "the hook that is running"),
    ("livekit.agents.voice.agent_session", "AgentSession", "_agent", "the active agent's model"),
    ("livekit.agents.voice.agent_session", "AgentSession", "_recorded_events", "the events of LiveKit's report"),
    ("livekit.agents.voice.agent_session", "AgentSession", "_recorder_io", "when the recording began"),
    ("livekit.agents.voice.agent_session", "AgentSession", "_room_io", "the participant that the session listens to"),
    ("livekit.agents.voice.agent_session", "AgentSession", "_started", "whether the session runs"),
    ("livekit.agents.voice.agent_session", "AgentSession", "_update_activity_atask", "whether a handoff is running"),
    ("livekit.agents.voice.audio_recognition", "AudioRecognition", "_endpointing", "the endpointing delays"),
    ("livekit.agents.voice.audio_recognition", "AudioRecognition", "_hooks", "the activity that it reports to"),
    ("livekit.agents.voice.audio_recognition", "AudioRecognition", "_last_speaking_time", "when VAD last heard speech"),
    ("livekit.agents.voice.speech_handle", "SpeechHandle", "_interrupt_source", "what cut a speech off"),
)

#: the same of plugins; :data:`PRIVATE_NAMES` and :data:`FIELDS` are LiveKit's own
PLUGIN_FIELDS: tuple[tuple[str, str, str, str], ...] = (
    ("livekit.plugins.cartesia.tts", "TTS", "_opts", "the voice's name"),
    ("livekit.plugins.elevenlabs.tts", "TTS", "_opts", "the voice's name"),
    ("livekit.plugins.openai.tts", "TTS", "_opts", "the voice's name"),
    ("livekit.plugins.google.realtime.realtime_api", "RealtimeModel", "_opts", "the voice's name"),
    ("livekit.plugins.google.realtime.realtime_api", "RealtimeSession", "_current_generation", "the response"),
    (
        "livekit.plugins.google.realtime.realtime_api",
        "_ResponseGeneration",
        "_completed_timestamp",
        "whether the server completed it",
    ),
    (
        "livekit.plugins.google.realtime.realtime_api",
        "RealtimeSession",
        "_in_user_activity",
        "that its server does not say when the user stopped",
    ),
    ("livekit.plugins.openai.realtime.realtime_model", "RealtimeModel", "_opts", "the voice's name"),
    (
        "livekit.plugins.openai.realtime.realtime_model",
        "RealtimeSession",
        "_remote_chat_ctx",
        "that its server announces items",
    ),
)
