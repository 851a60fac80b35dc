"""Converts the spans of OTLP messages to records."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from .. import attributes as attr
from .._json import NOT_JSON
from ..spans import AttributeValue, SpanRecord, SpanStatus, finite
from .message import NO_COUNT, KeyValue, Message, PartialMessage, ResourceSpans, Span, Value
from .repair import without_lone_surrogates

__all__ = ["Messages", "records"]

Attributes = dict[str, AttributeValue]
Complain = Callable[[str], None]
#: A message, or nested lists of messages.
Messages: TypeAlias = "Message | Sequence[Messages]"

_spans: msgspec.json.Decoder[list[Span] | None] = msgspec.json.Decoder(list[Span] | None, strict=False)
_span: msgspec.json.Decoder[Span] = msgspec.json.Decoder(Span, strict=False)
_raw_spans: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
#: Exceptions that unusual values can raise while a record is built.
_ODD = (ValueError, TypeError, OverflowError, RecursionError)


def records(
    messages: Messages, *, all_scopes: bool, complain: Complain, native: Callable[[str], bool] | None = None
) -> Iterator[SpanRecord]:
    """The spans of messages; ``complain`` is called with the reason for each part that cannot be read.

    ``native`` says of which traces LiveKit's own spans are wanted, too.
    """
    for message in _unwrapped(messages):
        if isinstance(message, PartialMessage):
            for problem in message.problems:
                complain(problem)
        for resource_spans in (*(message.resourceSpans or ()), *(message.batches or ())):
            resource: Attributes | None = None
            for scope_spans in resource_spans.scopeSpans or ():
                scope = (scope_spans.scope.name if scope_spans.scope else None) or ""
                # some backends drop the scope; then the span itself must identify this library
                wanted = native if scope == attr.NATIVE_SCOPE and not all_scopes else None
                if not (all_scopes or scope == attr.SCOPE or not scope or wanted):
                    continue
                if resource is None:
                    resource = _resource(resource_spans, complain)
                for span in _decoded(scope_spans.spans, complain):
                    if wanted is not None and not wanted(span.traceId):
                        continue
                    try:
                        record = _record(span, scope, resource)
                    except _ODD as error:
                        complain(f"a span was skipped: {error}")
                        continue
                    if all_scopes or scope or native is not None or attr.KIND in record.attributes:
                        yield record


def _unwrapped(messages: Messages) -> Iterator[Message]:
    """Each message in nested lists and wrappers, at any depth."""
    waiting: list[Messages] = [messages]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Message):
            yield one
            waiting += [inner for inner in (one.trace, one.result) if inner is not None]
        else:
            waiting += reversed(one)


def _resource(found: ResourceSpans, complain: Complain) -> Attributes:
    try:
        return _attributes(found.resource.attributes if found.resource else None)
    except _ODD as error:
        complain(f"the attributes of a resource were skipped: {error}")
        return {}


def _decoded(data: msgspec.Raw, complain: Complain) -> Iterator[Span]:
    try:
        yield from _spans.decode(data) or ()
        return
    except NOT_JSON:
        pass
    try:
        each = _raw_spans.decode(data)
    except NOT_JSON as error:
        complain(f"the spans of a scope were skipped: {error}")
        return
    for raw in each:
        try:
            yield _span.decode(raw)
        except NOT_JSON as error:
            try:
                yield _span.decode(without_lone_surrogates(bytes(raw)))
            except NOT_JSON:
                complain(f"a span was skipped: {error}")


def _record(span: Span, scope: str, resource: Attributes) -> SpanRecord:
    trace_id, span_id, parent, status = span.traceId, span.spanId, span.parentSpanId, span.status
    if len(span_id) != 16 or len(trace_id) != 32 or not (span_id.islower() and trace_id.islower()):
        trace_id, span_id, parent = _hex(trace_id, 32), _hex(span_id, 16), parent and _hex(parent, 16)
    return SpanRecord(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent if parent and parent != "0000000000000000" else None,
        name=span.name,
        start_ns=span.startTimeUnixNano,
        end_ns=span.endTimeUnixNano or span.startTimeUnixNano,
        attributes=_attributes(span.attributes),
        status=_STATUS.get(status.code, "unset") if status is not None else "unset",
        status_message=(status.message or "") if status is not None else "",
        scope=scope,
        resource=resource,
        dropped_attributes=0 if span.droppedAttributesCount is NO_COUNT else _count(span.droppedAttributesCount),
    )


_STATUS: dict[int | str | None, SpanStatus] = {
    1: "ok", "1": "ok", "STATUS_CODE_OK": "ok", 2: "error", "2": "error", "STATUS_CODE_ERROR": "error",
}  # fmt: skip


def _count(raw: msgspec.Raw) -> int:
    """A count, given as a number or as text; 0 for any other value."""
    return max(0, int(finite(bytes(raw).decode("ascii", "replace").strip('"')) or 0))


def _hex(text: str, digits: int) -> str:
    if len(text) == digits:
        return text.lower()
    try:
        # protobuf's own JSON mapping, which some servers use
        found = base64.b64decode(text, validate=True).hex()
    except (binascii.Error, ValueError):
        found = ""
    if len(found) != digits:
        raise ValueError(f"{text[:40]!r} is not an id of {digits} hex digits")
    return found


#: Attribute names seen so far. Records share these strings, which halves their memory.
_NAMES: dict[str, str] = {}
_MAX_NAMES, _LONGEST_NAME = 4_096, 200


def _attributes(pairs: list[KeyValue] | None) -> Attributes:
    found: Attributes = {}
    names = _NAMES
    for pair in pairs or ():
        value = pair.value
        if (key := names.get(pair.key)) is None:
            key = pair.key
            if len(names) < _MAX_NAMES and len(key) <= _LONGEST_NAME:
                names[key] = key
        if value is None:
            continue
        # most attributes are strings; this avoids a call
        if (text := value.stringValue) is not None:
            found[key] = text
        elif (real := value.doubleValue) is not None:
            found[key] = real
        elif (number := value.intValue) is not None:
            found[key] = number
        elif (plain := _plain(value)) is not None:
            found[key] = plain
    return found


def _plain(value: Value) -> Any:
    for plain in (value.intValue, value.boolValue, value.stringValue, value.doubleValue, value.bytesValue):
        if plain is not None:
            return plain
    if value.arrayValue is not None:
        return [_plain(one) for one in value.arrayValue.values]
    if value.kvlistValue is not None:
        return msgspec.json.encode(_nested(value)).decode()
    return None


def _nested(value: Value | None) -> Any:
    """A value inside a map. The whole map is encoded once: text nested in text doubles its backslashes per level."""
    if value is None:
        return None
    if value.kvlistValue is not None:
        return {pair.key: _nested(pair.value) for pair in value.kvlistValue.values}
    if value.arrayValue is not None:
        return [_nested(one) for one in value.arrayValue.values]
    return _plain(value)
