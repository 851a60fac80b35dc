"""Recorded calls of agents without livekit_otel, and what LiveKit's own reports of them say."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import livekit_otel
from livekit_otel import SessionReport, SpanRecord

from .compare import conversation, usage_of

FOLDER = Path(__file__).resolve().parents[1] / "data" / "native"
SUFFIX = ".jsonl.gz"


@dataclass
class Recording:
    """One scripted call: LiveKit's own reports of its sessions, its line in the file, its spans, and what they read to;
    reports are by start."""

    scenario: str
    theirs: list[dict[str, Any]]
    line: str
    spans: list[SpanRecord] = field(default_factory=list)
    ours: list[SessionReport] = field(default_factory=list)


def path_of(release: str) -> Path:
    """``release`` is like ``python-1.8.9``."""
    return FOLDER / f"{release}{SUFFIX}"


@cache
def recordings(release: str) -> dict[str, Recording]:
    """The calls of a release by scenario."""
    return recorded_in(path_of(release))


def recorded_in(path: Path) -> dict[str, Recording]:
    """The calls of one file, where they stand one after the other, by scenario."""
    found: dict[str, Recording] = {}
    by_trace: dict[str, Recording] = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            values = json.loads(line)
            one = found[values["scenario"]] = Recording(values["scenario"], values["reports"], line)
            parts = (scope["spans"] for resource in values["resourceSpans"] for scope in resource["scopeSpans"])
            by_trace.update((span["traceId"], one) for part in parts for span in part)
    for record in livekit_otel.read_spans(path, all_scopes=True):
        by_trace[record.trace_id].spans.append(record)
    for report in livekit_otel.build_reports(livekit_otel.read_spans(path)):
        by_trace[report.session_id[:32]].ours.append(report)
    for one in found.values():
        one.ours.sort(key=lambda report: report.started_at or 0.0)
    return found


def differences(ours: SessionReport, theirs: dict[str, Any]) -> set[str]:
    """What LiveKit's own report says otherwise, as far as it says it."""
    used = theirs["usage"] or []
    pairs = {
        "conversation": (list(conversation(ours.history)), list(conversation(theirs["items"]))),
        "LLM usage": (usage_of(ours.usage, "llm_usage"), usage_of(used, "llm_usage")),
        "TTS usage": (usage_of(ours.usage, "tts_usage"), usage_of(used, "tts_usage")),
    }
    said = {"close reason": "close_reason", "job": "job_id", "agent": "agent_name"}
    for what, name in said.items():
        if theirs.get(name):
            pairs[what] = ([getattr(ours, name)], [theirs[name]])
    return {what for what, (one, two) in pairs.items() if one != two}
