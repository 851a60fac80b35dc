"""Maps spans to Langfuse's model. All functions work on copies.

Added attributes are under ``langfuse.``; the original ones stay, as metadata in Langfuse, so that reports can be
rebuilt from there. Langfuse truncates times to milliseconds, so the copies also carry the exact times as attributes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, SpanContext

from ... import attributes as attr
from .ancestry import Ancestry, Place
from .calls import Calls
from .fields import Attributes, exact, first_token, level, request, text, transportable
from .prices import Prices
from .usage import is_billed, model_of, usage_buckets

__all__ = ["Settings", "SpanMapping"]

_TYPES = {
    attr.KIND_TURN: "agent",
    attr.KIND_LLM: "generation",
    attr.KIND_REALTIME: "generation",
    attr.KIND_TOOL: "tool",
}
_USAGE = frozenset(
    {
        attr.USAGE_INPUT_TOKENS,
        attr.USAGE_OUTPUT_TOKENS,
        attr.USAGE_CACHE_READ,
        attr.USAGE_CACHE_WRITE,
        attr.NATIVE_CACHE_WRITE,
        attr.USAGE_REASONING,
    }
)


@dataclass(frozen=True)
class Settings:
    """The options passed to :func:`livekit_otel.exporters.langfuse`."""

    environment: str | None = None
    release: str | None = None
    trace_name: str = "voice call"
    tags: tuple[str, ...] = ()
    native: Literal["drop", "keep"] = "drop"
    units: bool = False
    foreign_usage: Literal["drop", "keep"] = "drop"
    prices: Prices = field(default_factory=Prices)


class SpanMapping:
    """Maps single spans; call ``learn`` with their batch first."""

    def __init__(self, settings: Settings, ancestry: Ancestry) -> None:
        self._settings = settings
        self._ancestry = ancestry
        self._calls = Calls()

    def learn(self, spans: Iterable[ReadableSpan]) -> None:
        """Record the calls that the spans belong to, and the first and last words of each call."""
        for span in spans:
            attributes = span.attributes or {}
            session_id = attributes.get(attr.SESSION_ID)
            context = span.get_span_context()
            if not isinstance(session_id, str) or context is None:
                continue
            call = self._calls.open(context.trace_id, session_id, span.start_time or 0)
            call.shared = self._shared(attributes)
            if attributes.get(attr.KIND) == attr.KIND_TURN:
                call.first_words = call.first_words or text(attributes, attr.TURN_USER_TEXT)
                call.last_words = text(attributes, attr.TURN_AGENT_TEXT) or call.last_words

    def copy(self, span: ReadableSpan) -> ReadableSpan | None:
        """A mapped copy; None if the span is not to be sent."""
        scope = span.instrumentation_scope.name if span.instrumentation_scope else ""
        if scope == attr.NATIVE_SCOPE and self._settings.native == "drop":
            return None
        attributes = transportable(span)
        kind, place = str(attributes.get(attr.KIND, "")), self._ancestry.of(span)
        parent, links = span.parent, tuple(span.links)
        if place is not None and place.moved and parent is not None:
            links = links if place.parent is not None else (*links, Link(parent))
            parent = place.parent
        added = {
            **self._common(span, attributes),
            **self._observation(span, kind, attributes, parent),
            **self._usage(kind, scope, attributes),
        }
        copied = _merged(added, attributes)
        if self._repeated(place, kind, scope, attributes):
            copied.update(_nothing(attributes))
        return ReadableSpan(
            name=span.name,
            context=span.get_span_context(),
            parent=parent,
            resource=span.resource,
            attributes=copied,
            events=span.events,
            links=links,
            kind=span.kind,
            status=span.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    def _common(self, span: ReadableSpan, attributes: Attributes) -> Attributes:
        """The attributes that Langfuse needs on every span of a trace."""
        settings = self._settings
        common: Attributes = {}
        if settings.environment is not None:
            common[attr.LANGFUSE_ENVIRONMENT] = settings.environment
        if settings.release is not None:
            common[attr.LANGFUSE_RELEASE] = settings.release
        if attr.SESSION_ID in attributes:
            return {**common, **self._shared(attributes)}
        context = span.get_span_context()
        call = self._calls.at(context.trace_id, span.start_time or 0) if context is not None else None
        return {**common, **call.shared} if call is not None else common

    def _shared(self, attributes: Any) -> Attributes:
        own_name = text(attributes, attr.LANGFUSE_TRACE_NAME)
        shared: Attributes = {attr.LANGFUSE_TRACE_NAME: own_name or self._settings.trace_name}
        session_id = text(attributes, attr.BACKEND_SESSION_ID) or text(attributes, attr.SESSION_ID)
        if session_id:
            shared[attr.LANGFUSE_SESSION_ID] = session_id
        if user_id := text(attributes, attr.LANGFUSE_USER_ID) or text(attributes, attr.USER_ID):
            shared[attr.LANGFUSE_USER_ID] = user_id
        own = attributes.get(attr.LANGFUSE_TRACE_TAGS, ())
        tags = dict.fromkeys((*self._settings.tags, *([own] if isinstance(own, str) else own)))
        if tags:
            shared[attr.LANGFUSE_TRACE_TAGS] = tuple(map(str, tags))
        return shared

    def _usage(self, kind: str, scope: str, attributes: Attributes) -> Attributes:
        if not kind and scope != attr.NATIVE_SCOPE and not _known_usage(attributes):
            # Langfuse may recognise usage names that are unknown here
            return {}
        settings = self._settings
        dropped = settings.native == "drop"
        buckets = usage_buckets(kind, attributes, metrics=dropped, units=settings.units, prices=settings.prices)
        if buckets:
            return {attr.LANGFUSE_USAGE: json.dumps(buckets)}
        if model_of(attributes) and (kind or scope == attr.NATIVE_SCOPE):
            # otherwise Langfuse would count the tokens of the texts itself
            return {attr.LANGFUSE_USAGE: attr.LANGFUSE_COUNTED_ELSEWHERE}
        return {}

    def _repeated(self, place: Place | None, kind: str, scope: str, attributes: Attributes) -> bool:
        """Whether the request above a span of another instrumentation already counts its tokens."""
        if kind or scope == attr.NATIVE_SCOPE or self._settings.foreign_usage == "keep" or place is None:
            return False
        return place.request is not None and place.request.counts is not False and is_billed(attributes)

    def _observation(
        self, span: ReadableSpan, kind: str, attributes: Attributes, parent: SpanContext | None
    ) -> Attributes:
        if not kind:
            return {}
        added: Attributes = {}
        has_model = bool(model_of(attributes))
        speech = kind in (attr.KIND_STT, attr.KIND_TTS) and has_model
        added[attr.LANGFUSE_TYPE] = _TYPES.get(kind, "generation" if speech else "span")
        added[attr.LANGFUSE_EXACT] = exact(span)
        if first := first_token(span, kind, attributes):
            added[attr.LANGFUSE_FIRST_TOKEN] = first
        added.update(level(span, attributes))
        words_in, words_out = self._words(span, kind, attributes)
        if words_in is not None:
            added[attr.LANGFUSE_INPUT] = words_in
        if words_out is not None:
            added[attr.LANGFUSE_OUTPUT] = words_out
        if kind == attr.KIND_SESSION and parent is not None:
            # its parent may be a span that is not sent
            added[attr.LANGFUSE_AS_ROOT] = added[attr.LANGFUSE_IS_APP_ROOT] = True
        return added

    def _words(self, span: ReadableSpan, kind: str, attributes: Attributes) -> tuple[str | None, str | None]:
        if kind == attr.KIND_SESSION:
            context = span.get_span_context()
            call = self._calls.find(context.trace_id, str(attributes.get(attr.SESSION_ID))) if context else None
            return (call.first_words, call.last_words) if call is not None else (None, None)
        name_in, name_out = attr.LANGFUSE_WORDS.get(kind, (None, None))
        words_in = request(attributes) if name_in == attr.INPUT_MESSAGES else name_in and text(attributes, name_in)
        return words_in, name_out and text(attributes, name_out)


def _merged(added: Attributes, attributes: Attributes) -> Attributes:
    """Attributes set by the user take precedence over added ones; tags are combined."""
    merged = {**added, **attributes}
    if attr.LANGFUSE_USAGE in added and attributes.get(attr.LANGFUSE_USAGE) == attr.LANGFUSE_COUNTED_ELSEWHERE:
        # set by the instrumentation for exporters that do not know Langfuse
        merged[attr.LANGFUSE_USAGE] = added[attr.LANGFUSE_USAGE]
    if attr.LANGFUSE_TRACE_TAGS in added:
        merged[attr.LANGFUSE_TRACE_TAGS] = added[attr.LANGFUSE_TRACE_TAGS]
    return merged


def _known_usage(attributes: Attributes) -> bool:
    """Whether all usage attributes of a span have names from the GenAI conventions."""
    found = {name for name in attributes if name.startswith(attr.USAGE_PREFIX)}
    return bool(found) and found <= _USAGE


def _nothing(attributes: Attributes) -> Attributes:
    """The attributes for a span whose tokens count elsewhere: no tokens and no costs."""
    nothing: Attributes = {attr.LANGFUSE_USAGE: attr.LANGFUSE_COUNTED_ELSEWHERE}
    if attr.LANGFUSE_COST in attributes or any(name.startswith(attr.COST_PREFIXES) for name in attributes):
        nothing[attr.LANGFUSE_COST] = json.dumps({"total": 0})
    return nothing
