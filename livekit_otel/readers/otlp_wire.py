"""OTLP JSON as typed structures, and spans of it as records.

Decoding is lax: 64-bit integers may be strings or numbers, enums names or numbers, ids hex or base64; unknown fields
are ignored. The spans of a scope stay undecoded until the scope is known to matter.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec

from .. import attributes as attr
from ..spans import AttributeValue, SpanRecord, SpanStatus
from .repair import mend

__all__ = ["Message", "Signals", "decode_message", "records"]

Attributes = dict[str, AttributeValue]
Complain = Callable[[str], None]
_Time = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Value(msgspec.Struct, gc=False):
    stringValue: str | None = None
    intValue: int | None = None
    doubleValue: float | None = None
    boolValue: bool | None = None
    arrayValue: _Values | None = None
    bytesValue: str | None = None
    kvlistValue: _KeyValues | None = None


class _Values(msgspec.Struct, gc=False):
    values: list[_Value] = []


class _KeyValue(msgspec.Struct, gc=False):
    key: str = ""
    value: _Value | None = None


class _KeyValues(msgspec.Struct, gc=False):
    values: list[_KeyValue] = []


class _Status(msgspec.Struct, gc=False):
    code: int | str | None = None
    message: str | None = None


class _Span(msgspec.Struct, gc=False):
    traceId: str = ""
    spanId: str = ""
    parentSpanId: str | None = None
    name: str = ""
    startTimeUnixNano: _Time = 0
    endTimeUnixNano: _Time = 0
    attributes: list[_KeyValue] | None = None
    status: _Status | None = None


class _Scope(msgspec.Struct, gc=False):
    name: str | None = None


class _ScopeSpans(msgspec.Struct, gc=False):
    scope: _Scope | None = None
    spans: msgspec.Raw = msgspec.Raw(b"null")


class _Resource(msgspec.Struct, gc=False):
    attributes: list[_KeyValue] | None = None


class _ResourceSpans(msgspec.Struct, gc=False):
    resource: _Resource | None = None
    scopeSpans: list[_ScopeSpans] | None = None


class Message(msgspec.Struct, gc=False):
    """A message of spans, alone or wrapped: ``result`` is Jaeger's, ``batches`` and ``trace`` are Tempo's."""

    resourceSpans: list[_ResourceSpans] | None = None
    batches: list[_ResourceSpans] | None = None
    result: Message | None = None
    trace: Message | None = None

    @property
    def known(self) -> bool:
        """Whether any of the fields is there."""
        return any(one is not None for one in (self.resourceSpans, self.batches, self.result, self.trace))


class Signals(msgspec.Struct, gc=False):
    """Other signals that a collector may write to the same file."""

    resourceLogs: msgspec.Raw = msgspec.Raw(b"")
    resourceMetrics: msgspec.Raw = msgspec.Raw(b"")


_message: msgspec.json.Decoder[Message | list[Message]] = msgspec.json.Decoder(Message | list[Message], strict=False)
_spans: msgspec.json.Decoder[list[_Span] | None] = msgspec.json.Decoder(list[_Span] | None, strict=False)
_span: msgspec.json.Decoder[_Span] = msgspec.json.Decoder(_Span, strict=False)
_raw_spans: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_message(data: bytes) -> Message | list[Message]:
    """Raises msgspec.DecodeError (ValidationError for JSON of another shape) or UnicodeDecodeError."""
    try:
        return _message.decode(data)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        mended = mend(data)
        if mended == data:
            raise
        return _message.decode(mended)


def records(message: Message | list[Message], *, all_scopes: bool, complain: Complain) -> Iterator[SpanRecord]:
    """The spans of a message; ``complain`` hears of each one that cannot be read."""
    if isinstance(message, list):
        for one in message:
            yield from records(one, all_scopes=all_scopes, complain=complain)
        return
    for wrapped in (message.result, message.trace):
        if wrapped is not None:
            yield from records(wrapped, all_scopes=all_scopes, complain=complain)
    for resource_spans in (*(message.resourceSpans or ()), *(message.batches or ())):
        resource: Attributes | None = None
        for scope_spans in resource_spans.scopeSpans or ():
            scope = (scope_spans.scope.name if scope_spans.scope else None) or ""
            # a store may have lost the scope: then the span itself must say that it is ours
            if not (all_scopes or scope == attr.SCOPE or not scope):
                continue
            if resource is None:
                resource = _attributes(resource_spans.resource.attributes if resource_spans.resource else None)
            for span in _decoded(scope_spans.spans, complain):
                record = _record(span, scope, resource, complain)
                if record is not None and (all_scopes or scope or attr.KIND in record.attributes):
                    yield record


def _decoded(data: msgspec.Raw, complain: Complain) -> Iterator[_Span]:
    try:
        yield from _spans.decode(data) or ()
        return
    except _FAULTS:
        pass
    for raw in _raw_spans.decode(data):
        try:
            yield _span.decode(raw)
        except _FAULTS as error:
            try:
                yield _span.decode(mend(bytes(raw)))
            except _FAULTS:
                complain(f"a span was skipped: {error}")


def _record(span: _Span, scope: str, resource: Attributes, complain: Complain) -> SpanRecord | None:
    trace_id, span_id, parent, status = span.traceId, span.spanId, span.parentSpanId, span.status
    if len(span_id) != 16 or len(trace_id) != 32 or not (span_id.islower() and trace_id.islower()):
        try:
            trace_id, span_id, parent = _hex(trace_id, 32), _hex(span_id, 16), parent and _hex(parent, 16)
        except ValueError as error:
            complain(f"a span was skipped: {error}")
            return None
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
    )


_STATUS: dict[int | str | None, SpanStatus] = {
    1: "ok", "1": "ok", "STATUS_CODE_OK": "ok", 2: "error", "2": "error", "STATUS_CODE_ERROR": "error",
}  # fmt: skip


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


#: Attribute names met so far: records of the same names share them, which saves half of their memory.
_NAMES: dict[str, str] = {}
_MAX_NAMES = 4_096


def _attributes(pairs: list[_KeyValue] | None) -> Attributes:
    found: Attributes = {}
    names = _NAMES
    for pair in pairs or ():
        value = pair.value
        if (key := names.get(pair.key)) is None:
            key = pair.key
            if len(names) < _MAX_NAMES:
                names[key] = key
        if value is None:
            continue
        # what most attributes are, without a call
        if (text := value.stringValue) is not None:
            found[key] = text
        elif (real := value.doubleValue) is not None:
            found[key] = real
        elif (number := value.intValue) is not None:
            found[key] = number
        elif (plain := _plain(value)) is not None:
            found[key] = plain
    return found


def _plain(value: _Value) -> Any:
    for plain in (value.intValue, value.boolValue, value.stringValue, value.doubleValue, value.bytesValue):
        if plain is not None:
            return plain
    if value.arrayValue is not None:
        return [_plain(one) for one in value.arrayValue.values]
    if value.kvlistValue is not None:
        return msgspec.json.encode(_attributes(value.kvlistValue.values)).decode()
    return None
