"""Stored exports of the scripted sessions, and what they read to: traces that people have stored must read the same.

``tests/data/golden`` has two files for each scripted session (pipeline spans alone, and with LiveKit's native spans):
``NAME.jsonl.gz`` as the OTLP JSON file exporter wrote it, and in ``results.json.gz`` the report, the turns and the
numbers that it read to. Record with ``python -m tests.record_golden``.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

import livekit_otel
from livekit_otel import SessionReport

FOLDER = Path(__file__).parent / "data" / "golden"
RESULTS = FOLDER / "results.json.gz"
SUFFIX = ".jsonl.gz"


def golden_names() -> list[str]:
    """The stored exports."""
    return sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}"))


@cache
def stored_results() -> dict[str, Any]:
    """What each stored export reads to, by its name."""
    with gzip.open(RESULTS, "rt", encoding="utf-8") as file:
        return json.load(file)  # type: ignore[no-any-return]


def read(name: str) -> list[dict[str, Any]]:
    """What a stored export reads to now: its sessions, by start."""
    reports = livekit_otel.build_reports(livekit_otel.read_spans(FOLDER / f"{name}{SUFFIX}"))
    ordered = sorted(reports, key=lambda report: (report.started_at or 0.0, report.session_id))
    return [json.loads(json.dumps(_session(report), allow_nan=False)) for report in ordered]


def _session(report: SessionReport) -> dict[str, Any]:
    return {
        "session_id": report.session_id,
        "conversation_id": report.conversation_id,
        "started_at": report.started_at,
        "ended_at": report.ended_at,
        "complete": report.complete,
        "redacted": report.redacted,
        "warnings": report.warnings,
        "report": report.to_dict(),
        "latency": {name: msgspec.structs.asdict(one) for name, one in report.latency.items()},
        "silence": dict(report.silence),
        "gap_stages": dict(report.gap_stages),
        "usage": report.usage,
        "discarded": [one.to_dict() for one in report.discarded],
        **_counts(report),
        "false_cutoffs": report.false_cutoffs,
        "interruption_rate": report.interruption_rate,
        "turns": [_turn(turn) for turn in report.turns],
    }


def _turn(turn: Any) -> dict[str, Any]:
    return {
        "index": turn.index,
        "start_ns": turn.start_ns,
        "end_ns": turn.end_ns,
        "end_reason": turn.end_reason,
        "agent": turn.agent,
        "speech_ids": turn.speech_ids,
        "models": turn.models,
        "user_text": turn.user_text,
        "agent_text": turn.agent_text,
        "latency": msgspec.structs.asdict(turn.latency),
        "silence": dict(turn.silence),
        "path": [[one.stage, one.start_ns, one.end_ns] for one in turn.path],
        "answered": [turn.answered, turn.why_not, turn.acknowledged],
        "false_cutoff": turn.false_cutoff,
        "gaps": [[gap.start_ns, gap.end_ns, [[one.stage, one.end_ns] for one in gap.path]] for gap in turn.gaps],
        "reported": turn.reported,
        "notes": list(turn.notes),
        "usage": [one.to_dict() for one in turn.usage],
        "discarded": [one.to_dict() for one in turn.discarded],
        **_counts(turn),
        "stages": [[one.kind, one.span_id] for one in turn.stages],
    }


def _counts(of: Any) -> dict[str, int]:
    return {name: getattr(of, name) for name in ("interruptions", "false_interruptions", "backchannels")}
