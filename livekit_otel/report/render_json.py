"""A report as plain data for JSON."""

from __future__ import annotations

from typing import Any

from ..spans import SpanRecord
from .model import SessionReport
from .turns import Turn

__all__ = ["to_document"]


def to_document(report: SessionReport, *, full: bool = False) -> dict[str, Any]:
    """LiveKit's shape; ``full`` adds the key ``livekit_otel`` with what LiveKit's report does not have."""
    document = report.to_dict()
    if full:
        document["livekit_otel"] = {
            "session_id": report.session_id,
            "conversation_id": report.conversation_id,
            "started_at": report.started_at,
            "ended_at": report.ended_at,
            "complete": report.complete,
            "redacted": report.redacted,
            "warnings": report.warnings,
            "usage": report.usage,
            "turns": [_turn(turn) for turn in report.turns],
        }
    return document


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "index": turn.index,
        "started_at": turn.start_ns / 1e9,
        "ended_at": turn.end_ns / 1e9,
        "end_reason": turn.end_reason,
        "agent": turn.agent,
        "speech_ids": turn.speech_ids,
        "models": turn.models,
        "user_text": turn.user_text,
        "agent_text": turn.agent_text,
        "reported": turn.reported,
        "stages": [_stage(span) for span in turn.stages],
    }


def _stage(span: SpanRecord) -> dict[str, Any]:
    return {
        "kind": span.kind,
        "started_at": span.start_ns / 1e9,
        "ended_at": span.end_ns / 1e9,
        "status": span.status,
        "span_id": span.span_id,
    }
