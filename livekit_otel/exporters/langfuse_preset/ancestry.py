"""The position of each span among those sent to Langfuse: its nearest sent ancestor, and the model request above it.

Children end before their parents, and an ended span must not change, so both are determined when a span starts.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from ... import attributes as attr

__all__ = ["Ancestry", "Place"]

#: Open spans, and spans that ended recently: work that outlives its span still starts spans below it.
_MAX_OPEN, _MAX_ENDED = 50_000, 10_000
_MAX_TRACES = 1_000
#: Spans that wait until the request above them ends.
_MAX_WAITING = 1_000
_COUNTING = frozenset({attr.KIND_LLM, attr.KIND_REALTIME, attr.KIND_STT, attr.KIND_TTS})
_Key = tuple[int, int]


@dataclass(eq=False)
class ModelRequest:
    """A request to a model. ``counts``: whether it reports its own usage; None while it is open."""

    counts: bool | None = None
    waiting: list[ReadableSpan] = field(default_factory=list)


@dataclass(eq=False)
class Place:
    """The position of one span.

    Attributes:
        sent: whether the span is sent to Langfuse.
        moved: whether its own parent is not sent.
        parent: the nearest ancestor that is sent; None for a root.
        request: the model request above the span, or the span itself if it is a model request.
    """

    sent: bool
    moved: bool = False
    parent: SpanContext | None = None
    request: ModelRequest | None = None


class Ancestry:
    """The positions of the spans of one processor; their number is limited. Thread-safe."""

    def __init__(self, *, native: bool, usage: Callable[[str, Mapping[str, Any]], bool]) -> None:
        """``native``: whether LiveKit's spans are sent; ``usage(kind, attributes)``: whether a span reports tokens."""
        self._native = native
        self._usage = usage
        self._lock = threading.Lock()
        self._open: OrderedDict[_Key, Place] = OrderedDict()
        self._ended: OrderedDict[_Key, Place] = OrderedDict()
        self._sessions: OrderedDict[int, SpanContext] = OrderedDict()
        self._waiting: dict[int, ModelRequest] = {}
        self._count = 0

    def started(self, span: ReadableSpan, parent: trace.Span) -> None:
        """Record the start of a span; ``parent`` is the span of the context that it starts in."""
        context = span.get_span_context()
        if context is None:
            return
        kind, native = (span.attributes or {}).get(attr.KIND), _is_native(span)
        with self._lock:
            above = self._above(span, parent)
            place = Place(sent=context.trace_flags.sampled and (self._native or not native))
            if above is not None:
                place.moved, place.request = not above.sent, above.request
            place.parent = above.parent if above is not None and place.moved else span.parent
            if not place.sent and place.parent is None:
                # LiveKit's spans of a call are siblings of our session, not its children
                place.parent = self._sessions.get(context.trace_id)
            if _counts(span):
                place.request = ModelRequest()
            if _is_ours(span) and kind == attr.KIND_SESSION:
                _put(self._sessions, context.trace_id, context, _MAX_TRACES)
            _put(self._open, (context.trace_id, context.span_id), place, _MAX_OPEN)

    def ended(self, span: ReadableSpan, *, repeats: bool) -> list[ReadableSpan]:
        """The spans that can be sent now that ``span`` has ended, in order.

        ``repeats``: whether the span counts tokens or costs that the request above it may count as well. It then
        waits until that is known.
        """
        context = span.get_span_context()
        if context is None:
            return [span]
        key = context.trace_id, context.span_id
        with self._lock:
            place = self._open.pop(key, None)
            if place is None:
                return [span]
            _put(self._ended, key, place, _MAX_ENDED)
            request = place.request
            if request is None:
                return [span]
            if _counts(span):
                request.counts = self._usage(str((span.attributes or {}).get(attr.KIND, "")), span.attributes or {})
                return [*self._taken(request), span]
            foreign = not _is_native(span) and not _is_ours(span)
            if foreign and repeats and request.counts is None and self._count < _MAX_WAITING:
                request.waiting.append(span)
                self._waiting[id(request)] = request
                self._count += 1
                return []
        return [span]

    def release(self) -> list[ReadableSpan]:
        """All waiting spans: for a flush, which cannot wait for the end of a request."""
        with self._lock:
            return [span for request in list(self._waiting.values()) for span in self._taken(request)]

    def of(self, span: ReadableSpan) -> Place | None:
        """The position of a span that has ended; None if its start was not seen, or was too long ago."""
        context = span.get_span_context()
        if context is None:
            return None
        key = context.trace_id, context.span_id
        with self._lock:
            return self._ended.get(key) or self._open.get(key)

    def _taken(self, request: ModelRequest) -> list[ReadableSpan]:
        taken, request.waiting = request.waiting, []
        self._waiting.pop(id(request), None)
        self._count -= len(taken)
        return taken

    def _above(self, span: ReadableSpan, parent: trace.Span) -> Place | None:
        """The position of a span's parent; None for a root and for an unknown parent."""
        context = span.parent
        if context is None:
            return None
        known = self._find(context)
        if known is not None or context.is_remote:
            return known
        if not context.trace_flags.sampled:
            return Place(sent=False, parent=self._sessions.get(context.trace_id))
        if not (isinstance(parent, ReadableSpan) and _is_native(parent)):
            return None
        # LiveKit's spans go to another provider, or started before this processor was added
        if self._native and parent.resource is span.resource:
            return Place(sent=True)
        further = self._find(parent.parent) if parent.parent is not None else None
        if further is None:
            return Place(sent=False, parent=self._sessions.get(context.trace_id))
        return Place(sent=False, parent=parent.parent if further.sent else further.parent, request=further.request)

    def _find(self, context: SpanContext) -> Place | None:
        key = context.trace_id, context.span_id
        place = self._open.get(key)
        if place is not None:
            return place
        place = self._ended.get(key)
        if place is not None:
            self._ended.move_to_end(key)
        return place


def _put(places: OrderedDict[Any, Any], key: Any, value: Any, limit: int) -> None:
    places[key] = value
    places.move_to_end(key)
    while len(places) > limit:
        places.popitem(last=False)


def _counts(span: ReadableSpan) -> bool:
    """Whether a span is a model request, ours or LiveKit's, that reports its own usage."""
    if _is_ours(span):
        return (span.attributes or {}).get(attr.KIND) in _COUNTING
    return _is_native(span) and span.name in attr.NATIVE_REQUESTS


def _scope(span: ReadableSpan) -> str:
    return span.instrumentation_scope.name if span.instrumentation_scope else ""


def _is_native(span: ReadableSpan) -> bool:
    return _scope(span) == attr.NATIVE_SCOPE


def _is_ours(span: ReadableSpan) -> bool:
    return _scope(span) == attr.SCOPE
