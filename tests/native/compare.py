"""A report from LiveKit's own spans beside that of the pipeline layer of the same run: what is equal, what is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import livekit_otel
from livekit_otel import SessionReport, Turn
from livekit_otel import attributes as attr
from tests.kit.trace import names, record

#: seconds by which a latency may differ
TOLERANCE = dict.fromkeys(attr.DERIVED_LATENCIES, 0.001) | {"end_of_turn_delay": 0.020, "llm_node_tps": 0.5}
#: compared once for each session, and once for each turn
OF_SESSIONS = ("conversation", "close reason", "LLM usage", "TTS usage", "realtime usage", "turns")
OF_TURNS = (
    *("words", "end reason", "answered", "agent", "models", "interruptions", "false cutoff"),
    *attr.DERIVED_LATENCIES,
    *("silence by stage", "gaps by stage"),
)


@dataclass(frozen=True)
class Difference:
    """Something that both layers say, and not the same. ``apart``: seconds, where both have a number."""

    scenario: str
    what: str
    pipeline: Any
    native: Any


@dataclass(frozen=True)
class Comparison:
    """All scripted sessions: how often each thing was compared, what differs, and how far apart equal numbers are."""

    compared: dict[str, int]
    differences: list[Difference]
    apart: dict[str, float]

    def differing(self) -> dict[str, set[str]]:
        """What differs, by scenario."""
        found: dict[str, set[str]] = {}
        for one in self.differences:
            found.setdefault(one.scenario, set()).add(one.what)
        return found


@cache
def compared() -> Comparison:
    """Play every session with both layers, and compare."""
    whole = Comparison(dict.fromkeys((*OF_SESSIONS, *OF_TURNS), 0), [], {})
    for name in names():
        spans = record(name, native_spans=True).records
        pipeline, native = (
            sorted(livekit_otel.build_reports(layer), key=lambda report: report.started_at or 0.0)
            for layer in (
                [span for span in spans if span.scope == attr.SCOPE],
                [span for span in spans if span.scope != attr.SCOPE],
            )
        )
        assert len(pipeline) == len(native), name
        for ours, theirs in zip(pipeline, native, strict=True):
            _sessions(name, ours, theirs, whole)
    return whole


def _sessions(name: str, ours: SessionReport, theirs: SessionReport, whole: Comparison) -> None:
    for what in OF_SESSIONS:
        whole.compared[what] += 1
        one, two = _of_session(what, ours), _of_session(what, theirs)
        if one != two:
            whole.differences.append(Difference(name, what, one, two))
    if len(ours.turns) == len(theirs.turns):
        for turn, other in zip(ours.turns, theirs.turns, strict=True):
            _turns(name, turn, other, whole)


def _of_session(what: str, report: SessionReport) -> Any:
    if what == "conversation":
        return list(conversation(report.history))
    if what == "close reason":
        return report.close_reason
    if what == "turns":
        return len(report.turns)
    kind = f"{what.split()[0].lower()}_usage" if what != "realtime usage" else "llm_usage"
    found = report.usage or []
    if what in ("LLM usage", "realtime usage"):
        speech = {one.attributes.get(attr.REQUEST_MODEL) for one in report.spans if one.kind == attr.KIND_REALTIME}
        found = [one for one in found if (one.get("model") in speech) == (what == "realtime usage")]
    return usage_of(found, kind)


def usage_of(usage: list[dict[str, Any]], kind: str) -> list[str]:
    """The usage of each model of one kind, without zeros; older releases name no kind."""
    return sorted(
        json.dumps({name: _figure(value) for name, value in one.items() if value and name != "type"}, sort_keys=True)
        for one in usage
        if (one.get("type") or _kind(one)) == kind
        and any(isinstance(value, int | float) and value for value in one.values())
    )


def _figure(value: Any) -> Any:
    """JavaScript writes whole seconds as integers; sums differ in the last digit."""
    return round(float(value), 6) if isinstance(value, int | float) else value


def _kind(usage: dict[str, Any]) -> str:
    names = {"characters_count": "tts_usage", "audio_duration": "stt_usage", "total_requests": "eot_usage"}
    return next((kind for name, kind in names.items() if name in usage), "llm_usage")


def conversation(items: list[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """Who said what, which tools were called and what they returned, and who took over."""
    for item in items:
        if item["type"] == "message":
            yield item["role"], "\n".join(one for one in item["content"] if isinstance(one, str)), item["interrupted"]
        elif item["type"] == "function_call":
            yield "call", item["name"], item["arguments"]
        elif item["type"] == "function_call_output":
            yield "result", item["name"], item["output"], item["is_error"]
        elif item["type"] == "agent_handoff":
            yield "handoff", item.get("old_agent_id"), item["new_agent_id"]


def _turns(name: str, ours: Turn, theirs: Turn, whole: Comparison) -> None:
    for what in OF_TURNS:
        one, two = _of_turn(what, ours), _of_turn(what, theirs)
        if not _is_there(one) and not _is_there(two):
            continue
        whole.compared[what] += 1
        if isinstance(one, float) and isinstance(two, float):
            apart = abs(one - two)
            if apart <= TOLERANCE[what]:
                whole.apart[what] = max(whole.apart.get(what, 0.0), apart)
                continue
        elif one == two:
            continue
        whole.differences.append(Difference(name, what, one, two))


def _is_there(value: Any) -> bool:
    return value is not None and value not in ({}, "", [])


def _of_turn(what: str, turn: Turn) -> Any:
    if what in attr.DERIVED_LATENCIES:
        return getattr(turn.latency, what)
    if what == "silence by stage":
        return {stage: round(seconds, 2) for stage, seconds in turn.silence.items() if seconds >= 0.005}
    if what == "gaps by stage":
        return [{stage: round(value, 2) for stage, value in gap.stages.items() if value >= 0.005} for gap in turn.gaps]
    return {
        "words": (turn.user_text.encode("utf-8", "replace"), turn.agent_text.encode("utf-8", "replace")),
        "end reason": turn.end_reason,
        "answered": None if turn.answered is None else (turn.answered, turn.why_not),
        "agent": turn.agent,
        "models": sorted(turn.models),
        "interruptions": (turn.interruptions, turn.false_interruptions),
        "false cutoff": turn.false_cutoff,
    }[what]
