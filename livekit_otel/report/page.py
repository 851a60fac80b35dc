"""The data for the script of the HTML page, in milliseconds since the start of the call, with short keys to save space.

``html/README.md`` describes the format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .. import attributes as attr
from ..spans import SpanRecord, text
from ..turns import Segment
from .conversation import Entry, conversation
from .failures import Failure
from .flagged import in_words
from .model import SessionReport
from .notes import notes_of
from .render_json import ended
from .trace_url import TraceUrl
from .turns import Turn
from .verdict import Verdict
from .view import failure_line
from .words import GLOSSARY

__all__ = ["KINDS", "page_data"]

#: lanes of the timeline, from top to bottom
KINDS = (
    attr.KIND_VAD,
    attr.KIND_STT,
    attr.KIND_EOU,
    attr.KIND_NODE,
    attr.KIND_LLM,
    attr.KIND_REALTIME,
    attr.KIND_TOOL,
    attr.KIND_TTS,
    attr.KIND_PLAYBACK,
    attr.KIND_INTERRUPTION,
)
_NAMES = tuple(attr.SUMMARY_LATENCIES)
_ENTRIES = ("user", "agent", "tool", "wait", "gap", "handoff", "failure", "interruption", "unheard")


def page_data(report: SessionReport, found: Verdict, url: TraceUrl | None) -> dict[str, Any]:
    """The data of the whole call."""
    return {
        "begin": _begin(report) // 1_000_000,
        "length": _ms(max((span.end_ns for span in report.spans), default=0) - _begin(report)),
        "kinds": KINDS,
        "stages": attr.SILENCE_STAGES,
        "latencies": _NAMES,
        "glossary": GLOSSARY,
        "parts": list(_Parts(report, found, url)),
    }


def _begin(report: SessionReport) -> int:
    if report.started_at is not None:
        return round(report.started_at * 1e9)
    return min((span.start_ns for span in report.spans), default=0)


class _Parts:
    """Turns, and the entries between them, in order."""

    def __init__(self, report: SessionReport, found: Verdict, url: TraceUrl | None) -> None:
        self._report, self._found = report, found
        self._begin = _begin(report)
        self._numbers = {id(one): number for number, one in enumerate(found.failures)}
        self._url = url

    def __iter__(self) -> Any:
        for part in conversation(self._report, self._found.failures):
            turn = {} if part.turn is None else self._turn(part.turn)
            yield {**turn, "c": [self._entry(one) for one in part.entries]}

    def _turn(self, turn: Turn) -> dict[str, Any]:
        latency = turn.latency
        values = ((number, getattr(latency, name)) for number, name in enumerate(_NAMES))
        found = {
            "i": turn.index,
            "a": self._since(turn.start_ns),
            "b": self._since(turn.end_ns),
            "e": ended(turn) or "",
            "x": turn.why_not,
            "h": turn.agent,
            "w": None if latency.e2e_latency is None else round(latency.e2e_latency * 1000),
            "k": None if latency.wait is None else round(latency.wait * 1000),
            "p": _path(turn.path),
            "l": [[number, round(value * 1000, 1)] for number, value in values if value is not None],
            "s": [_stage(span, turn.start_ns) for span in turn.stages if span.kind in KINDS],
            "n": list(notes_of(turn, small=True)),
            "f": [[one.name, in_words(one)] for one in turn.flags],
            "m": turn.models,
        }
        if self._url is not None and turn.span_id:
            found["u"] = self._address(turn.span_id)
        return {name: value for name, value in found.items() if value not in (None, "", [])}

    def _address(self, span_id: str) -> str:
        trace_id = self._report.spans[0].trace_id if self._report.spans else ""
        assert self._url is not None
        return self._url.of(trace_id=trace_id, span_id=span_id, session_id=self._report.session_id)

    def _since(self, ns: int) -> int:
        return _ms(ns - self._begin)

    def _entry(self, one: Entry) -> list[Any]:
        at = None if one.at is None else self._since(round(one.at * 1e9))
        return [_ENTRIES.index(one.kind), at, *_ROWS[one.kind](one), *self._more(one)]

    def _more(self, one: Entry) -> list[Any]:
        if one.failure is None:
            return []
        linked = self._url is not None and one.failure.span_id
        return [self._numbers[id(one.failure)], *([self._address(one.failure.span_id)] if linked else [])]


def _spoken(one: Entry) -> list[Any]:
    row: list[Any] = [one.text, int(one.interrupted) + 2 * int(one.withheld) + 4 * int(bool(one.note))]
    return [*row, one.unheard, None if one.heard is None else round(one.heard * 1000)] if one.interrupted else row


def _tool(one: Entry) -> list[Any]:
    tool = one.tool
    if tool is None:
        return []
    took = None if tool.seconds is None else round(tool.seconds * 1000)
    return [tool.name, tool.arguments, took, tool.raised, tool.returned, tool.given, int(tool.failed)]


def _gap(one: Entry) -> list[Any]:
    return [] if one.gap is None else [_ms(one.gap.end_ns - one.gap.start_ns), _path(one.gap.path)]


def _failure(one: Entry) -> list[Any]:
    found: Failure | None = one.failure
    return [] if found is None else [failure_line(found, None), int(bool(found.saved))]


_ROWS: dict[str, Callable[[Entry], list[Any]]] = {
    "user": _spoken,
    "agent": _spoken,
    "tool": _tool,
    "wait": lambda one: [],
    "gap": _gap,
    "handoff": lambda one: [one.note, one.text],
    "failure": _failure,
    "interruption": lambda one: [one.note],
    "unheard": lambda one: [one.text, one.note],
}


def _path(path: Iterable[Segment]) -> list[list[int]]:
    """Stages in the order of the wait. Adjacent segments of the same stage are merged."""
    rows: list[list[int]] = []
    for one in path:
        stage, length = attr.SILENCE_STAGES.index(one.stage), one.end_ns - one.start_ns
        if rows and rows[-1][0] == stage:
            rows[-1][1] += length
        else:
            rows.append([stage, length])
    return [[stage, _ms(length)] for stage, length in rows if length >= 500_000]


def _stage(span: SpanRecord, start_ns: int) -> list[Any]:
    values: Mapping[str, Any] = span.attributes
    label = text(values, attr.TOOL_MADE_UP_NAME) or text(values, attr.TOOL_NAME) or _named(span)
    outcome = text(values, attr.OUTCOME)
    row = [KINDS.index(span.kind), _ms(span.start_ns - start_ns), _ms(span.end_ns - span.start_ns)]
    if outcome == attr.OUTCOME_COMPLETED:
        outcome = ""
    return [*row, label, outcome] if label or outcome else row


def _named(span: SpanRecord) -> str:
    return text(span.attributes, attr.INTERRUPTION_VERDICT) or text(span.attributes, attr.NODE_NAME)


def _ms(ns: int) -> int:
    return round(ns / 1e6)
