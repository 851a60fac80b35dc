"""Spans as Langfuse understands them best. Everything here works on copies.

What a copy gains is under ``langfuse.``; what it had stays, as metadata in Langfuse, so that a report can be rebuilt
from there. Langfuse cuts times at milliseconds, so copies tell them once more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from .langfuse_calls import Calls
from .langfuse_usage import usage_buckets

__all__ = ["Mapping", "Settings", "size_of"]

_SAFE_INTEGER = 2**53
_DAY = 86_400.0
_TYPES = {
    attr.KIND_TURN: "agent",
    attr.KIND_LLM: "generation",
    attr.KIND_REALTIME: "generation",
    attr.KIND_TOOL: "tool",
}
_FIRST = {
    attr.KIND_LLM: attr.TIME_TO_FIRST_CHUNK,
    attr.KIND_REALTIME: attr.REALTIME_FIRST_AUDIO,
    attr.KIND_TTS: attr.TTS_FIRST_BYTE,
}
_MODEL = (attr.RESPONSE_MODEL, attr.REQUEST_MODEL)
Attributes = dict[str, AttributeValue]


@dataclass(frozen=True)
class Settings:
    """What :func:`livekit_otel.exporters.langfuse` was asked for."""

    environment: str | None = None
    release: str | None = None
    trace_name: str = "voice call"
    tags: tuple[str, ...] = ()
    native: Literal["drop", "keep"] = "drop"
    units: bool = False


class Mapping:
    """Maps spans one by one; ``learn`` first hears of the batch that they come in."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._calls = Calls()

    def learn(self, spans: Iterable[ReadableSpan]) -> None:
        """Remember the calls that the spans tell of, and what was said first and last in each."""
        for span in spans:
            attributes = span.attributes or {}
            session_id = attributes.get(attr.SESSION_ID)
            context = span.get_span_context()
            if not isinstance(session_id, str) or context is None:
                continue
            call = self._calls.open(context.trace_id, session_id, span.start_time or 0)
            call.shared = self._shared(attributes)
            if attributes.get(attr.KIND) == attr.KIND_TURN:
                call.first_words = call.first_words or _text(attributes, attr.TURN_USER_TEXT)
                call.last_words = _text(attributes, attr.TURN_AGENT_TEXT) or call.last_words

    def copy(self, span: ReadableSpan) -> ReadableSpan | None:
        """A mapped copy; None for a span that is not to be sent."""
        scope = span.instrumentation_scope.name if span.instrumentation_scope else ""
        if scope == attr.NATIVE_SCOPE and self._settings.native == "drop":
            return None
        attributes = _transportable(span)
        kind = str(attributes.get(attr.KIND, ""))
        added = {**self._common(span, attributes), **self._observation(span, kind, scope, attributes)}
        return ReadableSpan(
            name=span.name,
            context=span.get_span_context(),
            parent=span.parent,
            resource=span.resource,
            attributes=_merged(added, attributes),
            events=span.events,
            links=span.links,
            kind=span.kind,
            status=span.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    def _common(self, span: ReadableSpan, attributes: Attributes) -> Attributes:
        """What Langfuse wants on every span of a trace."""
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
        own_name = _text(attributes, attr.LANGFUSE_TRACE_NAME)
        shared: Attributes = {attr.LANGFUSE_TRACE_NAME: own_name or self._settings.trace_name}
        session_id = _text(attributes, attr.BACKEND_SESSION_ID) or _text(attributes, attr.SESSION_ID)
        if session_id:
            shared[attr.LANGFUSE_SESSION_ID] = session_id
        if user_id := _text(attributes, attr.LANGFUSE_USER_ID) or _text(attributes, attr.USER_ID):
            shared[attr.LANGFUSE_USER_ID] = user_id
        own = attributes.get(attr.LANGFUSE_TRACE_TAGS, ())
        tags = dict.fromkeys((*self._settings.tags, *([own] if isinstance(own, str) else own)))
        if tags:
            shared[attr.LANGFUSE_TRACE_TAGS] = tuple(map(str, tags))
        return shared

    def _observation(self, span: ReadableSpan, kind: str, scope: str, attributes: Attributes) -> Attributes:
        native = scope == attr.NATIVE_SCOPE
        has_model = any(attributes.get(name) for name in _MODEL)
        dropped = self._settings.native == "drop"
        buckets = usage_buckets(kind, attributes, metrics=dropped, units=self._settings.units)
        added: Attributes = {}
        if buckets:
            added[attr.LANGFUSE_USAGE] = json.dumps(buckets)
        elif has_model and (kind or native):
            # else Langfuse would count the tokens of the texts by itself
            added[attr.LANGFUSE_USAGE] = json.dumps({"input": 0, "output": 0})
        if not kind:
            return added
        speech = kind in (attr.KIND_STT, attr.KIND_TTS) and has_model
        added[attr.LANGFUSE_TYPE] = _TYPES.get(kind, "generation" if speech else "span")
        added[attr.LANGFUSE_EXACT] = _exact(span)
        if first := _first_token(span, kind, attributes):
            added[attr.LANGFUSE_FIRST_TOKEN] = first
        added.update(_level(span, attributes))
        words_in, words_out = self._words(span, kind, attributes)
        if words_in is not None:
            added[attr.LANGFUSE_INPUT] = words_in
        if words_out is not None:
            added[attr.LANGFUSE_OUTPUT] = words_out
        if kind == attr.KIND_SESSION and span.parent is not None:
            # its parent may be a span that is not sent
            added[attr.LANGFUSE_AS_ROOT] = added[attr.LANGFUSE_IS_APP_ROOT] = True
        return added

    def _words(self, span: ReadableSpan, kind: str, attributes: Attributes) -> tuple[str | None, str | None]:
        if kind == attr.KIND_SESSION:
            context = span.get_span_context()
            call = self._calls.find(context.trace_id, str(attributes.get(attr.SESSION_ID))) if context else None
            return (call.first_words, call.last_words) if call is not None else (None, None)
        name_in, name_out = attr.LANGFUSE_WORDS.get(kind, (None, None))
        words_in = _request(attributes) if name_in == attr.INPUT_MESSAGES else name_in and _text(attributes, name_in)
        return words_in, name_out and _text(attributes, name_out)


def size_of(span: ReadableSpan) -> int:
    """Roughly the characters of a span's attributes."""
    return sum(
        len(name) + (len(value) if isinstance(value, str) else 16) for name, value in (span.attributes or {}).items()
    )


def _transportable(span: ReadableSpan) -> Attributes:
    """Attributes without what JavaScript cannot hold: it would round large integers, and refuse NaN."""
    found: Attributes = {}
    for name, value in (span.attributes or {}).items():
        if isinstance(value, float) and not math.isfinite(value):
            continue
        large = isinstance(value, int) and not isinstance(value, bool) and abs(value) > _SAFE_INTEGER
        found[name] = str(value) if large else value
    return found


def _text(attributes: Any, name: str) -> str | None:
    value = attributes.get(name)
    return value if isinstance(value, str) and value else None


def _request(attributes: Attributes) -> str | None:
    """Messages of a request, the instructions as the first one, as Langfuse shows them."""
    messages, instructions = _text(attributes, attr.INPUT_MESSAGES), _text(attributes, attr.SYSTEM_INSTRUCTIONS)
    if instructions is None:
        return messages
    try:
        parts, rest = json.loads(instructions), json.loads(messages) if messages else []
    except ValueError:
        return "\n".join(filter(None, (instructions, messages)))
    whole = [{"role": "system", "parts": parts}, *rest]
    text = json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
    # halves of surrogate pairs can only be sent escaped
    return text if text.isascii() or _encodable(text) else json.dumps(whole, separators=(",", ":"))


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _first_token(span: ReadableSpan, kind: str, attributes: Attributes) -> str | None:
    seconds = attributes.get(_FIRST.get(kind, ""))
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < _DAY:
        return None
    whole, rest = divmod((span.start_time or 0) + round(seconds * 1e9), 1_000_000_000)
    moment = datetime.fromtimestamp(whole, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{rest // 1000:06d}Z"


def _level(span: ReadableSpan, attributes: Attributes) -> Attributes:
    outcome = attributes.get(attr.OUTCOME)
    if span.status.status_code is StatusCode.ERROR or outcome == attr.OUTCOME_ERROR:
        kind, message = _text(attributes, attr.ERROR_TYPE), _text(attributes, attr.ERROR_MESSAGE)
        told = span.status.description or ": ".join(filter(None, (kind, message))) or "failed"
        return {attr.LANGFUSE_LEVEL: "ERROR", attr.LANGFUSE_STATUS_MESSAGE: told}
    if outcome == "cancelled":
        return {attr.LANGFUSE_LEVEL: "WARNING", attr.LANGFUSE_STATUS_MESSAGE: "cancelled"}
    if outcome == attr.OUTCOME_DISCARDED:
        return {attr.LANGFUSE_STATUS_MESSAGE: "discarded: the user's turn went on"}
    return {}


def _exact(span: ReadableSpan) -> str:
    return f"{span.start_time or 0}-{span.end_time or 0}"


def _merged(added: Attributes, attributes: Attributes) -> Attributes:
    """What a user set goes before what is added, but tags of both count."""
    merged = {**added, **attributes}
    if attr.LANGFUSE_TRACE_TAGS in added:
        merged[attr.LANGFUSE_TRACE_TAGS] = added[attr.LANGFUSE_TRACE_TAGS]
    return merged
