"""The report's own fields: LiveKit's final values if the journal has them, else computed from the available data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .. import attributes as attr
from ..journal import RestoredSession
from ..spans import text
from .values import plain

__all__ = ["KEYS", "close_reason", "complete_head", "error_counts", "name_of_reason"]

Dict = dict[str, Any]

#: The keys of LiveKit 1.8.9, for journals whose beginning is missing.
KEYS = (
    "job_id", "room_id", "room", "events", "audio_recording_path", "audio_recording_started_at", "options",
    "chat_history", "timestamp", "usage", "sdk_version", "agent_name", "tags", "duration_ms", "user_turns", "errors",
    "close_reason",
)  # fmt: skip
_ERRORS = {
    "llm_error": "llm",
    "stt_error": "stt",
    "tts_error": "tts",
    "realtime_model_error": "realtime",
    "interruption_detection_error": "interruption",
}
_REASONS = {
    "error": "CR_ERROR",
    "job_shutdown": "CR_JOB_SHUTDOWN",
    "participant_disconnected": "CR_PARTICIPANT_DISCONNECTED",
    "user_initiated": "CR_USER_INITIATED",
    "task_completed": "CR_COMPLETED",
}


def complete_head(restored: RestoredSession, start: Mapping[str, Any], started_at: float, ended_at: float) -> Dict:
    """All keys of the report in LiveKit's order.

    ``start``: attributes of session.start. The times are Unix seconds, used if the journal has no final head.
    """
    head = dict(restored.head) if restored.head is not None else _from_span(start)
    if not restored.closed:
        # the head that was written at the start has the duration at that time
        head |= {name: one for name, one in _times(started_at, ended_at).items() if name in head}
        if "usage" in head:
            # LiveKit's report has the type of each usage since the release that added agent_name
            kept = ("type", "provider", "model") if "agent_name" in head else ("provider", "model")
            head["usage"] = [_without_defaults(one, kept) for one in restored.usage if one] or None
    if "user_turns" in head:
        head["user_turns"] = sum(i.get("type") == "message" and i.get("role") == "user" for i in restored.items)
    if "errors" in head:
        head["errors"] = error_counts(restored.events)
    if "close_reason" in head:
        head["close_reason"] = close_reason(restored.events)
    return head


def close_reason(events: Iterable[Dict]) -> str | None:
    """The reason of the last close event, in the spelling of LiveKit's protocol."""
    found = None
    for event in events:
        if event.get("type") == "close":
            found = name_of_reason(plain(event.get("reason")))
    return found


def name_of_reason(reason: str) -> str:
    """A close reason in the spelling of LiveKit's protocol."""
    return _REASONS.get(reason, "CR_UNKNOWN")


def error_counts(events: Iterable[Dict]) -> dict[str, int]:
    """The number of error events by kind, as LiveKit counts them."""
    counts = dict.fromkeys(_ERRORS.values(), 0)
    for event in events:
        if event.get("type") == "error" and isinstance(error := event.get("error"), dict):
            kind = _ERRORS.get(plain(error.get("type")))
            if kind is not None:
                counts[kind] += 1
    return counts


def _without_defaults(usage: Dict, kept: tuple[str, ...]) -> Dict:
    return {name: value for name, value in usage.items() if name in kept or (value != 0 and name != "type")}


def _times(started_at: float, ended_at: float) -> Dict:
    return {"timestamp": ended_at, "duration_ms": int(max(0.0, ended_at - started_at) * 1000)}


def _from_span(start: Mapping[str, Any]) -> Dict:
    head: Dict = dict.fromkeys(KEYS)
    head |= {
        "job_id": text(start, attr.SESSION_JOB_ID),
        "room_id": text(start, attr.SESSION_ROOM_ID),
        "room": text(start, attr.SESSION_ROOM),
        "options": {},
        "sdk_version": text(start, attr.SESSION_SDK_VERSION),
        "agent_name": "",
        "tags": [],
    }
    return head
