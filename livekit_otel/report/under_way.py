"""Restores the playback that was in progress when a trace broke off from the journal: its span was not exported yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import attributes as attr
from ..spans import SpanRecord, text
from ..turns import turns_of
from .values import plain

__all__ = ["playback_under_way"]

#: replaces the unknown span ID
_NO_ID = "0" * 16


def playback_under_way(spans: Sequence[SpanRecord], events: Iterable[Mapping[str, Any]]) -> SpanRecord | None:
    """The playback in progress, up to the end of the last span; None if the agent was silent.

    Args:
        spans: the spans of a session whose end is missing, by start.
        events: the events of the session, as in LiveKit's report.
    """
    began = _speaks_since(events)
    if began is None:
        return None
    voices = {attr.KIND_TTS, attr.KIND_REALTIME}
    found = None
    for turn in turns_of(spans):
        given = [one for one in turn.stages if one.kind in voices and one.start_ns <= began]
        if given and turn.turn is None and not any(_ended_since(one, began) for one in turn.stages):
            found = turn.span_id, max(given, key=lambda one: one.start_ns)
    if found is None:
        return None
    parent, voice = found
    return SpanRecord(
        trace_id=voice.trace_id,
        span_id=_NO_ID,
        parent_id=parent,
        name=attr.KIND_PLAYBACK,
        start_ns=began,
        end_ns=max(began, *(span.end_ns for span in spans)),
        attributes={
            attr.KIND: attr.KIND_PLAYBACK,
            attr.SESSION_ID: text(voice.attributes, attr.SESSION_ID),
            attr.OUTCOME: attr.OUTCOME_UNFINISHED,
            **({attr.SPEECH_ID: speech} if (speech := text(voice.attributes, attr.SPEECH_ID)) else {}),
        },
        scope=attr.SCOPE,
    )


def _ended_since(span: SpanRecord, at_ns: int) -> bool:
    return span.kind == attr.KIND_PLAYBACK and span.end_ns > at_ns


def _speaks_since(events: Iterable[Mapping[str, Any]]) -> int | None:
    """When the agent began to speak, by its last state change; None if it did not speak."""
    since = None
    for event in events:
        if event.get("type") == "agent_state_changed":
            at = event.get("created_at")
            speaks = plain(event.get("new_state")) == "speaking"
            since = round(at * 1e9) if speaks and isinstance(at, int | float) else None
    return since
