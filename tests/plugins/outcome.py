"""What came of a played call: the trace's reading of it beside LiveKit's, and the truth of the servers' log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import livekit_otel
from livekit_otel import SessionReport, SpanRecord
from livekit_otel import attributes as attr
from livekit_otel.turns import Segment

from . import play

#: how far a number may be from the truth, seconds
EXACT = 0.05
#: a stall of the loop within this time moves what is measured
_NEAR = 1.0


@dataclass(frozen=True)
class Heard:
    """A wait as devices and VAD have it, unix seconds: the user stopped, and the output got its first frame.

    Attributes:
        mic_off: when the microphone really fell silent.
        stopped: when VAD heard the user stop (without VAD the session: when the recognizer's end arrived).
        answered: the output's first frame after that.
    """

    mic_off: float
    stopped: float
    answered: float | None


class Outcome:
    """One call."""

    def __init__(self, name: str, spans: list[SpanRecord], stored: dict[str, Any]) -> None:
        self.name = name
        self.spans = spans
        reports = list(livekit_otel.build_reports(spans))
        assert len(reports) == 1, f"{name}: {len(reports)} reports of one session"
        self.report: SessionReport = reports[0]
        self.theirs: dict[str, Any] = stored["report"]
        self.usage: list[dict[str, Any]] = stored["usage"]
        self.metrics: list[dict[str, Any]] = stored["metrics"]
        self.log: list[dict[str, Any]] = stored["log"]
        self.user_states: list[tuple[float, str]] = stored["user_states"]
        #: how long other processes kept the call's loop from its work, seconds
        self.stalled: float = stored["stalled"]

    def times(self, what: str, **details: Any) -> list[float]:
        """When something happened, unix seconds."""
        return [one["at"] for one in self.log if one["what"] == what and details.items() <= one.items()]

    def of_kind(self, kind: str) -> list[SpanRecord]:
        return sorted((one for one in self.spans if one.kind == kind), key=lambda one: one.start_ns)

    def exact(self, at: float) -> float:
        """How far a time near this moment may be from the truth: more where the loop was kept from its work."""
        stalls = (one["seconds"] for one in self.log if one["what"] == "stalled" and abs(one["at"] - at) < _NEAR)
        return EXACT + sum(stalls)

    def silence(self) -> tuple[float, float]:
        """Seconds of all silences, and those of no stage in which no other process kept the loop from its work."""
        segments = [
            one for turn in self.report.turns for path in (turn.path, *(gap.path for gap in turn.gaps)) for one in path
        ]
        whole = sum(one.end_ns - one.start_ns for one in segments) / 1e9
        return whole, sum(self._undisturbed(one) for one in segments if one.stage == attr.SILENCE_STAGES[-1])

    def _undisturbed(self, segment: Segment) -> float:
        begin, end = segment.start_ns / 1e9, segment.end_ns / 1e9
        stalls = [(one["at"] - one["seconds"], one["at"]) for one in self.log if one["what"] == "stalled"]
        return end - begin - sum(max(0.0, min(end, last) - max(begin, first)) for first, last in stalls)

    def waits(self, *, by_stt: bool) -> list[Heard]:
        """The truth of each utterance; ``by_stt``: no VAD listens, the recognizer says when the user stopped."""
        stops = self.times("stt final") if by_stt else self.times("vad stop")
        voices = self.times("output first frame")
        begins = [*self.times("mic on"), float("inf")]
        found = []
        for number, off in enumerate(self.times("mic off")):
            begun, following = begins[number], begins[number + 1]
            stopped = max((at for at in stops if begun < at < following), default=None)
            if stopped is not None:
                answered = next((at for at in voices if stopped <= at < following), None)
                found.append(Heard(off, stopped, answered))
        return found


def outcomes(directory: Path, names: Iterable[str]) -> dict[str, Outcome]:
    """The calls that were played into a directory."""
    by_call: dict[str, list[SpanRecord]] = {}
    for span in livekit_otel.read_spans(str(directory / play.TRACE)):
        if span.scope == attr.SCOPE:
            by_call.setdefault(str(span.attributes[play.CALL]), []).append(span)
    stored = {name: json.loads((directory / f"{name}.json").read_text()) for name in names}
    return {name: Outcome(name, by_call[one["id"]], one) for name, one in stored.items()}


def shown(outcome: Outcome) -> str:
    """A call for people: each turn and its stages, and the log; seconds since the session began."""
    report = outcome.report
    zero = report.started_at or 0.0
    lines = [f"== {outcome.name}: {len(report.turns)} turns, stalled {outcome.stalled:.3f} s {list(report.warnings)}"]
    for turn in report.turns:
        silence = {stage: round(seconds, 3) for stage, seconds in turn.silence.items() if seconds > 0.0005}
        latency = turn.latency
        moments = [latency.started_speaking_at, latency.stopped_speaking_at]
        at = [None if one is None else round(one - zero, 3) for one in moments]
        lines.append(
            f"turn {turn.index} [{turn.end_reason}] {turn.user_text!r} -> {turn.agent_text[:40]!r} spoke {at} "
            f"e2e {_short(latency.e2e_latency)} answer {_short(latency.answer_latency)} "
            f"dead air {_short(latency.dead_air)} ttfs {_short(latency.llm_node_ttfs)} "
            f"ttfb {_short(latency.tts_node_ttfb)} {silence} {list(turn.notes)}"
        )
    for span in sorted(outcome.spans, key=lambda one: one.start_ns):
        if span.kind in ("session.checkpoint", "session.start", "session.end"):
            continue
        wanted = ("outcome", "error", "attempts", "request.model", "first_byte", "stt.text", "retried", "request_ids")
        shown = {key.split(".", 1)[1]: value for key, value in span.attributes.items() if any(w in key for w in wanted)}
        parent = next((one for one in outcome.spans if one.span_id == span.parent_id), None)
        below = parent.attributes.get(attr.TURN_INDEX, parent.kind) if parent is not None else "-"
        begin, end = span.start_ns / 1e9 - zero, span.end_ns / 1e9 - zero
        lines.append(f"  {begin:7.3f} {end:7.3f} {span.kind:9} <{below} {span.status} {shown}")
    for one in outcome.log:
        if one["what"] not in ("stalled", "stt interim"):
            details = {key: value for key, value in one.items() if key not in ("at", "what")}
            lines.append(f"    {one['at'] - zero:7.3f} {one['what']} {details}"[:160])
    return "\n".join(lines)


def _short(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}"
