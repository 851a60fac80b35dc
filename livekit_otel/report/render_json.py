"""Converts a report to plain data for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord
from ..turns import Flag, Gap, ModelUsage, Segment
from .failures import Failure, failures_of, reason_of
from .model import PIPELINE, SessionReport
from .turns import Turn
from .verdict import Verdict, verdict

__all__ = ["ended", "to_document", "turn_document"]


def to_document(report: SessionReport, *, full: bool = False) -> dict[str, Any]:
    """The report in LiveKit's format. ``full`` adds a key ``livekit_otel`` with data that LiveKit's report lacks."""
    document = report.to_dict()
    if full:
        document["livekit_otel"] = {
            "session_id": report.session_id,
            "conversation_id": report.conversation_id,
            "started_at": report.started_at,
            "ended_at": report.ended_at,
            "complete": report.complete,
            "redacted": report.redacted,
            "redacted_in_part": report.redacted_in_part,
            "warnings": report.warnings,
            "room": _room(report),
            "startup": msgspec.structs.asdict(report.startup) if report.startup is not None else None,
            **_verdict(verdict(report)),
            "outcome": report.outcome,
            "outcome_reason": report.outcome_reason,
            "tags": report.tags,
            "evaluations": report.evaluations,
            "latency": {name: msgspec.structs.asdict(one) for name, one in report.latency.items()},
            "silence": dict(report.silence),
            "gap_stages": dict(report.gap_stages),
            "usage": report.usage,
            "discarded": _usage(report.discarded),
            "interruptions": report.interruptions,
            "false_interruptions": report.false_interruptions,
            "backchannels": report.backchannels,
            "false_cutoffs": report.false_cutoffs,
            "interruption_rate": report.interruption_rate,
            **_provenance(report),
            "thresholds": dict(report.thresholds),
            "flags": _flags(report.flags),
            "flagged": dict(report.flagged),
            "turns": [_turn(turn) for turn in report.turns],
        }
    return document


def _provenance(report: SessionReport) -> dict[str, Any]:
    """For a trace that only LiveKit wrote: its origin, and the basis of its latencies."""
    if report.provenance == PIPELINE:
        return {}
    return {"provenance": report.provenance, "basis": report.basis}


def _room(report: SessionReport) -> dict[str, Any]:
    """The fields of :class:`~livekit_otel.Room`, including its participants and outages."""
    found = msgspec.structs.asdict(report.room_info)
    return {
        **found,
        "participants": [msgspec.structs.asdict(one) for one in report.room_info.participants],
        "outages": [msgspec.structs.asdict(one) for one in report.room_info.outages],
    }


def _verdict(found: Verdict) -> dict[str, Any]:
    return {
        "verdict": [{**_plain(one), "places": [_plain(place) for place in one.places]} for one in found.sentences],
        "failures": [_failure(one) for one in found.failures],
    }


def _plain(one: msgspec.Struct) -> dict[str, Any]:
    return msgspec.structs.asdict(one)


def _failure(one: Failure) -> dict[str, Any]:
    return {**_plain(one), "retried_for": list(one.retried_for), "explanation": reason_of(one)}


def ended(turn: Turn) -> str | None:
    """How the turn ended. A turn that was never answered is not completed, even if its span has that end reason."""
    return turn.why_not if turn.answered == "no" and turn.end_reason == attr.END_COMPLETED else turn.end_reason


def turn_document(turn: Turn) -> dict[str, Any]:
    """The data of a turn: times in Unix seconds, durations in seconds, null if a latency does not apply.

    A flag has the fields of :class:`~livekit_otel.Flag`; a failure has its cause in words (``explanation``).
    """
    return {
        "index": turn.index,
        "started_at": turn.start_ns / 1e9,
        "ended_at": turn.end_ns / 1e9,
        "end_reason": ended(turn),
        "agent": turn.agent,
        "speech_ids": turn.speech_ids,
        "models": turn.models,
        "user_text": turn.user_text,
        "agent_text": turn.agent_text,
        "unfinished": turn.unfinished,
        "latency": msgspec.structs.asdict(turn.latency),
        "silence": dict(turn.silence),
        "answered": turn.answered,
        "why_not": turn.why_not,
        "acknowledged": turn.acknowledged,
        "gaps": [_gap(gap) for gap in turn.gaps],
        "reported": turn.reported,
        "notes": list(turn.notes),
        "usage": _usage(turn.usage),
        "discarded": _usage(turn.discarded),
        "interruptions": turn.interruptions,
        "false_interruptions": turn.false_interruptions,
        "backchannels": turn.backchannels,
        "false_cutoff": turn.false_cutoff,
        "flags": _flags(turn.flags),
        "failures": [_failure(one) for one in failures_of(turn)],
    }


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        **turn_document(turn),
        "path": _path(turn.path),
        "stages": [_stage(span) for span in turn.stages],
    }


def _flags(flags: Iterable[Flag]) -> list[dict[str, Any]]:
    return [_plain(one) for one in flags]


def _gap(gap: Gap) -> dict[str, Any]:
    return {"started_at": gap.start_ns / 1e9, "seconds": gap.seconds, "stages": gap.stages, "path": _path(gap.path)}


def _path(path: Iterable[Segment]) -> list[dict[str, Any]]:
    return [{"stage": one.stage, "started_at": one.start_ns / 1e9, "ended_at": one.end_ns / 1e9} for one in path]


def _usage(usage: Iterable[ModelUsage]) -> list[dict[str, Any]]:
    return [one.to_dict(zeros=False) for one in usage]


def _stage(span: SpanRecord) -> dict[str, Any]:
    return {
        "kind": span.kind,
        "started_at": span.start_ns / 1e9,
        "ended_at": span.end_ns / 1e9,
        "status": span.status,
        "span_id": span.span_id,
    }
