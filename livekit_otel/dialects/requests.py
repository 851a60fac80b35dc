"""Converts requests to models, native spans with LiveKit's metrics, into stages of the pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .. import attributes as attr
from ..spans import nanoseconds
from .names import NativeSpan, decoded
from .tree import Tree

__all__ = ["Attributes", "Stage", "beside", "request", "response", "synthesis"]

Attributes = dict[str, Any]
#: kind, the span, start, end, attributes
Stage = tuple[str, NativeSpan, int, int, Attributes]

_KEPT = (
    *(attr.PROVIDER_NAME, attr.REQUEST_MODEL, attr.RESPONSE_MODEL, attr.RESPONSE_ID, attr.RESPONSE_FINISH_REASONS),
    *(attr.TIME_TO_FIRST_CHUNK, attr.ERROR_TYPE),
)
#: keys of LiveKit's metrics that are not fields
_NOT_FIELDS = frozenset({"type"})
#: nanoseconds by which the first audio of a TTS request can be later than the playout that it started
_FIRST_BYTE_LATE = 5_000_000


def metrics_of(span: NativeSpan, field: str, stage: str) -> Attributes:
    """The metrics on a span, as one attribute per field."""
    found: Attributes = {}
    _flatten(decoded(span.fields.get(field)), stage, "", found)
    for name, own in ((attr.PROVIDER_NAME, "model_provider"), (attr.REQUEST_MODEL, "model_name")):
        if name not in span.fields and (value := found.get(attr.metric(stage, f"metadata.{own}"))):
            found[name] = value
    return found


def _flatten(value: Any, stage: str, path: str, found: Attributes) -> None:
    if not isinstance(value, Mapping):
        return
    for name, one in value.items():
        if isinstance(one, Mapping):
            _flatten(one, stage, f"{path}{name}.", found)
        elif one is not None and not isinstance(one, list) and (path or name not in _NOT_FIELDS):
            found[attr.metric(stage, path + name)] = one


def _kept(span: NativeSpan) -> Attributes:
    return {name: span.fields[name] for name in _KEPT if name in span.fields}


def _outcome(span: NativeSpan, runs: Sequence[NativeSpan], found: Attributes, cancelled: object) -> None:
    """Add the outcome of a request: error from its last attempt, cancelled from its metrics."""
    last = runs[-1] if runs else span
    if span.failed or last.failed:
        found[attr.OUTCOME] = attr.OUTCOME_ERROR
        if attr.ERROR_TYPE in last.fields:
            found[attr.ERROR_TYPE] = last.fields[attr.ERROR_TYPE]
    else:
        found[attr.OUTCOME] = attr.OUTCOME_CANCELLED if cancelled else attr.OUTCOME_COMPLETED


def request(span: NativeSpan, tree: Tree, speech: Attributes) -> Iterator[Stage]:
    runs = tree.runs(span)
    found = _kept(span) | metrics_of(span, "llm_metrics", "llm") | speech
    if not runs and attr.metric("llm", "timestamp") not in found and tree.has_inner(span):
        return  # the span of an adapter: the actual requests are below it
    if tree.above(span, "function_tool", "on_user_turn_completed", "agent_turn") is not tree.above(span, "agent_turn"):
        found[attr.LLM_OWN] = True
        found.pop(attr.SPEECH_ID, None)
    found[attr.LLM_ATTEMPTS] = max(1, len(runs))
    _outcome(span, runs, found, found.get(attr.metric("llm", "cancelled")))
    yield attr.KIND_LLM, span, span.start_ns, span.end_ns, found


def beside(span: NativeSpan, tree: Tree) -> Iterator[Stage]:
    """The stage of a request outside of any speech. Requests of code to its own model are not the session's."""
    model = span.text(attr.PROVIDER_NAME), span.text(attr.REQUEST_MODEL)
    for stage in request(span, tree, {}):
        if model not in tree.models or tree.above(span, "on_user_turn_completed") is not None:
            stage[4][attr.LLM_OWN] = True
        yield stage


def response(span: NativeSpan, tree: Tree, speech: Attributes, first: int | None) -> Stage:
    found = _kept(span) | metrics_of(span, "realtime_metrics", "realtime") | speech
    if attr.metric("realtime", "timestamp") not in found:
        late = tree.late(span)
        if late is not None:
            found |= metrics_of(late, "realtime_metrics", "realtime")
    if first is not None and first >= span.start_ns:
        ttft = nanoseconds(found, attr.metric("realtime", "ttft"))
        if ttft is not None and span.start_ns + ttft <= first:
            found[attr.REALTIME_FIRST_AUDIO] = ttft / 1e9
    _outcome(span, (), found, found.get(attr.metric("realtime", "cancelled")))
    return attr.KIND_REALTIME, span, span.start_ns, span.end_ns, found


def synthesis(span: NativeSpan, tree: Tree, speech: Attributes, playouts: Sequence[NativeSpan]) -> Stage:
    runs = tree.runs(span)
    found = _kept(span) | metrics_of(span, "tts_metrics", "tts") | speech
    if "tts_text" in span.fields:
        found[attr.TTS_TEXT] = span.fields["tts_text"]
    sent, lasted, ttfb = (nanoseconds(found, attr.metric("tts", name)) for name in ("timestamp", "duration", "ttfb"))
    if sent is not None and lasted is not None and ttfb is not None:
        # the times of the metrics count from the first text that reached the provider
        text = max(sent - lasted - span.start_ns, 0)
        if not found.get(attr.metric("tts", "streamed")):
            text = 0
        heard = next((one.start_ns for one in playouts if one.start_ns >= span.start_ns), None)
        if heard is None or span.start_ns + text + ttfb <= heard + _FIRST_BYTE_LATE:
            audio = text + ttfb if heard is None else min(text + ttfb, heard - span.start_ns)
            found[attr.TTS_FIRST_TEXT], found[attr.TTS_FIRST_BYTE] = text / 1e9, audio / 1e9
    found[attr.TTS_ATTEMPTS] = max(1, len(runs))
    _outcome(span, runs, found, found.get(attr.metric("tts", "cancelled")))
    return attr.KIND_TTS, span, span.start_ns, span.end_ns, found
