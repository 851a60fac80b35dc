"""Defines which data is content: one table that marks each field of LiveKit's objects.

Fields that are not in the table are content, so that additions of newer LiveKit versions are withheld rather than
leaked. The same holds for everything inside a payload of the user (``extra``, tool arguments), whatever its type or
key, for job tags, and for names of tools that were never registered: a model made them up from what people said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

__all__ = [
    "CONTENT",
    "IDENTIFIER",
    "MEASURE",
    "METRICS",
    "MODEL_USAGE",
    "OBJECT",
    "OBJECTS",
    "REPORT",
    "TAGGER",
    "TOOL_NAME",
    "UNKNOWN",
    "Mark",
    "Rule",
    "Shape",
]


class Mark(Enum):
    """The kind of a field's value."""

    #: text that people said, wrote or own, and text that cannot be distinguished from it
    CONTENT = "content"
    #: ids, names of models and agents, states: strings, or lists of them
    IDENTIFIER = "identifier"
    #: times, counts, figures, flags: numbers and booleans
    MEASURE = "measure"
    #: an identifier where the tool was registered, else content
    TOOL_NAME = "tool name"
    #: an object that the table lists under its own ``type``, or a list of such objects; other values are content
    OBJECT = "object"


@dataclass(frozen=True, eq=False)
class Shape:
    """An object with these fields and without a ``type`` of its own, or a list of such objects."""

    fields: Mapping[str, Rule]


Rule: TypeAlias = Mark | Shape

CONTENT, IDENTIFIER, MEASURE, TOOL_NAME, OBJECT = Mark


def _marks(
    *,
    identifier: str = "",
    measure: str = "",
    content: str = "",
    tool_name: str = "",
    object: str = "",
    **shapes: Shape,
) -> dict[str, Rule]:
    """Fields by mark; each argument is a list of names."""
    marked: dict[str, Rule] = {}
    for mark, names in zip(Mark, (content, identifier, measure, tool_name, object), strict=True):
        marked.update(dict.fromkeys(names.split(), mark))
    return marked | shapes


METADATA = Shape(_marks(identifier="model_name model_provider"))
MODEL_USAGE = Shape(
    _marks(
        identifier="type provider model",
        measure="input_tokens input_cached_tokens input_cache_creation_tokens input_audio_tokens "
        "input_cached_audio_tokens input_text_tokens input_cached_text_tokens input_image_tokens "
        "input_cached_image_tokens output_tokens output_audio_tokens output_text_tokens output_reasoning_tokens "
        "session_duration characters_count audio_duration total_requests",
    )
)
METRICS_REPORT = Shape(
    _marks(
        identifier="provider_request_ids",
        measure="started_speaking_at stopped_speaking_at transcription_delay end_of_turn_delay "
        "on_user_turn_completed_delay llm_node_ttft llm_node_tps llm_node_ttfs tts_node_ttfb playback_latency "
        "e2e_latency",
        llm_metadata=METADATA,
        tts_metadata=METADATA,
        stt_metadata=METADATA,
    )
)
_PREEMPTIVE = Shape(_marks(measure="enabled preemptive_tts max_speech_duration max_retries"))
_RECORDING = Shape(_marks(measure="audio traces logs transcript redaction input_delta"))
_OPTIONS = Shape(
    _marks(
        measure="allow_interruptions discard_audio_if_uninterruptible min_interruption_duration "
        "min_interruption_words min_endpointing_delay max_endpointing_delay max_tool_steps user_away_timeout "
        "min_consecutive_speech_delay",
        preemptive_generation=_PREEMPTIVE,
        recording_options=_RECORDING,
    )
)
#: the report without events and history (``SessionReport.to_dict()``)
REPORT = Shape(
    _marks(
        identifier="job_id room_id audio_recording_path sdk_version agent_name close_reason",
        measure="audio_recording_started_at timestamp duration_ms user_turns",
        content="room tags",
        object="events chat_history",
        options=_OPTIONS,
        usage=MODEL_USAGE,
        errors=Shape(_marks(measure="llm stt tts realtime interruption")),
    )
)

#: what a job was tagged with, and what judges found
TAGGER = Shape(
    _marks(
        identifier="outcome",
        content="outcome_reason",
        tags=Shape(_marks(content="tag metadata", measure="timestamp")),
        evaluations=Shape(_marks(content="name tag reasoning instructions", identifier="verdict")),
    )
)

#: additions of users and providers to an item; LiveKit stores one flag of its own there
_EXTRA = Shape(_marks(measure="__livekit_agents_tool_non_blocking"))
_ITEM = _marks(identifier="type id", measure="created_at")
_EVENT = _marks(identifier="type", measure="created_at")
_CALL = _marks(identifier="type id call_id")
_PIPELINE_ERROR = _marks(identifier="type label", measure="timestamp recoverable", content="error")

#: events, history items and the objects inside them, by ``type``
OBJECTS: dict[str, Mapping[str, Rule]] = {
    # --- history items
    "message": _ITEM
    | _marks(
        identifier="role",
        measure="interrupted transcript_confidence",
        content="hash",
        object="content",
        metrics=METRICS_REPORT,
        extra=_EXTRA,
    ),
    "function_call": _ITEM | _marks(identifier="call_id group_id", content="arguments", tool_name="name", extra=_EXTRA),
    "function_call_output": _ITEM
    | _marks(identifier="call_id", measure="is_error reply_required", content="output", tool_name="name"),
    "agent_handoff": _ITEM | _marks(identifier="old_agent_id new_agent_id"),
    # LiveKit lists registered tools here, including those that are no longer registered
    "agent_config_update": _ITEM | _marks(identifier="tools_added tools_removed", content="instructions"),
    # --- parts of a message
    "image_content": _marks(
        identifier="type id inference_detail mime_type",
        measure="inference_width inference_height",
        content="image",
    ),
    "audio_content": _marks(identifier="type", content="frame transcript"),
    "cache_breakpoint": _marks(identifier="type"),
    # --- events
    "user_state_changed": _EVENT | _marks(identifier="old_state new_state"),
    "agent_state_changed": _EVENT | _marks(identifier="old_state new_state"),
    "user_input_transcribed": _EVENT
    | _marks(identifier="item_id language", measure="is_final", content="transcript speaker_id"),
    "user_transcription_timeout": _EVENT | _marks(measure="speech_duration vad_speech_started_at"),
    "eot_prediction": _EVENT | _marks(measure="probability threshold inference_duration delay"),
    "agent_false_interruption": _EVENT | _marks(measure="resumed", content="extra_instructions", object="message"),
    "overlapping_speech": _EVENT
    | _marks(
        measure="detected_at is_interruption agent_ended total_duration prediction_duration detection_delay "
        "overlap_started_at probability num_requests",
        content="speech_input probabilities",
    ),
    "conversation_item_added": _EVENT | _marks(object="item"),
    "function_tools_executed": _EVENT | _marks(object="function_calls function_call_outputs"),
    "metrics_collected": _EVENT | _marks(object="metrics"),
    "session_usage_updated": _EVENT | {"usage": Shape({"model_usage": MODEL_USAGE})},
    "speech_created": _EVENT | _marks(identifier="source", measure="user_initiated", content="speech_handle"),
    "tool_execution_updated": _EVENT | _marks(object="update"),
    "user_turn_exceeded": _EVENT
    | _marks(measure="accumulated_word_count duration", content="transcript accumulated_transcript"),
    "error": _EVENT | _marks(object="error") | {"source": Shape(_marks(identifier="model provider"))},
    "close": _EVENT | _marks(identifier="reason", object="error"),
    # --- the life of a tool call
    "tool_call_started": _marks(identifier="type", object="function_call"),
    "tool_call_updated": _CALL | _marks(measure="silent", content="message"),
    "tool_call_ended": _CALL | _marks(identifier="status", content="message"),
    "tool_reply_updated": _marks(identifier="type update_ids status speech_id"),
    # --- errors
    "llm_error": _PIPELINE_ERROR,
    "stt_error": _PIPELINE_ERROR,
    "tts_error": _PIPELINE_ERROR,
    "realtime_model_error": _PIPELINE_ERROR,
    "interruption_detection_error": _PIPELINE_ERROR,
}
#: an event or a history item whose type is not in the table
UNKNOWN = _ITEM

_CACHED_TOKENS = Shape(_marks(measure="audio_tokens text_tokens image_tokens"))
_TOKENS = Shape(
    _marks(measure="audio_tokens text_tokens image_tokens cached_tokens", cached_tokens_details=_CACHED_TOKENS)
)
#: the metrics of all stages. Unknown numbers from newer LiveKit versions count as measures, as no user sets them.
METRICS = _marks(
    identifier="type label request_id speech_id segment_id",
    measure="timestamp duration audio_duration session_duration total_duration prediction_duration detection_delay "
    "idle_time inference_duration_total inference_count end_of_utterance_delay transcription_delay "
    "on_user_turn_completed_delay ttft ttfb tokens_per_second completion_tokens prompt_tokens prompt_cached_tokens "
    "cache_creation_tokens reasoning_tokens total_tokens input_tokens output_tokens input_audio_tokens "
    "characters_count cancelled streamed acquire_time connection_reused num_interruptions num_backchannels "
    "num_requests playback_latency session_started_time avatar_joined_time",
    metadata=METADATA,
    input_token_details=_TOKENS,
    output_token_details=_TOKENS,
)
OBJECTS |= dict.fromkeys(
    (
        "vad_metrics",
        "stt_metrics",
        "eou_metrics",
        "eot_inference_metrics",
        "llm_metrics",
        "decision_metrics",
        "tts_metrics",
        "realtime_model_metrics",
        "interruption_metrics",
        "avatar_metrics",
    ),
    METRICS,
)
