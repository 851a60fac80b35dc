"""Prints the spans of a call as a tree: each with its start in the call, its duration, and its main attributes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .. import attributes as attr
from ..spans import SpanRecord, number, text
from .model import SessionReport
from .one_line import LONG, one_line

__all__ = ["tree_lines"]

#: kind -> attributes that are shown; times in seconds
_SHOWN: dict[str, tuple[str, ...]] = {
    attr.KIND_SESSION: (attr.SESSION_CLOSE_REASON,),
    attr.KIND_TURN: (attr.TURN_INDEX, attr.latency("e2e_latency"), attr.latency("dead_air"), attr.END_REASON),
    attr.KIND_VAD: (attr.metric("vad", "inference_count"),),
    attr.KIND_STT: (attr.STT_TEXT,),
    attr.KIND_EOU: (attr.metric("eou", "end_of_utterance_delay"), attr.EOU_PROBABILITY),
    attr.KIND_NODE: (attr.NODE_NAME,),
    attr.KIND_LLM: (attr.REQUEST_MODEL, attr.TIME_TO_FIRST_CHUNK, attr.LLM_ATTEMPTS),
    attr.KIND_REALTIME: (attr.REQUEST_MODEL, attr.REALTIME_FIRST_AUDIO),
    attr.KIND_TOOL: (attr.TOOL_NAME, attr.TOOL_CALL_ARGUMENTS),
    attr.KIND_TTS: (attr.REQUEST_MODEL, attr.metric("tts", "ttfb"), attr.TTS_ATTEMPTS),
    attr.KIND_PLAYBACK: (attr.PLAYBACK_POSITION,),
    attr.KIND_INTERRUPTION: (attr.INTERRUPTION_VERDICT,),
}
_ERROR = (attr.ERROR_TYPE, attr.HTTP_STATUS, attr.ERROR_MESSAGE)
#: spans that only carry the journal
_HIDDEN = frozenset({attr.KIND_SESSION_START, attr.KIND_SESSION_CHECKPOINT, attr.KIND_SESSION_END})
_NAME = 24


def tree_lines(report: SessionReport, turn: int | None = None, *, full: bool = False) -> Iterator[str]:
    """One line per span, by time.

    Args:
        report: the call.
        turn: index of a turn, to show only its spans.
        full: do not cut texts, and include the spans that only carry the journal.
    """
    children: dict[str | None, list[SpanRecord]] = {}
    known = {span.span_id for span in report.spans}
    for span in report.spans:
        if full or span.kind not in _HIDDEN:
            children.setdefault(span.parent_id if span.parent_id in known else None, []).append(span)
    begin = min((span.start_ns for span in report.spans), default=0)
    roots = children.get(None, [])
    if turn is not None:
        of = [one for one in report.turns if one.index == turn]
        roots = [one.span for one in of if one.span is not None] or [span for one in of for span in one.stages]
    limit = None if full else LONG // 3
    yield f"{'span':<{_NAME}}{'start':>8} {'length':>8}"
    # a damaged file can contain cycles, so each span is shown once
    shown: set[str] = set()
    level: list[tuple[int, SpanRecord]] = [(0, span) for span in reversed(roots)]
    while level:
        depth, span = level.pop()
        if span.span_id not in shown:
            shown.add(span.span_id)
            yield _line(span, depth, begin, limit)
            level += [(depth + 1, child) for child in reversed(children.get(span.span_id, []))]


def _line(span: SpanRecord, depth: int, begin: int, limit: int | None) -> str:
    name = ("  " * depth + one_line(span.kind or span.name))[: _NAME - 1]
    head = f"{name:<{_NAME}}{(span.start_ns - begin) / 1e9:7.2f}s {span.duration:7.2f}s"
    shown = [*_values(span, _SHOWN.get(span.kind, ()), limit)]
    outcome = text(span.attributes, attr.OUTCOME)
    if outcome not in ("", attr.OUTCOME_COMPLETED):
        shown.append(f"({one_line(outcome)})")
    return "  ".join([head, *shown, *_values(span, _ERROR, limit)])


def _values(span: SpanRecord, names: Sequence[str], limit: int | None) -> Iterator[str]:
    for name in names:
        value = span.attributes.get(name)
        if value is None:
            continue
        short = name.removeprefix(attr.OWN_PREFIX)
        if isinstance(value, float):
            yield f"{short}={number(span.attributes, name) or 0.0:.3f}"
        elif attr.is_content(name):
            yield f'{short}="{one_line(value, limit)}"'
        else:
            yield f"{short}={one_line(str(value) if isinstance(value, int) else value, limit)}"
